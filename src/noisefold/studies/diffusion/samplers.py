r"""Four samplers of a chain, for a network or an oracle, and for many networks at once.

All use the estimate :math:`\hat x_0` at step k and go to step k - 1:

- "posterior": a draw of :math:`q(x_{k-1} \mid x_k, \hat x_0)`, DDPM's ancestral sampling;
- "ddim": the same without its noise, the probability flow;
- "mean": :math:`\alpha \hat x_0 + \sigma z`, the estimate noised again;
- "draw": the same with a draw of :math:`x_0` given :math:`x_k` in the place of its mean. It is drawn from
  the normal distribution with the posterior's mean and covariance, for a network the derivative of its
  estimate,

  .. math:: \mathrm{Cov}[x_0 \mid x_t] = \frac{\sigma^2}{\alpha}\,
      \frac{\partial\, E[x_0 \mid x_t]}{\partial x_t}.

The covariance's eigenvalues are clamped between 0 and the largest of the data, since a network's derivative
may exceed them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from noisefold.geometry.gp import eigh
from noisefold.noise import derive_seed
from noisefold.studies.diffusion.chains import Chain, grid, noise_table
from noisefold.studies.diffusion.distributions import Distribution, Oracle
from noisefold.studies.diffusion.perceptrons import Perceptrons, Recipe, Trial, read_out

__all__ = ["SAMPLERS", "STARTS", "Estimate", "Exact", "Learned", "root", "sample_chain", "starts"]

SAMPLERS = ("posterior", "ddim", "mean", "draw")
STARTS = ("normal", "grid")


class Estimate(Protocol):
    """Estimates of the data from states ``[C, d, n]`` at step k."""

    def mean(self, x: Tensor, k: int) -> Tensor:
        """Return E[x_0 | x_k], ``[C, d, n]``."""

    def moments(self, x: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Return E[x_0 | x_k] and the covariance ``[C, d, d, n]``."""


@dataclass(frozen=True)
class Exact:
    """An oracle's estimates."""

    oracle: Oracle
    chain: Chain

    def mean(self, x: Tensor, k: int) -> Tensor:
        """Return E[x_0 | x_k]."""
        flat = x.transpose(0, 1).flatten(1).T
        found = self.oracle.denoise(flat, self.chain.times[k], self.chain.path)
        return found.T.reshape(-1, x.shape[0], x.shape[2]).transpose(0, 1)

    def moments(self, x: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Return E[x_0 | x_k] and the covariance."""
        flat = x.transpose(0, 1).flatten(1).T
        cov = self.oracle.posterior_covariance(flat, self.chain.times[k], self.chain.path)
        parts = cov.unflatten(0, (x.shape[0], x.shape[2]))
        return self.mean(x, k), parts.permute(0, 2, 3, 1)


class Learned:
    """The estimates of networks, one for each trial; the trials share a schedule.

    Parameters
    ----------
    nets
        C networks.
    trials
        What each was trained for.
    recipe
        How.
    chain
        Theirs.
    """

    def __init__(self, nets: Perceptrons, trials: Sequence[Trial], recipe: Recipe, chain: Chain) -> None:
        self._nets, self._chain, self._out = nets, chain, read_out(trials, recipe)
        orders = (
            torch.rand(recipe.steps, generator=torch.Generator().manual_seed(derive_seed(6))).argsort() + 1
        )
        mixed = torch.tensor([trial.shuffled for trial in trials])[:, None, None]
        self._shown = orders if bool(mixed.any()) else torch.arange(1, recipe.steps + 1)

    def mean(self, x: Tensor, k: int) -> Tensor:
        """Return the data that the networks' outputs imply."""
        p, q = self._out(k)
        return p * self._nets(x, self._time(k)) + q * x

    def moments(self, x: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Return the same, and the covariance from its derivative."""
        p, q = self._out(k)
        answer, slopes = self._nets.with_slopes(x, self._time(k))
        own = torch.eye(x.shape[1])[..., None]
        slopes = p[..., None] * slopes + q[..., None] * own
        factor = float(self._chain.sigma[k] ** 2 / self._chain.alpha[k])
        return p * answer + q * x, factor * (slopes + slopes.transpose(1, 2)) / 2

    def _time(self, k: int) -> Tensor:
        return self._chain.times[int(self._shown[k - 1])]


def starts(
    data: Distribution, start: str, noise: str, n: int, seeds: Sequence[int], count: int
) -> tuple[Tensor, Tensor]:
    """Return starting states ``[S, d, n]`` and the noise of the steps, ``[count, S, d, n]``, float32.

    The noise is of the kind that the networks were trained with: random; the decimals of points of the
    distribution, one point for each trajectory; or one quasi-random point for each, its start included.
    """
    begin, taken = [], []
    for seed in seeds:
        generator = torch.Generator().manual_seed(derive_seed(seed, 8))
        values = data.draw(n, generator)
        table = noise_table(noise, values, count + 1, derive_seed(seed, 9))
        first = torch.randn(n, data.dim, generator=generator) if noise == "digits" else table[0]
        begin.append(grid(n, data.dim).float() if start == "grid" else first)
        taken.append(table[1:])
    return torch.stack(begin).mT.contiguous(), torch.stack(taken, 1).mT.contiguous()


def sample_chain(
    estimate: Estimate,
    chain: Chain,
    sampler: str,
    x: Tensor,
    noise: Tensor,
    most: float,
    keep: Sequence[int] = (),
) -> tuple[Tensor, list[Tensor]]:
    """Sample from step T to the data.

    Parameters
    ----------
    estimate
        Of the data.
    chain
        The chain.
    sampler
        One of `SAMPLERS`.
    x
        States at step T, ``[C, d, n]``.
    noise
        ``[2 T, C, d, n]``: for each step two draws.
    most
        Largest variance of the data in any direction.
    keep
        Steps whose states are returned too.

    Returns
    -------
    tuple
        The ends ``[C, d, n]``, and the states at the steps to keep.
    """
    kept = {chain.steps: x}
    for k in range(chain.steps, 0, -1):
        z, other = noise[2 * k - 1].to(x.dtype), noise[2 * k - 2].to(x.dtype)
        alpha, sigma = float(chain.alpha[k - 1]), float(chain.sigma[k - 1])
        if sampler in ("posterior", "ddim"):
            eta = 1.0 if sampler == "posterior" else 0.0
            step = chain.path.transition(chain.times[k], chain.times[k - 1], eta)
            x = float(step.data) * estimate.mean(x, k) + float(step.state) * x + float(step.noise) * z
        else:
            if sampler == "mean":
                x0 = estimate.mean(x, k)
            else:
                x0, cov = estimate.moments(x, k)
                x0 = x0 + torch.einsum("cden,cen->cdn", root(cov, most), other)
            x = alpha * x0 + sigma * z
        if k - 1 in keep:
            kept[k - 1] = x
    return x, [kept[k] for k in keep]


def root(cov: Tensor, most: float) -> Tensor:
    """Return the symmetric square root of matrices ``[C, d, d, n]``, eigenvalues clamped to 0 and `most`."""
    if cov.shape[1] != 2:
        values, vectors = eigh(cov.permute(0, 3, 1, 2))
        roots = values.clamp(0, most).sqrt()
        return torch.einsum("cnde,cne,cnfe->cdfn", vectors, roots, vectors)
    # In the plane the eigenvalues are m +- r, and the root is a combination of the matrix and the identity.
    a, b, c = cov[:, 0, 0], cov[:, 0, 1], cov[:, 1, 1]
    middle, half = (a + c) / 2, (a - c) / 2
    r = torch.hypot(half, b)
    high, low = ((middle + s * r).clamp(0, most).sqrt() for s in (1, -1))
    even, odd = (high + low) / 2, (high - low) / (2 * r.clamp(min=1e-12))
    return torch.stack(
        [torch.stack([even + odd * half, odd * b], 1), torch.stack([odd * b, even - odd * half], 1)], 1
    )
