"""Tissues: the expression of genes in cells at given positions.

One tissue is few data. A network learns from overlapping patches of it, and a whole tissue is sampled in
tiles; what is held out are blocks of cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from noisefold.data.tissue.expression import Expression
from noisefold.data.tissue.modality import SpatialTranscriptomics
from noisefold.domains.domain import Domain, ScoredModel
from noisefold.domains.fields import field_scores
from noisefold.domains.recipe import Recipe, Request, outline, recommended
from noisefold.eval.field_scores import score_fields
from noisefold.eval.score_table import Scores
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.patches import take
from noisefold.geometry.scaling import Scaling
from noisefold.geometry.summary import DataSummary
from noisefold.noise.variable import Features, Variable

__all__ = ["Tissues"]

# One tissue is few patches; the more they overlap, the more places they are cut at.
_OVERLAP = 0.6
_COMPARED = 16  # test graphs, at least


@dataclass(frozen=True)
class Tissues(Domain):
    """Tissues, normalised by `noisefold.data.Expression`, with the networks of `noisefold.domains.Fields`."""

    name: ClassVar[str] = "tissues"

    def fits(self, data: Graphs, variable: Variable[Any] | None) -> bool:
        """Return whether the data were read as a tissue, and features are generated."""
        generated = variable is None or variable.positions_given
        return generated and isinstance(data.modality, SpatialTranscriptomics)

    def recipe(self, data: Graphs, request: Request) -> Recipe:
        """Return a recipe for patches of the tissue; its groups count as independent samples."""
        modality = _modality(data)
        transform = request.transform or Expression.fit(data, modality.values)
        patches = self.training_graphs(data)
        scaling = Scaling.fit(patches, apart=(-1,) if modality.time else (), transform=transform)
        samples = request.independent_samples
        # A patch of one time would not tell a network that sees places relative to their middle which it is.
        if samples is None and not modality.time:
            samples = len(data)
        request = replace(request, transform=transform, independent_samples=samples)
        summary = DataSummary.of(patches, scaling)
        return recommended(outline(patches, transform), Features(), summary, request, tile=modality.patch)

    def training_graphs(self, data: Graphs) -> Graphs:
        """Return overlapping patches that cover the tissue."""
        return _modality(data).patches(data, _OVERLAP)

    def test_graphs(self, data: Graphs) -> Graphs:
        """Return blocks of neighbouring cells, each cell in one."""
        modality = _modality(data)
        return data if int(data.sizes.max()) <= modality.patch else take(data, modality.blocks(data))

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
        """Compare expression on the positions of half of the test blocks with the other half.

        Of fewer than 16 blocks the model generates each whole, and all are cut smaller before they are
        compared, since a distance between sets of a few fields says nothing.
        """
        if len(test) >= _COMPARED:
            return field_scores(model, test, train, draws, metrics, seed, **sampling)
        smaller = replace(_modality(test), patch=max(2, test.num_nodes // _COMPARED))
        generated = model.sample_for(test, len(test), seed=seed, **{"like": test, **sampling})
        rows = smaller.blocks(test)
        reference = None if train is None else take(train, smaller.blocks(train))
        made = take(generated, rows[::2])
        return score_fields(made, take(test, rows), reference, metrics=metrics, seed=seed)


def _modality(data: Graphs) -> SpatialTranscriptomics:
    assert isinstance(data.modality, SpatialTranscriptomics)
    return data.modality
