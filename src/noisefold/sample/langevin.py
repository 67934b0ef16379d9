r"""Langevin steps with momentum, and conditioning by them.

A state x with a velocity v moves by

.. math:: dx = v\,dt, \qquad dv = s(x, t)\,dt - \gamma v\,dt + \sqrt{2 \gamma}\,dw,

with the score :math:`s = (\alpha \hat x_0 - x)/\sigma^2` of a fixed noise level, which leaves the marginal of
that level in place, as plain Langevin steps do. Under noise of covariance K score and noise are K times the
gradient and N(0, K), which is the same dynamics in the coordinates :math:`K^{-1/2} x`. For a mode of variance
:math:`\lambda` plain steps need :math:`\lambda/\sigma^2` of them, steps with momentum
:math:`\sqrt\lambda/\sigma`. This matters most at little noise, where the score given noised observed values
becomes the score given the observed values.

Source: Leimkuhler and Matthews, Molecular Dynamics (2015), for the splitting,
https://doi.org/10.1007/978-3-319-16375-8; Song et al. (2021), predictor-corrector samplers,
https://arxiv.org/abs/2011.13456.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from noisefold.configuration import configurable
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.variable import Known
from noisefold.sample.conditioning import Conditioning, check_normal
from noisefold.sample.replacement import replaced
from noisefold.sample.solver import GaussianTask, Memory, Solver

__all__ = ["LangevinCorrection", "UnderdampedLangevin"]


@configurable
@dataclass(frozen=True)
class UnderdampedLangevin(Solver):
    r"""Another solver, with Langevin steps with momentum at every time it reaches.

    Each step of length :math:`h = r \sigma_t` changes the velocity by the score for half of it, moves for
    half of it, gives the velocity friction and noise, moves on for the other half, and changes the velocity
    again. Where the marginal is normal, it is left in place exactly (Leimkuhler and Matthews' BAOAB). One
    evaluation a step. Velocities begin anew at every time, standard normal. When to use: as `Langevin`, where
    the data are smooth.

    Parameters
    ----------
    predictor
        The solver that moves in time.
    steps
        Langevin steps after each of its steps.
    ratio
        The r of the step length; must be below 2, where the steps cease to be stable.
    friction
        The share :math:`1 - e^{-f}` of the velocity is lost in a step, and replaced by noise.

    Raises
    ------
    ValueError
        If a number is out of its range.
    """

    predictor: Solver
    steps: int = 10
    ratio: float = 1.4
    friction: float = 0.1

    def __post_init__(self) -> None:
        _check(self.steps, self.ratio, self.friction)

    def step(
        self, task: GaussianTask, x: Tensor, t: Tensor, s: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        """Take a step of the predictor, then the Langevin steps."""
        x, memory = self.predictor.step(task, x, t, s, memory)
        return self.correct(task, x, s) if s > 0 and self.steps else x, memory

    def correct(self, task: GaussianTask, x: Tensor, t: Tensor) -> Tensor:
        """Return the state after Langevin steps at one time."""
        alpha, sigma = task.path.schedule.alpha(t), task.path.schedule.sigma(t)
        half = self.ratio * sigma / 2
        kept = math.exp(-self.friction)
        v = task.noise(x)
        for i in range(self.steps):
            # The kick that ends a step and the one that begins the next are one, at the same place.
            kick = half * (alpha * task.denoise(x, t) - x) / sigma**2
            v = v + (2 * kick if i else kick)
            x = x + half * v
            v = kept * v + math.sqrt(1 - kept**2) * task.noise(x)
            x = x + half * v
        return x


@configurable
@dataclass(frozen=True)
class LangevinCorrection(Conditioning):
    r"""Replacement, corrected by Langevin steps with momentum at every noise level.

    The observed values are noised afresh in each step. At noise level t the steps draw the unknown values,
    noised, given the observed ones, noised. Both noises vanish with t, and so does the difference from the
    posterior. For any distribution that a network has learned, not only Gaussian ones, more steps come nearer
    to the posterior.

    Under correlated noise of covariance K steps on the unknown entries are preconditioned by the Schur
    complement :math:`C = K_{**} - K_{*c} K_{cc}^{-1} K_{c*}`: velocities are N(0, C), kicks
    :math:`C \nabla_{x_*} \log p`. Two other choices are in the literature. All of K, with the observed
    entries put back after each step, has another fixed point: if K is the data's covariance, the prior. The
    block :math:`K_{**}` makes the steps unstable, since :math:`K_{**} [K^{-1}]_{**}` has eigenvalues up to
    :math:`1 / (1 - \rho^2)`, rho the largest canonical correlation of unknown and observed entries.

    Evaluations of the network: (steps + 1) times those of the solver, less the last step's. When to use: the
    default for features of models that were not made for completion. Errors are measured in "Choosing",
    section "A way to complete", of the documentation.

    Parameters
    ----------
    steps
        Langevin steps after each of the solver's.
    ratio, friction
        As in `UnderdampedLangevin`.

    Raises
    ------
    ValueError
        If a number is out of its range; on a call, if the noise is neither white nor of a
        Gaussian process.
    """

    steps: int = 10
    ratio: float = 1.4
    friction: float = 0.1

    handles: ClassVar[type] = Gaussian

    def __post_init__(self) -> None:
        _check(self.steps, self.ratio, self.friction)

    def __call__(
        self, task: GaussianTask, solver: Solver, known: Known[Tensor]
    ) -> tuple[GaussianTask, Solver]:
        """Return the task with observed values put in, and the solver with its corrections."""
        check_normal(task.path, "LangevinCorrection")
        corrected = UnderdampedLangevin(solver, self.steps, self.ratio, self.friction)
        return replaced(task.path, task, corrected, known, task.random)


def _check(steps: int, ratio: float, friction: float) -> None:
    if steps < 0:
        raise ValueError(f"steps must not be negative, got {steps}.")
    if not 0 < ratio < 2:
        raise ValueError(f"ratio must lie in (0, 2), got {ratio}.")
    if not friction > 0:
        raise ValueError(f"friction must be above 0, got {friction}.")
