r"""Adaptive schedule from data: the range with the most mutual information about a node's clean feature.

At each signal-to-noise ratio, the mutual information between a node's clean feature and the sum over its k
nearest noisy neighbours (`noisefold.noise.point_information`) is largest at some k = K. A supernode
represents N / s nodes and has r neighbours, so that message passing reaches r N / s nodes. With the edge
budget of all schedules, :math:`r s = r_1 N`, it reaches K where

.. math:: s = N \sqrt{r_1 / K}, \qquad r = r_1 N / s, \qquad r_1 \le K \le N .

For smooth fields K depends on the noise and on the density of the nodes only through the noise of the average
of all nodes: for N nodes in the same region, K / N is a function of :math:`\log(N\,\mathrm{SNR})`. The
schedule stores this function as a table. If the features have a nugget, an average reduces it as well, and
the table holds for graphs as dense as the data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.correlation import Function
from noisefold.geometry.correlation_fit import fit_correlation
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.variogram import variogram
from noisefold.nn.adaptive.schedule import Schedule, ends, range_at
from noisefold.noise.point_information import point_information

__all__ = ["Information"]

_GRAPHS = 8
_NODES = 128
_MEMBERS = 128
_LADDER = 48
_STEP = 0.5
_LEAST, _MOST = -8.0, 28.0  # of log(N SNR)


@configurable
@dataclass(frozen=True)
class Information(Schedule):
    """The range of maximal mutual information, from a table.

    Build it with `from_data` or `from_correlation`, or from a table.

    Parameters
    ----------
    log_snr
        Logarithm of the number of nodes times the signal-to-noise ratio, increasing.
    share
        The fraction K / N of the nodes that is most informative, at each; in [0, 1], non-increasing, 0 for
        the node itself alone. Linear interpolation between the points, constant beyond them.
    range
        Range r1 on clean data, which sets the budget; None for the cube root of N, rounded up.

    Raises
    ------
    ValueError
        If the table is not as described, or the range is below 1.

    Examples
    --------
    >>> schedule = Information((0.0, 8.0), (1.0, 0.0))
    >>> schedule(0.0, 400), schedule(1.0, 400)
    ((57, 57), (8, 400))
    """

    log_snr: tuple[float, ...]
    share: tuple[float, ...]
    range: int | None = None

    def __post_init__(self) -> None:
        if len(self.log_snr) != len(self.share) or not self.share:
            raise ValueError(
                f"log_snr and share must have the same length of at least 1, "
                f"got {len(self.log_snr)} and {len(self.share)}."
            )
        if not all(a < b for a, b in pairwise(self.log_snr)) or not all(map(math.isfinite, self.log_snr)):
            raise ValueError(f"log_snr must be finite and increase, got {self.log_snr}.")
        if not all(0 <= b <= a <= 1 for a, b in pairwise((1.0, *self.share))):
            raise ValueError(f"share must not increase, and lie in [0, 1], got {self.share}.")
        if self.range is not None and self.range < 1:
            raise ValueError(f"range must be at least 1, or None for the cube root of N, got {self.range}.")

    @classmethod
    def from_data(
        cls, data: Graphs, variable: str | None = None, *, range: int | None = None, seed: int = 0
    ) -> Information:
        """Estimate the correlation of a data set, and return its schedule.

        A correlation is fitted to the variogram (`noisefold.theory.variogram` and `fit_correlation`, which
        also return confidence intervals), and the information is evaluated at the data's positions.

        Parameters
        ----------
        data
            Graphs, in any units.
        variable
            "x" for features given positions, "pos" for positions; None for features if there are any.
        range
            Range r1 on clean data; None for the cube root of N.
        seed
            Seed of the subset of nodes and graphs.

        Raises
        ------
        ValueError
            If the data have no such variable, or too few nodes to estimate a correlation.
        """
        variable = variable or ("pos" if data.x is None else "x")
        fit = fit_correlation(variogram(data, variable, seed=seed))
        return cls.from_correlation(fit.correlation, data, range=range, seed=seed)

    @classmethod
    def from_correlation(
        cls, correlation: Function, data: Graphs, *, range: int | None = None, seed: int = 0
    ) -> Information:
        """Return the schedule of a known correlation at the positions of a data set.

        The information is averaged over 128 nodes of at most 8 graphs, and evaluated at 49 geometrically
        spaced numbers of neighbours; sums over more than 128 nodes are estimated from 128 of them.

        Parameters
        ----------
        correlation
            Function of distances, in the unit of the positions.
        data
            Graphs whose positions are used.
        range
            Range r1 on clean data; None for the cube root of N.
        seed
            Seed of the subset of nodes and graphs.

        Raises
        ------
        ValueError
            If no graph has two nodes.
        """
        generator = torch.Generator().manual_seed(seed)
        pick = torch.randperm(len(data), generator=generator)[:_GRAPHS].sort().values.tolist()
        clouds = [pos for pos in (data.pos[data.ptr[i] : data.ptr[i + 1]] for i in pick) if len(pos) > 1]
        if not clouds:
            raise ValueError(
                "data must have a graph of at least two nodes, got none; give graphs with neighbours."
            )
        exposure = torch.arange(_LEAST, _MOST + _STEP, _STEP, dtype=torch.float64)
        least = 1 / max(map(len, clouds))
        # One node, and from two nodes on a geometric ladder.
        ladder = torch.cat([torch.zeros(1), torch.logspace(math.log10(2 * least), 0, _LADDER)]).double()
        total = torch.zeros(len(exposure), len(ladder), dtype=torch.float64)
        for pos in clouds:
            n = len(pos)
            nodes = torch.randperm(n, generator=generator)[: max(1, _NODES // len(clouds))]
            counts = (ladder * n).round().long().clamp(min=1)
            told = point_information(
                correlation, pos, exposure.exp() / n, counts=counts, nodes=nodes, most=_MEMBERS
            )
            total += told.mean(0) / len(clouds)
        share = ladder[total.argmax(1)]
        # By theory K increases with the noise for every correlation; a finite sample may deviate slightly.
        share = share.flip(0).cummax(0).values.flip(0)
        rounded = [round(value, 6) for value in share.tolist()]
        return cls(*_shortened(exposure.tolist(), rounded), range=range)

    def levels(self, signal: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the range that keeps the budget, and the resolution by the table."""
        r1, s0 = ends(nodes, self.range)
        log_snr = 2 * torch.logit(signal) + nodes.double().log()
        reach = (_interpolate(log_snr, self.log_snr, self.share) * nodes).clamp(min=1)
        reach = torch.minimum(torch.maximum(reach, r1.double()), nodes.double())
        s = torch.round(nodes * (r1 / reach).sqrt()).long()
        # Where message passing reaches all nodes, s is the root of r1 N, which s0 rounds up.
        s = torch.minimum(torch.maximum(s, s0), nodes)
        return range_at(s, r1, s0, nodes), s


def _interpolate(at: Tensor, x: tuple[float, ...], y: tuple[float, ...]) -> Tensor:
    """Interpolate linearly between the points, constant beyond them, also at infinity."""
    xs, ys = (torch.tensor(v, dtype=torch.float64, device=at.device) for v in (x, y))
    if len(x) == 1:
        return ys[0].expand_as(at)
    at = at.clamp(x[0], x[-1])
    i = torch.searchsorted(xs, at.contiguous(), right=True).clamp(1, len(x) - 1)
    part = (at - xs[i - 1]) / (xs[i] - xs[i - 1])
    return ys[i - 1] + part * (ys[i] - ys[i - 1])


def _shortened(x: list[float], y: list[float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the same line without the inner points of constant stretches."""
    last = len(x) - 1
    turns = [
        i for i, value in enumerate(y) if (i > 0 and y[i - 1] != value) or (i < last and y[i + 1] != value)
    ] or [0]
    return tuple(x[i] for i in turns), tuple(y[i] for i in turns)
