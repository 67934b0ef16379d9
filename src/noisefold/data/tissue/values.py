"""What kind of numbers the expression of genes is: counts, their logarithms, fractions, or anything else."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from noisefold.data.formats.h5ad import is_sparse

__all__ = ["KINDS", "recognise"]

KINDS = {
    "counts": "counts (whole numbers, none below zero)",
    "fractions": "fractions (not below zero, those of each cell sum to 1)",
    "log": "logarithms log(1 + c / s) of counts c with a size s for each cell",
    "continuous": "continuous (neither counts, nor their logarithms, nor fractions)",
}
"""Kinds of values that `recognise` tells apart, in words."""

_LOOKED_AT = 256  # cells


def recognise(values: Any) -> str:
    """The kind of the values ``[n, genes]`` of cells, one of `KINDS`; an array or a sparse matrix.

    Logarithms of counts are known by their steps: with the right base (e, 2 or 10) the values above zero of
    a cell, taken back, are whole multiples of the smallest. NaN is passed over.
    """
    data = np.asarray(values.data if is_sparse(values) else values)
    if bool(np.isnan(data).any()):
        values = values.copy()
        data = values.data if is_sparse(values) else values
        data[np.isnan(data)] = 0
    if data.size and data.min() < 0:
        return "continuous"
    if bool((data == np.floor(data)).all()):
        return "counts"
    sums = np.asarray(values.sum(axis=1)).ravel()
    if np.abs(sums - 1).max() < 1e-3:
        return "fractions"
    cells = np.linspace(0, values.shape[0] - 1, min(_LOOKED_AT, values.shape[0])).astype(np.int64)
    rows = [_above_zero(values, i) for i in cells]
    return "log" if any(_off_steps(rows, base) < 0.02 for base in (np.e, 2.0, 10.0)) else "continuous"


def _above_zero(values: Any, cell: int) -> NDArray[np.float64]:
    row = values[[cell]]
    row = np.asarray(row.toarray() if is_sparse(row) else row, dtype=np.float64).ravel()
    return np.asarray(row[row > 0])


def _off_steps(rows: list[NDArray[np.float64]], base: float) -> float:
    """How far from whole numbers the multiples are, as the median over cells; 0.25 by chance."""
    off = []
    for row in rows:
        taken = np.expm1(row[row < 20] * np.log(base))
        # Large multiples say nothing, since float32 does not hold their steps.
        multiples = taken / taken.min() if taken.size else taken
        multiples = multiples[(multiples > 1 + 1e-6) & (multiples < 50)]
        if multiples.size:
            off.append(float(np.abs(multiples - np.round(multiples)).mean()))
    return float(np.median(off)) if off else 1.0
