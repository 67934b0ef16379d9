r"""Best resolution by noise level: Gromov-Wasserstein distance of coarse noisy shapes from clean ones.

A clean graph with values v (positions, or features) is noised, its nodes are gathered into s cells, and the
noisy values pooled. The Gromov-Wasserstein distance between the clean values and the pooled ones,

.. math:: \mathrm{GW} = \Big( \min_\pi \sum_{ijkl} \big( |v_i - v_j| - |w_k - w_l| \big)^2\,
    \pi_{ik}\, \pi_{jl} \Big)^{1/2},

over couplings of uniform nodes with cells weighted by their size, is invariant to shifts and
rotations. The best resolution at a level of noise is the s of the least distance.

The problem is not convex. Two descents start from the coupling of each node with its cell and from the
product, and the lower value is taken: an upper bound.

Source: Geometric Generative Modeling with Noise-Conditioned Graph Networks, section 3.2, figures 4 and 10,
https://arxiv.org/abs/2507.09391; Memoli, Gromov-Wasserstein distances and the metric approach to object
matching (2011), https://doi.org/10.1007/s10208-011-9093-5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from noisefold.geometry import Balanced, FarthestPoint, Graphs, KMeans, Scaling, Supernodes, Voxel
from noisefold.geometry.segment import segment_max, segment_mean
from noisefold.noise.source import Streams, derive_seed
from noisefold.progress import progress

__all__ = ["Resolution", "resolution"]

_Array = NDArray[np.float64]
_RESAMPLES = 1000
_ITERATIONS = 200


@dataclass(frozen=True, eq=False)
class Resolution:
    """Distances from the clean graphs, by signal level and number of cells.

    Parameters
    ----------
    signals
        Signal levels u, ``levels`` numbers.
    clusters
        Numbers of cells, ``sizes`` numbers.
    distance
        Gromov-Wasserstein distance in standard deviations of the data, ``[levels, sizes, graphs]``, float64.
    """

    signals: tuple[float, ...]
    clusters: tuple[int, ...]
    distance: Tensor

    @property
    def mean(self) -> Tensor:
        """Mean over the graphs, ``[levels, sizes]``."""
        return self.distance.mean(2)

    @property
    def error(self) -> Tensor:
        """Standard error of that mean, ``[levels, sizes]``; NaN for one graph."""
        return self.distance.std(2) / math.sqrt(self.distance.shape[2])

    def best(self, seed: int = 0) -> list[tuple[int, int, int]]:
        """Return the number of cells with the least mean distance at each level, and its 95 % interval.

        The interval is that of 1,000 bootstrap samples of the graphs, drawn by `seed`.
        """
        graphs = self.distance.shape[2]
        generator = torch.Generator().manual_seed(derive_seed(seed))
        draw = torch.randint(graphs, (_RESAMPLES, graphs), generator=generator)
        ends = torch.tensor([0.025, 0.975], dtype=torch.float64)
        clusters = torch.tensor(self.clusters, dtype=torch.float64)
        out = []
        for level in self.distance:
            least = clusters[level[:, draw].mean(2).argmin(0)]
            low, high = torch.quantile(least, ends, interpolation="nearest").long().tolist()
            out.append((self.clusters[int(level.mean(1).argmin())], low, high))
        return out


def resolution(
    graphs: Graphs,
    signals: Sequence[float],
    clusters: Sequence[int],
    *,
    variable: str = "pos",
    pooling: str = "mean",
    unit: bool = False,
    coarsening: Balanced | FarthestPoint | KMeans | Voxel | None = None,
    seed: int = 0,
) -> Resolution:
    r"""Measure the distance of noised, coarse-grained graphs from the clean ones.

    Each distance takes two descents, whose cost grows with the square of the number of nodes.

    Parameters
    ----------
    graphs
        Clean graphs, at most some 200 nodes each; standardised here, as a model does.
    signals
        Signal levels u in (0, 1].
    clusters
        Numbers s of cells, from 1 to the number of nodes.
    variable
        "pos": positions, with cells by the noisy ones; "x": features, with cells by the positions, which stay
        clean. Without features these are the displacements from the centre of the graph, as in the paper.
    pooling
        "mean" or "max" of the members of a cell, coordinate by coordinate.
    unit
        False, as in the paper: noise is added, :math:`v + \tfrac{1 - u}{u} \varepsilon`. True: the state has
        unit variance, as networks see it, :math:`(u v + (1 - u) \varepsilon) / \sqrt{u^2 + (1 - u)^2}`.
    coarsening
        Of `noisefold.geometry`; None for ``KMeans()``, as in the paper.
    seed
        Of the noise; each graph has its own, the same at all levels.

    Raises
    ------
    ValueError
        If an option is unknown or a number out of its range.
    """
    signals, clusters = tuple(signals), tuple(clusters)
    if variable not in ("pos", "x") or pooling not in ("mean", "max"):
        raise ValueError(
            f'variable must be "pos" or "x" and pooling "mean" or "max", got {variable!r} and {pooling!r}.'
        )
    if not signals or not all(0 < u <= 1 for u in signals):
        raise ValueError(f"signals must lie in (0, 1], 1 being clean, got {signals}.")
    least = int(graphs.sizes.min()) if len(graphs) else 0
    if not clusters or not all(1 <= s <= least for s in clusters):
        raise ValueError(
            f"clusters must lie in 1 .. {least}, the nodes of the smallest graph, got {clusters}."
        )
    pool = segment_mean if pooling == "mean" else segment_max
    rule = KMeans() if coarsening is None else coarsening
    data = Scaling.fit(graphs).apply(graphs).to(device="cpu", dtype=torch.float64)
    values = _values(data, variable)
    noise = Streams(seed, range(len(data))).normal(data.sizes, values.shape[1], values)
    out = torch.empty(len(signals), len(clusters), len(data), dtype=torch.float64)
    with progress("resolution", out.numel()) as advance:
        for i, u in enumerate(signals):
            state = values + (1 - u) / u * noise
            if unit:
                state = state * (u / math.hypot(u, 1 - u))
            for j, s in enumerate(clusters):
                cells = rule(state if variable == "pos" else data.pos, data.ptr, s)
                coarse = pool(state, cells.assignment, len(cells))
                for g in range(len(data)):
                    out[i, j, g] = _distance(data, values, cells, coarse, g)
                    advance(1, f"u = {u:g}")
    return Resolution(signals, clusters, out)


def _values(data: Graphs, variable: str) -> Tensor:
    if variable == "x" and data.x is not None:
        return data.x
    return data.pos - segment_mean(data.pos, data.batch, len(data))[data.batch]


def _distance(data: Graphs, values: Tensor, cells: Supernodes, coarse: Tensor, graph: int) -> float:
    from scipy.spatial.distance import cdist

    a, b = data.ptr[graph : graph + 2].tolist()
    c, d = cells.ptr[graph : graph + 2].tolist()
    clean, pooled = values[a:b].numpy(), coarse[c:d].numpy()
    member = cells.assignment[a:b].numpy() - c
    known = np.zeros((b - a, d - c))
    known[np.arange(b - a), member] = 1 / (b - a)
    return _gromov_wasserstein(cdist(clean, clean), cdist(pooled, pooled), known)


def _gromov_wasserstein(left: _Array, right: _Array, known: _Array) -> float:
    """Return the distance of spaces ``[n, n]`` and ``[m, m]`` under a coupling ``[n, m]``."""
    import ot  # costs a second to import

    weights = known.sum(1), known.sum(0)
    ends = [
        ot.gromov.gromov_wasserstein2(
            left, right, *weights, "square_loss", G0=start, max_iter=_ITERATIONS, symmetric=True
        )
        for start in (known, None)
    ]
    return math.sqrt(max(min(map(float, ends)), 0.0))
