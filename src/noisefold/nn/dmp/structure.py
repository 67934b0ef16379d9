r"""What a network of coarse nodes stands on: cells of the nodes, and edges among the cells.

It is planned once per forward pass from positions, range and resolution. Only indices are planned; what
depends smoothly on the positions (centres, offsets, distances) is computed where gradients can follow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from noisefold.geometry.coarsen import Cells
from noisefold.geometry.neighbors import Full, LongShort, Random, knn_edges
from noisefold.nn.dmp.adjacency import Adjacency
from noisefold.nn.dmp.complete_graph import CompleteGraphs
from noisefold.nn.dmp.edges import Edges
from noisefold.nn.dmp.pooling import Pooling

__all__ = ["RULES", "Coarsening", "Neighbors", "Structure"]

Neighbors = Callable[[Tensor, Tensor], Tensor]
#: Edges ``[2, e]`` of ``pos [n, d]`` and ``ptr [g + 1]`` by the range ``[g]``, which counts the node itself.
RULES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "knn": lambda pos, ptr, reach: knn_edges(pos, ptr, reach, loop=True),
    "long-short": lambda pos, ptr, reach: _by_reach(lambda k: LongShort(k, loop=True), pos, ptr, reach),
    "random": lambda pos, ptr, reach: _by_reach(lambda k: Random(k, loop=True), pos, ptr, reach),
    "full": lambda pos, ptr, reach: Full(loop=True)(pos, ptr),
}
# Stands for a range that reaches all nodes, however many there are.
_ALL = torch.iinfo(torch.int64).max


class Coarsening(Protocol):
    """A partition of every graph's nodes into cells."""

    def __call__(self, pos: Tensor, ptr: Tensor, groups: Any) -> Cells:
        """Cells of ``pos [n, d]``, about ``groups [g]`` in each graph."""


@dataclass(frozen=True)
class Structure:
    """Cells and edges of a batch.

    Parameters
    ----------
    members
        The nodes of every cell.
    graph
        Graph of every cell, ``[m]``; graphs of one range stand together, so they are not in order.
    links
        Neighbours among cells. Every cell is a neighbour of its own.
    """

    members: Pooling
    graph: Tensor
    links: Adjacency

    @classmethod
    @torch.no_grad()
    def plan(
        cls,
        pos: Tensor,
        ptr: Tensor,
        levels: tuple[Tensor, Tensor],
        coarsening: Coarsening,
        neighbors: str | Neighbors = "knn",
    ) -> Structure:
        """Plan for ``pos [n, d]`` of the graphs ``ptr [g + 1]``.

        Parameters
        ----------
        levels
            Range and resolution of every graph, ``[g]`` each. A resolution of all its nodes or more means one
            cell for every node.
        coarsening
            What finds the cells.
        neighbors
            A key of `RULES`, with the range as its number of neighbours, or a rule of its own.
        """
        reach, resolution = levels
        cells = _cells(pos, ptr, resolution, coarsening)
        sizes = cells.ptr.diff()
        complete = _complete(reach, sizes, neighbors)
        reach = reach.masked_fill(complete, _ALL)
        order = _order(reach, sizes)
        rows = _rows(cells.ptr, order)
        m = rows.numel()
        place = torch.empty_like(rows)
        place[rows] = torch.arange(m, device=rows.device)
        members = Pooling.of(place[cells.cell], m)
        centre = members.mean(pos)
        starts = _offsets(sizes[order])
        some = int((~complete).sum())
        middle = int(starts[some])
        return cls(
            members=members,
            graph=torch.repeat_interleave(order, sizes[order], output_size=m),
            links=Adjacency(
                _edges(centre[:middle], starts[: some + 1], reach[order[:some]], neighbors),
                CompleteGraphs(sizes[order[some:]]),
            ),
        )

    @property
    def cell(self) -> Tensor:
        """Cell of every node, ``[n]``."""
        return self.members.cell

    @property
    def num_cells(self) -> int:
        """Cells of all graphs together, m."""
        return self.graph.shape[0]

    @property
    def source(self) -> Tensor:
        """Sources of the edges among cells, ``[e]``, in the order of their targets."""
        return self.links.listed.source

    @property
    def target(self) -> Tensor:
        """Targets of the edges among cells, ``[e]``, not falling."""
        return self.links.listed.target

    @property
    def ptr(self) -> Tensor:
        """Where the edges of each target begin, ``[m + 1]``."""
        return self.links.listed.ptr

    def edges(self, centre: Tensor, offsets: bool = False) -> Edges | Adjacency:
        """The neighbours; listed, with offset and distance of ``centre [m, d]``, if those are wanted."""
        if not offsets:
            return self.links
        return replace(self.links.listed, offset=with_length(centre[self.target] - centre[self.source]))


def with_length(offset: Tensor) -> Tensor:
    """Offsets ``[e, d]`` beside their lengths, ``[e, d + 1]``; the gradient of a length 0 is 0."""
    return torch.cat([offset, torch.linalg.vector_norm(offset, dim=-1, keepdim=True)], dim=-1)


def _offsets(sizes: Tensor) -> Tensor:
    return torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])


def _rows(ptr: Tensor, order: Tensor) -> Tensor:
    """Rows of the graphs in another order."""
    sizes = ptr.diff()[order]
    shift = ptr[order] - _offsets(sizes)[:-1]
    total = int(ptr[-1])
    return torch.arange(total, device=ptr.device) + torch.repeat_interleave(shift, sizes, output_size=total)


def _cells(pos: Tensor, ptr: Tensor, resolution: Tensor, coarsening: Coarsening) -> Cells:
    sizes = ptr.diff()
    whole = resolution >= sizes
    each = torch.arange(pos.shape[0], device=pos.device)
    if bool(whole.all()):
        return Cells(each, ptr)
    cells = coarsening(pos, ptr, torch.minimum(resolution, sizes))
    if not bool(whole.any()):
        return cells
    batch = torch.repeat_interleave(sizes, output_size=pos.shape[0])
    starts = _offsets(torch.where(whole, sizes, cells.ptr.diff()))
    local = torch.where(whole[batch], each - ptr[batch], cells.cell - cells.ptr[batch])
    return Cells(starts[batch] + local, starts)


def _complete(reach: Tensor, sizes: Tensor, neighbors: str | Neighbors) -> Tensor:
    """Whether all cells of a graph see all, ``[g]``."""
    if neighbors == "full" or isinstance(neighbors, Full):
        return torch.ones_like(sizes, dtype=torch.bool)
    return reach >= sizes if isinstance(neighbors, str) else torch.zeros_like(sizes, dtype=torch.bool)


def _order(reach: Tensor, sizes: Tensor) -> Tensor:
    """Graphs by their range, and those in which all see all, which come last, by their number of cells."""
    by_size = torch.argsort(torch.where(reach == _ALL, sizes, 0), stable=True)
    return by_size[torch.argsort(reach[by_size], stable=True)]


def _edges(pos: Tensor, ptr: Tensor, reach: Tensor, neighbors: str | Neighbors) -> Edges:
    """Edges of graphs that stand in the order of their reach."""
    pairs = RULES[neighbors](pos, ptr, reach) if isinstance(neighbors, str) else neighbors(pos, ptr)
    m = pos.shape[0]
    source, target = _own_and_sorted(pairs, m)
    return Edges(source, target, _offsets(torch.bincount(target, minlength=m)))


def _by_reach(rule: Callable[[int], Neighbors], pos: Tensor, ptr: Tensor, reach: Tensor) -> Tensor:
    """Edges of graphs that stand in the order of their reach, one call of the rule for each reach."""
    values, counts = torch.unique_consecutive(reach, return_counts=True)
    bounds = _offsets(counts).tolist()
    parts = []
    starts = ptr.tolist()
    for k, first, last in zip(values.tolist(), bounds, bounds[1:], strict=False):
        start, stop = starts[first], starts[last]
        parts.append(rule(k)(pos[start:stop], ptr[first : last + 1] - start) + start)
    return torch.cat(parts, dim=1) if parts else ptr.new_empty(2, 0)


def _own_and_sorted(pairs: Tensor, m: int) -> tuple[Tensor, Tensor]:
    """Source and target, with an edge from every node to itself, in the order of the targets."""
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
