"""Curves on paper: the history of a training, a network's schedule, the calibration of posterior draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    LogLocator,
    MaxNLocator,
    MultipleLocator,
    NullFormatter,
    PercentFormatter,
    StrMethodFormatter,
)

from noisefold.report.data.calibration import Calibration
from noisefold.report.data.history import History, schedule_by_noise
from noisefold.report.figures.style import LIGHT, SMALL, Paper, dress, labels, new_figure

__all__ = ["calibration_plot", "schedule_curves", "training_curves"]


def training_curves(
    log: Sequence[Mapping[str, Any]] | History, *, loss: bool = True, levels: bool = True
) -> Figure:
    """Draw the loss by step and minutes, and the held-out loss by signal level if there is any.

    Parameters
    ----------
    log
        Entries of ``metrics.jsonl``.
    loss, levels
        Which of the two is drawn.

    Raises
    ------
    ValueError
        If the log holds no loss, or nothing is to be drawn.
    """
    history = log if isinstance(log, History) else History.of(log)
    if not history:
        raise ValueError("the log holds no finite loss; train for at least one interval of log_every steps.")
    snapshots = history.snapshots() if levels else []
    panels = int(loss) + int(bool(snapshots))
    if panels == 0:
        raise ValueError("there is nothing to draw: the log holds no validation, and loss is False.")
    figure = new_figure(4.6 * panels + 0.6, 3.3)
    boxes = list(figure.subplots(1, panels, squeeze=False)[0])
    if loss:
        _loss(boxes[0], history)
    if snapshots:
        _by_signal(boxes[-1], history, snapshots)
    return figure


def schedule_curves(adaptive: Any, nodes: int) -> Figure:
    """Draw range and resolution of a network at every noise level, for graphs of this many nodes.

    Parameters
    ----------
    adaptive
        Any schedule of `noisefold.nn.adaptive`.
    nodes
        Number of nodes.
    """
    noise, ranges, resolutions = schedule_by_noise(adaptive, nodes)
    figure = new_figure(5.4, 3.2)
    axes = figure.subplots()
    axes.plot(noise, resolutions, color=LIGHT.first, linewidth=1.6, label="resolution (coarse nodes)")
    axes.plot(
        noise, ranges, color=LIGHT.second, linewidth=1.6, linestyle="--", label="range (neighbours of each)"
    )
    axes.set(yscale="log", xlim=(0, 1))
    labels(axes, LIGHT, "noise level  (0 = data, 1 = noise)", "nodes")
    axes.yaxis.set_major_locator(LogLocator(10, (1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    _dress(axes)
    return figure


def calibration_plot(calibration: Calibration, *, paper: Paper = LIGHT) -> Figure:
    """Draw nominal against observed coverage with its 95 % band, and the rank histogram.

    Parameters
    ----------
    calibration
        Ranks of the held-out values.
    paper
        Colours of the figure.
    """
    figure = new_figure(8.0, 3.4, paper)
    left, right = figure.subplots(1, 2)
    _curve(left, calibration, paper)
    _bars(right, calibration, paper)
    return figure


def _curve(axes: Axes, calibration: Calibration, paper: Paper) -> None:
    nominal, (low, high) = calibration.nominal, calibration.band
    axes.plot([0, 1], [0, 1], color=paper.faint, linewidth=1, linestyle="--", label="exact")
    axes.fill_between(nominal, low, high, color=paper.first, alpha=0.22, linewidth=0, label="95 % interval")
    axes.plot(nominal, calibration.observed, "o-", color=paper.first, markersize=3, label="observed")
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    labels(axes, paper, "probability of the interval", "held-out values inside")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MultipleLocator(0.25))
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.text(0.03, 0.66, "too wide", transform=axes.transAxes, fontsize=SMALL, color=paper.faint)
    axes.text(
        0.97, 0.30, "too narrow", transform=axes.transAxes, fontsize=SMALL, color=paper.faint, ha="right"
    )
    dress(axes, paper, legend={"loc": "upper left"})


def _bars(axes: Axes, calibration: Calibration, paper: Paper) -> None:
    shares, reach = calibration.histogram()
    bins = len(shares)
    middle = (np.arange(bins) + 0.5) / bins
    axes.bar(middle, shares, width=0.92 / bins, color=paper.first, alpha=0.55, label="observed")
    if np.isfinite(reach).all():
        below = np.minimum(reach, shares)
        axes.errorbar(
            middle, shares, [below, reach], fmt="none", ecolor=paper.ink, elinewidth=1, label="95 % interval"
        )
    axes.axhline(1 / bins, color=paper.faint, linestyle="--", linewidth=1, label="exact")
    top = float(np.nan_to_num(shares + np.nan_to_num(reach)).max())
    axes.set(xlim=(0, 1), ylim=(0, max(1.45 * top, 1.8 / bins)))
    labels(axes, paper, "rank of the truth among the draws (0 below all, 1 above all)", "held-out values")
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    dress(axes, paper, legend={"loc": "upper center", "ncols": 3})


# -- parts -----------------------------------------------------------------------------------------------


def _loss(axes: Axes, history: History) -> None:
    step = history.step
    axes.plot(step, history.loss, color=LIGHT.first, alpha=0.3, linewidth=0.9, label="training, every entry")
    axes.plot(step, history.smooth(), color=LIGHT.first, linewidth=1.6, label="training, smoothed")
    if history.val_step:
        axes.plot(
            history.val_step, history.val_loss, "o-", color=LIGHT.second, markersize=3.5, label="held out"
        )
    axes.set_yscale("log" if history.wide else "linear")
    labels(axes, LIGHT, "step", "loss")
    if not history.wide:
        axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    _dress(axes)
    rate = history.minutes_per_step
    if rate:
        top: Any = axes.secondary_xaxis(
            "top", functions=(lambda s: np.multiply(s, rate), lambda m: np.divide(m, rate))
        )
        labels(top, LIGHT, "minutes")
        dress(top, LIGHT)


def _by_signal(axes: Axes, history: History, snapshots: Sequence[int]) -> None:
    for place, k in enumerate(snapshots):
        late = (place + 1) / len(snapshots)
        look: dict[str, Any] = {"color": LIGHT.second, "alpha": late, "markersize": 3.5}
        axes.plot(*history.by_signal(k), "o-", label=f"step {history.val_step[k]:,}", **look)
    axes.set_xlim(0, 1)
    labels(axes, LIGHT, "signal level  (0 = noise, 1 = data)", "held-out loss")
    _dress(axes)


def _dress(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    dress(axes, LIGHT, legend={})
