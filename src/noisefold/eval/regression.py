r"""Linear regression as a predictive distribution: conditional Gaussians with a ridge penalty.

With mean :math:`\mu` and covariance S of a vector of which the part k is observed and the part u is not,

.. math:: x_u | x_k \sim N\big(\mu_u + B (x_k - \mu_k),\ R\big), \qquad B = S_{uk} (S_{kk} + \lambda D)^{-1},

D the diagonal of S_kk. `Regression` is this for the features of one node, `GaussianField` for all values of a
whole field. The ridge penalty lambda is chosen by generalised cross-validation; R is the residual covariance
in training, corrected for the degrees of freedom used by the regression.

Source: Golub, Heath and Wahba, Generalized cross-validation as a method for choosing a good ridge parameter
(1979), https://doi.org/10.1080/00401706.1979.10489751; Kim and Gu, Smoothing spline Gaussian regression: more
scalable computation via efficient approximation (2004), https://doi.org/10.1046/j.1369-7412.2003.05316.x;
Ledoit and Wolf, A well-conditioned estimator for large-dimensional covariance matrices (2004),
https://doi.org/10.1016/S0047-259X(03)00096-4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from noisefold.eval.baselines import Baseline, PredictiveDistribution, entries, moments, normals, patterns
from noisefold.eval.field_metrics import aligned
from noisefold.geometry import Graphs
from noisefold.geometry.gp import eigh, factor, square_root

__all__ = ["GaussianField", "Regression"]

_PENALTIES = torch.logspace(-5, 1, 25, dtype=torch.float64)
_SCREE = 1e-10
_CAUTION = 1.4
_ITERATIONS, _SETTLED, _RIDGE = 10, 1e-4, 1e-6
_STRUCTURED = 64


@dataclass(frozen=True, eq=False)
class _Gaussian:
    """Mean ``[c]``, covariance ``[c, c]`` and number of samples they are estimated from, float64.

    `penalty` is None where it is to be chosen by generalised cross-validation.
    """

    mean: Tensor
    cov: Tensor
    count: float
    penalty: float | None

    def conditional(self, known: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the coefficients ``[u, k]`` and a root L of the covariance R = L L', ``[u, u]``."""
        value, vector, scale, penalty = self.spectrum(known, target)
        s_uu, across = self.cov[target][:, target], self.cov[target][:, known] / scale @ vector
        shrunk = torch.where(value > _SCREE, 1 / (value + penalty), 0.0)
        weight = across * shrunk
        left = s_uu - weight @ across.T - across @ weight.T + (weight * value) @ weight.T
        return weight @ vector.T / scale, square_root(left * self.inflation(float((value * shrunk).sum())))

    def inflation(self, used: float) -> float:
        """Return the factor that corrects R for the degrees of freedom used, at most the samples less two."""
        return 1 / (1 - (1 + min(used, self.count - 2)) / self.count)

    def spectrum(self, known: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor, float]:
        """Return eigenvalues and vectors of the observed part's correlation, its scale and the penalty."""
        s_kk = self.cov[known][:, known]
        scale = _scale(s_kk)
        value, vector = eigh(s_kk / scale[:, None] / scale)
        value = value.clamp(min=0)
        if self.penalty is not None:
            return value, vector, scale, self.penalty
        across = self.cov[target][:, known] / scale @ vector
        return value, vector, scale, _cross_validated(value, across, self.cov.diagonal()[target], self.count)

    def draw(self, values: Tensor, mask: Tensor, noise: Tensor, given: Tensor | None = None) -> Tensor:
        """Overwrite `noise [draws, N, c]` by draws of the unobserved of `values [N, c]`.

        `given [N, e]` is observed of all: the last e variables.
        """
        extra = torch.arange(values.shape[1], len(self.mean))
        full = values.double() if given is None else torch.cat([values.double(), given], 1)
        kinds = [(rows, there) for rows, there in patterns(mask) if not bool(there.all())]
        conditioned: _Gaussian | _Precision = self
        if len(kinds) > _STRUCTURED and self.penalty != 0:
            conditioned = _Precision.of(self, torch.cat([kinds[0][1].nonzero().view(-1), extra]))
        for rows, there in kinds:
            target = (~there).nonzero().view(-1)
            known = torch.cat([there.nonzero().view(-1), extra])
            coefficients, root = conditioned.conditional(known, target)
            mean = self.mean[target] + (full[rows][:, known] - self.mean[known]) @ coefficients.T
            part = noise[:, rows[:, None], target].double() @ root.T
            noise[:, rows[:, None], target] = (mean + part).to(noise.dtype)
        return noise


@dataclass(frozen=True, eq=False)
class _Precision:
    r"""The same for many patterns and one penalty, at the cost of the unobserved part alone.

    With P the inverse of :math:`C = S + \lambda D`, :math:`B = -P_{uu}^{-1} P_{uk}`,
    :math:`R = P_{uu}^{-1} - \lambda (D_u + B D_k B')` and
    :math:`\mathrm{diag}(C_{kk}^{-1}) = \mathrm{diag}(P_{kk} + P_{ku} B)`.
    """

    joint: _Gaussian
    inverse: Tensor
    penalty: float

    @classmethod
    def of(cls, joint: _Gaussian, known: Tensor) -> _Precision:
        """Take the penalty of cross-validation for this pattern, unless one is set."""
        penalty = joint.penalty
        if penalty is None:
            hidden = torch.ones(len(joint.mean), dtype=torch.bool).index_fill_(0, known, False)
            penalty = joint.spectrum(known, hidden.nonzero().view(-1))[-1]
        scale = _scale(joint.cov)
        unit = joint.cov / scale[:, None] / scale + penalty * torch.eye(len(scale), dtype=scale.dtype)
        return cls(joint, factor(unit).inverse / scale[:, None] / scale, penalty)

    def conditional(self, known: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return the same as `_Gaussian.conditional`."""
        across = self.inverse[target][:, known]
        own = factor(self.inverse[target][:, target]).inverse
        coefficients = -own @ across
        variance = _scale(self.joint.cov).square()
        left = own - self.penalty * (
            torch.diag(variance[target]) + (coefficients * variance[known]) @ coefficients.T
        )
        inverse = self.inverse.diagonal()[known] + (across * coefficients).sum(0)
        used = len(known) - self.penalty * float((variance[known] * inverse).sum())
        return coefficients, square_root(left * self.joint.inflation(used))


def _scale(cov: Tensor) -> Tensor:
    """Return the standard deviations ``[c]``, 1 where a variable is constant."""
    variance = cov.diagonal()
    return torch.where(variance > 0, variance, 1.0).sqrt()


def _cross_validated(value: Tensor, across: Tensor, variance: Tensor, count: float) -> float:
    r"""Return the penalty with the least generalised cross-validation error over standardised targets.

    .. math:: GCV(\lambda) = \frac{RSS(\lambda) / n}{(1 - 1.4\, \mathrm{df}(\lambda) / n)^2}

    The factor 1.4 is that of Kim and Gu: with few samples the plain criterion sometimes interpolates them.
    """
    power = (across.square() / variance.clamp(min=1e-300)[:, None]).sum(0)
    targets = float((variance > 0).sum())
    shrunk = torch.where(value > _SCREE, 1 / (value + _PENALTIES[:, None]), 0.0)
    left = targets - (power * (2 * shrunk - value * shrunk.square())).sum(1)
    used = (value * shrunk).sum(1) + 1
    share = _CAUTION * used / count
    error = torch.where(share < 1, left.clamp(min=0) / (1 - share).square(), torch.inf)
    return float(_PENALTIES[int(error.argmin())])


def _estimate(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, float]:
    """Return mean, covariance and typical number of samples of a pair.

    By expectation-maximisation where values are missing. It starts from the covariances of pairs observed
    together, which need not form a positive semi-definite matrix.
    """
    mean, spread = moments(values, mask)
    there = mask.double()
    x = (values.double() - mean) * there / torch.where(spread > 0, spread, 1.0)
    pairs = there.T @ there
    cov = x.T @ x / pairs.clamp(min=1)
    if not bool(mask.all()):
        value, vector = eigh(cov)
        centre, cov = torch.zeros_like(mean), (vector * value.clamp(min=0)) @ vector.T
        kinds = patterns(mask)
        for _ in range(_ITERATIONS):
            before = cov
            centre, cov = _expected(x, kinds, centre, cov)
            if float((cov - before).abs().max()) < _SETTLED:
                break
        mean = mean + centre * spread
    return mean, cov * spread[:, None] * spread, float(pairs.median())


def _expected(
    x: Tensor, kinds: list[tuple[Tensor, Tensor]], centre: Tensor, cov: Tensor
) -> tuple[Tensor, Tensor]:
    """Return mean and covariance of rows ``[n, c]``, missing values distributed as given the others."""
    inverse = factor(cov + _RIDGE * torch.eye(len(cov), dtype=cov.dtype)).inverse
    filled, spread = x.clone(), torch.zeros_like(cov)
    for rows, there in kinds:
        target, known = (~there).nonzero().view(-1), there.nonzero().view(-1)
        if len(target):
            own = factor(inverse[target][:, target]).inverse
            away = (x[rows][:, known] - centre[known]) @ inverse[known][:, target] @ own
            filled[rows[:, None], target] = centre[target] - away
            spread[target[:, None], target] += len(rows) * own
    mean = filled.mean(0)
    left = filled - mean
    return mean, (left.T @ left + spread) / len(x)


@dataclass(frozen=True)
class Regression(Baseline):
    """Linear regression of each unobserved feature on the observed features of its own node, as draws.

    Coefficients and residual covariance come from the mean and covariance of all training nodes; where
    values are missing, by up to ten rounds of expectation-maximisation. A node of which nothing is observed
    has the distribution of all nodes.

    Parameters
    ----------
    place
        Whether the position, with its squares and products, is among the predictors.
    penalty
        Of the ridge, in units of the variance of an observed feature; None: by generalised
        cross-validation, for each pattern of unobserved features.
    """

    place: bool = False
    penalty: float | None = None

    def __post_init__(self) -> None:
        if self.penalty is not None and not self.penalty >= 0:
            raise ValueError(f"penalty must be at least 0, or None, got {self.penalty}.")

    def fit(self, train: Graphs, known: Tensor | None = None) -> PredictiveDistribution:
        """Estimate mean and covariance."""
        values, mask = entries(train, known)
        if self.place:
            given = _quadratic(train)
            values = torch.cat([values.double(), given], 1)
            mask = torch.cat([mask, torch.ones_like(given, dtype=torch.bool)], 1)
        mean, cov, count = _estimate(values, mask)
        if count < 3:
            raise ValueError(f"known must hold pairs of features at 3 nodes or more, got {count:.0f}.")
        return _Regression(_Gaussian(mean, cov, count, self.penalty), self.place)


@dataclass(frozen=True, eq=False)
class _Regression(PredictiveDistribution):
    joint: _Gaussian
    place: bool

    def _draw(self, graphs: Graphs, values: Tensor, mask: Tensor, draws: int, seed: int) -> Tensor:
        noise = normals(graphs, values.shape[1], draws, seed)
        return self.joint.draw(values, mask, noise, _quadratic(graphs) if self.place else None)


def _quadratic(graphs: Graphs) -> Tensor:
    """Return coordinates, their squares and products, ``[n, d + d (d + 1) / 2]``, float64."""
    pos = graphs.pos.detach().cpu().double()
    i, j = torch.triu_indices(graphs.dim, graphs.dim)
    return torch.cat([pos, pos[:, i] * pos[:, j]], 1)


@dataclass(frozen=True)
class GaussianField(Baseline):
    """A Gaussian with the mean and covariance of training fields on the same positions, conditioned.

    The best linear predictor with many training fields, joint over all nodes and features. Correlations are
    shrunk towards 0 (Ledoit and Wolf), which matters where there are fewer fields than values in one.

    Parameters
    ----------
    shrink
        Shrinkage, in [0, 1]; None for the estimate of Ledoit and Wolf.
    """

    shrink: float | None = None

    def __post_init__(self) -> None:
        if self.shrink is not None and not 0 <= self.shrink <= 1:
            raise ValueError(f"shrink must lie in [0, 1], or be None, got {self.shrink}.")

    def fit(self, train: Graphs, known: Tensor | None = None) -> PredictiveDistribution:
        """Estimate mean and covariance of fields that are observed completely."""
        values, mask = entries(train, known)
        if not bool(mask.all()) or not aligned(train) or len(train) < 3:
            raise ValueError(
                "GaussianField needs 3 or more training fields, all complete and on the same positions; "
                "use Regression or Kriging instead."
            )
        x = values.double().reshape(len(train), -1)
        mean = x.mean(0)
        return _GaussianField(_Gaussian(mean, _shrunk(x - mean, self.shrink), math.inf, 0.0), train[:1])


@dataclass(frozen=True, eq=False)
class _GaussianField(PredictiveDistribution):
    joint: _Gaussian
    place: Graphs

    def _draw(self, graphs: Graphs, values: Tensor, mask: Tensor, draws: int, seed: int) -> Tensor:
        if not aligned(self.place, graphs):
            raise ValueError("the graphs must stand on the positions of the training fields.")
        noise, g = normals(graphs, values.shape[1], draws, seed), len(graphs)
        shape = noise.shape
        out = self.joint.draw(values.reshape(g, -1), mask.reshape(g, -1), noise.view(draws, g, -1))
        return out.view(shape)


def _shrunk(centred: Tensor, share: float | None) -> Tensor:
    """Return the covariance of ``[m, c]``, with correlations shrunk towards 0."""
    m, c = centred.shape
    scale = centred.square().mean(0).sqrt()
    unit = centred / torch.where(scale > 0, scale, 1.0)
    cov, target = unit.T @ unit / m, torch.eye(c, dtype=centred.dtype)
    if share is None:
        apart = (cov - target).square().sum()
        # The mean over samples of |x x' - S|^2, by its parts.
        noise = (unit.square().sum(1).square().mean() - cov.square().sum()) / m
        share = float((noise / apart).clamp(0, 1)) if float(apart) > 0 else 1.0
    return ((1 - share) * cov + share * target) * scale[:, None] * scale
