r"""Time grids: where a solver evaluates the network.

A grid gives steps + 1 falling times, from the path's noisy margin to exactly t = 0.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.noise.levels import LevelDistribution, Levels
from noisefold.noise.path import ProbabilityPath

__all__ = ["CosineGrid", "Grid", "Karras", "LevelGrid", "LogSNR", "Power", "Uniform"]


_EVEN = LevelDistribution((0.0, 1.0), (1.0,))


def _ends(path: ProbabilityPath[Any], steps: int) -> tuple[Tensor, Tensor]:
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}.")
    late, early = path.clip(torch.tensor([1.0, 0.0], dtype=torch.float64))
    return late, early


class Grid(Protocol):
    """What every grid offers."""

    @abstractmethod
    def __call__(self, path: ProbabilityPath[Any], steps: int) -> Tensor:
        """Return times ``[steps + 1]``, float64, falling, the last one 0."""


@configurable
@dataclass(frozen=True)
class Uniform(Grid):
    """Equal steps in time. The natural grid of flow matching."""

    def __call__(self, path: ProbabilityPath[Any], steps: int) -> Tensor:
        """Return times from the noisy margin to 0 in equal steps."""
        late, _ = _ends(path, steps)
        return torch.linspace(1, 0, steps + 1, dtype=torch.float64) * late


@configurable
@dataclass(frozen=True)
class LogSNR(Grid):
    """Equal steps in log-SNR between the margins, then one to 0. The natural grid of DPM-Solver++."""

    def __call__(self, path: ProbabilityPath[Any], steps: int) -> Tensor:
        """Return times whose log-SNR is evenly spaced."""
        late, early = _ends(path, steps)
        levels = torch.linspace(0, 1, steps, dtype=torch.float64)
        start, stop = path.log_snr(late), path.log_snr(early)
        times = path.time(start + (stop - start) * levels)
        return torch.cat([times, times.new_zeros(1)])


@configurable
@dataclass(frozen=True)
class Karras(Grid):
    r"""Noise-to-signal ratios with :math:`(\sigma/\alpha)^{1/\rho}` evenly spaced, then one step to 0.

    Source: Karras et al., Elucidating the Design Space of Diffusion-Based Generative Models (2022), eq. 5,
    https://arxiv.org/abs/2206.00364.

    Parameters
    ----------
    rho
        Larger values put more steps near the data.
    """

    rho: float = 7.0

    def __post_init__(self) -> None:
        if self.rho <= 0:
            raise ValueError(f"rho must be positive, got {self.rho}.")

    def __call__(self, path: ProbabilityPath[Any], steps: int) -> Tensor:
        """Return times on Karras' grid."""
        late, early = _ends(path, steps)
        root_late = torch.exp(-path.log_snr(late) / 2 / self.rho)
        root_early = torch.exp(-path.log_snr(early) / 2 / self.rho)
        ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
        ratio = (root_late + (root_early - root_late) * ramp) ** self.rho
        times = path.time(-2 * torch.log(ratio))
        return torch.cat([times, times.new_zeros(1)])


@configurable
@dataclass(frozen=True)
class Power(Grid):
    r"""Times :math:`t = (1 - i/N)^p`: small steps near the data.

    On discrete paths the signal level is then :math:`1 - (1 - i/N)^p`; p = 2 is also known as polydec.

    Source: Qin et al., DeFoG (2024), section 4.2, https://arxiv.org/abs/2410.04263.

    Parameters
    ----------
    power
        The exponent p, at least 1; 1 is `Uniform`.
    """

    power: float = 2.0

    def __post_init__(self) -> None:
        if not self.power >= 1:
            raise ValueError(f"power must be at least 1, got {self.power}.")

    def __call__(self, path: ProbabilityPath[Any], steps: int) -> Tensor:
        """Return times from the noisy margin to 0."""
        late, _ = _ends(path, steps)
        return torch.linspace(1, 0, steps + 1, dtype=torch.float64) ** self.power * late


@configurable
@dataclass(frozen=True)
class CosineGrid(Grid):
    r"""Times :math:`t = \sin^2(\pi (1 - i/N) / 2)`: the cosine schedule of a discrete chain.

    Source: Nichol and Dhariwal, Improved Denoising Diffusion Probabilistic Models (2021), eq. 17, without its
    offset, https://arxiv.org/abs/2102.09672.
    """

    def __call__(self, path: ProbabilityPath[Any], steps: int) -> Tensor:
        """Return times from the noisy margin to 0."""
        late, _ = _ends(path, steps)
        times = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
        return torch.sin(times * (torch.pi / 2)) ** 2 * late


@configurable
@dataclass(frozen=True)
class LevelGrid(Grid):
    """Steps that follow a distribution of the signal level: its even quantiles, then one step to 0.

    Where the distribution begins above a level of 0 the noisier levels are skipped: sampling begins with
    normal noise of the right variance. That is right if data with so much noise look like normal noise.

    Parameters
    ----------
    levels
        The distribution; default even in the signal level.
    """

    levels: Levels = _EVEN

    def __call__(self, path: ProbabilityPath[Any], steps: int) -> Tensor:
        """Return times at the quantiles 0, 1 / steps, ... of the distribution, and 0."""
        _ends(path, steps)
        times = self.levels(path, torch.arange(steps, dtype=torch.float64) / steps)
        return torch.cat([times, times.new_zeros(1)])
