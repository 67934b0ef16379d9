r"""Measures of samples beside the truth.

For a mixture of Gaussians, with Mahalanobis distances :math:`m_k` to its components and each sample assigned
to the component of the nearest mean:

========= ===================================================================================== =========
mass      share with :math:`m_k^2` below the 99 % quantile of its distribution (9.21 in the
          plane), mean over the components                                                        0.495
corridor  share nearer to the middle plane than 3/5.66 of the components' distance from it         0
balance   largest error of a component's share                                                   0
det       determinant of a component's covariance over the truth, geometric mean                 1
w2        Wasserstein distance W_2 to a component, mean; 200 samples against 200 draws           floor
bits      mutual information of the side of the start and that of the end                        0
========= ===================================================================================== =========

Where the distribution is only a large sample: mass is the share of samples nearer to a point of it than 99 %
of new draws are, corridor the share farther than three times that, balance the share on one side of the first
principal axis, det and w2 those of the whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from noisefold.eval import wasserstein
from noisefold.geometry.gp import eigh, factor
from noisefold.noise import derive_seed, quasi_normal
from noisefold.studies.diffusion.chains import Chain
from noisefold.studies.diffusion.distributions import Distribution
from noisefold.studies.diffusion.samplers import Estimate
from noisefold.theory import GaussianMixture

__all__ = ["LEVELS", "MEASURES", "RATIOS", "Evaluator", "cluster_bits", "information", "levels"]
__all__ += ["schedule_steps", "score_error"]

RATIOS = ("det", "w2")
"""Measures without bound, averaged as logarithms."""

MEASURES = ("mass", "corridor", "balance", "det", "w2", "bits")
LEVELS = (1, 19, 37, 55, 81, 100)
"""Steps of the chain at which scores are compared: t = 0, 18, 36, 54, 80 and 99 of the paper."""

_CORRIDOR = 3 / math.sqrt(32)  # the paper's 3 over the distance of its means from the middle
_MATCHED = 200


class Evaluator:
    """Measures samples against one distribution.

    Parameters
    ----------
    data
        The distribution.
    """

    def __init__(self, data: Distribution) -> None:
        self._data = data
        self._generator = torch.Generator().manual_seed(derive_seed(11))
        if data.mixture is None:
            self._reference = data.reference()
            self._centre = self._reference.mean(0)
            values, vectors = eigh(torch.cov(self._reference.T))
            self._axis, self._most = vectors[:, -1], float(values[-1])
            fresh = data.draw(2000, self._generator)
            self._near = float(torch.cdist(fresh, self._reference).amin(1).quantile(0.99))
            self._share = float(self._side(self._reference).double().mean())
        else:
            means = torch.tensor(data.mixture.means, dtype=torch.float64)
            self._covs = torch.tensor(data.mixture.covariances, dtype=torch.float64)
            self._means, self._centre = means, means.mean(0)
            apart = means[-1] - means[0]
            self._axis = apart / apart.norm()
            self._reach = _CORRIDOR * float(apart.norm()) / 2
            within = self._covs.mean(0) + torch.cov(means.T, correction=0)
            self._most = float(eigh(within)[0][-1])

    @property
    def most(self) -> float:
        """Largest variance of the distribution in any direction."""
        return self._most

    def _side(self, x: Tensor) -> Tensor:
        side: Tensor = (x.double() - self._centre) @ self._axis > 0
        return side

    def __call__(self, start: Tensor, end: Tensor) -> dict[str, float]:
        """Return all measures of trajectories from ``start [n, d]`` to ``end [n, d]``, or NaN."""
        # Every trial is compared with the same draws.
        self._generator.manual_seed(derive_seed(11))
        end = end.double()
        finite = torch.isfinite(end).all(1)
        if int(finite.sum()) < 10:
            return dict.fromkeys(MEASURES, math.nan)
        start, end = start[finite], end[finite]
        bits = information(self._side(start), self._side(end))
        mixture = self._data.mixture
        return {**(self._sample(end) if mixture is None else self._modes(end, mixture)), "bits": bits}

    def _modes(self, x: Tensor, mixture: GaussianMixture) -> dict[str, float]:
        from scipy.stats import chi2

        which = torch.cdist(x, self._means).argmin(1)
        edge = float(chi2.ppf(0.99, x.shape[1]))
        masses, shares, dets, w2s = [], [], [], []
        for k, weight in enumerate(mixture.weights):
            cov, part = self._covs[k], x[which == k]
            off = x - self._means[k]
            masses.append(float(((off @ factor(cov).inverse * off).sum(1) < edge).double().mean()))
            shares.append(abs(len(part) / len(x) - float(weight)))
            if len(part) > 10:
                dets.append(
                    math.log(max(1e-12, float(torch.linalg.det(torch.cov(part.T)) / torch.linalg.det(cov))))
                )
                mode = GaussianMixture.gaussian(self._means[k], cov)
                w2s.append(self._distance(part, mode.sample(_MATCHED, self._generator)))
        middle = ((x - self._centre) @ self._axis).abs() < self._reach
        return {
            "mass": sum(masses) / len(masses),
            "corridor": float(middle.double().mean()),
            "balance": max(shares),
            "det": math.exp(sum(dets) / len(dets)) if dets else math.nan,
            "w2": sum(w2s) / len(w2s) if w2s else math.nan,
        }

    def _sample(self, x: Tensor) -> dict[str, float]:
        gap = torch.cdist(x, self._reference).amin(1)
        ratio = torch.linalg.det(torch.cov(x.T)) / torch.linalg.det(torch.cov(self._reference.T))
        return {
            "mass": float((gap < self._near).double().mean()),
            "corridor": float((gap > 3 * self._near).double().mean()),
            "balance": abs(float(self._side(x).double().mean()) - self._share),
            "det": float(ratio),
            "w2": self._distance(x, self._reference),
        }

    def _distance(self, x: Tensor, truth: Tensor) -> float:
        n = min(_MATCHED, len(x), len(truth))
        a, b = (v[torch.randperm(len(v), generator=self._generator)[:n]] for v in (x, truth))
        return wasserstein(a, b, order=2)


def information(a: Tensor, b: Tensor) -> float:
    """Return the mutual information of two sides, bits; ``a`` and ``b [n]`` are Boolean."""
    table = torch.stack([torch.stack([(p & q).double().mean() for q in (b, ~b)]) for p in (a, ~a)])
    apart = table.sum(1, keepdim=True) * table.sum(0, keepdim=True)
    told = torch.where(table > 0, table * torch.log2(table / apart.clamp(min=1e-300)), 0)
    return max(0.0, float(told.sum()))


def cluster_bits(mixture: GaussianMixture, walk: Chain, n: int = 1 << 13) -> list[float]:
    """Return the mutual information of the component and x_k for the steps k = 1 to T, bits.

    From n quasi-random states of every component: with 2^13 in error by less than 1e-3.
    """
    even = quasi_normal(n, mixture.dim, 12)
    weights = torch.tensor(mixture.weights, dtype=torch.float64)
    whole = float(-(weights * weights.log2()).sum())
    bits = []
    for t in walk.times[1:]:
        marginal = mixture.marginal(t, walk.path)
        lost = 0.0
        for k, weight in enumerate(mixture.weights):
            mean, cov = (
                torch.tensor(v[k], dtype=torch.float64) for v in (marginal.means, marginal.covariances)
            )
            share = mixture.responsibilities(mean + even @ factor(cov).lower.T, t, walk.path)[:, k]
            lost -= float(weight) * float(share.log2().mean())
        bits.append(whole - lost)
    return bits


def schedule_steps(bits: Sequence[float]) -> tuple[int, int, int]:
    """Return the steps with less than 0.05 bits on the component, in between, and with more than 0.95."""
    none, all_ = sum(b < 0.05 for b in bits), sum(b > 0.95 for b in bits)
    return none, len(bits) - none - all_, all_


def score_error(
    estimate: Estimate, data: Distribution, walk: Chain, trials: int, k: int, n: int = 2000
) -> Tensor:
    r"""Return the relative error of the score at step k, :math:`E|s - s^*|^2 / E|s^*|^2`, ``[C]``."""
    generator = torch.Generator().manual_seed(derive_seed(k, 13))
    eps = torch.randn(n, data.dim, generator=generator, dtype=torch.float64)
    alpha, sigma = walk.alpha[k], walk.sigma[k]
    x = alpha * data.draw(n, generator) + sigma * eps
    truth = (alpha * data.oracle().denoise(x, walk.times[k], walk.path) - x) / sigma**2
    many = x.T.float().expand(trials, -1, -1).contiguous()
    told = (alpha * estimate.mean(many, k).double() - x.T) / sigma**2
    return (told - truth.T).square().sum((1, 2)) / truth.square().sum()


def levels(steps: int) -> list[int]:
    """Return the steps of `LEVELS` in a chain of another length."""
    return [max(1, round(k / 100 * steps)) for k in LEVELS]
