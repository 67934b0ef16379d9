r"""Gaussian mixtures: denoiser, score and density in closed form at every noise level.

With :math:`x_0 \sim \sum_k \pi_k N(m_k, C_k)` and :math:`x_t = \alpha x_0 + \sigma \varepsilon`,
:math:`\varepsilon \sim N(0, K)` (white noise: K = I), the marginal is again a mixture,

.. math:: x_t \sim \sum_k \pi_k N(\alpha m_k,\ V_k), \qquad V_k = \alpha^2 C_k + \sigma^2 K,

and so is the posterior: a component is responsible with
:math:`r_k(x) \propto \pi_k N(x;\ \alpha m_k, V_k)`, and within it

.. math:: E[x_0 \mid x, k] = m_k + \alpha C_k V_k^{-1} (x - \alpha m_k), \qquad
          \mathrm{Cov}[x_0 \mid x, k] = \sigma^2 C_k V_k^{-1} K.

Everything is computed in a basis where :math:`C_k` and K are both diagonal, so that every time costs the
same. Networks, solvers and metrics are tested against it.

Source: Bishop, Pattern Recognition and Machine Learning (2006), section 2.3,
https://www.microsoft.com/en-us/research/publication/pattern-recognition-machine-learning/.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.gp import eigh
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.source import White
from noisefold.theory.spectral import DiagonalMixture, Seen

__all__ = ["GaussianMixture"]

_Vector = Sequence[float] | Tensor
_Matrix = Sequence[Sequence[float]] | Tensor
_Stack = Sequence[Sequence[Sequence[float]]] | Tensor


@configurable
@dataclass(frozen=True)
class GaussianMixture:
    r"""A mixture of k Gaussians in d dimensions, with its exact marginals and posteriors on a path.

    Computed in float64 whatever the type of the states, in which results are returned. Numbers may be given
    as sequences or tensors; they are kept as tuples, so that mixtures compare, hash and are saved.

    Parameters
    ----------
    weights
        Shares of the components, ``[k]``, positive, with sum 1.
    means
        ``[k, d]``.
    covariances
        ``[k, d, d]``, symmetric; may be singular (a zero covariance is a point), but then t = 0 is excluded
        where sigma is 0 there.
    noise
        K, covariance of the noise over the d coordinates ``[d, d]``, whatever the source of a path; None for
        white noise, which the path must then have.

    Raises
    ------
    ValueError
        If shapes do not fit together, weights do not sum to 1, a covariance has a negative eigenvalue or that
        of the noise one that is not positive.
    """

    weights: _Vector
    means: _Matrix
    covariances: _Stack
    noise: _Matrix | None = None

    def __post_init__(self) -> None:
        for name in ("weights", "means", "covariances", "noise"):
            if getattr(self, name) is not None:
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
        lowest = float(eigh(covariances)[0].min())
        if lowest < -1e-12 * float(covariances.abs().max()):
            raise ValueError(f"covariances must have no negative eigenvalue, got {lowest:g}.")
        if self._noise is not None and tuple(self._noise.shape) != (d, d):
            raise ValueError(f"noise must be [{d}, {d}], got {list(self._noise.shape)}.")
        _ = self._diagonal  # refuses noise that is not positive definite

    @classmethod
    def gaussian(cls, mean: _Vector, covariance: _Matrix) -> GaussianMixture:
        """Return a single Gaussian of mean ``[d]`` and covariance ``[d, d]``."""
        as_float = partial(torch.as_tensor, dtype=torch.float64)
        return cls((1.0,), as_float(mean)[None], as_float(covariance)[None])

    @property
    def dim(self) -> int:
        """Dimension of space, d."""
        return self._numbers[1].shape[1]

    @property
    def mean(self) -> Tensor:
        """Mean of the data, ``[d]``, float64."""
        weights, means, _ = self._numbers
        return weights @ means

    # -- the marginal at a time ------------------------------------------------------------------------------

    def marginal(self, t: Tensor, path: Gaussian) -> GaussianMixture:
        r"""Return the marginal of x_t at a scalar time: means :math:`\alpha m_k`, covariances :math:`V_k`."""
        alpha, sigma = self._factors(t, path)
        weights, means, covariances = self._numbers
        unit = torch.eye(self.dim, dtype=torch.float64) if self._noise is None else self._noise
        return GaussianMixture(weights, alpha * means, alpha**2 * covariances + sigma**2 * unit, self.noise)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw from the data distribution, ``[n, d]``, float64."""
        return self._diagonal.sample(n, generator)

    def log_prob(self, x: Tensor, t: Tensor, path: Gaussian) -> Tensor:
        """Return the log-density of the marginal in nats, ``[n]``; ``x [n, d]``, t a scalar or ``[n]``."""
        return self._see(x, t, path).log_prob.to(x.dtype)

    def score(self, x: Tensor, t: Tensor, path: Gaussian) -> Tensor:
        """Return the gradient of the log-density of the marginal, ``[n, d]``."""
        return self._see(x, t, path).score.to(x.dtype)

    # -- the posterior of the data ----------------------------------------------------------------------

    def responsibilities(self, x: Tensor, t: Tensor, path: Gaussian) -> Tensor:
        """Return the posterior probability of each component, ``[n, k]``."""
        return self._see(x, t, path).share.T.to(x.dtype)

    def denoise(self, x: Tensor, t: Tensor, path: Gaussian) -> Tensor:
        """Return the posterior mean of the data, E[x_0 | x_t], ``[n, d]``."""
        return self._see(x, t, path).mean.to(x.dtype)

    def posterior_covariance(self, x: Tensor, t: Tensor, path: Gaussian) -> Tensor:
        """Return the posterior covariance, ``[n, d, d]``: within the components and between them."""
        return self._see(x, t, path).covariance.to(x.dtype)

    def bound(self, path: Gaussian) -> Callable[[Tensor, Tensor], Tensor]:
        """Return the denoiser on a path, ``denoise(x, t)``, as solvers ask for it."""
        return partial(self.denoise, path=path)

    # -- workings ---------------------------------------------------------------------------------------

    @cached_property
    def _numbers(self) -> tuple[Tensor, Tensor, Tensor]:
        weights, means, covariances = (
            torch.tensor(v, dtype=torch.float64) for v in (self.weights, self.means, self.covariances)
        )
        return weights, means, covariances

    @cached_property
    def _noise(self) -> Tensor | None:
        return None if self.noise is None else torch.tensor(self.noise, dtype=torch.float64)

    @cached_property
    def _diagonal(self) -> DiagonalMixture:
        return DiagonalMixture.of(*self._numbers, self._noise)

    def _factors(self, t: Tensor, path: Gaussian) -> tuple[Tensor, Tensor]:
        if self.noise is None and not isinstance(path.source, White):
            raise ValueError(
                f"source must be White() for a mixture without noise, got {path.source!r}; use White(), give "
                "the covariance of the noise as noise=, or GaussianProcess for fields on graphs."
            )
        t = torch.as_tensor(t, dtype=torch.float64)
        return path.schedule.alpha(t), path.schedule.sigma(t)

    def _see(self, x: Tensor, t: Tensor, path: Gaussian) -> Seen:
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise ValueError(f"x must be [n, {self.dim}], got {list(x.shape)}.")
        alpha, sigma = (v.to(x.device).flatten() for v in self._factors(t, path))
        if len(alpha) not in (1, len(x)):
            raise ValueError(f"t must be a scalar or [{len(x)}], got {list(t.shape)}.")
        return self._diagonal.to(x.device).see(x, alpha, sigma)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
