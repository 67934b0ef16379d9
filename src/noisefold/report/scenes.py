"""What the page's script draws, as plain data: clouds in base64, curves as plotly traces.

Positions are int16 in 1/6000 of a display unit, three to a point; colours are one byte. A colour that begins
with ``--`` names a variable of the style sheet, so that curves follow the light and the dark scheme.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps

from noisefold.report.clouds import Array, Cloud, counted
from noisefold.report.curves import History, levels_of
from noisefold.report.journey import Journey

__all__ = ["cloud_scene", "journey_scene", "level_views", "loss_views", "palettes", "schedule_views"]

STEPS_PER_UNIT = 6000
Data = dict[str, Any]


def palettes() -> Data:
    """Viridis without the end that is lost on white paper, and without the one that is lost on black."""
    ends = {"light": (0.0, 0.9), "dark": (0.22, 1.0)}
    colors = colormaps["viridis"]
    return {
        name: [[k / 8, _rgb(colors(low + (high - low) * k / 8))] for k in range(9)]
        for name, (low, high) in ends.items()
    }


def cloud_scene(clouds: Sequence[Cloud], kind: str, flat: bool) -> Data:
    """Clouds that stand on a table."""
    parts = [{**_named(c, kind), "points": _points(c.points), "colors": _colors(c.color)} for c in clouds]
    return {"flat": flat, "unit": STEPS_PER_UNIT, "clouds": parts}


def journey_scene(path: Journey) -> Data:
    """Clouds at many moments; colours once where they do not change."""
    constant = all(c is e for moment in path.colors for c, e in zip(moment, path.colors[-1], strict=True))
    frames = [
        {
            "signal": round(u, 4),
            "points": [_points(p) for p in points],
            "colors": None if constant else [_colors(c) for c in colors],
        }
        for u, points, colors in zip(path.signal, path.points, path.colors, strict=True)
    ]
    clouds = [{**_named(c, "sample"), "colors": _colors(c.color)} for c in path.clouds]
    return {"flat": path.flat, "unit": STEPS_PER_UNIT, "clouds": clouds, "frames": frames}


def loss_views(history: History) -> Data:
    """Loss by step and by minute."""
    clocks: list[tuple[str, str, Sequence[float], Sequence[float]]] = [
        ("step", "step", history.step, history.val_step)
    ]
    if history.minutes_per_step:
        minutes = [s / 60 for s in history.seconds]
        clocks.append(("minutes", "minutes of training", minutes, history.val_minutes()))
    values = [*history.loss, *history.val_loss] if history.wide else ()
    views = {}
    for name, label, x, val_x in clocks:
        traces = [
            _line(x, history.loss, "training, every entry", "--first", width=1, opacity=0.35),
            _line(x, history.smooth(), "training, smoothed", "--first"),
        ]
        if history.val_step:
            traces.append(_line(val_x, history.val_loss, "held out", "--second", markers=True))
        views[name] = {"data": traces, "layout": _axes(label, "loss", log=values)}
    return views


def level_views(history: History) -> Data:
    """Held-out loss by signal level, at some steps of the training."""
    snapshots = history.snapshots()
    traces = []
    for place, k in enumerate(snapshots):
        late = place == len(snapshots) - 1
        levels, losses = history.by_signal(k)
        name = f"step {history.val_step[k]:,}"
        shade = "--second" if late else f"--faded-{len(snapshots) - 2 - place}"
        traces.append(_line(levels, losses, name, shade, markers=True))
    layout = _axes("signal level  (0 = noise, 1 = data)", "held-out loss", span=True)
    return {"signal": {"data": traces, "layout": layout}}


def schedule_views(adaptive: Any, nodes: int) -> Data:
    """Range and resolution by noise level."""
    noise, ranges, resolutions = levels_of(adaptive, nodes)
    traces = [
        _line(noise, resolutions, "resolution (coarse nodes)", "--first"),
        _line(noise, ranges, "range (neighbours of each)", "--second", dash="dash"),
    ]
    layout = _axes("noise level  (0 = data, 1 = noise)", "nodes", log=[*ranges, *resolutions], span=True)
    return {"noise": {"data": traces, "layout": layout}}


# -- parts -----------------------------------------------------------------------------------------------


def _rgb(color: Sequence[float]) -> str:
    return "rgb({},{},{})".format(*(round(255 * v) for v in color[:3]))


def _named(cloud: Cloud, kind: str) -> Data:
    parts = [f"{kind} {cloud.number}", cloud.name, counted(cloud.total, "point")]
    return {"name": cloud.name, "about": [p for p in parts if p], "count": len(cloud.points)}


def _points(points: Array) -> str:
    steps = np.clip(np.round(points * STEPS_PER_UNIT), -32767, 32767).astype("<i2")
    return base64.b64encode(np.ascontiguousarray(steps).tobytes()).decode("ascii")


def _colors(color: Array) -> str:
    return base64.b64encode(np.round(color * 255).astype(np.uint8).tobytes()).decode("ascii")


def _line(
    x: Sequence[float],
    y: Sequence[float],
    name: str,
    color: str,
    *,
    width: float = 2.2,
    opacity: float = 1.0,
    dash: str = "solid",
    markers: bool = False,
) -> Data:
    return {
        "type": "scatter",
        "mode": "lines+markers" if markers else "lines",
        "x": [_plain(v) for v in x],
        "y": [_plain(v) for v in y],
        "name": name,
        "opacity": opacity,
        "line": {"color": color, "width": width, "dash": dash},
        "marker": {"color": color, "size": 7},
        "hovertemplate": "%{y:.4~g}",
    }


def _plain(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _axes(x: str, y: str, *, log: Sequence[float] = (), span: bool = False) -> Data:
    """Axes with these titles; upwards logarithmic if values to span are given."""
    across: Data = {"title": {"text": x}, **({"range": [0, 1]} if span else {"rangemode": "tozero"})}
    up: Data = {"title": {"text": y}}
    if log:
        # Left alone, plotly labels the ticks between powers of ten by their first digit only.
        ticks = [d * 10.0**e for e in range(-12, 12) for d in (1, 2, 5)]
        near = [t for t in ticks if min(log) / 2 < t < max(log) * 2]
        up |= {"type": "log", "tickvals": near, "tickformat": ",.4~g"}
    return {"xaxis": across, "yaxis": up}
