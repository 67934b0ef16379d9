"""Nearest of other points: the k of one set that are nearest to each point of another, graph by graph."""

from __future__ import annotations

import torch
from torch import Tensor

from noisefold.geometry.knn import floating, padded_rows
from noisefold.geometry.knn_brute_force import BLOCK, NOT_FINITE, squared_distances
from noisefold.geometry.single_thread import single_threaded

__all__ = ["nearest"]


@single_threaded
def nearest(pos: Tensor, ptr: Tensor, sources: Tensor, source_ptr: Tensor, k: int) -> Tensor:
    """Return the k nearest sources of each point within its graph.

    Cost: all distances of a graph's points from its sources.

    Parameters
    ----------
    pos
        Positions of the points, ``[n, d]``.
    ptr
        Offsets of the graphs' points, ``[g + 1]``.
    sources, source_ptr
        Positions ``[m, d]`` of the sources, and the offsets ``[g + 1]`` of the graphs' sources.
    k
        At least 1.

    Returns
    -------
    Tensor
        Rows of `sources`, ``[n, w]``, int64, nearest first. w is k, or the largest number of sources of a
        graph if that is less; rows of graphs with fewer end in -1.

    Raises
    ------
    ValueError
        If a position is not finite, or k below 1.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}.")
    pos, sources = floating(pos), floating(sources).to(pos.dtype)
    if not bool(pos.isfinite().all()) or not bool(sources.isfinite().all()):
        raise ValueError(NOT_FINITE)
    have = source_ptr.diff()
    width = min(k, int(have.max()) if len(have) else 0)
    table = ptr.new_full((len(pos), width), -1)
    if not width or not len(pos):
        return table
    most, largest = int(have.max()), int(ptr.diff().max())
    step = max(1, BLOCK // (most * largest))
    for first in range(0, len(have), step):
        graphs = torch.arange(first, min(first + step, len(have)), device=ptr.device)
        real, rows = padded_rows(ptr, graphs, largest)
        given, at = padded_rows(source_ptr, graphs, most)
        points, around = (
            pos.new_zeros(*flag.shape, pos.shape[1]).index_put((flag,), values[where[flag]])
            for flag, where, values in ((real, rows, pos), (given, at, sources))
        )
        away = squared_distances(points, around).masked_fill(~given[:, None], torch.inf)
        found = away.topk(width, dim=2, largest=False)
        local = found.indices + source_ptr[graphs].view(-1, 1, 1)
        local = local.masked_fill(found.values.isinf(), -1)
        table[rows[real]] = local[real]
    return table
