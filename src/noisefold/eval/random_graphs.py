"""Random graphs without structure: what every generator should be better than."""

from __future__ import annotations

import torch
from torch import Tensor

from noisefold.geometry import Graphs
from noisefold.geometry.pair_strata import simple_edges
from noisefold.geometry.pairs import pair_index, pair_ptr

__all__ = ["erdos_renyi_like"]

_LISTED = 1 << 24  # pairs of all graphs that are listed, to draw from


def erdos_renyi_like(like: Graphs, count: int, generator: torch.Generator) -> Graphs:
    """Return Erdos-Renyi graphs, each with the numbers of nodes and edges of a random graph of a set.

    The edges are uniform among all pairs of nodes. Types of nodes and edges are independent draws from those
    of the set.

    Parameters
    ----------
    like
        Graphs with edges.
    count
        Number of graphs.
    generator
        Random numbers, on the processor.

    Returns
    -------
    Graphs
        Positions ``[n, 0]``, both directions of each edge, node and edge types as `like` has them.
    """
    like = like.to("cpu")
    assert like.edge_index is not None
    chosen = torch.randint(len(like), (count,), generator=generator)
    edges = torch.bincount(like.batch[simple_edges(like)[0]], minlength=len(like))[chosen]
    sizes = like.sizes[chosen]
    ptr = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    if int(pair_ptr(ptr)[-1]) <= _LISTED:
        u, v = _listed(ptr, edges, generator)
    else:
        u, v = torch.cat(
            [
                _drawn_pairs(n, k, generator) + first
                for n, k, first in zip(sizes.tolist(), edges.tolist(), ptr.tolist(), strict=False)
            ],
            1,
        )
    out = Graphs(
        torch.zeros(int(ptr[-1]), 0),
        ptr=ptr,
        edge_index=torch.stack([torch.cat([u, v]), torch.cat([v, u])]),
    )
    node_type = _drawn(like.node_type, out.num_nodes, generator)
    edge_type = _drawn(like.edge_type, len(u), generator)
    return out.replace(
        node_type=node_type,
        edge_type=None if edge_type is None else edge_type.repeat(2),
        node_types=like.node_types,
        edge_types=like.edge_types,
    )


def _listed(ptr: Tensor, edges: Tensor, generator: torch.Generator) -> Tensor:
    """Return so many random pairs of each graph, ``[2, e]``, out of a list of all pairs."""
    all_pairs, first = pair_index(ptr), pair_ptr(ptr)
    owner = torch.repeat_interleave(torch.arange(len(edges)), first.diff())
    keys = torch.rand(all_pairs.shape[1], generator=generator, dtype=torch.float64) + owner
    order = torch.argsort(keys)
    rank = torch.arange(len(order)) - first[owner]
    return all_pairs[:, order[rank < edges[owner]]]


def _drawn_pairs(n: int, count: int, generator: torch.Generator) -> Tensor:
    """Return so many random pairs i < j of n nodes, ``[2, count]``, without a list of all pairs."""
    if 4 * count > n * (n - 1) // 2:
        return _listed(torch.tensor([0, n]), torch.tensor([count]), generator)
    found = torch.empty(0, dtype=torch.int64)
    while len(found) < count:
        some = 2 * (count - len(found)) + 16
        i = torch.randint(n, (some,), generator=generator)
        j = torch.randint(n - 1, (some,), generator=generator)
        j = j + (j >= i).long()  # any other node
        codes = torch.cat([found, torch.minimum(i, j) * n + torch.maximum(i, j)]).unique()
        # Which of too many are kept must not depend on their numbers.
        found = codes[torch.randperm(len(codes), generator=generator)[:count]]
    return torch.stack([found // n, found % n])


def _drawn(types: Tensor | None, count: int, generator: torch.Generator) -> Tensor | None:
    if types is None:
        return None
    if len(types) == 0:
        return types.new_zeros(count)
    return types[torch.randint(len(types), (count,), generator=generator)]
