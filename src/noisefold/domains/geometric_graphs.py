"""Geometric graphs: positions, types of nodes and edges are generated together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from noisefold.domains.domain import Domain, ScoredModel
from noisefold.domains.graphs import DiscreteGraphs, noted
from noisefold.domains.recipe import Recipe, Request, planned
from noisefold.eval.graph_scores import score_graphs
from noisefold.eval.score_table import Scores
from noisefold.geometry.centre import Centre
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.scaling import Scaling
from noisefold.geometry.summary import DataSummary
from noisefold.nn.defaults import default_geometric_net
from noisefold.noise.classes import Classes
from noisefold.noise.discrete import Discrete
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.joint import JointPath
from noisefold.noise.joint_prediction import JointPrediction
from noisefold.noise.joint_variable import JointVariable
from noisefold.noise.source import Centred
from noisefold.noise.target import Target
from noisefold.noise.variable import Positions, Types, Variable
from noisefold.train.settings import Training

__all__ = ["GeometricGraphs"]

_PAIRS = 16_000  # of a batch: a step of more costs more and teaches hardly more
_BATCH = 128
_POWERS = (2.0, 1.0)  # positions stay clean for longer, so that bonds are decided where atoms stand


@dataclass(frozen=True)
class GeometricGraphs(Domain):
    """Simple undirected graphs with positions, by `noisefold.nn.GeometricTransformer` on a joint path.

    Positions count up to their place and orientation. Features and attributes of the edges are left out.
    """

    name: ClassVar[str] = "geometric graphs"
    graphs: DiscreteGraphs = field(default_factory=DiscreteGraphs)

    def fits(self, data: Graphs, variable: Variable[Any] | None) -> bool:
        """Return whether positions and types are asked for together."""
        return isinstance(variable, JointVariable)

    def prepared(self, data: Graphs) -> Graphs:
        """Return simple undirected graphs with their positions, without features.

        Raises
        ------
        ValueError
            If the graphs have no positions or no edges, or are directed.
        """
        if data.dim == 0 or data.edge_index is None:
            lacking = "positions" if data.dim == 0 else "edges"
            raise ValueError(
                f'variable="pos+types" generates positions and edges, and the data have no {lacking}; use '
                f'variable="{"types" if data.dim == 0 else "pos"}".'
            )
        return self.graphs.prepared(data).replace(pos=data.pos, origin=data.origin)

    def recipe(self, data: Graphs, request: Request) -> Recipe:
        """Return a recipe for graphs of any sizes.

        Raises
        ------
        ValueError
            If the graphs are not such, or a model for completion is asked for.
        """
        graphs = self.prepared(data)
        if request.for_completion:
            raise ValueError(
                "for_completion=True is not for positions that count up to their place; complete graphs "
                'without positions by variable="types".'
            )
        request = replace(request, transform=request.transform or Centre())
        summary = DataSummary.of(graphs, Scaling.fit(graphs, transform=request.transform))
        discrete = Discrete.fit(graphs)
        path = JointPath((Gaussian(source=Centred()), discrete), _POWERS)
        target = JointPrediction((Target("velocity"), Classes()))
        pairs = max(1, int((graphs.sizes * (graphs.sizes - 1) // 2).double().mean()))
        training = Training(
            batch=max(1, min(_BATCH, len(graphs), _PAIRS // pairs)),
            lr=2e-3,
            weight_decay=1e-2,
            seed=request.seed,
        )
        net = default_geometric_net(graphs, discrete, **request.net)
        variable = JointVariable((Positions(), Types()))
        return planned(net, path, target, variable, training, summary, request)

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
        return noted(score_graphs(generated, test, train, metrics=metrics, seed=seed), sampling)
