r"""Gaussian-process regression: the baseline of functions, with a log-likelihood.

Each feature, less its mean, is a Gaussian process of its own with covariance
:math:`v\,(1 - \nu)\, \rho(|x - x'| / l) + v\, \nu\, \delta`. Correlation, length-scale l and share of noise
:math:`\nu` are those of the greatest evidence among a grid, over up to 16 training graphs thinned to 150
nodes, with the best v of each in closed form:

.. math:: \hat v = \frac1N \sum_i y_i^T C_i^{-1} y_i, \qquad
    \log p = -\frac12 \Big(N \log \hat v + \sum_i \log |C_i| + N (1 + \log 2 \pi)\Big).

Source: Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), chapters 2 and 5,
https://gaussianprocess.org/gpml/.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from noisefold.eval.baselines import Baseline, PredictiveDistribution, entries, moments, normals
from noisefold.geometry import Correlation, Exponential, Graphs, Matern, SquaredExponential
from noisefold.geometry.gp import Factor, condition, evidence, factor
from noisefold.geometry.kernels import distances
from noisefold.geometry.selection import spread

__all__ = ["FittedGP", "GPRegression"]

_GRAPHS, _NODES, _LENGTHS = 16, 150, 10
_SHARES = (1e-4, 1e-3, 1e-2, 0.05, 0.2, 0.6)


@dataclass(frozen=True)
class GPRegression(Baseline):
    """Gaussian-process regression of each feature; see the module for what is fitted.

    Parameters
    ----------
    correlations
        Those to choose from, of length-scale 1.
    """

    correlations: tuple[Correlation, ...] = (SquaredExponential(1.0), Matern(1.0, 2.5), Exponential(1.0))

    def fit(self, train: Graphs, known: Tensor | None = None) -> FittedGP:
        """Choose the covariance of each feature."""
        values, mask = entries(train, known)
        mean, _ = moments(values, mask)
        some = _some(train)
        columns = []
        for k in range(values.shape[1]):
            parts = []
            for rows in some:
                here = rows[mask[rows, k]]
                gap = distances(*(train.pos.detach().cpu().double()[here],) * 2)
                parts.append((gap, values[here, k, None].double() - mean[k]))
            columns.append(self._best(parts))
        return FittedGP(mean, tuple(columns))

    def _best(self, parts: list[tuple[Tensor, Tensor]]) -> _Column:
        reach = max((float(gap.max()) for gap, _ in parts if gap.numel()), default=0.0) or 1.0
        lengths = torch.logspace(math.log10(0.01), math.log10(1.0), _LENGTHS) * reach
        alike: dict[int, list[tuple[Tensor, Tensor]]] = {}
        for part in parts:
            alike.setdefault(len(part[1]), []).append(part)
        stacked = [tuple(map(torch.stack, zip(*same, strict=True))) for same in alike.values()]
        best, chosen = -math.inf, _Column(self.correlations[0], reach, 1.0, 0.0)
        for correlation in self.correlations:
            for length in lengths.tolist():
                found, variances = _profile([(correlation(gap / length), y) for gap, y in stacked])
                k = int(found.argmax())
                if float(found[k]) > best:
                    best = float(found[k])
                    chosen = _Column(correlation, length, _SHARES[k], float(variances[k]))
        return chosen


@dataclass(frozen=True)
class _Column:
    """Covariance of one feature."""

    correlation: Correlation
    length: float
    share: float
    variance: float

    def between(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the covariance of the smooth part, ``[n, m]``."""
        return self.variance * (1 - self.share) * self.correlation(distances(a, b) / self.length)

    def factor(self, pos: Tensor) -> Factor:
        """Return the factor of the covariance of all, ``[n, n]``."""
        noise = torch.eye(len(pos), dtype=torch.float64) * self.variance * self.share
        return factor(self.between(pos, pos) + noise)


@dataclass(frozen=True, eq=False)
class FittedGP(PredictiveDistribution):
    """A Gaussian process for each feature, as `GPRegression` fits it.

    Attributes
    ----------
    mean
        Of each feature, ``[f]``.
    columns
        Covariance of each feature.
    """

    mean: Tensor
    columns: tuple[_Column, ...]

    def log_prob(self, graphs: Graphs, known: Tensor | None = None) -> Tensor:
        """Return the log-density of what is not observed of each graph given the rest, in nats, ``[g]``.

        Parameters
        ----------
        graphs
            Graphs with all values.
        known
            Which nodes ``[n]`` or entries ``[n, f]`` are observed, bool; None: none.
        """
        mask = torch.zeros(graphs.num_nodes, dtype=torch.bool) if known is None else known.cpu()
        mask = mask if mask.ndim == 2 else mask[:, None].expand(-1, len(self.mean))
        total = torch.zeros(len(graphs), dtype=torch.float64)
        for i, k, pos, y, there in self._parts(graphs, entries(graphs, None)[0], mask):
            column = self.columns[k]
            if not column.variance:
                total[i] += math.inf if bool((y[~there] == 0).all()) else -math.inf
                continue
            total[i] += evidence(column.factor(pos), y).sum()
            if bool(there.any()):
                total[i] -= evidence(column.factor(pos[there]), y[there]).sum()
        return total

    def _draw(self, graphs: Graphs, values: Tensor, mask: Tensor, draws: int, seed: int) -> Tensor:
        out = normals(graphs, values.shape[1], draws, seed)
        ends = graphs.ptr.tolist()
        for i, k, pos, y, there in self._parts(graphs, values, mask):
            column, rest = self.columns[k], (~there).nonzero()[:, 0] + ends[i]
            noise = out[:, rest, k].double().mT
            if not column.variance or not len(rest):
                out[:, rest, k] = self.mean[k].float()
                continue
            a, b = pos[there], pos[~there]
            covariance = column.factor(b).covariance
            middle = torch.zeros(len(b), 1, dtype=torch.float64)
            if len(a):
                found = condition(column.factor(a), column.between(a, b), y[there])
                middle, covariance = found.mean(), found.covariance(covariance)
            drawn = self.mean[k] + middle + factor(covariance).lower @ noise
            out[:, rest, k] = drawn.mT.float()
        return out

    def _parts(
        self, graphs: Graphs, values: Tensor, mask: Tensor
    ) -> Iterator[tuple[int, int, Tensor, Tensor, Tensor]]:
        """Yield graph, column, positions ``[n, d]``, centred values ``[n, 1]``, which are known ``[n]``."""
        if values.shape[1] != len(self.mean):
            raise ValueError(f"the graphs must have {len(self.mean)} features, got {values.shape[1]}.")
        pos, sizes = graphs.pos.detach().cpu().double(), graphs.sizes.tolist()
        parts = zip(pos.split(sizes), values.double().split(sizes), mask.split(sizes), strict=True)
        for i, (place, x, there) in enumerate(parts):
            for k in range(len(self.mean)):
                yield i, k, place, (x[:, k] - self.mean[k])[:, None], there[:, k]


def _some(graphs: Graphs) -> list[Tensor]:
    """Return the rows of up to so many nodes of up to so many graphs, spread over all."""
    chosen = spread(len(graphs), min(_GRAPHS, len(graphs))).tolist()
    generator = torch.Generator().manual_seed(0)
    rows = []
    for i in chosen:
        start, n = int(graphs.ptr[i]), int(graphs.sizes[i])
        rows.append(torch.randperm(n, generator=generator)[:_NODES].sort().values + start)
    return rows


def _profile(parts: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return the evidence with the best variance, and this, for each share of noise.

    Parameters
    ----------
    parts
        Correlations ``[k, n, n]`` and values ``[k, n, 1]`` of graphs of one size each.
    """
    shares = torch.tensor(_SHARES, dtype=torch.float64)[:, None, None, None]
    square, volume, count = (torch.zeros(len(_SHARES), dtype=torch.float64) for _ in range(3))
    for rho, y in parts:
        found = factor((1 - shares) * rho + shares * torch.eye(rho.shape[-1], dtype=torch.float64))
        square += found.whiten(y.expand(len(shares), -1, -1, -1)).square().sum((1, 2, 3))
        volume += found.log_det.sum(1)
        count += y.numel()
    variance = square / count.clamp(min=1)
    log_likelihood = -0.5 * (count * (variance.log() + 1 + math.log(2 * math.pi)) + volume)
    return torch.where(variance > 0, log_likelihood, math.inf), variance
