"""Files, folders, arrays and PyG data in, as `Graphs`.

=================  ==================================================================================
ending             what is read
=================  ==================================================================================
.ply .off          a mesh, as points uniform by area on its surface, or a cloud without faces:
.obj .stl          `noisefold.data.formats.surfaces`
.xyz .csv          a cloud, several clouds, molecules: `noisefold.data.formats.tables`
.npy .npz          one graph or several: `noisefold.data.formats.arrays`
.h5ad .zarr .h5    a tissue, or one for each group of cells: `noisefold.data.Tissue`
=================  ==================================================================================

`noisefold.data.save` writes them.
"""

from __future__ import annotations

import glob
import inspect
import os
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from noisefold.data.formats.arrays import from_array, from_arrays, read_npy, read_npz
from noisefold.data.formats.h5ad import TISSUES, is_tissue
from noisefold.data.formats.surfaces import Sampler, read_surface
from noisefold.data.formats.tables import read_csv, read_xyz
from noisefold.data.mesh import Array, Mesh, sample_surface, unit_sphere
from noisefold.data.shards import is_shards, open_shards
from noisefold.data.tissue.tissue import Tissue
from noisefold.geometry.graphs import Graphs
from noisefold.progress import progress

__all__ = ["READABLE", "load", "read_file", "read_files", "select", "unit"]

_SURFACES = (".ply", ".off", ".obj", ".stl")
_READERS: dict[str, Callable[[bytes], Graphs]] = {
    ".xyz": read_xyz,
    ".csv": read_csv,
    ".npy": read_npy,
    ".npz": read_npz,
}
_MESH_POINTS = 1024
_NO_PARTS: Mapping[str, Any] = {}

READABLE: tuple[str, ...] = (*_SURFACES, *_READERS, *TISSUES)
"""Endings that `load` knows."""


def load(
    source: Any,
    *,
    points: int | None = None,
    classes: Sequence[str] | None = None,
    normalize: str | None = None,
    seed: int = 0,
    **parts: Any,
) -> Graphs:
    """Graphs from files, folders, arrays or PyG data, in float32.

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
        `group`, `time` and `missing`, as of `noisefold.data.Tissue.read`. Of other files: ``missing=True``
        lets coordinates and features be NaN where they are missing, for `Model.complete`.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    ValueError
        If a format is unknown, a file is damaged, a coordinate is not finite, a graph has fewer than two
        points, or parts do not fit together.
    """
    if points is not None and points < 2:
        raise ValueError(f"points must be at least 2, got {points}.")
    if normalize not in (None, "unit"):
        raise ValueError(f"normalize must be 'unit' or None, got {normalize!r}.")
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed must lie in [0, 2**63), got {seed}.")
    graphs = _any(source, points, seed, classes, parts)
    if classes is not None:
        graphs = select(graphs, classes)
    return unit(graphs) if normalize == "unit" else graphs


def _any(
    source: Any, points: int | None, seed: int, classes: Sequence[str] | None, parts: Mapping[str, Any]
) -> Graphs:
    if isinstance(source, str | os.PathLike):
        return _path(Path(source).expanduser(), points, seed, classes, parts)
    graphs = _in_memory(source, points, seed, parts)
    if graphs is not None:
        return graphs
    if isinstance(source, Iterable):
        several = [_any(one, points, seed, classes, parts) for one in source]
        if several:
            return _joined(several)
    raise ValueError(
        f"source must be a path, a pattern, an array, PyG data, AnnData, Graphs or a list of these that is "
        f"not empty, got {type(source).__name__}."
    )


def _in_memory(source: Any, points: int | None, seed: int, parts: Mapping[str, Any]) -> Graphs | None:
    try:
        graphs = _converted(source, parts)
        if graphs is None:
            return None
        x = None if graphs.x is None else graphs.x.float()
        graphs = _checked(graphs.replace(pos=graphs.pos.float(), x=x))
    except ValueError as error:
        raise ValueError(f"source: {error}") from error
    return _thinned(graphs, points, np.random.Generator(np.random.Philox(key=seed)))


def _converted(source: Any, parts: Mapping[str, Any]) -> Graphs | None:
    if hasattr(source, "obsm"):
        return _tissue(source, parts)
    if isinstance(source, Graphs):
        graphs = source
    elif isinstance(source, np.ndarray | Tensor):
        graphs = from_array(source)
    elif isinstance(source, Mapping):
        graphs = from_arrays(source)
    elif hasattr(source, "pos") or hasattr(source, "to_data_list"):
        graphs = Graphs.from_pyg(source)
    else:
        return None
    _refuse(parts)
    return graphs


def _tissue(source: Any, parts: Mapping[str, Any]) -> Graphs:
    known = list(inspect.signature(Tissue.read).parameters)[1:]
    unknown = next((name for name in parts if name not in known), None)
    if unknown is not None:
        raise ValueError(f"there is no argument {unknown!r}, only {', '.join(known)}; correct it.")
    return Tissue.read(source, **parts).graphs()


def _refuse(parts: Mapping[str, Any]) -> None:
    if parts:
        raise ValueError(f"{', '.join(parts)} can be named for .h5ad files and AnnData alone; leave it out.")


def _thinned(graphs: Graphs, points: int | None, rng: np.random.Generator) -> Graphs:
    if points is None:
        return graphs
    keys = torch.from_numpy(rng.random(graphs.num_nodes))
    return graphs.thin(points, keys.to(graphs.device))


def _checked(graphs: Graphs, missing: bool = False) -> Graphs:
    if len(graphs) == 0 or graphs.num_nodes == 0 or graphs.dim == 0:
        raise ValueError("there are no points; give at least one graph with positions [n, d].")
    if int(graphs.sizes.min()) < 2:
        i = int(graphs.sizes.argmin())
        raise ValueError(f"graph {i} has {int(graphs.sizes[i])} of at least 2 points; remove it.")
    for name, values in (("coordinates", graphs.pos), ("features", graphs.x)):
        if values is None:
            continue
        bad = values.isinf() if missing else ~values.isfinite()
        if bool(bad.any()):
            row = int(bad.any(dim=1).nonzero()[0])
            what = "infinite" if missing else "NaN or infinite"
            raise ValueError(f"the {name} of point {row} are {what}; remove or repair it.")
    return graphs


def _joined(parts: Sequence[Graphs]) -> Graphs:
    """All parts as one, classes matched by name."""
    names = tuple(dict.fromkeys(name for part in parts for name in part.classes))
    if names:
        for part in parts:
            if part.label is not None and not part.classes:
                raise ValueError("some labels have names and others none; give all of them `classes`.")
    return Graphs.collate([_renamed(part, names) for part in parts])


def _renamed(graphs: Graphs, names: tuple[str, ...]) -> Graphs:
    if graphs.classes == names or graphs.label is None:
        return graphs.replace(classes=names)
    numbers = torch.tensor([names.index(name) for name in graphs.classes])
    return graphs.replace(label=numbers[graphs.label], classes=names)


def select(graphs: Graphs, classes: Sequence[str]) -> Graphs:
    """The graphs of some classes alone, numbered in the order given.

    Raises
    ------
    ValueError
        If there are no classes, or one is unknown.
    """
    wanted = tuple(classes)
    names = set(wanted)
    if graphs.label is None or not wanted or not names <= set(graphs.classes) or len(names) < len(wanted):
        known = ", ".join(graphs.classes) if graphs.label is not None else "there are none"
        raise ValueError(f"classes must be a list of different known names ({known}), got {classes!r}.")
    number = torch.full((len(graphs.classes),), -1)
    number[[graphs.classes.index(name) for name in wanted]] = torch.arange(len(wanted))
    label = number[graphs.label]
    kept = graphs[label >= 0]
    if len(kept) == 0:
        raise ValueError(f"there is no graph of the classes {', '.join(wanted)}; name others.")
    return kept.replace(label=label[label >= 0], classes=wanted)


def unit(graphs: Graphs) -> Graphs:
    """Each graph centred on its mean and scaled into the unit sphere."""
    clouds = [unit_sphere(p.double().cpu().numpy()) for p in graphs.unpack()]
    return graphs.replace(pos=torch.from_numpy(np.concatenate(clouds)).to(graphs.pos))


# -- paths --------------------------------------------------------------------------------------------------


def _path(
    path: Path, points: int | None, seed: int, classes: Sequence[str] | None, parts: Mapping[str, Any]
) -> Graphs:
    if is_tissue(path):
        return read_file(path, points, seed, parts)
    if is_shards(path):
        _refuse(parts)
        return _thinned(open_shards(path), points, np.random.Generator(np.random.Philox(key=seed)))
    if path.is_dir():
        return _folder(path, points, seed, classes, parts)
    if path.exists() or not set(str(path)) & set("*?["):
        return read_file(path, points, seed, parts)
    files = [Path(p) for p in sorted(glob.glob(str(path), recursive=True)) if Path(p).is_file()]
    if not files:
        raise FileNotFoundError(f"{path}: no file matches; check the pattern.")
    return read_files(files, points, seed, parts=parts)


def _folder(
    path: Path, points: int | None, seed: int, classes: Sequence[str] | None, parts: Mapping[str, Any]
) -> Graphs:
    files, folders = _readable(path.iterdir()), sorted(p for p in path.iterdir() if p.is_dir())
    inside = {p.name: _readable(p.rglob("*")) for p in folders if not p.name.startswith(".")}
    inside = {name: found for name, found in inside.items() if found}
    if not files and not inside:
        raise FileNotFoundError(f"{path}: the folder has no file with the ending {' '.join(READABLE)}.")
    if files and inside:
        raise ValueError(
            f"{path}: both files ({files[0].name}) and folders of files ({next(iter(inside))}) are here, so "
            f"that classes are unclear; move either away or name a pattern."
        )
    if files:
        return read_files(files, points, seed, parts=parts)
    if classes is not None and all(name in inside for name in classes):
        inside = {name: inside[name] for name in classes}
    labels = [name for name, found in inside.items() for _ in found]
    return read_files([file for found in inside.values() for file in found], points, seed, labels, parts)


def _readable(paths: Iterable[Path]) -> list[Path]:
    found = (p for p in paths if p.suffix.lower() in READABLE and p.name[0] != ".")
    return sorted(p for p in found if p.is_file() or p.suffix.lower() == ".zarr")


def read_files(
    files: Sequence[Path],
    points: int | None = None,
    seed: int = 0,
    labels: Sequence[str] | None = None,
    parts: Mapping[str, Any] = _NO_PARTS,
) -> Graphs:
    """The graphs in several files, which must have the same fields; a name for each file is its class."""
    read: list[Graphs] = []
    with progress("reading files", len(files)) as advance:
        for file in files:
            read.append(read_file(file, points, seed, parts))
            _fits(file, read[-1], files[0], read[0])
            advance(1, "")
    if labels is not None:
        names = tuple(dict.fromkeys(labels))
        numbers = [torch.full((len(p),), names.index(k)) for k, p in zip(labels, read, strict=True)]
        read = [p.replace(label=k, classes=names) for k, p in zip(numbers, read, strict=True)]
    return _joined(read)


def _fits(file: Path, part: Graphs, first: Path, model: Graphs) -> None:
    for name, a, b in (("dimensions", model.dim, part.dim), ("features", model.features, part.features)):
        if a != b:
            raise ValueError(f"{file}: the points have {b} {name}, those of {first.name} {a}; separate them.")
    for name in ("label", "edge_index", "edge_attr", "mask"):
        if (getattr(model, name) is None) != (getattr(part, name) is None):
            raise ValueError(
                f"{file}: one of it and {first.name} has `{name}`, the other none; separate them."
            )


def read_file(
    path: Path, points: int | None = None, seed: int = 0, parts: Mapping[str, Any] = _NO_PARTS
) -> Graphs:
    """The graphs in one file; see `load`."""
    ending = path.suffix.lower()
    if is_tissue(path):
        graphs = _tissue(path, parts)
        return _thinned(graphs, points, _rng(seed, graphs.pos.numpy().tobytes()))
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file; check the path.")
    if ending not in READABLE:
        raise ValueError(
            f"{path}: the ending {ending!r} is not supported, only {' '.join(READABLE)}; convert it."
        )
    data = path.read_bytes()
    rng = _rng(seed, data)

    def sampler(mesh: Mesh) -> Array:
        return sample_surface(mesh, points or _MESH_POINTS, rng)

    try:
        missing = bool(parts.get("missing"))
        _refuse({k: v for k, v in parts.items() if k != "missing"})
        if not data.strip():
            raise ValueError("the file is empty; export it again.")
        graphs = _checked(_parsed(data, ending, sampler), missing)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return _thinned(graphs, points, rng)


def _rng(seed: int, content: bytes) -> np.random.Generator:
    key = np.array([seed, zlib.crc32(content)], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))


def _parsed(data: bytes, ending: str, sampler: Sampler) -> Graphs:
    return read_surface(data, ending, sampler) if ending in _SURFACES else _READERS[ending](data)
