"""Draws of functions given what is known of them: curves with bands, and maps of the plane and the sphere.

On the sphere a map shows longitudes and latitudes about the middle of the data, so that a region over the
antimeridian stays in one piece, and land is shaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from noisefold.geometry.geographic import latitude_longitude, local_frame
from noisefold.geometry.land import is_land
from noisefold.report.data.projection import Numbers, numbers
from noisefold.report.figures.streamlines import draw_streamlines
from noisefold.report.figures.style import LIGHT, SMALL, TEXT, ColorScale, Paper, dress, labels, new_figure
from noisefold.sample.completion import Completion

__all__ = ["function_curves", "function_maps", "shade_land"]

_CURVES, _ARROWS = 6, 260
_GLOBAL = 0.2  # length of the mean direction below which longitudes go around the globe
_PANEL = 230.0  # points of the width of a map
_PALE = 0.55  # how much of the paper's colour is below arrows


def function_curves(
    completion: Completion, feature: int = 0, *, count: int = 4, paper: Paper = LIGHT
) -> Figure:
    """Draw functions on the line: what is known, some draws, intervals of 50 and 90 %, and the truth.

    Parameters
    ----------
    completion
        Draws of functions at positions ``[n, 1]``, whose graphs hold the truth.
    feature
        Which value.
    count
        Functions, at most.
    paper
        Colours of the figure.

    Raises
    ------
    ValueError
        If positions are not on the line.
    """
    graphs = completion.graphs
    if graphs.dim != 1:
        raise ValueError(f"function_curves draws functions on the line, got positions in {graphs.dim}-D.")
    shown = min(count, len(graphs))
    columns = min(shown, 2)
    rows = -(-shown // columns)
    figure = new_figure(4.2 * columns, 2.5 * rows, paper)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for i, axes in enumerate(panels):
        if i < shown:
            _curve(axes, completion, i, feature, paper)
        else:
            axes.set_visible(False)
    handles, names = panels[0].get_legend_handles_labels()
    look: dict[str, Any] = {"frameon": False, "fontsize": SMALL, "labelcolor": paper.ink}
    figure.legend(handles, names, loc="outside upper center", ncols=len(names), **look)
    return figure


def _curve(axes: Axes, completion: Completion, i: int, feature: int, paper: Paper) -> None:
    rows = slice(*completion.graphs.ptr[i : i + 2].tolist())
    x = numbers(completion.graphs.coordinates[rows, 0])
    order = np.argsort(x)
    x = x[order]
    known = completion.known[rows, feature].cpu().numpy()[order]
    draws = numbers(completion.values[:, rows, feature])[:, order]
    assert completion.graphs.x is not None
    truth = numbers(completion.graphs.x[rows, feature])[order]
    for level, alpha in ((0.9, 0.18), (0.5, 0.3)):
        low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
        name = f"{100 * level:.0f} % of the draws"
        axes.fill_between(x, low, high, color=paper.first, alpha=alpha, linewidth=0, label=name)
    for k, draw in enumerate(draws[:_CURVES]):
        look: dict[str, Any] = {"color": paper.first, "linewidth": 0.7, "alpha": 0.7}
        axes.plot(x, draw, label="draws" if k == 0 else None, **look)
    if np.isfinite(truth[~known]).any():
        axes.plot(x, truth, color=paper.second, linewidth=1.2, linestyle="--", label="truth")
    axes.plot(x[known], truth[known], "o", color=paper.ink, markersize=4, label="known")
    axes.set_title(f"{int(known.sum())} known", fontsize=TEXT, color=paper.ink)
    labels(axes, paper)
    dress(axes, paper)


@dataclass(frozen=True)
class _Chart:
    """Where nodes are on a map, and how the map is called and shaped."""

    xy: Numbers
    labels: tuple[str, str]
    aspect: float
    lat: Numbers | None = None

    @classmethod
    def of(cls, completion: Completion, rows: slice) -> _Chart:
        graphs = completion.graphs
        if getattr(graphs.modality, "inputs", "") != "sphere":
            return cls(numbers(graphs.coordinates[rows, :2]), ("x", "y"), 1.0)
        lat, lon = latitude_longitude(graphs.pos[rows].double().cpu().numpy())
        angles = np.radians(lon)
        # About the middle of the data, which a mean of longitudes over the antimeridian is not.
        around = np.array([np.sin(angles).mean(), np.cos(angles).mean()])
        middle = np.degrees(np.arctan2(*around)) if np.linalg.norm(around) > _GLOBAL else 0.0
        lon = middle + (lon - middle + 180) % 360 - 180
        across = max(np.cos(np.radians((lat.min() + lat.max()) / 2)), 0.3)
        return cls(np.stack([lon, lat], 1), ("longitude", "latitude"), 1 / across, lat)

    @property
    def sphere(self) -> bool:
        return self.lat is not None

    def arrows(self, vectors: Numbers) -> Numbers:
        """Components ``[..., n, 2]`` on the map of vectors ``[..., n, d]``."""
        if not self.sphere or vectors.shape[-1] == 2:
            return vectors[..., :2]
        axes = local_frame(self.xy[:, 1], self.xy[:, 0])
        return np.stack([np.sum(vectors * axis, axis=-1) for axis in axes], axis=-1)


def function_maps(
    completion: Completion,
    feature: int | None = None,
    *,
    graph: int = 0,
    name: str = "",
    streamlines: bool = False,
    paper: Paper = LIGHT,
) -> Figure:
    """Draw a completed field: what is known, the truth, the mean, two draws, the spread and the error.

    Parameters
    ----------
    completion
        Draws at positions of the plane or of the sphere.
    feature
        Which value; None for all of them as one vector: arrows, with its length as colour.
    graph
        Which field.
    name
        What is drawn, with its unit.
    streamlines
        Whether vectors are shown by lines along them, in the place of arrows.
    paper
        Colours of the figure.

    Raises
    ------
    ValueError
        If there are fewer than two draws, or positions have one dimension.
    """
    graphs = completion.graphs
    if len(completion) < 2 or graphs.dim < 2:
        raise ValueError(
            f"function_maps needs 2 draws in 2-D at least, got {len(completion)} in {graphs.dim}-D."
        )
    rows = slice(*graphs.ptr[graph : graph + 2].tolist())
    chart = _Chart.of(completion, rows)
    assert graphs.x is not None
    known = completion.known[rows].all(1).cpu().numpy()
    columns = slice(None) if feature is None else slice(feature, feature + 1)
    draws, truth = numbers(completion.values[:, rows, columns]), numbers(graphs.x[rows, columns])
    if feature is None:
        draws, truth = chart.arrows(draws), chart.arrows(truth)
    spread = np.where(known, np.nan, np.sqrt(draws.var(0, ddof=1).sum(-1)))
    error = np.where(known, np.nan, np.linalg.norm(draws.mean(0) - truth, axis=-1))
    fields = {"truth": truth, "mean of the draws": draws.mean(0), "a draw": draws[0], "another": draws[1]}
    told = bool(np.isfinite(truth).all())
    if not told:
        fields.pop("truth")
    scale = _scale(np.concatenate(list(fields.values())), feature is None)
    wide = ColorScale.spread(np.concatenate([spread[~known], error[~known]]) if told else spread[~known])
    width, height = (np.ptp(chart.xy[:, k]) or 1.0 for k in (0, 1))
    tall = float(np.clip(2.9 * height * chart.aspect / width, 1.4, 4.5))
    figure = new_figure(11.4, 2 * tall + 0.9, paper)
    panels = figure.subplots(2, 3, sharex=True, sharey=True)
    order = [(0, 0), (0, 1), (1, 0), (1, 1)] if told else [(0, 0), (0, 1), (1, 0)]
    for (row, column), (title, values) in zip(order, fields.items(), strict=True):
        marks = known if title in ("truth", "mean of the draws") else None
        _panel(panels[row][column], chart, values, scale, paper, title, marks, streamlines)
    if not told:
        panels[1][1].set_visible(False)
    _panel(panels[0][2], chart, spread[:, None], wide, paper, "spread of the draws", known)
    if told:
        _panel(panels[1][2], chart, error[:, None], wide, paper, "error of the mean", None)
    else:
        panels[1][2].set_visible(False)
    for axes in panels[:, 0]:
        labels(axes, paper, y=chart.labels[1])
    for axes in panels[1]:
        labels(axes, paper, x=chart.labels[0])
    for where, colors, text in (
        (panels[:, :2], scale, name),
        (panels[:, 2], wide, f"{name} (spread, error)"),
    ):
        bar = figure.colorbar(
            colors.mappable, ax=where.ravel().tolist(), shrink=0.8, aspect=30, extend=colors.extend
        )
        bar.set_label(text.strip(), fontsize=TEXT, color=paper.ink)
        bar.ax.tick_params(colors=paper.ink, labelsize=SMALL)
    return figure


def _scale(values: Numbers, vector: bool) -> ColorScale:
    return ColorScale.spread(np.linalg.norm(values, axis=-1)) if vector else ColorScale.values(values.ravel())


def _panel(
    axes: Axes,
    chart: _Chart,
    values: Numbers,
    scale: ColorScale,
    paper: Paper,
    title: str,
    known: Any,
    streamlines: bool = False,
) -> None:
    x, y = chart.xy.T
    axes.set_aspect(chart.aspect)
    width, height = (np.ptp(c) or 1.0 for c in (x, y))
    spacing = np.sqrt(width * height / max(len(x), 1)) / width
    size = float(np.clip((1.5 * _PANEL * spacing) ** 2, 1.5, 80.0))
    flat = np.linalg.norm(values, axis=-1) if values.shape[-1] == 2 else values[:, 0]
    colors = np.asarray(scale.mappable.to_rgba(np.ma.masked_invalid(flat)))
    if chart.sphere:
        shade_land(axes, x, y, paper)
    if values.shape[-1] == 2:
        colors[:, :3] = _PALE * np.array(to_rgb(paper.ground)) + (1 - _PALE) * colors[:, :3]
        axes.scatter(x, y, s=size, c=colors, marker="s", linewidths=0)
        if streamlines:
            draw_streamlines(axes, chart.xy, values, sphere=chart.sphere, paper=paper)
        else:
            some = np.linspace(0, len(x) - 1, min(_ARROWS, len(x))).astype(int)
            longest = max(float(scale.high), 1e-12) * np.sqrt(len(some))
            look: dict[str, Any] = {"scale": 0.5 * longest, "width": 0.003, "color": paper.ink}
            axes.quiver(x[some], y[some], values[some, 0], values[some, 1], zorder=3, **look)
    else:
        axes.scatter(x, y, s=size, c=colors, marker="s", linewidths=0)
    if known is not None and known.any() and not known.all():
        ring: dict[str, Any] = {"facecolors": "none", "edgecolors": paper.second, "linewidths": 0.9}
        axes.scatter(x[known], y[known], s=14, zorder=4, **ring)
    axes.set_title(title, fontsize=TEXT, color=paper.ink)
    if chart.sphere:
        axes.xaxis.set_major_formatter(lambda v, _: _degrees((v + 180) % 360 - 180, "EW"))
        axes.yaxis.set_major_formatter(lambda v, _: _degrees(v, "NS"))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 3, 5, 10]))
    dress(axes, paper)


def _degrees(value: float, ends: str) -> str:
    """Return degrees as 30°W."""
    end = "" if value in (0, -180) else ends[int(value < 0)]
    return f"{abs(value):g}°{end}"


def shade_land(axes: Axes, lon: Numbers, lat: Numbers, paper: Paper = LIGHT) -> None:
    """Shade the land on a map of longitudes and latitudes, and draw the coasts.

    Parameters
    ----------
    axes
        The map.
    lon, lat
        Longitudes, which may leave [-180, 180], and latitudes that are shown.
    paper
        Colours of the figure.
    """
    west, east, south, north = lon.min(), lon.max(), lat.min(), lat.max()
    margin = 0.02 * max(east - west, north - south, 1e-3)
    x = np.linspace(west - margin, east + margin, 400)
    y = np.clip(np.linspace(south - margin, north + margin, 400), -90, 90)
    land = is_land(y[:, None], x)
    axes.contourf(x, y, land.astype(float), levels=[0.5, 1.5], colors=[paper.blank], zorder=0)
    if land.any() and not land.all():
        axes.contour(x, y, land.astype(float), levels=[0.5], colors=[paper.faint], linewidths=0.6, zorder=2)
    axes.set_xlim(x[0], x[-1])
    axes.set_ylim(y[0], y[-1])
