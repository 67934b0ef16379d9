r"""Random vector fields in the plane: equivariant networks beside others, by kind of field, graph and data.

All trainings take equally much computing time. The measure is the path gap to the exact Gaussian process, per
vector of fields of 648 points: of whole fields, and of 623 vectors given 25. Three questions:

- does equivariance pay, on fields of independent components, without curl, and without divergence?
- does a graph that follows the noise pay, with more senders or with pooled ones where noise is high?
- how do networks do that have few fields to learn from?

Source: Mathieu et al., Geometric Neural Diffusion Processes (2023), section 5.2 and table 2,
https://arxiv.org/abs/2307.05431.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from noisefold.data.functions import VECTOR_FIELDS, GaussianProcess, disc
from noisefold.geometry import Graphs, Scaling
from noisefold.geometry.gp import evidence, factor
from noisefold.nn import BiDimensionalAttention, Denoiser, EquivariantFieldNet, SetTransformer
from noisefold.nn.adaptive import Adaptive, Fixed, Stepwise
from noisefold.noise import derive_seed, seeded
from noisefold.progress import progress
from noisefold.sample import ProbabilityFlow, conditional_log_prob
from noisefold.studies.functions.fields_report import figure, table
from noisefold.studies.functions.path_gap import Exact, exact_posteriors, path_gap
from noisefold.studies.functions.tasks import scaled_covariance
from noisefold.studies.functions.training import LEVELS, denoiser_of, trained
from noisefold.studies.kit.cache import slug
from noisefold.studies.kit.experiment import Experiment, Result, Run, written
from noisefold.studies.kit.statistics import mean_and_error

__all__ = ["STUDY", "measure"]

_CONTEXT, _SMALL, _FIELDS, _SMALL_FIELDS = 25, 25, 2, 24
# Signal level of log-SNR 4.4: below it the noise is above that of the data.
_NOISY = (0.9,)


@dataclass(frozen=True)
class Scale:
    """One size of the study.

    Parameters
    ----------
    seconds, short_seconds
        Computing time of a training, and of one on a given number of fields.
    tested, tested_likelihoods
        Fields of the path gap, and of the likelihood.
    levels
        Noise levels of the path gap.
    side
        Points of the grid along an axis.
    sizes
        Numbers of fields to train on.
    width, layers
        Of all networks but the published one.
    """

    seconds: float
    short_seconds: float
    tested: int
    tested_likelihoods: int
    levels: int
    side: int = 30
    sizes: tuple[int, ...] = (10, 100, 1000)
    width: int = 64
    layers: int = 4


SCALES = {
    "smoke": Scale(0.1, 0.1, 2, 1, 3, 9, (10,), 16, 1),
    "short": Scale(40.0, 40.0, 4, 2, 20),
    "paper": Scale(3600.0, 3600.0, 32, 16, 40),
}


def _equivariant(size: Scale, adaptive: Adaptive) -> nn.Module:
    return EquivariantFieldNet(2, 4, width=size.width, layers=size.layers, adaptive=adaptive)


def _attention(size: Scale) -> nn.Module:
    return SetTransformer(2, 4, 2, width=size.width, blocks=size.layers, heads=4)


def _bidimensional(size: Scale) -> nn.Module:
    return BiDimensionalAttention(2, 4, 2)


NETWORKS: dict[str, Callable[[Scale], nn.Module]] = {
    "equivariant": partial(_equivariant, adaptive=Fixed(range=24)),
    "attention": _attention,
    "bi-dimensional attention": _bidimensional,
    "12 senders": partial(_equivariant, adaptive=Fixed(range=12)),
    "48 senders": partial(_equivariant, adaptive=Fixed(range=48)),
    "48 where noisy, else 12": partial(_equivariant, adaptive=Stepwise(_NOISY, ranges=(48, 12))),
    "24, pooled where noisy": partial(
        _equivariant, adaptive=Stepwise(_NOISY, ranges=(24, 24), shares=(0.25, 1.0))
    ),
}
"""Networks by name; those named by their senders are equivariant."""
_KINDS = ("equivariant", "attention")
_GRAPHS = ("12 senders", "48 senders", "48 where noisy, else 12", "24, pooled where noisy")


@dataclass(frozen=True)
class Fields:
    """Fields of one kind at the points of a disc, in standard units.

    Parameters
    ----------
    process
        Their distribution.
    side
        Points of the grid along an axis.
    """

    process: GaussianProcess
    side: int

    @cached_property
    def scaling(self) -> Scaling:
        """Standardisation of the positions; values have variance 1 as they are."""
        points = disc(self.side)
        return Scaling((0.0, 0.0), float(points.std()), (0.0, 0.0), (1.0, 1.0))

    @cached_property
    def pos(self) -> Tensor:
        """Positions ``[n, 2]``, in standard units."""
        return disc(self.side) / self.scaling.pos_scale

    @cached_property
    def _lower(self) -> Tensor:
        return self.process.factor(disc(self.side)).lower.float()

    def draw(self, count: int, *seed: int) -> Tensor:
        """Return the values of fields, ``[count, n, 2]``, a function of the seeds and the count."""
        generator = torch.Generator().manual_seed(derive_seed(*seed))
        white = torch.randn(count, len(self._lower), generator=generator)
        return (white @ self._lower.mT).view(count, -1, 2)

    def covariance(self, inputs: Tensor) -> Tensor:
        """Return the covariance of values at standardised inputs."""
        return scaled_covariance(self.process, self.scaling)(inputs)

    @cache  # noqa: B019 - of a few fields, which live as long as the study
    def judged(self, count: int, seed: int) -> _Judged:
        """Return the fields that networks are judged by; made once."""
        return _judged(self, count, seed)

    def tasks(self, seed: int, size: int | None) -> Callable[[int], tuple[Graphs, Tensor]]:
        """Return a function of the step that draws fields and which of their nodes are known.

        Steps alternate between whole fields and parts of 25 points. Nothing of a field is known with a
        probability of one half, else up to 50 points, or all but one.

        Parameters
        ----------
        seed
            Draw k of a step is a function of (seed, step, k).
        size
            Number of different fields there are; None for new ones in every step.
        """
        kept = None if size is None else self.draw(size, seed, 2)

        def task(step: int) -> tuple[Graphs, Tensor]:
            rng = np.random.default_rng(derive_seed(seed, 3, step))
            whole = step % 2 == 0
            count = _FIELDS if whole else _SMALL_FIELDS
            if kept is None:
                x = self.draw(count, seed, 4, step)
            else:
                x = kept[torch.from_numpy(rng.integers(0, len(kept), count))]
            n = len(self.pos)
            points = n if whole else min(_SMALL, n)
            order = torch.from_numpy(rng.permuted(np.tile(np.arange(n), (count, 1)), axis=1))[:, :points]
            x = x.gather(1, order[..., None].expand(-1, -1, 2))
            known = np.where(rng.random(count) < 0.5, 0, rng.integers(1, min(51, points), count))
            mask = torch.arange(points) < torch.from_numpy(known)[:, None]
            return Graphs.dense(self.pos[order], x), mask.flatten()

        return task


@dataclass(frozen=True)
class _Case:
    """One training: of a kind of field, by a network, on some number of fields; None for new ones."""

    kind: str
    network: str
    fields: int | None = None

    @property
    def name(self) -> str:
        return slug(f"{self.kind} {self.network} {self.fields or ''}")


def _cases(size: Scale) -> list[_Case]:
    kinds = [_Case(kind, network) for kind in VECTOR_FIELDS for network in _KINDS]
    graphs = [_Case("div-free", network) for network in (*_GRAPHS, "bi-dimensional attention")]
    few = [_Case("div-free", network, n) for n in size.sizes for network in _KINDS]
    return kinds + graphs + few


def measure(run: Run[Scale]) -> Result:
    """Return one of ``rows`` for every training, with its gaps in nats a vector."""
    cases, rows = _cases(run.size), []
    truth = {kind: Fields(process, run.size.side) for kind, process in VECTOR_FIELDS.items()}
    with progress(run.name, len(cases)) as advance:
        for case in cases:
            rows.append(_row(run, case, truth[case.kind]))
            advance(1, case.name)
    return {"seed": run.seed, "points": len(truth["se"].pos), "rows": rows}


def _row(run: Run[Scale], case: _Case, fields: Fields) -> Result:
    with seeded(run.seed):
        denoiser = denoiser_of(NETWORKS[case.network](run.size))
    seconds = run.size.seconds if case.fields is None else run.size.short_seconds
    draw = fields.tasks(run.seed, case.fields)
    about = {"kind": case.kind, "network": case.network, "fields": case.fields}
    training = trained(run, case.name, denoiser, draw, seconds, **about)
    scores: Result = run.cached(f"{case.name}-scores", lambda: _scores(run, case, fields, denoiser), **about)
    return {**about, **training, **scores}


@dataclass(frozen=True)
class _Judged:
    """Fields that networks are judged by, which nodes are known, and exact distributions of the others.

    Parameters
    ----------
    graphs, known
        Fields, and the known nodes ``[n]``: the same of all.
    whole, rest
        Exact distributions of whole fields, and of what is not known given what is.
    """

    graphs: Graphs
    known: Tensor
    whole: list[Exact]
    rest: list[Exact]


def _judged(fields: Fields, count: int, seed: int) -> _Judged:
    n = len(fields.pos)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(derive_seed(seed, 6)))
    known = (torch.arange(n) < min(_CONTEXT, n // 2)).repeat(count)
    x = fields.draw(count, seed, 5)[:, order]
    graphs = Graphs.dense(fields.pos[order].expand(count, -1, -1), x)
    both = (exact_posteriors(graphs, mask, fields.covariance) for mask in (None, known))
    return _Judged(graphs, known, *both)


def _scores(run: Run[Scale], case: _Case, fields: Fields, denoiser: Denoiser[Any, Any]) -> Result:
    size, seed = run.size, derive_seed(run.seed, 7)
    judged = fields.judged(size.tested, run.seed)
    graphs, known = judged.graphs, judged.known
    whole, by_level = path_gap(denoiser, graphs, None, judged.whole, size.levels, seed, 4)
    rest, _ = path_gap(denoiser, graphs, known, judged.rest, size.levels, seed, 4)
    n, unknown = len(fields.pos), int((~known).sum()) // len(graphs)
    result = {
        "gap": _mean(whole / n),
        "gap given 25": _mean(rest / unknown),
        "by level": (by_level.mean(1) / n).tolist(),
    }
    if case.fields is None and case.network in _KINDS:
        some = graphs[: size.tested_likelihoods]
        result |= _likelihood(some, known[: some.num_nodes], fields, denoiser)
    return result


def _likelihood(graphs: Graphs, known: Tensor, fields: Fields, denoiser: Denoiser[Any, Any]) -> Result:
    """Return the log-likelihood of the unknown vectors given the known ones, and the exact one."""
    method = ProbabilityFlow(probes=2, exact_below=0, log_snr=(LEVELS.high, LEVELS.low))
    found = conditional_log_prob(denoiser, graphs, known, route="direct", method=method, batch=1)
    truth = torch.stack(
        [_evidence(fields, graph, mask) for graph, mask in zip(graphs, graphs.unpack(known), strict=True)]
    )
    value = found.value / found.nodes
    truth = truth / found.nodes
    return {"likelihood": _mean(value), "exact": _mean(truth), "likelihood gap": _mean(truth - value)}


def _evidence(fields: Fields, graph: Graphs, known: Tensor) -> Tensor:
    assert graph.x is not None
    whole = evidence(factor(fields.covariance(graph.pos.double())), graph.x.double().reshape(-1, 1))
    seen = factor(fields.covariance(graph.pos[known].double()))
    return (whole - evidence(seen, graph.x[known].double().reshape(-1, 1)))[0]


def _mean(values: Tensor) -> dict[str, float]:
    mean, error = mean_and_error(values.tolist())
    return {"mean": mean, "error": error}


STUDY = Experiment("fields", SCALES, written(measure, table, figure))
