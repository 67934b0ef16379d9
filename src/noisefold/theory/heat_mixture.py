r"""Mixtures of heat kernels on a manifold, whose noised densities and scores are known.

.. math:: p_0 = \sum_k w_k\, p_{s_0}(\cdot \mid \mu_k), \qquad
    p_s = \sum_k w_k\, p_{s_0 + s}(\cdot \mid \mu_k)

The heat kernels form a semigroup, so that noise only adds to the time of each.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from noisefold.geometry.manifold import Manifold
from noisefold.noise.riemannian import Riemannian

__all__ = ["HeatMixture"]


@dataclass(frozen=True, eq=False)
class HeatMixture:
    """A mixture of heat kernels, one point a node.

    Parameters
    ----------
    manifold
        Where it is.
    centres
        Points ``[k, columns]``.
    weights
        Shares ``[k]`` that sum to 1.
    spread
        The time :math:`s_0` of each.
    """

    manifold: Manifold
    centres: Tensor
    weights: Tensor
    spread: float

    def log_density(self, x: Tensor, s: Tensor | float = 0.0) -> Tensor:
        """Return log p_s at points ``[n, columns]``, ``[n]``, float64; s is a scalar or ``[n]``."""
        return self._terms(x, s).logsumexp(0)

    def score(self, x: Tensor, s: Tensor | float = 0.0) -> Tensor:
        """Return the tangent score of p_s at points, ``[n, columns]``."""
        shares = self._terms(x, s).softmax(0)
        time = self._time(x, s)
        own = [self.manifold.score(x, c.expand_as(x), time[:, None]) for c in self.centres]
        return torch.einsum("kn,knc->nc", shares.to(x), torch.stack(own))

    def answer(self, x: Tensor, path: Riemannian, t: Tensor) -> Tensor:
        """Return what an exact network of `noisefold.noise.TangentScore` answers at times ``[n]``."""
        s = path.diffusion(t)
        return s.sqrt()[:, None].to(x) * self.score(x, s)

    def sample(self, count: int, seed: int = 0) -> Tensor:
        """Draw points ``[count, columns]``."""
        generator = torch.Generator().manual_seed(seed)
        which = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        normal = torch.randn(count, self.manifold.columns, generator=generator, dtype=self.centres.dtype)
        time = self.centres.new_tensor(self.spread)
        return self.manifold.brownian(self.centres[which], time, normal)

    def _time(self, x: Tensor, s: Tensor | float) -> Tensor:
        added = torch.as_tensor(s, dtype=torch.float64, device=x.device).expand(len(x))
        return self.spread + added

    def _terms(self, x: Tensor, s: Tensor | float) -> Tensor:
        time = self._time(x, s)[:, None]
        heat = torch.stack([self.manifold.log_heat(x, c.expand_as(x), time) for c in self.centres])
        return heat + self.weights.double().log()[:, None].to(heat)
