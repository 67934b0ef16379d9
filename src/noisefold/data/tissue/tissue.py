"""Tissues: cells or spots in space with the expression of their genes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from noisefold.data.formats.backed import Backed
from noisefold.data.formats.guard import guarded
from noisefold.data.formats.h5ad import Parts, is_sparse, opened
from noisefold.data.tissue.modality import SpatialTranscriptomics
from noisefold.data.tissue.values import KINDS, recognise
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.mapped import spilled
from noisefold.geometry.names import columns_of, in_any_case, nearest_name
from noisefold.geometry.origin import origin_of

__all__ = ["Tissue"]

_LOOKED_AT = 1024  # cells of a matrix on disk
_VALUES = 1 << 23  # numbers that are made dense together
_USUAL = ("obsm/spatial", "obsm/spatial_3d", "obsm/X_spatial")


@dataclass(frozen=True, eq=False, repr=False)
class Tissue:
    """A tissue, or several, whose expression stays sparse, if it is, until graphs are asked for.

    Parameters
    ----------
    pos
        Positions, ``[n, d]``, float64; the last column is the time, where one was named.
    values
        Expression, ``[n, genes]``: an array, a matrix of SciPy in CSR form, or one that stays on disk.
    genes, cells
        Names.
    group
        Group of each cell, ``[n]``, int64: a graph for each group.
    groups
        Names of the groups; empty where none were named.
    kind
        What the values are, a key of `noisefold.data.tissue.values.KINDS`.
    time
        Whether the last coordinate is a time.
    origin
        Where position 0 of the graphs lies, d numbers, or () for 0; see `noisefold.Graphs`.
    """

    pos: NDArray[np.float64]
    values: Any
    genes: tuple[str, ...]
    cells: tuple[str, ...]
    group: NDArray[np.int64]
    groups: tuple[str, ...]
    kind: str
    time: bool = False
    origin: tuple[float, ...] = ()

    @classmethod
    def read(
        cls,
        source: Any,
        pos: str | Sequence[str] | None = None,
        x: str = "X",
        genes: Sequence[str] | str | None = None,
        group: str | None = None,
        time: str | None = None,
        missing: bool = False,
    ) -> Tissue:
        """Read an .h5ad file, a .zarr folder or a matrix of 10x Genomics (.h5), or take an AnnData.

        Parameters
        ----------
        source
            A path, or an AnnData (which may be a part of a larger one, ``adata[adata.obs.valid]``).
        pos
            Coordinates, 2 or 3: ``"obsm/KEY"``, or columns ``["obs/x", "obs/y"]``. None: ``obsm/spatial``,
            else ``obsm/spatial_3d``, else ``obsm/X_spatial``. For a matrix of 10x, the file of positions.
        x
            Expression: ``"X"``, ``"layers/NAME"`` or ``"raw/X"``.
        genes
            Names of the genes to keep, in this order, or one name; None: all.
        group
            ``"obs/COLUMN"``: one graph, and one class, for each of its values. None: one graph.
        time
            ``"obs/COLUMN"`` of numbers, which become the last coordinate, in their own unit. A model
            standardises all coordinates by one scale, unless its `Scaling` was fitted with ``apart=(-1,)``.
        missing
            Whether expression may be NaN, meaning that it is missing.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ImportError
            If anndata is not installed.
        ValueError
            If the file is damaged or no .h5ad, a part is not there or holds no numbers, coordinates or values
            are NaN or infinite, names occur twice, or a group has fewer than two cells.
        """
        path = Path(source).expanduser() if isinstance(source, str | os.PathLike) else None
        if path is not None and not path.exists():
            raise FileNotFoundError(f"{path}: there is no such file; check the path.")
        genes = [genes] if isinstance(genes, str) else genes
        tenx = path is not None and path.suffix.lower() == ".h5" and isinstance(pos, str)
        file = pos if tenx and isinstance(pos, str) and Path(pos).is_file() else None
        with guarded(path), opened(source if path is None else path, file) as parts:
            return _read(parts, None if file else pos, x, genes, group, time, missing)

    def __len__(self) -> int:
        return len(self.cells)

    def __repr__(self) -> str:
        what = f"{self.pos.shape[1]}-D, {len(self.genes)} genes: {self.kind}"
        groups = f", {len(self.groups)} groups" if self.groups else ""
        return f"Tissue({len(self)} cells, {what}{groups})"

    def describe(self) -> dict[str, str]:
        """What was understood, in words."""
        ends = (self.pos.min(0), self.pos.max(0))
        low, high = ("(" + ", ".join(f"{v:.4g}" for v in end) + ")" for end in ends)
        out = {
            "cells": str(len(self)),
            "genes": str(len(self.genes)),
            "values": KINDS[self.kind],
            "positions": f"{self.pos.shape[1]}-D, from {low} to {high}",
        }
        if is_sparse(self.values):
            out["sparse"] = f"{self.values.nnz / np.prod(self.values.shape):.1%} of the values are stored"
        if self.groups:
            counts = np.bincount(self.group, minlength=len(self.groups))
            out["groups"] = ", ".join(f"{n} {c}" for n, c in zip(self.groups, counts, strict=True))
        return out

    @property
    def order(self) -> NDArray[np.int64]:
        """Row of the source of each node of `graphs`, ``[n]``: group after group, in the source's order."""
        return np.argsort(self.group, kind="stable")

    def graphs(self) -> Graphs:
        """All cells, one graph for each group: ``pos [n, d]``, ``x [n, genes]`` in float32."""
        return self.take(self.parts())

    def parts(self) -> list[NDArray[np.int64]]:
        """Rows of the cells of each group that has any."""
        return np.split(self.order, np.cumsum(np.unique(self.group, return_counts=True)[1])[:-1])

    def part(self, rows: NDArray[np.int64]) -> Tissue:
        """Some of the cells, ``[k]``; groups keep their numbers."""
        cells = tuple(self.cells[i] for i in rows)
        return replace(
            self, pos=self.pos[rows], values=self.values[rows], cells=cells, group=self.group[rows]
        )

    def take(self, parts: Sequence[NDArray[np.int64]]) -> Graphs:
        """Return one graph for each set of rows, which must be of one group; its class is the group."""
        rows = np.concatenate(parts)
        label = torch.from_numpy(self.group[[part[0] for part in parts]]) if self.groups else None
        shift = np.asarray(self.origin) if self.origin else 0.0
        return Graphs(
            torch.from_numpy(np.asarray(self.pos[rows] - shift, dtype=np.float32)),
            self._dense(rows),
            torch.from_numpy(np.cumsum([0, *map(len, parts)])),
            label=label,
            classes=self.groups,
            feature_names=self.genes,
            origin=self.origin,
            modality=SpatialTranscriptomics(self.kind, self.time),
        )

    def _dense(self, rows: NDArray[np.int64]) -> Tensor:
        """Return the expression of cells in float32; that of many lies in a temporary file."""
        step = max(1, _VALUES // len(self.genes))
        pieces = (self.values[rows[i : i + step]] for i in range(0, len(rows), step))
        dense = (np.asarray(x.toarray() if is_sparse(x) else x, dtype=np.float32) for x in pieces)
        return spilled(map(torch.from_numpy, dense), len(rows), torch.empty(1, len(self.genes)))


def _read(
    parts: Parts,
    pos: str | Sequence[str] | None,
    x: str,
    genes: Sequence[str] | None,
    group: str | None,
    time: str | None,
    missing: bool,
) -> Tissue:
    cells = parts.rows("obs")
    x = parts.named(x, "x")
    values = parts.matrix(x, "x")
    known = parts.rows("raw/var" if x == "raw/X" else "var")
    where = _positions(parts, pos)
    _finite(where, "coordinates", cells)
    if time is not None:
        where = np.column_stack([where, _numbers(parts, time, "time", cells)])
    if not isinstance(values, Backed):
        values = values.tocsr() if is_sparse(values) else np.asarray(values)
    if values.shape[1] != len(known):
        raise ValueError(f"x={x!r} has {values.shape[1]} columns, but there are {len(known)} genes.")
    genes = None if genes is None else in_any_case(genes, known)
    if genes is not None and len(set(genes)) < len(genes):
        twice = next(name for i, name in enumerate(genes) if name in genes[:i])
        raise ValueError(f"genes names {twice!r} twice; name it once.")
    columns = columns_of(known, known if genes is None else genes, "gene")
    if genes is not None:
        values = values.of(columns) if isinstance(values, Backed) else values[:, columns]
    if len(cells) < 2 or not len(columns):
        there = f"{len(cells)} cells and {len(columns)} genes"
        raise ValueError(f"{there} are left; keep at least two cells and one gene.")
    if not isinstance(values, Backed):  # else training looks at what it reads
        _finite(values, "expression", cells, missing)
    number, names = _groups(parts, group, cells)
    kept = tuple(known[i] for i in columns)
    origin = _origin(where, time is not None, number)
    return Tissue(where, values, kept, tuple(cells), number, names, _kind(values), time is not None, origin)


def _kind(values: Any) -> str:
    """Return the kind of values; of a matrix on disk, as some rows that are spread evenly say."""
    if isinstance(values, Backed):
        values = values[np.unique(np.linspace(0, values.shape[0] - 1, _LOOKED_AT).astype(np.int64))]
    return recognise(values)


def _origin(pos: NDArray[np.float64], time: bool, group: NDArray[np.int64]) -> tuple[float, ...]:
    """Return the origin of all graphs; space and time are looked at apart."""
    order = np.argsort(group, kind="stable")
    ends = np.cumsum(np.unique(group, return_counts=True)[1])[:-1]
    axes = [pos[:, :-1], pos[:, -1:]] if time else [pos]
    # A time may be the same for a whole graph, so that its extent is that of all.
    parts = [np.split(axes[0][order], ends), axes[1:]]
    origins = [origin_of(clouds) or (0.0,) * clouds[0].shape[1] for clouds in parts if clouds]
    origin = tuple(value for each in origins for value in each)
    return origin if any(origin) else ()


def _positions(parts: Parts, pos: str | Sequence[str] | None) -> NDArray[np.float64]:
    if pos is not None and not isinstance(pos, str):
        return np.column_stack([_numbers(parts, name, "pos", parts.rows("obs")) for name in pos])
    name = pos or next((name for name in _USUAL if name in parts.names), None)
    if name is None:
        there = [n for n in parts.names if n.startswith("obsm/")]
        raise ValueError(
            f"there are no coordinates obsm/spatial{nearest_name('', there)} Name what holds them, "
            f"pos='obsm/KEY' or pos=['obs/x', 'obs/y']."
        )
    values = parts.matrix(name, "pos")
    if is_sparse(values) or values.shape[1] not in (2, 3):
        raise ValueError(f"pos={name!r} must have 2 or 3 columns, got {values.shape[1]}; name another part.")
    return np.asarray(values, dtype=np.float64)


def _numbers(parts: Parts, name: str, argument: str, cells: Sequence[str]) -> NDArray[np.float64]:
    column = parts.column(name, argument)
    if column.dtype.kind not in "fiub":
        raise ValueError(f"{argument}={name!r} holds {column.dtype}, not numbers; name a column of numbers.")
    values = column.to_numpy(dtype=np.float64)
    _finite(values[:, None], name, cells)
    return np.asarray(values)


def _finite(values: Any, name: str, cells: Sequence[str], missing: bool = False) -> None:
    refused = _too_large if missing else _not_finite
    if is_sparse(values):
        bad = np.flatnonzero(refused(values.data))
        bad = np.unique(np.searchsorted(values.indptr, bad, side="right") - 1)
    else:
        bad = np.flatnonzero(refused(values).any(axis=1))
    if len(bad):
        what = "infinite" if missing else "NaN or infinite"
        raise ValueError(
            f"the {name} of {len(bad)} of {len(cells)} cells are {what} in float32, the first of them "
            f"{cells[bad[0]]!r}; remove or repair them."
        )


def _not_finite(values: Any) -> Any:
    return ~(np.abs(values) <= np.finfo(np.float32).max)


def _too_large(values: Any) -> Any:
    return np.abs(values) > np.finfo(np.float32).max


def _groups(
    parts: Parts, name: str | None, cells: Sequence[str]
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    if name is None:
        return np.zeros(len(cells), dtype=np.int64), ()
    column = parts.column(name, "group").astype("category").cat.remove_unused_categories()
    number = column.cat.codes.to_numpy(dtype=np.int64)
    names = tuple(str(value) for value in column.cat.categories)
    if (number < 0).any():
        raise ValueError(f"group={name!r} has no value for {(number < 0).sum()} cells; give or remove them.")
    counts = np.bincount(number)
    if counts.min() < 2:
        raise ValueError(
            f"group={name!r} has 1 cell of {names[int(counts.argmin())]!r}; a graph needs at least two cells."
        )
    return number, names
