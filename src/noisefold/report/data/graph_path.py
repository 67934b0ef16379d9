"""The path of graphs from noise to data, every node in the place that it has in the finished graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noisefold.geometry.display import pick
from noisefold.geometry.graph_drawing import GraphDrawing, drawings_of
from noisefold.geometry.graphs import Graphs
from noisefold.report.data.trajectory import evenly

__all__ = ["GraphPath", "graph_path", "lasting"]


@dataclass(frozen=True, eq=False)
class GraphPath:
    """Some graphs at some moments.

    Parameters
    ----------
    graphs
        The finished graphs, with the names of their types.
    signal
        Signal level u of every moment, ascending in time of generation.
    moments
        For each moment, the graphs; the last are the finished ones.
    """

    graphs: Graphs
    signal: tuple[float, ...]
    moments: tuple[tuple[GraphDrawing, ...], ...]

    @property
    def ends(self) -> tuple[GraphDrawing, ...]:
        """The finished graphs."""
        return self.moments[-1]


def graph_path(
    trajectory: Sequence[tuple[float, Graphs]], count: int, moments: int, edges: int = 40_000
) -> GraphPath:
    """Return at most so many graphs, moments, and edges in all moments together.

    Raises
    ------
    ValueError
        If the trajectory is empty, or its graphs change their sizes.
    """
    if not trajectory or len(trajectory[-1][1]) == 0:
        raise ValueError("trajectory must hold at least one moment with at least one graph, got none.")
    last = trajectory[-1][1]
    if any(graphs.sizes.tolist() != last.sizes.tolist() for _, graphs in trajectory):
        raise ValueError("trajectory must hold the same graphs at every moment, but their sizes change.")
    chosen = pick(last, count)
    ends = drawings_of(last, chosen)
    each = max(sum(d.at(graphs[d.number]).edges.shape[0] for d in ends) for _, graphs in trajectory)
    steps = [trajectory[k] for k in evenly(len(trajectory), min(moments, max(3, edges // max(each, 1))))]
    states = tuple(tuple(d.at(graphs[d.number].to("cpu")) for d in ends) for _, graphs in steps)
    return GraphPath(last, tuple(float(u) for u, _ in steps), states)


def lasting(drawing: GraphDrawing, end: GraphDrawing) -> NDArray[np.bool_]:
    """Return which edges of a drawing are edges of the same type in the end, ``[e]``."""
    m, kinds = len(end.nodes), 1 + max([0, *drawing.edge_kinds.tolist(), *end.edge_kinds.tolist()])

    def codes(d: GraphDrawing) -> NDArray[np.int64]:
        found: NDArray[np.int64] = (d.edges[:, 0] * m + d.edges[:, 1]) * kinds + d.edge_kinds
        return found

    return np.isin(codes(drawing), codes(end))
