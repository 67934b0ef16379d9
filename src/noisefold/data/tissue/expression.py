r"""Expression of genes: what kind of numbers they are, and a transformation of them that can be undone.

For counts :math:`c_{ig}` of gene g in cell i,

.. math:: y_{ig} = \big(\log(1 + c_{ig} / s_i) - \mu_g\big) / \sigma_g ,

with the size of the cell :math:`s_i = 1`, or its total :math:`n_i` over the median total m. Values that are
no counts are only standardised by gene.

A total is known only where all genes are. So a model that is to complete cells of which some genes are known
needs :math:`s_i = 1`, the default; it learns the depth of cells as one more thing that genes have in common.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.data.tissue.modality import SpatialTranscriptomics
from noisefold.data.tissue.values import KINDS, recognise
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.mapped import touched
from noisefold.geometry.transform import Transform

__all__ = ["Cells", "Expression"]

_AT_ONCE = 1024  # cells made dense together
_LOOKED_AT = 1 << 26  # values
_SIZES = ("feature", "median", "none")


class Cells(Protocol):
    """Cells whose expression may be sparse, such as a `Tissue`."""

    @property
    @abstractmethod
    def kind(self) -> str:
        """What the values are, a key of `KINDS`."""

    @abstractmethod
    def take(self, parts: Sequence[NDArray[np.int64]]) -> Graphs:
        """Return one graph of each set of cells."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of cells."""


@configurable
@dataclass(frozen=True)
class Expression(Transform):
    """Counts to standardised logarithms and back.

    Parameters
    ----------
    values
        What they are, one of `KINDS`; counts alone are divided by their total and logarithmised.
    size
        What becomes of a cell's total count. "none": counts are not divided. "feature": its logarithm,
        log(n_i / m), goes along as one more feature at the end, so that `undo` gives the very counts back,
        and a generated cell has a total of its own. "median": it is dropped, and `undo` gives counts of a
        cell with the median total, unless it is told the totals.
    target
        The median total m.
    mean, scale
        Mean and standard deviation of each feature, after the logarithm.
    least
        The least value above zero of each feature, after the logarithm, 0 where there is none. What a model
        draws is never exactly zero: where values are not continuous, `undo` takes what is below half of this
        for zero. Empty: nothing is.

    Raises
    ------
    ValueError
        If values or size are unknown, or numbers do not fit together.
    """

    values: str = "counts"
    size: str = "none"
    target: float = 1.0
    mean: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    least: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.values not in KINDS:
            raise ValueError(f"values must be one of {', '.join(KINDS)}, got {self.values!r}.")
        if self.size not in _SIZES:
            raise ValueError(f"size must be one of {', '.join(_SIZES)}, got {self.size!r}.")
        if len(self.mean) != len(self.scale) or not self.target > 0 or not all(s > 0 for s in self.scale):
            raise ValueError("mean and scale must be equally long, scales and target positive.")
        if len(self.least) not in (0, len(self.mean) - self._extra) or not all(v >= 0 for v in self.least):
            raise ValueError("least must be empty or hold a number for each gene, none below zero.")

    @classmethod
    def fit(cls, data: Graphs | Cells, values: str | None = None, size: str = "none") -> Expression:
        """Measure a data set; genes that never change keep scale 1.

        Parameters
        ----------
        data
            Graphs with ``x [n, genes]``, or a `Tissue`, of which some cells at a time are made dense.
        values
            One of `KINDS`; None: as the graphs' modality says, else as `recognise` finds.
        size
            As above; without effect unless the values are counts.

        Raises
        ------
        ValueError
            If there are no features, a value is not finite, or counts are below zero.
        """
        values = values or _kind(data)
        size = size if values == "counts" else "none"
        target = 1.0
        if size != "none":
            target = float(torch.cat([_totals(x) for x in _parts(data)]).median())
        plain = cls(values, size, target)
        count, mean, squares = 0, torch.zeros(()), torch.zeros(())
        least = torch.tensor(torch.inf)
        for x in _parts(data):
            if values == "counts" and float(x.min()) < 0:
                raise ValueError(f"counts must not be below zero, the least is {float(x.min()):g}.")
            y = plain._logarithms(x)
            centre, old = y.mean(0), count
            count += len(y)
            least = torch.minimum(least, torch.where(y > 0, y, torch.inf).amin(0))
            # Chan's update: sums about the mean of all cells so far, from those about the means of two parts.
            squares = squares + (y - centre).square().sum(0) + (centre - mean).square() * old * len(y) / count
            mean = mean + (centre - mean) * len(y) / count
        deviation = (squares / count).sqrt()
        deviation[deviation <= 1e-9 * mean.abs()] = 1.0  # rounding of a gene that never changes, or zero
        genes = torch.where(least.isinf(), 0.0, least)[: len(mean) - plain._extra]
        seen = () if values == "continuous" else tuple(genes.tolist())
        return cls(values, size, target, tuple(mean.tolist()), tuple(deviation.tolist()), seen)

    def apply(self, graphs: Graphs) -> Graphs:
        """Return standardised values, ``[n, genes]`` or ``[n, genes + 1]``; graphs without any stay."""
        if graphs.x is None:
            return graphs
        x = self._features(graphs, len(self.mean) - self._extra)
        y = (self._logarithms(x.double()) - x.new_tensor(self.mean, dtype=torch.float64)) / x.new_tensor(
            self.scale, dtype=torch.float64
        )
        return graphs.replace(x=y.to(x.dtype))

    def undo(self, graphs: Graphs, totals: Tensor | None = None) -> Graphs:
        """From standardised values back to expression, ``[n, genes]``, continuous or never below zero.

        Parameters
        ----------
        graphs
            With the values that `apply` gives, or a model.
        totals
            Total count of each cell, ``[n]``, for size "median"; None: the median total.
        """
        x = self._features(graphs, len(self.mean))
        y = x.double() * x.new_tensor(self.scale, dtype=torch.float64)
        y = y + x.new_tensor(self.mean, dtype=torch.float64)
        genes = y[:, : len(self.mean) - self._extra]
        silent = genes < genes.new_tensor(self.least or [0.0]) / 2
        if self.values == "counts":
            if totals is not None and (self.size != "median" or totals.shape != (graphs.num_nodes,)):
                raise ValueError(
                    f"totals must be [{graphs.num_nodes}] and belong to size 'median', "
                    f"got {list(totals.shape)} for size {self.size!r}."
                )
            factor = torch.ones_like(y[:, :1])
            if self._extra:
                y, factor = y[:, :-1], y[:, -1:].exp()
            elif totals is not None:
                factor = totals.to(y).clamp(min=1)[:, None] / self.target
            y = torch.expm1(y) * factor
        if self.values != "continuous":  # what a model draws may be below what there can be
            y = torch.where(silent, 0.0, y)
        return graphs.replace(x=y.to(x.dtype))

    def entries(self, known: Tensor) -> Tensor:
        """Which standardised values are known, ``[n, genes]`` or ``[n, genes + 1]`` bool.

        Raises
        ------
        ValueError
            If counts are divided by totals, and of a cell some genes are known and some are not.
        """
        if self.size == "none" or self.values != "counts":
            return known
        whole = known.all(1, keepdim=True)
        if bool((known.any(1, keepdim=True) & ~whole).any()):
            raise ValueError(
                f"size {self.size!r} divides counts by the cell's total, which is unknown where only some "
                "genes are known; complete whole cells, or train with Expression of size 'none'."
            )
        return torch.cat([known, whole], 1) if self._extra else known

    @property
    def _extra(self) -> int:
        return int(self.values == "counts" and self.size == "feature")

    def _features(self, graphs: Graphs, features: int) -> Tensor:
        if graphs.x is None or graphs.features != features:
            raise ValueError(f"x must have {features} features, as was fitted, got {graphs.features}.")
        return graphs.x

    def _logarithms(self, x: Tensor) -> Tensor:
        if self.values != "counts":
            return x
        if self.size == "none":
            return torch.log1p(x)
        factor = _totals(x) / self.target
        y = torch.log1p(x / factor)
        return torch.cat([y, factor.log()], 1) if self._extra else y


def _totals(x: Tensor) -> Tensor:
    """Total of each cell, ``[n, 1]``; 1 where nothing was counted."""
    return x.sum(1, keepdim=True).clamp(min=1)


def _kind(data: Graphs | Cells) -> str:
    if not isinstance(data, Graphs):
        return data.kind
    if isinstance(data.modality, SpatialTranscriptomics):
        return data.modality.values
    # Of many cells, some that are spread evenly say what the values are.
    x = _features(data)
    return recognise(x[:: max(1, x.numel() // _LOOKED_AT)].cpu().numpy())


def _features(graphs: Graphs) -> Tensor:
    if graphs.x is None or graphs.x.numel() == 0:
        raise ValueError("the graphs have no features x; give them expression [n, genes].")
    return graphs.x


def _parts(data: Graphs | Cells) -> Iterator[Tensor]:
    """Yield the expression ``[some cells, genes]`` in float64, part after part."""
    count = data.num_nodes if isinstance(data, Graphs) else len(data)
    for rows in np.array_split(np.arange(count), -(-count // _AT_ONCE) or 1):
        if isinstance(data, Graphs):
            x = _features(data)[rows[0] : rows[-1] + 1] if len(rows) else _features(data)
            touched(data.x, x.numel() * x.element_size())
        else:
            x = _features(data.take([rows]))
        if not bool(x.isfinite().all()):
            raise ValueError("x holds NaN or infinite values; remove those nodes first.")
        yield x.double()
