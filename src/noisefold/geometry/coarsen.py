r"""Partitions of the nodes of each graph into cells, the coarse nodes of a network.

A coarsening is called with positions ``[n, d]``, offsets ``ptr [g + 1]`` and the number s of groups wanted,
one for all graphs or one for each, and returns `Cells`. It takes s as 1 .. n_i, and leaves no cell empty.

=================== ==================================================================================
`Balanced()`        exactly s cells whose sizes differ by at most one; cost n log n. The default
`Balanced("curve")` the same sizes, by one sort along a Hilbert curve: faster, less compact cells
`Voxel()`           a grid of floor(s^(1/d)) parts an axis, as in the paper; often s / 2 occupied cells
`KMeans()`          at most s compact cells; cost n s for each iteration
`FarthestPoint()`   exactly s cells around seeds that cover the cloud evenly; cost n s
=================== ==================================================================================

A partition is a function of the positions alone: it does not depend on the batch, and with the nodes of a
graph renumbered it is the same partition, renumbered. The one exception are nodes at the very same place,
whose index decides. Indices have no gradient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.brute import BLOCK, NOT_FINITE, squared_distances
from noisefold.geometry.nearest import clouds, floating, places
from noisefold.geometry.segment import argsort_runs, segment_mean
from noisefold.geometry.serial import serial
from noisefold.geometry.space_filling import hilbert_codes, lexicographic

__all__ = ["Balanced", "Cells", "FarthestPoint", "KMeans", "Voxel"]


@dataclass(frozen=True, eq=False)
class Cells:
    """A partition of the nodes of a ragged batch.

    Parameters
    ----------
    cell
        Cell of each node, ``[n]``, int64; the cells of graph i are ``ptr[i] .. ptr[i + 1] - 1``.
    ptr
        Offsets of the graphs' cells, ``[g + 1]``, int64.
    """

    cell: Tensor
    ptr: Tensor

    @property
    def size(self) -> int:
        """Number of cells of all graphs together."""
        return int(self.ptr[-1])

    def mean(self, values: Tensor) -> Tensor:
        """Mean over the members of each cell, ``[n, c] -> [cells, c]``; differentiable."""
        return segment_mean(values, self.cell, self.size)


@configurable
@dataclass(frozen=True)
class Balanced:
    """Exactly s cells, of floor(n / s) or ceil(n / s) nodes each.

    Parameters
    ----------
    method
        "median": split at the median along the longest side of the bounding box, and again in both halves;
        where a part is to become an odd number of cells, in proportion. "curve": cut the order along a
        Hilbert curve.

    Raises
    ------
    ValueError
        If the method is unknown, or on a call if a position is not finite.
    """

    method: str = "median"

    def __post_init__(self) -> None:
        if self.method not in ("median", "curve"):
            raise ValueError(f'method must be "median" or "curve", got {self.method!r}.')

    @serial
    def __call__(self, pos: Tensor, ptr: Tensor, groups: int | Tensor) -> Cells:
        """Cells of positions ``[n, d]`` in graphs ``ptr [g + 1]``."""
        pos, count = _prepared(pos, ptr, groups)
        order, bounds = self._runs(pos, ptr, count)
        cell = torch.repeat_interleave(bounds.diff(), output_size=pos.shape[0])
        return Cells(_undone(order, cell), _offsets(count))

    @serial
    def dense(self, pos: Tensor, groups: int) -> Tensor:
        """Order of the nodes of clouds of one size, in which cells are contiguous.

        Parameters
        ----------
        pos
            Positions, ``[b, n, d]``.
        groups
            Number s of cells.

        Returns
        -------
        Tensor
            ``[b, n]``, int64: cell j of every cloud is ``order[:, j * n // s : (j + 1) * n // s]``. Where s
            divides n, ``values.gather(1, order[..., None].expand_as(values)).view(b, s, n // s, c)`` are the
            values ``[b, n, c]`` by cell.
        """
        b, n, d = pos.shape
        ptr = torch.arange(b + 1, device=pos.device) * n
        flat, count = _prepared(pos.reshape(b * n, d), ptr, groups)
        order, _ = self._runs(flat, ptr, count)
        return order.view(b, n) - ptr[:-1, None]

    def _runs(self, pos: Tensor, ptr: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
        """An order ``[n]`` of the nodes, and the bounds of the cells in it, ``[cells + 1]``."""
        order = lexicographic(pos, ptr)
        if self.method == "median":
            return _medians(pos, ptr, count, order)
        order = order[argsort_runs(_curve(pos, ptr)[order], ptr)]
        graph = torch.repeat_interleave(count)
        local = torch.arange(graph.shape[0], device=pos.device) - _offsets(count)[graph]
        return order, torch.cat([_cut(ptr, count, graph, local), ptr[-1:]])


@configurable
@dataclass(frozen=True)
class Voxel:
    """The paper's voxels: each side of the bounding box in floor(s^(1/d)) equal parts.

    Only voxels with nodes become cells: asked for 53 in a normal cloud of 400 nodes in space, it makes 27,
    and about 24 are occupied. Cost n log n.

    Source: Geometric Generative Modeling with Noise-Conditioned Graph Networks (arXiv 2507.09391), B.1.1.
    """

    @serial
    def __call__(self, pos: Tensor, ptr: Tensor, groups: int | Tensor) -> Cells:
        """Cells of positions ``[n, d]`` in graphs ``ptr [g + 1]``: at most `groups` in each."""
        pos, count = _prepared(pos, ptr, groups)
        parts = _root(count, pos.shape[1])
        graph = torch.repeat_interleave(ptr.diff(), output_size=pos.shape[0])
        low, high = _box(pos, ptr)
        place = (pos - low[graph]) / torch.where(high > low, high - low, 1.0)[graph]
        part = parts[graph]
        voxel = torch.zeros_like(graph)
        for along in place.unbind(1):
            voxel = voxel * part + torch.minimum((along * part).long(), part - 1)
        return _occupied(voxel + _offsets(parts ** pos.shape[1])[graph], graph, count.numel())


@configurable
@dataclass(frozen=True)
class KMeans:
    """Lloyd's iterations from the cells of ``Balanced("curve")``; cells left empty at the end are dropped.

    Parameters
    ----------
    iterations
        Most iterations; fewer where nothing changes any more. 0 leaves the cells of the curve.

    Raises
    ------
    ValueError
        If iterations is negative, or on a call if a position is not finite.
    """

    iterations: int = 10

    def __post_init__(self) -> None:
        if self.iterations < 0:
            raise ValueError(f"iterations must be 0 or more, got {self.iterations}.")

    @serial
    def __call__(self, pos: Tensor, ptr: Tensor, groups: int | Tensor) -> Cells:
        """Cells of positions ``[n, d]`` in graphs ``ptr [g + 1]``: at most `groups` in each."""
        pos, count = _prepared(pos, ptr, groups)
        order = lexicographic(pos, ptr)
        pos = pos[order]
        start = Balanced("curve")(pos, ptr, count)
        cell, centre = start.cell, start.mean(pos)
        for _ in range(self.iterations):
            closest = _closest(pos, ptr, centre, start.ptr)
            if torch.equal(closest, cell):
                break
            cell = closest
            empty = torch.bincount(cell, minlength=start.size) == 0
            centre = torch.where(empty[:, None], centre, segment_mean(pos, cell, start.size))
        graph = torch.repeat_interleave(ptr.diff(), output_size=pos.shape[0])
        cells = _occupied(cell, graph, count.numel())
        return Cells(_undone(order, cells.cell), cells.ptr)


@configurable
@dataclass(frozen=True)
class FarthestPoint:
    """Exactly s cells: the nodes nearest to each of s seeds, each seed as far as can be from those before it.

    The first seed is the node farthest from the mean of its graph.
    """

    @serial
    def __call__(self, pos: Tensor, ptr: Tensor, groups: int | Tensor) -> Cells:
        """Cells of positions ``[n, d]`` in graphs ``ptr [g + 1]``."""
        pos, count = _prepared(pos, ptr, groups)
        order = lexicographic(pos, ptr)
        pos = pos[order]
        offsets = _offsets(count)
        graph = torch.repeat_interleave(ptr.diff(), output_size=pos.shape[0])
        centre = segment_mean(pos, graph, count.numel())
        cell = offsets[graph]
        for graphs, cloud in clouds(pos, ptr):
            real, row = places(ptr, graphs, cloud.shape[1])
            local = _farthest(cloud, real, centre[graphs], count[graphs])
            cell[row[real]] += local[real]
        return Cells(_undone(order, cell), offsets)


def _prepared(pos: Tensor, ptr: Tensor, groups: int | Tensor) -> tuple[Tensor, Tensor]:
    """Positions fit for arithmetic, and the number of cells of each graph, ``[g]``."""
    pos = floating(pos)
    if not bool(pos.isfinite().all()):
        raise ValueError(NOT_FINITE)
    sizes = ptr.diff()
    asked = torch.as_tensor(groups, device=ptr.device)
    if asked.is_floating_point() or asked.shape not in ((), sizes.shape):
        raise ValueError(
            f"groups must be an integer or integers [{sizes.numel()}], one for each graph, "
            f"got {asked.dtype} {list(asked.shape)}."
        )
    return pos, torch.minimum(asked.long().clamp(min=1).expand_as(sizes), sizes)


def _offsets(counts: Tensor) -> Tensor:
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def _undone(order: Tensor, cell: Tensor) -> Tensor:
    """Cells of the nodes, from the cells of the nodes in another order."""
    out = torch.empty_like(cell)
    out[order] = cell
    return out


def _occupied(cell: Tensor, graph: Tensor, graphs: int) -> Cells:
    """Number those cells that have a node, graph after graph; a cell belongs to one graph."""
    used, number = torch.unique(cell, return_inverse=True)
    owner = graph.new_empty(used.shape[0])
    owner[number] = graph
    return Cells(number, _offsets(torch.bincount(owner, minlength=graphs)))


def _box(pos: Tensor, ptr: Tensor) -> tuple[Tensor, Tensor]:
    """Lowest and highest coordinates ``[m, d]`` of runs of nodes; 0 where a run is empty."""
    lengths = ptr.diff()
    low, high = pos.new_zeros(2, lengths.shape[0], pos.shape[1])
    full = lengths > 0
    if pos.device.type == "cpu":
        start = ptr[:-1][full].numpy()
        low[full], high[full] = (
            torch.from_numpy(reduce.reduceat(pos.numpy(), start, axis=0))
            for reduce in (np.minimum, np.maximum)
        )
    else:
        low[full], high[full] = (
            torch.segment_reduce(pos, kind, lengths=lengths[full], unsafe=True) for kind in ("min", "max")
        )
    return low, high


def _cut(ptr: Tensor, count: Tensor, graph: Tensor, group: Tensor) -> Tensor:
    """Where a group of a graph begins, so that the sizes of its groups are floor(n / s) or ceil(n / s)."""
    return ptr[graph] + group * ptr.diff()[graph] // count[graph]


def _medians(pos: Tensor, ptr: Tensor, count: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
    """Order ``[n]`` and bounds ``[cells + 1]`` of median splits, made in all parts of all graphs at once."""
    graph = count.nonzero().view(-1)
    first, last = torch.zeros_like(graph), count[graph]
    while True:
        bounds = torch.cat([_cut(ptr, count, graph, first), ptr[-1:]])
        split = last - first > 1
        if not bool(split.any()):
            return order, bounds
        here = pos.index_select(0, order)
        low, high = _box(here, bounds)
        axis = torch.repeat_interleave((high - low).argmax(1), bounds.diff(), output_size=order.shape[0])
        order = order[argsort_runs(here.gather(1, axis[:, None]).view(-1), bounds)]
        middle = (first + last) // 2
        kept = torch.stack([torch.ones_like(split), split], 1)
        graph = graph.repeat_interleave(1 + split)
        first, last = (
            torch.stack([first, middle], 1)[kept],
            torch.stack([torch.where(split, middle, last), last], 1)[kept],
        )


def _curve(pos: Tensor, ptr: Tensor) -> Tensor:
    """Place ``[n]`` of each node on the Hilbert curve through the bounding cube of its graph, int32."""
    axes = min(pos.shape[1], 31)
    bits = 31 // axes
    low, high = _box(pos, ptr)
    side = (high - low).amax(1, keepdim=True)
    graph = torch.repeat_interleave(ptr.diff(), output_size=pos.shape[0])
    place = (pos - low[graph]) / torch.where(side > 0, side, 1.0)[graph]
    cells = (place[:, :axes] * 2.0**bits).long().clamp(max=2**bits - 1)
    return hilbert_codes(cells.int(), bits)


def _root(count: Tensor, d: int) -> Tensor:
    """Largest integers whose d-th power is at most `count`, and at least 1."""
    root = count.double().pow(1 / d).round().long()
    root = root - (root**d > count).long()
    return root.clamp(min=1)


def _closest(pos: Tensor, ptr: Tensor, centre: Tensor, offsets: Tensor) -> Tensor:
    """Cell ``[n]`` with the closest centre in its own graph, the first of equals."""
    cell = torch.repeat_interleave(offsets[:-1], ptr.diff(), output_size=pos.shape[0])
    for graphs, cloud in clouds(pos, ptr):
        m, d = cloud.shape[1:]
        real, row = places(ptr, graphs, m)
        have, at = places(offsets, graphs, int(offsets.diff()[graphs].max()))
        around = centre.new_full((*have.shape, d), torch.inf)
        around[have] = centre[at[have]]
        step = max(1, BLOCK // have.numel())
        parts = [squared_distances(cloud[:, i : i + step], around).argmin(2) for i in range(0, m, step)]
        cell[row[real]] += torch.cat(parts, 1)[real]
    return cell


def _farthest(cloud: Tensor, real: Tensor, centre: Tensor, count: Tensor) -> Tensor:
    """Cell ``[b, m]`` of each node of ``cloud [b, m, d]``, the first of equally close seeds."""
    row = torch.arange(cloud.shape[0], device=cloud.device)
    cell = torch.zeros_like(real, dtype=torch.int64)
    seed = squared_distances(cloud, centre[:, None])[:, :, 0].masked_fill(~real, -1.0).argmax(1)
    gap = torch.full_like(cloud[:, :, 0], torch.inf).masked_fill(~real, -1.0)
    for j in range(int(count.max())):
        wanted = j < count
        distance = squared_distances(cloud, cloud[row, seed][:, None])[:, :, 0]
        nearer = (distance < gap) & wanted[:, None]
        nearer[row, seed] |= wanted
        cell = torch.where(nearer, j, cell)
        gap = torch.where(nearer, distance, gap)
        # A seed is never given to another cell, and never chosen again, even among nodes at one place.
        gap[row[wanted], seed[wanted]] = -1.0
        seed = gap.argmax(1)
    return cell
