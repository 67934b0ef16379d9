"""Files, folders, arrays and PyG data in, as `Graphs`.

=================  ==================================================================================
ending             what is read
=================  ==================================================================================
.ply .off          a mesh, as points uniform by area on its surface, or a cloud without faces:
.obj .stl          `noisefold.data.surfaces`
.xyz .csv          a cloud, several clouds, molecules: `noisefold.data.tables`
.npy .npz          one graph or several: `noisefold.data.arrays`
=================  ==================================================================================

`noisefold.data.outputs` writes them.
"""

from __future__ import annotations

import glob
import os
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from noisefold.data.arrays import from_array, from_arrays, read_npy, read_npz
from noisefold.data.mesh import Array, Mesh, sample_surface, unit_sphere
from noisefold.data.surfaces import Sampler, read_surface
from noisefold.data.tables import read_csv, read_xyz
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

READABLE: tuple[str, ...] = (*_SURFACES, *_READERS)
"""Endings that `load` knows."""


def load(
    source: Any,
    *,
    points: int | None = None,
    classes: Sequence[str] | None = None,
    normalize: str | None = None,
    seed: int = 0,
) -> Graphs:
    """Graphs from files, folders, arrays or PyG data, in float32.

    Parameters
    ----------
    source
        A file; a folder of files, or of one folder for each class; a pattern such as ``"shapes/*.ply"``;
        an array or tensor, ``[n, d]`` for one graph or ``[g, n, d]``; a dictionary of arrays as in .npz;
        a PyG `Data` or `Batch`; `Graphs`; or a list of these.
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
    graphs = _any(source, points, seed, classes)
    if classes is not None:
        graphs = select(graphs, classes)
    return unit(graphs) if normalize == "unit" else graphs


def _any(source: Any, points: int | None, seed: int, classes: Sequence[str] | None) -> Graphs:
    if isinstance(source, str | os.PathLike):
        return _path(Path(source).expanduser(), points, seed, classes)
    if isinstance(source, Graphs):
        return _in_memory(lambda: source, points, seed)
    if isinstance(source, np.ndarray | Tensor):
        return _in_memory(lambda: from_array(source), points, seed)
    if isinstance(source, Mapping):
        return _in_memory(lambda: from_arrays(source), points, seed)
    if hasattr(source, "pos") or hasattr(source, "to_data_list"):
        return _in_memory(lambda: Graphs.from_pyg(source), points, seed)
    if isinstance(source, Iterable):
        parts = [_any(part, points, seed, classes) for part in source]
        if parts:
            return _joined(parts)
    raise ValueError(
        f"source must be a path, a pattern, an array, PyG data, Graphs or a list of these that is not empty, "
        f"got {type(source).__name__}."
    )


def _in_memory(make: Callable[[], Graphs], points: int | None, seed: int) -> Graphs:
    try:
        graphs = make()
        x = None if graphs.x is None else graphs.x.float()
        graphs = _checked(graphs.replace(pos=graphs.pos.float(), x=x))
    except ValueError as error:
        raise ValueError(f"source: {error}") from error
    return _thinned(graphs, points, np.random.Generator(np.random.Philox(key=seed)))


def _thinned(graphs: Graphs, points: int | None, rng: np.random.Generator) -> Graphs:
    if points is None:
        return graphs
    keys = torch.from_numpy(rng.random(graphs.num_nodes))
    return graphs.thin(points, keys.to(graphs.device))


def _checked(graphs: Graphs) -> Graphs:
    if len(graphs) == 0 or graphs.num_nodes == 0 or graphs.dim == 0:
        raise ValueError("there are no points; give at least one graph with positions [n, d].")
    if int(graphs.sizes.min()) < 2:
        i = int(graphs.sizes.argmin())
        raise ValueError(f"graph {i} has {int(graphs.sizes[i])} of at least 2 points; remove it.")
    for name, values in (("coordinates", graphs.pos), ("features", graphs.x)):
        if values is not None and not bool(torch.isfinite(values).all()):
            row = int((~torch.isfinite(values)).any(dim=1).nonzero()[0])
            raise ValueError(f"the {name} of point {row} are NaN or infinite; remove or repair it.")
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


def _path(path: Path, points: int | None, seed: int, classes: Sequence[str] | None) -> Graphs:
    if path.is_dir():
        return _folder(path, points, seed, classes)
    if path.exists() or not set(str(path)) & set("*?["):
        return read_file(path, points, seed)
    files = [Path(p) for p in sorted(glob.glob(str(path), recursive=True)) if Path(p).is_file()]
    if not files:
        raise FileNotFoundError(f"{path}: no file matches; check the pattern.")
    return read_files(files, points, seed)


def _folder(path: Path, points: int | None, seed: int, classes: Sequence[str] | None) -> Graphs:
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
        return read_files(files, points, seed)
    if classes is not None and all(name in inside for name in classes):
        inside = {name: inside[name] for name in classes}
    labels = [name for name, found in inside.items() for _ in found]
    return read_files([file for found in inside.values() for file in found], points, seed, labels)


def _readable(paths: Iterable[Path]) -> list[Path]:
    return sorted(p for p in paths if p.suffix.lower() in READABLE and p.name[0] != "." and p.is_file())


def read_files(
    files: Sequence[Path], points: int | None = None, seed: int = 0, labels: Sequence[str] | None = None
) -> Graphs:
    """The graphs in several files, which must have the same fields; a name for each file is its class."""
    parts: list[Graphs] = []
    with progress("reading files", len(files)) as advance:
        for file in files:
            parts.append(read_file(file, points, seed))
            _fits(file, parts[-1], files[0], parts[0])
            advance(1, "")
    if labels is not None:
        names = tuple(dict.fromkeys(labels))
        numbers = [torch.full((len(p),), names.index(k)) for k, p in zip(labels, parts, strict=True)]
        parts = [p.replace(label=k, classes=names) for k, p in zip(numbers, parts, strict=True)]
    return _joined(parts)


def _fits(file: Path, part: Graphs, first: Path, model: Graphs) -> None:
    for name, a, b in (("dimensions", model.dim, part.dim), ("features", model.features, part.features)):
        if a != b:
            raise ValueError(f"{file}: the points have {b} {name}, those of {first.name} {a}; separate them.")
    for name in ("label", "edge_index", "edge_attr", "mask"):
        if (getattr(model, name) is None) != (getattr(part, name) is None):
            raise ValueError(
                f"{file}: one of it and {first.name} has `{name}`, the other none; separate them."
            )


def read_file(path: Path, points: int | None = None, seed: int = 0) -> Graphs:
    """The graphs in one file; see `load`."""
    ending = path.suffix.lower()
    if ending not in READABLE:
        raise ValueError(
            f"{path}: the ending {ending!r} is not supported, only {' '.join(READABLE)}; convert it."
        )
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file; check the path.")
    data = path.read_bytes()
    key = np.array([seed, zlib.crc32(data)], dtype=np.uint64)
    rng = np.random.Generator(np.random.Philox(key=key))

    def sampler(mesh: Mesh) -> Array:
        return sample_surface(mesh, points or _MESH_POINTS, rng)

    try:
        if not data.strip():
            raise ValueError("the file is empty; export it again.")
        graphs = _checked(_parsed(data, ending, sampler))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return _thinned(graphs, points, rng)


def _parsed(data: bytes, ending: str, sampler: Sampler) -> Graphs:
    return read_surface(data, ending, sampler) if ending in _SURFACES else _READERS[ending](data)
