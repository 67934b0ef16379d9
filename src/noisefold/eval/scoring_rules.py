r"""Proper scoring rules for draws of a predictive distribution against the truth.

For a value with truth y and m draws :math:`x_1 .. x_m` of its predictive distribution, the continuous ranked
probability score, fair in that its expectation does not depend on m,

.. math:: CRPS = \frac1m \sum_i |x_i - y| - \frac1{2 m (m-1)} \sum_{i,j} |x_i - x_j|,

and for a vector the energy score: the same with the norm, here divided by the square root of its length.
Both are smallest, in expectation, for draws of the true distribution. For a normal distribution of mean
:math:`\mu` and standard deviation s,

.. math:: CRPS = s\, \big(z (2 \Phi(z) - 1) + 2 \phi(z) - 1/\sqrt\pi\big), \qquad z = (y - \mu) / s .

References
----------
Gneiting and Raftery, Strictly proper scoring rules, prediction, and estimation (2007),
https://doi.org/10.1198/016214506000001437. Ferro, Fair scores for ensemble forecasts (2014),
https://doi.org/10.1002/qj.2270.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["crps", "crps_sorted", "energy_score", "interval_of", "ranks_of"]


def crps(draws: Tensor, truth: Tensor) -> Tensor:
    """Return the fair CRPS ``[...]`` of draws ``[m, ...]`` against the truth ``[...]``.

    In the unit of the values; of one draw, its absolute error.
    """
    return crps_sorted(draws.sort(0).values, truth)


def crps_sorted(ordered: Tensor, truth: Tensor) -> Tensor:
    """Return `crps` of draws in rising order."""
    m = ordered.shape[0]
    error = (ordered - truth).abs().mean(0)
    if m == 1:
        return error
    # In the sum of |x_i - x_j| over pairs a value of rank r is added r times and taken away m - 1 - r times.
    weight = 2 * torch.arange(m, dtype=ordered.dtype, device=ordered.device) - (m - 1)
    spread: Tensor = torch.tensordot(weight, ordered, 1)
    return error - spread / (m * (m - 1))


def energy_score(draws: Tensor, truth: Tensor) -> float:
    """Return the fair energy score of draws ``[m, n]`` of a vector ``[n]``, divided by sqrt(n)."""
    m, n = draws.shape
    norm = math.sqrt(max(n, 1))
    error = (draws - truth).norm(dim=1).mean()
    if m == 1:
        return float(error) / norm
    among = torch.pdist(draws).sum() / (m * (m - 1))
    return float(error - among) / norm


def interval_of(ordered: Tensor, level: float) -> tuple[Tensor, Tensor]:
    """Return the ends of the central interval, ``[...]`` each, of draws ``[m, ...]`` in rising order.

    The order statistics number (m + 1)(1 -+ level) / 2, between two of them in proportion: a truth of the
    same distribution lies between them with probability `level`.

    Raises
    ------
    ValueError
        If there are too few draws for the level.
    """
    m = ordered.shape[0]
    place = (m + 1) * (1 - level) / 2 - 1
    if not 0 < level < 1 or place < -1e-9:
        raise ValueError(
            f"levels must lie in (0, {(m - 1) / (m + 1):.3g}], which is what {m} draws can say, got {level}."
        )
    low = min(max(int(place + 1e-9), 0), m - 1)
    rest, up = max(place - low, 0.0), min(low + 1, m - 1)
    return (
        torch.lerp(ordered[low], ordered[up], rest),
        torch.lerp(ordered[m - 1 - low], ordered[m - 1 - up], rest),
    )


def ranks_of(draws: Tensor, truth: Tensor, seed: int = 0) -> Tensor:
    """Return the rank of the truth ``[...]`` among draws ``[m, ...]``, ties at random, as a number in (0, 1).

    It is (rank + U) / (m + 1) with U uniform: uniform itself if the truth has the distribution of the draws,
    also where that has atoms, such as zeros (randomised probability integral transform).
    """
    generator = torch.Generator().manual_seed(seed)
    below, tied = (draws < truth).sum(0), (draws == truth).sum(0)
    first, second = torch.rand(2, *truth.shape, generator=generator, dtype=torch.float64).unbind()
    # Of the m + 1 equally likely ranks, a truth with t ties has t + 1 to choose from.
    rank = below + (first * (tied + 1)).floor().clamp(max=tied)
    return (rank + second) / (draws.shape[0] + 1)
