r"""Search for the nearest nodes, in batches of small clouds and in single large ones.

The others of a node i are ordered by :math:`(|p_i - p_j|^2, j)`: by distance, and by index where distances
are equal. Distances come from differences of coordinates, never from :math:`|p|^2 - 2 p q + |q|^2`, so that
clouds far from the origin lose no digits.

Small clouds are searched by brute force, and so are those where k is a large part of the cloud (unless in
float64); others with a k-d tree (`scipy.spatial.cKDTree`), whose cost is linear in the number of nodes up to
a logarithm. Which of the two depends on the size of the cloud, k and the floating type alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from noisefold.geometry.brute import BLOCK, MANY, NOT_FINITE, brute_force, squared_distances
from noisefold.geometry.segment import argsort_runs
from noisefold.geometry.serial import serial, threads

__all__ = ["clouds", "floating", "knn_dense", "nearest", "places", "within"]

_Array = npt.NDArray[Any]
# Largest cloud searched by brute force. On a CPU the tree overtakes at 500 to 2,000 nodes, depending on
# dimension, k and threads (measured); on other devices not measured.
_BRUTE, _BRUTE_DEVICE = 800, 32_768


@serial
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
    count = torch.full((b,), s, device=pos.device)
    others = min(k - loop, s - 1) if s else 0
    pos = floating(pos)
    index = _search(pos, count, others, bool(_by_tree(pos, count, torch.full_like(count, others)).any()))
    if not loop or s == 0:
        return index
    own = torch.arange(s, device=pos.device).view(1, s, 1)
    return torch.cat([own.expand(b, s, 1), index], 2)


@serial
def nearest(pos: Tensor, ptr: Tensor, k: int | Tensor) -> Tensor:
    """The k nearest other nodes of each node, in its own graph.

    Parameters
    ----------
    pos
        Positions, ``[n, d]``.
    ptr
        Offsets of the graphs, ``[g + 1]``.
    k
        Neighbours asked for, 0 or more, one number for all graphs or one for each, ``[g]``.

    Returns
    -------
    Tensor
        Rows of `pos`, ``[n, w]``, int64, nearest first, ties by index, with w the most that a graph asks for
        and has; -1 at the end of a row whose graph has fewer.

    Raises
    ------
    ValueError
        If a position or a distance is not finite.
    """
    sizes = ptr.diff()
    wanted = torch.minimum(torch.as_tensor(k, device=ptr.device).expand_as(sizes), sizes - 1)
    width = max(int(wanted.max()), 0) if sizes.numel() else 0
    table = ptr.new_full((pos.shape[0], width), -1)
    pos = floating(pos)
    tree = _by_tree(pos, sizes, wanted)
    for graphs, cloud in clouds(pos, ptr, tree) if width else ():
        here = wanted[graphs]
        most, least = int(here.max()), int(here.min())
        local = _search(cloud, sizes[graphs], most, bool(tree[graphs[0]]))
        if least < most:
            local[torch.arange(most, device=ptr.device).expand_as(local) >= here[:, None, None]] = -1
        found = local + ptr[graphs].view(-1, 1, 1)
        if bool((local < 0).any()):
            found = torch.where(local < 0, local, found)
        if graphs.numel() == sizes.numel() and found.numel() == table.numel():
            return found.view_as(table)
        real, row = places(ptr, graphs, cloud.shape[1])
        table[row[real], : found.shape[2]] = found[real]
    return table


@serial
def within(pos: Tensor, ptr: Tensor, r: float, loop: bool = False) -> tuple[Tensor, Tensor]:
    """Pairs of nodes of the same graph at most r apart.

    Parameters
    ----------
    pos
        Positions, ``[n, d]``.
    ptr
        Offsets of the graphs, ``[g + 1]``.
    r
        Largest distance, itself allowed.
    loop
        Whether each node is paired with itself, before all others.

    Returns
    -------
    tuple of Tensor
        ``[2, e]``, int64 (source, target), sorted by target, distance and source, and the offsets ``[n + 1]``
        of each target's pairs.

    Raises
    ------
    ValueError
        If a position is not finite.
    """
    pos = floating(pos)
    if not bool(pos.isfinite().all()):
        raise ValueError(NOT_FINITE)
    n = pos.shape[0]
    own = torch.arange(n, device=pos.device)
    keys = [own * n + own] if loop else [own[:0]]
    for graphs, cloud in clouds(pos, ptr):
        which, target, source = _pairs(cloud, ptr.diff()[graphs], r)
        start = ptr[graphs[which]]
        keys.append((target + start) * n + source + start)
    pairs = torch.cat(keys).sort().values
    target, source = pairs // max(n, 1), pairs % max(n, 1)
    away = (pos[target] - pos[source]).square().sum(1).masked_fill(target == source, -1.0)
    runs = torch.cat([own.new_zeros(1), torch.bincount(target, minlength=n).cumsum(0)])
    return torch.stack([source[argsort_runs(away, runs)], target]), runs


def floating(pos: Tensor) -> Tensor:
    """Positions without gradient, in float32 or float64."""
    pos = pos.detach()
    return pos if pos.dtype in (torch.float32, torch.float64) else pos.float()


def clouds(pos: Tensor, ptr: Tensor, tree: Tensor | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """Sets of graphs of about one size: which ``[b]``, and nodes ``[b, m, d]``, infinite after a graph's end.

    Sizes differ by a fifth at most, but a graph that is to be searched by brute force never comes together
    with one that is not, ``tree [g]`` (None: by its size). Graphs of one node or none are left out.
    """
    sizes = ptr.diff()
    kind = (sizes.double().log() * 5).long() * 2 + (sizes > _largest_brute(pos) if tree is None else tree)
    for value in kind[sizes > 1].unique().tolist():
        graphs = (kind == value).nonzero().view(-1)
        m = int(sizes[graphs].max())
        if graphs.numel() == sizes.numel() and m * graphs.numel() == pos.shape[0]:
            yield graphs, pos.view(-1, m, pos.shape[1])
            return
        real, row = places(ptr, graphs, m)
        cloud = pos.new_full((*real.shape, pos.shape[1]), torch.inf)
        cloud[real] = pos[row[real]]
        yield graphs, cloud


def places(ptr: Tensor, graphs: Tensor, m: int) -> tuple[Tensor, Tensor]:
    """Which of the m places of some graphs hold a node ``[b, m]``, and its row ``[b, m]``."""
    node = torch.arange(m, device=ptr.device)
    return node < ptr.diff()[graphs, None], node + ptr[graphs, None]


def _pairs(cloud: Tensor, count: Tensor, r: float) -> tuple[Tensor, Tensor, Tensor]:
    """Cloud, node and node of all pairs of different nodes at most r apart."""
    b, m, _ = cloud.shape
    found = []
    if m > _largest_brute(cloud):
        points = cloud.double().cpu().numpy()
        for i, n in enumerate(count.tolist()):
            pair = torch.from_numpy(cKDTree(points[i, :n]).query_pairs(r, output_type="ndarray")).long()
            found.append(torch.cat([torch.full_like(pair[:, :1], i), pair], 1))
            found.append(found[-1][:, [0, 2, 1]])
    else:
        longest = min(r * r, torch.finfo(cloud.dtype).max)
        step = max(1, BLOCK // (m * m))
        for i in range(0, b, step):
            distances = squared_distances(cloud[i : i + step], cloud[i : i + step])
            distances.diagonal(dim1=1, dim2=2).fill_(torch.inf)
            found.append((distances <= longest).nonzero() + cloud.new_tensor([i, 0, 0]).long())
    which, target, source = torch.cat(found).to(cloud.device).unbind(1)
    return which, target, source


def _largest_brute(pos: Tensor) -> int:
    return _BRUTE if pos.device.type == "cpu" else _BRUTE_DEVICE


def _by_tree(pos: Tensor, sizes: Tensor, k: Tensor) -> Tensor:
    """Whether clouds of these sizes are searched by a tree for the k nearest, ``[g]``."""
    few = sizes > MANY * k if pos.dtype == torch.float32 else torch.ones_like(sizes, dtype=torch.bool)
    return (sizes > _largest_brute(pos)) & few


def _search(cloud: Tensor, count: Tensor, k: int, tree: bool) -> Tensor:
    """Local indices ``[b, m, k]`` of the k nearest others, -1 where missing, in clouds of `count` nodes."""
    b, m, d = cloud.shape
    if k <= 0 or b == 0:
        return torch.empty(b, m, max(k, 0), dtype=torch.int64, device=cloud.device)
    if d == 0:
        raise ValueError("pos must have at least one coordinate, got [n, 0].")
    if tree:
        points = cloud.double().cpu().numpy()
        out = np.full((b, m, k), -1)
        for i, n in enumerate(count.tolist()):
            found = _tree(points[i, :n], min(k, n - 1))
            out[i, :n, : found.shape[1]] = found
        return torch.from_numpy(out).to(cloud.device)
    return brute_force(cloud, count, k)


def _tree(points: _Array, k: int) -> _Array:
    """The k nearest others ``[n, k]`` by a tree; ties beyond four times k keep the order of the tree."""
    if not np.isfinite(points).all():
        raise ValueError(NOT_FINITE)
    tree = cKDTree(points, balanced_tree=False)
    own = tree.indices  # the order of the leaves: queries that follow one another then walk the same branches
    workers = threads()
    distance, index = map(np.asarray, tree.query(points[own], k=min(k + 2, len(points)), workers=workers))
    found = index[:, 1 : k + 1].copy()
    tied = np.flatnonzero((distance[:, 1:] == distance[:, :-1]).any(1))
    if tied.size:
        wide = min(4 * (k + 2), len(points))
        distance, index = map(np.asarray, tree.query(points[own[tied]], k=wide, workers=workers))
        distance[index == own[tied, None]] = -1.0
        order = np.lexsort((index, distance), axis=1)
        found[tied] = np.take_along_axis(index, order, 1)[:, 1 : k + 1]
    out = np.empty_like(found)
    out[own] = found
    return out
