r"""PolyGraph discrepancy: how well a classifier tells generated graphs from real ones.

For any classifier D with values in (0, 1), the Jensen-Shannon divergence of two distributions, in bits, obeys

.. math:: \mathrm{JSD}(P, Q) \ge 1 + \tfrac12 E_P \log_2 D + \tfrac12 E_Q \log_2 (1 - D),

so that a classifier judged on graphs it was not fitted to gives a lower bound, and
:math:`\sqrt{\mathrm{JSD}}`, the Jensen-Shannon distance, lies in [0, 1] whatever the statistics. Each set is
divided at random into a half to fit and a half to judge. A classifier is fitted for each statistic of
`noisefold.eval.STATISTICS`; the one that does best in two-fold cross-validation within the first half is
judged on the second. The bound is averaged over several divisions.

The classifier is logistic regression with a quadratic penalty of 1/2, on the 8 leading principal components
of the statistic, of both sets and scaled to unit variance (orbit counts as log(1 + count)). It is weaker than
the one of the source (TabPFN), so that numbers of the two do not compare.

Source: Krimmel et al., PolyGraph Discrepancy: a classifier-based metric for graph generation, 2025,
https://arxiv.org/abs/2510.06122.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from noisefold.eval.graph_metrics import STATISTICS, descriptors
from noisefold.eval.graph_statistics import GraphStatistics
from noisefold.geometry import Graphs
from noisefold.geometry.gp import eigh, factor

__all__ = ["Components", "polygraph_discrepancy"]

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
_COMPONENTS, _SPLITS, _STEPS, _LEAST = 8, 8, 8, 8


def polygraph_discrepancy(a: Graphs, b: Graphs, *, seed: int = 0) -> float:
    """Return a lower bound of the Jensen-Shannon distance of two sets of graphs, in [0, 1].

    Parameters
    ----------
    a, b
        At least 8 graphs each; of the larger set as many are taken, at random, as the smaller one has.
    seed
        Of that choice, and of the halves.

    Raises
    ------
    ValueError
        If there are fewer graphs, or a graph has no nodes.
    """
    components = Components.of(GraphStatistics(a), GraphStatistics(b))
    rng = np.random.default_rng(seed)
    size = min(len(a), len(b))
    if size < _LEAST:
        raise ValueError(f"a and b must hold at least {_LEAST} graphs, got {len(a)} and {len(b)}.")
    return components.discrepancy(rng.permutation(len(a))[:size], rng.permutation(len(b))[:size], rng)


@dataclass(frozen=True, eq=False)
class Components:
    """Principal components of each statistic of two sets, ``[statistics, g, c]``, scaled to variance 1."""

    a: Array
    b: Array

    @classmethod
    def of(cls, a: GraphStatistics, b: GraphStatistics, statistics: Sequence[str] = STATISTICS) -> Components:
        """Return the components of two sets together."""
        parts = [_components(a, b, name) for name in statistics]
        return cls(*(np.stack([part[k] for part in parts]) for k in (0, 1)))

    def discrepancy(self, rows_a: Rows, rows_b: Rows, rng: np.random.Generator) -> float:
        """Return the bound for some members of each set, equally many of both, at least 8."""
        m = len(rows_a)
        x = np.concatenate([self.a[:, rows_a], self.b[:, rows_b]], axis=1)
        sign = np.repeat([1.0, -1.0], m)
        # The place of each graph in a random order of its set: the first half is fitted to, in two folds.
        place = rng.permuted(np.tile(np.arange(m), (2 * _SPLITS, 1)), axis=1).reshape(_SPLITS, 2 * m)
        fit, fold = place < m // 2, place % 2 == 0
        use = np.stack([fit & fold, fit & ~fold, fit])
        score = _logistic(x, sign, use.reshape(-1, 2 * m).astype(np.float64))
        gain = -np.logaddexp(0.0, -score * sign) / np.log(2.0)
        gain = gain.reshape(len(x), 3, _SPLITS, 2 * m)
        crossed = (gain[:, 0] * use[1] + gain[:, 1] * use[0]).sum(2)
        best = gain[crossed.argmax(0), 2, np.arange(_SPLITS)]
        bound = 1 + float(best[~fit].mean())
        return float(np.sqrt(max(bound, 0.0)))


def _components(a: GraphStatistics, b: GraphStatistics, name: str) -> tuple[Array, Array]:
    values = [descriptors(g, name) for g in (a, b)]
    if name == "orbit":
        values = [np.log1p(v) for v in values]
    width = max(v.shape[1] for v in values)
    pooled = np.concatenate([np.pad(v, ((0, 0), (0, width - v.shape[1]))) for v in values])
    pooled -= pooled.mean(0)
    variances, axes = (v.numpy() for v in eigh(torch.from_numpy(pooled.T @ pooled)))
    variances, axes = variances[::-1][:_COMPONENTS], axes[:, ::-1][:, :_COMPONENTS]
    kept = variances > 1e-12 * max(float(variances[0]), 1e-30)
    scale = np.where(kept, np.sqrt(len(pooled) / np.where(kept, variances, 1.0)), 0.0)
    out = np.zeros((len(pooled), _COMPONENTS))
    out[:, : len(scale)] = pooled @ axes * scale
    return out[: len(a)], out[len(a) :]


def _logistic(x: Array, sign: Array, use: Array) -> Array:
    """Scores of every row by logistic regressions fitted to the rows in use, by Newton's method.

    Shapes: x ``[s, m, c]``, sign ``[m]``, use ``[k, m]``; scores ``[s, k, m]``.
    """
    x = np.concatenate([x, np.ones((*x.shape[:2], 1))], axis=2)
    s, m, c = x.shape
    squares = (x[..., :, None] * x[..., None, :]).reshape(s, m, c * c)
    penalty = np.ones(c)
    penalty[-1] = 1e-6
    weights = np.zeros((s, len(use), c))
    for _ in range(_STEPS):
        margin = sign * (weights @ x.mT)
        wrong = use / (1 + np.exp(np.clip(margin, -30, 30)))
        gradient = penalty * weights - (wrong * sign) @ x
        hessian = ((wrong * (1 - wrong)) @ squares).reshape(s, len(use), c, c) + np.diag(penalty)
        step = factor(torch.from_numpy(hessian)).solve(torch.from_numpy(gradient[..., None]))
        weights = weights - step[..., 0].numpy()
    return np.asarray(weights @ x.mT)
