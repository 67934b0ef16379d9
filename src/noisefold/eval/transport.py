r"""Exact optimal transport between samples.

For weights :math:`w_i, v_j` on points :math:`a_i, b_j` the Wasserstein distance of order p is

.. math::
    W_p = \Big( \min_{\pi \ge 0,\ \pi 1 = w,\ \pi^\top 1 = v} \sum_{ij} \pi_{ij}\, |a_i - b_j|^p \Big)^{1/p}.

With equally many points of equal weight the optimum is a matching, and for p = 1 its mean distance is what
the point cloud literature calls the earth mover's distance (EMD). Nothing is regularised or approximated:
costs are float64, solved by scipy's assignment below 100 points and by POT's network simplex above, which is
faster there and copes with degenerate clouds.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from noisefold.geometry import Graphs

__all__ = ["emd", "emd_matrix", "transport_cost", "wasserstein"]

_Array = NDArray[np.float64]
_ASSIGNMENT_LIMIT = 100
_MAX_PIVOTS = 100_000_000


def transport_cost(cost: Tensor, weight_a: Tensor | None = None, weight_b: Tensor | None = None) -> float:
    r"""Return the cost :math:`\min_\pi \sum_{ij} \pi_{ij} C_{ij}` of moving one weighted sample onto another.

    Parameters
    ----------
    cost
        Costs :math:`C_{ij}`, ``[n, m]``, finite.
    weight_a, weight_b
        Weights ``[n]`` and ``[m]``, at least zero, each scaled to sum 1; None means equal.

    Raises
    ------
    ValueError
        If shapes do not fit, a weight is negative, all are zero, or a cost is not finite.
    """
    table = cost.detach().to("cpu", torch.float64).numpy()
    if table.ndim != 2 or 0 in table.shape:
        raise ValueError(f"cost must be [n, m] with n, m >= 1, got shape {list(table.shape)}.")
    if not np.isfinite(table).all():
        raise ValueError("cost must be finite, got inf or nan; drop the points that are not finite.")
    weights = [
        None if w is None else _weights(w, size, name)
        for w, size, name in ((weight_a, table.shape[0], "weight_a"), (weight_b, table.shape[1], "weight_b"))
    ]
    return _solve(table, *weights)


def wasserstein(
    a: Tensor,
    b: Tensor,
    order: float = 1.0,
    weight_a: Tensor | None = None,
    weight_b: Tensor | None = None,
) -> float:
    """Return the exact Wasserstein distance of two samples, in the unit of their coordinates.

    Parameters
    ----------
    a, b
        Points ``[n, d]`` and ``[m, d]``.
    order
        The p of the formula above, at least 1.
    weight_a, weight_b
        Weights ``[n]`` and ``[m]``, at least zero, each scaled to sum 1; None means equal.

    Raises
    ------
    ValueError
        If shapes do not fit, the order is below 1, or points are not finite.
    """
    if order < 1:
        raise ValueError(f"order must be at least 1, got {order}; below it W_p is no distance.")
    cost = _distances(_points(a, "a"), _points(b, "b")) ** order
    return float(transport_cost(torch.from_numpy(cost), weight_a, weight_b) ** (1 / order))


def emd(a: Tensor, b: Tensor) -> float:
    """Return the mean distance of matched points of clouds ``[n, d]`` and ``[m, d]``: their W_1.

    With equally many points each point has exactly one partner; otherwise mass is split, exactly.
    """
    return wasserstein(a, b)


def emd_matrix(a: Graphs, b: Graphs, workers: int = 2) -> Tensor:
    """Return the EMD of every cloud of `a` to every cloud of `b`, ``[ga, gb]``, float64.

    Passing the same object twice computes each pair once. The cost of a pair grows faster than the square of
    its points; thin the clouds first (`Graphs.thin`) where there are many pairs.

    Parameters
    ----------
    a, b
        Clouds of the same dimension; their sizes may differ.
    workers
        Threads; the solvers work outside Python's lock.

    Raises
    ------
    ValueError
        If dimensions differ, a cloud has no points, or points are not finite.
    """
    if a.dim != b.dim:
        raise ValueError(f"a and b must have the same dimension, got {a.dim} and {b.dim}.")
    left = [_points(p, "a") for p in a.unpack()]
    right = left if a is b else [_points(p, "b") for p in b.unpack()]

    def row(i: int) -> _Array:
        start = i + 1 if a is b else 0
        return np.array([0.0] * start + [_solve(_distances(left[i], p)) for p in right[start:]])

    table = np.array(_map(row, len(left), workers)).reshape(len(left), len(right))
    return torch.from_numpy(table + table.T if a is b else table)


def _map(function: Callable[[int], _Array], count: int, workers: int) -> list[_Array]:
    if workers <= 1:
        return [function(i) for i in range(count)]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(function, range(count)))


def _solve(cost: _Array, weight_a: _Array | None = None, weight_b: _Array | None = None) -> float:
    from scipy.optimize import linear_sum_assignment

    n, m = cost.shape
    if n == m < _ASSIGNMENT_LIMIT and weight_a is None and weight_b is None:
        rows, columns = linear_sum_assignment(cost)
        return float(cost[rows, columns].mean())
    import ot  # costs a second to import

    left = np.full(n, 1 / n) if weight_a is None else weight_a
    right = np.full(m, 1 / m) if weight_b is None else weight_b
    value, log = ot.emd2(left, right, cost, numItermax=_MAX_PIVOTS, log=True)
    if log["warning"] is not None:
        raise RuntimeError(f"optimal transport of {n} onto {m} points did not finish: {log['warning']}")
    return float(value)


def _distances(a: _Array, b: _Array) -> _Array:
    from scipy.spatial.distance import cdist

    if a.shape[1] != b.shape[1]:
        raise ValueError(f"a and b must have the same dimension, got {a.shape[1]} and {b.shape[1]}.")
    distances: _Array = cdist(a, b)
    return distances


def _points(points: Tensor, name: str) -> _Array:
    array: Any = points.detach().to("cpu", torch.float64).numpy()
    if array.ndim != 2 or array.shape[0] == 0:
        raise ValueError(f"{name} must be [n, d] with at least one point, got shape {list(array.shape)}.")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got inf or nan; drop the points that are not finite.")
    return np.ascontiguousarray(array)


def _weights(weight: Tensor, size: int, name: str) -> _Array:
    array: Any = weight.detach().to("cpu", torch.float64).numpy()
    if array.shape != (size,):
        raise ValueError(f"{name} must have shape [{size}], one value a point, got {list(array.shape)}.")
    if not np.isfinite(array).all() or (array < 0).any() or array.sum() <= 0:
        raise ValueError(f"{name} must be finite, at least zero and not all zero, got {weight!r}.")
    return np.asarray(array / array.sum())
