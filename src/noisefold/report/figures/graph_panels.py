"""Laid-out graphs on paper: contact sheets, and the path from noise to data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from noisefold.geometry.display import short_name
from noisefold.geometry.graph_drawing import GraphDrawing, edge_style, kinds_of, node_color, type_name
from noisefold.geometry.graphs import Graphs
from noisefold.report.data.graph_path import GraphPath, lasting
from noisefold.report.data.trajectory import evenly
from noisefold.report.figures.style import LIGHT, SMALL, TEXT, new_figure

__all__ = ["draw_graph_path", "draw_graphs"]

_CLOSE = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
_DASHES: dict[str, Any] = {"solid": "-", "dot": ":", "dash": "--", "dashdot": "-."}


def draw_graphs(
    drawings: Sequence[GraphDrawing],
    names: Sequence[str],
    graphs: Graphs,
    columns: int,
    *,
    size: float = 1.7,
    last: Sequence[NDArray[np.bool_]] | None = None,
) -> Figure:
    """Draw laid-out graphs in rows, with a legend of their types if they have any.

    Parameters
    ----------
    drawings, names
        The graphs, and a line below each.
    graphs
        The set that they are from, which has the names of the types.
    columns
        Graphs in a row.
    size
        Side of the square each is drawn in, inches.
    last
        Which edges of each are drawn in full; the others are faint. Default all.
    """
    if columns < 1:
        raise ValueError(f"columns must be at least 1, got {columns}.")
    columns = min(columns, len(drawings))
    rows, marks = -(-len(drawings) // columns), _legend(drawings, graphs)
    tall = size + (0.22 if any(names) else 0.0)
    figure = new_figure(columns * size, rows * tall + 0.3 * bool(marks), LIGHT, _CLOSE)
    panels = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axes in panels:
        axes.set(xlim=(-1.12, 1.12), ylim=(-1.12, 1.12), aspect="equal")
        axes.set_axis_off()
    for k, (axes, drawing, name) in enumerate(zip(panels, drawings, names, strict=False)):
        full = np.ones(len(drawing.edges), bool) if last is None else last[k]
        _draw(axes, drawing, full, size)
        axes.set_title(short_name(name), y=0, va="top", pad=-1, size=TEXT, color=LIGHT.ink, parse_math=False)
    if marks:
        legend = figure.legend(
            handles=marks, loc="outside upper center", ncols=min(len(marks), 10), frameon=False,
            fontsize=SMALL, labelcolor=LIGHT.ink,
        )  # fmt: skip
        for text in legend.get_texts():
            text.set_parse_math(False)
    return figure


def draw_graph_path(path: GraphPath, moments: int = 6, rows: int = 2, *, size: float = 1.7) -> Figure:
    """Draw a path from noise to data: one row for each graph, one column for each moment."""
    chosen = evenly(len(path.signal), moments)
    pairs = [
        (path.moments[k][row], path.ends[row]) for row in range(min(rows, len(path.ends))) for k in chosen
    ]
    names = [""] * len(pairs)
    for column, k in enumerate(chosen):
        names[column - len(chosen)] = f"{100 * path.signal[k]:.0f} % signal"
    kept = [lasting(drawing, end) for drawing, end in pairs]
    return draw_graphs([d for d, _ in pairs], names, path.graphs, len(chosen), size=size, last=kept)


def _draw(axes: Axes, drawing: GraphDrawing, full: NDArray[np.bool_], size: float) -> None:
    runs = drawing.places[drawing.edges]
    axes.add_collection(LineCollection(list(runs[~full]), colors="#8a94a0", linewidths=0.5, alpha=0.4))
    for kind in kinds_of([drawing.edge_kinds]):
        color, width, dash = edge_style(kind)
        own = list(runs[full & (drawing.edge_kinds == kind)])
        axes.add_collection(
            LineCollection(own, colors=color, linewidths=0.6 * width, linestyles=_DASHES[dash], alpha=0.85)
        )
    width = 72 * size * drawing.size * 0.8
    for kind in kinds_of([drawing.kinds]):
        x, y = drawing.places[drawing.kinds == kind].T
        axes.scatter(x, y, s=width**2, color=node_color(kind), linewidths=0.3, edgecolors="white", zorder=2)


def _legend(drawings: Sequence[GraphDrawing], graphs: Graphs) -> list[Line2D]:
    marks = []
    if graphs.node_type is not None:
        for k in kinds_of([d.kinds for d in drawings]):
            name = type_name(graphs.node_types, k)
            marks.append(Line2D([], [], color=node_color(k), marker="o", linestyle="", label=name))
    if graphs.edge_type is not None:
        for k in kinds_of([d.edge_kinds for d in drawings]):
            color, width, dash = edge_style(k)
            name = type_name(graphs.edge_types, k)
            marks.append(Line2D([], [], color=color, lw=0.8 * width, linestyle=_DASHES[dash], label=name))
    return marks
