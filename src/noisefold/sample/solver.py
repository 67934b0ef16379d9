r"""Solvers: from noise to data, given an estimate of the data at every state.

A solver is called with a `Task` and takes its state from ``times[0]`` down to ``times[-1] = 0``. What is its
own is the step from one time to the next. Solvers of Gaussian paths all integrate the same path, written with
the posterior mean :math:`\hat x_0 = E[x_0 \mid x_t]`:

- probability flow, :math:`\dot x = \alpha' \hat x_0 + \sigma' \hat\varepsilon`,
  :math:`\hat\varepsilon = (x - \alpha \hat x_0)/\sigma`;
- the reverse chain, :math:`x_s \sim q(x_s \mid x_t, \hat x_0)`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.graphs import Graphs
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.path import ProbabilityPath
from noisefold.noise.source import Drawn, Streams
from noisefold.noise.variable import Positions, Variable

__all__ = [
    "DDIM",
    "Ancestral",
    "Callback",
    "DPMSolver",
    "Euler",
    "GaussianTask",
    "Heun",
    "Langevin",
    "Solver",
    "StochasticHeun",
    "Task",
]

S = TypeVar("S")
E = TypeVar("E")
Callback = Callable[[int, Tensor, S], None]
Memory = Any


@dataclass(frozen=True)
class Task(Generic[S, E]):
    """What is to be integrated.

    Attributes
    ----------
    denoise
        Estimate of the data from a state and a scalar time.
    path
        The path that the state is on.
    times
        Falling times ``[steps + 1]``.
    graphs
        Give the sizes and whatever is not noised.
    random
        One random stream for each graph.
    variable
        What is noised.
    """

    denoise: Callable[[S, Tensor], E]
    path: ProbabilityPath[S]
    times: Tensor
    graphs: Graphs
    random: Streams
    variable: Variable[S]

    def denoised_by(self, denoise: Callable[[S, Tensor], E]) -> Task[S, E]:
        """Return the task with another denoiser."""
        return replace(self, denoise=denoise)


@dataclass(frozen=True)
class GaussianTask(Task[Tensor, Tensor]):
    """A task on a Gaussian path, with its probability flow."""

    path: Gaussian

    @classmethod
    def of(
        cls,
        denoise: Callable[[Tensor, Tensor], Tensor],
        path: Gaussian,
        times: Tensor,
        noise: Callable[[], Tensor] | None = None,
    ) -> GaussianTask:
        """Return the task of a function on bare states ``[n, d]``, such as an oracle.

        Parameters
        ----------
        denoise
            Posterior mean ``[n, d]`` from a state ``[n, d]`` and a scalar time.
        path
            Gives the schedule, and the distribution that `noise` is of.
        times
            Falling times ``[steps + 1]``.
        noise
            Draws fresh noise ``[n, d]`` of the path's source; None for solvers that add none.
        """

        def none() -> Tensor:
            raise ValueError("this solver adds noise; give noise=, a function that draws it.")

        path = replace(path, source=Drawn(noise or none, path.source))
        graphs = Graphs(times.new_zeros(0, 1), ptr=torch.zeros(1, dtype=torch.int64))
        return cls(denoise, path, times, graphs, Streams(0, ()), Positions())

    def noise(self, like: Tensor) -> Tensor:
        """Draw fresh noise of unit scale, ``[n, d]`` as the state."""
        return self.path.noise(self.graphs, like, self.random)

    def flow(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the velocity of the probability flow ``[n, d]``; it has no value where sigma is 0."""
        x0 = self.denoise(x, t)
        schedule = self.path.schedule
        eps = (x - schedule.alpha(t) * x0) / schedule.sigma(t)
        return schedule.dalpha(t) * x0 + schedule.dsigma(t) * eps

    def heun(self, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Take one step of Heun's method along the flow, of Euler's to t = 0."""
        slope = self.flow(x, t)
        y = x + (s - t) * slope
        return y if s <= 0 else x + (s - t) * (slope + self.flow(y, s)) / 2


class Solver(ABC):
    """What every solver offers.

    Attributes
    ----------
    handles
        The kind of path that it integrates.
    order
        Order of its error in the step; None if another error remains.
    """

    handles: ClassVar[type] = Gaussian
    order: ClassVar[int | None] = None

    def __call__(self, task: Any, state: Any, callback: Callback[Any] | None = None) -> Any:
        """Return the state at ``times[-1]``.

        Parameters
        ----------
        task
            What is to be integrated.
        state
            State at ``times[0]``.
        callback
            Called after every step with (step, time reached, state).
        """
        memory: Memory = None
        for i, (t, s) in enumerate(pairwise(task.times)):
            state, memory = self.step(task, state, t, s, memory)
            if callback is not None:
                callback(i, s, state)
        return state

    @abstractmethod
    def step(self, task: Any, state: Any, t: Tensor, s: Tensor, memory: Memory) -> tuple[Any, Memory]:
        """Return the state at time s from that at t, and what the next step is told, None at first."""


@configurable
@dataclass(frozen=True)
class Euler(Solver):
    """Euler's method on the probability flow. Order 1, one evaluation a step.

    When to use: flow matching with straight paths and many steps; as the plainest reference.
    """

    order: ClassVar[int | None] = 1

    def step(
        self, task: GaussianTask, x: Tensor, t: Tensor, s: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        """Take one step from t to s."""
        return x + (s - t) * task.flow(x, t), None


@configurable
@dataclass(frozen=True)
class Heun(Solver):
    """Heun's method on the probability flow. Order 2, two evaluations a step (one in the last).

    When to use: the safe default for any path; at equal evaluations better than Euler from some ten on.
    Also known as improved Euler, or the explicit trapezoidal rule.

    Source: Karras et al. (2022), algorithm 1, https://arxiv.org/abs/2206.00364.
    """

    order: ClassVar[int | None] = 2

    def step(
        self, task: GaussianTask, x: Tensor, t: Tensor, s: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        """Take one step from t to s."""
        return task.heun(x, t, s), None


@configurable
@dataclass(frozen=True)
class DDIM(Solver):
    """Denoising diffusion implicit models: the chain with its noise scaled by eta. One evaluation a step.

    At eta = 0 it is deterministic and of order 1, exact wherever the estimate is constant; at eta = 1 it is
    the ancestral sampler. When to use: few steps on curved paths (VP, cosine), or to trade noise for speed.
    Source: Song, Meng and Ermon (2021), https://arxiv.org/abs/2010.02502.

    Parameters
    ----------
    eta
        Share of the chain's noise, from 0 to 1.
    """

    order: ClassVar[int | None] = 1

    eta: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise ValueError(f"eta must lie in [0, 1], got {self.eta}.")

    def step(
        self, task: GaussianTask, x: Tensor, t: Tensor, s: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        """Take one step from t to s."""
        distribution = task.path.transition(t, s, self.eta)
        x = distribution.data * task.denoise(x, t) + distribution.state * x
        return x + distribution.noise * task.noise(x) if distribution.noise > 0 else x, None


@configurable
@dataclass(frozen=True)
class Ancestral(Solver):
    """Sampling the reverse chain, DDPM. Weak order 1, one evaluation a step.

    When to use: many steps (hundreds); its fresh noise forgets errors of the network.
    Source: Ho et al. (2020), https://arxiv.org/abs/2006.11239.
    """

    order: ClassVar[int | None] = 1

    def step(
        self, task: GaussianTask, x: Tensor, t: Tensor, s: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        """Take one step from t to s."""
        return DDIM(eta=1.0).step(task, x, t, s, memory)


@configurable
@dataclass(frozen=True)
class DPMSolver(Solver):
    r"""DPM-Solver++(2M): two-step exponential integrator in log-SNR. Order 2, one evaluation a step.

    With :math:`\ell = \lambda/2 = \ln(\alpha/\sigma)`, :math:`h = \ell_s - \ell_t` and r the last h over this
    one, :math:`x_s = (\sigma_s/\sigma_t) x - \alpha_s (e^{-h} - 1) D`,
    :math:`D = (1 + 1/2r)\, \hat x_0 - (1/2r)\, \hat x_0^{\text{last}}`; the first step and the one to
    sigma = 0 use :math:`D = \hat x_0`.

    When to use: the fewest evaluations, 10 to 30, with the grid `LogSNR` or `Karras`.
    Source: Lu et al., DPM-Solver++ (2022), algorithm 2, https://arxiv.org/abs/2211.01095.
    """

    order: ClassVar[int | None] = 2

    def step(
        self, task: GaussianTask, x: Tensor, t: Tensor, s: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        """Take one step from t to s."""
        schedule = task.path.schedule
        x0 = task.denoise(x, t)
        sigma_s = schedule.sigma(s)
        h = (schedule.log_snr(s) - schedule.log_snr(t)) / 2
        direction = x0
        if memory is not None and sigma_s > 0:
            last, last_h = memory
            weight = h / last_h / 2
            direction = (1 + weight) * x0 - weight * last
        x = sigma_s / schedule.sigma(t) * x - schedule.alpha(s) * torch.expm1(-h) * direction
        return x, (x0, h)


@configurable
@dataclass(frozen=True)
class StochasticHeun(Solver):
    r"""Heun's method with fresh noise before each step.

    Up to noise level :math:`(1 + \gamma)\sigma/\alpha`,
    :math:`\gamma = \min(\mathrm{churn}/\mathrm{steps}, \sqrt 2 - 1)`, then down. Of weak order 2. When to
    use: many steps, where the noise added corrects errors of the network that a deterministic solver keeps.
    Source: Karras et al. (2022), algorithm 2, here for any alpha, https://arxiv.org/abs/2206.00364.

    Parameters
    ----------
    churn
        How much noise is exchanged over the whole trajectory; 0 is `Heun`.
    """

    order: ClassVar[int | None] = 2

    churn: float = 20.0

    def __post_init__(self) -> None:
        if self.churn < 0:
            raise ValueError(f"churn must not be negative, got {self.churn}.")

    def step(
        self, task: GaussianTask, x: Tensor, t: Tensor, s: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        """Take one step from t to s."""
        schedule, times = task.path.schedule, task.times
        gamma = min(self.churn / (len(times) - 1), math.sqrt(2) - 1)
        raised = schedule.time(schedule.log_snr(t) - 2 * math.log1p(gamma)).clamp(max=float(times[0]))
        if gamma > 0 and raised > t:
            keep = schedule.alpha(raised) / schedule.alpha(t)
            variance = schedule.sigma(raised) ** 2 - (keep * schedule.sigma(t)) ** 2
            x, t = keep * x + torch.sqrt(variance.clamp(min=0)) * task.noise(x), raised
        return task.heun(x, t, s), None


@configurable
@dataclass(frozen=True)
class Langevin(Solver):
    r"""Another solver, with Langevin steps at every time it reaches.

    :math:`x \leftarrow x + h\, s(x, t) + \sqrt{2h}\, z` with the score
    :math:`s = (\alpha \hat x_0 - x)/\sigma^2` and :math:`h = r^2 \sigma_t^2`: it leaves the marginal at t in
    place, but for about :math:`r^2 / 2` of its variance at the most, and pulls a state that has left it back.
    When to use: to spend evaluations on accuracy at few times.
    Source: Song et al. (2021), predictor-corrector samplers, https://arxiv.org/abs/2011.13456.

    Parameters
    ----------
    predictor
        The solver that moves in time.
    steps
        Langevin steps after each of its steps.
    ratio
        The r of the step size.
    """

    predictor: Solver
    steps: int = 1
    ratio: float = 0.3

    def __post_init__(self) -> None:
        if self.steps < 0 or self.ratio <= 0:
            raise ValueError(f"steps must be >= 0 and ratio > 0, got {self.steps} and {self.ratio}.")

    def step(
        self, task: GaussianTask, x: Tensor, t: Tensor, s: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        """Take one step from t to s."""
        x, memory = self.predictor.step(task, x, t, s, memory)
        return self.correct(task, x, s) if s > 0 else x, memory

    def correct(self, task: GaussianTask, x: Tensor, t: Tensor) -> Tensor:
        """Return the state after Langevin steps at one time."""
        schedule = task.path.schedule
        h = (self.ratio * schedule.sigma(t)) ** 2
        for _ in range(self.steps):
            score = (schedule.alpha(t) * task.denoise(x, t) - x) / schedule.sigma(t) ** 2
            x = x + h * score + torch.sqrt(2 * h) * task.noise(x)
        return x
