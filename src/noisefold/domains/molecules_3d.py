"""Molecules in space: atoms, bonds and positions are generated together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch

from noisefold.data.molecules import chemistry, is_molecular, to_rdkit, without_hydrogens
from noisefold.domains.domain import Domain, ScoredModel
from noisefold.domains.geometric_graphs import GeometricGraphs
from noisefold.domains.graphs import noted
from noisefold.domains.molecules import independent, some
from noisefold.domains.recipe import Recipe, Request
from noisefold.eval.metric_names import chosen_metrics
from noisefold.eval.molecule_geometry import MOLECULE_GEOMETRY_METRICS, score_molecule_geometry
from noisefold.eval.molecule_scores import MOLECULE_METRICS, score_molecules
from noisefold.eval.score_table import Scores
from noisefold.geometry.centre import Centre
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.scaling import Scaling
from noisefold.noise.joint_variable import JointVariable
from noisefold.noise.source import Centred, Streams
from noisefold.noise.variable import Variable

__all__ = ["Molecules3D"]


@dataclass(frozen=True)
class Molecules3D(Domain):
    """Molecules with positions in 3-D, by the networks of `noisefold.domains.GeometricGraphs`.

    Atoms and bonds are named as `noisefold.data.molecules` reads them; positions are in angstrom. Scored by
    the stability of atoms, lengths and angles of bonds, and with RDKit as other molecules.
    """

    name: ClassVar[str] = "molecules in 3-D"
    geometric: GeometricGraphs = field(default_factory=GeometricGraphs)

    def fits(self, data: Graphs, variable: Variable[Any] | None) -> bool:
        """Return whether graphs are of atoms and bonds by their names, and have positions in 3-D."""
        asked = variable is None or isinstance(variable, JointVariable)
        return asked and data.dim == 3 and data.edge_index is not None and is_molecular(data)

    def prepared(self, data: Graphs) -> Graphs:
        """Return simple undirected graphs with their positions, without features."""
        return self.geometric.prepared(data)

    def recipe(self, data: Graphs, request: Request) -> Recipe:
        """Return a recipe for geometric graphs."""
        return self.geometric.recipe(data, request)

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

        The row ``independent`` is of atoms, bonds and positions that are drawn independently, with the shares
        and the spread of the data; ``shuffled`` of real molecules whose atoms have exchanged their places.

        Raises
        ------
        ValueError
            If a metric is unknown.
        """
        if metrics is not None:
            metrics = chosen_metrics(metrics, (*MOLECULE_GEOMETRY_METRICS, *MOLECULE_METRICS))
        generated = model.sample_for(test, draws, seed=seed, **sampling).to("cpu")
        real = some(test, seed)
        rows = {"model": generated, "independent": _scattered(independent(generated, test, seed), real, seed)}
        count = len(generated)
        if train is not None:
            rows["train"] = train[_order(len(train), seed)[:count]]
        source = rows.get("train", real[:count])
        rows["shuffled"] = source.replace(pos=source.pos[_within(source, seed)])
        about = {
            "model": f"{count} generated molecules against {len(real)} test molecules.",
            "independent": "atoms, bonds and positions drawn independently, as the data are spread.",
            "train": f"{len(source)} training molecules: as near as real ones come.",
            "shuffled": "real molecules whose atoms have exchanged their places.",
        }
        about = {name: text for name, text in about.items() if name in rows}
        shaped = None if metrics is None else [m for m in metrics if m in MOLECULE_GEOMETRY_METRICS]
        scores = Scores((), {name: {} for name in rows}, about)
        if shaped is None or shaped:
            scores = score_molecule_geometry(rows, real, about=about, metrics=shaped, seed=seed)
        bonded = None if metrics is None else [m for m in metrics if m in MOLECULE_METRICS]
        if bonded is None or bonded:
            chemistry()
            sets = {name: _heavy(rows[name]) for name in ("model", "independent")}
            known_ones = None if train is None else _heavy(train)
            bonds = score_molecules(sets, _heavy(real), known_ones, metrics=bonded, seed=seed)
            table = {name: {**cells, **bonds.table.get(name, {})} for name, cells in scores.table.items()}
            note = f"{scores.note} {bonds.note}".strip()
            scores = replace(scores, metrics=(*scores.metrics, *bonds.metrics), table=table, note=note)
        return noted(scores, sampling)


def _heavy(graphs: Graphs) -> list[Any]:
    """Molecules of RDKit as bonds say them, their hydrogens no atoms; None where a graph is none."""
    flat = graphs.replace(pos=graphs.pos.new_zeros(graphs.num_nodes, 0), origin=())
    return without_hydrogens(to_rdkit(flat))


def _order(count: int, seed: int) -> torch.Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def _within(graphs: Graphs, seed: int) -> torch.Tensor:
    """Rows of the nodes in random order within each graph."""
    keys = torch.rand(graphs.num_nodes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (keys + graphs.batch.cpu()).argsort()


def _scattered(graphs: Graphs, data: Graphs, seed: int) -> Graphs:
    """Graphs at normal positions as spread as those of data."""
    spread = Scaling.fit(data, transform=Centre()).pos_scale
    pos = Centred().draw(graphs, 3, Streams(seed, [2 * i + 1 for i in range(len(graphs))]))
    return graphs.replace(pos=spread * pos)
