r"""Is a posterior's spread right? How often its intervals hold the truth, and where in it the truth lies.

If the truth is one more draw from the law of the m draws, its place p among them
(`noisefold.eval.scoring_rules`) is uniform in (0, 1). A central interval of probability L then holds it where
:math:`|p - 1/2| \le L / 2`, which is in a share L of cases. Values of one graph, or near each other, go wrong
together, and counting them as independent would make intervals far too narrow. So these come from leaving out
one block at a time (jackknife), where a block is a graph, or a region where there are few graphs:

.. math:: s^2 = \frac{B - 1}{B} \sum_b (\theta_{-b} - \bar\theta)^2 .

Sources: Gneiting, Balabdaoui and Raftery, *Probabilistic forecasts, calibration and sharpness* (2007);
Hamill, *Interpretation of rank histograms* (2001).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, MultipleLocator, PercentFormatter
from torch import Tensor

from noisefold.eval.scoring_rules import ranks_of
from noisefold.geometry.coarsen import Balanced
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.variogram import half_width
from noisefold.report.fields import Numbers, numbers
from noisefold.report.sheet import LIGHT, Paper, dressed

__all__ = ["Calibration", "calibration_plot"]

_BLOCKS, _PARTS = 20, 20


@dataclass(frozen=True, eq=False)
class Calibration:
    """Places of held-out truths among posterior draws, counted by block.

    Parameters
    ----------
    counts
        How many truths of each block lie in each of 20 equal parts of the draws' order, ``[blocks, 20]``.
    """

    counts: Tensor

    @classmethod
    def of(cls, draws: Tensor, truth: Tensor, known: Tensor, graphs: Graphs, seed: int = 0) -> Calibration:
        """Place what was held out among the draws.

        Parameters
        ----------
        draws
            Posterior draws, ``[m, n, f]``.
        truth
            Values, ``[n, f]``; NaN where nobody knows them.
        known
            What was given and does not count, ``[n, f]``, bool.
        graphs
            The graphs whose nodes these are. Of fewer than 20, regions of neighbouring nodes are the blocks.
        seed
            Of the order among equal values.

        Raises
        ------
        ValueError
            If shapes do not fit, or nothing was held out.
        """
        shape = (graphs.num_nodes, truth.shape[-1])
        if draws.ndim != 3 or any(tuple(t.shape) != shape for t in (draws[0], truth, known)):
            shapes = f"{list(draws.shape)}, {list(truth.shape)} and {list(known.shape)}"
            raise ValueError(
                f"draws, truth and known must be [m, n, f], [n, f] and [n, f], n = {shape[0]}; got {shapes}."
            )
        row, column = (~known & truth.isfinite()).cpu().nonzero(as_tuple=True)
        if len(row) == 0:
            raise ValueError("known must leave out at least one value whose truth is known, but none is.")
        place = ranks_of(draws.cpu()[:, row, column], truth.cpu()[row, column], seed)
        part = (place * _PARTS).long().clamp(max=_PARTS - 1)
        block = _blocks(graphs)[row]
        counts = torch.bincount(block * _PARTS + part, minlength=(int(block.max()) + 1) * _PARTS)
        counts = counts.view(-1, _PARTS).double()
        return cls(counts[counts.sum(1) > 0])

    @property
    def values(self) -> int:
        """How many truths were placed."""
        return int(self.counts.sum())

    @property
    def nominal(self) -> Numbers:
        """Probabilities of intervals, 0.1, 0.2 .. 1."""
        return np.arange(1, _PARTS // 2 + 1) / (_PARTS / 2)

    @property
    def observed(self) -> Numbers:
        """Share of truths within each of these intervals."""
        return numbers(_inside(self.counts.sum(0)))

    @property
    def band(self) -> tuple[Numbers, Numbers]:
        """Ends of the 95 % intervals of `observed`; NaN with fewer than two blocks."""
        reach = self._reach(_inside(self._without()))
        return np.clip(self.observed - reach, 0, 1), np.clip(self.observed + reach, 0, 1)

    def histogram(self, bins: int = 10) -> tuple[Numbers, Numbers]:
        """Share of truths in equal parts of the draws' order, and half-widths of their 95 % intervals.

        Raises
        ------
        ValueError
            If 20 is not a multiple of the number of parts.
        """
        if bins < 1 or _PARTS % bins:
            raise ValueError(f"bins must divide {_PARTS}, got {bins}.")
        whole, without = (
            t.unflatten(-1, (bins, -1)).sum(-1) / t.sum(-1, keepdim=True)
            for t in (self.counts.sum(0), self._without())
        )
        return numbers(whole), self._reach(without)

    def _without(self) -> Tensor:
        return self.counts.sum(0) - self.counts

    def _reach(self, without: Tensor) -> Numbers:
        if len(without) < 2:
            return np.full(without.shape[-1], np.nan)
        return numbers(half_width(without))


def _inside(counts: Tensor) -> Tensor:
    """Share within the central interval of each width, ``[..., 10]``, from counts ``[..., 20]``."""
    half = _PARTS // 2
    folded = counts[..., :half].flip(-1) + counts[..., half:]
    return folded.cumsum(-1) / counts.sum(-1, keepdim=True)


def _blocks(graphs: Graphs) -> Tensor:
    """Block of each node, ``[n]``: its graph, or a region of it."""
    if len(graphs) >= _BLOCKS:
        return graphs.batch.cpu()
    return Balanced()(graphs.pos.cpu(), graphs.ptr.cpu(), -(-_BLOCKS // len(graphs))).assignment


def calibration_plot(calibration: Calibration, *, paper: Paper = LIGHT) -> Figure:
    """Nominal against observed coverage with its 95 % band, and the rank histogram.

    Parameters
    ----------
    calibration
        Ranks of what was held out.
    paper
        Colours of the figure.
    """
    figure = Figure(figsize=(8.0, 3.4), dpi=140, facecolor=paper.ground)
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _curve(left, calibration, paper)
    _bars(right, calibration, paper)
    figure.tight_layout(w_pad=3)
    return figure


def _curve(axes: Axes, calibration: Calibration, paper: Paper) -> None:
    nominal, (low, high) = calibration.nominal, calibration.band
    axes.plot([0, 1], [0, 1], color=paper.faint, linewidth=1, linestyle="--", label="exact")
    axes.fill_between(nominal, low, high, color=paper.first, alpha=0.22, linewidth=0, label="95 % interval")
    axes.plot(nominal, calibration.observed, "o-", color=paper.first, markersize=3, label="observed")
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set_xlabel("probability of the interval", fontsize=8.5, color=paper.ink)
    axes.set_ylabel("held-out values inside", fontsize=8.5, color=paper.ink)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MultipleLocator(0.25))
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.text(0.03, 0.66, "too wide", transform=axes.transAxes, fontsize=7.5, color=paper.faint)
    axes.text(0.97, 0.30, "too narrow", transform=axes.transAxes, fontsize=7.5, color=paper.faint, ha="right")
    dressed(axes, paper)
    axes.legend(frameon=False, fontsize=7.5, labelcolor=paper.ink, loc="upper left")


def _bars(axes: Axes, calibration: Calibration, paper: Paper) -> None:
    shares, reach = calibration.histogram()
    bins = len(shares)
    middle = (np.arange(bins) + 0.5) / bins
    axes.bar(middle, shares, width=0.92 / bins, color=paper.first, alpha=0.55, label="observed")
    if np.isfinite(reach).all():
        below = np.minimum(reach, shares)
        axes.errorbar(
            middle, shares, [below, reach], fmt="none", ecolor=paper.ink, elinewidth=1, label="95 % interval"
        )
    axes.axhline(1 / bins, color=paper.faint, linestyle="--", linewidth=1, label="exact")
    top = float(np.nan_to_num(shares + np.nan_to_num(reach)).max())
    axes.set(xlim=(0, 1), ylim=(0, max(1.45 * top, 1.8 / bins)))
    axes.set_xlabel("truth among the draws (0 below all, 1 above all)", fontsize=8.5)
    axes.xaxis.label.set_color(paper.ink)
    axes.set_ylabel("share of held-out values", fontsize=8.5, color=paper.ink)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    dressed(axes, paper)
    axes.legend(frameon=False, fontsize=7.5, labelcolor=paper.ink, loc="upper center", ncols=3)
