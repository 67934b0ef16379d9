r"""Segment reductions (scatter sum, mean, max and softmax) and sorting within segments.

A segment is a set of rows that share a value of ``index``: the nodes of a graph, the members of a supernode,
the edges into a node. For values :math:`v_j` and segments :math:`S_i = \{j : \mathrm{index}_j = i\}`

.. math:: \mathrm{sum}_i = \sum_{j \in S_i} v_j, \qquad
          \mathrm{softmax}_j = \frac{\exp(v_j - m_i)}{\sum_{l \in S_i} \exp(v_l - m_i)}, \quad
          m_i = \max_{j \in S_i} v_j.

All reductions are differentiable. On a CPU they are deterministic: a segment is summed in the order of its
rows, so its result does not depend on the other segments.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["argsort_runs", "segment_max", "segment_mean", "segment_softmax", "segment_sum"]


def segment_sum(values: Tensor, index: Tensor, size: int) -> Tensor:
    """Return the sum of the rows of each segment; 0 for an empty segment.

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
    """Return the mean of the rows of each segment, ``[n, ...] -> [size, ...]``; 0 for an empty segment."""
    total = segment_sum(values, index, size)
    counts = torch.bincount(index, minlength=size).clamp(min=1).to(values.dtype)
    return total / counts.view(-1, *[1] * (values.ndim - 1))


def segment_max(values: Tensor, index: Tensor, size: int, fill: float = 0.0) -> Tensor:
    """Return the maximum of each segment, ``[n, ...] -> [size, ...]``; `fill` for an empty segment.

    Rows that attain the maximum share its gradient equally.
    """
    _check(values, index)
    start = values.new_full((size, *values.shape[1:]), fill)
    return start.scatter_reduce(0, _spread(index, values), values, "amax", include_self=False)


def segment_softmax(values: Tensor, index: Tensor, size: int) -> Tensor:
    """Return the softmax within each segment, ``[n, ...] -> [n, ...]``; it never overflows."""
    peak = segment_max(values.detach(), index, size)
    weights = (values - peak.index_select(0, index)).exp()
    return weights / segment_sum(weights, index, size).index_select(0, index)


def argsort_runs(values: Tensor, ptr: Tensor) -> Tensor:
    """Return the order that sorts each run of values; a stable segmented argsort.

    Parameters
    ----------
    values
        ``[n]``, floating without NaN, or int32.
    ptr
        Offsets of the runs, ``[m + 1]``, int64, from 0 to n.

    Returns
    -------
    Tensor
        Rows of `values`, ``[n]``, int64: run after run, ascending within each.
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
    # Run, value and place form one integer each, distinct and in the order wanted, for a single plain sort.
    start = ptr[:-1].index_select(0, run)
    place = torch.arange(n, device=values.device) - start
    keys = _sort(((run << 32 | _rank(values)) << place_bits) | place)
    return (keys & ((1 << place_bits) - 1)) + start


def _rank(values: Tensor) -> Tensor:
    """Map float32 or int32 values to 0 .. 2^32 - 1 in their order; both zeros map to one number."""
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
