"""Gaussian mixtures on graphs, and their posteriors given some of the nodes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from noisefold.geometry.gp import factor
from noisefold.theory import GaussianMixture

__all__ = ["LINE_KNOWN", "MODES_KNOWN", "Posterior", "field", "line", "modes", "posterior_of"]

LINE_KNOWN = (1, 2, 7)
MODES_KNOWN = (0, 1, 9)
"""Observed nodes of the line and of the modes."""


def line() -> GaussianMixture:
    """Return a smooth distribution on ten nodes of a line, with a little noise."""
    place = torch.linspace(0, 1, 10, dtype=torch.float64)
    covariance = torch.exp(-((place[:, None] - place) ** 2) / 2 / 0.25**2)
    return GaussianMixture.gaussian(torch.zeros(10), covariance + 0.02 * torch.eye(10))


def field() -> GaussianMixture:
    """Return a rough field on ten by ten nodes."""
    side = torch.linspace(0, 1, 10, dtype=torch.float64)
    place = torch.cartesian_prod(side, side)
    return GaussianMixture.gaussian(torch.zeros(100), torch.exp(-torch.cdist(place, place) / 0.4))


def modes() -> GaussianMixture:
    """Return two modes on ten nodes, between which the observed values often do not decide."""
    place = torch.linspace(0, 1, 10, dtype=torch.float64)
    apart = (place[:, None] - place).abs()
    wave = torch.sin(torch.pi * place) * 0.9
    smooth = 0.4 * torch.exp(-(apart**2) / 2 / 0.3**2) + 0.02 * torch.eye(10)
    rough = 0.3 * torch.exp(-apart / 0.2)
    return GaussianMixture((0.6, 0.4), torch.stack([wave, -wave]), torch.stack([smooth, rough]))


@dataclass(frozen=True)
class Posterior:
    """A mixture for every truth: shares ``[k, g]``, means ``[k, g, f]``, covariances ``[k, f, f]``."""

    shares: Tensor
    centres: Tensor
    spreads: Tensor

    @property
    def means(self) -> Tensor:
        """Posterior means ``[g, f]``."""
        whole: Tensor = (self.shares[..., None] * self.centres).sum(0)
        return whole

    @property
    def covariances(self) -> Tensor:
        """Posterior covariances ``[g, f, f]``, within the components and between them."""
        apart = self.centres - self.means
        within = torch.einsum("kg,kde->gde", self.shares, self.spreads)
        return within + torch.einsum("kg,kgd,kge->gde", self.shares, apart, apart)

    def draws(self, count: int, generator: torch.Generator) -> Tensor:
        """Return exact draws ``[g, count, f]``."""
        which = torch.multinomial(self.shares.T, count, replacement=True, generator=generator)
        graph = torch.arange(which.shape[0])[:, None]
        size = (*which.shape, self.centres.shape[2])
        noise = torch.randn(size, generator=generator, dtype=torch.float64)
        roots = factor(self.spreads).lower
        drawn: Tensor = self.centres[which, graph] + (roots[which] @ noise[..., None])[..., 0]
        return drawn


def posterior_of(distribution: GaussianMixture, known: tuple[int, ...], truths: Tensor) -> Posterior:
    """Return the posterior of the other nodes given those that are observed."""
    others = [i for i in range(distribution.dim) if i not in known]
    given = truths[:, list(known)]
    weights, means, covariances = (
        torch.tensor(v, dtype=torch.float64)
        for v in (distribution.weights, distribution.means, distribution.covariances)
    )
    log_share, centres, spreads = [], [], []
    for weight, mean, covariance in zip(weights, means, covariances, strict=True):
        own = covariance[list(known)][:, list(known)]
        cross = covariance[others][:, list(known)]
        gain = factor(own).solve(cross.T).T
        seen = torch.distributions.MultivariateNormal(mean[list(known)], own)
        log_share.append(weight.log() + seen.log_prob(given))
        centres.append(mean[others] + (given - mean[list(known)]) @ gain.T)
        spreads.append(covariance[others][:, others] - gain @ cross.T)
    return Posterior(torch.softmax(torch.stack(log_share), 0), torch.stack(centres), torch.stack(spreads))
