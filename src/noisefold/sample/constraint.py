r"""Constraints on generated graphs, kept in the last step of a sampler.

The last step of a discrete sampler draws every entry from the estimate. An edge of probability p is drawn
where :math:`\operatorname{logit} p + \ell > 0` with a logistic variable :math:`\ell`; a constraint takes
these numbers as weights, and picks the edges by them together:

=============== ===============================================================================
constraint      edges of the last state
=============== ===============================================================================
`Tree`          the maximum spanning tree
`Connected`     those drawn, and the heaviest ones that join their components
`Planar`        those drawn, heaviest first, as long as the graph stays planar
`Valence`       those drawn, heaviest first, as long as no atom has more bonds than its valence
`Molecule`      the same, after those that make one molecule of all atoms
=============== ===============================================================================

What is generated then has the property always, whatever the network has learned of it. Do not compare a
validity that a constraint guarantees with one that a network has learned.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import singledispatch
from typing import Any, ClassVar

import networkx as nx
import numpy as np
import torch
from scipy.sparse.csgraph import minimum_spanning_tree
from torch import Tensor

from noisefold.arguments import one_of
from noisefold.configuration import configurable
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.pairs import pair_ptr
from noisefold.noise.categories import Categories
from noisefold.noise.discrete import Discrete, draw_classes, uniforms
from noisefold.sample.solver import Memory, Solver, Task

__all__ = [
    "CONSTRAINTS",
    "Connected",
    "Constrained",
    "Constraint",
    "Molecule",
    "Planar",
    "Tree",
    "Valence",
    "constrained",
]

_Numbers = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
_Codes = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
_Mask = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
_VALENCES = {
    name: valence
    for valence, names in {1: "H F Cl Br I", 2: "O Se", 3: "B N", 4: "C Si", 5: "P", 6: "S"}.items()
    for name in names.split()
}
_CHARGED = {"N": 1, "O": 1, "S": 1, "P": 1, "B": -1}  # bonds more at a charge of +1
_ORDERS = {"single": 1.0, "double": 2.0, "triple": 3.0, "aromatic": 1.5}


class Constraint(ABC):
    """What every constraint offers.

    Attributes
    ----------
    name
        Name on the command line.
    """

    name: ClassVar[str]

    @abstractmethod
    def keep(self, weights: _Numbers, kinds: _Codes, graph: Graphs) -> _Mask:
        """Return which pairs of one graph are edges, ``[p]``, bool.

        Parameters
        ----------
        weights
            The weight of each pair i < j ``[p]``; above 0 it was drawn as an edge.
        kinds
            The type that each pair has if it is an edge, ``[p]``, from 0.
        graph
            The graph, with its types of nodes.
        """


def _spanning(weights: _Numbers, n: int) -> _Mask:
    """Return whether each pair is in the maximum spanning tree, ``[p]``."""
    i, j = np.triu_indices(n, 1)
    cost = np.zeros((n, n))
    cost[i, j] = weights.max(initial=0.0) - weights + 1.0  # an entry of 0 would be no edge
    tree = minimum_spanning_tree(cost).toarray()
    inside: _Mask = (tree > 0)[i, j]
    return inside


@configurable
@dataclass(frozen=True)
class Tree(Constraint):
    """Trees: connected and without cycles, by the maximum spanning tree of the weights."""

    name: ClassVar[str] = "tree"

    def keep(self, weights: _Numbers, kinds: _Codes, graph: Graphs) -> _Mask:
        """Return the n - 1 edges of the maximum spanning tree."""
        return _spanning(weights, graph.num_nodes)


@configurable
@dataclass(frozen=True)
class Connected(Constraint):
    """Connected graphs: what was drawn, and the heaviest edges between its components."""

    name: ClassVar[str] = "connected"

    def keep(self, weights: _Numbers, kinds: _Codes, graph: Graphs) -> _Mask:
        """Return the edges that were drawn, with a maximum spanning tree that prefers them."""
        drawn = weights > 0
        preferred = weights + drawn * (2 * np.abs(weights).max(initial=0.0) + 1)
        kept: _Mask = drawn | _spanning(preferred, graph.num_nodes)
        return kept


@configurable
@dataclass(frozen=True)
class Planar(Constraint):
    """Planar graphs: drawn edges are taken from the heaviest on, but for those that would cross others."""

    name: ClassVar[str] = "planar"

    def keep(self, weights: _Numbers, kinds: _Codes, graph: Graphs) -> _Mask:
        """Return a maximal planar part of what was drawn."""
        i, j = np.triu_indices(graph.num_nodes, 1)
        found: Any = nx.Graph()
        kept = np.zeros(len(weights), dtype=bool)
        for k in np.argsort(-weights, kind="stable")[: int((weights > 0).sum())]:
            found.add_edge(int(i[k]), int(j[k]))
            kept[k] = nx.check_planarity(found)[0]
            if not kept[k]:
                found.remove_edge(int(i[k]), int(j[k]))
        return kept


@configurable
@dataclass(frozen=True)
class Valence(Constraint):
    """Molecules in which no atom has more bonds than its element and charge allow.

    Nodes are named by element and charge, such as "C" or "N+"; edges "single", "double", "triple" or
    "aromatic".

    Raises
    ------
    ValueError
        On a call, if a type of node is no known element, or a type of edge no bond.
    """

    name: ClassVar[str] = "valence"

    def keep(self, weights: _Numbers, kinds: _Codes, graph: Graphs) -> _Mask:
        """Return the bonds from the heaviest on, as long as both atoms have valence left."""
        bonds = _Bonds(self.name, weights, kinds, graph)
        bonds.take(np.argsort(-weights, kind="stable")[: int((weights > 0).sum())])
        return bonds.kept


@configurable
@dataclass(frozen=True)
class Molecule(Constraint):
    """Molecules of one piece in which no atom has more bonds than its element and charge allow.

    First the heaviest bonds that join pieces, drawn or not, then those drawn that are left, both as long as
    there is valence. Where valences are used up before all atoms are joined, more than one piece is left.

    Raises
    ------
    ValueError
        As of `Valence`.
    """

    name: ClassVar[str] = "molecule"

    def keep(self, weights: _Numbers, kinds: _Codes, graph: Graphs) -> _Mask:
        """Return a forest of the heaviest bonds, and of those drawn what valences allow beside it."""
        bonds = _Bonds(self.name, weights, kinds, graph)
        order = np.argsort(-weights, kind="stable")
        bonds.take(order, joining=True)
        bonds.take(order[: int((weights > 0).sum())])
        return bonds.kept


class _Bonds:
    """Bonds that are taken one after the other, as long as both atoms have valence left."""

    def __init__(self, constraint: str, weights: _Numbers, kinds: _Codes, graph: Graphs) -> None:
        if graph.node_type is None:
            raise ValueError(
                f"constraint {constraint!r} is for molecules, whose nodes are named by their element."
            )
        orders = np.array([_order(name) for name in graph.edge_types or ("single",)])
        self.orders = orders[kinds]
        self.free = np.array([_valence(graph.node_types[k]) for k in graph.node_type.tolist()], dtype=float)
        self.ends = np.stack(np.triu_indices(graph.num_nodes, 1), axis=1)
        self.piece = np.arange(graph.num_nodes)
        self.kept = np.zeros(len(weights), dtype=bool)

    def take(self, order: _Codes, joining: bool = False) -> None:
        """Take bonds in this order; those alone that join two pieces, if that is asked for."""
        for k in order:
            i, j = self.ends[k]
            same = self.piece[i] == self.piece[j]
            if self.kept[k] or (joining and same) or min(self.free[i], self.free[j]) < self.orders[k]:
                continue
            self.free[[i, j]] -= self.orders[k]
            self.piece[self.piece == self.piece[j]] = self.piece[i]
            self.kept[k] = True


def _valence(name: str) -> int:
    element = name.rstrip("+-0123456789")
    charge = name[len(element) :]
    if element not in _VALENCES:
        raise ValueError(
            f"a constraint of molecules knows no valence of {name!r}; it knows {', '.join(_VALENCES)}."
        )
    sign = charge.count("+") - charge.count("-")
    digits = "".join(c for c in charge if c.isdigit())
    size = sign * int(digits or 1)
    change = -abs(size) if element == "C" else _CHARGED.get(element, 0) * size
    return max(0, _VALENCES[element] + change)


def _order(name: str) -> float:
    if name not in _ORDERS:
        raise ValueError(f"a constraint of molecules knows no bond {name!r}; it knows {', '.join(_ORDERS)}.")
    return _ORDERS[name]


CONSTRAINTS: dict[str, Constraint] = {
    c.name: c for c in (Tree(), Connected(), Planar(), Valence(), Molecule())
}
"""Constraints by their names."""


@configurable
@dataclass(frozen=True)
class Constrained(Solver):
    """Another solver, whose last step keeps a constraint.

    Parameters
    ----------
    solver
        Takes all steps but the last.
    constraint
        Name of a constraint: "tree", "connected", "planar", "valence" or "molecule".

    Raises
    ------
    ValueError
        If there is no such constraint.
    """

    solver: Solver
    constraint: str

    handles: ClassVar[type] = Discrete

    def __post_init__(self) -> None:
        object.__setattr__(self, "constraint", one_of("constraint", self.constraint, tuple(CONSTRAINTS)))

    def step(
        self, task: Task[Categories, Categories], state: Categories, t: Tensor, s: Tensor, memory: Memory
    ) -> tuple[Categories, Memory]:
        """Draw the state at s."""
        if s > 0:
            drawn: tuple[Categories, Memory] = self.solver.step(task, state, t, s, memory)
            return drawn
        estimate = task.denoise(state, t).map(lambda p: p.double().cpu())
        graphs, random = task.graphs.to("cpu"), task.random
        # The class that an entry has if it is not "no edge", and whether it is one, are drawn apart.
        edges = estimate.pairs[:, 1:]
        certain = edges.sum(1, keepdim=True)
        kinds = torch.where(certain > 0, edges / certain.clamp(min=1e-300), 1 / edges.shape[1])
        drawn_classes = draw_classes(Categories(estimate.nodes, kinds), graphs, random)
        u = uniforms(graphs, random, estimate.pairs[:0, 0]).pairs
        # Certain entries, such as observed ones, weigh more than any noise.
        weights = torch.logit(certain[:, 0].clamp(0, 1), eps=1e-15) + torch.logit(u, eps=1e-6)
        framed = graphs.replace(node_type=None if graphs.node_type is None else drawn_classes.nodes)
        chosen, ptr = CONSTRAINTS[self.constraint], pair_ptr(graphs.ptr).tolist()
        kept = [
            torch.from_numpy(chosen.keep(weights[a:b].numpy(), drawn_classes.pairs[a:b].numpy(), graph))
            for graph, a, b in zip(_bare(framed), ptr, ptr[1:], strict=False)
        ]
        pairs = torch.where(torch.cat(kept), drawn_classes.pairs + 1, 0) if kept else drawn_classes.pairs
        return Categories(drawn_classes.nodes, pairs).to(state.pairs.device), None


@singledispatch
def constrained(path: Any, solver: Solver, constraint: str) -> Solver:
    """Return a solver of a path whose last step keeps a constraint; paths of further kinds register theirs.

    Raises
    ------
    ValueError
        If nothing on the path is discrete, or there is no such constraint.
    """
    raise ValueError(
        f"constraint {constraint!r} is for models of discrete graphs, and the path of this one is "
        f"{type(path).__name__}; leave it out."
    )


@constrained.register
def _(path: Discrete, solver: Solver, constraint: str) -> Solver:
    return Constrained(solver, constraint)


def _bare(graphs: Graphs) -> list[Graphs]:
    return list(graphs.replace(edge_index=None, edge_attr=None, edge_type=None))
