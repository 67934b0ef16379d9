r"""Search for the nearest nodes, in batches of small clouds and in single large ones.

For a node i the order of the others is that of ``(|p_i - p_j|^2, j)``: by distance, and by index where distances
are equal. Distances come from differences of coordinates, never from :math:`|p|^2 - 2 p q + |q|^2`, so that clouds
far from the origin lose no digits.

Small clouds are searched by brute force: all squared distances of a cloud; an upper bound for the k-th smallest of
each row, which is the k-th smallest of the minima of disjoint sets of columns; then only the few entries below the
bound are sorted. Large ones are searched with a k-d tree (`scipy.spatial.cKDTree`), linear in the number of nodes
up to a logarithm.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.spatial import cKDTree
from torch import Tensor

__all__ = ["knn_dense", "nearest", "squared_distances"]

_Array = npt.NDArray[Any]
# Squared distances that one worker holds at once: 2.5 MB in float32, so that they stay near the core.
_BLOCK = 640_000
# Nodes of a cloud from which a tree is faster than all pairs, on a CPU (measured) and on an accelerator (a guess).
_TREE = 2_000
_TREE_ACCELERATOR = 32_768


def knn_dense(pos: Tensor, k: int, loop: bool = True) -> Tensor:
    """Nearest nodes of each node, in clouds of one size.

    Parameters
    ----------
    pos
        Positions, ``[b, s, d]``.
    k
        Neighbours of each node, cut to what there is: s with the node itself, s - 1 without.
    loop
        Whether a node is the first of its own k neighbours.

    Returns
    -------
    Tensor
        Indices into the cloud, ``[b, s, min(k, s - 1 + loop)]``, int64, nearest first, ties by index.

    Raises
    ------
    ValueError
        If k is below 1, pos is not ``[b, s, d]``, or a position or distance is not finite.
    """
    if pos.ndim != 3:
        raise ValueError(f"pos must be [b, s, d], got shape {list(pos.shape)}.")
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}.")
    b, s, _ = pos.shape
    index = _search(_floating(pos.detach()), None, min(k - loop, s - 1) if s else 0)
    if not loop:
        return index
    own = torch.arange(s, device=pos.device).view(1, s, 1).expand(b, s, 1)
    return torch.cat([own, index], 2)


def nearest(pos: Tensor, ptr: Tensor, k: int) -> Tensor:
    """The k nearest other nodes of each node, in its own graph.

    Parameters
    ----------
    pos
        Positions, ``[n, d]``.
    ptr
        Offsets of the graphs, ``[g + 1]``.
    k
        Neighbours asked for, 0 or more.

    Returns
    -------
    Tensor
        Rows of `pos`, ``[n, w]``, int64, nearest first, ties by index, with w the smaller of k and what the
        largest graph has; -1 at the end of a row whose graph has fewer.

    Raises
    ------
    ValueError
        If a position or a distance is not finite.
    """
    pos = _floating(pos.detach())
    sizes = ptr.diff()
    n, m = pos.shape[0], int(sizes.max()) if sizes.numel() else 0
    width = max(min(k, m - 1), 0)
    if width and n == m * sizes.numel():
        local = _search(pos.view(-1, m, pos.shape[1]), None, width)
        return (local + ptr[:-1].view(-1, 1, 1)).view(n, width)
    table = ptr.new_full((n, width), -1)
    for graphs in _alike(sizes) if width else ():
        count, start = sizes[graphs], ptr[:-1][graphs]
        size = int(count.max())
        real = torch.arange(size, device=pos.device) < count[:, None]
        rows = torch.arange(size, device=pos.device) + start[:, None]
        cloud = pos.new_full((*rows.shape, pos.shape[1]), torch.inf)
        cloud[real] = pos[rows[real]]
        local = _search(cloud, count, min(k, size - 1))
        found = torch.where(local < 0, local, local + start[:, None, None])
        table[rows[real], : local.shape[2]] = found[real]
    return table


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances between the points of two batches of clouds, ``[..., p, d], [..., q, d] -> [..., p, q]``."""
    left, right = a.movedim(-1, 0).contiguous(), b.movedim(-1, 0).contiguous()
    total = (left[0].unsqueeze(-1) - right[0].unsqueeze(-2)).square_()
    for p, q in zip(left[1:], right[1:], strict=True):
        difference = p.unsqueeze(-1) - q.unsqueeze(-2)
        total.addcmul_(difference, difference)
    return total


def _floating(pos: Tensor) -> Tensor:
    return pos if pos.dtype in (torch.float32, torch.float64) else pos.float()


def _alike(sizes: Tensor) -> Iterator[Tensor]:
    """Graphs of two nodes and more in sets of about one size, within a fifth, to be padded to the largest."""
    kind = torch.where(sizes > 1, (sizes.double().log() * 5).long(), -1)
    for value in kind.unique().tolist():
        if value >= 0:
            yield (kind == value).nonzero().view(-1)


def _search(cloud: Tensor, count: Tensor | None, k: int) -> Tensor:
    """Local indices ``[b, m, k]`` of the k nearest others, -1 where missing; clouds end after `count` nodes."""
    b, m, d = cloud.shape
    if k <= 0 or b == 0:
        return torch.empty(b, m, max(k, 0), dtype=torch.int64, device=cloud.device)
    if d == 0:
        raise ValueError("pos must have at least one coordinate, got [n, 0].")
    have = torch.full((b,), m) if count is None else count.cpu()
    if m > (_TREE if cloud.device.type == "cpu" else _TREE_ACCELERATOR):
        points = cloud.double().cpu().numpy()
        out = np.full((b, m, k), -1)
        for i, n in enumerate(have.tolist()):
            found = _tree(points[i, :n], min(k, n - 1))
            out[i, :n, : found.shape[1]] = found
        return torch.from_numpy(out).to(cloud.device)
    if cloud.device.type != "cpu":
        return _brute_device(cloud, have.to(cloud.device), k)
    return _brute_host(cloud, have.numpy(), k)


def _brute_host(cloud: Tensor, have: _Array, k: int) -> Tensor:
    b, m, _ = cloud.shape
    out = np.empty((b, m, k), np.int64)
    step = max(1, _BLOCK // (m * m))
    for i in range(0, b, step):
        part = cloud[i : i + step]
        distances = squared_distances(part, part)
        distances.diagonal(dim1=1, dim2=2).fill_(torch.inf)
        _lowest(distances, have[i : i + step], out[i : i + step])
    return torch.from_numpy(out)


def _lowest(distances: Tensor, have: _Array, out: _Array) -> None:
    """Write the columns of the k lowest entries of each row of symmetric ``[b, m, m]`` into `out` ``[b, m, k]``."""
    b, m, k = out.shape
    dense = distances.numpy()
    below = dense <= _bound(dense, k)
    hits = _where(below.reshape(-1))
    row, value = hits // m, dense.reshape(-1)[hits]
    found = np.bincount(row, minlength=b * m).reshape(b, m)
    wanted = np.minimum(have - 1, k)[:, None] * (np.arange(m) < have[:, None])
    if (found < wanted).any():
        raise ValueError("pos must be finite, with distances below the largest number of its type.")
    start = np.cumsum(found) - found.reshape(-1)
    column = hits - row * m
    if value.dtype == np.float32:
        bits = (m - 1).bit_length()
        keys = (row << 31 | value.view(np.int32)) << bits | column
        keys.sort()
        column = keys & ((1 << bits) - 1)
    else:
        column = column[np.lexsort((column, value, row))]
    place = start[:, None] + np.arange(k)
    np.take(column, place, mode="clip", out=out.reshape(b * m, k))
    if (have <= k).any():
        out[np.arange(k) >= wanted[:, :, None]] = -1


def _bound(dense: _Array, k: int) -> _Array:
    """An upper bound ``[b, m, 1]``, nearly tight and finite, of the k-th lowest entry of each row."""
    m = dense.shape[1]
    minima = dense
    while (half := (m + 1) // 2) >= 3 * k:
        minima = np.minimum(minima[:, :half], minima[:, m - half :])
        m = half
    columns = np.ascontiguousarray(minima.transpose(0, 2, 1))
    if k < m:
        columns.partition(k - 1, axis=2)
        kth = columns[:, :, k - 1 : k]
    else:
        kth = np.full((*columns.shape[:2], 1), np.inf, dense.dtype)
    return np.minimum(kth, np.finfo(dense.dtype).max)


def _where(flags: _Array) -> _Array:
    """Indices of the true among sparse flags: first of words of eight flags, then inside those that have any."""
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
    rows = max(1, min(m, (1 << 27) // m))
    step = max(1, (1 << 27) // (rows * m))
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
        raise ValueError("pos must be finite, with distances below the largest number of its type.")
    return index


def _lowest_device(distances: Tensor, k: int) -> Tensor:
    if distances.dtype == torch.float32:
        column = torch.arange(distances.shape[2], device=distances.device)
        keys = (distances.view(torch.int32).long() << 32 | column).topk(k, 2, largest=False).values
        index, value = keys & 0xFFFFFFFF, (keys >> 32).int().view(torch.float32)
    else:
        value, index = (t[:, :, :k] for t in distances.sort(dim=2, stable=True))
    return torch.where(value.isfinite(), index, -1)


def _tree(points: _Array, k: int) -> _Array:
    """The k nearest others ``[n, k]`` by a tree; ties beyond four times k keep the order of the tree."""
    if not np.isfinite(points).all():
        raise ValueError("pos must be finite, with distances below the largest number of its type.")
    tree = cKDTree(points, balanced_tree=False)
    own = tree.indices  # the order of the leaves: queries that follow one another then walk the same branches
    workers = torch.get_num_threads()
    distance, index = tree.query(points[own], k=min(k + 2, len(points)), workers=workers)
    found = index[:, 1 : k + 1].copy()
    tied = np.flatnonzero((distance[:, 1:] == distance[:, :-1]).any(1))
    if tied.size:
        wide = min(4 * (k + 2), len(points))
        distance, index = tree.query(points[own[tied]], k=wide, workers=workers)
        distance[index == own[tied, None]] = -1.0
        order = np.lexsort((index, distance), axis=1)
        found[tied] = np.take_along_axis(index, order, 1)[:, 1 : k + 1]
    out = np.empty_like(found)
    out[own] = found
    return out
