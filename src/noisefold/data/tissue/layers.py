"""Results of a model, written into a copy of the .h5ad file that they belong to."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from noisefold.data.formats.h5ad import columns_of, libraries, opened

__all__ = ["write_layers"]


def write_layers(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    mean: Tensor,
    std: Tensor,
    provenance: Mapping[str, Any],
    *,
    draws: Tensor | None = None,
    genes: Sequence[str] | None = None,
    rows: Any = None,
) -> None:
    """Copy an .h5ad file and add what a model says about its cells; whole or not at all.

    Written are the layers ``noisefold_mean`` and ``noisefold_std`` in float32, NaN where nothing is said, and
    in ``uns`` ``noisefold``, the provenance as JSON, and ``noisefold_draws``, if draws are given. All else in
    the file stays as it is.

    Parameters
    ----------
    source
        The .h5ad file that was read.
    target
        The file to write, which may be the source; what stands there is replaced.
    mean, std
        Mean and standard deviation, ``[n, c]``.
    provenance
        What made them, as plain data: the model, the seed, the number of draws.
    draws
        Single samples, ``[k, n, c]``; written together with the names of their cells and genes.
    genes
        Names of the c columns; None: all genes of the file, in its order.
    rows
        Row of the file for each of the n nodes (`Tissue.order`); None: all cells, in the file's order.

    Raises
    ------
    ImportError
        If anndata is not installed.
    ValueError
        If the source cannot be read, or shapes, names or the provenance do not fit.
    OSError
        If the target cannot be written; nothing is changed then.
    """
    h5py, elements = libraries()
    try:
        text = json.dumps(dict(provenance))
    except TypeError as error:
        raise ValueError(
            f"provenance must be plain data ({error}); give numbers, words and lists."
        ) from error
    try:
        with opened(source) as parts:
            cells, known = np.array(parts.rows("obs"), dtype=object), parts.rows("var")
        columns = np.array(columns_of(known, genes), dtype=np.int64)
        places = _places(rows, len(cells))
        _check(mean, std, draws, len(places), len(columns))
    except ValueError as error:
        raise ValueError(f"{os.fspath(source)}: {error}") from error
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        shutil.copyfile(source, staged)
        with h5py.File(staged, "r+") as file:
            for group in {"layers", "uns"} - set(file):
                elements.write_elem(file, group, {})
            for name, values in (("mean", mean), ("std", std)):
                layer = np.full((len(cells), len(known)), np.nan, dtype=np.float32)
                layer[np.ix_(places, columns)] = _numpy(values)
                elements.write_elem(
                    file, f"layers/noisefold_{name}", layer, dataset_kwargs={"compression": "gzip"}
                )
            elements.write_elem(file, "uns/noisefold", text)
            if draws is not None:
                names = np.array(known, dtype=object)[columns]
                kept = {"draws": _numpy(draws), "cells": cells[places], "genes": names}
                elements.write_elem(file, "uns/noisefold_draws", kept)
        with staged.open("rb") as stream:
            os.fsync(stream.fileno())
        staged.replace(target)
    finally:
        staged.unlink(missing_ok=True)


def _places(rows: Any, cells: int) -> NDArray[np.int64]:
    places = np.arange(cells) if rows is None else np.asarray(rows, dtype=np.int64).reshape(-1)
    inside = bool(((places >= 0) & (places < cells)).all())
    if not inside or len(np.unique(places)) < len(places):
        raise ValueError(f"rows must be different numbers in [0, {cells}), the cells of the file.")
    return places


def _check(mean: Tensor, std: Tensor, draws: Tensor | None, n: int, c: int) -> None:
    for name, values, shape in (("mean", mean, (n, c)), ("std", std, (n, c)), ("draws", draws, (n, c))):
        if values is not None and tuple(values.shape[-2:]) != shape:
            raise ValueError(f"{name} must be [..., {n}, {c}] (cells, genes), got {list(values.shape)}.")
    if mean.ndim != 2 or std.ndim != 2 or (draws is not None and draws.ndim != 3):
        raise ValueError("mean and std must have two dimensions, draws three.")


def _numpy(values: Tensor) -> NDArray[np.float32]:
    return np.asarray(values.detach().cpu().float().numpy())
