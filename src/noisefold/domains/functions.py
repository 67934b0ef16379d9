"""Functions on the line, the plane and the sphere: values at given inputs, given those at others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import nn

from noisefold.data.functions.modality import FunctionSamples
from noisefold.domains.domain import Domain, ScoredModel
from noisefold.domains.recipe import Recipe, Request, planned
from noisefold.eval.function_scores import (
    DENSITY_METRICS,
    FUNCTION_METRICS,
    context_masks,
    score_functions,
)
from noisefold.eval.score_table import Scores
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.scaling import Scaling
from noisefold.geometry.selection import spread
from noisefold.geometry.summary import DataSummary
from noisefold.nn.set_transformer import SetTransformer
from noisefold.nn.vector_field_net import EquivariantFieldNet
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.levels import LogSNRUniform
from noisefold.noise.target import Target
from noisefold.noise.variable import Features, Variable
from noisefold.sample.conditional_likelihood import ROUTES
from noisefold.sample.probability_flow import ProbabilityFlow
from noisefold.train.masks import Masks
from noisefold.train.settings import Training

__all__ = ["Functions"]

_POINTS = 2048  # of a step
_NODES = 400  # of a graph that is seen at once in training
_ATTENDED = 2000  # and in sampling
_CONTEXT = 10  # observed nodes, at most, of small graphs, and one in so many of large ones
_DRAWS = 39  # intervals of 50 and 90 % end at whole order statistics
_SCORED = 64


@dataclass(frozen=True)
class Functions(Domain):
    """Random functions by their modality, `noisefold.data.FunctionSamples`, with scalar or vector values.

    One network serves to generate and to condition: it is always made for completion, and trained at levels
    uniform in log-SNR with the weight of the noise, which is that of the likelihood. It is

    - `noisefold.nn.EquivariantFieldNet` for vectors in space, which are scaled as a whole and not centred;
    - `noisefold.nn.SetTransformer` for all else: of relative positions alone, so that functions that were
      moved are as likely, or on the sphere of absolute ones, since climates have places.
    """

    name: ClassVar[str] = "functions"

    def fits(self, data: Graphs, variable: Variable[Any] | None) -> bool:
        """Return whether values of random functions are generated."""
        kind = data.modality
        if not isinstance(kind, FunctionSamples) or kind.outputs == "sphere":
            return False
        return bool(data.features) if variable is None else variable.positions_given

    def recipe(self, data: Graphs, request: Request) -> Recipe:
        """Return a recipe for functions observed anywhere."""
        kind = data.modality
        assert isinstance(kind, FunctionSamples)
        largest = int(data.sizes.max())
        nodes = min(largest, _NODES)
        vectors = kind.outputs == "vector"
        training = Training(
            batch=max(1, min(64, len(data), _POINTS // nodes)),
            nodes=_NODES if largest > _NODES else None,
            lr=2e-3,
            levels=LogSNRUniform(),
            masks=_masks(data, vectors),
            seed=request.seed,
        )
        request = replace(request, for_completion=True)
        summary = DataSummary.of(data, _scaling(data, kind, request))
        net = _network(summary, kind, data, request.net)
        tile = _ATTENDED if largest > _ATTENDED else None
        return planned(
            net,
            Gaussian(),
            Target("velocity", weight="noise"),
            Features(),
            training,
            summary,
            request,
            tile,
        )

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
        """Score what a model says of values given a few others, beside a fitted Gaussian process.

        Vectors on a sphere are tangent to it, so that they have no density in space and no log-likelihood
        here. Up to 64 test functions are taken, spread over all, and up to 400 nodes of each. Of a small one
        0 to 10 nodes are observed, and up to a tenth of a large one.
        """
        some = _some(test, seed)
        known = context_masks(some, max(_CONTEXT, int(some.sizes.max()) // _CONTEXT), seed)
        done = model.complete(some, known, draws=draws or _DRAWS, seed=seed, **sampling)
        kind = test.modality
        tangent = isinstance(kind, FunctionSamples) and kind.inputs == "sphere" and kind.outputs == "vector"
        densities = () if tangent else DENSITY_METRICS
        metrics = metrics or [m for m in FUNCTION_METRICS if m in densities or m not in DENSITY_METRICS]
        found: dict[str, torch.Tensor] = {}
        if model.for_completion and set(densities) & set(metrics):
            # Of the mean over graphs a few probes are enough; the exact divergence takes one for each number.
            method = ProbabilityFlow(probes=2, exact_below=64)
            values = {
                r: model.log_prob(some, known=known, route=r, method=method, seed=seed).value for r in ROUTES
            }
            found = {
                "log-likelihood": values["direct"],
                "inconsistency": values["joint"] - values["direct"],
            }
        return score_functions(done.values, some, known, train, log_probs=found, metrics=metrics, seed=seed)


def _masks(data: Graphs, vectors: bool) -> Masks:
    """Return masks of nodes, and of entries where features are measured apart from each other."""
    kinds = ["nothing", "nodes", "nodes"]
    if data.features > 1 and not vectors:
        kinds += ["entries", "features"]
    return Masks((*kinds, "slab" if data.dim == 1 else "region"))


def _scaling(data: Graphs, kind: FunctionSamples, request: Request) -> Scaling:
    """Return the standardisation; a vector keeps its direction, so that it has one scale and no centre."""
    scaling = Scaling.fit(data, transform=request.transform)
    if kind.outputs != "vector":
        return scaling
    if request.transform is not None:
        raise ValueError(
            "transform must be None for vectors, whose components are not values of their own; load the data "
            "with scalar outputs to transform them."
        )
    x = Features().read(data).double()
    size = float(x.square().mean().sqrt()) or 1.0
    return replace(scaling, x_mean=(0.0,) * data.features, x_scale=(size,) * data.features)


def _network(summary: DataSummary, kind: FunctionSamples, data: Graphs, changes: Any) -> nn.Module:
    columns = summary.features
    arguments: dict[str, Any] = {
        "pos_dim": data.dim,
        "features": 2 * columns,
        "out_dim": columns,
        "width": 64,
        "classes": len(data.classes) if data.label is not None else 0,
    }
    if kind.outputs == "vector" and kind.inputs == "euclidean":
        return EquivariantFieldNet(**{**arguments, **changes})
    return SetTransformer(**{**arguments, "absolute": kind.inputs == "sphere", **changes})


def _some(test: Graphs, seed: int) -> Graphs:
    chosen = spread(len(test), min(_SCORED, len(test)))
    some = test[chosen.to(test.device)]
    if int(some.sizes.max()) <= _NODES:
        return some
    keys = torch.rand(some.num_nodes, generator=torch.Generator().manual_seed(seed))
    return some.thin(_NODES, keys.to(some.device))
