"""Molecules: discrete graphs of atoms and bonds, which are scored as molecules."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from noisefold.data.molecules import is_molecular, to_rdkit
from noisefold.domains.domain import Domain, ScoredModel
from noisefold.domains.graphs import DiscreteGraphs, noted
from noisefold.domains.recipe import Recipe, Request
from noisefold.eval.molecule_scores import score_molecules
from noisefold.eval.score_table import Scores
from noisefold.geometry.graphs import Graphs
from noisefold.noise.discrete import Discrete
from noisefold.noise.source import Streams
from noisefold.noise.variable import Types, Variable

__all__ = ["Molecules", "independent", "some"]

_COMPARED = 10_000  # real molecules, at most


@dataclass(frozen=True)
class Molecules(Domain):
    """Molecules, with the networks of `noisefold.domains.DiscreteGraphs`; scored by validity and FCD.

    Nodes are named by element and charge, such as "N+", and edges "single", "double" or "triple", as
    `noisefold.data.molecules` reads them. Without RDKit they are graphs like others.
    """

    name: ClassVar[str] = "molecules"
    graphs: DiscreteGraphs = field(default_factory=DiscreteGraphs)

    def fits(self, data: Graphs, variable: Variable[Any] | None) -> bool:
        """Return whether discrete graphs are of atoms and bonds by their names, and RDKit is there."""
        return (
            self.graphs.fits(data, variable)
            and is_molecular(data)
            and bool(importlib.util.find_spec("rdkit"))
        )

    def prepared(self, data: Graphs) -> Graphs:
        """Return simple undirected graphs without positions and features."""
        return self.graphs.prepared(data)

    def recipe(self, data: Graphs, request: Request) -> Recipe:
        """Return a recipe for discrete graphs."""
        return self.graphs.recipe(data, request)

    def score(
        self,
        model: ScoredModel,
        test: Graphs,
        train: Graphs | None,
        *,
        draws: int | None,
        metrics: Sequence[str] | None,
        seed: int,
        **sampling: Any,
    ) -> Scores:
        """Compare as many samples as there are test molecules, unless `draws` says otherwise.

        The row ``independent`` is of atoms and bonds that are drawn independently, with the shares of the
        data.
        """
        generated = model.sample_for(test, draws, seed=seed, **sampling)
        rows = {"model": to_rdkit(generated), "independent": to_rdkit(independent(generated, test, seed))}
        known = None if train is None else to_rdkit(train)
        about = {"independent": "atoms and bonds drawn independently, with the shares of the data."}
        real = some(test, seed)
        scores = score_molecules(rows, to_rdkit(real), known, about=about, metrics=metrics, seed=seed)
        return noted(scores, sampling)


def some(data: Graphs, seed: int) -> Graphs:
    """Return as many random molecules as are compared at most."""
    if len(data) <= _COMPARED:
        return data
    return data[torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))[:_COMPARED]]


def independent(like: Graphs, data: Graphs, seed: int) -> Graphs:
    """Return graphs of the sizes of others, atoms and bonds drawn independently by their shares."""
    path = Discrete.fit(data)
    frame = like.to("cpu")
    state = path.prior(frame, Types().read(frame), torch.tensor(1.0), Streams(seed, range(len(frame))))
    return Types().write(frame, state)
