"""A field in a series of panels: on its way from noise to data, and from one point in time to the next."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from noisefold.geometry.graphs import Graphs
from noisefold.report.data.projection import (
    Names,
    Numbers,
    Projection,
    at_one_time,
    color_limits,
    numbers,
    projections,
    time_points,
)
from noisefold.report.data.trajectory import evenly
from noisefold.report.figures.panels import PanelGrid
from noisefold.report.figures.style import LIGHT, SMALL, ColorScale, Paper, dress, labels, new_figure

__all__ = ["field_trajectory", "time_series"]

_LINES = 4


def field_trajectory(
    trajectory: Sequence[tuple[float, Graphs]],
    features: Sequence[int | str] = (0,),
    *,
    graph: int = 0,
    moments: int = 6,
    names: Names | None = None,
    paper: Paper = LIGHT,
) -> Figure:
    """Draw a field from noise to data: one row for each feature, one column for each moment.

    Each row has one colour scale, that of its last moment. Where the noise is more than twice as wide as the
    data (a variance-exploding path), the values of a moment are shrunk towards their mean, to twice the
    spread of the end.

    Parameters
    ----------
    trajectory
        Pairs (signal level u, graphs with features), as `Model.sample` hands them to `callback`.
    features
        Their indices or names.
    graph
        Index of the graph.
    moments
        Most moments, evenly chosen.
    names
        Names of features and axes.
    paper
        Colours of the figure.

    Raises
    ------
    ValueError
        If the trajectory is empty, or there is no such graph or feature.
    """
    names = names or Names()
    if not trajectory or any(g.x is None for _, g in trajectory):
        raise ValueError("trajectory must hold at least one moment of graphs with features, got none.")
    last = trajectory[-1][1]
    if not 0 <= graph < len(last):
        raise ValueError(f"graph must be from 0 to {len(last) - 1}, got {graph}.")
    chosen = [trajectory[k] for k in evenly(len(trajectory), moments)]
    start, end = last.ptr[graph : graph + 2].tolist()
    rows = start + at_one_time(last.pos[start:end], names, np.ones(end - start))
    places = projections(last.pos[rows], names)[0]
    picked = [names.number(f, last.features) for f in features]
    titles = [f"{100 * u:.0f} % signal" for u, _ in chosen]
    rows_named = [names.feature(k) for k in picked]
    grid = PanelGrid([places] * len(picked), len(chosen), titles, rows_named, paper=paper)
    for row, k in enumerate(picked):
        states = [numbers(g.x[rows, k]) for _, g in chosen if g.x is not None]
        states = [_shrunk(state, states[-1]) for state in states]
        scale = ColorScale.values(states[-1], np.concatenate(states))
        for column, state in enumerate(states):
            grid.fill(row, column, places, state, scale)
        grid.color_bar(grid.axes[row], scale, names.values, "right")
    return grid.figure


def time_series(
    pos: Tensor,
    real: Tensor,
    made: Tensor,
    feature: int | str = 0,
    *,
    names: Names,
    known: Tensor | None = None,
    most: int = 6,
    paper: Paper = LIGHT,
) -> Figure:
    """Draw the points in time of a field side by side, real and made.

    In one dimension of space panels hold curves; in more, maps, real above made, with one colour scale.

    Parameters
    ----------
    pos
        Positions and time, ``[n, p]``; ``names.time`` says which coordinate is time.
    real
        Real values on these nodes, ``[n, f]``, or those of several graphs, ``[r, n, f]``.
    made
        Samples, or posterior draws, ``[m, n, f]``.
    feature
        Its index or name.
    names
        Names of features and axes, and which axis is time.
    known
        Where values were given, ``[n, f]``, bool, if `made` are posterior draws, which are shown by their
        mean and 90 % interval. Without it, each sample is a line.
    most
        Most points in time, evenly chosen.
    paper
        Colours of the figure.

    Raises
    ------
    ValueError
        If shapes do not fit, no coordinate is time, or there is no such feature.
    """
    several = real if real.ndim == 3 else real[None]
    if made.ndim != 3 or several.shape[1:] != made.shape[1:] or made.shape[1] != pos.shape[0]:
        shapes = f"{list(real.shape)} and {list(made.shape)}"
        raise ValueError(f"real and made must be [n, f] and [m, n, f] on {pos.shape[0]} nodes, got {shapes}.")
    k = names.number(feature, made.shape[2])
    times = time_points(pos, names, most)
    truth, drawn = numbers(several[:, :, k]), numbers(made[:, :, k])
    given = None if known is None else known[:, k].cpu().numpy()
    heads = [f"{names.axis(names.time or 0)} = {t:.3g}" for t, _ in times]
    if given is not None:
        heads = [h + _told(given[rows]) for h, (_, rows) in zip(heads, times, strict=True)]
    space = [c for c in range(pos.shape[1]) if c != names.time]
    if len(space) > 1:
        return _maps(pos, truth, drawn, [rows for _, rows in times], heads, names, given, paper)
    where = numbers(pos[:, space[0]]) if space else np.zeros(pos.shape[0])
    figure = new_figure(8.9, 2.45, paper)
    panels = figure.subplots(1, len(times), sharey=True, squeeze=False)[0]
    low, high = color_limits(truth)
    margin = 0.25 * (high - low)
    for axes, (_, rows), head in zip(panels, times, heads, strict=True):
        rows = rows[np.argsort(where[rows], kind="stable")]
        part = None if given is None else given[rows]
        _curves(axes, where[rows], truth[:, rows], drawn[:, rows], part, paper)
        axes.set_title(head, fontsize=8, color=paper.ink, pad=4)
        beside = f"{names.feature(k)} ({names.values})" if axes is panels[0] else ""
        labels(axes, paper, names.axis(space[0]) if space else "", beside)
        axes.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
        dress(axes, paper)
    panels[0].set_ylim(low - margin, high + margin)
    keys = _keys(given is not None, paper)
    figure.legend(
        handles=keys,
        loc="outside lower center",
        ncols=len(keys),
        frameon=False,
        fontsize=SMALL,
        labelcolor=paper.ink,
    )
    return figure


def _maps(
    pos: Tensor,
    truth: Numbers,
    drawn: Numbers,
    times: Sequence[np.ndarray],
    heads: Sequence[str],
    names: Names,
    given: np.ndarray | None,
    paper: Paper,
) -> Figure:
    still = Names(names.features, names.axes, None, names.values)
    space = [c for c in range(pos.shape[1]) if c != names.time]
    places = Projection.together([projections(pos[rows][:, space], still)[0] for rows in times])
    made = drawn[0] if given is None else np.where(given, truth[0], drawn.mean(0))
    scale = ColorScale.values(truth[0], np.concatenate([truth[0], made]))
    kinds = ["real", "generated" if given is None else "posterior mean"]
    grid = PanelGrid([places[0]] * 2, len(times), heads, kinds, paper=paper)
    for column, (rows, at) in enumerate(zip(times, places, strict=True)):
        grid.fill(0, column, at, truth[0, rows], scale)
        grid.fill(1, column, at, made[rows], scale)
    grid.color_bar([*grid.axes[0], *grid.axes[1]], scale, names.values, "right")
    return grid.figure


def _curves(
    axes: Axes, x: Numbers, truth: Numbers, drawn: Numbers, given: np.ndarray | None, paper: Paper
) -> None:
    if given is None:
        for line in drawn[:_LINES]:
            axes.plot(x, line, color=paper.first, linewidth=1.1, alpha=0.8)
        for line in truth[:_LINES]:
            axes.plot(x, line, color=paper.second, linewidth=1.1, linestyle="--", alpha=0.8)
        return
    low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
    axes.fill_between(x, low, high, color=paper.first, alpha=0.25, linewidth=0)
    axes.plot(x, drawn.mean(0), color=paper.first, linewidth=1.3)
    for chosen, fill in ((given, paper.second), (~given, paper.ground)):
        axes.plot(
            x[chosen], truth[0, chosen], "o", markersize=3.4, color=paper.second, markerfacecolor=fill,
            markeredgewidth=0.9,
        )  # fmt: skip


def _keys(posterior: bool, paper: Paper) -> list[Line2D | Patch]:
    if not posterior:
        return [
            Line2D([], [], color=paper.first, label="generated"),
            Line2D([], [], color=paper.second, linestyle="--", label="real"),
        ]

    def dot(label: str, fill: str) -> Line2D:
        marker = Line2D([], [], color=paper.second, marker="o", linestyle="none", markersize=4, label=label)
        marker.set_markerfacecolor(fill)
        return marker

    return [
        Line2D([], [], color=paper.first, label="posterior mean"),
        Patch(facecolor=paper.first, alpha=0.25, label="90 % interval"),
        dot("given", paper.second),
        dot("held out", paper.ground),
    ]


def _told(given: np.ndarray) -> str:
    share = float(given.mean())
    return "\ngiven" if share == 1 else "\nheld out" if share == 0 else f"\n{100 * share:.0f} % given"


def _shrunk(state: Numbers, end: Numbers) -> Numbers:
    """Return a state of at most twice the spread of the end."""
    factor = max(1.0, float(state.std()) / max(2 * float(end.std()), 1e-12)) if end.std() > 0 else 1.0
    return state.mean() + (state - state.mean()) / factor if factor > 1 else state
