"""Functions whose values are places on the sphere, such as tracks, and points on the sphere itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from noisefold.data.functions.modality import FunctionSamples
from noisefold.domains.clouds import PointClouds
from noisefold.domains.domain import Domain, ScoredModel
from noisefold.domains.fields import field_scores
from noisefold.domains.recipe import Recipe, Request, planned
from noisefold.eval.score_table import Scores
from noisefold.eval.track_metrics import forecast_masks, score_tracks
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.manifold import Sphere
from noisefold.geometry.scaling import Scaling
from noisefold.geometry.selection import spread
from noisefold.geometry.summary import DataSummary
from noisefold.geometry.track_kernel import TrackKernel
from noisefold.nn.set_transformer import SetTransformer
from noisefold.nn.track_transformer import TrackTransformer
from noisefold.noise.riemannian import Riemannian
from noisefold.noise.tangent_score import TangentScore
from noisefold.noise.variable import Features, Positions, Variable
from noisefold.sample.riemannian_likelihood import GeodesicFlow
from noisefold.train.masks import Masks
from noisefold.train.settings import Training

__all__ = ["SphereFunctions"]

_PATH = Riemannian()
_UNIT, _ZERO = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)
# Whole nodes alone can be observed on a sphere; slabs are forecasts and interpolations.
_MASKS = Masks(("nothing", "nodes", "slab", "slab"))
_NODES = 400
_DRAWS, _SCORED = 39, 64
_LEAST = 3  # places of a track, of which two are known


@dataclass(frozen=True)
class SphereFunctions(Domain):
    """Tracks by `noisefold.nn.TrackTransformer`, other unit vectors by `noisefold.nn.SetTransformer`.

    Data are of this kind by their modality, `noisefold.data.functions.FunctionSamples`: outputs on the
    sphere, or inputs on it without any outputs, whose positions are generated. Unit vectors are neither
    centred nor scaled.
    """

    name: ClassVar[str] = "functions on the sphere"

    def fits(self, data: Graphs, variable: Variable[Any] | None) -> bool:
        """Return whether what is generated lies on the sphere."""
        kind = data.modality
        if not isinstance(kind, FunctionSamples):
            return False
        given = bool(data.features) if variable is None else variable.positions_given
        return kind.outputs == "sphere" if given else kind.inputs == "sphere"

    def recipe(self, data: Graphs, request: Request) -> Recipe:
        """Return a recipe for tracks of any times, or for points.

        Raises
        ------
        ValueError
            If what should be generated is no unit vectors.
        """
        kind = data.modality
        points = isinstance(kind, FunctionSamples) and kind.outputs != "sphere"
        sizes = data.sizes
        training = Training(
            batch=min(64, len(data)),
            nodes=_NODES if int(sizes.max()) > _NODES else None,
            lr=2e-3,
            masks=_MASKS if request.for_completion else None,
            seed=request.seed,
        )
        if points:
            Sphere().check(data.pos, "pos")
            summary = DataSummary.of(data, Scaling(_ZERO, 1.0))
            features = 3 if request.for_completion else 0
            cloud = SetTransformer(**{"pos_dim": 3, "features": features, "frequencies": 12, **request.net})
            return planned(cloud, _PATH, TangentScore(), Positions(), training, summary, request)
        variable = Features()
        x = variable.read(data)
        Sphere().check(x, "x")
        scaling = replace(Scaling.fit(data.replace(x=None, modality=None)), x_mean=_ZERO, x_scale=_UNIT)
        summary = DataSummary.of(data, scaling)
        sides = {"features": 6 if request.for_completion else 3, "out_dim": 3}
        net: TrackTransformer | SetTransformer
        if data.dim == 1:
            net = TrackTransformer(**{**sides, "kernel": _fitted(data, scaling), **request.net})
        else:
            net = SetTransformer(**{"pos_dim": data.dim, **sides, **request.net})
        return planned(net, _PATH, TangentScore(), variable, training, summary, request)

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
        """Score forecasts of tracks, whose first two fifths are known, beside persistence and Gaussians.

        Up to 64 test tracks are taken, spread over all. Other functions are compared as fields, by their
        samples, and points as clouds.
        """
        if test.features and test.dim == 1 and int(test.sizes.min()) > _LEAST:
            return _forecasts(model, test, train, draws or _DRAWS, metrics, seed, sampling)
        if test.features:
            return field_scores(model, test, train, draws, metrics, seed, **sampling)
        return PointClouds().score(model, test, train, draws=draws, metrics=metrics, seed=seed, **sampling)


def _forecasts(
    model: ScoredModel,
    test: Graphs,
    train: Graphs | None,
    draws: int,
    metrics: Sequence[str] | None,
    seed: int,
    sampling: dict[str, Any],
) -> Scores:
    some = test[spread(len(test), min(_SCORED, len(test)))]
    known = forecast_masks(some)
    done = model.complete(some, known, draws=draws, seed=seed, **sampling)
    log_probs = None
    if model.for_completion and (metrics is None or "log-likelihood" in metrics):
        method = GeodesicFlow(steps=20, exact_below=0)
        log_probs = model.log_prob(some, known=known, method=method, seed=seed).value
    return score_tracks(done.values, some, known, train, log_probs=log_probs, metrics=metrics, seed=seed)


def _fitted(data: Graphs, scaling: Scaling) -> tuple[float, float, float, float]:
    """Return the Gaussian process of tracks in standard units of time."""
    unit = scaling.apply(data)
    assert unit.x is not None
    times = [t[:, 0] for t in unit.unpack()]
    kernel = TrackKernel.fit(times, unit.unpack(unit.x), _PATH.least)
    return (kernel.constant, kernel.slope, kernel.variance, kernel.length)
