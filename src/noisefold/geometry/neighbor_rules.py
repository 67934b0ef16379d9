r"""Neighbour rules: k-nearest-neighbour, radius, complete and random graphs from positions.

A rule is called with positions ``[n, d]`` and offsets ``ptr [g + 1]`` of a ragged batch and returns
``edge_index [2, e]``, int64, as in PyG: sources in row 0, targets in row 1, sorted by target. A node with m
other nodes in its graph receives

================== ==============================================================================
`KNN(k)`           :math:`\min(k, m)` edges, from its nearest
`Radius(r)`        one edge from every node within distance r, at most `limit`, the nearest first
`Full()`           m edges, from all
`Random(k)`        :math:`\min(k, m)` edges, from a uniform random subset
`LongShort(k)`     :math:`\min(k, m)` edges, from its nearest and a uniform random subset of the rest
================== ==============================================================================

Edges never leave a graph, and a graph's edges do not depend on its batch. The sources of a target are sorted
by distance, ties by index (`Full`: by index). With ``loop=True`` a node is its own first neighbour (a
self-loop) and counts among its k; otherwise there are no self-loops.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.knn import knn, radius_pairs
from noisefold.geometry.segment import argsort_runs
from noisefold.geometry.single_thread import single_threaded

__all__ = ["KNN", "Full", "LongShort", "Radius", "Random", "knn_edges"]


@configurable
@dataclass(frozen=True)
class KNN:
    """k-nearest-neighbour graph: exactly ``min(k, others + loop)`` edges into each node.

    Parameters
    ----------
    k
        Edges into each node.
    loop
        Whether a node is its own first neighbour.

    Raises
    ------
    ValueError
        If k is below 1, or on a call if a position is not finite.
    """

    k: int
    loop: bool = False

    def __post_init__(self) -> None:
        _check_k(self.k)

    @single_threaded
    def __call__(self, pos: Tensor, ptr: Tensor) -> Tensor:
        """Return edges ``[2, e]`` for positions ``[n, d]`` of graphs ``ptr [g + 1]``."""
        return knn_edges(pos, ptr, self.k, self.loop)


@configurable
@dataclass(frozen=True)
class Radius:
    """Radius graph: edges from every node at most r away, in the unit of the positions.

    Parameters
    ----------
    r
        Radius, above 0, inclusive.
    limit
        Maximum number of edges into a node, the self-loop included; the nearest are kept. None: no limit.
    loop
        Whether a node is its own first neighbour.

    Raises
    ------
    ValueError
        If r is not above 0 or limit is below 1, or on a call if a position is not finite.
    """

    r: float
    limit: int | None = None
    loop: bool = False

    def __post_init__(self) -> None:
        if not self.r > 0:
            raise ValueError(f"r must be above 0, got {self.r}.")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit must be at least 1, or None for no limit, got {self.limit}.")

    @single_threaded
    def __call__(self, pos: Tensor, ptr: Tensor) -> Tensor:
        """Return edges ``[2, e]`` for positions ``[n, d]`` of graphs ``ptr [g + 1]``."""
        edges, runs = radius_pairs(pos, ptr, self.r, self.loop)
        if self.limit is None:
            return edges
        place = torch.arange(edges.shape[1], device=pos.device) - runs[edges[1]]
        return edges[:, place < self.limit]


@configurable
@dataclass(frozen=True)
class Full:
    """Complete graph: all n (n - 1) edges, or n^2 with self-loops, sorted by target, then by source."""

    loop: bool = False

    @single_threaded
    def __call__(self, pos: Tensor, ptr: Tensor) -> Tensor:
        """Return edges ``[2, e]`` for positions ``[n, d]`` of graphs ``ptr [g + 1]``."""
        sizes = ptr.diff()
        start, size = (t.repeat_interleave(sizes, output_size=pos.shape[0]) for t in (ptr[:-1], sizes))
        degree = size if self.loop else size - 1
        target = torch.repeat_interleave(degree)
        shift = start - (degree.cumsum(0) - degree)
        source = torch.arange(target.shape[0], device=pos.device) + shift.index_select(0, target)
        return torch.stack([source if self.loop else source + (source >= target), target])


@configurable
@dataclass(frozen=True)
class LongShort:
    """Edges from the nearest nodes and, for the long range, from random nodes of the same graph.

    Parameters
    ----------
    k
        Edges into each node.
    near
        How many of them come from the nearest nodes; None: half, rounded down. The others come from a uniform
        random subset of the remaining nodes. 0 is the published long-short baseline, without short edges.
    seed
        Seed of the random edges, which also depend on the size of the graph and the node's index in it.
    loop
        Whether a node is its own first neighbour.

    Raises
    ------
    ValueError
        If k is below 1 or near is not in 0..k, or on a call if a position is not finite.
    """

    k: int
    near: int | None = None
    seed: int = 0
    loop: bool = False

    def __post_init__(self) -> None:
        _check_k(self.k)
        if self.near is not None and not 0 <= self.near <= self.k:
            raise ValueError(f"near must lie in 0..{self.k}, or be None for half of k, got {self.near}.")

    @single_threaded
    def __call__(self, pos: Tensor, ptr: Tensor) -> Tensor:
        """Return edges ``[2, e]`` for positions ``[n, d]`` of graphs ``ptr [g + 1]``."""
        others = self.k - self.loop
        short = knn(pos, ptr, min(others, self.k // 2 if self.near is None else self.near))
        long = _draw(short, ptr, others - short.shape[1], self.seed)
        return _edges(torch.cat([short, _by_distance(pos, long)], 1), self.loop)


@configurable
@dataclass(frozen=True)
class Random:
    """Edges from a uniform random subset of k nodes of the same graph.

    Parameters
    ----------
    k
        Edges into each node.
    seed
        Seed of the edges, as in `LongShort`.
    loop
        Whether a node is its own first neighbour.

    Raises
    ------
    ValueError
        If k is below 1.
    """

    k: int
    seed: int = 0
    loop: bool = False

    def __post_init__(self) -> None:
        _check_k(self.k)

    @single_threaded
    def __call__(self, pos: Tensor, ptr: Tensor) -> Tensor:
        """Return edges ``[2, e]`` for positions ``[n, d]`` of graphs ``ptr [g + 1]``."""
        return LongShort(self.k, near=0, seed=self.seed, loop=self.loop)(pos, ptr)


@single_threaded
def knn_edges(pos: Tensor, ptr: Tensor, k: int | Tensor, loop: bool) -> Tensor:
    """Return the edges of `KNN`, for one k of all graphs or one for each, ``[g]``."""
    return _edges(knn(pos, ptr, k - int(loop)), loop)


def _check_k(k: int) -> None:
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}.")


def _edges(table: Tensor, loop: bool) -> Tensor:
    """Return edges from a table of sources ``[n, k]``, -1 where there is none."""
    n, k = table.shape
    own = torch.arange(n, device=table.device).unsqueeze(1)
    edges = table.new_empty(2, n, k + loop)
    edges[0, :, loop:], edges[1] = table, own
    if loop:
        edges[0, :, :1] = own
    edges = edges.view(2, -1)
    missing = edges[0] < 0
    return edges[:, ~missing] if bool(missing.any()) else edges


def _by_distance(pos: Tensor, table: Tensor) -> Tensor:
    """Sort each row of a table of sources ``[n, k]`` by distance, ties by index, -1 last."""
    table = table.sort(1).values
    away = (pos[table.clamp(min=0)] - pos.unsqueeze(1)).square().sum(2).masked_fill(table < 0, torch.inf)
    n, k = table.shape
    runs = torch.arange(n + 1, device=pos.device) * k
    return table.view(-1)[argsort_runs(away.view(-1), runs)].view(n, k)


def _draw(taken: Tensor, ptr: Tensor, k: int, seed: int) -> Tensor:
    """Draw k random nodes of each node's graph, outside itself and `taken [n, c]`: ``[n, k]``, padded by -1.

    Floyd's algorithm draws a uniform k-subset of the ranks of the m free nodes: for j = m - k .. m - 1 draw
    t in 0..j, and take t, or j if t is already taken. Skipping the nodes that are not free turns ranks into
    nodes.
    """
    n = taken.shape[0]
    sizes = ptr.diff()
    start, size = (t.repeat_interleave(sizes, output_size=n) for t in (ptr[:-1], sizes))
    row = torch.arange(n, device=ptr.device)
    free = size - 1 - (taken >= 0).sum(1)
    count = free.clamp(max=k)
    chosen = ptr.new_full((k, n), -1)
    for i in range(k):
        last = free - count + i
        t = _hash(seed, row - start, i) * (last + 1) >> 32
        t = torch.where((chosen[:i] == t).any(0), last, t)
        chosen[i] = torch.where(i < count, t, -1)
    closed = torch.cat([row.unsqueeze(1), taken], 1)
    closed = torch.where(closed < 0, n, closed - start.unsqueeze(1)).sort(1).values
    for node in closed.unbind(1):
        chosen += (chosen >= node) & (chosen >= 0)
    return torch.where(chosen < 0, chosen, chosen + start).mT.contiguous()


def _hash(seed: int, node: Tensor, step: int) -> Tensor:
    """Return pseudo-random integers in 0 .. 2^32 - 1, a function of the three numbers alone."""
    value = torch.full_like(node, seed & 0xFFFFFFFF)
    for number in (seed >> 32 & 0xFFFFFFFF, node, step):
        value = _mix(value ^ number)
    return value


def _mix(value: Tensor) -> Tensor:
    """Hash 32-bit integers bijectively ("lowbias32", https://nullprogram.com/blog/2018/07/31/)."""
    value = (value ^ value >> 16) * 0x7FEB352D & 0xFFFFFFFF
    value = (value ^ value >> 15) * 0x846CA68B & 0xFFFFFFFF
    return value ^ value >> 16
