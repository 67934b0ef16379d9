"""Fields: features of nodes at given positions are generated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from noisefold.domains.domain import Domain, ScoredModel
from noisefold.domains.recipe import Recipe, Request, outline, recommended
from noisefold.eval.field_scores import score_fields
from noisefold.eval.score_table import Scores
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.summary import DataSummary
from noisefold.noise.variable import Features, Variable

__all__ = ["Fields", "field_scores"]


@dataclass(frozen=True)
class Fields(Domain):
    """Fields, by `noisefold.nn.SetTransformer`, or by `noisefold.nn.KrigingResidual` where few are to
    complete.

    Graphs of more than 2,000 nodes have `noisefold.nn.Latents`.
    """

    name: ClassVar[str] = "fields"

    def fits(self, data: Graphs, variable: Variable[Any] | None) -> bool:
        """Return whether features are generated: asked for, or there."""
        return bool(data.features) if variable is None else variable.positions_given

    def recipe(self, data: Graphs, request: Request) -> Recipe:
        """Return a recipe for fields on positions of any number."""
        transform = request.transform
        unit = data if transform is None else outline(data, transform)
        return recommended(unit, Features(), DataSummary.fit(data, transform), request)

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
        """Compare fields on the positions of half of the test set with the other half."""
        return field_scores(model, test, train, draws, metrics, seed, **sampling)


def field_scores(
    model: ScoredModel,
    test: Graphs,
    train: Graphs | None,
    draws: int | None,
    metrics: Sequence[str] | None,
    seed: int,
    **sampling: Any,
) -> Scores:
    """Return the scores of `noisefold.eval.score_fields` for samples on half of the test positions."""
    half = test[::2]
    generated = model.sample_for(half, draws, seed=seed, **{"like": half, **sampling})
    return score_fields(generated, test, train, metrics=metrics, seed=seed)
