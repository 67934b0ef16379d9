"""Graphs out, to files that are written whole or not at all.

======================== ==============================================================================
ending                   what is written
======================== ==============================================================================
.npz                     everything, several graphs; loads back exactly
.csv .tsv .parquet       positions in 1 to 3 dimensions, features and classes by name; several graphs
.npy                     positions ``[g, n, d]`` of graphs of one size
.ply                     positions, features, edges; one graph a file, a folder of files for several
.pcd .xyz .txt .pts      positions and features; the same; of molecules as .xyz elements and positions
.h5ad                    an AnnData: features with their names, positions, classes
.nc                      values on the sphere in the names, units and grid that were read
.graphml .gexf .gml      a graph with edges, types, features and positions; one graph a file
.edgelist                edges with their types; one graph a file
.g6 .s6                  edges alone, a graph a line
.smi .sdf                molecules by their types, with rdkit; several graphs
.png                     images: one, or several in a grid
.npz of images           ``arr_0`` ``[n, h, w, c]`` in uint8, ``labels`` and ``classes``
no ending, of images     a folder of PNG files, in one folder for each class
======================== ==============================================================================

Text may be compressed, as ``.csv.gz``. Positions are written in the user's own frame, origin added. Values of
images are clipped and rounded (`noisefold.data.images.write`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from noisefold.arguments import whole
from noisefold.data.earth.write import write_netcdf
from noisefold.data.folders import folder_name
from noisefold.data.formats.adjacency import write_edgelist
from noisefold.data.formats.arrays import write_npy, write_npz
from noisefold.data.formats.compressed import ending_of, gzip_bytes
from noisefold.data.formats.graph6 import write_graph6, write_sparse6
from noisefold.data.formats.graph_files import write_gexf, write_gml, write_graphml
from noisefold.data.formats.h5ad import write_h5ad
from noisefold.data.formats.parquet import write_parquet
from noisefold.data.formats.pcd import write_pcd
from noisefold.data.formats.ply import write_ply
from noisefold.data.formats.sdf import write_sdf
from noisefold.data.formats.smiles import write_smiles
from noisefold.data.formats.tables import write_csv, write_points, write_pts, write_tsv, write_xyz
from noisefold.data.images.write import is_pictures, picture_files
from noisefold.data.notice import notify
from noisefold.files import check_out, staged
from noisefold.geometry.graphs import Graphs

__all__ = ["WRITABLE", "WRITERS", "Writer", "check_target", "save"]


@dataclass(frozen=True)
class Writer:
    """How a format is written.

    Parameters
    ----------
    write
        Gives the bytes of a file.
    single
        Whether a file holds one graph only.
    text
        Whether ``.gz`` may follow the ending.
    holds
        Fields beside positions, features and classes that are kept.
    classes
        Whether classes are kept in the file itself, or in folders for files of one graph.
    """

    write: Callable[[Graphs], bytes]
    single: bool = False
    text: bool = False
    holds: tuple[str, ...] = ()
    classes: bool = True


_FIELDS = ("edge_index", "edge_attr", "mask", "node_type", "edge_type")
_ATTRIBUTED = ("edge_index", "edge_attr", "node_type", "edge_type")
_LISTED = ("edge_index", "edge_attr", "edge_type")
_MOLECULES = ("edge_index", "node_type", "edge_type")
WRITERS: dict[str, Writer] = {
    ".ply": Writer(write_ply, single=True, holds=("edge_index",)),
    ".pcd": Writer(write_pcd, single=True),
    ".xyz": Writer(write_xyz, single=True, text=True, holds=_MOLECULES),
    ".txt": Writer(write_points, single=True, text=True),
    ".pts": Writer(write_pts, single=True, text=True),
    ".csv": Writer(write_csv, text=True),
    ".tsv": Writer(write_tsv, text=True),
    ".parquet": Writer(write_parquet),
    ".npy": Writer(write_npy),
    ".npz": Writer(write_npz, holds=_FIELDS),
    ".h5ad": Writer(write_h5ad),
    ".nc": Writer(write_netcdf),
    ".graphml": Writer(write_graphml, single=True, text=True, holds=_ATTRIBUTED),
    ".gexf": Writer(write_gexf, single=True, text=True, holds=_ATTRIBUTED),
    ".gml": Writer(write_gml, single=True, text=True, holds=_ATTRIBUTED),
    ".edgelist": Writer(write_edgelist, single=True, text=True, holds=_LISTED),
    ".g6": Writer(write_graph6, text=True, holds=("edge_index",), classes=False),
    ".s6": Writer(write_sparse6, text=True, holds=("edge_index",), classes=False),
    ".smi": Writer(write_smiles, text=True, holds=_MOLECULES, classes=False),
    ".sdf": Writer(write_sdf, text=True, holds=_MOLECULES),
}
"""Writer of each ending."""
WRITABLE: tuple[str, ...] = tuple(WRITERS)
"""Endings that `save` knows."""

_LEAST = 3  # bytes of a number in float32, compressed as far as noise can be


def save(graphs: Graphs, path: str | os.PathLike[str], *, feature_names: Sequence[str] = ()) -> Path:
    """Write graphs in the format that the ending of `path` says, whole or not at all.

    For several graphs, ``samples.ply`` and others of one graph a file mean the folder ``samples`` with the
    files ``0000.ply``, ``0001.ply`` ..., in one folder for each class if the classes have names; `load` reads
    the folder back.

    Parameters
    ----------
    graphs
        What is written, positions in the user's own frame.
    path
        File to write.
    feature_names
        Names of the features, such as genes; without them, those of the graphs.

    Returns
    -------
    Path
        The file or the folder that was written.

    Raises
    ------
    ValueError
        If the format is unknown, or cannot hold these graphs.
    FileExistsError
        If that folder is there already; a file is replaced.
    """
    if is_pictures(graphs, Path(path)):
        return _save_pictures(graphs, Path(path))
    target = check_target(path, len(graphs))
    ending, packed = ending_of(Path(path))
    try:
        if len(feature_names) not in (0, graphs.features):
            raise ValueError(f"feature_names must name {graphs.features} features, got {len(feature_names)}.")
        graphs = graphs.replace(feature_names=tuple(feature_names) or graphs.feature_names)
        _holds(ending, graphs)
        write = WRITERS[ending].write
        if ending == ".h5ad":
            write = partial(write_h5ad, feature_names=graphs.feature_names)
        if target == Path(path):
            content = {Path(target.name): write(graphs)}
        else:
            suffix = f"{ending}.gz" if packed else ending
            content = {Path(_name(graphs, i) + suffix): write(graphs[i]) for i in range(len(graphs))}
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if graphs.label is not None and not WRITERS[ending].classes:
        notify(f"{path}: {ending} files do not hold classes; they were left out.")
    _write(target, {name: gzip_bytes(data) if packed else data for name, data in content.items()})
    return target


def _save_pictures(images: Graphs, path: Path) -> Path:
    """Write images as such."""
    target = check_target(path, len(images), images)
    try:
        content = picture_files(images, path)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    _write(target, content)
    return target


def check_target(
    path: str | os.PathLike[str], count: int = 1, like: Graphs | None = None, *, numbers: int = 0
) -> Path:
    """Return the file or folder to which `save` would write, after all checks that need no result.

    Parameters
    ----------
    path
        File to write.
    count
        Number of graphs.
    like
        Graphs with the fields, names and dimension of those to write, if there are some to know them by.
    numbers
        How many numbers will be written at least, to compare with the room on the disk.

    Raises
    ------
    ValueError
        If the format is unknown or cannot hold such graphs, there is nothing to write, or nothing can be
        written there.
    FileExistsError
        If a folder stands there already.
    ImportError
        If the format needs a package that is not installed.
    OSError
        If the disk has too little room.
    """
    path, count = Path(path), whole("count", count, least=0)
    ending, packed = ending_of(path)
    if count > 0 and like is not None and is_pictures(like, path):
        if path.is_dir() and ending == "":
            raise FileExistsError(f"{path}: this is there already; remove it or choose another name.")
        check_out(path, room=numbers)
        return path
    if ending not in WRITERS:
        raise ValueError(
            f"{path}: the ending {ending!r} cannot be written, only {' '.join(WRITABLE)}, and .png of "
            "images; choose one."
        )
    writer = WRITERS[ending]
    if packed and not writer.text:
        raise ValueError(f"{path}: {ending} files are not compressed once more; leave .gz out.")
    if count < 1:
        raise ValueError(f"{path}: there are no graphs to save; give at least one.")
    target = path
    if count > 1 and writer.single:
        target = path.with_suffix("").with_suffix("") if packed else path.with_suffix("")
    if target.is_dir() or (target != path and target.exists()):
        raise FileExistsError(f"{target}: this is there already; remove it or choose another name.")
    check_out(target, room=numbers * _LEAST)
    if like is not None:
        try:
            _holds(ending, like)
            writer.write(like[:1])
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    return target


def _holds(ending: str, graphs: Graphs) -> None:
    """Refuse what a format would drop."""
    writer = WRITERS[ending]
    lost = next((n for n in _FIELDS if n not in writer.holds and getattr(graphs, n) is not None), None)
    if lost is not None:
        able = " ".join(e for e, w in WRITERS.items() if lost in w.holds)
        raise ValueError(f"only {able} files hold `{lost}`; save as one, or drop it with graphs.replace.")


def _name(graphs: Graphs, i: int) -> str:
    """Name of graph i within the folder, without ending."""
    if graphs.label is None or not graphs.classes:
        return f"{i:04d}"
    return f"{folder_name(graphs.classes[int(graphs.label[i])])}/{i:04d}"


def _write(target: Path, content: dict[Path, bytes]) -> None:
    """Write a file, or a folder of files."""
    with staged(target) as part:
        for name, data in content.items():
            file = part if name == Path(target.name) else part / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
