r"""Static figures: contact sheets of clouds, the path from noise to data, curves of a training.

A cloud is seen along the direction of azimuth a and elevation e, in parallel projection,

.. math:: (p_x \cos a + p_y \sin a,\;\; p_z \cos e + (p_x \sin a - p_y \cos a) \sin e), \qquad
    \text{depth} = (p_x \sin a - p_y \cos a) \cos e - p_z \sin e,

far points first, and fading into the paper with their depth. No figure touches the state of pyplot.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter
from numpy.typing import NDArray

from noisefold.geometry.graphs import Graphs
from noisefold.report.clouds import Array, Cloud, Scale, clouds_of
from noisefold.report.curves import History, levels_of
from noisefold.report.journey import Journey, journey_of

__all__ = [
    "contact_sheet",
    "draw_clouds",
    "draw_journey",
    "schedule_curves",
    "training_curves",
    "trajectory_strip",
]

AZIMUTH, ELEVATION = math.radians(25), math.radians(22)
SHOWN = 2000
_INK, _FAINT = "#333333", "#8a8a8a"
_FIRST, _SECOND = "#0072b2", "#d55e00"
_COLORS = colormaps["viridis"]
_FILL = 0.9  # of a cell: some points lie outside the unit ball


def contact_sheet(
    graphs: Graphs,
    columns: int = 5,
    titles: Sequence[str] | None = None,
    *,
    scale: Scale | None = None,
    size: float = 1.7,
) -> Figure:
    """Graphs side by side, in rows, all at the same scale.

    Parameters
    ----------
    graphs
        What to draw, in 1, 2, 3 or more dimensions (of which the first three are seen).
    columns
        Graphs in a row.
    titles
        One line below each; default the names of their classes.
    scale
        Unit of length and of colour; default measured on these graphs.
    size
        Side of the square each is drawn in, inches.

    Raises
    ------
    ValueError
        If there are no graphs, or the titles are not as many as they.
    """
    if len(graphs) == 0:
        raise ValueError("graphs must hold at least one graph, got none.")
    if titles is not None and len(titles) != len(graphs):
        raise ValueError(f"titles must be one for each of the {len(graphs)} graphs, got {len(titles)}.")
    clouds = clouds_of(graphs, range(len(graphs)), scale or Scale.of(graphs), SHOWN)
    names = [c.name for c in clouds] if titles is None else list(titles)
    return draw_clouds(clouds, names, columns, flat=graphs.dim < 3, size=size)


def trajectory_strip(
    trajectory: Sequence[tuple[float, Graphs]], moments: int = 6, rows: int = 2, *, size: float = 1.7
) -> Figure:
    """The path from noise to data: one row a graph, one column a moment, evenly chosen.

    Parameters
    ----------
    trajectory
        Pairs (signal level u, graphs), as `Model.sample` hands them to its argument `callback`.
    moments, rows
        How many moments and graphs to show, at most.
    size
        Side of the square each is drawn in, inches.

    Raises
    ------
    ValueError
        If the trajectory is empty, or its graphs change their sizes.
    """
    return draw_journey(journey_of(trajectory, rows, moments, SHOWN), moments, rows, size=size)


def draw_journey(path: Journey, moments: int = 6, rows: int = 3, *, size: float = 1.7) -> Figure:
    """The figure of `trajectory_strip` for a path that is ready."""
    chosen = path.evenly(moments)
    clouds = [path.at(k)[row] for row in range(min(rows, len(path.clouds))) for k in chosen]
    names = [""] * len(clouds)
    for column, k in enumerate(chosen):
        names[column - len(chosen)] = f"{100 * path.signal[k]:.0f} % signal"
    return draw_clouds(clouds, names, len(chosen), flat=path.flat, size=size)


def draw_clouds(
    clouds: Sequence[Cloud], names: Sequence[str], columns: int, *, flat: bool = False, size: float = 1.7
) -> Figure:
    """The figure of `contact_sheet` for clouds that are ready."""
    if columns < 1:
        raise ValueError(f"columns must be at least 1, got {columns}.")
    columns = min(columns, len(clouds))
    rows = -(-len(clouds) // columns)
    line = 0.22 / size * 2 if any(names) else 0.0
    figure = _figure(columns * size, rows * (size + line * size / 2))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 2 * columns), ylim=(-rows * (2 + line), 0), aspect="equal")
    axes.set_axis_off()
    for k, cloud in enumerate(clouds):
        x, y = 2 * (k % columns) + 1, -(k // columns) * (2 + line) - 1
        seen, colors = _seen(cloud, flat)
        width = 72 * size * _dot(len(seen))
        places = _FILL * seen + (x, y)
        axes.scatter(places[:, 0], places[:, 1], s=width**2, c=colors, linewidths=0, rasterized=True)
        axes.text(x, y - 1, _short(names[k]), ha="center", va="top", size=8.5, color=_INK, parse_math=False)
    return figure


def training_curves(
    log: Sequence[Mapping[str, Any]] | History, *, loss: bool = True, levels: bool = True
) -> Figure:
    """Loss by step and minutes and, where the model was validated, its loss by signal level.

    Parameters
    ----------
    log
        Entries of ``metrics.jsonl``.
    loss, levels
        Which of the two to draw.

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
    figure = _figure(4.6 * panels + 0.6, 3.3)
    boxes = list(figure.subplots(1, panels, squeeze=False)[0])
    if loss:
        _loss(boxes[0], history)
    if snapshots:
        _by_signal(boxes[-1], history, snapshots)
    figure.tight_layout(w_pad=3)
    return figure


def schedule_curves(adaptive: Any, nodes: int) -> Figure:
    """Range and resolution of a network at every noise level, for graphs of this many nodes.

    Parameters
    ----------
    adaptive
        Any schedule of `noisefold.nn.adaptive`.
    nodes
        Number of nodes.
    """
    noise, ranges, resolutions = levels_of(adaptive, nodes)
    figure = _figure(5.4, 3.2)
    axes = figure.subplots()
    axes.plot(noise, resolutions, color=_FIRST, linewidth=1.6, label="resolution (coarse nodes)")
    axes.plot(noise, ranges, color=_SECOND, linewidth=1.6, linestyle="--", label="range (neighbours of each)")
    axes.set(xlabel="noise level  (0 = data, 1 = noise)", ylabel="nodes", yscale="log", xlim=(0, 1))
    axes.yaxis.set_major_locator(LogLocator(10, (1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    _dress(axes)
    figure.tight_layout()
    return figure


# -- parts -----------------------------------------------------------------------------------------------


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), dpi=140, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _dot(count: int) -> float:
    """Diameter of a point, as a share of the side of its square."""
    return float(np.clip(0.55 / math.sqrt(max(count, 1)), 0.012, 0.06))


def _seen(cloud: Cloud, flat: bool) -> tuple[Array, NDArray[np.float64]]:
    """Places on paper ``[m, 2]``, far ones first, and colours ``[m, 4]``."""
    p = cloud.points
    if flat or len(p) == 0:
        return p[:, :2], _COLORS(0.92 * cloud.color)
    ca, sa, ce, se = math.cos(AZIMUTH), math.sin(AZIMUTH), math.cos(ELEVATION), math.sin(ELEVATION)
    ahead = -p[:, 0] * sa + p[:, 1] * ca
    across, up = p[:, 0] * ca + p[:, 1] * sa, p[:, 2] * ce + ahead * se
    depth = ahead * ce - p[:, 2] * se
    order = np.argsort(-depth)
    low, high = np.quantile(depth, [0.02, 0.98])
    fade = 0.5 * np.clip((depth - low) / max(high - low, 1e-9), 0, 1)[:, None]
    colors = _COLORS(0.92 * cloud.color)
    colors[:, :3] = colors[:, :3] * (1 - fade) + fade
    return np.stack([across, up], 1)[order], colors[order]


def _short(text: str, most: int = 18) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _dress(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_FAINT)
    axes.tick_params(colors=_INK, labelsize=8)
    axes.xaxis.label.set(size=9, color=_INK)
    axes.yaxis.label.set(size=9, color=_INK)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, fontsize=8, labelcolor=_INK)


def _loss(axes: Axes, history: History) -> None:
    step = history.step
    axes.plot(step, history.loss, color=_FIRST, alpha=0.3, linewidth=0.9, label="training, every entry")
    axes.plot(step, history.smooth(), color=_FIRST, linewidth=1.6, label="training, smoothed")
    if history.val_step:
        axes.plot(history.val_step, history.val_loss, "o-", color=_SECOND, markersize=3.5, label="held out")
    axes.set(xlabel="step", ylabel="loss", yscale="log" if history.wide else "linear")
    if not history.wide:
        axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    _dress(axes)
    rate = history.minutes_per_step
    if rate:
        top = axes.secondary_xaxis(
            "top", functions=(lambda s: np.multiply(s, rate), lambda m: np.divide(m, rate))
        )
        top.set_xlabel("minutes", size=9, color=_INK)
        top.tick_params(colors=_INK, labelsize=8)
        top.spines["top"].set_color(_FAINT)


def _by_signal(axes: Axes, history: History, snapshots: Sequence[int]) -> None:
    for place, k in enumerate(snapshots):
        shade = _COLORS(0.9 - 0.75 * place / max(len(snapshots) - 1, 1))
        levels, losses = history.by_signal(k)
        axes.plot(levels, losses, "o-", markersize=3.5, color=shade, label=f"step {history.val_step[k]:,}")
    axes.set(xlabel="signal level  (0 = noise, 1 = data)", ylabel="held-out loss", xlim=(0, 1))
    _dress(axes)
