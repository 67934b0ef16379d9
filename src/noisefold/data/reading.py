"""Files, folders, patterns, arrays and objects of other libraries as checked pieces."""

from __future__ import annotations

import glob
import inspect
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from noisefold.data.classes import named_classes
from noisefold.data.earth.gridded import Gridded
from noisefold.data.earth.libraries import is_xarray
from noisefold.data.earth.netcdf import ENDINGS, is_gridded, opened_grid
from noisefold.data.earth.together import on_earth
from noisefold.data.folders import find
from noisefold.data.formats.arrays import from_array, from_arrays
from noisefold.data.formats.compressed import ending_of, gunzip
from noisefold.data.formats.guard import guarded
from noisefold.data.formats.h5ad import is_tissue
from noisefold.data.formats.objects import from_object
from noisefold.data.formats.reader import Ask, Part
from noisefold.data.formats.readers import READABLE, is_readable, reader_of
from noisefold.data.notice import notify
from noisefold.data.parts import Piece
from noisefold.data.tissue.tissue import Tissue
from noisefold.data.tu import is_tu, read_tu
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.names import nearest_name
from noisefold.progress import progress

__all__ = ["Reading"]

_TABLE_PARTS = (
    "pos",
    "x",
    "group",
    "label",
    "missing",
    "skip",
    "hydrogens",
    "properties",
    "vector",
    "level",
    "mask",
)


class Reading:
    """One call of `load`: what was asked, and everything that it reads."""

    def __init__(
        self, points: int | None, seed: int, classes: Sequence[str] | None, parts: Mapping[str, Any]
    ) -> None:
        self.parts, self.classes = parts, classes
        known = inspect.signature(Tissue.read).parameters
        for name in parts:
            if name not in known and name not in _TABLE_PARTS:
                of = ", ".join(dict.fromkeys([*list(known)[1:], *_TABLE_PARTS]))
                raise ValueError(f"there is no argument {name!r}, only {of}; correct it.")
        self.ask = Ask(
            points,
            seed,
            _names(parts.get("pos"), "pos"),
            _names(parts.get("x"), "x"),
            _name(parts.get("group"), "group"),
            _name(parts.get("label"), "label"),
            bool(parts.get("missing")),
            bool(parts.get("skip")),
            bool(parts.get("hydrogens")),
            vector=_names(parts.get("vector"), "vector"),
            level=_names(parts.get("level"), "level"),
            mask=_name(parts.get("mask"), "mask"),
            time=_name(parts.get("time"), "time"),
            properties=_names(parts.get("properties"), "properties"),
        )

    # -- sources ---------------------------------------------------------------------------------------

    def pieces(self, source: Any, where: str = "source") -> list[Piece]:
        """Return all graphs of a source."""
        if isinstance(source, str | os.PathLike):
            return self.path(Path(source).expanduser())
        if isinstance(source, np.ndarray) and source.dtype == object and source.ndim == 1:
            source = list(source)
        piece = self.in_memory(_array_of(source), where)
        if piece is not None:
            return [piece]
        if isinstance(source, Iterable):
            several = [p for i, one in enumerate(source) for p in self.pieces(one, f"{where}[{i}]")]
            if several:
                return several
        raise ValueError(
            f"{where} must be a path, a pattern, an array, PyG data, AnnData, Graphs or a list of these that "
            f"is not empty, got {type(source).__name__}."
        )

    def in_memory(self, source: Any, where: str) -> Piece | None:
        """Return the graphs of an object, or None if it is of no known kind."""
        try:
            read = self.converted(source)
            bits = np.random.Philox(key=self.ask.seed)
            return None if read is None else self.piece(read, where, bits, checked=hasattr(source, "obsm"))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        except (TypeError, RuntimeError, LookupError, AttributeError) as error:  # of an object's own methods
            what = _brief((str(error).splitlines() or [""])[0]) or type(error).__name__
            raise ValueError(
                f"{where}: this {type(source).__name__} cannot be read ({what}); give plain arrays."
            ) from error

    def converted(self, source: Any) -> Graphs | Part | None:
        """Return what an object holds, or None if it is of no known kind."""
        if hasattr(source, "obsm"):
            return self.tissue(source)
        if isinstance(source, Graphs):
            return source
        if isinstance(source, np.ndarray | Tensor):
            return from_array(source, self.ask)
        if isinstance(source, Mapping) and not is_xarray(source):
            return from_arrays(source, self.ask)
        return from_object(source, self.ask)

    def path(self, path: Path) -> list[Piece]:
        """Return the graphs of a file, a folder or a pattern."""
        if (is_tissue(path) or is_gridded(path)) and path.exists():
            return self.files([path])
        if path.is_dir():
            return self.folder(path)
        if path.exists() or not set(str(path)) & set("*?["):
            return self.files([path])
        files = [
            Path(p)
            for p in sorted(glob.glob(str(path), recursive=True))
            if Path(p).is_file() or is_readable(Path(p))
        ]
        if not files:
            raise FileNotFoundError(f"{path}: no file matches; check the pattern.")
        return self.files(files)

    def folder(self, path: Path) -> list[Piece]:
        """Return the graphs of a folder, and say what was passed over."""
        if is_tu(path):
            return [self.benchmark(path)]
        found = find(path, is_readable, self.classes)
        if not found.files:
            there = f", only {found.passed_over}" if found.passed else ""
            raise FileNotFoundError(
                f"{path}: the folder has no file with the ending {' '.join(READABLE)}{there}; convert them."
            )
        pieces = self.files(found.files, found.classes, found.parts)
        if found.passed:
            notify(f"{path}: {len(found.files)} files were read and {found.passed_over} passed over.")
        if found.parts:
            count = {p: found.parts.count(p) for p in sorted(set(found.parts))}
            listed = ", ".join(f"{n} files in {p}" for p, n in count.items())
            notify(f"{path}: the folders are the split ({listed}); what is not in train is held out.")
        if not found.divided:
            notify(f"{path}: folders such as train and test are no split, as not all files are in one.")
        return pieces

    def benchmark(self, path: Path) -> Piece:
        """Return the graphs of a folder of the TU collection."""
        try:
            return self.piece(read_tu(path), str(path), np.random.Philox(key=self.ask.seed))
        except ValueError as error:
            raise ValueError(f"{path}: {_brief(str(error))}") from error

    # -- files -----------------------------------------------------------------------------------------

    def files(
        self, files: Sequence[Path], classes: Sequence[str] | None = None, parts: Sequence[str] | None = None
    ) -> list[Piece]:
        """Return the graphs of files, with their classes and parts of a split."""
        pieces = []
        with progress("reading files", len(files)) as advance:
            for i, file in enumerate(files):
                piece = self.file(file)
                label = None if classes is None else classes[i]
                pieces.append(replace(piece, label=label, part=None if parts is None else parts[i]))
                advance(1, "")
        return pieces

    def file(self, path: Path) -> Piece:
        """Return the graphs of one file."""
        ending, packed = ending_of(path)
        if is_tissue(path) and path.exists():
            graphs = self.tissue(path)
            bits = self.ask.random(graphs.pos.numpy().tobytes()).bit_generator
            return self.piece(graphs, str(path), bits, checked=True)
        if is_gridded(path) and path.exists():
            with guarded(path), opened_grid(path) as data:
                part = Gridded.of(data, self.ask).part()
            return self.piece(part, str(path), self.ask.random(b"").bit_generator)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: there is no such file; check the path.")
        try:
            reader = _packed_grid if ending in ENDINGS else reader_of(ending)
            data = path.read_bytes()
            content = gunzip(data) if packed else data
            if not content.strip():
                raise ValueError("the file is empty; export it again.")
            read = reader(content, self.ask)
            return self.piece(read, str(path), self.ask.random(content).bit_generator)
        except ValueError as error:
            raise ValueError(f"{path}: {_brief(str(error))}") from error

    def tissue(self, source: Any) -> Graphs:
        """Return a tissue as graphs, one for each group of cells."""
        known = list(inspect.signature(Tissue.read).parameters)[1:]
        for name in self.parts:
            if name not in known:
                raise ValueError(f"a tissue has no argument {name!r}{nearest_name(name, known)}")
        return Tissue.read(source, **self.parts).graphs()

    def piece(
        self, read: Graphs | Part, where: str, bits: np.random.BitGenerator, checked: bool = False
    ) -> Piece:
        """Return graphs that were read, checked and thinned, in float64."""
        part = read if isinstance(read, Part) else Part(read)
        graphs = part.graphs
        if not checked and not on_earth(
            graphs
        ):  # whose values were checked, and may be too many for a copy in float64
            graphs = graphs if part.columns else self.chosen(graphs)
            graphs = _checked(_named(graphs), self.ask.missing)
            x = None if graphs.x is None else graphs.x.double()
            graphs = graphs.replace(pos=graphs.pos.double(), x=x)
        if self.ask.points is not None and graphs.dim:
            keys = torch.from_numpy(np.random.Generator(bits).random(graphs.num_nodes))
            graphs = graphs.thin(self.ask.points, keys.to(graphs.device))
        return Piece(graphs, where, part.columns, notes=part.notes)

    def chosen(self, graphs: Graphs) -> Graphs:
        """Return graphs that have no columns with the features that were asked for."""
        other = next((n for n in ("pos", "group", "label") if getattr(self.ask, n) is not None), None)
        if other is not None:
            raise ValueError(f"{other} names a column of a table or a part of a tissue; leave it out here.")
        if self.ask.x is None:
            return graphs
        if not self.ask.x:
            return graphs.replace(x=None)
        if not graphs.feature_names:
            raise ValueError("x names features, but these have no names; leave it out here.")
        return graphs.with_features(self.ask.x)


def _array_of(source: Any) -> Any:
    """Return the array that rows of numbers in a list are, and anything else as it is."""
    if not (isinstance(source, list | tuple) and source and all(map(_is_row, source))):
        return source
    if len({len(row) for row in source}) > 1:
        raise ValueError("the points of a list must have as many coordinates each; correct them.")
    return np.array(source, dtype=np.float64)


def _is_row(row: Any) -> bool:
    return isinstance(row, list | tuple) and bool(row) and all(isinstance(v, Real) for v in row)


def _packed_grid(content: bytes, ask: Ask) -> Part:
    with guarded(None), opened_grid(content) as data:
        return Gridded.of(data, ask).part()


def _named(graphs: Graphs) -> Graphs:
    """Return graphs whose labels, if any, were found to be sound."""
    if graphs.label is not None and len(graphs) and not graphs.classes:
        named_classes(graphs)
        return graphs
    return named_classes(graphs)


def _names(value: Any, name: str) -> tuple[str, ...] | None:
    if value is None or isinstance(value, str):
        return None if value is None else (value,)
    if isinstance(value, Iterable):
        return tuple(str(v) for v in value)
    if isinstance(value, int | np.integer):
        return (str(value),)
    raise ValueError(f"{name} must be a name or a list of names, got {value!r}.")


def _name(value: Any, name: str) -> str | None:
    names = _names(value, name)
    if names is not None and len(names) != 1:
        raise ValueError(f"{name} must be one name, got {value!r}.")
    return None if names is None else names[0]


def _brief(text: str) -> str:
    """One line, in which no name from a file takes more than its share."""
    text = re.sub(r"(\S{80})\S+", r"\1...", " ".join(text.split()))
    return text if len(text) <= 600 else f"{text[:400]} ... {text[-150:]}"


def _checked(graphs: Graphs, missing: bool = False) -> Graphs:
    if len(graphs) == 0 or graphs.num_nodes == 0 or (graphs.dim == 0 and graphs.edge_index is None):
        raise ValueError("there are no points; give at least one graph with positions [n, d].")
    least = 2 if graphs.edge_index is None else 1  # one node is a graph, as of methane, but no cloud
    if int(graphs.sizes.min()) < least:
        i = int(graphs.sizes.argmin())
        raise ValueError(f"graph {i} has {int(graphs.sizes[i])} of at least {least} points; remove it.")
    for name, values in (("coordinates", graphs.pos), ("features", graphs.x)):
        if values is None:
            continue
        bad = values.isinf() if missing else ~values.isfinite()
        bad |= values.abs() > torch.finfo(torch.float32).max
        if bool(bad.any()):
            row = int(bad.any(dim=1).nonzero()[0])
            what = "infinite" if missing else "NaN or infinite"
            raise ValueError(f"the {name} of point {row} are {what} in float32; remove or repair it.")
    return graphs
