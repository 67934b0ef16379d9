r"""Packed pairs of nodes: the unordered pairs i < j of every graph of a ragged batch, one row each.

A graph of n nodes has :math:`n (n - 1) / 2` pairs, in the order of the upper triangle read row by row. With
local indices, the pair (i, j) is number

.. math:: k(i, j) = i\,n - \frac{i (i + 1)}{2} + (j - i - 1), \qquad 0 \le i < j < n,

of its graph, and the pairs of a batch follow graph by graph. Values of pairs ``[p, ...]`` are symmetric by
construction and need no padding; `unpack` and `pack` convert them to and from symmetric matrices. For a
simple undirected graph they hold a category: 0 for no edge, 1 + the type of an edge (`edges_to_pairs`,
`pairs_to_edges`). Everything is vectorised; time and memory are linear in the number of pairs, edges and
entries, except for one sort of the edges in `pairs_to_edges`.

Look-alikes: condensed distance matrix (`scipy.spatial.distance.squareform`), packed storage (LAPACK).
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["edges_to_pairs", "pack", "pair_index", "pair_ptr", "pairs_to_edges", "unpack"]


def pair_ptr(ptr: Tensor) -> Tensor:
    """Return the offsets of the graphs' pairs, ``[g + 1]``, from the offsets of their nodes ``[g + 1]``."""
    sizes = ptr.diff()
    return _offsets(sizes * (sizes - 1) // 2)


def pair_index(ptr: Tensor) -> Tensor:
    """Return the nodes of all pairs, as rows i < j.

    Parameters
    ----------
    ptr
        Offsets of the graphs' nodes, ``[g + 1]``, int64.

    Returns
    -------
    Tensor
        ``[2, p]``, int64, sorted by graph, i and j.

    Examples
    --------
    >>> pair_index(torch.tensor([0, 3, 4, 6])).tolist()
    [[0, 0, 1, 4], [1, 2, 2, 5]]
    """
    first, total = _first(ptr), int(pair_ptr(ptr)[-1])
    rows = torch.arange(first.numel(), device=ptr.device)
    i = torch.repeat_interleave(rows, _later(ptr), output_size=total)
    j = torch.arange(total, device=ptr.device) - first[i] + i + 1
    return torch.stack([i, j])


def pack(dense: Tensor, ptr: Tensor) -> Tensor:
    """Return the entries i < j of padded matrices, one row for each pair.

    Parameters
    ----------
    dense
        ``[g, m, m, ...]`` with m at least the number of nodes of every graph. Only the upper triangles of the
        graphs' own nodes are read.
    ptr
        Offsets of the graphs' nodes, ``[g + 1]``, int64.

    Returns
    -------
    Tensor
        ``[p, ...]``; differentiable.

    Raises
    ------
    ValueError
        If the shape does not fit the graphs.
    """
    g, sizes = ptr.numel() - 1, ptr.diff()
    most = int(sizes.max()) if g else 0
    if dense.ndim < 3 or dense.shape[0] != g or dense.shape[1] != dense.shape[2] or dense.shape[1] < most:
        raise ValueError(
            f"dense must be [{g}, m, m, ...] with m at least {most}, the nodes of the largest graph, "
            f"got shape {list(dense.shape)}."
        )
    graph, i, j = _local(ptr)
    return dense[graph, i, j]


def unpack(pairs: Tensor, ptr: Tensor, size: int | None = None, fill: float = 0) -> Tensor:
    """Return symmetric padded matrices of the values of pairs.

    Parameters
    ----------
    pairs
        Values of the pairs, ``[p, ...]``.
    ptr
        Offsets of the graphs' nodes, ``[g + 1]``, int64.
    size
        Rows m of every matrix; None for those of the largest graph.
    fill
        Entry on the diagonal and after a graph's end.

    Returns
    -------
    Tensor
        ``[g, m, m, ...]``; differentiable.

    Raises
    ------
    ValueError
        If there is not one row for each pair, or the size is less than a graph's number of nodes.
    """
    _check_pairs(pairs, ptr)
    g, sizes = ptr.numel() - 1, ptr.diff()
    most = int(sizes.max()) if g else 0
    m = most if size is None else size
    if m < most:
        raise ValueError(f"size must be at least {most}, the nodes of the largest graph, got {size}.")
    graph, i, j = _local(ptr)
    dense = pairs.new_full((g, m, m, *pairs.shape[1:]), fill)
    at = torch.cat([graph, graph]), torch.cat([i, j]), torch.cat([j, i])
    return dense.index_put(at, torch.cat([pairs, pairs]))


def edges_to_pairs(
    edge_index: Tensor, edge_type: Tensor | None, ptr: Tensor, simplify: bool = False
) -> Tensor:
    """Return the category of every pair from a list of edges: 0 for no edge, 1 + the type of an edge.

    An edge is undirected: it may be listed in one direction or in both, as in PyG.

    Parameters
    ----------
    edge_index
        Ends of the edges, as rows of the batch, ``[2, e]``, int64.
    edge_type
        Type of each edge, from 0, ``[e]``, int64; None for type 0 everywhere.
    ptr
        Offsets of the graphs' nodes, ``[g + 1]``, int64.
    simplify
        Whether to drop self-loops and to merge multi-edges, which take their smallest type. Multi-edges are
        edges listed more than once in one direction, or with different types in the two directions.

    Returns
    -------
    Tensor
        ``[p]``, int64.

    Raises
    ------
    ValueError
        If shapes, nodes or types are out of range, an edge joins two graphs, or without `simplify` there are
        self-loops or multi-edges.
    """
    if edge_index.ndim != 2 or edge_index.shape[0] != 2 or edge_index.dtype != torch.int64:
        raise ValueError(f"edge_index must be int64 [2, e], got {edge_index.dtype} {list(edge_index.shape)}.")
    kind = torch.zeros_like(edge_index[0]) if edge_type is None else edge_type
    if kind.shape != edge_index.shape[1:] or kind.dtype != torch.int64 or bool((kind < 0).any()):
        raise ValueError(
            f"edge_type must be int64 [{edge_index.shape[1]}], 0 or more, one for each edge, "
            f"got {kind.dtype} {list(kind.shape)}{f' with {int(kind.min())}' if kind.numel() else ''}."
        )
    n = int(ptr[-1])
    if bool(((edge_index < 0) | (edge_index >= n)).any()):
        raise ValueError(f"edge_index must lie in 0 .. {n - 1}, the rows of the nodes, got {edge_index}.")
    low, high = edge_index.amin(0), edge_index.amax(0)
    if bool((torch.bucketize(low, ptr, right=True) != torch.bucketize(high, ptr, right=True)).any()):
        raise ValueError("edge_index must join nodes of one graph, but some edges join two graphs.")
    loop = low == high
    if bool(loop.any()):
        if not simplify:
            raise ValueError(
                f"edge_index has {int(loop.sum())} self-loops; remove them, or drop them by simplify=True."
            )
        low, high, kind, edge_index = low[~loop], high[~loop], kind[~loop], edge_index[:, ~loop]
    total = int(pair_ptr(ptr)[-1])
    number = _first(ptr)[low] + high - low - 1
    absent = torch.iinfo(torch.int64).max
    least = kind.new_full((total,), absent).scatter_reduce(0, number, kind, "amin")
    if not simplify:
        listed = torch.bincount(2 * number + (edge_index[0] > edge_index[1]).long(), minlength=2 * total)
        several = int((listed > 1).sum() + (kind != least[number]).sum())
        if several:
            raise ValueError(
                "edge_index has multi-edges (listed twice in one direction, or with two types); "
                "remove them, or give simplify=True to keep the smallest type."
            )
    return torch.where(least == absent, 0, least + 1)


def pairs_to_edges(pairs: Tensor, ptr: Tensor) -> tuple[Tensor, Tensor]:
    """Return the edges of the pairs whose category is not 0, in both directions.

    Parameters
    ----------
    pairs
        Category of every pair, ``[p]``, int64: 0 for no edge, 1 + the type of an edge.
    ptr
        Offsets of the graphs' nodes, ``[g + 1]``, int64.

    Returns
    -------
    tuple of Tensor
        Edges ``[2, e]`` sorted by target, then source, and their types ``[e]`` from 0, int64.

    Raises
    ------
    ValueError
        If there is not one row for each pair, or a category is negative.
    """
    _check_pairs(pairs, ptr)
    if pairs.ndim != 1 or pairs.dtype != torch.int64 or bool((pairs < 0).any()):
        raise ValueError(
            f"pairs must be int64 [p] with categories of 0 or more, got {pairs.dtype} {list(pairs.shape)}."
        )
    present = pairs.nonzero().view(-1)
    i, j = pair_index(ptr)[:, present]
    source, target = torch.cat([i, j]), torch.cat([j, i])
    order = torch.argsort(target * int(ptr[-1]) + source)
    return torch.stack([source, target])[:, order], (pairs[present] - 1).repeat(2)[order]


def _offsets(counts: Tensor) -> Tensor:
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def _later(ptr: Tensor) -> Tensor:
    """Return how many nodes of the same graph follow each node, ``[n]``."""
    n = int(ptr[-1])
    ends = torch.repeat_interleave(ptr[1:], ptr.diff(), output_size=n)
    return ends - 1 - torch.arange(n, device=ptr.device)


def _first(ptr: Tensor) -> Tensor:
    """Return the number of each node's first pair (i, i + 1), ``[n]``."""
    return _offsets(_later(ptr))[:-1]


def _local(ptr: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return graph and local nodes i < j of every pair, ``[p]`` each."""
    i, j = pair_index(ptr)
    counts = pair_ptr(ptr).diff()
    graphs = torch.arange(counts.numel(), device=ptr.device)
    graph = torch.repeat_interleave(graphs, counts, output_size=i.numel())
    return graph, i - ptr[graph], j - ptr[graph]


def _check_pairs(pairs: Tensor, ptr: Tensor) -> None:
    total = int(pair_ptr(ptr)[-1])
    if pairs.ndim == 0 or pairs.shape[0] != total:
        raise ValueError(
            f"pairs must have one row for each of the {total} pairs i < j, got shape {list(pairs.shape)}."
        )
