r"""Spike and slab: a point mass at the smallest value and a normal, as for genes that are often silent.

With probability :math:`1 - \pi` the value is the spike :math:`x_*`, and otherwise it is drawn from the slab
:math:`N(x_* + d, s^2)`. It is matched to a predicted mean m and variance v, given two moments of the feature:
the mean :math:`d_*` above the spike and the variance :math:`s_*^2` of the values that are not the spike. Let
:math:`\mu = m - x_*`. From the mean alone follow :math:`\pi_0 = \mu / \max(d_*, \mu)` and the variance

.. math:: v_0 = \pi_0 (1 - \pi_0) \max(d_*, \mu)^2 + \pi_0 s_*^2 .

A belief :math:`\theta` interpolates between it and the predicted one, :math:`w = v^\theta v_0^{1 - \theta}`,
and the distribution has mean m and variance w:

.. math:: s^2 = \min(s_*^2, l), \qquad d = \tfrac12 \Big(q + \sqrt{q^2 - 4 s^2}\Big), \qquad
    q = \frac{w + \mu^2}{\mu}, \qquad \pi = \mu / d,

with the largest :math:`s^2` for which the root is real and :math:`d \ge \mu`, :math:`l = q^2 / 4` where
:math:`w \ge \mu^2` and w elsewhere. A belief of 0 recovers :math:`d_*` and :math:`s_*`; where w is small
beside :math:`\mu^2`, the slab has all the mass.

Source: this library; for the name Mitchell and Beauchamp, Bayesian variable selection in linear regression
(1988), https://doi.org/10.1080/01621459.1988.10478694.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from noisefold.nn.prior.covariance import magnitude

__all__ = ["SpikeAndSlab"]

_FLOOR = 0.05  # of a feature's mean above its spike: kriging may predict less than the smallest value


@dataclass(frozen=True)
class SpikeAndSlab:
    """Independent distributions of values ``[n, f]``.

    Parameters
    ----------
    spike
        Place of the point mass, ``[f]``.
    share
        Probability of the slab, ``[n, f]``.
    mean, variance
        Of the slab, ``[n, f]``.
    """

    spike: Tensor
    share: Tensor
    mean: Tensor
    variance: Tensor

    @classmethod
    def matched(
        cls, mean: Tensor, variance: Tensor, spike: Tensor, above: Tensor, spread: Tensor, belief: Tensor
    ) -> SpikeAndSlab:
        r"""Return the distributions that match predicted means and variances ``[n, f]``.

        Parameters
        ----------
        mean, variance
            Predicted m and v.
        spike
            :math:`x_*`, ``[f]``.
        above
            Mean above the spike of all values of a feature, and of those that are not the spike, ``[2, f]``.
        spread
            Variance :math:`s_*^2` of those, ``[f]``.
        belief
            :math:`\theta` in [0, 1], ``[f]``; below 0 for a feature without a spike, which is normal.
        """
        over = torch.maximum(mean - spike, _FLOOR * above[0])
        height = torch.maximum(over, above[1])
        share = over / height
        implied = share * (1 - share) * height.square() + share * spread
        theta = belief.clamp(min=0)
        w = variance**theta * implied ** (1 - theta)
        q = (w + over.square()) / over
        s = torch.minimum(spread, torch.where(w < over.square(), w, q.square() / 4))
        d = (q + _root(q.square() - 4 * s)) / 2
        plain = belief < 0
        return cls(
            spike,
            torch.where(plain, 1.0, (over / d).clamp(max=1)),
            torch.where(plain, mean, spike + d),
            torch.where(plain, variance, s),
        )

    @property
    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and variance ``[n, f]``."""
        d = self.mean - self.spike
        spiked = 1 - self.share
        return self.mean - spiked * d, self.share * (self.variance + spiked * d.square())

    def answer(self, state: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return mean and deviation of the residual :math:`(x - a s) / b` at :math:`s = a x + b \epsilon`.

        Parameters
        ----------
        state
            Noisy values s, ``[n, f]``.
        a, b
            Signal and noise, :math:`a^2 + b^2 = 1`, ``[n, 1]``.
        """
        total = b.square() + a.square() * self.variance
        near, far = (state - a * self.spike) / b, (state - a * self.mean) / total.sqrt()
        mixed = self.share < 1
        share = torch.where(mixed, self.share, 0.5)
        odds = torch.where(mixed, (share / (1 - share)).log(), math.inf) + (near.square() - far.square()) / 2
        slab = torch.sigmoid(odds + b.log() - total.log() / 2)
        first = (self.spike - a * state) / b
        second = b * (self.mean - a * state * (1 - self.variance)) / total
        gap = second - first
        left = slab * (self.variance / total + (1 - slab) * gap.square())
        return second - (1 - slab) * gap, _root(left)

    def draw(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``[count, n, f]``."""
        size = (count, *self.mean.shape)
        slab = torch.rand(size, generator=generator) < self.share
        values = self.mean + self.variance.sqrt() * torch.randn(size, generator=generator)
        return torch.where(slab, values, self.spike)

    def crps(self, x: Tensor) -> Tensor:
        """Return the CRPS ``[n, f]`` at ``x [n, f]``.

        Source: Grimit et al., The continuous ranked probability score for circular variables (2006),
        https://doi.org/10.1256/qj.05.235, for a mixture of two normals.
        """
        spread, spiked = self.variance.sqrt(), 1 - self.share
        away = spiked * (x - self.spike).abs() + self.share * magnitude(x - self.mean, spread)
        among = spiked * self.share * magnitude(self.mean - self.spike, spread)
        return away - among - self.share.square() * spread / math.sqrt(math.pi)


def _root(value: Tensor) -> Tensor:
    """Square root, 0 below 0, with the derivative 0 there in the place of infinity."""
    above = value > 0
    return torch.where(above, torch.where(above, value, 1.0).sqrt(), 0.0)
