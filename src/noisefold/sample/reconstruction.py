r"""Reconstruction guidance: the estimate of the data is corrected by the observed values.

The denoiser gives the mean of the data given the state, :math:`\hat x_0(x)`, and its derivative the
covariance (Tweedie's formulas of first and second order),

.. math:: \hat x_0 = E[x_0 \mid x_t], \qquad
          C = \mathrm{Cov}[x_0 \mid x_t] = \frac{\sigma^2}{\alpha} \frac{\partial \hat x_0}{\partial x} K,

K the covariance of the noise, I of white noise.
With H the rows that are observed and y their values, the Gaussian with these two moments, given y, has mean

.. math:: E[x_0 \mid x_t, y] \approx \hat x_0 + C H^\top (H C H^\top)^{-1} (y - H \hat x_0),

exactly so for Gaussian data. This is the guidance :math:`(\sigma^2/\alpha) \nabla_x \log p(y \mid x)` through
the denoiser, with its right weight. C is never formed: its product with a vector is one derivative of the
denoiser backwards, times K, and the system is solved by conjugate gradients, each graph for itself.

Source: Boys et al., Tweedie Moment Projected Diffusions for Inverse Problems (2023),
https://arxiv.org/abs/2310.06721; Song et al., Pseudoinverse-Guided Diffusion Models for Inverse Problems
(2023), https://openreview.net/forum?id=9_gsMA8MRKQ, for the scalar weight.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.graphs import Graphs
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.variable import Known
from noisefold.sample.conditioning import Conditioning, check_normal
from noisefold.sample.solver import GaussianTask, Solver

__all__ = ["Reconstructed", "Reconstruction"]

_COVARIANCES = ("full", "rows", "scalar")
_FLOOR = 1e-3


@configurable
@dataclass(frozen=True)
class Reconstruction(Conditioning):
    """Reconstruction guidance: the gradient through the denoiser, weighed by the posterior's covariance.

    Evaluations of the network: those of the solver, each with a pass backwards for every iteration ("rows"
    two, "scalar" one), which costs about as much as the pass forwards. The network must be differentiable in
    what it denoises. When to use: where the derivative of the denoiser can be trusted, as an oracle's can; of
    a learned network it often cannot. Errors are measured in "Choosing", section "A way to complete", of the
    documentation.

    Parameters
    ----------
    covariance
        What stands for :math:`H C H^T`: "full" solves with it; "rows" takes the sums of its rows for a
        diagonal; "scalar" the posterior variance of white data of unit variance,
        :math:`\\sigma^2 / (\\alpha^2 + \\sigma^2)`.
    iterations
        Of conjugate gradients, for "full". There is nothing left to do after as many as there are observed
        entries in a graph, and usually long before.
    noise
        Standard deviation of the error of the observed values, in standard units; the unknown values become
        smoother. Observed values are returned as they were given.

    Raises
    ------
    ValueError
        If an option is unknown or out of its range; on a call, if the noise is neither
        white nor of a Gaussian process.
    """

    covariance: str = "full"
    iterations: int = 4
    noise: float = 0.0

    handles: ClassVar[type] = Gaussian

    def __post_init__(self) -> None:
        if self.covariance not in _COVARIANCES:
            raise ValueError(f"covariance must be one of {', '.join(_COVARIANCES)}, got {self.covariance!r}.")
        if self.iterations < 1:
            raise ValueError(f"iterations must be at least 1, got {self.iterations}.")
        if self.noise < 0:
            raise ValueError(f"noise must not be negative, got {self.noise}.")

    def __call__(
        self, task: GaussianTask, solver: Solver, known: Known[Tensor]
    ) -> tuple[GaussianTask, Solver]:
        """Return the task with the denoiser of the conditional distribution, and the solver as it was."""
        check_normal(task.path, "Reconstruction")
        return replace(task, denoise=Reconstructed(task.denoise, known, task.path, self, task.graphs)), solver


@dataclass(frozen=True)
class Reconstructed:
    """A denoiser whose estimate agrees with the observed values.

    Parameters
    ----------
    denoise
        Estimate of the data ``[n, d]`` from a state ``[n, d]`` and a scalar time.
    known
        What is observed.
    path
        The Gaussian path of the states.
    options
        How the covariance is treated.
    graphs
        Where noise is correlated over positions, the graphs of the states.
    """

    denoise: Callable[[Tensor, Tensor], Tensor]
    known: Known[Tensor]
    path: Gaussian
    options: Reconstruction
    graphs: Graphs | None = None

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the estimate of the data ``[n, d]`` given the state; observed values are exact."""
        known, schedule = self.known, self.path.schedule
        with torch.enable_grad():
            state = x.detach().requires_grad_()
            estimate = self.denoise(state, t)
        mean = estimate.detach()
        gain = schedule.sigma(t) ** 2 / schedule.alpha(t)

        def spread(v: Tensor) -> Tensor:
            # The exact derivative is symmetric, so that its transpose, which is cheap, does as well.
            (product,) = torch.autograd.grad(estimate, state, v, retain_graph=True)
            return gain.to(x) * self._correlated(product)

        gap = torch.where(known.mask, known.value - mean, 0.0)
        # Posterior variance of white data of unit variance.
        white = float((schedule.sigma(t) / self.path.scale(t)) ** 2)
        change = self._solve(spread, gap, white)
        return torch.where(known.mask, known.value, mean + change)

    def _correlated(self, values: Tensor) -> Tensor:
        """Return K times values ``[n, d]``."""
        process = self.path.source.process
        if process is None or self.graphs is None:
            return values
        parts = values.split(self.graphs.sizes.tolist())
        return torch.cat(list(map(process.correlate, self.graphs.unpack(), parts)))

    def _solve(self, spread: Callable[[Tensor], Tensor], gap: Tensor, white: float) -> Tensor:
        """Return the change of the estimate, ``[n, d]``."""
        options, known = self.options, self.known
        error = options.noise**2
        if options.covariance == "scalar":
            return spread(gap / (white + error))
        if options.covariance == "rows":
            rows = spread(known.mask.to(gap)).clamp(min=_FLOOR * white)
            return spread(gap / (rows + error))
        return self._conjugate(spread, gap, _FLOOR**2 * white + error)

    def _conjugate(self, spread: Callable[[Tensor], Tensor], gap: Tensor, ridge: float) -> Tensor:
        known = self.known
        change, direction, left = torch.zeros_like(gap), gap, gap
        size = _dot(known, left, left)
        small = torch.finfo(gap.dtype).eps ** 2 * size
        for _ in range(self.options.iterations):
            spreaded = spread(direction)
            applied = torch.where(known.mask, spreaded + ridge * direction, 0.0)
            energy = _dot(known, direction, applied)
            # A graph is done when it is solved, or when a learned covariance is none along this direction.
            useful = (size > small) & (energy > 0)
            length = torch.where(useful, size / energy, 0.0)
            change = change + length * spreaded
            left = left - length * applied
            size, before = _dot(known, left, left), size
            direction = left + torch.where(useful, size / before, 0.0) * direction
        return change


def _dot(known: Known[Tensor], a: Tensor, b: Tensor) -> Tensor:
    """Return the inner product of ``a`` and ``b [n, d]`` over each graph, for all of its rows, ``[n, 1]``."""
    rows = (a * b).sum(1)
    if known.graph is None:
        return rows.sum().expand(len(rows), 1)
    total = rows.new_zeros(int(known.graph[-1]) + 1).index_add(0, known.graph, rows)
    return total[known.graph, None]
