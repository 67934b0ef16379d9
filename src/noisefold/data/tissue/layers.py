"""Results of a model, written into a copy of the .h5ad file or .zarr folder that they belong to."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from noisefold.data.formats.guard import guarded
from noisefold.data.formats.h5ad import opened
from noisefold.data.formats.stores import libraries
from noisefold.files import check_out, staged
from noisefold.geometry.names import columns_of

__all__ = ["check_layers", "write_layers"]

_WRITABLE = (".h5ad", ".zarr")
_SPARE = 1.1  # of the bytes that are needed, for what else is written


def check_layers(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    genes: Sequence[str] | None = None,
    draws: int = 0,
) -> tuple[list[str], list[str], list[int]]:
    """Check that `write_layers` can write, before the work for it begins.

    Parameters
    ----------
    source, target, genes
        As of `write_layers`.
    draws
        How many single draws are to be kept.

    Returns
    -------
    tuple
        Names of all cells and genes of the source, and the columns of those asked for.

    Raises
    ------
    ValueError
        If the source cannot be read, a gene is not in ``var`` (those of ``raw/X`` may be in ``raw`` alone),
        the target is of another format, is a folder of something else or cannot be written.
    OSError
        If the disk has too little room.
    """
    source, target = Path(source), Path(target)
    with guarded(source):
        if source.suffix.lower() not in _WRITABLE:
            raise ValueError(f"layers can be added to {' and '.join(_WRITABLE)} alone; convert it.")
        with opened(source) as parts:
            cells, known = parts.rows("obs"), parts.rows("var")
            raw = parts.rows("raw/var") if "raw/X" in parts.names else []
        lacking = [name for name in genes or () if name not in set(known)]
        if lacking and set(lacking) <= set(raw):
            raise ValueError(
                f"{len(lacking)} genes are in raw/X alone, {lacking[0]!r} the first, and layers hold the "
                f"{len(known)} genes of X; name genes of X, or make an AnnData of raw (adata.raw.to_adata())."
            )
        if genes is not None and len(set(genes)) < len(genes):
            raise ValueError("genes names one of them twice; name each once.")
        columns = columns_of(known, known if genes is None else genes, "gene")
    if target.suffix.lower() != source.suffix.lower():
        raise ValueError(f"{target}: the copy of {source.name} must end with {source.suffix}.")
    if target.is_dir() and not _is_zarr(target):
        raise ValueError(f"{target}: this is a folder; name a file.")
    needed = _SPARE * (_bytes(source) + 4 * len(cells) * (2 * len(known) + draws * len(columns)))
    check_out(target, folder=source.is_dir(), room=int(needed))
    return cells, known, columns


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
    """Copy an .h5ad file or a .zarr folder and add what a model says about its cells; whole or not at all.

    Written are the layers ``noisefold_mean`` and ``noisefold_std`` in float32, NaN where nothing is said, and
    in ``uns`` ``noisefold``, the provenance as JSON, and ``noisefold_draws``, if draws are given. All else in
    the file stays as it is.

    Parameters
    ----------
    source
        The file or folder that was read.
    target
        The one to write, which may be the source; what stands there is replaced.
    mean, std
        Mean and standard deviation, ``[n, c]``.
    provenance
        What made them, as plain data: the model, the seed, the number of draws.
    draws
        Single samples, ``[k, n, c]``; written together with the names of their cells and genes.
    genes
        Names of the c columns, in any order; None: all genes of the file, in its order.
    rows
        Row of the file for each of the n nodes (`Tissue.order`); None: all cells, in the file's order.

    Raises
    ------
    ImportError
        If anndata is not installed.
    ValueError
        If `check_layers` refuses, or shapes or the provenance do not fit.
    OSError
        If the target cannot be written; nothing is changed then.
    """
    try:
        text = json.dumps(dict(provenance))
    except TypeError as error:
        raise ValueError(
            f"provenance must be plain data ({error}); give numbers, words and lists."
        ) from error
    cells, known, found = check_layers(source, target, genes, 0 if draws is None else len(draws))
    columns = np.array(found, dtype=np.int64)
    with guarded(source):
        places = _places(rows, len(cells))
        _check(mean, std, draws, len(places), len(columns))
    elements = libraries()[1]
    with _copied(Path(source), Path(target)) as file:
        for group in {"layers", "uns"} - set(file):
            elements.write_elem(file, group, {})
        for name, values in (("mean", mean), ("std", std)):
            layer = np.full((len(cells), len(known)), np.nan, dtype=np.float32)
            layer[np.ix_(places, np.asarray(columns))] = _numpy(values)
            packed = {} if Path(source).is_dir() else {"dataset_kwargs": {"compression": "gzip"}}
            elements.write_elem(file, f"layers/noisefold_{name}", layer, **packed)
        elements.write_elem(file, "uns/noisefold", text)
        if draws is not None:
            kept = {
                "draws": _numpy(draws),
                "cells": np.array(cells, dtype=object)[places],
                "genes": np.array(known, dtype=object)[columns],
            }
            elements.write_elem(file, "uns/noisefold_draws", kept)


@contextmanager
def _copied(source: Path, target: Path) -> Iterator[Any]:
    """Give a copy of the source to change, which takes the target's place when all is written."""
    with staged(target) as part:
        if source.is_dir():
            import zarr

            shutil.copytree(source, part)
            joined = zarr.open_group(str(part), mode="r").metadata.consolidated_metadata is not None
            yield zarr.open_group(str(part), mode="r+", use_consolidated=False)
            if joined:
                zarr.consolidate_metadata(str(part))
        else:
            shutil.copyfile(source, part)
            with libraries()[0].File(part, "r+") as file:
                yield file


def _is_zarr(path: Path) -> bool:
    return any((path / name).is_file() for name in (".zgroup", "zarr.json"))


def _bytes(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum((Path(f) / n).stat().st_size for f, _, names in os.walk(path) for n in names)


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
