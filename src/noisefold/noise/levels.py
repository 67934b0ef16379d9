r"""Distributions of the noise level, for training times and sampling steps alike.

=================== =============================================================================
distribution        density
=================== =============================================================================
`LevelDistribution` constant in the signal level u between edges
`LogSNRUniform`     constant in the log-SNR, under which the loss of the noise is a likelihood
=================== =============================================================================

Its quantile function turns evenly spread numbers into levels. Uniform random numbers give training times,
evenly spaced ones a grid for a solver.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.noise.path import ProbabilityPath

__all__ = ["LevelDistribution", "Levels", "LogSNRUniform"]

S = TypeVar("S")


class Levels(Protocol):
    """What every distribution of the noise level offers."""

    @abstractmethod
    def __call__(self, path: ProbabilityPath[S], quantiles: Tensor) -> Tensor:
        """Return times of a path, within its margin, at quantiles in [0, 1] of the level; same shape."""


@configurable
@dataclass(frozen=True)
class LevelDistribution(Levels):
    """Distribution of signal levels with a constant density between edges.

    It is a distribution of the level, not of the time, so it means the same on every path.

    Parameters
    ----------
    edges
        Signal levels, rising from 0 or above to 1 or below.
    weights
        Share of the times between consecutive edges, one fewer than edges, each above 0; only their ratios
        count.

    Raises
    ------
    ValueError
        If edges do not rise within [0, 1], or the weights do not fit them.

    Examples
    --------
    Half of the times among the levels from 0.2 to 0.6:

    >>> levels = LevelDistribution((0.0, 0.2, 0.6, 1.0), (1, 2, 1))
    """

    edges: tuple[float, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in pairwise(self.edges))
        if len(self.edges) < 2 or not rising or self.edges[0] < 0 or self.edges[-1] > 1:
            raise ValueError(f"edges must be two or more levels rising within [0, 1], got {self.edges}.")
        if len(self.weights) != len(self.edges) - 1 or not all(0 < w < float("inf") for w in self.weights):
            raise ValueError(
                f"weights must be {len(self.edges) - 1} numbers above 0, one fewer than edges, "
                f"got {self.weights}."
            )

    def __call__(self, path: ProbabilityPath[S], quantiles: Tensor) -> Tensor:
        """Return times of a path, within its margin, at quantiles in [0, 1] of the level; same shape."""
        q = quantiles.double()
        edges, weights = (torch.tensor(v, dtype=q.dtype, device=q.device) for v in (self.edges, self.weights))
        # Levels beyond the path's margin are cut off, and their share goes to those that remain.
        noisy, clean = path.signal(path.clip(edges.new_tensor([1.0, 0.0])))
        kept = edges.clamp(noisy, clean)
        cdf = torch.cat([weights.new_zeros(1), (weights * kept.diff() / edges.diff()).cumsum(0)])
        cdf = cdf / cdf[-1]
        part = torch.bucketize(q, cdf[1:-1], right=True)
        inside = (q - cdf[part]) / (cdf[part + 1] - cdf[part])
        level = kept[part] + inside * (kept[part + 1] - kept[part])
        return path.clip(path.time(2 * torch.logit(level)))


@configurable
@dataclass(frozen=True)
class LogSNRUniform(Levels):
    r"""Uniform distribution of the log signal-to-noise ratio.

    With it the loss of a network that predicts the noise, or of one that is weighted so
    (``Target("velocity", weight="noise")``), is the variable part of the evidence lower bound.

    Parameters
    ----------
    low, high
        Ends of the log-SNR; what lies beyond the path's margin is cut off.

    Raises
    ------
    ValueError
        If the ends do not rise; on a call, if they lie beyond the margin of the path.

    Source: Kingma et al., Variational Diffusion Models (2021), https://arxiv.org/abs/2107.00630.
    """

    low: float = -7.0
    high: float = 13.0

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}.")

    def __call__(self, path: ProbabilityPath[S], quantiles: Tensor) -> Tensor:
        """Return times of a path, within its margin, at quantiles in [0, 1] of the level; same shape."""
        q = quantiles.double()
        low, high = path.log_snr(path.clip(q.new_tensor([1.0, 0.0]))).clamp(self.low, self.high)
        if not low < high:
            raise ValueError(
                f"log-SNR from {self.low} to {self.high} lies beyond the margin of {path.about}."
            )
        return path.clip(path.time(low + q * (high - low)))
