r"""A Gaussian path on which a network is asked at a few fixed times only.

A network that was distilled for N steps knows the probability flow between N + 1 times and nothing else, so
solvers, likelihoods and ways of conditioning that ask at other times refuse this path by its kind.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.graphs import Graphs
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.path import ProbabilityPath
from noisefold.noise.source import Streams

if TYPE_CHECKING:
    from noisefold.noise.coupling import Coupling
    from noisefold.noise.variable import Variable

__all__ = ["FewSteps"]


@configurable
@dataclass(frozen=True)
class FewSteps(ProbabilityPath[Tensor]):
    """The times 1, 1 - 1/N, ..., 1/N of a Gaussian path, kept within its margin, and 0.

    Parameters
    ----------
    steps
        The number N of steps from noise to data.
    path
        The path of the model that was distilled.

    Raises
    ------
    ValueError
        If `steps` is less than 1.
    """

    steps: int
    path: Gaussian = field(default_factory=Gaussian)

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}.")

    @property
    def about(self) -> str:
        """What it is, in a few words."""
        return f"{self.path.about}, {self.steps} step{'s' * (self.steps > 1)}"

    @property
    def times(self) -> Tensor:
        """The falling times ``[steps + 1]``, float64, the last one 0."""
        falling = torch.linspace(1, 0, self.steps + 1, dtype=torch.float64)
        return torch.cat([self.path.clip(falling[:-1]), falling[-1:]])

    def times_at(self, quantiles: Tensor) -> Tensor:
        """Return the times, without 0, that divide the numbers in [0, 1] into N equal parts."""
        rising = self.times[:-1].flip(0).to(quantiles)
        return rising[(quantiles * self.steps).long().clamp(0, self.steps - 1)]

    def clip(self, t: Tensor) -> Tensor:
        """Return times kept within the margin."""
        return self.path.clip(t)

    def log_snr(self, t: Tensor) -> Tensor:
        """Return the log signal-to-noise ratio at these times."""
        return self.path.log_snr(t)

    def time(self, log_snr: Tensor) -> Tensor:
        """Return the times of these log signal-to-noise ratios."""
        return self.path.time(log_snr)

    def check(self, variable: Variable[Tensor]) -> None:
        """Refuse a variable that the Gaussian path cannot noise.

        Raises
        ------
        ValueError
            If it cannot.
        """
        self.path.check(variable)

    def prior(self, graphs: Graphs, like: Tensor, t: Tensor, random: Streams) -> Tensor:
        """Draw a state as the Gaussian path does, so that a seed has the same noise for both models."""
        return self.path.prior(graphs, like, t, random)

    def corrupt(
        self, clean: Tensor, t: Tensor, graphs: Graphs, random: Streams, coupling: Coupling | None = None
    ) -> Tensor:
        r"""Draw :math:`\alpha x_0 + \sigma \varepsilon`."""
        return self.path.corrupt(clean, t, graphs, random, coupling)

    def renoise(self, state: Tensor, s: Tensor, t: Tensor, graphs: Graphs, random: Streams) -> Tensor:
        """Draw a noisier state as the Gaussian path does."""
        return self.path.renoise(state, s, t, graphs, random)
