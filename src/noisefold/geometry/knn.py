r"""k-nearest-neighbour and radius search in ragged batches, from many small clouds to a single large one.

The neighbours j of a node i are ordered by :math:`(|p_i - p_j|^2, j)`: by distance, ties by index. Distances
come from coordinate differences, never from :math:`|p|^2 - 2 p q + |q|^2`, which loses digits far from the
origin.

Small clouds are searched by brute force (`noisefold.geometry.knn_brute_force`), and so are float32 clouds of
which k is a large part. All others are searched with a k-d tree (`scipy.spatial.cKDTree`) in O(n log n). The
choice depends on the size of the cloud, k and the floating type alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from noisefold.geometry.knn_brute_force import BLOCK, MANY, NOT_FINITE, brute_force, squared_distances
from noisefold.geometry.segment import argsort_runs
from noisefold.geometry.single_thread import available_threads, single_threaded

__all__ = ["floating", "knn", "knn_dense", "padded_rows", "radius_pairs", "size_buckets"]

_Array = npt.NDArray[Any]
# Largest cloud searched by brute force. On a CPU the tree becomes faster at 500 to 2,000 nodes, depending on
# dimension, k and threads (measured); on other devices this was not measured.
_BRUTE, _BRUTE_DEVICE = 800, 32_768


@single_threaded
def knn_dense(pos: Tensor, k: int, loop: bool = True) -> Tensor:
    """Return the k nearest nodes of each node, for clouds of one size.

    Parameters
    ----------
    pos
        Positions, ``[b, s, d]``.
    k
        Neighbours of each node, at most s with the node itself and s - 1 without.
    loop
        Whether a node is the first of its own k neighbours (a self-loop).

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


@single_threaded
def knn(pos: Tensor, ptr: Tensor, k: int | Tensor) -> Tensor:
    r"""Return the k nearest other nodes of each node within its graph.

    Parameters
    ----------
    pos
        Positions, ``[n, d]``.
    ptr
        Offsets of the graphs, ``[g + 1]``.
    k
        Number of neighbours, 0 or more; one for all graphs, or one for each, ``[g]``.

    Returns
    -------
    Tensor
        Rows of `pos`, ``[n, w]``, int64, nearest first, ties by index. w is the largest
        :math:`\min(k, n_i - 1)` of all graphs; rows of graphs with fewer neighbours end in -1.

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
    for graphs, cloud in size_buckets(pos, ptr, tree) if width else ():
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
        real, row = padded_rows(ptr, graphs, cloud.shape[1])
        table[row[real], : found.shape[2]] = found[real]
    return table


@single_threaded
def radius_pairs(pos: Tensor, ptr: Tensor, r: float, loop: bool = False) -> tuple[Tensor, Tensor]:
    """Return the pairs of nodes of the same graph at most r apart.

    Parameters
    ----------
    pos
        Positions, ``[n, d]``.
    ptr
        Offsets of the graphs, ``[g + 1]``.
    r
        Largest distance, inclusive.
    loop
        Whether each node is paired with itself first (a self-loop).

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
    for graphs, cloud in size_buckets(pos, ptr):
        which, target, source = _pairs(cloud, ptr.diff()[graphs], r)
        start = ptr[graphs[which]]
        keys.append((target + start) * n + source + start)
    pairs = torch.cat(keys).sort().values
    target, source = pairs // max(n, 1), pairs % max(n, 1)
    away = (pos[target] - pos[source]).square().sum(1).masked_fill(target == source, -1.0)
    runs = torch.cat([own.new_zeros(1), torch.bincount(target, minlength=n).cumsum(0)])
    return torch.stack([source[argsort_runs(away, runs)], target]), runs


def floating(pos: Tensor) -> Tensor:
    """Return positions without gradient, in float32 or float64."""
    pos = pos.detach()
    return pos if pos.dtype in (torch.float32, torch.float64) else pos.float()


def size_buckets(pos: Tensor, ptr: Tensor, tree: Tensor | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """Iterate over buckets of graphs of similar size: graphs ``[b]`` and their nodes ``[b, m, d]``.

    Nodes are padded with infinity. Sizes in a bucket differ by a fifth at most. Graphs searched by brute
    force and by a tree, ``tree [g]`` (None: by size), never share a bucket. Graphs of fewer than two nodes
    are left out.
    """
    sizes = ptr.diff()
    kind = (sizes.double().log() * 5).long() * 2 + (sizes > _largest_brute(pos) if tree is None else tree)
    for value in kind[sizes > 1].unique().tolist():
        graphs = (kind == value).nonzero().view(-1)
        m = int(sizes[graphs].max())
        if graphs.numel() == sizes.numel() and m * graphs.numel() == pos.shape[0]:
            yield graphs, pos.view(-1, m, pos.shape[1])
            return
        real, row = padded_rows(ptr, graphs, m)
        cloud = pos.new_full((*real.shape, pos.shape[1]), torch.inf)
        cloud[real] = pos[row[real]]
        yield graphs, cloud


def padded_rows(ptr: Tensor, graphs: Tensor, m: int) -> tuple[Tensor, Tensor]:
    """Return which of m padded slots of some graphs hold a node ``[b, m]``, and the node's row ``[b, m]``."""
    node = torch.arange(m, device=ptr.device)
    return node < ptr.diff()[graphs, None], node + ptr[graphs, None]


def _pairs(cloud: Tensor, count: Tensor, r: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return cloud, target and source of all pairs of different nodes at most r apart."""
    b, m, _ = cloud.shape
    found = []
    if m > _largest_brute(cloud):
        from scipy.spatial import cKDTree

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
    """Return whether clouds of these sizes are searched with a tree for the k nearest, ``[g]``."""
    few = sizes > MANY * k if pos.dtype == torch.float32 else torch.ones_like(sizes, dtype=torch.bool)
    return (sizes > _largest_brute(pos)) & few


def _search(cloud: Tensor, count: Tensor, k: int, tree: bool) -> Tensor:
    """Return local indices ``[b, m, k]`` of the k nearest others in clouds of `count` nodes, padded by -1."""
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
    """Return the k nearest others ``[n, k]`` by a tree; ties beyond four times k keep the tree's order."""
    if not np.isfinite(points).all():
        raise ValueError(NOT_FINITE)
    from scipy.spatial import cKDTree

    tree = cKDTree(points, balanced_tree=False)
    own = tree.indices  # the order of the leaves: queries that follow one another then walk the same branches
    workers = available_threads()
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
