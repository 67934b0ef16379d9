r"""Regression on the line: the table of geometric neural diffusion processes beside exact answers.

One network for each data set, which is told what is known; from it both log-likelihoods of the targets given
the context: the direct one, and that of all values less that of the context. The second is a density of the
targets only as far as the model's distributions of few and of many values agree, which nothing makes them do.
The difference of the two is given beside them.

Source: Mathieu et al., Geometric Neural Diffusion Processes (2023), section 5.1 and table 1,
https://arxiv.org/abs/2307.05431.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from noisefold.data.functions import REGRESSION_TASKS, GaussianProcess, RandomFunction, UniformInputs
from noisefold.geometry import Scaling
from noisefold.geometry.gp import condition, evidence, factor
from noisefold.nn import Denoiser, SetTransformer
from noisefold.noise import derive_seed, seeded
from noisefold.progress import progress
from noisefold.sample import (
    Amortized,
    Heun,
    LevelGrid,
    ProbabilityFlow,
    Sampling,
    complete,
    conditional_log_prob,
)
from noisefold.studies.functions.path_gap import exact_posteriors, path_gap
from noisefold.studies.functions.regression_report import figure, table
from noisefold.studies.functions.tasks import (
    Judged,
    judged_tasks,
    only,
    scaled_covariance,
    scaling_of,
    training_tasks,
)
from noisefold.studies.functions.training import LEVELS, denoiser_of, trained
from noisefold.studies.kit.experiment import Experiment, Result, Run, written
from noisefold.studies.kit.statistics import mean_and_error

__all__ = ["STUDY", "measure"]

_CONTEXT, _TARGETS, _MOVED = 10, 50, 4.0


@dataclass(frozen=True)
class Scale:
    """One size of the study.

    Parameters
    ----------
    seconds
        Computing time of each training.
    tasks
        Tasks whose likelihoods are computed.
    gap_tasks
        Tasks of the path gap.
    draws, drawn_tasks
        Draws for coverage, and tasks they are drawn for.
    width, blocks
        Of the network.
    datasets
        Names of the data sets.
    """

    seconds: float
    tasks: int
    gap_tasks: int
    draws: int
    drawn_tasks: int
    width: int = 64
    blocks: int = 4
    datasets: tuple[str, ...] = tuple(REGRESSION_TASKS)


SCALES = {
    "smoke": Scale(0.2, 4, 2, 19, 2, 16, 1, ("se", "sawtooth")),
    "short": Scale(120.0, 110, 55, 39, 44),
    "paper": Scale(3600.0, 1100, 220, 99, 220),
}


def measure(run: Run[Scale]) -> Result:
    """Return one of ``rows`` for every data set, with the log-likelihoods and their gaps in nats a target."""
    rows = []
    with progress(run.name, len(run.size.datasets)) as advance:
        for name in run.size.datasets:
            rows.append(_row(run, name))
            advance(1, name)
    return {"seed": run.seed, "rows": rows, "log_snr": [LEVELS.high, LEVELS.low]}


def _row(run: Run[Scale], name: str) -> Result:
    size, process = run.size, REGRESSION_TASKS[name]
    inputs = UniformInputs((1, _CONTEXT + _TARGETS))
    scaling = scaling_of(process, inputs)
    with seeded(run.seed):
        net = SetTransformer(1, 2, 1, width=size.width, blocks=size.blocks, heads=4, absolute=False)
    denoiser = denoiser_of(net)
    draw = training_tasks(process, scaling, inputs, _CONTEXT, run.seed)
    training = trained(run, name, denoiser, draw, size.seconds, data=name)
    result: Result = run.cached(f"{name} scores", lambda: _scores(run, process, scaling, denoiser), data=name)
    return {"data": name, **training, **result}


def _scores(
    run: Run[Scale], process: RandomFunction, scaling: Scaling, denoiser: Denoiser[Any, Any]
) -> Result:
    size = run.size
    tasks = judged_tasks(
        process, scaling, UniformInputs(), size.tasks, _CONTEXT, _TARGETS, derive_seed(run.seed, 7)
    )
    scale = math.log(scaling.x_scale[0])
    direct, difference = (
        _log_prob(denoiser, tasks, route) / _TARGETS - scale for route in ("direct", "joint")
    )
    moved = tasks.moved(_MOVED / scaling.pos_scale).first(11)
    there = _log_prob(denoiser, moved, "direct") / _TARGETS - scale
    result = {
        "direct": _mean(direct),
        "joint - context": _mean(difference),
        "inconsistency": _mean(difference - direct),
        "generalisation": {"difference": float((there - direct[: len(there)]).abs().max())},
        "coverage": _coverage(run, denoiser, tasks.first(size.drawn_tasks)),
        "contexts": {str(c): float(direct[tasks.contexts == c].mean()) for c in range(_CONTEXT + 1)},
    }
    if isinstance(process, GaussianProcess):
        covariance = scaled_covariance(process, scaling)
        oracle, diagonal = (v / _TARGETS - scale for v in _exact(tasks, covariance))
        result |= {
            "oracle": _mean(oracle),
            "gap": _mean(oracle - direct),
            "gap of joint - context": _mean(oracle - difference),
            "diagonal": _mean(diagonal),
            "path gap": _path_gaps(run, denoiser, tasks.first(size.gap_tasks), covariance),
        }
    return result


def _mean(values: Tensor) -> dict[str, float]:
    mean, error = mean_and_error(values.tolist())
    return {"mean": mean, "error": error}


def _log_prob(denoiser: Denoiser[Any, Any], tasks: Judged, route: str) -> Tensor:
    """Return log-likelihoods of the targets given the context ``[g]``.

    By the exact divergence of a few values, else by an estimate, whose error is averaged out over tasks.
    """
    method = ProbabilityFlow(probes=2, exact_below=12, log_snr=(LEVELS.high, LEVELS.low))
    return conditional_log_prob(denoiser, tasks.graphs, tasks.known, route=route, method=method).value


def _exact(tasks: Judged, covariance: Any) -> tuple[Tensor, Tensor]:
    """Return the exact log-likelihood of the targets of each task, ``[g]``, and of each target alone."""
    found, graphs = [], tasks.graphs
    assert graphs.x is not None
    parts = zip(graphs.unpack(), graphs.unpack(graphs.x), graphs.unpack(tasks.known), strict=True)
    for pos, x, known in parts:
        matrix, values = covariance(pos.double()), x.double()
        rest = ~known
        mean = torch.zeros_like(values[rest])
        given = matrix[rest][:, rest]
        if bool(known.any()):
            posterior = condition(factor(matrix[known][:, known]), matrix[known][:, rest], values[known])
            mean, given = posterior.mean(), posterior.covariance(given)
        residual = values[rest] - mean
        variance = given.diagonal()
        alone = -0.5 * (residual[:, 0].square() / variance + variance.log() + math.log(2 * math.pi))
        found.append((evidence(factor(given), residual)[0], alone.sum()))
    whole, alone = zip(*found, strict=True)
    return torch.stack(whole), torch.stack(alone)


def _path_gaps(run: Run[Scale], denoiser: Denoiser[Any, Any], tasks: Judged, covariance: Any) -> Result:
    """Return the path gap of the direct conditional, and of all values less the context's, per target."""
    seed = derive_seed(run.seed, 8)
    graphs, known = tasks.graphs, tasks.known
    direct, _ = path_gap(denoiser, graphs, known, exact_posteriors(graphs, known, covariance), seed=seed)
    joint, _ = path_gap(denoiser, graphs, None, exact_posteriors(graphs, None, covariance), seed=seed)
    context = only(graphs, known)
    joint[tasks.contexts > 0] -= path_gap(
        denoiser, context, None, exact_posteriors(context, None, covariance), seed=seed
    )[0]
    return {"direct": _mean(direct / _TARGETS), "joint - context": _mean(joint / _TARGETS)}


def _coverage(run: Run[Scale], denoiser: Denoiser[Any, Any], tasks: Judged) -> Result:
    """Return the share of targets within the central 50 and 90 % of draws, with errors over tasks."""
    sampling = Sampling(
        steps=16, solver=Heun(), grid=LevelGrid(LEVELS), batch=512, seed=derive_seed(run.seed, 9)
    )
    units = Scaling((0.0,), 1.0, (0.0,), (1.0,))
    done = complete(denoiser, units, tasks.graphs, tasks.known, Amortized(), sampling, draws=run.size.draws)
    assert tasks.graphs.x is not None
    result = {}
    for level in (0.5, 0.9):
        low, high = done.interval(level)
        inside = ((tasks.graphs.x >= low) & (tasks.graphs.x <= high))[:, 0].double()
        shares = [
            float(part[~known].mean())
            for part, known in zip(tasks.graphs.unpack(inside), tasks.graphs.unpack(tasks.known), strict=True)
        ]
        mean, error = mean_and_error(shares)
        result[f"{level:g}"] = {"mean": mean, "error": error}
    return result


STUDY = Experiment("regression", SCALES, written(measure, table, figure))
