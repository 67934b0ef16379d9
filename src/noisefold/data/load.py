"""Files, folders, arrays and PyG data in, as `Graphs`.

===========================  ========================================================================
ending                       what is read
===========================  ========================================================================
.ply .off .obj .stl          a mesh, as points uniform by area on its surface, or a cloud without
                             faces: `noisefold.data.formats.surfaces`
.pcd .las .laz               a cloud with named features, of a depth camera or a laser scanner
.csv .tsv .txt .xyz .pts     points as lines of text, molecules: `noisefold.data.formats.tables`;
.parquet                     with pyarrow, the same columns
.npy .npz                    one graph or several: `noisefold.data.formats.arrays`
.h5ad .zarr .h5              a tissue, or one for each group of cells: `noisefold.data.Tissue`
===========================  ========================================================================

All but .h5ad may be compressed, as ``.csv.gz``. `noisefold.data.save` writes them.

A format is added by one line in `READERS`: its ending, and a function of a file's bytes and of what was asked
that gives `Graphs` or a `Part` (`noisefold.data.formats.reader`).
"""

from __future__ import annotations

import glob
import inspect
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from noisefold.arguments import one_of, seed_of, whole
from noisefold.data.classes import named_classes, select
from noisefold.data.folders import find
from noisefold.data.formats.arrays import from_array, from_arrays, read_npy, read_npz
from noisefold.data.formats.compressed import ending_of, gunzip
from noisefold.data.formats.h5ad import TISSUES, is_tissue
from noisefold.data.formats.objects import from_object
from noisefold.data.formats.parquet import read_parquet
from noisefold.data.formats.reader import Ask, Part, Reader
from noisefold.data.formats.surfaces import SURFACES, read_surface
from noisefold.data.formats.tables import holds_points, read_csv, read_points, read_pts, read_tsv, read_xyz
from noisefold.data.mesh import unit_sphere
from noisefold.data.notice import notify
from noisefold.data.parts import Piece, columns_of, joined
from noisefold.data.shards import is_shards, open_shards
from noisefold.data.tissue.tissue import Tissue
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.names import nearest_name
from noisefold.progress import progress

__all__ = ["READABLE", "READERS", "describe_columns", "load", "read_file", "read_files", "select", "unit"]


def _surface(ending: str) -> Reader:
    return lambda data, ask: read_surface(data, ending, lambda mesh: ask.sample(mesh, data))


READERS: dict[str, Reader] = {
    **{ending: _surface(ending) for ending in SURFACES},
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".txt": read_points,
    ".xyz": read_xyz,
    ".pts": read_pts,
    ".parquet": read_parquet,
    ".npy": read_npy,
    ".npz": read_npz,
}
"""Reader of each ending; its bytes may be compressed (.gz)."""
READABLE: tuple[str, ...] = (*READERS, *TISSUES)
"""Endings that `load` knows."""

_PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".joblib", ".dill", ".bin")
_TABLE_PARTS = ("pos", "x", "group", "label", "missing")
_NO_PARTS: Mapping[str, Any] = {}


def load(
    source: Any,
    *,
    points: int | None = None,
    classes: Sequence[str] | None = None,
    normalize: str | None = None,
    seed: int = 0,
    **parts: Any,
) -> Graphs:
    """Return graphs from files, folders, arrays or PyG data, in float32.

    Names of features and classes come along, and several files are joined by them. Labels that are numbers
    become the names of classes. Coordinates far from zero are centred in float64; `Graphs.origin` says where.
    What was left out is said in a `DataNotice`.

    Parameters
    ----------
    source
        A file; a folder of files, or of one folder for each class; a pattern such as ``"shapes/*.ply"``;
        an array or tensor, ``[n, d]`` for one graph or ``[g, n, d]``; a dictionary of arrays as in .npz;
        a PyG `Data` or `Batch`; an AnnData; `Graphs`; or a list of these.
    points
        Points sampled uniformly by area on each mesh (None: 1024), and the most kept, at random, of each
        cloud (None: all).
    classes
        Keep the graphs of these classes alone, numbered in this order.
    normalize
        ``"unit"`` centres each graph on its mean and scales it into the unit sphere; None leaves
        coordinates as they are (a model standardises by itself).
    seed
        Seed of the points. What is drawn from a file is a function of the seed and its content alone.
    **parts
        What to take from a file that holds more than graphs. Of .h5ad and AnnData: `pos`, `x`, `genes`,
        `group`, `time` and `missing`, as of `noisefold.data.Tissue.read`. Of tables: the columns ``pos=("x",
        "y")``, ``x=("heat", "load")``, ``group="sample"`` and ``label="kind"``, by name, or by number from 1
        where there is no header; of other files ``x=`` chooses among named features. ``missing=True`` lets
        coordinates and features be NaN where they are missing, for `Model.complete`.

    Returns
    -------
    Graphs
        The graphs. Those of a folder with ``train`` and ``test`` in it carry a `modality` by which `split`
        divides them as the folders do.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    ValueError
        If a format is unknown, a file is damaged, a coordinate is not finite, a graph has fewer than two
        points, or parts do not fit together.
    """
    points = None if points is None else whole("points", points, least=2)
    normalize = None if normalize is None else one_of("normalize", normalize, ("unit",))
    if isinstance(source, str | os.PathLike) and is_shards(source):
        if points is not None or parts:
            name = "points" if points is not None else next(iter(parts))
            raise ValueError(
                f"{source}: {name} is chosen when shards are written; give it to noisefold convert."
            )
        graphs = open_shards(source)
        return graphs if classes is None else select(graphs, classes)
    reading = _Reading(points, seed_of(seed), classes, parts)
    graphs = joined(reading.pieces(source), reading.ask.x is not None)
    if classes is not None:
        graphs = select(graphs, classes)
    return unit(graphs) if normalize == "unit" else graphs


def describe_columns(source: Any, **parts: Any) -> list[dict[str, str]]:
    """Return what became of the columns of files, as `load` reads them.

    Parameters
    ----------
    source, **parts
        As of `load`.

    Returns
    -------
    list of dict
        For each column its ``name``, its ``role`` (position, feature, graph, label, left out) and ``why``.
    """
    reading = _Reading(None, 0, None, parts)
    return columns_of(reading.pieces(source), reading.ask.x is not None)


def unit(graphs: Graphs) -> Graphs:
    """Return each graph centred on its mean and scaled into the unit sphere."""
    clouds = [unit_sphere(p.double().cpu().numpy()) for p in graphs.unpack()]
    return graphs.replace(pos=torch.from_numpy(np.concatenate(clouds)).to(graphs.pos), origin=())


def read_files(
    files: Sequence[Path],
    points: int | None = None,
    seed: int = 0,
    labels: Sequence[str] | None = None,
    parts: Mapping[str, Any] = _NO_PARTS,
) -> Graphs:
    """Return the graphs in several files, joined by name; a name for each file is its class."""
    reading = _Reading(points, seed, None, parts)
    return joined(reading.files(files, labels), reading.ask.x is not None)


def read_file(
    path: Path, points: int | None = None, seed: int = 0, parts: Mapping[str, Any] = _NO_PARTS
) -> Graphs:
    """Return the graphs in one file; see `load`."""
    return read_files([path], points, seed, parts=parts)


class _Reading:
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
        )

    # -- sources ---------------------------------------------------------------------------------------

    def pieces(self, source: Any, where: str = "source") -> list[Piece]:
        """Return all graphs of a source."""
        if isinstance(source, str | os.PathLike):
            return self.path(Path(source).expanduser())
        piece = self.in_memory(source, where)
        if piece is not None:
            return [piece]
        if isinstance(source, Iterable):
            several = [p for i, one in enumerate(source) for p in self.pieces(one, f"{where}[{i}]")]
            if several:
                return several
        raise ValueError(
            f"source must be a path, a pattern, an array, PyG data, AnnData, Graphs or a list of these that "
            f"is not empty, got {type(source).__name__}."
        )

    def in_memory(self, source: Any, where: str) -> Piece | None:
        """Return the graphs of an object, or None if it is of no known kind."""
        try:
            read = self.converted(source)
            bits = np.random.Philox(key=self.ask.seed)
            return None if read is None else self.piece(read, where, bits, tissue=hasattr(source, "obsm"))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error

    def converted(self, source: Any) -> Graphs | Part | None:
        """Return what an object holds, or None if it is of no known kind."""
        if hasattr(source, "obsm"):
            return self.tissue(source)
        if isinstance(source, Graphs):
            return source
        if isinstance(source, np.ndarray | Tensor):
            return from_array(source, self.ask)
        if isinstance(source, Mapping):
            return from_arrays(source, self.ask)
        return from_object(source, self.ask)

    def path(self, path: Path) -> list[Piece]:
        """Return the graphs of a file, a folder or a pattern."""
        if is_tissue(path) and path.exists():
            return self.files([path])
        if path.is_dir():
            return self.folder(path)
        if path.exists() or not set(str(path)) & set("*?["):
            return self.files([path])
        files = [Path(p) for p in sorted(glob.glob(str(path), recursive=True)) if Path(p).is_file()]
        if not files:
            raise FileNotFoundError(f"{path}: no file matches; check the pattern.")
        return self.files(files)

    def folder(self, path: Path) -> list[Piece]:
        """Return the graphs of a folder, and say what was passed over."""
        found = find(path, _is_data, self.classes)
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
            return self.piece(graphs, str(path), bits, tissue=True)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: there is no such file; check the path.")
        if ending not in READERS:
            raise ValueError(f"{path}: {_unsupported(ending)}")
        data = path.read_bytes()
        try:
            content = gunzip(data) if packed else data
            if not content.strip():
                raise ValueError("the file is empty; export it again.")
            read = READERS[ending](content, self.ask)
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
        self, read: Graphs | Part, where: str, bits: np.random.BitGenerator, tissue: bool = False
    ) -> Piece:
        """Return graphs that were read, checked and thinned, in float64."""
        part = read if isinstance(read, Part) else Part(read)
        graphs = part.graphs
        if not part.columns and not tissue:
            graphs = self.chosen(graphs)
        graphs = _checked(named(graphs), self.ask.missing)
        graphs = graphs.replace(pos=graphs.pos.double(), x=None if graphs.x is None else graphs.x.double())
        if self.ask.points is not None:
            keys = torch.from_numpy(np.random.Generator(bits).random(graphs.num_nodes))
            graphs = graphs.thin(self.ask.points, keys.to(graphs.device))
        return Piece(graphs, where, part.columns)

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


def named(graphs: Graphs) -> Graphs:
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


def _is_data(path: Path) -> bool:
    ending, packed = ending_of(path)
    if ending in TISSUES and not packed:
        return path.exists()
    if ending not in READERS or not path.is_file():
        return False
    # Notes and licences are text, too.
    return ending != ".txt" or packed or _begins_with_points(path)


def _begins_with_points(path: Path) -> bool:
    with path.open("rb") as stream:
        return holds_points(stream.read(4096))


def _brief(text: str) -> str:
    """One line, in which no name from a file takes more than its share."""
    text = re.sub(r"(\S{80})\S+", r"\1...", " ".join(text.split()))
    return text if len(text) <= 600 else f"{text[:400]} ... {text[-150:]}"


def _unsupported(ending: str) -> str:
    if ending in _PICKLES:
        return (
            f"{ending} files are pickles, which are never opened because that runs their author's code; save "
            f"plain arrays with numpy.savez."
        )
    return f"the ending {ending!r} is not supported, only {' '.join(READABLE)}; convert it."


def _checked(graphs: Graphs, missing: bool = False) -> Graphs:
    if len(graphs) == 0 or graphs.num_nodes == 0 or (graphs.dim == 0 and graphs.edge_index is None):
        raise ValueError("there are no points; give at least one graph with positions [n, d].")
    if int(graphs.sizes.min()) < 2:
        i = int(graphs.sizes.argmin())
        raise ValueError(f"graph {i} has {int(graphs.sizes[i])} of at least 2 points; remove it.")
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
