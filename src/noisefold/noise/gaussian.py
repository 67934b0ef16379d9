r"""The Gaussian path :math:`x_t = \alpha(t)\, x_0 + \sigma(t)\, \varepsilon` and its transitions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.graphs import Graphs
from noisefold.noise.path import ProbabilityPath
from noisefold.noise.schedule import Linear, Schedule
from noisefold.noise.source import Centred, Source, Streams, White

if TYPE_CHECKING:
    from noisefold.noise.coupling import Coupling
    from noisefold.noise.variable import Variable

__all__ = ["Gaussian", "Transition"]


@dataclass(frozen=True)
class Transition:
    r"""The distribution of an earlier state given a later one and the data.

    :math:`x_s \mid x_t, x_0 \sim N(a\, x_0 + b\, x_t,\ c^2)` for s < t.
    """

    data: Tensor
    state: Tensor
    noise: Tensor


@configurable
@dataclass(frozen=True)
class Gaussian(ProbabilityPath[Tensor]):
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
            raise ValueError(f"margin must lie in (0, 0.5), got {self.margin}.")

    @property
    def about(self) -> str:
        """What it is, in a few words."""
        name = "flow matching, " if isinstance(self.schedule, Linear) else ""
        return f"{name}path {self.schedule!r}"

    def clip(self, t: Tensor) -> Tensor:
        """Return times kept within the margin."""
        return t.clamp(self.margin, 1 - self.margin)

    def log_snr(self, t: Tensor) -> Tensor:
        """Return the log signal-to-noise ratio at these times."""
        return self.schedule.log_snr(t)

    def time(self, log_snr: Tensor) -> Tensor:
        """Return the times of these log signal-to-noise ratios."""
        return self.schedule.time(log_snr)

    def check(self, variable: Variable[Tensor]) -> None:
        """Refuse a source whose noise depends on positions that are themselves noised.

        Raises
        ------
        ValueError
            If the two do not go together.
        """
        if self.source.on_positions and not variable.positions_given:
            raise ValueError(
                f"variable={variable.name!r} does not go with {self.source!r}, whose noise depends on the "
                'positions; use White(), or noise features on given positions, variable="x".'
            )

    def check_observed(self, mask: Tensor) -> None:
        """Refuse observed values under noise without a place, which single values would move.

        Raises
        ------
        ValueError
            If the source is centred.
        """
        if isinstance(self.source, Centred):
            raise ValueError(
                "positions are known up to their place alone under Centred() noise, so that none can be "
                "observed; train with White() to complete positions."
            )

    def noise(self, graphs: Graphs, like: Tensor, random: Streams) -> Tensor:
        """Draw noise of unit scale, of the shape of a state."""
        return self.source.draw(graphs, like.shape[1], random)

    def prior(self, graphs: Graphs, like: Tensor, t: Tensor, random: Streams) -> Tensor:
        r"""Draw :math:`\sqrt{\alpha^2 + \sigma^2}\, \varepsilon`.

        Some of the data is left at the noisy end, so the variance is that of x_t for data of unit variance.
        """
        return self.scale(t) * self.noise(graphs, like, random)

    def corrupt(
        self, clean: Tensor, t: Tensor, graphs: Graphs, random: Streams, coupling: Coupling | None = None
    ) -> Tensor:
        r"""Draw :math:`\alpha x_0 + \sigma \varepsilon`; a coupling has the noise depend on the data."""

        def noise() -> Tensor:
            return self.source.draw(graphs, clean.shape[1], random, clean, t).to(clean)

        eps = noise() if coupling is None else coupling(graphs, clean, noise)
        return self.mix(clean, eps, t[graphs.batch, None] if t.ndim else t)

    def renoise(self, state: Tensor, s: Tensor, t: Tensor, graphs: Graphs, random: Streams) -> Tensor:
        r"""Draw :math:`k x_s + \sqrt{\sigma_t^2 - k^2 \sigma_s^2}\; z` with :math:`k = \alpha_t/\alpha_s`."""
        keep = self.schedule.alpha(t) / self.schedule.alpha(s)
        spread = torch.sqrt((self.schedule.sigma(t) ** 2 - (keep * self.schedule.sigma(s)) ** 2).clamp(min=0))
        return keep * state + spread * self.noise(graphs, state, random)

    def scale(self, t: Tensor) -> Tensor:
        """Return the standard deviation of x_t for data of unit variance."""
        return torch.sqrt(self.schedule.alpha(t) ** 2 + self.schedule.sigma(t) ** 2)

    def mix(self, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """Return the noised state; t is a scalar or broadcasts against ``x0 [n, d]`` (``[n, 1]``)."""
        return self.schedule.alpha(t) * x0 + self.schedule.sigma(t) * eps

    def transition(self, t: Tensor, s: Tensor, eta: float = 1.0) -> Transition:
        r"""Return the distribution of x_s given x_t and x_0, s < t, with the noise scaled by eta.

        With :math:`c^2 = \eta^2 \sigma_s^2 (1 - \mathrm{SNR}_t / \mathrm{SNR}_s)`,
        :math:`x_s = \alpha_s x_0 + \sqrt{\sigma_s^2 - c^2}\, \varepsilon_t + c z` where
        :math:`\varepsilon_t = (x_t - \alpha_t x_0) / \sigma_t`. At eta = 1 it is the exact posterior (DDPM),
        at eta = 0 deterministic (DDIM). Every eta leaves the marginals of the path unchanged.

        Source: Song, Meng and Ermon, Denoising Diffusion Implicit Models (2021), eqs. 7 and 16,
        https://arxiv.org/abs/2010.02502.
        """
        schedule = self.schedule
        alpha_t, sigma_t = schedule.alpha(t), schedule.sigma(t)
        alpha_s, sigma_s = schedule.alpha(s), schedule.sigma(s)
        ratio = (alpha_t * sigma_s / (sigma_t * alpha_s)) ** 2
        noise = eta * sigma_s * torch.sqrt((1 - ratio).clamp(min=0))
        kept = torch.sqrt((sigma_s**2 - noise**2).clamp(min=0)) / sigma_t
        return Transition(alpha_s - kept * alpha_t, kept, noise)
