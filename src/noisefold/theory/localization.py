r"""Stochastic localization, simulated exactly, and a martingale test of it.

:math:`Y_s = s\, x_* + B_s` observes a draw :math:`x_*` of the data under Brownian noise. The posterior of
:math:`x_*` given :math:`Y_s` is a martingale and contracts:

.. math:: E[m_{s'} \mid Y_s] = m_s, \qquad m_s = E[x_* \mid Y_s], \qquad
    \frac{d}{ds} E\, \mathrm{Cov}_s = -E\, \mathrm{Cov}_s^2 .

Source: Montanari, Sampling, Diffusions, and Stochastic Localization (2023), section 3,
https://arxiv.org/abs/2305.10690; Eldan, Thin shell implies spectral gap up to polylog via a stochastic
localization scheme (2013), https://arxiv.org/abs/1203.0893.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from noisefold.noise.gaussian import Gaussian
from noisefold.noise.schedule import Localization
from noisefold.theory.oracle import GaussianMixture

__all__ = ["Martingale", "believe", "martingale", "observe"]


@dataclass(frozen=True, eq=False)
class Martingale:
    """A martingale test. Every deviation is in standard errors: standard normal if the claim holds.

    Attributes
    ----------
    times
        ``[m]``.
    mean
        Mean of m_s less that of the data, ``[m, d]``.
    past
        Covariance of each increment of m with m before it, each axis with each, ``[m - 1, d, d]``.
    decay
        Fall of E Cov over each interval less the integral of E Cov^2, ``[m - 1, d, d]``, in standard errors.
        The integral is by the trapezoid rule: its own error shows if times are far apart.
    covariance
        E Cov itself, ``[m, d, d]``.
    """

    times: Tensor
    mean: Tensor
    past: Tensor
    decay: Tensor
    covariance: Tensor


def observe(data: Tensor, times: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw Y at rising times ``[m]`` for ``data [n, d]``, ``[m, n, d]`` float64, exact for any steps.

    Raises
    ------
    ValueError
        If the times do not rise from above 0.
    """
    steps = torch.diff(times.double(), prepend=times.new_zeros(1).double())
    if not bool((steps > 0).all()):
        raise ValueError(f"times must rise from above 0, got {times.tolist()[:6]}.")
    shape = (len(times), *data.shape)
    z = torch.randn(shape, generator=generator, dtype=torch.float64).to(data.device)
    brownian = (steps.sqrt().to(z)[:, None, None] * z).cumsum(0)
    return times.to(z)[:, None, None] * data.double() + brownian


def believe(law: GaussianMixture, observation: Tensor, time: float | Tensor) -> tuple[Tensor, Tensor]:
    """Return posterior mean ``[n, d]`` and covariance ``[n, d, d]`` given ``Y_s [n, d]`` at a time s > 0."""
    s = torch.as_tensor(time, dtype=torch.float64)
    path = Gaussian(Localization())
    t = path.schedule.time(s.log())
    x = observation / torch.sqrt(s * (1 + s))
    return law.denoise(x, t, path), law.posterior_covariance(x, t, path)


def martingale(
    law: GaussianMixture, times: Tensor, draws: int, generator: torch.Generator | None = None
) -> Martingale:
    """Simulate localization by the exact posterior, and test that the posterior mean is a martingale.

    Parameters
    ----------
    law
        Distribution of the data.
    times
        Rising localization times ``[m]``, from above 0, two or more.
    draws
        Number of independent observers.
    generator
        Of the draws.

    Raises
    ------
    ValueError
        If the times do not rise from above 0 or are fewer than two, or there are fewer than two draws.
    """
    if len(times) < 2 or draws < 2:
        raise ValueError(f"a test needs two times and two draws at least, got {len(times)} and {draws}.")
    y = observe(law.sample(draws, generator), times, generator)
    believed = [believe(law, now, s) for now, s in zip(y, times, strict=True)]
    means = torch.stack([mean for mean, _ in believed])
    truth = law.mean
    covariance = torch.stack([cov for _, cov in believed])
    square = covariance @ covariance
    width = times.double().diff()[:, None, None, None]
    fall = covariance.diff(dim=0) + width * (square[1:] + square[:-1]) / 2
    past = means.diff(dim=0)[..., :, None] * (means[:-1] - truth)[..., None, :]
    return Martingale(
        times, _deviation(means - truth, 1), _deviation(past, 1), _deviation(fall, 1), covariance.mean(1)
    )


def _deviation(values: Tensor, dim: int) -> Tensor:
    """Return the mean over draws in units of its standard error."""
    deviation: Tensor = values.mean(dim) / values.std(dim) * values.shape[dim] ** 0.5
    return deviation
