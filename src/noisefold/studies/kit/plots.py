"""Figures of studies: one palette, one way to show means over seeds, one way to set ticks and legends."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, StrMethodFormatter

from noisefold.studies.kit.statistics import mean_and_error

__all__ = [
    "BLACK",
    "BLUE",
    "GREEN",
    "INK",
    "ORANGE",
    "PINK",
    "RED",
    "SKY",
    "log_ticks",
    "marks",
    "outer_legend",
    "over_seeds",
    "panels",
]

# Palette of Okabe and Ito, distinguishable with every kind of colour vision; https://jfly.uni-koeln.de/color/
BLUE, ORANGE, GREEN, RED, PINK, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
BLACK, INK = "#000000", "#333333"


def panels(rows: int, columns: int, width: float, height: float, **options: Any) -> tuple[Figure, Any]:
    """Return a figure laid out by matplotlib's constrained layout, and its panels."""
    picture = Figure(figsize=(width, height), layout="constrained")
    return picture, picture.subplots(rows, columns, **options)


def marks(looks: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return colour and marker by name, each given as ``"marker colour"``, for print and screen alike."""
    return {name: dict(zip(("marker", "color"), look.split(), strict=True)) for name, look in looks.items()}


def over_seeds(panel: Axes, x: Sequence[float], values: Iterable[Sequence[float]], **look: Any) -> None:
    """Draw the mean over seeds at each x, with its standard error where there are several seeds."""
    means, errors = zip(*map(mean_and_error, values), strict=True)
    look = {"capsize": 2, **look}
    panel.errorbar(x, means, yerr=[0.0 if math.isnan(e) else e for e in errors], **look)


def log_ticks(axis: Axis, ticks: Sequence[float] | None = None) -> None:
    """Label a logarithmic axis with plain numbers: at 1, 2 and 5 of every decade, or at these ticks alone."""
    if ticks is None:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    else:
        axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def outer_legend(picture: Figure, drawn: Iterable[Axes], where: str, **options: Any) -> None:
    """Put one legend for several panels beside them; equal labels appear once."""
    handles: dict[str, Any] = {}
    for panel in drawn:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    options |= {"loc": f"outside {where}", "frameon": False}
    picture.legend(list(handles.values()), list(handles), **options)
