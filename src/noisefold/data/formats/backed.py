"""Matrices that are larger than memory and stay in their file; rows are read when they are asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noisefold.data.formats.arrays import parsing
from noisefold.data.formats.guard import guarded
from noisefold.data.formats.sparse import check_sparse
from noisefold.data.formats.stores import Store, opened_store

__all__ = ["Backed", "backed"]

_SPARSE = ("csr_matrix", "csc_matrix")
_SCATTERED = 8  # rows between the first and the last, for each row that is wanted


@dataclass(frozen=True, eq=False)
class Backed:
    """A matrix in an .h5ad file or a .zarr folder.

    Parameters
    ----------
    path, name
        Where it is.
    sparse
        Whether it is stored by compressed rows.
    shape
        Rows and columns.
    columns
        Columns that are kept; None: all.
    """

    path: Path
    name: str
    sparse: bool
    shape: tuple[int, int]
    columns: NDArray[np.int64] | None = None

    def __getitem__(self, rows: Any) -> Any:
        """Return rows as an array or a sparse matrix of SciPy."""
        rows = np.asarray(rows, dtype=np.int64)
        if not len(rows):
            return np.zeros((0, self.shape[1]), dtype=np.float32)
        first, last = int(rows.min()), int(rows.max()) + 1
        with guarded(self.path), opened_store(self.path) as store, parsing():
            held = store.root[self.name]
            if self.sparse:
                from anndata.io import sparse_dataset

                held = sparse_dataset(held)
            if last - first <= _SCATTERED * len(rows):
                part, back = held[first:last], rows - first
            else:
                kept, back = np.unique(rows, return_inverse=True)
                part = held[kept]
        if self.sparse:
            with guarded(self.path):
                check_sparse(part)
        part = part[back]
        return part if self.columns is None else part[:, self.columns]

    def of(self, columns: list[int]) -> Backed:
        """Return it with these columns alone."""
        chosen = np.asarray(columns, dtype=np.int64)
        return replace(self, columns=chosen, shape=(self.shape[0], len(chosen)))


def backed(store: Store, name: str) -> Backed:
    """Return a matrix of a store without reading it.

    Raises
    ------
    ValueError
        If it is stored by columns, or is no matrix.
    """
    encoding = str(store.attributes(name).get("encoding-type", ""))
    if encoding not in _SPARSE:
        with parsing():
            rows, columns = store.root[name].shape
        return Backed(store.path, name, False, (int(rows), int(columns)))
    if encoding == "csc_matrix":
        raise ValueError(
            f"{name!r} is larger than memory and stored by columns; write it by rows "
            "(adata.X = adata.X.tocsr())."
        )
    with parsing():
        rows, columns = (int(n) for n in store.attributes(name)["shape"])
    return Backed(store.path, name, True, (rows, columns))
