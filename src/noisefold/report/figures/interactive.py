"""Figures for the screen: plotly's own frames, sliders and buttons, with numbers as typed arrays.

Colours of text, axes and controls come from one of two templates, for light and dark screens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from plotly.graph_objects import Figure

from noisefold.geometry.display import Cloud
from noisefold.geometry.scene import color_bytes, table_of, turning_figure
from noisefold.report.data.history import History
from noisefold.report.data.trajectory import CloudTrajectory

__all__ = ["curve_figure", "loss_figure", "templates", "trajectory_figure", "with_slider"]

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
_DASHES = {"-": "solid", "--": "dash"}


def templates() -> dict[str, Any]:
    """Return the plotly templates "light" and "dark".

    The colour scale is viridis without the end that is lost on white paper, or on black.
    """
    colors = {
        "light": ("#1b2430", "#dfe3e8", "#f6f7f9", 0.0, 0.9),
        "dark": ("#e6ebf1", "#2c3643", "#181f28", 0.22, 1),
    }
    return {name: _template(*of) for name, of in colors.items()}


def _template(ink: str, rule: str, card: str, low: float, high: float) -> dict[str, Any]:
    clear = "rgba(0,0,0,0)"
    font = {"family": _FONT, "size": 12, "color": ink}
    axis = {"gridcolor": rule, "linecolor": rule, "tickcolor": rule, "ticks": "outside", "zeroline": False}
    button = {"bgcolor": card, "bordercolor": rule, "font": font}
    layout = {
        "font": font,
        "paper_bgcolor": clear,
        "plot_bgcolor": clear,
        "xaxis": {**axis, "automargin": True, "showgrid": False, "showline": True},
        "yaxis": {**axis, "automargin": True},
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
        "hoverlabel": {"align": "left", "bgcolor": card, "bordercolor": rule, "font": font},
        "modebar": {"bgcolor": clear, "color": ink},
        "coloraxis": {
            "colorscale": [
                [k / 8, to_hex(colormaps["viridis"](low + (high - low) * k / 8))] for k in range(9)
            ]
        },
        "scene": {"bgcolor": clear},
        "updatemenudefaults": button,
        "sliderdefaults": {**button, "activebgcolor": ink, "tickcolor": rule},
    }
    return {"layout": layout}


def trajectory_figure(path: CloudTrajectory) -> Figure:
    """Return clouds on their way from noise to data, one frame for each moment, under a slider."""
    figure, table = turning_figure(path.clouds, path.flat, "sample"), table_of(len(path.clouds), path.flat)
    constant = all(c is e for moment in path.colors for c, e in zip(moment, path.colors[-1], strict=True))

    def state(k: int, cloud: Cloud) -> dict[str, Any]:
        places: dict[str, Any] = {"type": "scatter3d", **table.place(k, cloud.points)}
        return places if constant else {**places, "marker": {"color": color_bytes(cloud)}}

    names = [f"{100 * u:.0f} %" for u in path.signal]
    frames = [
        {"name": str(m), "data": [state(k, cloud) for k, cloud in enumerate(path.at(m))]}
        for m in range(len(names))
    ]
    return with_slider(figure, names, frames)


def with_slider(figure: Figure, names: Sequence[str], frames: Sequence[dict[str, Any]]) -> Figure:
    """Return a figure that shows the last of its frames "0", "1", ..., under a slider of other names."""
    now = {"mode": "immediate", "transition": {"duration": 0}}
    steps = [
        {
            "label": name,
            "method": "animate",
            "args": [[str(m)], {**now, "frame": {"duration": 0, "redraw": True}}],
        }
        for m, name in enumerate(names)
    ]
    play = {**now, "fromcurrent": True, "frame": {"duration": 5000 / len(names), "redraw": True}}
    buttons = [
        {"label": "Play", "method": "animate", "args": [None, play]},
        {
            "label": "Pause",
            "method": "animate",
            "args": [[None], {**now, "frame": {"duration": 0, "redraw": False}}],
        },
    ]
    at = {"x": 0, "y": 0, "yanchor": "top"}
    slider = {
        **at, "active": len(names) - 1, "steps": steps, "pad": {"l": 150, "r": 30, "t": 18}, "ticklen": 4,
        "currentvalue": {"prefix": "signal level ", "xanchor": "left"},
    }  # fmt: skip
    menu = {
        **at, "type": "buttons", "direction": "left", "buttons": buttons, "showactive": False,
        "xanchor": "left", "pad": {"l": 12, "t": 34},
    }  # fmt: skip
    figure.update_layout(sliders=[slider], updatemenus=[menu], margin_b=96)
    return Figure(figure.data, figure.layout, list(frames))


def curve_figure(axes: Axes) -> Figure:
    """Return the lines of a matplotlib plot as a plotly figure with the same axes, names and colours."""
    traces = []
    for line in axes.lines:
        color, marked = to_hex(line.get_color()), line.get_marker() not in ("None", "")
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers" if marked else "lines",
                "x": np.asarray(line.get_xdata(), np.float64),
                "y": np.asarray(line.get_ydata(), np.float64),
                "name": str(line.get_label()),
                "opacity": line.get_alpha() or 1.0,
                "line": {
                    "color": color,
                    "width": 1.4 * line.get_linewidth(),
                    "dash": _DASHES[str(line.get_linestyle())],
                },
                "marker": {"color": color, "size": 7},
                "hovertemplate": "%{y:.4~g}",
            }
        )
    across: dict[str, Any] = {"title": {"text": axes.get_xlabel()}, "rangemode": "tozero"}
    up: dict[str, Any] = {"title": {"text": axes.get_ylabel()}, "type": axes.get_yscale()}
    if axes.get_xlim() == (0, 1):
        across["range"] = [0, 1]
    if up["type"] == "log":
        # Left alone, plotly labels the ticks between powers of ten by their first digit only.
        low, high = axes.get_ylim()
        ticks = [d * 10.0**e for e in range(-12, 12) for d in (1, 2, 5)]
        up |= {"tickvals": [t for t in ticks if low / 2 < t < high * 2], "tickformat": ",.4~g"}
    layout = {"xaxis": across, "yaxis": up, "hovermode": "x unified", "dragmode": False, "showlegend": True}
    return Figure(traces, {**layout, "margin": {"l": 56, "r": 18, "t": 14, "b": 48}, "height": 360})


def loss_figure(history: History, axes: Axes) -> Figure:
    """Return the loss by step, and by minute at the press of a button if the log knows the time."""
    figure = curve_figure(axes)
    if history.minutes_per_step:
        minutes = [[_plain(s / 60) for s in history.seconds]] * 2 + [history.val_minutes()] * bool(
            history.val_step
        )
        steps = [history.step] * 2 + [history.val_step] * bool(history.val_step)
        buttons = [
            {"label": title, "method": "update", "args": [{"x": x}, {"xaxis.title.text": title}]}
            for title, x in (("step", steps), ("minutes", minutes))
        ]
        place = {"x": 1, "xanchor": "right", "y": 0, "yanchor": "top", "pad": {"t": 44}}
        menu = {"type": "buttons", "direction": "left", "buttons": buttons, **place}
        figure.update_layout(updatemenus=[menu], margin_b=92)
    return figure


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None
