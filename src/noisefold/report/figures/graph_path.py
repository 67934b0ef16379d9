"""The path of graphs from noise to data, under a slider: edges that last to the end stand out."""

from __future__ import annotations

from typing import Any

from plotly.graph_objects import Figure

from noisefold.geometry.graph_drawing import GraphDrawing, kinds_of, type_name
from noisefold.geometry.graph_figure import columns_of, edge_trace, figure_layout, node_trace
from noisefold.report.data.graph_path import GraphPath, lasting
from noisefold.report.figures.interactive import with_slider

__all__ = ["graph_path_figure"]


def graph_path_figure(path: GraphPath) -> Figure:
    """Return graphs on their way from noise to data, one frame for each moment, under a slider."""
    columns = columns_of(len(path.ends), 2.0)
    graphs, states = path.graphs, [d for moment in path.moments for d in moment]
    lines, dots = kinds_of([d.edge_kinds for d in states]), kinds_of([d.kinds for d in states])
    line_names = [type_name(graphs.edge_types, k) if graphs.edge_type is not None else "" for k in lines]
    dot_names = [type_name(graphs.node_types, k) if graphs.node_type is not None else "" for k in dots]

    def traces(moment: tuple[GraphDrawing, ...]) -> list[dict[str, Any]]:
        last = [lasting(d, end) for d, end in zip(moment, path.ends, strict=True)]
        made = [edge_trace(moment, [~kept for kept in last], columns, None)]
        for k, name in zip(lines, line_names, strict=True):
            own = [kept & (d.edge_kinds == k) for d, kept in zip(moment, last, strict=True)]
            made.append(edge_trace(moment, own, columns, k, name))
        for k, name in zip(dots, dot_names, strict=True):
            made.append(node_trace(moment, columns, k, name, "sample"))
        return made

    # Places and types of nodes that never change need no frame.
    moving = 1 + len(lines) + (len(dots) if len(dots) > 1 else 0)
    frames = []
    for number, moment in enumerate(path.moments):
        data = [
            {k: trace[k] for k in ("type", "x", "y", "customdata") if k in trace}
            for trace in traces(moment)[:moving]
        ]
        frames.append({"name": str(number), "data": data, "traces": list(range(moving))})
    figure = Figure(traces(path.ends), figure_layout(path.ends, columns))
    return with_slider(figure, [f"{100 * u:.0f} %" for u in path.signal], frames)
