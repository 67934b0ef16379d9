"""Point clouds and surfaces: positions are generated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from noisefold.domains.domain import Domain, ScoredModel
from noisefold.domains.recipe import Recipe, Request, recommended
from noisefold.eval.cloud_scores import CLOUD_METRICS, score_clouds
from noisefold.eval.score_table import Scores
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.scaling import Scaling
from noisefold.geometry.summary import DataSummary
from noisefold.noise.variable import Positions, Variable
from noisefold.train.settings import Training

__all__ = ["PointClouds"]

# Evidence: ``noisefold study speedrun --scale short``.
_TRAINING = Training(steps=10_000, batch=16, lr=1.5e-3, optimizer="muon")


@dataclass(frozen=True)
class PointClouds(Domain):
    """Point clouds, by `noisefold.nn.Latents`; scored by Chamfer and earth mover's distances."""

    name: ClassVar[str] = "point clouds"

    def fits(self, data: Graphs, variable: Variable[Any] | None) -> bool:
        """Return whether positions are generated: asked for, or all that there is."""
        return not data.features if variable is None else not variable.positions_given

    def recipe(self, data: Graphs, request: Request) -> Recipe:
        """Return a recipe for clouds of any sizes."""
        summary = DataSummary.of(data, Scaling.fit(data))
        return recommended(data, Positions(), summary, request, usual=_TRAINING)

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
        """Compare as many samples as there are test clouds, unless `draws` says otherwise."""
        chosen = CLOUD_METRICS if metrics is None else metrics
        generated = model.sample_for(test, draws, seed=seed, **sampling)
        return score_clouds(generated, test, train, metrics=chosen, seed=seed)
