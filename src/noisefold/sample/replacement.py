r"""Conditioning by replacement: observed values are put into the state, noised as the state is.

With the observed values :math:`y` and noise z, every state that the denoiser sees has
:math:`\alpha(t)\, y + \sigma(t)\, z` in their places, and every estimate has y there. Any model can be
conditioned so, without being trained for it.

Replacement alone is biased at every noise level above 0: the denoiser infers from a noisy copy of y what it
should infer from y, and what was decided while that copy said little is never taken back. Resampling
(RePaint) takes it back: each step is noised again and taken again, until the state agrees with the observed
values. More jumps lower the error of the mean; steps that are too coarse lose variance. Both are measured in
"Choosing", section "A way to complete", of the documentation.

Source: Lugmayr et al., RePaint: Inpainting using Denoising Diffusion Probabilistic Models (2022),
https://arxiv.org/abs/2201.09865.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, TypeVar

from torch import Tensor

from noisefold.configuration import configurable
from noisefold.noise.path import ProbabilityPath
from noisefold.noise.source import HeldStreams, Streams
from noisefold.noise.variable import Known
from noisefold.sample.conditioning import Conditioning
from noisefold.sample.solver import Memory, Solver, Task

__all__ = ["Repaint", "Replaced", "Replacement", "Resampled", "replaced"]

S = TypeVar("S")
E = TypeVar("E")


@dataclass(frozen=True)
class Replaced(Generic[S, E]):
    """A denoiser that sees the observed values, noised, in their places of the state.

    Parameters
    ----------
    task
        Gives the denoiser, the path, and the graphs.
    known
        What is observed.
    random
        Gives the noise of the observed values, at every call; held streams give the same again.
    """

    task: Task[S, E]
    known: Known[S]
    random: Streams

    def __call__(self, state: S, t: Tensor) -> E:
        """Return the estimate of the data; observed values are exact."""
        task = self.task
        random = self.random.rewind() if isinstance(self.random, HeldStreams) else self.random
        noised = task.path.corrupt(self.known.value, t, task.graphs, random)
        seen = task.variable.over(replace(self.known, value=noised), state)
        estimate: Any = task.denoise(seen, t)
        return task.variable.over(self.known, estimate)  # type: ignore[return-value]


def replaced(task: Any, known: Known[Any], random: Streams) -> Any:
    """Return a task whose denoiser is `Replaced`."""
    return task.denoised_by(Replaced(task, known, random))


@configurable
@dataclass(frozen=True)
class Resampled(Solver):
    r"""Another solver that takes every step several times.

    After a step from t to s the state is noised back to t, and the step taken again. Without a condition this
    leaves the distribution of the path in place.

    Parameters
    ----------
    solver
        Takes the steps.
    jumps
        How often each is taken again.
    """

    solver: Solver
    jumps: int

    handles: ClassVar[type] = ProbabilityPath

    def __post_init__(self) -> None:
        _check(self.jumps)

    def step(self, task: Any, state: Any, t: Tensor, s: Tensor, memory: Memory) -> tuple[Any, Memory]:
        """Take one step jumps + 1 times."""
        y, after = self.solver.step(task, state, t, s, memory)
        for _ in range(self.jumps):
            y = task.path.renoise(y, s, t, task.graphs, task.random)
            y, after = self.solver.step(task, y, t, s, memory)
        return y, after


@configurable
@dataclass(frozen=True)
class Replacement(Conditioning):
    """Replacement alone, with one noise for the observed values of a draw from beginning to end.

    When to use: as the reference that everything else should beat, or where observed values say little.
    """

    handles: ClassVar[type] = ProbabilityPath

    def __call__(self, task: Any, solver: Solver, known: Known[Any]) -> tuple[Any, Solver]:
        """Return the task with observed values put in, and the solver as it was."""
        held = HeldStreams(task.random)
        task.path.corrupt(known.value, task.times[0], task.graphs, held)  # drawn now, before all other noise
        return replaced(task, known, held), solver


@configurable
@dataclass(frozen=True)
class Repaint(Conditioning):
    """Replacement with resampling; the observed values are noised afresh each time.

    Evaluations of the network: jumps + 1 times those of the solver. When to use: the default for positions,
    but not for a model trained under `noisefold.noise.WithinCloud`: its states are not data plus independent
    noise, and noise that is added takes it to states that it has never seen.

    Parameters
    ----------
    jumps
        How often each step is taken again.

    Raises
    ------
    ValueError
        If jumps is negative.
    """

    jumps: int = 9

    handles: ClassVar[type] = ProbabilityPath

    def __post_init__(self) -> None:
        _check(self.jumps)

    def __call__(self, task: Any, solver: Solver, known: Known[Any]) -> tuple[Any, Solver]:
        """Return the task with observed values put in, and the solver with its steps repeated."""
        return replaced(task, known, task.random), Resampled(solver, self.jumps)


def _check(jumps: int) -> None:
    if jumps < 0:
        raise ValueError(f"jumps must not be negative, got {jumps}.")
