r"""Schedules: how much data and how much noise there is at each time.

A path is :math:`x_t = \alpha(t)\, x_0 + \sigma(t)\, \varepsilon` with t = 0 data and t = 1 noise. A schedule
gives :math:`\alpha`, :math:`\sigma`, their derivatives in t, the log signal-to-noise ratio
:math:`\lambda = 2 \ln(\alpha / \sigma)` and its inverse. All act element by element on a tensor of times.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from noisefold.configuration import configurable

__all__ = ["VE", "VP", "Cosine", "Linear", "Localization", "Schedule", "signal_level"]


def signal_level(log_snr: Tensor) -> Tensor:
    r"""Return the signal level :math:`u = \alpha / (\alpha + \sigma) = 1 / (1 + e^{-\lambda / 2})`.

    1 is clean, 0 is noise.
    """
    return torch.sigmoid(log_snr / 2)


class Schedule(Protocol):
    """What every schedule offers; times and results have the same shape."""

    @abstractmethod
    def alpha(self, t: Tensor) -> Tensor:
        """Return the factor of the data."""

    @abstractmethod
    def sigma(self, t: Tensor) -> Tensor:
        """Return the factor of the noise."""

    @abstractmethod
    def dalpha(self, t: Tensor) -> Tensor:
        """Return the derivative of alpha in t."""

    @abstractmethod
    def dsigma(self, t: Tensor) -> Tensor:
        """Return the derivative of sigma in t."""

    @abstractmethod
    def log_snr(self, t: Tensor) -> Tensor:
        """Return the log signal-to-noise ratio 2 ln(alpha / sigma), falling in t."""

    @abstractmethod
    def time(self, log_snr: Tensor) -> Tensor:
        """Return the time at which the log signal-to-noise ratio has this value."""


@configurable
@dataclass(frozen=True)
class Linear(Schedule):
    r"""Straight lines from noise to data, flow matching's path: :math:`\alpha = 1 - t,\ \sigma = t`.

    Source: Lipman et al., Flow Matching for Generative Modeling (2023),
    https://arxiv.org/abs/2210.02747; time runs the other way there.
    """

    def alpha(self, t: Tensor) -> Tensor:
        """Return 1 - t."""
        return 1 - t

    def sigma(self, t: Tensor) -> Tensor:
        """Return t."""
        return t

    def dalpha(self, t: Tensor) -> Tensor:
        """Return -1."""
        return -torch.ones_like(t)

    def dsigma(self, t: Tensor) -> Tensor:
        """Return 1."""
        return torch.ones_like(t)

    def log_snr(self, t: Tensor) -> Tensor:
        """Return 2 ln((1 - t) / t)."""
        return -2 * torch.logit(t)

    def time(self, log_snr: Tensor) -> Tensor:
        """Return 1 / (1 + exp(log_snr / 2))."""
        return torch.sigmoid(-log_snr / 2)


@configurable
@dataclass(frozen=True)
class VP(Schedule):
    r"""Variance preserving, with :math:`\beta(t)` linear: :math:`\alpha = e^{-B/2},\ \sigma^2 = 1 - e^{-B}`.

    :math:`B(t) = \beta_0 t + (\beta_1 - \beta_0) t^2 / 2` is the integral of beta.
    Source: Ho et al., Denoising Diffusion Probabilistic Models (2020), https://arxiv.org/abs/2006.11239;
    Song et al. (2021), https://arxiv.org/abs/2011.13456.

    Parameters
    ----------
    beta_min, beta_max
        Beta at t = 0 and t = 1, per unit of time.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0

    def __post_init__(self) -> None:
        if self.beta_min < 0 or self.beta_max <= 0 or self.beta_max < self.beta_min:
            raise ValueError(
                f"beta_min and beta_max must satisfy 0 <= beta_min <= beta_max > 0, "
                f"got {self.beta_min} and {self.beta_max}."
            )

    def _beta(self, t: Tensor) -> Tensor:
        return self.beta_min + (self.beta_max - self.beta_min) * t

    def _integral(self, t: Tensor) -> Tensor:
        return t * (self.beta_min + (self.beta_max - self.beta_min) * t / 2)

    def alpha(self, t: Tensor) -> Tensor:
        """Return exp(-B / 2)."""
        return torch.exp(-self._integral(t) / 2)

    def sigma(self, t: Tensor) -> Tensor:
        """Return (1 - exp(-B))^(1/2)."""
        return torch.sqrt(-torch.expm1(-self._integral(t)))

    def dalpha(self, t: Tensor) -> Tensor:
        """Return -beta alpha / 2."""
        return -self._beta(t) * self.alpha(t) / 2

    def dsigma(self, t: Tensor) -> Tensor:
        """Return beta alpha^2 / (2 sigma); infinite at t = 0."""
        return self._beta(t) * self.alpha(t) ** 2 / (2 * self.sigma(t))

    def log_snr(self, t: Tensor) -> Tensor:
        """Return -ln(exp(B) - 1)."""
        return -torch.log(torch.expm1(self._integral(t)))

    def time(self, log_snr: Tensor) -> Tensor:
        """Return the root in [0, 1] of B(t) = ln(1 + exp(-log_snr))."""
        # Not softplus, which leaves out the exponential beyond 20.
        total = torch.logaddexp(-log_snr, torch.zeros_like(log_snr))
        slope = self.beta_max - self.beta_min
        # The form with the root in the denominator keeps its digits as slope and B go to 0.
        return 2 * total / (self.beta_min + torch.sqrt(self.beta_min**2 + 2 * slope * total))


@configurable
@dataclass(frozen=True)
class Cosine(Schedule):
    r"""A quarter of a circle: :math:`\alpha = \cos(\pi\tau/2),\ \sigma = \sin(\pi\tau/2)`,
    :math:`\tau = (t + o) / (1 + o)`.

    Source: Nichol and Dhariwal, Improved Denoising Diffusion Probabilistic Models (2021),
    https://arxiv.org/abs/2102.09672, whose offset o is 0.008; with o = 0 the ends are exact.
    """

    offset: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.offset < 1:
            raise ValueError(f"offset must lie in [0, 1), got {self.offset}.")

    def _angle(self, t: Tensor) -> Tensor:
        return (t + self.offset) / (1 + self.offset) * (math.pi / 2)

    @property
    def _rate(self) -> float:
        return math.pi / 2 / (1 + self.offset)

    def alpha(self, t: Tensor) -> Tensor:
        """Return the cosine of the angle."""
        # sin(pi/2 - a) is exactly 0 where t is exactly 1; cos(pi/2) is not.
        return torch.sin((1 - t) * self._rate)

    def sigma(self, t: Tensor) -> Tensor:
        """Return the sine of the angle."""
        return torch.sin(self._angle(t))

    def dalpha(self, t: Tensor) -> Tensor:
        """Return minus the rate times the sine."""
        return -self._rate * self.sigma(t)

    def dsigma(self, t: Tensor) -> Tensor:
        """Return the rate times the cosine."""
        return self._rate * self.alpha(t)

    def log_snr(self, t: Tensor) -> Tensor:
        """Return 2 ln cot(angle)."""
        return 2 * (torch.log(self.alpha(t)) - torch.log(self.sigma(t)))

    def time(self, log_snr: Tensor) -> Tensor:
        """Return atan(exp(-log_snr / 2)) / rate, less the offset."""
        return torch.atan(torch.exp(-log_snr / 2)) / self._rate - self.offset


@configurable
@dataclass(frozen=True)
class VE(Schedule):
    r"""Variance exploding: :math:`\alpha = 1,\ \sigma = \sigma_0 (\sigma_1 / \sigma_0)^t`.

    Noise is in units of the standardised data.

    Source: Song et al., Score-Based Generative Modeling through Stochastic Differential Equations (2021),
    https://arxiv.org/abs/2011.13456.
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0

    def __post_init__(self) -> None:
        if not 0 < self.sigma_min < self.sigma_max:
            raise ValueError(
                f"sigma_min and sigma_max must satisfy 0 < sigma_min < sigma_max, "
                f"got {self.sigma_min} and {self.sigma_max}."
            )

    @property
    def _log_ratio(self) -> float:
        return math.log(self.sigma_max / self.sigma_min)

    def alpha(self, t: Tensor) -> Tensor:
        """Return 1."""
        return torch.ones_like(t)

    def sigma(self, t: Tensor) -> Tensor:
        """Return the noise, geometric in t from sigma_min to sigma_max."""
        return self.sigma_min * torch.exp(t * self._log_ratio)

    def dalpha(self, t: Tensor) -> Tensor:
        """Return 0."""
        return torch.zeros_like(t)

    def dsigma(self, t: Tensor) -> Tensor:
        """Return sigma ln(sigma_max / sigma_min)."""
        return self.sigma(t) * self._log_ratio

    def log_snr(self, t: Tensor) -> Tensor:
        """Return -2 ln sigma."""
        return -2 * (math.log(self.sigma_min) + t * self._log_ratio)

    def time(self, log_snr: Tensor) -> Tensor:
        """Return the time, linear in log_snr."""
        return (-log_snr / 2 - math.log(self.sigma_min)) / self._log_ratio


@configurable
@dataclass(frozen=True)
class Localization(Schedule):
    r"""Stochastic localization, seen as a variance-preserving path.

    Localization observes :math:`Y_s = s\, x_0 + B_s`; then :math:`x_t = Y_s / \sqrt{s (1 + s)}` has
    :math:`\alpha^2 = s / (1 + s)`, so that s is the signal-to-noise ratio. With the clock
    :math:`s = ((1 - t) / t)^2`, :math:`\alpha = (1 - t) / r,\ \sigma = t / r,\ r^2 = t^2 + (1 - t)^2`:
    at every time the same signal-to-noise ratio as `Linear`.

    Source: Montanari, Sampling, Diffusions, and Stochastic Localization (2023),
    https://arxiv.org/abs/2305.10690.
    """

    @staticmethod
    def _radius(t: Tensor) -> Tensor:
        return torch.sqrt(t**2 + (1 - t) ** 2)

    def localization_time(self, t: Tensor) -> Tensor:
        """Return the localization time s, the signal-to-noise ratio."""
        return ((1 - t) / t) ** 2

    def alpha(self, t: Tensor) -> Tensor:
        """Return (1 - t) / r."""
        return (1 - t) / self._radius(t)

    def sigma(self, t: Tensor) -> Tensor:
        """Return t / r."""
        return t / self._radius(t)

    def dalpha(self, t: Tensor) -> Tensor:
        """Return -t / r^3."""
        return -t / self._radius(t) ** 3

    def dsigma(self, t: Tensor) -> Tensor:
        """Return (1 - t) / r^3."""
        return (1 - t) / self._radius(t) ** 3

    def log_snr(self, t: Tensor) -> Tensor:
        """Return 2 ln((1 - t) / t)."""
        return -2 * torch.logit(t)

    def time(self, log_snr: Tensor) -> Tensor:
        """Return 1 / (1 + exp(log_snr / 2))."""
        return torch.sigmoid(-log_snr / 2)
