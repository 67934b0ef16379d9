"""Draws of tracks on the Earth: on maps around each track, and on a globe that turns."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from plotly.graph_objects import Figure as Globe

from noisefold.eval.track_scores import geodesic_median
from noisefold.geometry.geographic import latitude_longitude, unit_vectors
from noisefold.geometry.land import is_land
from noisefold.report.figures.style import LIGHT, SMALL, TEXT, Paper, dress, new_figure
from noisefold.sample.completion import Completion

__all__ = ["track_globe", "track_maps"]

_Floats = NDArray[np.float64]
_MOST = 32  # draws of a track that are shown
_RAISED = 1.004  # radius of lines on a globe of radius 1, so that they lie on it
_DEGREES = 1.5  # between the dots of land on the globe


def track_maps(
    completion: Completion, names: tuple[str, ...] = (), *, count: int = 4, paper: Paper = LIGHT
) -> Figure:
    """Draw tracks on maps: what is known, draws, their geodesic median, and the truth that the graphs hold.

    Parameters
    ----------
    completion
        Draws of unit vectors along tracks.
    names
        Of the tracks.
    count
        Tracks, at most.
    paper
        Colours of the figure.

    Raises
    ------
    ValueError
        If the values are no vectors in space.
    """
    _check(completion)
    shown = min(count, len(completion.graphs))
    columns = min(shown, 2)
    figure = new_figure(4.0 * columns, 3.0 * -(-shown // columns), paper)
    panels = figure.subplots(-(-shown // columns), columns, squeeze=False).ravel()
    for i, axes in enumerate(panels):
        if i < shown:
            _map(axes, completion, i, names[i] if i < len(names) else "", paper)
        else:
            axes.set_axis_off()
    panels[0].legend(frameon=False, fontsize=SMALL, labelcolor=paper.ink)
    return figure


def track_globe(completion: Completion, i: int = 0, *, paper: Paper = LIGHT) -> Globe:
    """Return a globe that turns, with the draws of track i, what is known of it, and the truth.

    Raises
    ------
    ValueError
        If the values are no vectors in space.
    """
    draws, truth, known = _track(completion, i)
    u, v = np.meshgrid(np.linspace(0, 2 * np.pi, 49), np.linspace(0, np.pi, 25))
    ball = (np.cos(u) * np.sin(v), np.sin(u) * np.sin(v), np.cos(v))
    quiet = {"hoverinfo": "skip", "showlegend": False}
    traces: list[dict[str, Any]] = [
        {
            "type": "surface",
            **dict(zip("xyz", ball, strict=True)),
            "surfacecolor": np.zeros_like(u),
            "colorscale": [[0, paper.ground], [1, paper.ground]],
            "showscale": False,
            "lighting": {"ambient": 0.9, "diffuse": 0.2, "specular": 0.0},
            **quiet,
        }
    ]
    land = {**_line(_land_dots(), paper.faint), "mode": "markers", **quiet}
    traces.append({**land, "marker": {"size": 2, "color": paper.faint}})
    # One trace for all draws, with gaps between them.
    gap = np.full((1, 3), np.nan)
    many = np.concatenate([part for draw in draws for part in (draw, gap)])
    traces.append({**_line(many, paper.first, 1.5), "name": "draws", "opacity": 0.5})
    traces.append({**_line(truth, paper.ink, 4), "name": "truth"})
    seen = {**_line(truth[known], paper.second), "name": "known", "mode": "markers"}
    traces.append({**seen, "marker": {"size": 4, "color": paper.second}})
    eye = 1.7 * truth.mean(0) / max(float(np.linalg.norm(truth.mean(0))), 1e-9)
    hidden = {"visible": False}
    scene = {"xaxis": hidden, "yaxis": hidden, "zaxis": hidden, "aspectmode": "data"}
    scene["camera"] = {"eye": dict(zip("xyz", eye.tolist(), strict=True)), "up": {"x": 0, "y": 0, "z": 1}}
    margin = {"l": 0, "r": 0, "t": 0, "b": 0}
    return Globe(traces, {"scene": scene, "margin": margin, "height": 460, "legend": {"x": 0, "y": 1}})


def _check(completion: Completion) -> None:
    if completion.values.shape[-1] != 3:
        raise ValueError(
            f"tracks on the Earth have unit vectors in space, got {completion.values.shape[-1]} columns."
        )


def _track(completion: Completion, i: int) -> tuple[_Floats, _Floats, NDArray[np.bool_]]:
    """Return draws ``[k, m, 3]``, the truth ``[m, 3]`` and what is known ``[m]`` of track i."""
    _check(completion)
    rows = slice(int(completion.graphs.ptr[i]), int(completion.graphs.ptr[i + 1]))
    truth = completion.variable.read(completion.graphs)[rows].double().cpu().numpy()
    draws = completion.values[:_MOST, rows].double().cpu().numpy()
    return draws, truth, completion.known[rows, 0].cpu().numpy()


def _map(axes: Axes, completion: Completion, i: int, name: str, paper: Paper) -> None:
    draws, truth, known = _track(completion, i)
    rows = slice(int(completion.graphs.ptr[i]), int(completion.graphs.ptr[i + 1]))
    median = geodesic_median(completion.values[:, rows]).cpu().numpy()
    _, middle = latitude_longitude(truth.mean(0))

    def chart(x: _Floats) -> tuple[_Floats, _Floats]:
        """Return longitudes about the middle, so that no track is torn at the date line, and latitudes."""
        latitude, longitude = latitude_longitude(x)
        return (longitude - middle + 180) % 360 - 180 + middle, latitude

    x, y = chart(np.concatenate([draws.reshape(-1, 3), truth]))
    box = (_widened(x), _widened(y))
    _shade(axes, box[0], box[1], paper)
    for k, draw in enumerate(draws):
        label = "draws" if k == 0 else None
        axes.plot(*chart(draw), color=paper.first, linewidth=0.6, alpha=0.35, label=label)
    axes.plot(*chart(median), color=paper.first, linewidth=1.6, label="median")
    axes.plot(*chart(truth), color=paper.ink, linewidth=1.2, linestyle="--", label="truth")
    axes.plot(*chart(truth[known]), "o", color=paper.second, markersize=2.5, label="known")
    axes.set(xlim=box[0], ylim=box[1])
    axes.set_aspect(1 / max(math.cos(math.radians(float(y.mean()))), 0.2))
    axes.set_title(name, fontsize=TEXT, color=paper.ink)
    axes.xaxis.set_major_formatter(lambda v, _: _degrees((v + 180) % 360 - 180, "EW"))
    axes.yaxis.set_major_formatter(lambda v, _: _degrees(v, "NS"))
    dress(axes, paper)


def _widened(values: _Floats) -> tuple[float, float]:
    low, high = np.quantile(values, (0.002, 0.998))
    margin = max(0.1 * (high - low), 1.0)
    return float(low - margin), float(high + margin)


def _shade(axes: Axes, x: tuple[float, float], y: tuple[float, float], paper: Paper) -> None:
    across, up = np.linspace(*x, 300), np.clip(np.linspace(*y, 300), -90, 90)
    land = is_land(*np.meshgrid(up, across, indexing="ij"))
    axes.contourf(across, up, land.astype(float), levels=[0.5, 1.5], colors=[paper.blank], zorder=0)
    if land.any() and not land.all():
        axes.contour(across, up, land.astype(float), levels=[0.5], colors=[paper.faint], linewidths=0.6)


def _degrees(value: float, ends: str) -> str:
    end = "" if value in (0, -180) else ends[int(value < 0)]
    return f"{abs(value):g}°{end}"


def _land_dots() -> _Floats:
    """Return places on land ``[n, 3]``, about evenly spread over the globe."""
    rows = np.arange(-90 + _DEGREES / 2, 90, _DEGREES)
    counts = np.maximum(1, np.round(360 / _DEGREES * np.cos(np.radians(rows)))).astype(int)
    latitude = np.repeat(rows, counts)
    longitude = np.concatenate([-180 + 360 * (np.arange(c) + 0.5) / c for c in counts])
    land = is_land(latitude, longitude)
    return unit_vectors(latitude[land], longitude[land])


def _line(x: _Floats, color: str, width: float = 2.0) -> dict[str, Any]:
    places = {name: (_RAISED * x[:, k]).astype(np.float32) for k, name in enumerate("xyz")}
    look = {"color": color, "width": width}
    return {"type": "scatter3d", "mode": "lines", **places, "line": look, "hoverinfo": "name"}
