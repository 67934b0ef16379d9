"""Matrices of 10x Genomics: ``filtered_feature_bc_matrix.h5`` with the positions of Space Ranger.

A matrix alone has no coordinates. They are read from ``spatial/tissue_positions.csv`` (or
``tissue_positions_list.csv``, of earlier versions) beside it: the pixel column and row of each spot.

Source: https://www.10xgenomics.com/support/software/space-ranger/latest/analysis/outputs/output-overview
"""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from noisefold.data.formats.arrays import parsing
from noisefold.data.formats.sparse import check_sparse
from noisefold.data.formats.stores import Store

__all__ = ["is_tenx", "read_tenx"]

_BESIDE = ("tissue_positions.csv", "tissue_positions_list.csv")
_COLUMNS = ("barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres")


def is_tenx(store: Store) -> bool:
    """Return whether this is a matrix of 10x Genomics, from version 3 of Cell Ranger on."""
    return {"barcodes", "data", "indices", "indptr", "shape", "features"} <= set(store.keys("matrix"))


def read_tenx(store: Store, positions: str | None) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Return matrices by the names that they have in an AnnData, and names of ``obs`` and ``var``.

    Parameters
    ----------
    store
        The file.
    positions
        File of positions; None: in the folder ``spatial`` beside the file, if there is one.

    Raises
    ------
    ValueError
        If there are no positions, or a part is damaged.
    """
    cells = _words(store, "matrix/barcodes")
    genes, kept = _genes(store)
    shape = tuple(int(v) for v in store.array("matrix/shape"))
    arrays = [store.array(f"matrix/{name}") for name in ("data", "indices", "indptr")]
    if shape != (len(kept), len(cells)):
        raise ValueError(
            f"matrix/shape is {shape}, but there are {len(kept)} features and {len(cells)} cells."
        )
    with parsing():
        values = csr_matrix(tuple(arrays), shape=shape[::-1])  # by columns of features x cells
    check_sparse(values)
    place = _positions(store.path, positions)
    lacking = [name for name in cells if name not in place]
    if lacking:
        raise ValueError(f"{len(lacking)} cells have no position, {lacking[0]!r} the first; give them all.")
    where = np.array([place[name] for name in cells], dtype=np.float64).reshape(len(cells), 2)
    matrices = {"X": values if kept.all() else values[:, np.flatnonzero(kept)], "obsm/spatial": where}
    return matrices, {"obs": cells, "var": genes}


def _words(store: Store, name: str) -> list[str]:
    values = np.asarray(store.array(name)).reshape(-1).tolist()
    return [v.decode("utf-8") if isinstance(v, bytes) else str(v) for v in values]


def _genes(store: Store) -> tuple[list[str], NDArray[np.bool_]]:
    """Return the names of genes, with identifiers where two are alike, and which features are genes."""
    there = store.keys("matrix/features")
    names = _words(store, "matrix/features/name" if "name" in there else "matrix/features/id")
    kept = np.ones(len(names), dtype=bool)
    if "feature_type" in there:
        kinds = _words(store, "matrix/features/feature_type")
        if "Gene Expression" in kinds and len(kinds) == len(names):
            kept = np.array([kind == "Gene Expression" for kind in kinds])
    count = Counter(names)
    if "id" in there:
        ids = _words(store, "matrix/features/id")
        if len(ids) == len(names):
            names = [f"{n} ({i})" if count[n] > 1 else n for n, i in zip(names, ids, strict=True)]
    return [name for name, keep in zip(names, kept, strict=True) if keep], kept


def _positions(path: Path, named: str | None) -> dict[str, tuple[float, float]]:
    """Return the pixel column and row of each barcode."""
    files = [Path(named)] if named else [path.parent / "spatial" / name for name in _BESIDE]
    file = next((f for f in files if f.is_file()), None)
    if file is None:
        raise ValueError(
            "a matrix of 10x has no coordinates; put the folder spatial/ of Space Ranger with "
            "tissue_positions.csv beside it, or name that file as pos=..."
        )
    with parsing():
        rows = list(csv.reader(file.read_text(encoding="utf-8-sig").splitlines()))
        head = tuple(rows[0]) if rows and rows[0] and rows[0][0] == "barcode" else _COLUMNS
        if head == tuple(rows[0] if rows else ()):
            rows = rows[1:]
        barcode, row, column = (head.index(_COLUMNS[i]) for i in (0, 4, 5))
        return {line[barcode]: (float(line[column]), float(line[row])) for line in rows if line}
