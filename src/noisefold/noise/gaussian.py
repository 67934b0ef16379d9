r"""The Gaussian path :math:`x_t = \alpha(t)\, x_0 + \sigma(t)\, \varepsilon` and its transitions."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.noise.schedule import Linear, Schedule, signal_level
from noisefold.noise.source import Source, White

__all__ = ["Gaussian", "Transition"]


@dataclass(frozen=True)
class Transition:
    r"""The law of an earlier state given a later one and the data.

    :math:`x_s \mid x_t, x_0 \sim N(a\, x_0 + b\, x_t,\ c^2)` for s < t.
    """

    data: Tensor
    state: Tensor
    noise: Tensor


@configurable
@dataclass(frozen=True)
class Gaussian:
    """A Gaussian path: a schedule and a source of noise.

    Parameters
    ----------
    schedule
        Gives alpha and sigma.
    source
        Gives eps.
    margin
        Times are kept within [margin, 1 - margin], where all targets are finite. Sampling ends with an exact
        step to t = 0.
    """

    schedule: Schedule = field(default_factory=Linear)
    source: Source = field(default_factory=White)
    margin: float = 1e-3

    def __post_init__(self) -> None:
        if not 0 < self.margin < 0.5:
            raise ValueError(f"margin must lie in (0, .5), got {self.margin}.")

    def clip(self, t: Tensor) -> Tensor:
        """Times kept within the margin."""
        return t.clamp(self.margin, 1 - self.margin)

    def log_snr(self, t: Tensor) -> Tensor:
        """Log signal-to-noise ratio at these times."""
        return self.schedule.log_snr(t)

    def signal(self, t: Tensor) -> Tensor:
        """Signal level u = alpha / (alpha + sigma) at these times, 1 = clean."""
        return signal_level(self.schedule.log_snr(t))

    def scale(self, t: Tensor) -> Tensor:
        """Standard deviation of x_t for data of unit variance."""
        return torch.sqrt(self.schedule.alpha(t) ** 2 + self.schedule.sigma(t) ** 2)

    def mix(self, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """The noised state; t is a scalar or broadcasts against ``x0 [n, d]`` (``[n, 1]``)."""
        return self.schedule.alpha(t) * x0 + self.schedule.sigma(t) * eps

    def transition(self, t: Tensor, s: Tensor, eta: float = 1.0) -> Transition:
        r"""The law of x_s given x_t and x_0, s < t, with the noise scaled by eta.

        With :math:`c^2 = \eta^2 \sigma_s^2 (1 - \mathrm{SNR}_t / \mathrm{SNR}_s)`,
        :math:`x_s = \alpha_s x_0 + \sqrt{\sigma_s^2 - c^2}\, \varepsilon_t + c z` where
        :math:`\varepsilon_t = (x_t - \alpha_t x_0) / \sigma_t`. At eta = 1 it is the exact posterior (DDPM),
        at eta = 0 deterministic (DDIM). Every eta leaves the marginals of the path unchanged.

        Source: Song, Meng and Ermon, Denoising Diffusion Implicit Models (2021), eqs. 7 and 16.
        """
        schedule = self.schedule
        alpha_t, sigma_t = schedule.alpha(t), schedule.sigma(t)
        alpha_s, sigma_s = schedule.alpha(s), schedule.sigma(s)
        ratio = (alpha_t * sigma_s / (sigma_t * alpha_s)) ** 2
        noise = eta * sigma_s * torch.sqrt((1 - ratio).clamp(min=0))
        kept = torch.sqrt((sigma_s**2 - noise**2).clamp(min=0)) / sigma_t
        return Transition(alpha_s - kept * alpha_t, kept, noise)
