r"""Sums, means, maxima and softmaxes over segments, and sorting inside them.

A segment is a set of rows that share a value of ``index``: the nodes of a graph, the members of a cell, the
edges into a node. For values ``v_j`` and segments ``S_i = {j : index_j = i}``

.. math:: \mathrm{sum}_i = \sum_{j \in S_i} v_j, \qquad
          \mathrm{softmax}_j = \frac{\exp(v_j - m_i)}{\sum_{l \in S_i} \exp(v_l - m_i)}, \quad
          m_i = \max_{j \in S_i} v_j.

All reductions are differentiable, and on a CPU deterministic: a segment is added up in the order of its rows,
so that its result does not depend on which other segments stand beside it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["argsort_runs", "segment_max", "segment_mean", "segment_softmax", "segment_sum"]


def segment_sum(values: Tensor, index: Tensor, size: int) -> Tensor:
    """Sum of the rows of each segment; 0 where a segment is empty.

    Parameters
    ----------
    values
        ``[n, ...]``.
    index
        Segment of each row, ``[n]``, int64, from 0 to size - 1, in any order.
    size
        Number of segments.

    Returns
    -------
    Tensor
        ``[size, ...]``.

    Raises
    ------
    ValueError
        If index is not one int64 number for each row of values.
    """
    _check(values, index)
    return values.new_zeros(size, *values.shape[1:]).index_add(0, index, values)


def segment_mean(values: Tensor, index: Tensor, size: int) -> Tensor:
    """Mean of the rows of each segment, ``[n, ...] -> [size, ...]``; 0 where a segment is empty."""
    total = segment_sum(values, index, size)
    counts = torch.bincount(index, minlength=size).clamp(min=1).to(values.dtype)
    return total / counts.view(-1, *[1] * (values.ndim - 1))


def segment_max(values: Tensor, index: Tensor, size: int, fill: float = 0.0) -> Tensor:
    """Largest entry of each segment, ``[n, ...] -> [size, ...]``; `fill` where a segment is empty.

    Where several rows attain the maximum they share its gradient equally.
    """
    _check(values, index)
    start = values.new_full((size, *values.shape[1:]), fill)
    return start.scatter_reduce(0, _spread(index, values), values, "amax", include_self=False)


def segment_softmax(values: Tensor, index: Tensor, size: int) -> Tensor:
    """Softmax within each segment, ``[n, ...] -> [n, ...]``, safe from overflow at any size of the values."""
    peak = segment_max(values.detach(), index, size)
    weights = (values - peak.index_select(0, index)).exp()
    return weights / segment_sum(weights, index, size).index_select(0, index)


def argsort_runs(values: Tensor, ptr: Tensor) -> Tensor:
    """Order that sorts each run of values; equal values keep their order.

    Parameters
    ----------
    values
        ``[n]``, floating without NaN, or int32.
    ptr
        Offsets of the runs, ``[m + 1]``, int64, from 0 to n.

    Returns
    -------
    Tensor
        Rows of `values`, ``[n]``, int64: run after run, ascending inside each.
    """
    n = values.shape[0]
    if n == 0:
        return ptr.new_empty(0)
    lengths = ptr.diff()
    run = torch.repeat_interleave(lengths, output_size=n)
    place_bits = (int(lengths.max()) - 1).bit_length()
    wide = (lengths.numel() - 1).bit_length() + 32 + place_bits > 63
    if wide or values.dtype not in (torch.float32, torch.int32):
        order = torch.argsort(values, stable=True)
        return order[torch.argsort(run[order], stable=True)]
    # run, value and place make one integer each, distinct and ordered as asked, for one plain sort.
    start = ptr[:-1].index_select(0, run)
    place = torch.arange(n, device=values.device) - start
    keys = _sort(((run << 32 | _rank(values)) << place_bits) | place)
    return (keys & ((1 << place_bits) - 1)) + start


def _rank(values: Tensor) -> Tensor:
    """Numbers in 0 .. 2^32 - 1 in the order of float32 or int32 values; both zeros have one."""
    if values.dtype == torch.float32:
        bits = (values + 0.0).view(torch.int32)
        values = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return values.long() + (1 << 31)


def _sort(keys: Tensor) -> Tensor:
    if keys.device.type != "cpu":
        return keys.sort().values
    np.ndarray.sort(keys.numpy())  # several times faster than torch's, where NumPy has vector instructions
    return keys


def _spread(index: Tensor, values: Tensor) -> Tensor:
    return index.view(-1, *[1] * (values.ndim - 1)).expand_as(values)


def _check(values: Tensor, index: Tensor) -> None:
    if index.dtype != torch.int64 or index.shape != values.shape[:1]:
        raise ValueError(
            f"index must be int64 {list(values.shape[:1])}, one segment for each row of values, "
            f"got {index.dtype} {list(index.shape)}."
        )
