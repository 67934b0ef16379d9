r"""Calibration of posterior draws: coverage of their intervals, and the rank histogram of the truth.

If the truth follows the same distribution as the m draws, its rank p among them
(`noisefold.eval.scoring_rules`) is uniform in (0, 1). A central interval of probability L then holds it where
:math:`|p - 1/2| \le L / 2`, in a share L of cases. Errors of one graph, or of neighbouring nodes, are
dependent, and intervals that ignore this are far too narrow. They come therefore from leaving out one of B
blocks at a time (jackknife); a block is a graph, or a region where there are few graphs:

.. math:: s^2 = \frac{B - 1}{B} \sum_b (\theta_{-b} - \bar\theta)^2 .

Sources: Gneiting, Balabdaoui and Raftery, Probabilistic forecasts, calibration and sharpness (2007),
https://doi.org/10.1111/j.1467-9868.2007.00587.x; Hamill, Interpretation of rank histograms for verifying
ensemble forecasts (2001), https://doi.org/10.1175/1520-0493(2001)129%3C0550:IORHFV%3E2.0.CO;2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from noisefold.eval.scoring_rules import ranks_of
from noisefold.geometry.coarsen import Balanced
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.variogram import half_width
from noisefold.report.data.projection import Numbers, numbers

__all__ = ["Calibration"]

_BLOCKS, _PARTS = 20, 20


@dataclass(frozen=True, eq=False)
class Calibration:
    """Ranks of held-out truths among posterior draws, counted by block.

    Parameters
    ----------
    counts
        Truths of each block in 20 equal parts of the rank, ``[blocks, 20]``.
    """

    counts: Tensor

    @classmethod
    def of(cls, draws: Tensor, truth: Tensor, known: Tensor, graphs: Graphs, seed: int = 0) -> Calibration:
        """Rank the held-out values among the draws.

        Parameters
        ----------
        draws
            Posterior draws, ``[m, n, f]``.
        truth
            Values, ``[n, f]``; NaN where unknown.
        known
            Values that were given and do not count, ``[n, f]``, bool.
        graphs
            The graphs of these nodes. With fewer than 20, blocks are regions of neighbouring nodes.
        seed
            Breaks ties.

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
        """Number of ranked truths."""
        return int(self.counts.sum())

    @property
    def nominal(self) -> Numbers:
        """Nominal probabilities of intervals, 0.1, 0.2 .. 1."""
        return np.arange(1, _PARTS // 2 + 1) / (_PARTS / 2)

    @property
    def observed(self) -> Numbers:
        """Share of truths within each of these intervals."""
        return numbers(_inside(self.counts.sum(0)))

    @property
    def band(self) -> tuple[Numbers, Numbers]:
        """Ends of the 95 % confidence intervals of `observed`; NaN with fewer than two blocks."""
        reach = self._reach(_inside(self._without()))
        return np.clip(self.observed - reach, 0, 1), np.clip(self.observed + reach, 0, 1)

    def histogram(self, bins: int = 10) -> tuple[Numbers, Numbers]:
        """Return the share of truths in equal parts of the rank, and half-widths of 95 % intervals.

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
    """Return the share within the central interval of each width, ``[..., 10]``, from ``[..., 20]``."""
    half = _PARTS // 2
    folded = counts[..., :half].flip(-1) + counts[..., half:]
    return folded.cumsum(-1) / counts.sum(-1, keepdim=True)


def _blocks(graphs: Graphs) -> Tensor:
    """Return the block of each node, ``[n]``: its graph, or a region of it."""
    if len(graphs) >= _BLOCKS:
        return graphs.batch.cpu()
    return Balanced()(graphs.pos.cpu(), graphs.ptr.cpu(), -(-_BLOCKS // len(graphs))).assignment
