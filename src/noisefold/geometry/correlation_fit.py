"""Fit a correlation to a variogram.

A `Nested` correlation is fitted by least squares: a family, its length, and the shares of the variance that
are spatially correlated, of the nugget, and between graphs (the floor).

Source: Cressie, Fitting variogram models by weighted least squares (1985), https://doi.org/10.1007/BF01032109.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from noisefold.geometry.correlation import Correlation, Exponential, Matern, Nested, SquaredExponential
from noisefold.geometry.variogram import Variogram, half_width

__all__ = ["FAMILIES", "Fit", "fit_correlation"]

FAMILIES: dict[str, Callable[[float], Correlation]] = {
    "squared exponential": SquaredExponential,
    "exponential": Exponential,
    "matern 3/2": Matern,
}
"""Correlations that `fit_correlation` knows, by name; each takes a length."""

_LENGTHS = 160


@dataclass(frozen=True)
class Fit:
    """A correlation fitted to a variogram.

    Parameters
    ----------
    correlation
        The fitted one.
    family
        Its name, as `fit_correlation` takes it.
    low, high
        95 % interval of its length, by the jackknife, in the unit of the positions. Infinite at an end where
        the length cannot be told from the longest, or the shortest, that was tried.
    residual
        Root of the mean squared difference from the variogram, in shares of the variance.
    residuals
        The same for the best of every family.
    """

    correlation: Nested
    family: str
    low: float
    high: float
    residual: float
    residuals: dict[str, float]

    @property
    def length(self) -> float:
        """Length of the correlation, in the unit of the positions."""
        length: float = self.correlation.base.length  # type: ignore[attr-defined]
        return length


def fit_correlation(measured: Variogram, family: str | None = None) -> Fit:
    """Return the nested correlation that fits a variogram best, by least squares with equal weights.

    Parameters
    ----------
    measured
        The variogram.
    family
        "squared exponential", "exponential" or "matern 3/2"; None for the one with the least residual.

    Raises
    ------
    ValueError
        If the family is unknown.
    """
    if family is not None and family not in FAMILIES:
        raise ValueError(f"family must be one of {', '.join(FAMILIES)}, got {family!r}.")
    lengths = torch.logspace(
        math.log10(float(measured.distance[0]) / 3),
        math.log10(float(measured.distance[-1]) * 3),
        _LENGTHS,
        dtype=torch.float64,
    )
    targets = 1 - torch.cat([measured.value[None], measured.replicates])
    found = {}
    for name in FAMILIES if family is None else (family,):
        shapes = torch.stack([FAMILIES[name](length)(measured.distance) for length in lengths.tolist()])
        found[name], _, _ = _least_squares(shapes, targets)
    residuals = {name: float(error[0].min().sqrt()) for name, error in found.items()}
    best = min(residuals, key=residuals.__getitem__)
    logs = _lowest(lengths.log(), found[best])
    low, high = _interval(logs, lengths)
    base = FAMILIES[best](math.exp(logs[0]))
    _, share, floor = _least_squares(base(measured.distance)[None], targets[:1])
    correlation = Nested(base, float(share), float(floor))
    return Fit(correlation, best, low, high, residuals[best], residuals)


def _least_squares(shapes: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean squared error, share p and floor f of target = f + p shape with p, f >= 0 and p + f <= 1.

    Shapes ``[m, b]`` and targets ``[r, b]`` make results ``[r, m]``. The problem is convex: its solution is
    the free one, or lies on one of the triangle's three sides.
    """
    c, y = shapes[None], targets[:, None]
    c0, y0 = c - c.mean(-1, keepdim=True), y - y.mean(-1, keepdim=True)
    tiny = 1e-300
    free = (c0 * y0).sum(-1) / (c0 * c0).sum(-1).clamp(min=tiny)
    base = (y.mean(-1) - free * c.mean(-1)).expand_as(free)
    inside = (free >= 0) & (base >= 0) & (free + base <= 1)
    alone = ((c * y).sum(-1) / (c * c).sum(-1).clamp(min=tiny)).clamp(0, 1)
    flat = y.mean(-1).clamp(0, 1).expand_as(free)
    rest = 1 - c  # on the side p + f = 1: target - 1 = p (shape - 1)
    full = ((rest * (1 - y)).sum(-1) / (rest * rest).sum(-1).clamp(min=tiny)).clamp(0, 1)
    none = torch.zeros_like(free)
    shares = torch.stack([free, alone, none, full])
    floors = torch.stack([base, none, flat, 1 - full])
    errors = (floors[..., None] + shares[..., None] * c - y).square().mean(-1)
    errors[0] = torch.where(inside, errors[0], math.inf)
    error, side = errors.min(0)
    return error, shares.gather(0, side[None])[0], floors.gather(0, side[None])[0]


def _lowest(x: Tensor, error: Tensor) -> list[float]:
    """Where each row of ``error [r, m]`` over ``x [m]`` is least, by a parabola through three values."""
    at = error.argmin(1).clamp(1, len(x) - 2)
    left, middle, right = (error.gather(1, (at + k)[:, None])[:, 0] for k in (-1, 0, 1))
    bend = left - 2 * middle + right
    step = torch.where(bend > 0, 0.5 * (left - right) / bend.clamp(min=1e-300), 0.0).clamp(-1, 1)
    places: list[float] = (x[at] + step * (x[1] - x[0])).tolist()
    return places


def _interval(logs: list[float], lengths: Tensor) -> tuple[float, float]:
    """95 % interval of the length, from its logarithm and that of the replicates."""
    width = float(half_width(torch.tensor(logs[1:], dtype=torch.float64)[:, None]))
    low, high = math.exp(logs[0] - width), math.exp(min(logs[0] + width, 700.0))
    return (low if low > float(lengths[0]) else 0.0), (high if high < float(lengths[-1]) else math.inf)
