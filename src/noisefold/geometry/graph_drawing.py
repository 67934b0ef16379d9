"""Drawings of graphs without positions: laid out, types of nodes by colour, types of edges by line.

Larger graphs are cut to the nodes that are nearest to the one of the most edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from noisefold.geometry.display import class_name, short_name
from noisefold.geometry.graph_layout import breadth_first, graph_layout

if TYPE_CHECKING:
    from noisefold.geometry.graphs import Graphs

__all__ = [
    "EDGE_STYLES",
    "MOST_NODES",
    "NODE_COLORS",
    "EdgeStyle",
    "GraphDrawing",
    "drawings_of",
    "drawings_svg",
    "edge_style",
    "has_no_places",
    "kinds_of",
    "node_color",
    "type_name",
]

MOST_NODES = 400
"""Nodes of a graph that are drawn."""
NODE_COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b8a900", "#7d8a98")
"""Colours of the types of nodes, told apart without seeing red and green apart."""


class EdgeStyle(NamedTuple):
    """How edges of one type are drawn: colour, width in pixels, and dashes in the words of plotly."""

    color: str
    width: float
    dash: str


EDGE_STYLES = (
    EdgeStyle("#8a94a0", 1.3, "solid"),
    EdgeStyle("#c65102", 2.4, "solid"),
    EdgeStyle("#0072b2", 3.4, "solid"),
    EdgeStyle("#009e73", 2.0, "dot"),
    EdgeStyle("#cc79a7", 2.0, "dash"),
    EdgeStyle("#5b6570", 2.4, "dashdot"),
)
"""Lines of the types of edges."""
_DASHES = {"solid": "", "dot": "1 3", "dash": "5 3", "dashdot": "6 3 1 3"}


@dataclass(frozen=True, eq=False)
class GraphDrawing:
    """One graph as it is drawn.

    Parameters
    ----------
    number
        Its index in the set it was taken from.
    name
        Its class, or empty.
    total, total_edges
        Nodes and edges of the whole graph.
    nodes
        Nodes that are drawn, ``[m]``.
    places
        Their places in [-1, 1]^2, ``[m, 2]``.
    kinds
        Their types, ``[m]``, 0 without types.
    edges
        Ends of the edges among them, as numbers from 0 to m - 1, ``[e, 2]``.
    edge_kinds
        Types of the edges, ``[e]``, 0 without types.
    """

    number: int
    name: str
    total: int
    total_edges: int
    nodes: NDArray[np.int64]
    places: NDArray[np.float64]
    kinds: NDArray[np.int64]
    edges: NDArray[np.int64]
    edge_kinds: NDArray[np.int64]

    def at(self, graph: Graphs) -> GraphDrawing:
        """Return another graph on the same nodes, each in its place."""
        return _drawing(graph, self.number, self.name, self.nodes, self.places)

    @property
    def size(self) -> float:
        """Diameter of a node, as a share of the width of the picture."""
        return float(np.clip(0.4 / np.sqrt(max(len(self.nodes), 1)), 0.012, 0.08))


def has_no_places(graphs: Graphs) -> bool:
    """Return whether graphs are to be laid out: they have edges, and no positions."""
    return graphs.dim == 0 and graphs.edge_index is not None


def node_color(kind: int) -> str:
    """Return the colour of a type of nodes."""
    return NODE_COLORS[kind % len(NODE_COLORS)]


def edge_style(kind: int) -> EdgeStyle:
    """Return the line of a type of edges."""
    return EDGE_STYLES[kind % len(EDGE_STYLES)]


def type_name(names: Sequence[str], kind: int) -> str:
    """Return the name of a type, or its number."""
    return names[kind] if kind < len(names) else f"type {kind}"


def kinds_of(values: Sequence[NDArray[np.int64]]) -> list[int]:
    """Return the types that occur, ascending."""
    return [int(k) for k in np.unique(np.concatenate(values))] if values else []


def drawings_of(graphs: Graphs, indices: Sequence[int], most: int = MOST_NODES) -> list[GraphDrawing]:
    """Return some graphs, each laid out; of larger ones at most so many nodes."""
    drawn = []
    for k in indices:
        graph = graphs[int(k)].to("cpu")
        ends, _ = _edges(graph)
        nodes = breadth_first(ends, graph.num_nodes, most)
        places = np.zeros((len(nodes), 2))
        blank = _drawing(graph, int(k), class_name(graphs, int(k)), nodes, places)
        places[:] = graph_layout(blank.edges, len(nodes))
        drawn.append(blank)
    return drawn


def drawings_svg(drawings: Sequence[GraphDrawing], size: int, label: str) -> str:
    """Return drawings side by side as an SVG, their classes below."""
    parts = []
    for k, drawing in enumerate(drawings):
        x, y = ((0.44 * drawing.places * (1, -1) + (k + 0.5, 0.5)) * size).round().astype(int).T
        for kind in kinds_of([drawing.edge_kinds]):
            style, (a, b) = edge_style(kind), drawing.edges[drawing.edge_kinds == kind].T
            lines = "".join(f"M{x[i]} {y[i]}L{x[j]} {y[j]}" for i, j in zip(a, b, strict=True))
            dash = f' stroke-dasharray="{_DASHES[style.dash]}"' if _DASHES[style.dash] else ""
            width = 0.6 * style.width
            parts.append(f'<path d="{lines}" stroke="{style.color}" stroke-width="{width:.1f}"{dash}/>')
        for kind in kinds_of([drawing.kinds]):
            own = drawing.kinds == kind
            dots = "".join(f"M{i} {j}h0" for i, j in zip(x[own], y[own], strict=True))
            width = max(drawing.size * size, 2.5)
            parts.append(f'<path d="{dots}" stroke="{node_color(kind)}" stroke-width="{width:.1f}"/>')
        if drawing.name:
            name = escape(short_name(drawing.name))
            parts.append(f'<text x="{(k + 0.5) * size:g}" y="{size + 12}">{name}</text>')
    wide, tall = len(drawings) * size, size + 18
    return (
        f'<svg width="{wide}" height="{tall}" viewBox="0 0 {wide} {tall}" role="img" '
        f'aria-label="{escape(label)}" stroke-linecap="round" font-size="11" text-anchor="middle" '
        f'fill="currentColor">{"".join(parts)}</svg>'
    )


def _edges(graph: Graphs) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ends i < j of each edge once, ``[e, 2]``, and their types ``[e]``."""
    if graph.edge_index is None:
        return np.zeros((0, 2), np.int64), np.zeros(0, np.int64)
    ends = np.sort(graph.edge_index.detach().cpu().numpy().T, axis=1)
    kinds = np.zeros(len(ends), np.int64) if graph.edge_type is None else graph.edge_type.cpu().numpy()
    proper = ends[:, 0] < ends[:, 1]
    once, first = np.unique(ends[proper], axis=0, return_index=True)
    return once.reshape(-1, 2), kinds[proper][first]


def _drawing(
    graph: Graphs, number: int, name: str, nodes: NDArray[np.int64], places: NDArray[np.float64]
) -> GraphDrawing:
    ends, kinds = _edges(graph)
    inside = np.isin(ends, nodes).all(1)
    own = np.zeros(len(nodes), np.int64) if graph.node_type is None else graph.node_type.cpu().numpy()[nodes]
    return GraphDrawing(
        number, name, graph.num_nodes, len(ends), nodes, places, own,
        np.searchsorted(nodes, ends[inside]), kinds[inside],
    )  # fmt: skip
