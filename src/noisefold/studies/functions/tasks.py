"""Regression tasks: functions of which the first few values are known, to train on and to be judged by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from noisefold.data.functions import GaussianProcess, RandomFunction, UniformInputs, draw_functions
from noisefold.geometry import Graphs, Scaling
from noisefold.noise import derive_seed

__all__ = [
    "Judged",
    "first_known",
    "judged_tasks",
    "only",
    "scaled_covariance",
    "scaling_of",
    "training_tasks",
]

_POINTS = 2048  # values in a step, which has as many functions as that allows
_FUNCTIONS = 128
_UNCONDITIONAL = 0.35  # share of functions of which nothing is known
_SPREAD = 4.0
_SEEDS = {"scaling": 1, "training": 2, "judged": 3}


def scaling_of(process: RandomFunction, inputs: UniformInputs, seed: int = 0) -> Scaling:
    """Return the standardisation of a random function, measured on 1,000 samples; values keep their mean.

    Inputs are spread over four times their standard deviation, so that the waves of attention, of 8 to 1/2,
    are as short as what is to be learned.
    """
    found = Scaling.fit(draw_functions(process, 1000, inputs, derive_seed(seed, _SEEDS["scaling"])))
    return replace(found, pos_scale=found.pos_scale / _SPREAD, x_mean=(0.0,) * len(found.x_scale))


def scaled_covariance(process: GaussianProcess, scaling: Scaling) -> Callable[[Tensor], Tensor]:
    """Return the covariance of standardised values at standardised inputs."""
    scale = torch.tensor(scaling.x_scale, dtype=torch.float64)

    def covariance(inputs: Tensor) -> Tensor:
        each = scale.repeat(len(inputs))
        return process.covariance(inputs * scaling.pos_scale) / (each[:, None] * each)

    return covariance


def first_known(sizes: Tensor, known: Tensor) -> Tensor:
    """Return which nodes ``[n]`` are the first ``known [g]`` of their graphs of ``sizes [g]``."""
    parts = [torch.arange(int(n)) < k for n, k in zip(sizes, known, strict=True)]
    return torch.cat(parts)


def only(graphs: Graphs, nodes: Tensor) -> Graphs:
    """Return the graphs with some nodes ``[n]`` alone, without those that have none left."""
    kept = torch.zeros(len(graphs), dtype=torch.int64).index_add(0, graphs.batch, nodes.long())
    kept = kept[kept > 0]
    assert graphs.x is not None
    ptr = torch.cat([kept.new_zeros(1), kept.cumsum(0)])
    return graphs.replace(pos=graphs.pos[nodes], x=graphs.x[nodes], ptr=ptr, modality=None)


def training_tasks(
    process: RandomFunction,
    scaling: Scaling,
    inputs: UniformInputs,
    context: int,
    seed: int,
    functions: int = _FUNCTIONS,
) -> Callable[[int], tuple[Graphs, Tensor]]:
    """Return a function of the step that draws standardised functions and which of their nodes are known.

    All functions of a step are observed at equally many inputs, a number of the range of `inputs`. With a
    probability of 0.35 nothing of a function is known, else 0 to `context` values.

    Parameters
    ----------
    process, scaling, inputs
        The functions, their standardisation, and where they are observed.
    context
        Most values known.
    seed
        Draw k of a step is a function of (seed, step, k).
    functions
        Most functions of a step.
    """
    least, most = inputs.points if isinstance(inputs.points, tuple) else (inputs.points, inputs.points)

    def draw(step: int) -> tuple[Graphs, Tensor]:
        own = derive_seed(seed, _SEEDS["training"], step)
        rng = np.random.default_rng(own)
        size = int(rng.integers(least, most + 1))
        count = max(1, min(_POINTS // size, functions))
        graphs = draw_functions(process, count, replace(inputs, points=size), own)
        known = np.where(rng.random(count) < _UNCONDITIONAL, 0, rng.integers(0, context + 1, count))
        given = torch.from_numpy(np.minimum(known, size - 1))
        return scaling.apply(graphs), first_known(graphs.sizes, given)

    return draw


@dataclass(frozen=True)
class Judged:
    """Tasks that models are judged by, in standard units.

    Parameters
    ----------
    graphs
        Context and targets of each task.
    known
        Which nodes are context, ``[n]``.
    """

    graphs: Graphs
    known: Tensor

    @property
    def contexts(self) -> Tensor:
        """Number of known values of each task, ``[g]``."""
        counts = torch.zeros(len(self.graphs), dtype=torch.int64)
        return counts.index_add(0, self.graphs.batch, self.known.long())

    def moved(self, by: float) -> Judged:
        """Return the same tasks at inputs moved along every axis."""
        return Judged(self.graphs.replace(pos=self.graphs.pos + by), self.known)

    def first(self, count: int) -> Judged:
        """Return the first tasks alone."""
        nodes = int(self.graphs.ptr[min(count, len(self.graphs))])
        return Judged(self.graphs[:count], self.known[:nodes])


def judged_tasks(
    process: RandomFunction,
    scaling: Scaling,
    inputs: UniformInputs,
    count: int,
    context: int,
    targets: int,
    seed: int,
) -> Judged:
    """Draw tasks with 0 to `context` known values, equally often, and so many targets."""
    contexts = torch.arange(count) % (context + 1)
    parts = [
        draw_functions(
            process, 1, replace(inputs, points=int(c) + targets), derive_seed(seed, _SEEDS["judged"], i)
        )
        for i, c in enumerate(contexts)
    ]
    graphs = scaling.apply(Graphs.collate(parts))
    return Judged(graphs, first_known(graphs.sizes, contexts))
