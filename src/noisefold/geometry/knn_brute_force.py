r"""Brute-force k-nearest-neighbour search in small clouds: all squared distances, then the k lowest of a row.

The k-th lowest entry of a row is at most the k-th lowest of the minima over disjoint sets of columns. With a
few times k sets this bound is nearly tight: about one entry more than k lies below it. The search takes the
minima, selects the bound among them, compares, and sorts the few remaining entries. If k is a large part of
the cloud, entries are selected directly. Both ways are exact, ties included.
"""

from __future__ import annotations

from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from noisefold.geometry.single_thread import available_threads, parallel_for

__all__ = ["BLOCK", "MANY", "NOT_FINITE", "brute_force", "squared_distances"]

_Array = npt.NDArray[Any]
NOT_FINITE = (
    "pos must be finite with finite squared distances, but holds nan, inf or numbers that are too large."
)
#: Squared distances held at once: 2.5 MB in float32, which fit into the cache of a core.
BLOCK = 640_000
_BLOCK_DEVICE = 1 << 27
#: Up to this many columns per neighbour, direct selection is faster than bounds or trees (measured).
MANY = 10


def brute_force(cloud: Tensor, count: Tensor, k: int) -> Tensor:
    """Return the k nearest other nodes of each node.

    Parameters
    ----------
    cloud
        Positions, ``[b, m, d]``, padded with infinity after the end of a cloud.
    count
        Nodes of each cloud, ``[b]``, at most m.
    k
        Neighbours of each node, 1 to m - 1.

    Returns
    -------
    Tensor
        Indices into the cloud, ``[b, m, k]``, int64, nearest first, ties by index, -1 where missing.

    Raises
    ------
    ValueError
        If a position or a distance is not finite.
    """
    if cloud.device.type == "cpu":
        return _brute_host(cloud, count.numpy(), k)
    return _brute_device(cloud, count, k)


def squared_distances(a: Tensor, b: Tensor, out: Tensor | None = None, work: Tensor | None = None) -> Tensor:
    """Return squared distances between the points of two clouds, ``[..., p, d], [..., q, d] -> [..., p, q]``.

    `out` and `work`, ``[..., p, q]``, are buffers that repeated calls reuse.
    """
    left, right = a.movedim(-1, 0).contiguous().unsqueeze(-1), b.movedim(-1, 0).contiguous().unsqueeze(-2)
    total = torch.sub(left[0], right[0], out=out).square_()
    for p, q in zip(left[1:], right[1:], strict=True):
        work = torch.sub(p, q, out=work)
        total.addcmul_(work, work)
    return total


def _brute_host(cloud: Tensor, have: _Array, k: int) -> Tensor:
    b, m, _ = cloud.shape
    index = np.empty((b, m, k), np.int64)
    if m * m > BLOCK and cloud.dtype == torch.float32 and m <= MANY * k:
        _brute_rows(cloud, have, index)
        return torch.from_numpy(index)
    step = min(b, max(1, BLOCK // (m * m)))
    first = range(0, b, step)
    workers = min(available_threads(), len(first))
    memory: SimpleQueue[tuple[Tensor, Tensor, _Array]] = SimpleQueue()
    for _ in range(workers):
        out, work = cloud.new_empty(2, step, m, m)
        memory.put((out, work, np.empty((step, m, m), np.bool_)))

    def block(i: int) -> None:
        own = out, work, flags = memory.get()
        part = cloud[i : i + step]
        c = part.shape[0]
        try:
            distances = squared_distances(part, part, out[:c], work[:c])
            distances.diagonal(dim1=1, dim2=2).fill_(torch.inf)
            _lowest(distances.numpy(), have[i : i + c], index[i : i + c], flags[:c])
        finally:
            memory.put(own)  # other workers wait for it, even if this block raised

    parallel_for(block, first, workers)
    return torch.from_numpy(index)


def _brute_rows(cloud: Tensor, have: _Array, index: _Array) -> None:
    """Write neighbours to ``index [b, m, k]``, a block of rows at a time, for clouds beyond `BLOCK`."""
    b, m, _ = index.shape
    rows = max(1, BLOCK // m)
    for i in range(b):
        for first in range(0, m, rows):
            part = cloud[i : i + 1, first : first + rows]
            distances = squared_distances(part, cloud[i : i + 1])
            own = torch.arange(part.shape[1])
            distances[0, own, first + own] = torch.inf
            here = index[i : i + 1, first : first + rows]
            real = np.arange(first, first + part.shape[1]) < have[i]
            _complete(_by_keys(distances.numpy(), here), have[i : i + 1], real[None], here)


def _lowest(dense: _Array, have: _Array, index: _Array, flags: _Array) -> None:
    """Write the columns of the k lowest entries of symmetric ``dense [b, m, m]`` to ``index [b, m, k]``."""
    m, k = index.shape[1:]
    if dense.dtype == np.float32 and m <= MANY * k:
        found = _by_keys(dense, index)
    else:
        found = _by_bound(dense, index, flags)
    _complete(found, have, np.arange(m) < have[:, None], index)


def _complete(found: _Array, have: _Array, real: _Array, index: _Array) -> None:
    """Raise if a row of ``real [b, m]`` lacks neighbours that exist; write -1 after the last neighbour."""
    k = index.shape[2]
    wanted = np.minimum(have - 1, k)[:, None] * real
    if (found < wanted).any():
        raise ValueError(NOT_FINITE)
    if (have <= k).any():
        index[np.arange(k) >= wanted[:, :, None]] = -1


def _by_keys(dense: _Array, index: _Array) -> _Array:
    """Select and sort integers made of entry and column; return how many of k are finite, ``[b, m]``."""
    m, k = dense.shape[2], index.shape[2]
    bits = (m - 1).bit_length()
    keys = dense.view(np.int32).astype(np.int64) << bits
    keys |= np.arange(m)
    keys.partition(k - 1, axis=2)
    lowest = np.sort(keys[:, :, :k], axis=2)
    np.bitwise_and(lowest, (1 << bits) - 1, out=index)
    infinity = int(np.float32(np.inf).view(np.int32)) << bits
    found: _Array = ((lowest >= 0) & (lowest < infinity)).sum(2)
    return found


def _by_bound(dense: _Array, index: _Array, flags: _Array) -> _Array:
    """Sort the entries below a bound of the k-th lowest; return their number in each row, ``[b, m]``."""
    b, m, k = index.shape
    hits = _where(np.less_equal(dense, _bound(dense, k), out=flags).reshape(-1))
    row, value = hits // m, dense.reshape(-1)[hits]
    found = np.bincount(row, minlength=b * m)
    start = np.cumsum(found) - found
    column = hits - row * m
    if value.dtype == np.float32:
        bits = (m - 1).bit_length()
        keys = (row << 31 | value.view(np.int32)) << bits | column
        keys.sort()
        column = keys & ((1 << bits) - 1)
    else:
        column = column[np.lexsort((column, value, row))]
    if hits.size:
        np.take(column, start[:, None] + np.arange(k), mode="clip", out=index.reshape(b * m, k))
    return found.reshape(b, m)


def _bound(dense: _Array, k: int) -> _Array:
    """Return a nearly tight, finite upper bound ``[b, m, 1]`` of the k-th lowest entry of each row."""
    m = dense.shape[1]
    minima = dense
    if (each := m // (3 * k)) > 1:
        m //= each
        minima = np.minimum.reduce(dense[:, : each * m].reshape(-1, each, m, dense.shape[2]), axis=1)
    columns = np.ascontiguousarray(minima.transpose(0, 2, 1))
    if k < m:
        columns.partition(k - 1, axis=2)
        kth = columns[:, :, k - 1 : k]
    else:
        kth = np.full((*columns.shape[:2], 1), np.inf, dense.dtype)
    bound: _Array = np.minimum(kth, np.finfo(dense.dtype).max)
    return bound


def _where(flags: _Array) -> _Array:
    """Return the indices of sparse true flags ``[n]``: find words of eight flags first, then look inside."""
    whole = flags.size // 8 * 8
    words = flags[:whole].view(np.uint64)
    some = np.flatnonzero(words != 0)
    inside = np.flatnonzero(words[some].view(np.bool_))
    hits = (some[inside >> 3] << 3) + (inside & 7)
    rest = np.flatnonzero(flags[whole:])
    return np.concatenate([hits, rest + whole]) if rest.size else hits


def _brute_device(cloud: Tensor, have: Tensor, k: int) -> Tensor:
    b, m, _ = cloud.shape
    column = torch.arange(m, device=cloud.device)
    rows = max(1, min(m, _BLOCK_DEVICE // m))
    step = max(1, _BLOCK_DEVICE // (rows * m))
    parts = []
    for first in range(0, b, step):
        part = cloud[first : first + step]
        blocks = []
        for i in range(0, m, rows):
            distances = squared_distances(part[:, i : i + rows], part)
            distances[:, column[: distances.shape[1]], column[i : i + rows]] = torch.inf
            blocks.append(_lowest_device(distances, k))
        parts.append(torch.cat(blocks, 1))
    index = torch.cat(parts)
    real = column < have[:, None]
    if bool(((index < 0).sum(2)[real] != (k - (have - 1).clamp(max=k))[:, None].expand(b, m)[real]).any()):
        raise ValueError(NOT_FINITE)
    return index


def _lowest_device(distances: Tensor, k: int) -> Tensor:
    if distances.dtype == torch.float32:
        column = torch.arange(distances.shape[2], device=distances.device)
        keys = (distances.view(torch.int32).long() << 32 | column).topk(k, 2, largest=False).values
        index, value = keys & 0xFFFFFFFF, (keys >> 32).int().view(torch.float32)
    else:
        value, index = (t[:, :, :k] for t in distances.sort(dim=2, stable=True))
    return torch.where(value.isfinite(), index, -1)
