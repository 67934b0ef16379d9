"""Variables: which part of a graph is noised, and how it is read and written.

The one place that knows what a variable is. A path, a prediction, a solver and a model pass its state along
and never open it.

============ ====================== ================= =======================
variable     state                  what is given     shape
============ ====================== ================= =======================
`Positions`  ``pos``                features, if any  ``[n, d]``
`Features`   ``x``                  positions         ``[n, f]``
`Types`      types of nodes, edges  number of nodes   ``[n]`` and ``[p]``
============ ====================== ================= =======================

Several of them at once are a `noisefold.noise.JointVariable`, such as "pos+types".
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

import torch
from torch import Tensor

from noisefold.arguments import one_of
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.pairs import edges_to_pairs, pair_index, pairs_to_edges
from noisefold.geometry.summary import DataSummary
from noisefold.geometry.transform import Transform
from noisefold.noise.categories import Categories
from noisefold.noise.known import Known, observed_entries

__all__ = [
    "VARIABLES",
    "Features",
    "Known",
    "Positions",
    "Types",
    "Variable",
    "observed_entries",
    "variable_of",
]

S = TypeVar("S")


class Variable(Protocol[S]):
    """A part of a graph that is noised: a state of type S.

    Attributes
    ----------
    scaffolds
        Whether a graph may be a part of one of more nodes, which are then drawn with what joins them to it.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """Name in configurations."""

    @property
    @abstractmethod
    def noun(self) -> str:
        """What a user calls it."""

    @property
    @abstractmethod
    def given_noun(self) -> str:
        """What a user calls what is not noised."""

    @property
    @abstractmethod
    def positions_given(self) -> bool:
        """Whether positions are given: noise may depend on them, and samples need graphs to stand on."""

    scaffolds: ClassVar[bool]

    @abstractmethod
    def read(self, graphs: Graphs) -> S:
        """Return the state of graphs."""

    @abstractmethod
    def write(self, graphs: Graphs, state: S) -> Graphs:
        """Return the graphs with another state."""

    @abstractmethod
    def over(self, known: Known[S], state: S) -> S:
        """Return the state with the observed values in their places."""

    @abstractmethod
    def twice(self, state: S) -> S:
        """Return the state of two copies of the graphs side by side."""

    @abstractmethod
    def given(self, graphs: Graphs) -> Graphs:
        """Return the graphs with nothing but what is given, as far as graphs can lack the rest."""

    @abstractmethod
    def blank(self, graphs: Graphs, summary: DataSummary) -> Graphs:
        """Return the graphs with a state of zeros, of the structure that the data of a summary have."""

    def returned(self, frame: Graphs, made: Graphs) -> Graphs:
        """Return a frame, whose given part comes back as it was, with what was generated for it."""
        return self.write(frame, self.read(made))

    @abstractmethod
    def columns(self, state: S) -> int:
        """Return in how many columns of a node values are observed apart from each other."""

    @abstractmethod
    def mask(self, graphs: Graphs, entries: Tensor) -> S:
        """Return the mask of a state from what is observed of each node, ``[n, columns]``, bool."""

    @abstractmethod
    def flagged(self, graphs: Graphs, mask: S | None) -> Graphs:
        """Return the graphs with further features that say what is observed; None says nothing."""

    @abstractmethod
    def entries(self, mask: S, transform: Transform) -> S:
        """Return what is observed in standard units, where `mask` says it in the data's units."""

    @abstractmethod
    def check_given(self, graphs: Graphs) -> None:
        """Refuse graphs of which the given part is not all there.

        Raises
        ------
        ValueError
            If a given value is NaN.
        """


def _over(known: Known[Tensor], state: Tensor) -> Tensor:
    return torch.where(known.mask, known.value.to(state), state)


def _flagged(graphs: Graphs, columns: int, mask: Tensor | None) -> Graphs:
    like = graphs.pos if graphs.x is None else graphs.x
    flags = like.new_zeros(graphs.num_nodes, columns) if mask is None else mask.to(like)
    return graphs.replace(x=flags if graphs.x is None else torch.cat([graphs.x, flags], dim=1))


def _check(value: Tensor | None, noun: str, noised: str) -> None:
    if value is not None and bool(value.isnan().any()):
        raise ValueError(f"{noun} are NaN, but the model completes {noised} alone.")


@dataclass(frozen=True)
class Positions(Variable[Tensor]):
    """Positions ``[n, d]``; features, if there are any, are given."""

    name: ClassVar[str] = "pos"
    noun: ClassVar[str] = "positions"
    given_noun: ClassVar[str] = "features"
    positions_given: ClassVar[bool] = False
    scaffolds: ClassVar[bool] = False

    def read(self, graphs: Graphs) -> Tensor:
        """Return ``pos``."""
        return graphs.pos

    def write(self, graphs: Graphs, state: Tensor) -> Graphs:
        """Return graphs at other positions."""
        return graphs.replace(pos=state)

    def over(self, known: Known[Tensor], state: Tensor) -> Tensor:
        """Return positions with the observed coordinates."""
        return _over(known, state)

    def twice(self, state: Tensor) -> Tensor:
        """Return positions ``[2 n, d]``."""
        return torch.cat([state, state])

    def given(self, graphs: Graphs) -> Graphs:
        """Return the graphs: positions cannot be missing."""
        return graphs

    def blank(self, graphs: Graphs, summary: DataSummary) -> Graphs:
        """Return the graphs: what stands there is not looked at."""
        return graphs

    def returned(self, frame: Graphs, made: Graphs) -> Graphs:
        """Return a frame at generated positions, with the edges that follow from them, if any."""
        if made.edge_index is None:
            return self.write(frame, made.pos)
        edges = {name: getattr(made, name) for name in ("edge_index", "edge_attr", "edge_type")}
        return frame.replace(pos=made.pos, **edges)

    def columns(self, state: Tensor) -> int:
        """Return the columns of the state."""
        return state.shape[1]

    def mask(self, graphs: Graphs, entries: Tensor) -> Tensor:
        """Return the entries, ``[n, columns]``."""
        return entries

    def flagged(self, graphs: Graphs, mask: Tensor | None) -> Graphs:
        """Return graphs with d further features, 1 where a coordinate is observed."""
        return _flagged(graphs, graphs.dim, mask)

    def entries(self, mask: Tensor, transform: Transform) -> Tensor:
        """Return the mask: coordinates are only scaled."""
        return mask

    def check_given(self, graphs: Graphs) -> None:
        """Refuse features that are NaN."""
        _check(graphs.x, self.given_noun, self.noun)


@dataclass(frozen=True)
class Features(Variable[Tensor]):
    """Features ``[n, f]`` of nodes at given positions."""

    name: ClassVar[str] = "x"
    noun: ClassVar[str] = "features"
    given_noun: ClassVar[str] = "positions"
    positions_given: ClassVar[bool] = True
    scaffolds: ClassVar[bool] = False

    def read(self, graphs: Graphs) -> Tensor:
        """Return ``x``.

        Raises
        ------
        ValueError
            If the graphs have no features.
        """
        if graphs.x is None:
            raise ValueError('variable="x" needs graphs with features, and these have none.')
        return graphs.x

    def write(self, graphs: Graphs, state: Tensor) -> Graphs:
        """Return graphs with other features."""
        return graphs.replace(x=state)

    def over(self, known: Known[Tensor], state: Tensor) -> Tensor:
        """Return features with the observed values."""
        return _over(known, state)

    def twice(self, state: Tensor) -> Tensor:
        """Return features ``[2 n, f]``."""
        return torch.cat([state, state])

    def given(self, graphs: Graphs) -> Graphs:
        """Return the bare positions."""
        return graphs.replace(x=None)

    def blank(self, graphs: Graphs, summary: DataSummary) -> Graphs:
        """Return graphs with all features zero."""
        return graphs.replace(x=graphs.pos.new_zeros(graphs.num_nodes, summary.features))

    def columns(self, state: Tensor) -> int:
        """Return the columns of the state."""
        return state.shape[1]

    def mask(self, graphs: Graphs, entries: Tensor) -> Tensor:
        """Return the entries, ``[n, columns]``."""
        return entries

    def flagged(self, graphs: Graphs, mask: Tensor | None) -> Graphs:
        """Return graphs with f further features, 1 where a value is observed."""
        return _flagged(graphs, graphs.features, mask)

    def entries(self, mask: Tensor, transform: Transform) -> Tensor:
        """Return what the transformation makes of the mask."""
        return transform.entries(mask)

    def check_given(self, graphs: Graphs) -> None:
        """Refuse positions that are NaN."""
        _check(graphs.pos, self.given_noun, self.noun)


@dataclass(frozen=True)
class Types(Variable[Categories]):
    """Types of the nodes, and of the edges, of which "no edge" is one: simple undirected graphs.

    A state holds the type of every node ``[n]`` and the class of every pair of nodes ``[p]``, 0 for no edge
    and 1 + the type of an edge (`noisefold.geometry.pairs`). Given is the number of nodes.
    """

    name: ClassVar[str] = "types"
    noun: ClassVar[str] = "nodes and edges"
    given_noun: ClassVar[str] = "the number of nodes"
    positions_given: ClassVar[bool] = False
    scaffolds: ClassVar[bool] = True

    def read(self, graphs: Graphs) -> Categories:
        """Return the types; nodes and edges without types are all of type 0.

        Raises
        ------
        ValueError
            If the graphs have self-loops or multi-edges.
        """
        none = torch.zeros(graphs.num_nodes, dtype=torch.int64, device=graphs.device)
        edges = none.new_zeros(2, 0) if graphs.edge_index is None else graphs.edge_index
        nodes = none if graphs.node_type is None else graphs.node_type
        return Categories(nodes, edges_to_pairs(edges, graphs.edge_type, graphs.ptr))

    def write(self, graphs: Graphs, state: Categories) -> Graphs:
        """Return graphs with other types; those that have one type of node or edge keep none."""
        edge_index, edge_type = pairs_to_edges(state.pairs, graphs.ptr)
        # Edges of one type have a second class where noise is absorbing.
        typed = graphs.edge_type is not None or bool((edge_type > 0).any())
        return graphs.replace(
            node_type=None if graphs.node_type is None else state.nodes,
            edge_index=edge_index,
            edge_type=edge_type if typed else None,
            edge_attr=None,
        )

    def over(self, known: Known[Categories], state: Categories) -> Categories:
        """Return a state with the observed types, or an estimate that is certain of them."""
        return known.value.map(_over_classes, known.mask, state)

    def twice(self, state: Categories) -> Categories:
        """Return the state of two copies of the graphs."""
        return state.map(lambda value: torch.cat([value, value]))

    def given(self, graphs: Graphs) -> Graphs:
        """Return the nodes without types and edges."""
        bare = graphs.replace(edge_index=None, edge_attr=None, edge_type=None, node_type=None)
        return bare.replace(x=None, node_types=(), edge_types=())

    def blank(self, graphs: Graphs, summary: DataSummary) -> Graphs:
        """Return graphs without edges, with types as the data have them."""
        nodes = torch.zeros(graphs.num_nodes, dtype=torch.int64, device=graphs.device)
        return graphs.replace(
            node_type=nodes if summary.node_types else None,
            node_types=summary.node_types,
            edge_index=nodes.new_zeros(2, 0),
            edge_type=nodes[:0] if summary.edge_types else None,
            edge_types=summary.edge_types,
        )

    def columns(self, state: Categories) -> int:
        """Return 1: a node is observed, or not."""
        return 1

    def mask(self, graphs: Graphs, entries: Tensor) -> Categories:
        """Return observed nodes, and the pairs between them: an observed subgraph."""
        nodes = entries[:, 0]
        i, j = pair_index(graphs.ptr)
        return Categories(nodes, nodes[i] & nodes[j])

    def flagged(self, graphs: Graphs, mask: Categories | None) -> Graphs:
        """Return graphs with one further feature, 1 where the type of a node is observed.

        A network takes the pairs between such nodes for observed.
        """
        flags = None if mask is None else mask.nodes[:, None]
        return _flagged(graphs, 1, flags)

    def entries(self, mask: Categories, transform: Transform) -> Categories:
        """Return the mask: types have no units."""
        return mask

    def check_given(self, graphs: Graphs) -> None:
        """Accept all graphs: the number of nodes is always there."""


def _over_classes(value: Tensor, mask: Tensor, state: Tensor) -> Tensor:
    if state.ndim == 1:
        return torch.where(mask, value, state)
    certain = torch.nn.functional.one_hot(value.clamp(min=0), state.shape[1])
    return torch.where(mask[:, None], certain.to(state), state)


VARIABLES: dict[str, Variable[Any]] = {v.name: v for v in (Positions(), Features(), Types())}
"""Variables by their names."""


def variable_of(name: str | Variable[Any]) -> Variable[Any]:
    """Return a variable by its name, or the one that is given.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    if not isinstance(name, str):
        return name
    return VARIABLES[one_of("variable", name, tuple(VARIABLES))]
