"""Markdown tables of studies.

A number in a table is ``mean ± s [low, high]``: the mean over seeds, its standard error over seeds (of
training and sampling), and the mean of the 95 % intervals that each training alone has from resampling graphs
(which graphs were held out, which were drawn). The two answer different questions, and are not added.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from noisefold.studies.kit.statistics import mean_and_error

__all__ = ["markdown", "with_error", "with_interval"]


def markdown(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = (head, ["---"] * len(head), *rows)
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def with_error(values: Sequence[float], decimals: int, sign: str = "") -> str:
    """Return ``mean ± standard error``, or a single value."""
    mean, error = mean_and_error(values)
    text = f"{mean:{sign}.{decimals}f}"
    return text if math.isnan(error) else f"{text} ± {error:.{decimals}f}"


def with_interval(
    scores: Sequence[Mapping[str, Any]], decimals: int, factor: float = 1.0, sign: str = ""
) -> str:
    """Return ``mean ± standard error [low, high]`` of scores, one for each seed, times a factor."""
    text = with_error([factor * float(s["value"]) for s in scores], decimals, sign)
    if any(s["low"] is None for s in scores):
        return text
    low, high = (factor * statistics.fmean(float(s[end]) for s in scores) for end in ("low", "high"))
    return f"{text} [{low:{sign}.{decimals}f}, {high:{sign}.{decimals}f}]"
