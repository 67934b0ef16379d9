r"""Coarse graph of a batch: supernodes of the nodes, and edges among the supernodes.

It is built once per forward pass from positions, range and resolution, and holds indices alone. What depends
smoothly on the positions (centres, offsets, distances) is computed in the network, where gradients pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from noisefold.geometry.coarsen import Supernodes
from noisefold.geometry.neighbor_rules import Full, LongShort, Random, knn_edges
from noisefold.nn.dmp.adjacency import Adjacency
from noisefold.nn.dmp.complete_graph import CompleteGraphs
from noisefold.nn.dmp.pooling import Pooling
from noisefold.nn.dmp.sparse_graph import SparseGraph

__all__ = ["RULES", "CoarseGraph", "Coarsening", "Neighbors", "with_length"]

Neighbors = Callable[[Tensor, Tensor], Tensor]
#: Edges ``[2, e]`` of ``pos [n, d]`` and ``ptr [g + 1]`` by range ``[g]``, which includes the self-loop.
RULES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "knn": lambda pos, ptr, reach: knn_edges(pos, ptr, reach, loop=True),
    "long-short": lambda pos, ptr, reach: _by_reach(lambda k: LongShort(k, loop=True), pos, ptr, reach),
    "random": lambda pos, ptr, reach: _by_reach(lambda k: Random(k, loop=True), pos, ptr, reach),
    "full": lambda pos, ptr, reach: Full(loop=True)(pos, ptr),
}
# A range that covers all nodes, of any number.
_ALL = torch.iinfo(torch.int64).max


class Coarsening(Protocol):
    """A partition of every graph's nodes into supernodes."""

    def __call__(self, pos: Tensor, ptr: Tensor, groups: Any) -> Supernodes:
        """Return the supernodes of ``pos [n, d]``, at most ``groups [g]`` in each graph."""


@dataclass(frozen=True)
class CoarseGraph:
    """Supernodes of a batch and their edges.

    Parameters
    ----------
    pooling
        Assignment of the nodes to the supernodes.
    graph
        Graph of every supernode, ``[m]``. Graphs of one range are contiguous, so it is not sorted.
    adjacency
        Edges among the supernodes, self-loops included.
    """

    pooling: Pooling
    graph: Tensor
    adjacency: Adjacency

    @classmethod
    @torch.no_grad()
    def build(
        cls,
        pos: Tensor,
        ptr: Tensor,
        levels: tuple[Tensor, Tensor],
        coarsening: Coarsening,
        neighbors: str | Neighbors = "knn",
    ) -> CoarseGraph:
        """Build the coarse graph of positions ``[n, d]`` in graphs ``ptr [g + 1]``.

        Parameters
        ----------
        levels
            Range and resolution of every graph, ``[g]`` each. A resolution of at least its number of nodes
            makes every node a supernode.
        coarsening
            Rule for the supernodes.
        neighbors
            A key of `RULES`, with the range as its number of neighbours, or a neighbour rule.
        """
        reach, resolution = levels
        supernodes = _supernodes(pos, ptr, resolution, coarsening)
        sizes = supernodes.ptr.diff()
        complete = _complete(reach, sizes, neighbors)
        reach = reach.masked_fill(complete, _ALL)
        order = _order(reach, sizes)
        rows = _rows(supernodes.ptr, order)
        m = rows.numel()
        renumbered = torch.empty_like(rows)
        renumbered[rows] = torch.arange(m, device=rows.device)
        pooling = Pooling.of(renumbered[supernodes.assignment], m)
        centre = pooling.mean(pos)
        starts = _offsets(sizes[order])
        some = int((~complete).sum())
        middle = int(starts[some])
        return cls(
            pooling=pooling,
            graph=torch.repeat_interleave(order, sizes[order], output_size=m),
            adjacency=Adjacency(
                _edges(centre[:middle], starts[: some + 1], reach[order[:some]], neighbors),
                CompleteGraphs(sizes[order[some:]]),
            ),
        )

    @property
    def assignment(self) -> Tensor:
        """Supernode of every node, ``[n]``."""
        return self.pooling.assignment

    @property
    def num_supernodes(self) -> int:
        """Number m of supernodes of all graphs together."""
        return self.graph.shape[0]

    @property
    def source(self) -> Tensor:
        """Sources of the edges among supernodes, ``[e]``, sorted by target."""
        return self.adjacency.sparse.source

    @property
    def target(self) -> Tensor:
        """Targets of the edges among supernodes, ``[e]``, non-decreasing."""
        return self.adjacency.sparse.target

    @property
    def ptr(self) -> Tensor:
        """Offsets of the targets' edges, ``[m + 1]``."""
        return self.adjacency.sparse.ptr

    def edges(self, centre: Tensor, offsets: bool = False) -> SparseGraph | Adjacency:
        """Return the adjacency; with `offsets`, as edges with offset and distance of ``centre [m, d]``."""
        if not offsets:
            return self.adjacency
        return replace(self.adjacency.sparse, offset=with_length(centre[self.target] - centre[self.source]))


def with_length(offset: Tensor) -> Tensor:
    """Append lengths to offsets, ``[e, d] -> [e, d + 1]``; the gradient of a length of 0 is 0."""
    return torch.cat([offset, torch.linalg.vector_norm(offset, dim=-1, keepdim=True)], dim=-1)


def _offsets(sizes: Tensor) -> Tensor:
    return torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])


def _rows(ptr: Tensor, order: Tensor) -> Tensor:
    """Return the rows of the graphs in another order."""
    sizes = ptr.diff()[order]
    shift = ptr[order] - _offsets(sizes)[:-1]
    total = int(ptr[-1])
    return torch.arange(total, device=ptr.device) + torch.repeat_interleave(shift, sizes, output_size=total)


def _supernodes(pos: Tensor, ptr: Tensor, resolution: Tensor, coarsening: Coarsening) -> Supernodes:
    sizes = ptr.diff()
    whole = resolution >= sizes
    each = torch.arange(pos.shape[0], device=pos.device)
    if bool(whole.all()):
        return Supernodes(each, ptr)
    found = coarsening(pos, ptr, torch.minimum(resolution, sizes))
    if not bool(whole.any()):
        return found
    batch = torch.repeat_interleave(sizes, output_size=pos.shape[0])
    starts = _offsets(torch.where(whole, sizes, found.ptr.diff()))
    local = torch.where(whole[batch], each - ptr[batch], found.assignment - found.ptr[batch])
    return Supernodes(starts[batch] + local, starts)


def _complete(reach: Tensor, sizes: Tensor, neighbors: str | Neighbors) -> Tensor:
    """Return whether the supernodes of a graph form a complete graph, ``[g]``."""
    if neighbors == "full" or isinstance(neighbors, Full):
        return torch.ones_like(sizes, dtype=torch.bool)
    return reach >= sizes if isinstance(neighbors, str) else torch.zeros_like(sizes, dtype=torch.bool)


def _order(reach: Tensor, sizes: Tensor) -> Tensor:
    """Sort graphs by range; complete graphs come last, by their number of supernodes."""
    by_size = torch.argsort(torch.where(reach == _ALL, sizes, 0), stable=True)
    return by_size[torch.argsort(reach[by_size], stable=True)]


def _edges(pos: Tensor, ptr: Tensor, reach: Tensor, neighbors: str | Neighbors) -> SparseGraph:
    """Return the edges of graphs that are sorted by range."""
    pairs = RULES[neighbors](pos, ptr, reach) if isinstance(neighbors, str) else neighbors(pos, ptr)
    m = pos.shape[0]
    source, target = _with_self_loops(pairs, m)
    return SparseGraph(source, target, _offsets(torch.bincount(target, minlength=m)))


def _by_reach(rule: Callable[[int], Neighbors], pos: Tensor, ptr: Tensor, reach: Tensor) -> Tensor:
    """Return the edges of graphs that are sorted by range, with one call of the rule for each range."""
    values, counts = torch.unique_consecutive(reach, return_counts=True)
    bounds = _offsets(counts).tolist()
    parts = []
    starts = ptr.tolist()
    for k, first, last in zip(values.tolist(), bounds, bounds[1:], strict=False):
        start, stop = starts[first], starts[last]
        parts.append(rule(k)(pos[start:stop], ptr[first : last + 1] - start) + start)
    return torch.cat(parts, dim=1) if parts else ptr.new_empty(2, 0)


def _with_self_loops(pairs: Tensor, m: int) -> tuple[Tensor, Tensor]:
    """Return source and target with a self-loop at every node, sorted by target."""
    source, target = pairs
    missing = torch.ones(m, dtype=torch.bool, device=pairs.device)
    missing[target[source == target]] = False
    if bool(missing.any()):
        own = missing.nonzero()[:, 0]
        source, target = torch.cat([source, own]), torch.cat([target, own])
    if bool((target.diff() < 0).any()):
        target, order = torch.sort(target, stable=True)
        source = source[order]
    return source, target
