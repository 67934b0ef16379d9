"""Means over seeds with their standard errors and intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

__all__ = ["Interval", "digits", "half_width", "interval", "mean_and_error", "paired"]


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and its standard error, NaN for a single value."""
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return statistics.fmean(values), error


def half_width(count: int, level: float = 0.95) -> float:
    """Return half of a confidence interval of a mean, in standard errors (Student's t)."""
    from scipy.stats import t

    return float(t.ppf((1 + level) / 2, max(count - 1, 1)))


def paired(a: Sequence[float], b: Sequence[float]) -> tuple[float, float]:
    """Return the mean of a - b, pair by pair, and half of its 95 % confidence interval."""
    mean, error = mean_and_error([x - y for x, y in zip(a, b, strict=True)])
    return mean, error * half_width(len(a))


@dataclass(frozen=True)
class Interval:
    """A mean over seeds, its 95 % confidence interval (Student's t), and their standard deviation.

    For a single seed all but the mean are NaN; ratios may be infinite.
    """

    mean: float
    low: float
    high: float
    spread: float

    def plain(self) -> dict[str, Any]:
        """Return a dictionary, five digits; None for what is NaN or infinite."""
        return {k: digits(getattr(self, k)) for k in ("mean", "low", "high", "spread")}


def interval(values: Sequence[float | None], level: float = 0.95, ratio: bool = False) -> Interval:
    """Return the mean and the interval of values, one for each seed; those without a value do not count.

    Ratios are averaged as their logarithms: a geometric mean, its interval, and the spread as a factor.
    """
    found = [v for v in values if v is not None and math.isfinite(v)]
    if ratio:
        logs = interval([math.log(max(v, 1e-300)) for v in found], level)
        return Interval(*(_exp(v) for v in (logs.mean, logs.low, logs.high, logs.spread)))
    if len(found) < 2:
        return Interval(found[0] if found else math.nan, math.nan, math.nan, math.nan)
    data = torch.tensor(found, dtype=torch.float64)
    mean, spread = float(data.mean()), float(data.std())
    half = half_width(len(found), level) * spread / math.sqrt(len(found))
    return Interval(mean, mean - half, mean + half, spread)


def _exp(log: float) -> float:
    """Return the exponential; infinity beyond the largest double, where diverged samples may end."""
    return math.inf if log > 709 else math.exp(log)


def digits(value: float, places: int = 5) -> float | None:
    """Return a number of so many significant digits; None where there is none, as JSON has no NaN."""
    return float(f"{value:.{places}g}") if math.isfinite(value) else None
