r"""Graph coarsening: partitions of the nodes of each graph into supernodes.

A coarsening is called with positions ``[n, d]``, offsets ``ptr [g + 1]`` and the number s of supernodes, one
number for all graphs or one for each, and returns `Supernodes`. It clamps s to 1 .. n_i for a graph of n_i
nodes. No supernode is empty.

=================== ======================================================================================
`Balanced()`        exactly s supernodes whose sizes differ by at most one (a k-d tree); cost n log n. Default
`Balanced("curve")` the same sizes, by one sort along a Hilbert curve: faster, less compact
`Voxel()`           a grid of floor(s^(1/d)) voxels an axis, as in the paper; often only s / 2 are occupied
`KMeans()`          at most s compact supernodes (Lloyd's algorithm); cost n s for each iteration
`FarthestPoint()`   exactly s supernodes around seeds that cover the cloud evenly; cost n s
=================== ======================================================================================

A partition depends on the positions alone, not on the batch. It is permutation-equivariant, except that the
index breaks ties between nodes at the same position. Indices carry no gradient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.knn import floating, padded_rows, size_buckets
from noisefold.geometry.knn_brute_force import BLOCK, NOT_FINITE, squared_distances
from noisefold.geometry.segment import argsort_runs, segment_mean
from noisefold.geometry.single_thread import single_threaded
from noisefold.geometry.space_filling import hilbert_codes, lexicographic

__all__ = ["Balanced", "FarthestPoint", "KMeans", "Supernodes", "Voxel"]


@dataclass(frozen=True, eq=False)
class Supernodes:
    """A partition of the nodes of a ragged batch into m supernodes, also called clusters.

    Parameters
    ----------
    assignment
        Supernode of each node, ``[n]``, int64; those of graph i are ``ptr[i] .. ptr[i + 1] - 1``.
    ptr
        Offsets of the graphs' supernodes, ``[g + 1]``, int64.
    """

    assignment: Tensor
    ptr: Tensor

    def __len__(self) -> int:
        """Return the number m of supernodes of all graphs together."""
        return int(self.ptr[-1])

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over the members of each supernode, ``[n, c] -> [m, c]``; differentiable."""
        return segment_mean(values, self.assignment, len(self))


@configurable
@dataclass(frozen=True)
class Balanced:
    """Exactly s supernodes, of floor(n / s) or ceil(n / s) nodes each.

    Parameters
    ----------
    method
        "median": the leaves of a k-d tree, which splits at the median along the longest side of the bounding
        box, and then each half in turn (in proportion where a part becomes an odd number of supernodes).
        "curve": equal runs of the order along a Hilbert curve.

    Raises
    ------
    ValueError
        If the method is unknown, or on a call if a position is not finite.
    """

    method: str = "median"

    def __post_init__(self) -> None:
        if self.method not in ("median", "curve"):
            raise ValueError(f'method must be "median" or "curve", got {self.method!r}.')

    @single_threaded
    def __call__(self, pos: Tensor, ptr: Tensor, groups: int | Tensor) -> Supernodes:
        """Return `groups` supernodes for each graph ``ptr [g + 1]`` of ``pos [n, d]``."""
        pos, count = _prepared(pos, ptr, groups)
        order, bounds = self._runs(pos, ptr, count)
        assignment = torch.repeat_interleave(bounds.diff(), output_size=pos.shape[0])
        return Supernodes(_unsort(order, assignment), _offsets(count))

    @single_threaded
    def dense(self, pos: Tensor, groups: int) -> Tensor:
        """Return an order of the nodes in which supernodes are contiguous, for clouds of one size.

        Parameters
        ----------
        pos
            Positions, ``[b, n, d]``.
        groups
            Number s of supernodes.

        Returns
        -------
        Tensor
            ``[b, n]``, int64: supernode j of every cloud is ``order[:, j * n // s : (j + 1) * n // s]``. If s
            divides n, ``values.gather(1, order[..., None].expand_as(values)).view(b, s, n // s, c)`` are the
            values ``[b, n, c]`` by supernode.
        """
        b, n, d = pos.shape
        ptr = torch.arange(b + 1, device=pos.device) * n
        flat, count = _prepared(pos.reshape(b * n, d), ptr, groups)
        order, _ = self._runs(flat, ptr, count)
        return order.view(b, n) - ptr[:-1, None]

    def _runs(self, pos: Tensor, ptr: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
        """Return an order ``[n]`` of the nodes, and the bounds of the supernodes in it, ``[m + 1]``."""
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
    """Voxel grid: each side of the bounding box is cut into floor(s^(1/d)) equal parts.

    Only occupied voxels become supernodes, so there are fewer than s. Cost n log n.

    Source: Geometric Generative Modeling with Noise-Conditioned Graph Networks
    (https://arxiv.org/abs/2507.09391), appendix B.1.1.
    """

    @single_threaded
    def __call__(self, pos: Tensor, ptr: Tensor, groups: int | Tensor) -> Supernodes:
        """Return at most `groups` supernodes for each graph ``ptr [g + 1]`` of ``pos [n, d]``."""
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
    """K-means by Lloyd's algorithm, initialised by ``Balanced("curve")``; empty clusters are dropped.

    Parameters
    ----------
    iterations
        Maximum number of iterations; it stops early at a fixed point. 0 returns the initial partition.

    Raises
    ------
    ValueError
        If iterations is negative, or on a call if a position is not finite.
    """

    iterations: int = 10

    def __post_init__(self) -> None:
        if self.iterations < 0:
            raise ValueError(f"iterations must be 0 or more, got {self.iterations}.")

    @single_threaded
    def __call__(self, pos: Tensor, ptr: Tensor, groups: int | Tensor) -> Supernodes:
        """Return at most `groups` supernodes for each graph ``ptr [g + 1]`` of ``pos [n, d]``."""
        pos, count = _prepared(pos, ptr, groups)
        order = lexicographic(pos, ptr)
        pos = pos[order]
        start = Balanced("curve")(pos, ptr, count)
        assignment, centre = start.assignment, start.mean(pos)
        for _ in range(self.iterations):
            closest = _closest(pos, ptr, centre, start.ptr)
            if torch.equal(closest, assignment):
                break
            assignment = closest
            empty = torch.bincount(assignment, minlength=len(start)) == 0
            centre = torch.where(empty[:, None], centre, segment_mean(pos, assignment, len(start)))
        graph = torch.repeat_interleave(ptr.diff(), output_size=pos.shape[0])
        occupied = _occupied(assignment, graph, count.numel())
        return Supernodes(_unsort(order, occupied.assignment), occupied.ptr)


@configurable
@dataclass(frozen=True)
class FarthestPoint:
    """Farthest-point sampling of exactly s seeds; each node joins its nearest seed (a Voronoi partition).

    Each seed is the node farthest from all seeds before it, the first the node farthest from the mean of its
    graph.

    Source: Eldar et al., The Farthest Point Strategy for Progressive Image Sampling (1997),
    https://doi.org/10.1109/83.623193.
    """

    @single_threaded
    def __call__(self, pos: Tensor, ptr: Tensor, groups: int | Tensor) -> Supernodes:
        """Return `groups` supernodes for each graph ``ptr [g + 1]`` of ``pos [n, d]``."""
        pos, count = _prepared(pos, ptr, groups)
        order = lexicographic(pos, ptr)
        pos = pos[order]
        offsets = _offsets(count)
        graph = torch.repeat_interleave(ptr.diff(), output_size=pos.shape[0])
        centre = segment_mean(pos, graph, count.numel())
        assignment = offsets[graph]
        for graphs, cloud in size_buckets(pos, ptr):
            real, row = padded_rows(ptr, graphs, cloud.shape[1])
            local = _farthest(cloud, real, centre[graphs], count[graphs])
            assignment[row[real]] += local[real]
        return Supernodes(_unsort(order, assignment), offsets)


def _prepared(pos: Tensor, ptr: Tensor, groups: int | Tensor) -> tuple[Tensor, Tensor]:
    """Return positions in a floating type, and the number of supernodes of each graph, ``[g]``."""
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


def _unsort(order: Tensor, assignment: Tensor) -> Tensor:
    """Return the assignment ``[n]`` of the nodes, from that of the nodes in another order."""
    out = torch.empty_like(assignment)
    out[order] = assignment
    return out


def _occupied(assignment: Tensor, graph: Tensor, graphs: int) -> Supernodes:
    """Renumber the supernodes that have a member, graph after graph; each belongs to one graph."""
    used, number = torch.unique(assignment, return_inverse=True)
    owner = graph.new_empty(used.shape[0])
    owner[number] = graph
    return Supernodes(number, _offsets(torch.bincount(owner, minlength=graphs)))


def _box(pos: Tensor, ptr: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lowest and highest coordinates ``[m, d]`` of runs of nodes; 0 for an empty run."""
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
    """Return where a group of a graph begins; the groups then have floor(n / s) or ceil(n / s) nodes."""
    return ptr[graph] + group * ptr.diff()[graph] // count[graph]


def _medians(pos: Tensor, ptr: Tensor, count: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
    """Return the order ``[n]`` and bounds ``[m + 1]`` of median splits, made in all graphs at once."""
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
    """Return the index ``[n]`` of each node on the Hilbert curve in its graph's bounding cube, int32."""
    axes = min(pos.shape[1], 31)
    bits = 31 // axes
    low, high = _box(pos, ptr)
    side = (high - low).amax(1, keepdim=True)
    graph = torch.repeat_interleave(ptr.diff(), output_size=pos.shape[0])
    place = (pos - low[graph]) / torch.where(side > 0, side, 1.0)[graph]
    coordinates = (place[:, :axes] * 2.0**bits).long().clamp(max=2**bits - 1)
    return hilbert_codes(coordinates.int(), bits)


def _root(count: Tensor, d: int) -> Tensor:
    """Return the largest integers whose d-th power is at most `count`, and at least 1."""
    root = count.double().pow(1 / d).round().long()
    root = root - (root**d > count).long()
    return root.clamp(min=1)


def _closest(pos: Tensor, ptr: Tensor, centre: Tensor, offsets: Tensor) -> Tensor:
    """Return the supernode ``[n]`` with the closest centre in its own graph, the first of equals."""
    assignment = torch.repeat_interleave(offsets[:-1], ptr.diff(), output_size=pos.shape[0])
    for graphs, cloud in size_buckets(pos, ptr):
        m, d = cloud.shape[1:]
        real, row = padded_rows(ptr, graphs, m)
        have, at = padded_rows(offsets, graphs, int(offsets.diff()[graphs].max()))
        around = centre.new_full((*have.shape, d), torch.inf)
        around[have] = centre[at[have]]
        step = max(1, BLOCK // have.numel())
        parts = [squared_distances(cloud[:, i : i + step], around).argmin(2) for i in range(0, m, step)]
        assignment[row[real]] += torch.cat(parts, 1)[real]
    return assignment


def _farthest(cloud: Tensor, real: Tensor, centre: Tensor, count: Tensor) -> Tensor:
    """Return the supernode ``[b, m]`` of each node of ``cloud [b, m, d]``, the first of equals."""
    row = torch.arange(cloud.shape[0], device=cloud.device)
    assignment = torch.zeros_like(real, dtype=torch.int64)
    seed = squared_distances(cloud, centre[:, None])[:, :, 0].masked_fill(~real, -1.0).argmax(1)
    gap = torch.full_like(cloud[:, :, 0], torch.inf).masked_fill(~real, -1.0)
    for j in range(int(count.max())):
        wanted = j < count
        distance = squared_distances(cloud, cloud[row, seed][:, None])[:, :, 0]
        nearer = (distance < gap) & wanted[:, None]
        nearer[row, seed] |= wanted
        assignment = torch.where(nearer, j, assignment)
        gap = torch.where(nearer, distance, gap)
        # A seed never joins another supernode and is never chosen again, even among coincident nodes.
        gap[row[wanted], seed[wanted]] = -1.0
        seed = gap.argmax(1)
    return assignment
