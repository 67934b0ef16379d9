r"""Distances between two sets of point clouds, A (generated) and B (real).

Two clouds are compared by the Chamfer distance, in PointFlow's convention the sum of both mean *squared*
distances to the nearest point,

.. math:: CD(a, b) = \frac1n \sum_i \min_j |a_i - b_j|^2 + \frac1m \sum_j \min_i |a_i - b_j|^2,

or by the EMD of `noisefold.eval.transport`. Two sets are compared through all these distances
(1-nearest-neighbour accuracy, coverage, minimum matching distance), through the cells their points occupy
(Jensen-Shannon divergence), or by the number that the NCGN paper prints (`paper_w`).

CD depends on the unit of length; `noisefold.eval.score_clouds` measures in standard deviations of the test
set, one scale for all axes.

References
----------
Yang et al., PointFlow (2019), https://arxiv.org/abs/1906.12320. Achlioptas et al., Learning representations
and generative models for 3D point clouds (2018), https://arxiv.org/abs/1707.02392. Lopez-Paz and Oquab,
Revisiting classifier two-sample tests (2017), https://arxiv.org/abs/1610.06545.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from noisefold.eval.transport import transport_cost
from noisefold.geometry import Graphs

__all__ = [
    "chamfer_matrix",
    "coverage",
    "divergence",
    "jsd",
    "mmd",
    "occupancy",
    "one_nna",
    "paper_distances",
    "paper_units",
    "paper_w",
]

# Squared distances held at once: what the processor's cache holds, and what keeps an accelerator busy.
_TILE_CPU, _TILE_GPU = 2**19, 2**26
# Squared distances of a pair, and dimensions, from and up to which k-d trees find the nearest points sooner.
_TREE_PAIRS, _TREE_DIMENSIONS = 2**24, 3
_PAPER_BOX = 0.25


def chamfer_matrix(a: Graphs, b: Graphs, block: int | None = None) -> Tensor:
    r"""Return the Chamfer distances of all clouds of `a` to all of `b`, ``[ga, gb]``, in squared lengths.

    Squared distances are :math:`|a_i|^2 + |b_j|^2 - 2 a_i \cdot b_j` about the common mean, one matrix
    product for many clouds. In float32 the error is about 1e-7 times the squared extent of the data, 1e-6 of
    the result on shapes; where clouds lie many diameters apart, pass float64. Large clouds of up to three
    dimensions on a CPU are searched with k-d trees, in float64: the time of a pair is n log n, the memory n.
    Passing the same object twice computes each pair once.

    Parameters
    ----------
    a, b
        Clouds of the same dimension, of any sizes.
    block
        Squared distances to hold at once; None fits the device.

    Raises
    ------
    ValueError
        If dimensions differ or a cloud has no points.
    """
    _check_pair(a, b)
    dtype = torch.promote_types(torch.promote_types(a.dtype, b.dtype), torch.float32)
    most = int(a.sizes.max()) * int(b.sizes.max())
    if most >= _TREE_PAIRS and a.dim <= _TREE_DIMENSIONS and a.device.type == "cpu":
        return _chamfer_by_trees(a, b).to(dtype)
    left, right = a.to(dtype=dtype), b.to(dtype=dtype)
    centre = torch.cat([left.pos, right.pos]).mean(0)
    rows, row_mask = _lifted(left, centre, left=True)
    columns, column_mask = _lifted(right, centre, left=False)
    (ga, n), (gb, m) = row_mask.shape, column_mask.shape
    block = block or (_TILE_GPU if a.device.type == "cuda" else _TILE_CPU)
    wide = min(max(block // (n * m), 1), gb)
    high = min(max(block // (n * m * wide), 1), ga)
    out = torch.zeros(ga, gb, dtype=dtype, device=a.device)
    for i in range(0, ga, high):
        for j in range(i if a is b else 0, gb, wide):
            r, c = slice(i, i + high), slice(j, j + wide)
            out[r, c] = _chamfer_tile(rows[r], columns[c], row_mask[r], column_mask[c], block)
    return out.triu(1) + out.triu(1).T if a is b else out


def _lifted(clouds: Graphs, centre: Tensor, left: bool) -> tuple[Tensor, Tensor]:
    """Return rows ``[g, m, d + 2]`` whose dot products are squared distances, and the mask.

    Distances to padding are infinite.
    """
    pos, mask = clouds.padded(clouds.pos - centre)
    square = pos.square().sum(-1).masked_fill(~mask, math.inf)
    one = torch.ones_like(square)
    tail = torch.stack([square, one] if left else [one, square], -1)
    return torch.cat([-2 * pos if left else pos, tail], -1), mask


def _chamfer_tile(rows: Tensor, columns: Tensor, row_mask: Tensor, column_mask: Tensor, block: int) -> Tensor:
    (p, n), (q, m) = row_mask.shape, column_mask.shape
    # Some rows of each cloud at a time, where a single pair is more than is to be held.
    step = max(1, min(n, block // (m * p * q)))
    to_b, to_a = [], rows.new_full((p, q, m), math.inf)
    for some in rows.split(step, dim=1):
        square = (some.reshape(-1, rows.shape[2]) @ columns.reshape(q * m, -1).T).view(p, -1, q, m)
        to_b.append(square.amin(3))
        to_a = torch.minimum(to_a, square.amin(1))
    return _mean(torch.cat(to_b, 1).transpose(1, 2), row_mask[:, None]) + _mean(to_a, column_mask[None])


def _chamfer_by_trees(a: Graphs, b: Graphs) -> Tensor:
    """Return the Chamfer distances of clouds on the CPU, ``[ga, gb]``, float64."""
    from scipy.spatial import cKDTree

    left = [points.detach().double().numpy() for points in a.unpack()]
    right = left if a is b else [points.detach().double().numpy() for points in b.unpack()]
    # A point that is there many times stands once in its tree, which cannot divide such points.
    trees = [cKDTree(np.unique(points, axis=0)) for points in left]
    others = trees if a is b else [cKDTree(np.unique(points, axis=0)) for points in right]
    out = torch.zeros(len(left), len(right), dtype=torch.float64)
    for i, points in enumerate(left):
        for j in range(i + 1 if a is b else 0, len(right)):
            gaps = others[j].query(points)[0], trees[i].query(right[j])[0]
            out[i, j] = sum(float(np.square(gap).mean()) for gap in gaps)
    return out + out.T if a is b else out


def _mean(nearest: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over the last axis where the mask holds; rounding below zero is removed."""
    return nearest.clamp(min=0).where(mask, 0).sum(-1) / mask.sum(-1)


def one_nna(within_a: Tensor, between: Tensor, within_b: Tensor) -> float:
    r"""Return the leave-one-out accuracy of the 1-nearest-neighbour classifier of A and B, in [0, 1].

    0.5 is best: the sets cannot be told apart. 1 means that they are separate, or that one has collapsed; far
    below 0.5 means that samples of A copy samples of B. A tie among nearest
    neighbours counts as the share of them in the own set.

    Parameters
    ----------
    within_a, between, within_b
        Distances ``[n, n]`` inside A, from A to B, and inside B; diagonals are ignored.

    Raises
    ------
    ValueError
        If the three are not of one square shape: sets of unequal size would not score 0.5 if they agreed.
    """
    n = between.shape[0]
    if any(t.shape != (n, n) for t in (within_a, between, within_b)) or n == 0:
        shapes = [list(t.shape) for t in (within_a, between, within_b)]
        raise ValueError(f"within_a, between, within_b must all be [n, n], got {shapes}; cut the larger set.")
    shares = torch.empty(2, n, device=between.device)
    # By rows, since the matrix of all distances would double the memory.
    step = max(1, _TILE_CPU // n)
    for start in range(0, n, step):
        rows = slice(start, start + step)
        halves = (within_a[rows], between[rows]), (within_b[rows], between.T[rows])
        for side, (inside, across) in enumerate(halves):
            inside = inside.clone()
            inside.diagonal(start).fill_(math.inf)
            nearest = torch.minimum(inside.amin(1), across.amin(1))[:, None]
            own = (inside == nearest).sum(1)
            shares[side, rows] = own / (own + (across == nearest).sum(1))
    return float(shares.mean())


def coverage(between: Tensor) -> float:
    """Return the share of samples of B that are nearest to some sample of A, from distances ``[ga, gb]``.

    High is good, though samples of one distribution cover only about 0.6 of each other. A tie covers all that
    are tied.
    """
    return float((between == between.amin(1, keepdim=True)).any(0).double().mean())


def mmd(between: Tensor) -> float:
    """Return the minimum matching distance: the mean over B of the distance to the nearest of A."""
    return float(between.amin(0).mean())


def occupancy(a: Graphs, b: Graphs, cells: int = 28, frame: Graphs | None = None) -> tuple[Tensor, Tensor]:
    """Return the points of each cloud in each occupied cell of one grid, ``[ga, c]`` and ``[gb, c]``.

    The grid is the smallest cube, along the axes, that holds all of `frame` (default: `b`), `cells` cells a
    side; all the space outside is one more cell. It follows real data alone, so that a stray generated point
    cannot make it coarse.

    Raises
    ------
    ValueError
        If dimensions differ, a cloud has no points, or `cells` is below 1.
    """
    _check_pair(a, b)
    if cells < 1:
        raise ValueError(f"cells must be at least 1, got {cells}.")
    frame = b if frame is None else frame
    low, high = frame.pos.amin(0), frame.pos.amax(0)
    side = float((high - low).max()) or 1.0
    place = ((torch.cat([a.pos, b.pos]) - (low + high) / 2) / side + 0.5) * cells
    # Points on the cube's faces belong to it, also after rounding.
    inside = ((place >= -1e-4) & (place <= cells + 1e-4)).all(1)
    index = place.clamp(0, cells - 1e-3).long()
    weight = cells ** torch.arange(a.dim, device=a.device)
    key = torch.where(inside, (index * weight).sum(1), -1)
    found, cell = key.unique(return_inverse=True)
    graph = torch.cat([a.batch, b.batch + len(a)])
    count = torch.bincount(graph * len(found) + cell, minlength=(len(a) + len(b)) * len(found))
    table = count.view(-1, len(found)).double()
    return table[: len(a)], table[len(a) :]


def jsd(a: Graphs, b: Graphs, cells: int = 28) -> float:
    r"""Return the Jensen-Shannon divergence of the points of A and B, pooled over clouds, in bits.

    .. math:: JSD = H\big(\tfrac{p + q}2\big) - \tfrac12 H(p) - \tfrac12 H(q), \quad H(p) = -\sum p \log_2 p

    with p and q the shares of points in each cell of `occupancy`'s grid. 0 means equal shares everywhere,
    1 = log2(2) that no cell is shared. It sees where points lie, not shapes, and is biased upwards for few
    points.

    Raises
    ------
    ValueError
        If dimensions differ, a cloud has no points, or `cells` is below 1.
    """
    return divergence(*occupancy(a, b, cells))


def divergence(count_a: Tensor, count_b: Tensor) -> float:
    """Return the Jensen-Shannon divergence in bits of counts ``[ga, c]``, ``[gb, c]``, pooled over rows."""
    p, q = (t.sum(0) / t.sum() for t in (count_a, count_b))
    entropy = [-torch.xlogy(r, r).sum() for r in (p, q, (p + q) / 2)]
    return max(float(entropy[2] - (entropy[0] + entropy[1]) / 2) / math.log(2), 0.0)


def paper_units(clouds: Graphs) -> Graphs:
    """Return each cloud centred, its largest absolute coordinate scaled to 0.25: the NCGN paper's unit.

    Raises
    ------
    ValueError
        If a cloud is empty or a single repeated point.
    """
    parts = []
    for i, points in enumerate(clouds.unpack()):
        centred = points - points.mean(0)
        reach = centred.abs().amax() if points.shape[0] else centred.new_zeros(())
        if not reach > 0:
            raise ValueError(f"cloud {i} has no extent and cannot be scaled; leave it out.")
        parts.append(centred * (_PAPER_BOX / reach))
    return clouds.replace(pos=torch.cat(parts))


def paper_w(a: Graphs, b: Graphs, unit: float = 1.0) -> float:
    r"""Return what the NCGN paper prints as "W2", to compare with its tables only: it cannot rank models.

    It is :math:`W_1` with Euclidean cost between clouds *flattened* in whatever order their points have,
    divided by the number n of points (400 in the paper). In the paper each cloud is centred and scaled to a
    largest absolute coordinate of 0.25 (`paper_units`). The order of points is arbitrary, and the number sees
    little else: clouds with all points at zero score better than real data.

    Parameters
    ----------
    a, b
        Clouds, all with the same number n of points.
    unit
        Factor from the unit of the positions to the paper's: 1 after `paper_units`.

    Raises
    ------
    ValueError
        If clouds differ in size or dimension.
    """
    return transport_cost(paper_distances(a, b, unit))


def paper_distances(a: Graphs, b: Graphs, unit: float = 1.0) -> Tensor:
    """Return the costs ``[ga, gb]`` of `paper_w`: distances of flattened clouds times `unit` over n."""
    _check_pair(a, b)
    n = a.uniform
    if n is None or n != b.uniform:
        raise ValueError("a and b must have one number of points in all clouds; thin them with Graphs.thin.")
    left, right = (c.pos.double().view(len(c), -1) for c in (a, b))
    return torch.cdist(left, right, compute_mode="donot_use_mm_for_euclid_dist") * (unit / n)


def _check_pair(a: Graphs, b: Graphs) -> None:
    if a.dim != b.dim:
        raise ValueError(f"a and b must have the same dimension, got {a.dim} and {b.dim}.")
    for name, clouds in (("a", a), ("b", b)):
        if len(clouds) == 0 or int(clouds.sizes.min()) == 0:
            raise ValueError(f"{name} must hold at least one cloud, each with a point; leave empty ones out.")
