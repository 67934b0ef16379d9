"""Planar graphs by latent geometry: positions in the plane are generated, and edges follow by a rule.

Every training graph is laid out so that it is the Delaunay triangulation of its positions. A model of point
clouds learns the positions, and a graph is what their triangulation is. So every generated graph is planar
and connected by construction: the rule is prior knowledge of the class of graphs, and not learned. The
positions are learned from the training graphs alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch

from noisefold.domains.domain import Domain, ScoredModel
from noisefold.domains.recipe import Recipe, Request, planned
from noisefold.eval.graph_scores import score_graphs
from noisefold.eval.score_table import Scores
from noisefold.geometry.delaunay import DelaunayLayout, recovered
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.pair_strata import simple_edges
from noisefold.geometry.planar_layout import planar_layout
from noisefold.geometry.scaling import Scaling
from noisefold.geometry.summary import DataSummary
from noisefold.nn.egnn import EGNN
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.point_coupling import WithinCloud
from noisefold.noise.target import Target
from noisefold.noise.variable import Positions, Variable
from noisefold.train.settings import Training

__all__ = ["PlanarGraphs"]

_TRIED = 8  # graphs that are laid out to see whether the rule gives them back
_RECOVERED = 0.98  # of their edges
_ASSIGNED = 256  # nodes up to which noise is assigned to points exactly


@dataclass(frozen=True)
class PlanarGraphs(Domain):
    """Near-triangulations of the plane, by `noisefold.nn.EGNN` on positions of a layout."""

    name: ClassVar[str] = "planar graphs"

    def fits(self, data: Graphs, variable: Variable[Any] | None) -> bool:
        """Return whether graphs are such triangulations, and no other variable is asked for."""
        if data.dim > 0 or data.edge_index is None or not isinstance(variable, Positions | None):
            return False
        return _reason(data) is None

    def recipe(self, data: Graphs, request: Request) -> Recipe:
        """Return a recipe for triangulations of any sizes.

        Raises
        ------
        ValueError
            If the graphs are not triangulations that a layout gives back, or a model for completion is asked
            for.
        """
        reason = _reason(data)
        if reason is not None:
            raise ValueError(f'{reason}; use variable="types", which generates any graph.')
        if request.for_completion:
            raise ValueError(
                "for_completion=True is not for latent geometry, since a graph is laid out as a whole; use "
                'variable="types".'
            )
        # Layouts are centred and of unit scale: there is nothing to measure.
        summary = DataSummary.of(data, Scaling((0.0, 0.0), 1.0))
        classes = len(data.classes) if data.label is not None else 0
        net = EGNN(**{"pos_dim": 2, "classes": classes, **request.net})
        exact = int(data.sizes.max()) <= _ASSIGNED
        training = Training(
            steps=1000,
            batch=min(16, len(data)),
            lr=2e-3,
            weight_decay=1e-2,
            ema=0.99,
            coupling=WithinCloud("exact" if exact else "order"),
            seed=request.seed,
        )
        request = replace(request, transform=request.transform or DelaunayLayout())
        return planned(net, Gaussian(), Target("velocity"), Positions(), training, summary, request)

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
        """Compare as many samples as there are test graphs, unless `draws` says otherwise, by edges alone."""
        generated = model.sample_for(test, draws, seed=seed, **sampling)
        return score_graphs(generated, test, train, metrics=metrics, seed=seed)


def _reason(data: Graphs) -> str | None:
    """Return why layouts do not stand for these graphs, or None if they do, as far as a few of them show."""
    for field, noun in (("x", "features"), ("node_type", "types of nodes"), ("edge_type", "types of edges")):
        if getattr(data, field) is not None:
            return f"the graphs have {noun}, which positions do not generate"
    if data.edge_index is None or len(data) == 0:
        return "the data hold no graphs with edges"
    # Of n nodes and m edges, 3 n - 3 - m are on the rim of a triangulated disc, and all have a neighbour.
    owner = data.batch.cpu()[simple_edges(data)[0]]
    rim = 3 * data.sizes.cpu() - 3 - torch.bincount(owner, minlength=len(data))
    if bool(((rim < 3) | (rim > data.sizes.cpu())).any()):
        found = int(((rim < 3) | (rim > data.sizes.cpu())).nonzero()[0])
        return f"graph {found} has too few or too many edges to be a triangulation of a disc"
    some = data[:_TRIED]
    try:
        share = float(recovered(some.replace(pos=planar_layout(some, sweeps=0))).mean())
    except ValueError as error:
        return str(error).split(",")[0]
    if share < _RECOVERED:
        return f"Delaunay triangulations of layouts have only {share:.0%} of the graphs' edges"
    return None
