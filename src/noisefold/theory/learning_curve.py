r"""Learning curves: the loss at the end of a training as a power of its length, and its extrapolation.

Trainings of S steps whose learning rate falls to zero end at losses

.. math:: L(S) = E + A\, S^{-\gamma},

with the irreducible loss E of the data and of the size of the network. With the loss R of the longest
training measured, and the share c of it that more steps can take away,

.. math:: L(S) = R\,\bigl(1 - c + c\, (S / S_\mathrm{max})^{-\gamma}\bigr),

plus a relative noise :math:`\nu` of weights and batches. Before a loss falls so, it falls slowly: where an
onset is allowed for, S stands for :math:`S + S_0` with an unknown :math:`S_0`. A few short trainings hardly
tell c from the exponent, so both have priors: c is even in its logarithm from 1e-4 to 1, :math:`\gamma`
log-normal around 0.6, and :math:`S_0` even in its logarithm from 1 to its limit. R follows by least squares,
the posterior is summed on a grid, and a forecast is the mixture of normal distributions over it.

Source: Hoffmann et al., Training Compute-Optimal Large Language Models (2022), section 3.3,
https://arxiv.org/abs/2203.15556; Viering and Loog, The Shape of Learning Curves: A Review (2023), section 4,
https://arxiv.org/abs/2103.10948.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Forecast", "LearningCurve"]

_GAMMA_MEDIAN, _GAMMA_SPREAD = 0.6, 0.5
_NOISE = 0.01
_SHARES = (-4.0, 0.0)
_ONSETS = 13


@dataclass(frozen=True)
class Forecast:
    """A forecast: its median and the ends of its central 90 % interval."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class LearningCurve:
    r"""The posterior of :math:`L(S) = E + A S^{-\gamma}` given losses at the end of trainings.

    Parameters
    ----------
    steps
        Lengths of the trainings, at least two different ones.
    losses
        Their losses, above 0.
    noise
        Relative standard deviation :math:`\nu` of a loss over seeds, and from such a curve.
    onset
        Largest :math:`S_0` allowed for, 1 or more; 0 for none.

    Raises
    ------
    ValueError
        If there are fewer than two lengths, or a number is out of its range.

    Examples
    --------
    >>> curve = LearningCurve((25, 50, 100), (1.5, 1.354, 1.25))
    >>> found = curve.at(1000)
    >>> found.low < 1.08 < found.high
    True
    """

    steps: Sequence[float]
    losses: Sequence[float]
    noise: float = _NOISE
    onset: float = 0.0

    def __post_init__(self) -> None:
        if len(self.steps) != len(self.losses) or len(set(self.steps)) < 2:
            raise ValueError(
                f"a learning curve needs losses of two or more lengths, got {len(self.losses)} losses of "
                f"steps {tuple(self.steps)}."
            )
        for name in ("steps", "losses"):
            if any(not (v > 0 and math.isfinite(v)) for v in getattr(self, name)):
                raise ValueError(f"{name} must be finite and above 0, got {tuple(getattr(self, name))}.")
        if not self.noise > 0:
            raise ValueError(f"noise must be above 0, got {self.noise}.")
        if not (self.onset == 0 or 1 <= self.onset < math.inf):
            raise ValueError(f"onset must be 0 or at least 1, got {self.onset}.")

    def at(self, steps: float) -> Forecast:
        """Return the loss to expect of one training of this length, noise included."""
        share, gamma, onset, level, variance, weight = self._posterior()
        length = (steps + onset) / (float(max(self.steps)) + onset)
        factor = 1 - share + share * length**-gamma
        mean = level * factor
        spread = (variance * factor**2 + (self.noise * mean) ** 2).sqrt()
        low, median, high = (_quantile(q, mean, spread, weight) for q in (0.05, 0.5, 0.95))
        return Forecast(median, low, high)

    def exponent(self) -> Forecast:
        r"""Return the exponent :math:`\gamma`."""
        _, gamma, _, _, _, weight = self._posterior()
        order = gamma.argsort()
        below = weight[order].cumsum(0)
        low, median, high = (float(gamma[order][(below < q).sum()]) for q in (0.05, 0.5, 0.95))
        return Forecast(median, low, high)

    def _posterior(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return c, gamma, S_0, R, the variance of R and the weight, ``[k]`` each, on the grid."""
        kind = torch.float64
        loss, steps = (torch.tensor(v, dtype=kind) for v in (self.losses, self.steps))
        onset, fine = torch.zeros(1, dtype=kind), 2
        if self.onset:
            onset, fine = torch.exp(torch.linspace(0, math.log(self.onset), _ONSETS, dtype=kind)), 1
        share = 10 ** torch.linspace(*_SHARES, 80 * fine + 1, dtype=kind)
        gamma = torch.exp(torch.linspace(math.log(0.05), math.log(3.0), 160 * fine + 1, dtype=kind))
        share, gamma, onset = (v.flatten() for v in torch.meshgrid(share, gamma, onset, indexing="ij"))
        length = (steps + onset[:, None]) / (steps.max() + onset[:, None])
        basis = 1 - share[:, None] + share[:, None] * length ** -gamma[:, None]
        scale = 1 / (self.noise * loss) ** 2
        information = (basis**2 * scale).sum(1)
        level = (basis * scale * loss).sum(1) / information
        residual = loss - level[:, None] * basis
        score = -0.5 * (residual**2 * scale).sum(1) - 0.5 * information.log()
        score = score - 0.5 * ((gamma.log() - math.log(_GAMMA_MEDIAN)) / _GAMMA_SPREAD) ** 2
        return share, gamma, onset, level, 1 / information, torch.softmax(score, 0)


def _quantile(q: float, mean: Tensor, spread: Tensor, weight: Tensor) -> float:
    """Return the quantile of a mixture of normal distributions, by bisection."""
    low, high = float((mean - 10 * spread).min()), float((mean + 10 * spread).max())
    for _ in range(80):
        middle = (low + high) / 2
        below = float((weight * torch.special.ndtr((middle - mean) / spread)).sum())
        low, high = (middle, high) if below < q else (low, middle)
    return (low + high) / 2
