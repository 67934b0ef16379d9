r"""Scores of molecules with positions: stability by bonds, and distances and angles of bonds.

An atom is stable if the orders of its bonds add up to what its element has at its charge, hydrogens being
atoms; a molecule is, if all its atoms are. Lengths of bonds and angles between two bonds of an atom are
compared with those of test molecules by their Wasserstein distance, kind by kind,

.. math:: \sum_k s_k\, W_1(P_k, Q_k),

with the shares s of the kinds k in the test set: of lengths two elements and an order, such as C-O single, of
angles the element in the middle. A kind that a set lacks counts as its typical length or angle off, the
mean of the test set's, so that molecules without bonds are not perfect.

Source: Hoogeboom et al., Equivariant Diffusion for Molecule Generation in 3D (2022), section 5,
https://arxiv.org/abs/2203.17003 (stability); Vignac et al., MiDi (2023), https://arxiv.org/abs/2302.09048
(lengths and angles).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance
from torch import Tensor

from noisefold.eval.metric_names import chosen_metrics
from noisefold.eval.score_table import Metric, Score, Scores, half_sampled, share_score
from noisefold.geometry.graphs import Graphs

__all__ = ["MOLECULE_GEOMETRY_METRICS", "score_molecule_geometry", "stable_atoms"]

_Numbers = NDArray[np.float64]
_SHARE = (0.0, 1.0)
_HALVES = 20  # each sorts all lengths and angles
_METRICS: tuple[Metric, ...] = (
    Metric("atom-stable", "higher", "Share of atoms whose bonds are what their element has.", bounds=_SHARE),
    Metric("stable", "higher", "Share of molecules all of whose atoms are stable.", bounds=_SHARE),
    Metric(
        "lengths", "lower", "Wasserstein distance of bond lengths to test ones, by kind.", unit="angstrom"
    ),
    Metric("angles", "lower", "Wasserstein distance of angles between bonds, by element.", unit="degrees"),
)
MOLECULE_GEOMETRY_METRICS: tuple[str, ...] = tuple(m.name for m in _METRICS)
"""Names of all metrics that `score_molecule_geometry` knows."""
_ELEMENT = re.compile(r"([A-Z][a-z]?)(?:([+-])(\d*))?")
_ORDERS = {"single": 1, "double": 2, "triple": 3}
# Bonds of an element at a charge; those that are not listed are never stable.
_ALLOWED: dict[tuple[str, int], tuple[int, ...]] = {
    **{(name, 0): (1,) for name in ("H", "F", "Cl", "Br", "I")},
    ("B", 0): (3,),
    ("B", -1): (4,),
    ("C", 0): (4,),
    ("C", 1): (3,),
    ("C", -1): (3,),
    ("Si", 0): (4,),
    ("N", 0): (3,),
    ("N", 1): (4,),
    ("N", -1): (2,),
    ("O", 0): (2,),
    ("O", 1): (3,),
    ("O", -1): (1,),
    ("P", 0): (3, 5),
    ("P", 1): (4,),
    ("S", 0): (2, 4, 6),
    ("S", 1): (3,),
    ("S", -1): (1,),
    ("H", 1): (0,),
    ("F", -1): (0,),
    ("Cl", -1): (0,),
    ("Br", -1): (0,),
    ("I", -1): (0,),
}


def stable_atoms(graphs: Graphs) -> Tensor:
    """Return whether the bonds of every atom are what its element has at its charge, ``[n]``, bool.

    Parameters
    ----------
    graphs
        Molecules with their hydrogens, atoms and bonds by name, each bond in both directions.

    Raises
    ------
    ValueError
        If types of nodes have no names, or a name is no atom or no bond.

    Examples
    --------
    >>> bonds = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    >>> water = Graphs(torch.zeros(3, 3), edge_index=bonds, node_type=torch.tensor([0, 1, 0]))
    >>> stable_atoms(water.replace(node_types=("H", "O"))).tolist()
    [True, True, True]
    """
    if graphs.node_type is None or not graphs.node_types:
        raise ValueError("graphs have no node_types, the names of atoms; give them, such as ('C', 'N').")
    allowed = torch.zeros(len(graphs.node_types), 8, dtype=torch.bool)
    for row, name in zip(allowed, graphs.node_types, strict=True):
        row[list(_ALLOWED.get(_parsed(name), ()))] = True
    bonds = graphs.node_type.new_zeros(graphs.num_nodes)
    if graphs.edge_index is not None:
        bonds = bonds.index_add(0, graphs.edge_index[0], _orders(graphs))
    return allowed.to(bonds.device)[graphs.node_type, bonds.clamp(max=7)]


def _parsed(name: str) -> tuple[str, int]:
    found = _ELEMENT.fullmatch(name)
    if found is None:
        raise ValueError(f"node_types must be atoms such as 'C' or 'N+', got {name!r}.")
    return found[1], int(found[2] + (found[3] or "1")) if found[2] else 0


def _orders(graphs: Graphs) -> Tensor:
    assert graphs.edge_index is not None
    if graphs.edge_type is None or not graphs.edge_types:
        return torch.ones_like(graphs.edge_index[0])
    unknown = next((name for name in graphs.edge_types if name not in _ORDERS), None)
    if unknown is not None:
        raise ValueError(f"edge_types must be bonds, {', '.join(_ORDERS)}, got {unknown!r}.")
    return graphs.edge_type.new_tensor([_ORDERS[name] for name in graphs.edge_types])[graphs.edge_type]


@dataclass(frozen=True)
class _Kinds:
    """Values of some kinds, each with the molecule that it is of."""

    kind: NDArray[np.str_]
    value: _Numbers
    owner: NDArray[np.int64]

    def of(self, chosen: NDArray[np.bool_]) -> dict[str, _Numbers]:
        """Return the values by kind of the molecules that are chosen, ``[g]``, bool."""
        some = chosen[self.owner]
        kind, value = self.kind[some], self.value[some]
        order = np.argsort(kind, kind="stable")
        names, start = np.unique(kind[order], return_index=True)
        return dict(zip(names.tolist(), np.split(value[order], start[1:]), strict=True)) if len(names) else {}


@dataclass(frozen=True)
class _Shapes:
    """Molecules, and what is measured of them once."""

    graphs: Graphs

    @cached_property
    def _elements(self) -> NDArray[np.str_]:
        names = np.array([_parsed(name)[0] for name in self.graphs.node_types])
        assert self.graphs.node_type is not None
        found: NDArray[np.str_] = names[self.graphs.node_type.cpu().numpy()]
        return found

    @cached_property
    def lengths(self) -> _Kinds:
        """Lengths of the bonds, in the units of the positions."""
        graphs = self.graphs
        i, j = _ends(graphs)
        both = np.sort(np.stack([self._elements[i], self._elements[j]]), axis=0)
        order = _orders(graphs).cpu().numpy()[_once(graphs)].astype(np.str_)
        pos = graphs.pos.double().cpu().numpy()
        kind = np.char.add(np.char.add(both[0], order), both[1])
        return _Kinds(kind, np.linalg.norm(pos[i] - pos[j], axis=1), graphs.batch.cpu().numpy()[i])

    @cached_property
    def angles(self) -> _Kinds:
        """Angles between two bonds of one atom, in degrees."""
        graphs = self.graphs
        assert graphs.edge_index is not None
        middle, end = graphs.edge_index.cpu().numpy()
        order = np.argsort(middle, kind="stable")
        middle, end = middle[order], end[order]
        degree = np.bincount(middle, minlength=graphs.num_nodes)
        later = degree[middle] - 1 - (np.arange(len(middle)) - (degree.cumsum() - degree)[middle])
        a = np.repeat(np.arange(len(middle)), later)
        b = a + 1 + np.arange(len(a)) - np.repeat(later.cumsum() - later, later)
        pos = graphs.pos.double().cpu().numpy()
        u, v = (pos[end[k]] - pos[middle[k]] for k in (a, b))
        size = np.linalg.norm(u, axis=1) * np.linalg.norm(v, axis=1)
        cosine = (u * v).sum(1) / np.maximum(size, 1e-12)
        angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
        at = middle[a]
        return _Kinds(self._elements[at], angle, graphs.batch.cpu().numpy()[at])


def _once(graphs: Graphs) -> NDArray[np.bool_]:
    """Which edges are the ones that stand for both directions."""
    assert graphs.edge_index is not None
    i, j = graphs.edge_index.cpu().numpy()
    once: NDArray[np.bool_] = i < j
    return once


def _ends(graphs: Graphs) -> NDArray[np.int64]:
    assert graphs.edge_index is not None
    ends: NDArray[np.int64] = graphs.edge_index.cpu().numpy()[:, _once(graphs)]
    return ends


def score_molecule_geometry(
    generated: Mapping[str, Graphs],
    test: Graphs,
    *,
    about: Mapping[str, str] | None = None,
    metrics: Sequence[str] | None = None,
    resamples: int = _HALVES,
    seed: int = 0,
) -> Scores:
    """Score molecules with positions in angstrom against test molecules.

    Parameters
    ----------
    generated
        Molecules by the name of their row, with bonds in both directions.
    test
        Real molecules.
    about
        What stands in a row, by its name.
    metrics
        Names out of `MOLECULE_GEOMETRY_METRICS`; None: all, of molecules without hydrogens those of bonds.
    resamples
        Random halves for each interval; 0 gives no intervals but those of shares.
    seed
        Of every choice.

    Raises
    ------
    ValueError
        If a metric is unknown, a set has fewer than 2 molecules or no positions, or types are no atoms.
    """
    if metrics:
        metrics = chosen_metrics(metrics, MOLECULE_GEOMETRY_METRICS)
    for name, graphs in {**generated, "test": test}.items():
        if len(graphs) < 2 or graphs.dim == 0 or graphs.edge_index is None:
            raise ValueError(f"{name} must hold 2 molecules or more with positions and bonds, got {graphs}.")
    bare = "H" not in {_parsed(name)[0] for name in test.node_types}
    names = list(metrics or (m for m in MOLECULE_GEOMETRY_METRICS if not (bare and "stable" in m)))
    real = _Shapes(test)
    every = np.ones(len(test), dtype=bool)
    wanted: dict[str, dict[str, _Numbers]] = {
        k: getattr(real, k).of(every) for k in ("lengths", "angles") if k in names
    }
    table = {}
    for row, graphs in generated.items():
        own, stable = _Shapes(graphs), stable_atoms(graphs).double().cpu()
        cells: dict[str, Score] = {}
        for metric in names:
            if metric in wanted:
                cells[metric] = _distance(getattr(own, metric), wanted[metric], len(graphs), resamples, seed)
            else:
                cells[metric] = _stability(metric, graphs, stable, resamples, seed)
        table[row] = cells
    note = "" if not bare else "Molecules without hydrogens have no stability by bonds."
    return Scores(tuple(m for m in _METRICS if m.name in names), table, dict(about or {}), note)


def _stability(metric: str, graphs: Graphs, stable: Tensor, resamples: int, seed: int) -> Score:
    found = torch.zeros(len(graphs), dtype=torch.float64).index_add(0, graphs.batch.cpu(), stable)
    sizes = graphs.sizes.cpu()
    if metric == "stable":
        return share_score((found == sizes).numpy())

    def share(i: Tensor) -> float:
        return float(found[i].sum() / sizes[i].sum().clamp(min=1))

    return half_sampled(share, (len(graphs),), resamples=resamples, seed=seed, bounds=_SHARE)


def _distance(own: _Kinds, wanted: Mapping[str, _Numbers], count: int, resamples: int, seed: int) -> Score:
    total = sum(map(len, wanted.values()))

    def statistic(i: Tensor) -> float:
        chosen = np.zeros(count, dtype=bool)
        chosen[i.numpy()] = True
        found: dict[str, Any] = own.of(chosen)
        # Lacking values are as far off as if they were zero.
        off = [
            wasserstein_distance(found[kind], values) if kind in found else float(values.mean())
            for kind, values in wanted.items()
        ]
        return float(np.dot(off, [len(v) for v in wanted.values()]) / total) if total else 0.0

    return half_sampled(statistic, (count,), resamples=resamples, seed=seed, bounds=(0.0, math.inf))
