r"""Directed graphs on packed pairs: the classes of both directions of a pair i < j as one class.

With T types of edges, the directions i to j and j to i have classes a and b, 0 for no edge and 1 + the type
of one, and the pair the class

.. math:: c = a\,(T + 1) + b, \qquad 0 \le c < (T + 1)^2 .

Exchanging i and j turns (a, b) into (b, a), `reversed_class`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from noisefold.geometry.pairs import pair_index, pair_ptr

__all__ = ["directed_edges", "directed_pairs", "has_directions", "one_way", "reversed_class"]


def reversed_class(types: int) -> Tensor:
    """Return the class of a pair whose nodes are exchanged, for every class, ``[(types + 1)^2]``."""
    return torch.arange((types + 1) ** 2).view(types + 1, types + 1).T.reshape(-1)


def directed_pairs(
    edge_index: Tensor, edge_type: Tensor | None, ptr: Tensor, types: int, simplify: bool = False
) -> Tensor:
    """Return the class of both directions of every pair, ``[p]``, int64.

    Parameters
    ----------
    edge_index
        Source and target of the edges, as rows of the batch, ``[2, e]``, int64.
    edge_type
        Type of each edge, from 0 to types - 1; None for type 0 everywhere.
    ptr
        Offsets of the graphs' nodes, ``[g + 1]``, int64.
    types
        The number T of types.
    simplify
        Whether self-loops are dropped and edges listed twice merged, which then have their smallest type.

    Raises
    ------
    ValueError
        If a type is out of range, an edge joins two graphs, or without `simplify` there are self-loops or
        edges listed twice.
    """
    kind = torch.zeros_like(edge_index[0]) if edge_type is None else edge_type
    if kind.numel() and not 0 <= int(kind.min()) <= int(kind.max()) < types:
        raise ValueError(
            f"edge_type must lie in 0 .. {types - 1}, got {int(kind.min())} to {int(kind.max())}."
        )
    source, target = edge_index.contiguous()
    if bool((torch.bucketize(source, ptr, right=True) != torch.bucketize(target, ptr, right=True)).any()):
        raise ValueError("edge_index must join nodes of one graph, but some edges join two graphs.")
    kept = source != target
    if not simplify and not bool(kept.all()):
        raise ValueError(f"edge_index has {int((~kept).sum())} self-loops; remove them.")
    source, target, kind = source[kept], target[kept], kind[kept]
    total = int(pair_ptr(ptr)[-1])
    i, j = torch.minimum(source, target), torch.maximum(source, target)
    first = pair_index(ptr)
    # Pairs are sorted by their first node, and then by their second.
    keys = first[0] * int(ptr[-1]) + first[1]
    place = torch.searchsorted(keys, i * int(ptr[-1]) + j)
    slot = 2 * place + (source > target)
    if not simplify and len(slot.unique()) < len(slot):
        raise ValueError("edge_index lists an edge twice in one direction; remove it.")
    absent = torch.iinfo(torch.int64).max
    least = kind.new_full((2 * total,), absent).scatter_reduce(0, slot, kind, "amin")
    both = torch.where(least == absent, 0, least + 1).view(total, 2)
    return both[:, 0] * (types + 1) + both[:, 1]


def directed_edges(pairs: Tensor, ptr: Tensor, types: int) -> tuple[Tensor, Tensor]:
    """Return the edges of classes of pairs, ``[2, e]`` sorted by target, and their types ``[e]``."""
    i, j = pair_index(ptr)
    a, b = pairs // (types + 1), pairs % (types + 1)
    there, back = a > 0, b > 0
    source, target = torch.cat([i[there], j[back]]), torch.cat([j[there], i[back]])
    kinds = torch.cat([a[there], b[back]]) - 1
    order = torch.argsort(target * int(ptr[-1]) + source)
    return torch.stack([source, target])[:, order], kinds[order]


def one_way(edge_index: Tensor, num_nodes: int) -> Tensor:
    """Return which edges are not listed in the other direction too, ``[e]``, bool."""
    source, target = edge_index
    return ~torch.isin(source * num_nodes + target, target * num_nodes + source)


def has_directions(edge_index: Tensor, num_nodes: int) -> bool:
    """Return whether edges ``[2, e]`` go one way, and are not all listed from the earlier to the later node.

    Those that are stand for undirected ones.
    """
    alone = one_way(edge_index, num_nodes)
    listed_once = bool(alone.all()) and bool((edge_index[0] < edge_index[1]).all())
    return bool(alone.any()) and not listed_once
