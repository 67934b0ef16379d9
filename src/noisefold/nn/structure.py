r"""What a network of coarse nodes stands on: cells of the nodes, and edges among the cells.

It is planned once per forward pass from positions, range and resolution. Only indices are planned; what
depends smoothly on the positions (centres, offsets, distances) is computed where gradients can follow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from noisefold.geometry.coarsen import Cells
from noisefold.geometry.neighbors import KNN, Full, LongShort, Random
from noisefold.geometry.segment import segment_mean
from noisefold.nn.edges import Edges

__all__ = ["RULES", "Coarsening", "Neighbors", "Structure"]

Neighbors = Callable[[Tensor, Tensor], Tensor]
#: Rules whose number of neighbours, the node itself among them, is the schedule's range.
RULES: dict[str, Callable[[int], Neighbors]] = {
    "knn": lambda k: KNN(k, loop=True),
    "long-short": lambda k: LongShort(k, loop=True),
    "random": lambda k: Random(k, loop=True),
    "full": lambda k: Full(loop=True),
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
    cell
        Cell of every node, ``[n]``.
    counts
        Members of every cell, ``[m, 1]``.
    graph
        Graph of every cell, ``[m]``; graphs of one range stand together, so they are not in order.
    source, target, ptr
        Edges among cells, ``[e]`` each, in the order of their targets, and where each target's begin,
        ``[m + 1]``. Every cell is a neighbour of its own.
    """

    cell: Tensor
    counts: Tensor
    graph: Tensor
    source: Tensor
    target: Tensor
    ptr: Tensor

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
        reach = reach.masked_fill(reach >= sizes, _ALL)
        order = torch.argsort(reach, stable=True)
        rows = _rows(cells.ptr, order)
        m = rows.numel()
        place = torch.empty_like(rows)
        place[rows] = torch.arange(m, device=rows.device)
        cell = place[cells.cell]
        centre = segment_mean(pos, cell, m)
        starts = _offsets(sizes[order])
        pairs = _pairs(centre, starts, reach[order], neighbors)
        source, target = _own_and_sorted(pairs, m)
        return cls(
            cell=cell,
            counts=torch.bincount(cell, minlength=m)[:, None].to(pos.dtype),
            graph=torch.repeat_interleave(order, sizes[order], output_size=m),
            source=source,
            target=target,
            ptr=_offsets(torch.bincount(target, minlength=m)),
        )

    @property
    def num_cells(self) -> int:
        """Cells of all graphs together, m."""
        return self.counts.shape[0]

    def edges(self, centre: Tensor, offsets: bool = False) -> Edges:
        """The edges, with offset and distance of ``centre [m, d]`` if they are wanted."""
        geometry = None
        if offsets:
            geometry = with_length(centre[self.target] - centre[self.source])
        return Edges(self.source, self.target, self.ptr, geometry)


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


def _pairs(pos: Tensor, ptr: Tensor, reach: Tensor, neighbors: str | Neighbors) -> Tensor:
    """Edges ``[2, e]`` of graphs that stand in the order of their reach, one call for each reach."""
    if not isinstance(neighbors, str):
        return neighbors(pos, ptr)
    values, counts = torch.unique_consecutive(reach, return_counts=True)
    bounds = _offsets(counts).tolist()
    parts = []
    starts = ptr.tolist()
    for k, first, last in zip(values.tolist(), bounds, bounds[1:], strict=False):
        rule = RULES["full" if k == _ALL else neighbors](k)
        start, stop = starts[first], starts[last]
        parts.append(rule(pos[start:stop], ptr[first : last + 1] - start) + start)
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
