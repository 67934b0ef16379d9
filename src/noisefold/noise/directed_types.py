"""The variable of directed graphs: types of nodes, and of the edges of both directions of a pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from noisefold.geometry.directed import directed_edges, directed_pairs
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.summary import DataSummary
from noisefold.geometry.transform import Transform
from noisefold.noise.categories import Categories
from noisefold.noise.known import Known
from noisefold.noise.variable import VARIABLES, Types, Variable

__all__ = ["DirectedTypes"]

_TYPES = Types()


@dataclass(frozen=True)
class DirectedTypes(Variable[Categories]):
    """Types of the nodes and of directed edges: simple directed graphs.

    A state holds the type of every node ``[n]``, and of every pair of nodes i < j the class of both
    directions (`noisefold.geometry.directed`): with T types of edges one of :math:`(T + 1)^2`. Given is the
    number of nodes.
    """

    name: ClassVar[str] = "directed"
    noun: ClassVar[str] = "nodes and directed edges"
    given_noun: ClassVar[str] = "the number of nodes"
    positions_given: ClassVar[bool] = False
    scaffolds: ClassVar[bool] = False

    def read(self, graphs: Graphs) -> Categories:
        """Return the types; nodes and edges without types are all of type 0.

        Raises
        ------
        ValueError
            If the graphs have self-loops or edges listed twice.
        """
        none = graphs.ptr.new_zeros(graphs.num_nodes)
        edges = none.new_zeros(2, 0) if graphs.edge_index is None else graphs.edge_index
        nodes = none if graphs.node_type is None else graphs.node_type
        return Categories(nodes, directed_pairs(edges, graphs.edge_type, graphs.ptr, _count(graphs)))

    def write(self, graphs: Graphs, state: Categories) -> Graphs:
        """Return graphs with other types; those that have one type of node or edge keep none.

        Raises
        ------
        ValueError
            If a pair has a further class, as absorbing noise gives it.
        """
        types = _count(graphs)
        if state.pairs.numel() and int(state.pairs.max()) >= (types + 1) ** 2:
            raise ValueError(
                'noise="absorbing" is not for directed graphs, whose pairs have no class for it; use '
                '"marginal" or "uniform".'
            )
        edge_index, edge_type = directed_edges(state.pairs, graphs.ptr, types)
        return graphs.replace(
            node_type=None if graphs.node_type is None else state.nodes,
            edge_index=edge_index,
            edge_type=None if graphs.edge_type is None else edge_type,
            edge_attr=None,
        )

    def over(self, known: Known[Categories], state: Categories) -> Categories:
        """Return a state with the observed types, or an estimate that is certain of them."""
        return _TYPES.over(known, state)

    def twice(self, state: Categories) -> Categories:
        """Return the state of two copies of the graphs."""
        return _TYPES.twice(state)

    def given(self, graphs: Graphs) -> Graphs:
        """Return the nodes without types and edges."""
        return _TYPES.given(graphs)

    def blank(self, graphs: Graphs, summary: DataSummary) -> Graphs:
        """Return graphs without edges, with types as the data have them."""
        return _TYPES.blank(graphs, summary)

    def columns(self, state: Categories) -> int:
        """Return 1: a node is observed, or not."""
        return _TYPES.columns(state)

    def mask(self, graphs: Graphs, entries: Tensor) -> Categories:
        """Return observed nodes, and the pairs between them."""
        return _TYPES.mask(graphs, entries)

    def flagged(self, graphs: Graphs, mask: Categories | None) -> Graphs:
        """Return graphs with one further feature, 1 where the type of a node is observed."""
        return _TYPES.flagged(graphs, mask)

    def entries(self, mask: Categories, transform: Transform) -> Categories:
        """Return the mask: types have no units."""
        return mask

    def check_given(self, graphs: Graphs) -> None:
        """Accept all graphs: the number of nodes is always there."""


def _count(graphs: Graphs) -> int:
    return max(1, len(graphs.edge_types))


VARIABLES["directed"] = DirectedTypes()
