r"""What every estimate of a log-likelihood on a Gaussian path needs: the state at unit scale and its noise.

Of :math:`y = x / \sqrt{\alpha^2 + \sigma^2}` a path leaves nothing but the log signal-to-noise ratio
:math:`\lambda`: :math:`y = a x_0 + b \varepsilon` with :math:`a^2 = 1 / (1 + e^{-\lambda})`,
:math:`b^2 = 1 - a^2` and :math:`\varepsilon \sim N(0, K)`. Its probability flow is

.. math:: \frac{dy}{d\lambda} = v(y, \lambda) = \frac a2 (\hat x_0 - a y) = \frac{a b}2 r

with the residual answer :math:`r` of `noisefold.noise.Target`. Equal steps are taken in u,
:math:`\lambda = 1 + 4 \sinh u`.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

from noisefold.geometry.graphs import Graphs
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.source import Streams

__all__ = ["EndDensity", "Estimate", "LikelihoodMethod", "UnitState", "check_least", "level", "place"]

EndDensity = Callable[[Graphs, Tensor, Tensor], Tensor]
"""Log-density ``[g]`` of the states ``x [n, d]`` of graphs at a scalar time."""

_CENTRE, _WIDTH = 1.0, 4.0


def place(log_snr: float) -> float:
    """Return the u of a log-SNR."""
    return math.asinh((log_snr - _CENTRE) / _WIDTH)


def level(u: float) -> tuple[Tensor, float]:
    """Return the log-SNR at u, a float64 scalar, and its derivative."""
    return torch.tensor(_CENTRE + _WIDTH * math.sinh(u), dtype=torch.float64), _WIDTH * math.cosh(u)


def check_least(**numbers: tuple[int, int]) -> None:
    """Refuse numbers (value, least) that are below their least.

    Raises
    ------
    ValueError
        If one is.
    """
    for name, (value, least) in numbers.items():
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}.")


class Estimate(NamedTuple):
    """Value, standard error and error of the end for each graph, ``[g]``."""

    value: Tensor
    error: Tensor
    end_error: Tensor


class LikelihoodMethod(Protocol):
    """How a log-likelihood is computed: `ProbabilityFlow` or `EvidenceBound`."""

    kind: ClassVar[str]

    @property
    @abstractmethod
    def log_snr(self) -> tuple[float, float]:
        """Where the data and the noise are."""

    @abstractmethod
    def apart(self, numbers: Tensor) -> Tensor:
        """Return which graphs, of so many numbers ``[g]``, are computed separately, ``[g]`` bool."""

    @abstractmethod
    def __call__(self, state: UnitState, seed: int, streams: Streams, end: EndDensity | None) -> Estimate:
        """Return the estimates for a batch of graphs, all or none of which are computed separately."""


@dataclass(frozen=True)
class UnitState:
    """A batch of graphs at unit scale.

    Attributes
    ----------
    path, denoise, graphs
        The path, the denoiser bound to the graphs, and these.
    data
        Their variable ``[n, d]``.
    ends
        The log-SNR where the data are and the one where the noise is.
    free
        Which entries the density is of ``[n, d]``, bool; the denoiser conditions on the others. None: all.
    """

    path: Gaussian
    denoise: Callable[[Tensor, Tensor], Tensor]
    graphs: Graphs
    data: Tensor
    ends: tuple[float, float]
    free: Tensor | None = None

    def velocity(self, y: Tensor, log_snr: Tensor) -> Tensor:
        """Return v ``[n, d]`` of a state at a scalar log-SNR; 0 where the density is of nothing."""
        t = self.path.schedule.time(log_snr)
        a = float(log_snr.sigmoid().sqrt())
        estimate = self.denoise(float(self.path.scale(t)) * y, t)
        moved = a / 2 * (estimate - a * y)
        return moved if self.free is None else moved * self.free

    @property
    def numbers(self) -> Tensor:
        """Numbers of each graph that the density is of, ``[g]``, float64."""
        if self.free is None:
            return self.graphs.sizes.cpu().double() * self.data.shape[1]
        return self.sums(self.free)

    def sums(self, values: Tensor) -> Tensor:
        """Return the sum of ``[n, d]`` over each graph, ``[g]``, float64 on the CPU."""
        rows = values.detach().cpu().double().sum(1)
        return rows.new_zeros(len(self.graphs)).index_add(0, self.graphs.batch.cpu(), rows)

    def normal(self, y: Tensor) -> Tensor:
        """Return log N(y; 0, K), ``[g]``."""
        white, volume = self.whitened(y)
        return -0.5 * (self.sums(white.square()) + self.numbers * math.log(2 * math.pi)) - volume

    def whitened(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``L^{-1} v [n, d]`` for K = L L^T of each graph, and log det L of all values, ``[g]``.

        K is that of the entries that the density is of; for the others 0 is returned.
        """
        wide = values.detach().cpu().double()
        free = None if self.free is None else self.free.cpu()
        process = self.path.source.process
        if process is None or not len(self.graphs):
            volume = torch.zeros(len(self.graphs), dtype=torch.float64)
            return (wide if free is None else wide * free), volume
        sizes = self.graphs.sizes.tolist()
        hidden = [None] * len(sizes) if free is None else free.split(sizes)
        parts = zip(self.graphs.unpack(), wide.split(sizes), hidden, strict=True)
        white, volumes = zip(*(process.whiten(*part) for part in parts), strict=True)
        return torch.cat(white), torch.stack(volumes)
