"""Laid-out graphs in one flat plotly figure: a trace for each type of edge and each type of node."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from noisefold.geometry.display import short_name
from noisefold.geometry.graph_drawing import GraphDrawing, edge_style, kinds_of, node_color, type_name

if TYPE_CHECKING:
    from noisefold.geometry.graphs import Graphs

__all__ = ["HEIGHT", "columns_of", "edge_trace", "figure_layout", "graph_figure", "node_trace"]

HEIGHT = 420  # pixels, for which nodes are sized
_ACROSS, _DOWN = 2.5, 2.6  # distance of pictures, of which each is 2 wide
Floats = NDArray[np.float32]


def columns_of(count: int, ratio: float = 1.0) -> int:
    """Return in how many columns pictures stand best in a figure of this width by height."""
    return max(1, min(count, math.ceil(math.sqrt(count * ratio))))


def graph_figure(drawings: Sequence[GraphDrawing], graphs: Graphs, noun: str = "graph") -> Any:
    """Return a plotly figure of graphs, with a legend if they have types.

    Parameters
    ----------
    drawings
        The graphs, laid out.
    graphs
        The set that they are from, which has the names of the types.
    noun
        What one is called.
    """
    from plotly.graph_objects import Figure

    columns = columns_of(len(drawings))
    traces = []
    for kind in kinds_of([d.edge_kinds for d in drawings]):
        masks = [d.edge_kinds == kind for d in drawings]
        name = type_name(graphs.edge_types, kind) if graphs.edge_type is not None else ""
        traces.append(edge_trace(drawings, masks, columns, kind, name))
    for kind in kinds_of([d.kinds for d in drawings]):
        name = type_name(graphs.node_types, kind) if graphs.node_type is not None else ""
        traces.append(node_trace(drawings, columns, kind, name, noun))
    return Figure(traces, figure_layout(drawings, columns))


def edge_trace(
    drawings: Sequence[GraphDrawing],
    masks: Sequence[NDArray[np.bool_]],
    columns: int,
    kind: int | None,
    name: str = "",
) -> dict[str, Any]:
    """Return the trace of some edges of each drawing; of no kind, faint ones."""
    color, width, dash = ("#8a94a0", 1.0, "solid") if kind is None else edge_style(kind)
    runs = []
    for k, (drawing, mask) in enumerate(zip(drawings, masks, strict=True)):
        ends = _placed(drawing, k, columns)[drawing.edges[mask]]  # [e, 2, 2]
        runs.append(np.pad(ends, ((0, 0), (0, 1), (0, 0)), constant_values=np.nan).reshape(-1, 2))
    x, y = _numbers(runs)
    return {
        "type": "scatter", "mode": "lines", "x": x, "y": y, "hoverinfo": "skip",
        "name": escape(name, quote=False),
        "showlegend": bool(name), "opacity": 0.4 if kind is None else 0.85,
        "line": {"color": color, "width": width, "dash": dash},
    }  # fmt: skip


def node_trace(
    drawings: Sequence[GraphDrawing], columns: int, kind: int, name: str, noun: str
) -> dict[str, Any]:
    """Return the trace of the nodes of one type."""
    places, about = [], []
    for k, drawing in enumerate(drawings):
        own = drawing.kinds == kind
        places.append(_placed(drawing, k, columns)[own])
        facts = [drawing.number, drawing.total, drawing.total_edges]
        about.append(np.tile(np.array(facts, np.int32), (int(own.sum()), 1)))
    x, y = _numbers(places)
    rows = -(-len(drawings) // columns)
    size = min((d.size for d in drawings), default=0.05) * HEIGHT / max(rows, 1)
    label = escape(name, quote=False)
    return {
        "type": "scatter", "mode": "markers", "x": x, "y": y, "name": label, "showlegend": bool(name),
        "customdata": np.concatenate(about) if len(x) else [],
        "hovertemplate": f"{noun} %{{customdata[0]}}<br>%{{customdata[1]}} nodes, %{{customdata[2]}} edges"
        f"<extra>{label.replace('%{', '%&#123;')}</extra>",  # braces would be filled in
        "marker": {
            "color": node_color(kind), "size": float(np.clip(size, 4, 12)), "opacity": 1,
            "line": {"width": 0.6, "color": "#ffffff"},
        },
    }  # fmt: skip


def figure_layout(drawings: Sequence[GraphDrawing], columns: int) -> dict[str, Any]:
    """Return the plotly layout of drawings in columns, equal on both axes."""
    rows = -(-len(drawings) // columns)
    hidden = {"visible": False, "showgrid": False, "zeroline": False}
    labels = [
        {
            "x": (k % columns) * _ACROSS, "y": -(k // columns) * _DOWN - 1.08, "yanchor": "top",
            "text": escape(short_name(d.name), quote=False), "showarrow": False,
        }
        for k, d in enumerate(drawings)
        if d.name
    ]  # fmt: skip
    return {
        "xaxis": {**hidden, "range": [-1.15, (columns - 1) * _ACROSS + 1.15], "constrain": "domain"},
        "yaxis": {
            **hidden, "range": [-(rows - 1) * _DOWN - 1.35, 1.1], "scaleanchor": "x", "constrain": "domain",
        },
        "margin": {"l": 0, "r": 0, "t": 28, "b": 0}, "height": HEIGHT, "annotations": labels,
        "hovermode": "closest", "dragmode": "zoom", "plot_bgcolor": "rgba(0,0,0,0)",
        "legend": {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "itemsizing": "constant"},
    }  # fmt: skip


def _placed(drawing: GraphDrawing, k: int, columns: int) -> Floats:
    corner = np.array([(k % columns) * _ACROSS, -(k // columns) * _DOWN])
    placed: Floats = (drawing.places + corner).astype(np.float32)
    return placed


def _numbers(parts: Sequence[Floats]) -> tuple[Any, Any]:
    """Coordinates of all parts; lists where there are none, since plotly writes no empty arrays."""
    joined = np.concatenate(parts) if parts else np.zeros((0, 2), np.float32)
    return (joined[:, 0], joined[:, 1]) if len(joined) else ([], [])
