"""Chains of T steps as paths, and the noise that they take: random, digits of the data, or quasi-random."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from noisefold.geometry.selection import spread
from noisefold.noise import Cosine, Gaussian, Schedule, derive_seed, digits, quasi_normal

__all__ = ["NOISES", "SCHEDULES", "Betas", "Chain", "chain", "grid", "noise_table"]

SCHEDULES = ("linear", "cosine")
NOISES = ("gaussian", "digits", "quasi")


@dataclass(frozen=True)
class Betas(Schedule):
    r"""The path of a DDPM chain: :math:`\alpha(k/T)^2 = \prod_{i \le k} (1 - \beta_i)`.

    Between the steps beta is constant in continuous time, so that :math:`\ln \alpha` is a broken line.
    Source: Ho et al., Denoising Diffusion Probabilistic Models (2020), https://arxiv.org/abs/2006.11239

    Parameters
    ----------
    betas
        Variance added in each of the T steps, between 0 and 1.
    """

    betas: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.betas or not all(0 < beta < 1 for beta in self.betas):
            raise ValueError(f"betas must lie between 0 and 1, got {self.betas}.")

    @cached_property
    def _table(self) -> Tensor:
        """-ln alpha^2 at the steps, ``[T + 1]``."""
        betas = torch.tensor(self.betas, dtype=torch.float64)
        return torch.cat([betas.new_zeros(1), -torch.log1p(-betas)]).cumsum(0)

    def _place(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return -ln alpha^2 at these times and its slope, that of the step which ends there."""
        steps = len(self.betas)
        step = (t.double() * steps - 1e-9).floor().clamp(0, steps - 1).long()
        table = self._table.to(t.device)
        slope = table[step + 1] - table[step]
        return (table[step] + (t * steps - step) * slope).to(t.dtype), (slope * steps).to(t.dtype)

    def alpha(self, t: Tensor) -> Tensor:
        """Return exp(-B / 2)."""
        return torch.exp(-self._place(t)[0] / 2)

    def sigma(self, t: Tensor) -> Tensor:
        """Return (1 - exp(-B)) ** 0.5."""
        return torch.sqrt(-torch.expm1(-self._place(t)[0]))

    def dalpha(self, t: Tensor) -> Tensor:
        """Return -B' alpha / 2."""
        return -self._place(t)[1] * self.alpha(t) / 2

    def dsigma(self, t: Tensor) -> Tensor:
        """Return B' alpha^2 / (2 sigma); infinite at t = 0."""
        return self._place(t)[1] * self.alpha(t) ** 2 / (2 * self.sigma(t))

    def log_snr(self, t: Tensor) -> Tensor:
        """Return -ln(exp(B) - 1)."""
        return -torch.log(torch.expm1(self._place(t)[0]))

    def time(self, log_snr: Tensor) -> Tensor:
        """Return the time at which B is ln(1 + exp(-log_snr))."""
        total = torch.logaddexp(-log_snr, torch.zeros_like(log_snr)).contiguous()
        table = self._table.to(total)
        step = (torch.searchsorted(table, total) - 1).clamp(0, len(self.betas) - 1)
        return (step + (total - table[step]) / (table[step + 1] - table[step])) / len(self.betas)


@dataclass(frozen=True)
class Chain:
    """A path that is sampled in T steps.

    Parameters
    ----------
    path
        The path.
    steps
        T. Step k of the chain is at the time k / T; the last one is kept within the path's margin.
    """

    path: Gaussian
    steps: int

    @cached_property
    def times(self) -> Tensor:
        """Times ``[T + 1]`` of the steps 0 to T, float64."""
        times = torch.arange(self.steps + 1, dtype=torch.float64) / self.steps
        times[-1] = self.path.clip(times[-1])
        return times

    @cached_property
    def alpha(self) -> Tensor:
        """Factor of the data ``[T + 1]``."""
        return self.path.schedule.alpha(self.times)

    @cached_property
    def sigma(self) -> Tensor:
        """Factor of the noise ``[T + 1]``."""
        return self.path.schedule.sigma(self.times)


def chain(schedule: str, steps: int) -> Chain:
    """Return the chain of a schedule by name: "cosine", or "linear" with betas from 0.1 / T to 20 / T."""
    if schedule == "cosine":
        return Chain(Gaussian(Cosine()), steps)
    betas = torch.linspace(0.1 / steps, 20 / steps, steps, dtype=torch.float64)
    # All targets are finite at its last step, so that a tiny margin is enough.
    return Chain(Gaussian(Betas(tuple(betas.tolist())), margin=1e-9), steps)


def noise_table(kind: str, values: Tensor, count: int, seed: int) -> Tensor:
    """Return standard noise ``[count, n, d]`` for n points, float32.

    Parameters
    ----------
    kind
        "gaussian"; "digits", decimals of the values; or "quasi": each of the n takes one point of a scrambled
        Sobol sequence in count d dimensions.
    values
        ``[n, d]``, float64; only their shape matters but for digits.
    count
        Draws for each point.
    seed
        Of what is random.
    """
    n, d = values.shape
    if kind == "digits":
        return digits(values, count).float()
    if kind == "quasi":
        even = quasi_normal(n, count * d, derive_seed(seed, 1))
        return even.float().view(n, count, d).transpose(0, 1).contiguous()
    generator = torch.Generator().manual_seed(derive_seed(seed, 2))
    return torch.randn(count, n, d, generator=generator)


def grid(n: int, d: int, reach: float = 7.0) -> Tensor:
    """Return n points ``[n, d]`` spread evenly over a cube from -reach to reach, in rows."""
    side = math.ceil(n ** (1 / d) - 1e-9)
    axis = torch.linspace(-reach, reach, side, dtype=torch.float64)
    points = torch.cartesian_prod(*[axis] * d)
    return points[spread(len(points), n)]
