r"""Mixtures of Gaussians under Gaussian noise of any covariance, in the basis where both are diagonal.

With :math:`x_0 \sim \sum_k \pi_k N(m_k, C_k)`, :math:`x_t = \alpha x_0 + \sigma \varepsilon` and
:math:`\varepsilon \sim N(0, K)`, :math:`K = L L^T`, let :math:`L^{-1} C_k L^{-T} = Q_k \Lambda_k Q_k^T` and
:math:`W_k = L Q_k`. Then :math:`C_k = W_k \Lambda_k W_k^T` and :math:`K = W_k W_k^T`, so that at every time

.. math:: V_k = \alpha^2 C_k + \sigma^2 K = W_k (\alpha^2 \Lambda_k + \sigma^2) W_k^T .

One decomposition serves all times, each of which then costs two products with :math:`W_k`.

Source: Golub and Van Loan, Matrix Computations (2013), section 8.7, for the simultaneous diagonalisation,
https://doi.org/10.56021/9781421407944.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import log, pi
from typing import Self

import torch
from torch import Tensor

from noisefold.geometry.gp import eigh, factor

__all__ = ["DiagonalMixture", "Seen"]


@dataclass(frozen=True)
class DiagonalMixture:
    """A mixture decomposed against the covariance of the noise; k components in d dimensions, float64.

    Attributes
    ----------
    weights, means
        ``[k]`` and ``[k, d]``.
    spread
        Eigenvalues of the covariances relative to that of the noise, ``[k, d]``.
    basis, inverse
        W and its inverse, ``[k, d, d]``.
    volume
        log det L.
    """

    weights: Tensor
    means: Tensor
    spread: Tensor
    basis: Tensor
    inverse: Tensor
    volume: Tensor

    @classmethod
    def of(cls, weights: Tensor, means: Tensor, covariances: Tensor, noise: Tensor | None = None) -> Self:
        """Decompose covariances ``[k, d, d]`` against noise of covariance ``[d, d]``; None for the identity.

        Raises
        ------
        ValueError
            If the covariance of the noise is not positive definite.
        """
        if noise is None:
            values, vectors = eigh(covariances)
            return cls(weights, means, values.clamp(min=0), vectors, vectors.mT, weights.new_zeros(()))
        root = factor(
            noise, climb=False, name="the covariance of the noise", advice="add white noise to it, K + 0.01 I"
        )
        relative = root.whiten(root.whiten(covariances).mT)
        values, vectors = eigh((relative + relative.mT) / 2)
        # (L Q)^{-1} = Q^T L^{-1}, that is L^{-T} Q transposed.
        inverse = root.whiten_transposed(vectors).mT
        return cls(weights, means, values.clamp(min=0), root.lower @ vectors, inverse, root.log_det / 2)

    def to(self, device: torch.device) -> Self:
        """Return the same on a device."""
        return type(self)(*(v.to(device) for v in vars(self).values() if isinstance(v, Tensor)))

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw from the data distribution, ``[n, d]``."""
        which = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        z = torch.randn(n, self.means.shape[1], generator=generator, dtype=torch.float64)
        return self.means[which] + torch.einsum(
            "nde,ne->nd", self.basis[which], self.spread[which].sqrt() * z
        )

    def see(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Seen:
        """Evaluate ``x [n, d]`` under every component; factors of data and noise ``[n]`` or ``[1]``."""
        means, spread = self.means[..., None], self.spread[..., None]
        offset = self.inverse @ x.double().T - alpha * (self.inverse @ means)
        variance = alpha**2 * spread + sigma**2
        density = -0.5 * (offset.square() / variance + variance.log() + log(2 * pi)).sum(1) - self.volume
        return Seen(self, alpha, sigma, offset, variance, self.weights.log()[:, None] + density)


@dataclass(frozen=True)
class Seen:
    """A batch of n states under every component, in its basis; the states come last, for speed.

    `alpha`, `sigma` are ``[n or 1]``; `offset` and `variance` of the state in that basis ``[k, d, n]``
    (variance ``[k, d, n or 1]``); `joint` log-density ``[k, n]``.
    """

    mixture: DiagonalMixture
    alpha: Tensor
    sigma: Tensor
    offset: Tensor
    variance: Tensor
    joint: Tensor

    @cached_property
    def share(self) -> Tensor:
        """Responsibilities, ``[k, n]``."""
        return torch.softmax(self.joint, dim=0)

    @property
    def log_prob(self) -> Tensor:
        """Log-density of the marginal in nats, ``[n]``."""
        return torch.logsumexp(self.joint, dim=0)

    @property
    def score(self) -> Tensor:
        """Its gradient, ``[n, d]``."""
        return self._average(self.mixture.inverse.mT @ (-self.offset / self.variance)).T

    @property
    def mean(self) -> Tensor:
        """Posterior mean of the data, ``[n, d]``."""
        return self._average(self._means).T

    @property
    def covariance(self) -> Tensor:
        """Posterior covariance of the data, ``[n, d, d]``: within the components and between them."""
        apart = self._means - self._average(self._means)
        narrow = (self.mixture.spread[..., None] * self.sigma**2 / self.variance).expand_as(apart)
        basis = self.mixture.basis
        within = torch.einsum("kn,kde,ken,kfe->ndf", self.share, basis, narrow, basis)
        return within + torch.einsum("kn,kdn,ken->nde", self.share, apart, apart)

    @cached_property
    def _means(self) -> Tensor:
        """Posterior mean of each component, ``[k, d, n]``."""
        pull = self.alpha * self.mixture.spread[..., None] / self.variance
        return self.mixture.means[..., None] + self.mixture.basis @ (pull * self.offset)

    def _average(self, values: Tensor) -> Tensor:
        return (self.share[:, None] * values).sum(0)
