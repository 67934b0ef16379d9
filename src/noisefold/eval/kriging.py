r"""Kriging: a Gaussian process over space (and time) for each feature, the baseline of geostatistics.

A feature is :math:`x(p) = \mu + s\, z(p)` with z a Gaussian process of covariance

.. math:: (1 - \eta)\, \rho(r / \ell) + \eta\, [p = p'], \qquad
    \rho(r) = (1 + \sqrt3\, r)\, e^{-\sqrt3\, r} \ \text{(Matern 3/2)} \quad\text{or}\quad e^{-r^2 / 2} ,

:math:`\eta` the nugget's share of the variance. The mean is that of the observed training values; s, l and
:math:`\eta` maximise the marginal likelihood of each feature on a grid, s in closed form; the ratios between
the axes, which all features share, are chosen first.

Source: Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), sections 2.2 and 5.4.1,
https://gaussianprocess.org/gpml/; Cressie, Statistics for Spatial Data (1993), section 3.2,
https://doi.org/10.1002/9781119115151.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from noisefold.eval.baselines import Baseline, PredictiveDistribution, entries, moments, normals, patterns
from noisefold.eval.field_metrics import aligned
from noisefold.geometry import Graphs, Matern, SquaredExponential
from noisefold.geometry.correlation import Correlation
from noisefold.geometry.gp import condition, eigh, factor
from noisefold.geometry.kernels import distances

__all__ = ["Kriging"]

_KERNELS: dict[str, Correlation] = {"matern": Matern(1.0, 1.5), "squared": SquaredExponential(1.0)}
_NUGGETS = torch.tensor(
    [
        1e-6,
        1e-5,
        1e-4,
        1e-3,
        0.003,
        0.01,
        0.02,
        0.05,
        *[k / 10 for k in range(1, 10)],
        0.93,
        0.96,
        0.98,
        0.999,
    ],
    dtype=torch.float64,
)
_LENGTHS, _RATIOS = 14, (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
_GRAPHS, _FEW = 16, 192
_CHUNK = 2048
_JITTER = 1e-10
_Solve = Callable[[float, float, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Kriging(Baseline):
    """A Gaussian process over space for each feature, fitted by marginal likelihood.

    Up to `limit` observed and unobserved nodes draws are exact and joint over the nodes of a graph. Beyond,
    each node is conditioned on its nearest observed nodes, and draws of different nodes are independent: they
    have the right marginals, but are rougher in space than they should be.

    Parameters
    ----------
    kernel
        "matern" or "squared".
    neighbours
        Observed nodes that a node is conditioned on, where there are more than `limit` nodes.
    limit
        Number of nodes up to which draws are joint.
    sample
        Largest number of nodes of a graph in the likelihood (a quarter of it where features are observed at
        many different sets of nodes); of at most 16 graphs.
    ratios
        Whether axes may differ in their length-scales, by up to 8 times.
    seed
        Seed of the choice of these nodes.
    """

    kernel: str = "matern"
    neighbours: int = 32
    limit: int = 2000
    sample: int = 512
    ratios: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kernel not in _KERNELS:
            raise ValueError(f"kernel must be one of {', '.join(_KERNELS)}, got {self.kernel!r}.")
        if min(self.neighbours, self.limit) < 1 or self.sample < 8:
            raise ValueError("neighbours and limit must be at least 1, and sample at least 8.")

    def fit(self, train: Graphs, known: Tensor | None = None) -> PredictiveDistribution:
        """Estimate mean, standard deviation, length-scale and nugget of each feature."""
        values, mask = entries(train, known)
        mean, spread = moments(values, mask)
        unit = (values.double() - mean) / torch.where(spread > 0, spread, 1.0)
        blocks = list(self._blocks(train, unit, mask))
        features, dim = values.shape[1], train.dim
        axes = torch.ones(dim, dtype=torch.float64)
        lengths = _length_grid(blocks)
        if self.ratios and dim > 1:
            small = [(pos[:_FEW], y[:_FEW], at) for pos, y, at in blocks[:4]]
            for axis in range(dim):
                trials = [axes.index_fill(0, torch.tensor(axis), r) for r in _RATIOS]
                found = [self._likelihood(small, t, lengths, features)[0] for t in trials]
                best = [float(f.flatten(1).amax(1).sum()) for f in found]
                axes = trials[best.index(max(best))]
        fit, scale = self._likelihood(blocks, axes, lengths, features)
        choice = fit.flatten(1).argmax(1)
        variance = scale.flatten(1).gather(1, choice[:, None])[:, 0]
        at, nugget = choice // len(_NUGGETS), choice % len(_NUGGETS)
        return _Kriging(self, mean, spread * variance.sqrt(), axes, lengths[at], _NUGGETS[nugget])

    def _blocks(self, train: Graphs, unit: Tensor, mask: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield positions ``[s, d]``, values ``[s, c]`` and features ``[c]`` observed at the same nodes."""
        generator = torch.Generator().manual_seed(self.seed)
        for pos, rows, items in _items(train, mask, _GRAPHS):
            most = self.sample if len(items) <= 8 else self.sample // 4
            for columns, there in items:
                nodes = there.nonzero().view(-1)
                nodes = nodes[torch.randperm(len(nodes), generator=generator)[:most]]
                graph, feature = columns // unit.shape[1], columns % unit.shape[1]
                if len(nodes) > 1:
                    yield pos[nodes], unit[rows[graph][:, nodes].T, feature], feature

    def _likelihood(
        self, blocks: list[tuple[Tensor, Tensor, Tensor]], axes: Tensor, lengths: Tensor, features: int
    ) -> tuple[Tensor, Tensor]:
        """Return the evidence at the best variance, up to a constant, and that variance.

        ``[f, lengths, nuggets]`` each, as `noisefold.geometry.evidence` says it, but from one decomposition
        for all nuggets.
        """
        shape = (features, len(lengths), len(_NUGGETS))
        square, determinant = torch.zeros(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.float64)
        count = torch.zeros(features, dtype=torch.float64)
        rho = _KERNELS[self.kernel]
        for pos, y, feature in blocks:
            gap = distances(pos * axes, pos * axes)
            count.index_add_(0, feature, torch.full((len(feature),), float(len(pos)), dtype=torch.float64))
            for i, length in enumerate(lengths):
                value, vector = eigh(rho(gap / length))
                mixed = (1 - _NUGGETS) * value.clamp(min=0)[:, None] + _NUGGETS
                square[:, i].index_add_(0, feature, (vector.T @ y).square().T @ (1 / mixed))
                determinant[:, i].index_add_(0, feature, mixed.log().sum(0).expand(len(feature), -1))
        n = count.clamp(min=1)[:, None, None]
        variance = (square / n).clamp(min=1e-12)
        return -(n * variance.log() + determinant) / 2, variance


def _length_grid(blocks: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """Return length-scales from half the distance of neighbours to twice the extent."""
    near, far = [], []
    for pos, _, _ in blocks[:8]:
        gap = distances(pos[:256], pos)
        positive = torch.where(gap > 0, gap, math.inf).amin(1)
        near.append(positive[positive.isfinite()])
        far.append(gap.amax())
    short = torch.cat(near) if near else torch.ones(0)
    if short.numel() == 0:
        raise ValueError("known must hold a feature at two positions or more; take another baseline.")
    ends = math.log10(float(short.median()) / 2), math.log10(2 * float(torch.stack(far).max()))
    return torch.logspace(*ends, _LENGTHS, dtype=torch.float64)


def _items(
    graphs: Graphs, mask: Tensor, most: int | None = None
) -> Iterator[tuple[Tensor, Tensor, list[tuple[Tensor, Tensor]]]]:
    """Yield positions ``[n, d]``, rows ``[g, n]`` of the graphs there, and columns by observed nodes.

    A column is one feature of one graph, number graph f + feature; those that are observed at the same nodes
    come together with the mask ``[n]`` of these.
    """
    pos, f = graphs.pos.detach().cpu().double(), mask.shape[1]
    number = len(graphs) if most is None else min(most, len(graphs))
    if aligned(graphs):
        n = graphs.uniform or 0
        groups = [torch.arange(number * n).view(number, n)]
    else:
        ends = graphs.ptr.tolist()
        groups = [torch.arange(a, b)[None] for a, b in pairwise(ends[: number + 1])]
    for rows in groups:
        if rows.numel():
            yield pos[rows[0]], rows, patterns(mask[rows].transpose(1, 2).reshape(len(rows) * f, -1))


@dataclass(frozen=True, eq=False)
class _Kriging(PredictiveDistribution):
    """`scale`, `length` and `nugget` of each feature, ``[f]``, and factors of the coordinates, ``[d]``."""

    settings: Kriging
    mean: Tensor
    scale: Tensor
    axes: Tensor
    length: Tensor
    nugget: Tensor

    def _draw(self, graphs: Graphs, values: Tensor, mask: Tensor, draws: int, seed: int) -> Tensor:
        features = len(self.mean)
        if values.shape[1] != features or graphs.dim != len(self.axes):
            raise ValueError(
                f"the graphs must have {features} features in {len(self.axes)} dimensions, got {graphs!r}."
            )
        out = normals(graphs, features, draws, seed)
        unit = (values.double() - self.mean) / torch.where(self.scale > 0, self.scale, 1.0)
        kernels, kernel = torch.stack([self.length, self.nugget], 1).unique(dim=0, return_inverse=True)
        for pos, rows, items in _items(graphs, mask):
            for columns, there in items:
                known, target = there.nonzero().view(-1), (~there).nonzero().view(-1)
                if len(target) == 0:
                    continue
                solve = self._solver(pos * self.axes, known, target)
                feature = columns % features
                for kind in kernel[feature].unique().tolist():
                    mine = columns[kernel[feature] == kind]
                    graph, which = mine // features, mine % features
                    length, nugget = kernels[kind].tolist()
                    mean, spread = solve(length, nugget, unit[rows[graph][:, known].T, which])
                    place = rows[graph][:, target].T
                    noise = out[:, place, which].double()
                    noise = spread @ noise if spread.ndim == 2 else spread[:, None] * noise
                    drawn = self.mean[which] + self.scale[which] * (mean + noise)
                    out[:, place, which] = drawn.to(out.dtype)
        return out

    def _solver(self, pos: Tensor, known: Tensor, target: Tensor) -> _Solve:
        """Return the posterior as a function of length, nugget and observed values ``[k, c]``.

        It gives the mean ``[u, c]`` and a root ``[u, u]`` of the covariance, or standard deviations ``[u]``
        where nodes are taken one by one.
        """
        rho, limit = _KERNELS[self.settings.kernel], self.settings.limit
        if max(len(known), len(target)) > limit:
            return self._local(pos, known, target)
        kk, ku, uu = (
            distances(pos[a], pos[b]) for a, b in ((known, known), (known, target), (target, target))
        )

        def solve(length: float, nugget: float, values: Tensor) -> tuple[Tensor, Tensor]:
            def covariance(gap: Tensor) -> Tensor:
                return (1 - nugget) * rho(gap / length)

            def own(gap: Tensor) -> Tensor:
                return covariance(gap) + nugget * torch.eye(len(gap), dtype=gap.dtype)

            found = condition(factor(own(kk), _JITTER, scale=1.0), covariance(ku))
            return found.mean(values), factor(found.covariance(own(uu)), _JITTER, scale=1.0).lower

        return solve

    def _local(self, pos: Tensor, known: Tensor, target: Tensor) -> _Solve:
        rho, k = _KERNELS[self.settings.kernel], min(self.settings.neighbours, len(known))
        if k == 0:
            ones = torch.ones(len(target), dtype=pos.dtype)
            return lambda _length, _nugget, values: (values.new_zeros(len(target), values.shape[1]), ones)
        found = cKDTree(pos[known].numpy()).query(pos[target].numpy(), k=[*range(1, k + 1)])
        near, far = torch.from_numpy(found[1]), torch.from_numpy(found[0])

        def solve(length: float, nugget: float, values: Tensor) -> tuple[Tensor, Tensor]:
            weights, spreads = [], []
            for index, gap in zip(near.split(_CHUNK), far.split(_CHUNK), strict=True):
                place = pos[known[index]]
                inner = (1 - nugget) * rho(distances(place, place) / length)
                inner.diagonal(dim1=1, dim2=2).add_(nugget)
                across = (1 - nugget) * rho(gap / length)
                weight = factor(inner, _JITTER, scale=1.0).solve(across[..., None])[..., 0]
                weights.append(weight)
                spreads.append((1 - (weight * across).sum(1)).clamp(min=0).sqrt())
            weight = torch.cat(weights)
            # One neighbour at a time, so that no table of all neighbours of all features is made.
            mean = sum((weight[:, i, None] * values[near[:, i]] for i in range(k)), values.new_zeros(()))
            return mean, torch.cat(spreads)

        return solve
