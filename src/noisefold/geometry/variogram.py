r"""The empirical variogram: how much two values of a data set differ, by their distance.

The variogram is half the mean squared difference of two values at distance h, in units of the variance of all
values,

.. math:: \gamma(h) = \frac{\mathrm{mean}_{|\eta_i - \eta_j| \approx h}\, (x_i - x_j)^2}{2 \sigma^2}
    = 1 - \rho(h),

over pairs within a graph, with the variance over all graphs, by which a model standardises its data.
Intervals are those of a delete-a-group jackknife: groups are whole graphs or, where there are few graphs,
patches of space, and both ends of a pair must be kept.

**Positions as features.** Where positions are noised, x is a node's displacement from the centre of its
graph, and :math:`\gamma(h) = h^2 / (2 d \sigma^2)` for every shape: the paper's :math:`\rho = 1 - h^2`,
which is not positive definite at any size. The nearest correlation can be fitted to it.

Source: Matheron, Principles of geostatistics (1963), https://doi.org/10.2113/gsecongeo.58.8.1246.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from noisefold.geometry.coarsen import Balanced
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.kernels import distances
from noisefold.geometry.segment import segment_mean

__all__ = ["Variogram", "half_width", "variogram"]

_BLOCK = 1 << 21
_GROUPS = 20
_FEWEST_PAIRS = 30


@dataclass(frozen=True, eq=False)
class Variogram:
    """A variogram with its intervals.

    Parameters
    ----------
    distance
        Mean distance of the pairs of each bin, ``[b]``, in the unit of the positions.
    value
        1 less the correlation, ``[b]``; 0 for equal values, 1 for unrelated ones.
    low, high
        95 % interval, ``[b]``.
    pairs
        Number of pairs, ``[b]``.
    replicates
        The value without each of the jackknife's groups, ``[groups, b]``.
    """

    distance: Tensor
    value: Tensor
    low: Tensor
    high: Tensor
    pairs: Tensor
    replicates: Tensor


def variogram(
    graphs: Graphs,
    variable: str = "x",
    *,
    feature: int | None = None,
    bins: int = 16,
    reach: float | None = None,
    centres: int = 512,
    seed: int = 0,
) -> Variogram:
    """Return the variogram of the features, or of the positions as features, pooled or of one.

    Parameters
    ----------
    graphs
        The data.
    variable
        "x" for the features, each in units of its own variance; "pos" for displacements from the mean of the
        graph, in units of the variance of all coordinates.
    feature
        Column to look at alone; None for the mean over all, leaving out constant ones.
    bins
        Number of bins, in equal ratios of the distance from that of neighbours on; bins with less than 30
        pairs are left out.
    reach
        Largest distance; None for half of the largest of a typical graph.
    centres
        Nodes, drawn at random, whose distances to all nodes of their graph are taken.
    seed
        Of that draw.

    Raises
    ------
    ValueError
        If there is nothing to look at: no such values, none that varies, or too few pairs.
    """
    values = _values(graphs, variable, feature)
    values = values - values.mean(0)
    pos = graphs.pos.detach().double()
    if not bool(values.isfinite().all()) or not bool(pos.isfinite().all()):
        raise ValueError("the data hold NaN or infinite values; remove those nodes first.")
    group = _groups(graphs)
    centre = _draw(graphs, centres, seed)
    edges = _edges(graphs, pos, centre, bins, reach)
    count, distance, square = _pair_sums(graphs, pos, values, group, centre, edges)
    total, kept = _without(count), count.sum((0, 1)) >= _FEWEST_PAIRS
    kept &= (total > 0).all(0)
    if int(kept.sum()) < 4:
        raise ValueError(
            f"only {int(kept.sum())} of {bins} bins of distance have {_FEWEST_PAIRS} pairs of nodes in every "
            "part of the data; give more nodes, or fewer bins."
        )
    variance = _variances(values, group)
    gamma = square.sum((0, 1)) / count.sum((0, 1)) / (2 * variance[-1])
    replicates = _without(square) / total / (2 * variance[:-1, None])
    error = half_width(replicates[:, kept])
    middle = gamma[kept]
    return Variogram(
        (distance.sum((0, 1)) / count.sum((0, 1)))[kept],
        middle,
        (middle - error).clamp(min=0),
        middle + error,
        count.sum((0, 1))[kept].long(),
        replicates[:, kept],
    )


def _values(graphs: Graphs, variable: str, feature: int | None) -> Tensor:
    """Values ``[n, c]`` in float64, scaled so that the mean over the columns has one variance to share."""
    if variable not in ("x", "pos"):
        raise ValueError(f'variable must be "x" or "pos", got {variable!r}.')
    if variable == "pos":
        pos = graphs.pos.detach().double()
        values = pos - segment_mean(pos, graphs.batch, len(graphs))[graphs.batch]
    elif graphs.x is None:
        raise ValueError('the data have no features x; variable="pos" looks at positions.')
    else:
        values = graphs.x.detach().double()
    if feature is not None:
        if not 0 <= feature < values.shape[1]:
            raise ValueError(f"feature must lie in 0 .. {values.shape[1] - 1}, got {feature}.")
        values = values[:, feature : feature + 1]
    spread = values.std(0, correction=0)
    values = values[:, spread > 0]
    if values.shape[1] == 0:
        raise ValueError("every value is constant; a variogram needs at least one that varies.")
    return values if variable == "pos" else values / spread[spread > 0]


def _groups(graphs: Graphs) -> Tensor:
    """The jackknife's group of each node: whole graphs where there are enough, else patches of space."""
    if len(graphs) >= _GROUPS:
        return graphs.batch * _GROUPS // len(graphs)
    parts = -(-_GROUPS // len(graphs))
    cells = Balanced()(graphs.pos.detach(), graphs.ptr, parts)
    return cells.assignment


def _draw(graphs: Graphs, centres: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(graphs.num_nodes, generator=generator)[:centres].sort().values


def _edges(graphs: Graphs, pos: Tensor, centre: Tensor, bins: int, reach: float | None) -> Tensor:
    """Edges ``[bins + 1]`` of the bins, from 0 on."""
    if bins < 4:
        raise ValueError(f"bins must be at least 4, got {bins}.")
    nearest, farthest = [], []
    batch = graphs.batch
    for i in centre[:: max(1, len(centre) // 64)].tolist():
        a, b = graphs.ptr[batch[i]], graphs.ptr[batch[i] + 1]
        gap = (pos[a:b] - pos[i]).norm(dim=1)
        gap = gap[gap > 0]
        if len(gap):
            nearest.append(gap.min())
            farthest.append(gap.max())
    if not nearest:
        raise ValueError("no graph has two nodes at different places; a variogram needs pairs.")
    high = float(torch.stack(farthest).median()) / 2 if reach is None else reach
    low = min(float(torch.stack(nearest).median()), high / 2)
    if not 0 < high < math.inf:
        raise ValueError(f"reach must be positive and finite, got {reach}.")
    steps = torch.logspace(math.log10(low), math.log10(high), bins, dtype=torch.float64)
    return torch.cat([steps.new_zeros(1), steps])


def _pair_sums(
    graphs: Graphs, pos: Tensor, values: Tensor, group: Tensor, centre: Tensor, edges: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Number of pairs, sums of distances and of mean squared differences, ``[groups, groups, bins]`` each."""
    groups, bins = int(group.max()) + 1, len(edges) - 1
    out = torch.zeros(3, groups * groups * bins, dtype=torch.float64)
    batch = graphs.batch
    for graph in batch[centre].unique().tolist():
        a, b = int(graphs.ptr[graph]), int(graphs.ptr[graph + 1])
        mine = centre[(centre >= a) & (centre < b)]
        for part in mine.split(max(1, _BLOCK // (b - a))):
            gap = distances(pos[part], pos[a:b])
            unlike = torch.cdist(values[part], values[a:b]).square() / values.shape[1]
            inside = gap <= edges[-1]
            inside[torch.arange(len(part)), part - a] = False
            bin_ = torch.bucketize(gap[inside], edges[1:]).clamp(max=bins - 1)
            pair = (group[part][:, None] * groups + group[a:b])[inside] * bins + bin_
            out[0].index_add_(0, pair, torch.ones_like(gap[inside]))
            out[1].index_add_(0, pair, gap[inside])
            out[2].index_add_(0, pair, unlike[inside])
    count, distance, square = out.view(3, groups, groups, bins)
    return count, distance, square


def _without(sums: Tensor) -> Tensor:
    """Sums over the pairs that have no end in a group, ``[groups, groups, b] -> [groups, b]``."""
    own = sums.diagonal(dim1=0, dim2=1).T
    return sums.sum((0, 1)) - sums.sum(1) - sums.sum(0) + own


def _variances(values: Tensor, group: Tensor) -> Tensor:
    """Mean variance of the columns without each group, then with all, ``[groups + 1]``."""
    groups = int(group.max()) + 1
    count = torch.bincount(group, minlength=groups).double()
    first = values.new_zeros(groups, values.shape[1]).index_add_(0, group, values)
    second = values.new_zeros(groups, values.shape[1]).index_add_(0, group, values.square())

    def rest(sums: Tensor) -> Tensor:
        return torch.cat([sums.sum(0) - sums, sums.sum(0, keepdim=True)])

    n = rest(count)[:, None]
    return (rest(second) / n - (rest(first) / n).square()).mean(1)


def half_width(replicates: Tensor) -> Tensor:
    """Half-width of the 95 % interval of each column of ``[groups, b]``."""

    groups = len(replicates)
    spread = replicates.var(0, correction=0) * (groups - 1)
    from scipy.special import stdtrit  # the quantile of Student's t; scipy.stats takes a second to import

    return spread.sqrt() * float(stdtrit(groups - 1, 0.975))
