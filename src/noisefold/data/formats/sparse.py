"""Sparse matrices as files hold them, which may be damaged."""

from __future__ import annotations

from typing import Any

import numpy as np

from noisefold.data.formats.arrays import parsing

__all__ = ["check_sparse"]


def check_sparse(matrix: Any) -> None:
    """Refuse a compressed sparse matrix of SciPy whose index arrays point outside it.

    Compiled code follows these arrays unchecked, so that a damaged one ends the process. SciPy's own full
    check passes over the indices and the order of ``indptr`` where the last entry of ``indptr`` is not
    positive.

    Parameters
    ----------
    matrix
        In CSR or CSC format.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    with parsing():
        if np.any(np.diff(matrix.indptr) < 0):
            raise ValueError("indptr must be a non-decreasing sequence")
        matrix.check_format(full_check=True)
