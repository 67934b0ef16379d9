r"""Conditioning by replacement: observed values are put into the state, noised as the state is.

With the observed values :math:`y` and noise z, every state that the denoiser sees has
:math:`\alpha(t)\, y + \sigma(t)\, z` in their places, and every estimate has y there. Any model can be
conditioned so, without being trained for it.

Replacement alone is biased at every noise level above 0: the denoiser infers from a noisy copy of y what it
should infer from y, and what was decided while that copy said little is never taken back. Resampling
(RePaint) takes it back: each step is noised again and taken again, until the state agrees with the observed
values. More jumps lower the error of the mean; steps that are too coarse lose variance. Both are measured in
"Choosing", section "A way to complete", of the documentation.

**Correlated noise.** Under Gaussian-process noise of covariance K the noise of the observed entries c says
something of that of the others. What is left of a state after kriging from its observed entries,
:math:`u = x - E x_c` (`noisefold.noise.ConditionalNoise`), follows a Gaussian path of the same schedule, from
:math:`x_0 - E x_{0c}` to noise of covariance C, the Schur complement, independent of :math:`x_c`. Its
estimate is :math:`\hat x_0 - E \hat x_{0c}`. So solvers move u, with noise of covariance C, and :math:`E y`
is added at the end. Of a score this makes :math:`C \nabla_{x_*} \log p(x_* \mid x_c)`, which is what Langevin
steps on the unknown entries need. Under white noise E is the identity at the observed entries, 0 elsewhere.

Replacement that leaves the unknown entries' noise alone is wrong there: if K is the data's own covariance,
what it draws does not depend on the observed values at all.

Source: Lugmayr et al., RePaint: Inpainting using Denoising Diffusion Probabilistic Models (2022),
https://arxiv.org/abs/2201.09865.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Any, ClassVar, Generic, TypeVar

from torch import Tensor

from noisefold.configuration import configurable
from noisefold.noise.conditional_noise import ConditionalNoise
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.path import ProbabilityPath
from noisefold.noise.source import HeldStreams, Streams
from noisefold.noise.variable import Known
from noisefold.sample.conditioning import Conditioning
from noisefold.sample.solver import GaussianTask, Memory, Solver, Task

__all__ = ["Kriged", "Repaint", "Replaced", "Replacement", "Resampled", "replaced"]

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


@singledispatch
def replaced(path: Any, task: Any, solver: Solver, known: Known[Any], random: Streams) -> tuple[Any, Solver]:
    """Return a task on a path whose denoiser is `Replaced`, and its solver.

    Parameters
    ----------
    path
        That of the task.
    task, solver
        Those of the unconditional distribution.
    known
        What is observed.
    random
        Gives the noise of the observed values.
    """
    return task.denoised_by(Replaced(task, known, random)), solver


@replaced.register
def _(
    path: Gaussian, task: GaussianTask, solver: Solver, known: Known[Tensor], random: Streams
) -> tuple[GaussianTask, Solver]:
    if path.source.process is None:
        return replace(task, denoise=Replaced(task, known, random)), solver
    noise = ConditionalNoise.of(path.source, task.graphs, known.mask)
    return (
        replace(task, path=replace(path, source=noise), denoise=Kriged(task, known, random, noise)),
        _Residual(solver, noise, noise.extend(known.value)),
    )


@dataclass(frozen=True)
class Kriged:
    """A denoiser of what is left of states after kriging from their observed entries.

    Parameters
    ----------
    task
        Gives the denoiser of states, the path, and the graphs.
    known
        What is observed.
    random
        As of `Replaced`.
    noise
        Gives the kriging.
    """

    task: GaussianTask
    known: Known[Tensor]
    random: Streams
    noise: ConditionalNoise

    def __call__(self, left: Tensor, t: Tensor) -> Tensor:
        """Return the estimate of the data less what kriging makes of its observed entries, ``[n, d]``."""
        task = self.task
        random = self.random.rewind() if isinstance(self.random, HeldStreams) else self.random
        noised = task.path.corrupt(self.known.value, t, task.graphs, random)
        return self.noise.residual(task.denoise(left + self.noise.extend(noised), t))


@dataclass(frozen=True)
class _Residual(Solver):
    """Another solver, of what is left of states after kriging; the last step returns the state itself."""

    solver: Solver
    noise: ConditionalNoise
    extended: Tensor

    handles: ClassVar[type] = Gaussian

    def step(
        self, task: GaussianTask, x: Tensor, t: Tensor, s: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        """Take a step of the solver."""
        left, memory = self.solver.step(task, self.noise.residual(x), t, s, memory)
        return left if s > 0 else left + self.extended, memory


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
        return replaced(task.path, task, solver, known, held)


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
        return replaced(task.path, task, Resampled(solver, self.jumps), known, task.random)


def _check(jumps: int) -> None:
    if jumps < 0:
        raise ValueError(f"jumps must not be negative, got {jumps}.")
