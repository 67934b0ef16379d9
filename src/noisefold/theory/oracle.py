r"""Oracles: laws whose denoiser, score and density are known exactly at every noise level.

With :math:`x_0 \sim \sum_k \pi_k N(m_k, C_k)` and :math:`x_t = \alpha x_0 + \sigma \varepsilon`, white noise,
the marginal is again a mixture,

.. math:: x_t \sim \sum_k \pi_k N(\alpha m_k,\ V_k), \qquad V_k = \alpha^2 C_k + \sigma^2 I,

and so is the posterior: a component is responsible with
:math:`r_k(x) \propto \pi_k N(x;\ \alpha m_k, V_k)`, and within it

.. math:: E[x_0 \mid x, k] = m_k + \alpha C_k V_k^{-1} (x - \alpha m_k), \qquad
          \mathrm{Cov}[x_0 \mid x, k] = \sigma^2 C_k V_k^{-1}.

Everything is computed in the eigenbasis of each :math:`C_k`, where :math:`V_k` is diagonal, so that every
time costs the same. A learned network, a solver or a metric can stand beside the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from math import log, pi
from typing import Any

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.source import White

__all__ = ["GaussianMixture"]

_Vector = Sequence[float] | Tensor
_Matrix = Sequence[Sequence[float]] | Tensor
_Stack = Sequence[Sequence[Sequence[float]]] | Tensor


@configurable
@dataclass(frozen=True)
class GaussianMixture:
    r"""A mixture of k Gaussians in d dimensions and all that diffusion makes of it, exactly.

    Computed in float64 whatever the type of the states, in which results are returned. Numbers may be given
    as sequences or tensors; they are kept as tuples, so that laws compare, hash and are written to a file.

    Parameters
    ----------
    weights
        Shares of the components, ``[k]``, positive, with sum 1.
    means
        ``[k, d]``.
    covariances
        ``[k, d, d]``, symmetric; may be singular (a zero covariance is a point), but then t = 0 is excluded
        where sigma is 0 there.

    Raises
    ------
    ValueError
        If shapes do not fit together, weights do not sum to 1 or a covariance has a negative eigenvalue.
    """

    weights: _Vector
    means: _Matrix
    covariances: _Stack

    def __post_init__(self) -> None:
        for name in ("weights", "means", "covariances"):
            numbers = torch.as_tensor(getattr(self, name), dtype=torch.float64)
            object.__setattr__(self, name, _tuples(numbers.tolist()))
        weights, means, covariances = self._numbers
        if weights.ndim != 1 or means.ndim != 2 or len(means) != len(weights):
            raise ValueError(
                f"weights must be [k] and means [k, d], got {list(weights.shape)} and {list(means.shape)}."
            )
        k, d = means.shape
        if covariances.shape != (k, d, d):
            raise ValueError(f"covariances must be [{k}, {d}, {d}], got {list(covariances.shape)}.")
        if not bool((weights > 0).all()) or abs(float(weights.sum()) - 1) > 1e-9:
            raise ValueError(f"weights must be positive with sum 1, got {weights.tolist()}.")
        if not torch.allclose(covariances, covariances.mT):
            raise ValueError("covariances must be symmetric; give (C + C.T) / 2.")
        lowest = float(torch.linalg.eigvalsh(covariances).min())
        if lowest < -1e-12 * float(covariances.abs().max()):
            raise ValueError(f"covariances must have no negative eigenvalue, got {lowest:g}.")

    @classmethod
    def gaussian(cls, mean: _Vector, covariance: _Matrix) -> GaussianMixture:
        """The law of one Gaussian, mean ``[d]`` and covariance ``[d, d]``."""
        as_float = partial(torch.as_tensor, dtype=torch.float64)
        return cls((1.0,), as_float(mean)[None], as_float(covariance)[None])

    @property
    def dim(self) -> int:
        """Dimension of space, d."""
        return self._numbers[1].shape[1]

    # -- the law at a time ------------------------------------------------------------------------------

    def marginal(self, t: Tensor, path: Gaussian) -> GaussianMixture:
        r"""The law of x_t at a scalar time: means :math:`\alpha m_k`, covariances :math:`V_k`."""
        alpha, sigma = _factors(t, path)
        weights, means, covariances = self._numbers
        noise = sigma**2 * torch.eye(self.dim, dtype=torch.float64)
        return GaussianMixture(weights, alpha * means, alpha**2 * covariances + noise)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Independent draws of the data ``[n, d]``, float64."""
        weights, means, _ = self._numbers
        spread, basis = self._spectrum
        which = torch.multinomial(weights, n, replacement=True, generator=generator)
        noise = torch.randn(n, self.dim, generator=generator, dtype=torch.float64)
        return means[which] + torch.einsum("nde,ne->nd", basis[which], spread[which].sqrt() * noise)

    def log_prob(self, x: Tensor, t: Tensor, path: Gaussian) -> Tensor:
        """Log-density of the marginal in nats, ``[n]``; states ``x [n, d]``, times t a scalar or ``[n]``."""
        return torch.logsumexp(self._resolve(x, t, path).joint, dim=0).to(x.dtype)

    def score(self, x: Tensor, t: Tensor, path: Gaussian) -> Tensor:
        """Gradient of the log-density of the marginal in x, ``[n, d]``."""
        parts = self._resolve(x, t, path)
        return parts.average(parts.basis @ (-parts.offset / parts.variance)).T.to(x.dtype)

    # -- the posterior of the data ----------------------------------------------------------------------

    def responsibilities(self, x: Tensor, t: Tensor, path: Gaussian) -> Tensor:
        """Probability that each component made a state, ``[n, k]``."""
        return self._resolve(x, t, path).share.T.to(x.dtype)

    def denoise(self, x: Tensor, t: Tensor, path: Gaussian) -> Tensor:
        """The best estimate of the data, E[x_0 | x_t], ``[n, d]``."""
        parts = self._resolve(x, t, path)
        return parts.average(parts.posterior_means).T.to(x.dtype)

    def posterior_covariance(self, x: Tensor, t: Tensor, path: Gaussian) -> Tensor:
        """Covariance of the data given the state, ``[n, d, d]``: within the components and between them."""
        parts = self._resolve(x, t, path)
        apart = parts.posterior_means - parts.average(parts.posterior_means)
        narrow = (parts.spread * parts.sigma**2 / parts.variance).expand_as(apart)
        within = torch.einsum("kn,kde,ken,kfe->ndf", parts.share, parts.basis, narrow, parts.basis)
        return (within + torch.einsum("kn,kdn,ken->nde", parts.share, apart, apart)).to(x.dtype)

    def bound(self, path: Gaussian) -> Callable[[Tensor, Tensor], Tensor]:
        """The denoiser on a path, ``denoise(x, t)``, as solvers want it."""
        return partial(self.denoise, path=path)

    # -- workings ---------------------------------------------------------------------------------------

    @cached_property
    def _numbers(self) -> tuple[Tensor, Tensor, Tensor]:
        weights, means, covariances = (
            torch.tensor(v, dtype=torch.float64) for v in (self.weights, self.means, self.covariances)
        )
        return weights, means, covariances

    @cached_property
    def _spectrum(self) -> tuple[Tensor, Tensor]:
        values, vectors = torch.linalg.eigh(self._numbers[2])
        return values.clamp(min=0), vectors

    def _resolve(self, x: Tensor, t: Tensor, path: Gaussian) -> _Parts:
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise ValueError(f"x must be [n, {self.dim}], got {list(x.shape)}.")
        alpha, sigma = (v.to(x.device).flatten() for v in _factors(t, path))
        if len(alpha) not in (1, len(x)):
            raise ValueError(f"t must be a scalar or [{len(x)}], got {list(t.shape)}.")
        weights, means, spread, basis = (v.to(x.device) for v in (*self._numbers[:2], *self._spectrum))
        means, spread = means[..., None], spread[..., None]
        offset = basis.mT @ x.double().T - alpha * (basis.mT @ means)
        variance = alpha**2 * spread + sigma**2
        density = -0.5 * (offset.square() / variance + variance.log() + log(2 * pi)).sum(1)
        return _Parts(alpha, sigma, means, spread, basis, offset, variance, weights.log()[:, None] + density)


@dataclass(frozen=True)
class _Parts:
    """A batch of states seen from every component, in its eigenbasis; the states come last, for speed.

    `alpha`, `sigma` are ``[n or 1]``; `means`, `spread` (eigenvalues) ``[k, d, 1]``; `basis` ``[k, d, d]``;
    `offset` and `variance` of the state in that basis ``[k, d, n]``; `joint` log-density ``[k, n]``.
    """

    alpha: Tensor
    sigma: Tensor
    means: Tensor
    spread: Tensor
    basis: Tensor
    offset: Tensor
    variance: Tensor
    joint: Tensor

    @cached_property
    def share(self) -> Tensor:
        """Responsibilities, ``[k, n]``."""
        return torch.softmax(self.joint, dim=0)

    @cached_property
    def posterior_means(self) -> Tensor:
        """Posterior mean of each component, ``[k, d, n]``."""
        return self.means + self.basis @ (self.alpha * self.spread / self.variance * self.offset)

    def average(self, values: Tensor) -> Tensor:
        """Mean over the components, ``[d, n]``."""
        return (self.share[:, None] * values).sum(0)


def _factors(t: Tensor, path: Gaussian) -> tuple[Tensor, Tensor]:
    if not isinstance(path.source, White):
        raise ValueError(f"the oracle knows white noise alone, got the source {path.source!r}; use White().")
    t = torch.as_tensor(t, dtype=torch.float64)
    return path.schedule.alpha(t), path.schedule.sigma(t)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
