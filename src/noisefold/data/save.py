"""Graphs out, to files that are written whole or not at all.

=================  ==================================================================================
ending             what is written
=================  ==================================================================================
.npz               everything, several graphs; loads back exactly
.csv               positions in 2 or 3 dimensions, features, classes; several graphs
.npy               positions ``[g, n, d]`` of graphs of one size
.ply .pcd .xyz     positions and features; one graph a file, a folder of files for several
.h5ad              an AnnData: features with their names, positions, classes
=================  ==================================================================================
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from noisefold.data.formats.arrays import write_npy, write_npz
from noisefold.data.formats.h5ad import write_h5ad
from noisefold.data.formats.pcd import write_pcd
from noisefold.data.formats.ply import write_ply
from noisefold.data.formats.tables import write_csv, write_xyz
from noisefold.geometry.graphs import Graphs

__all__ = ["WRITABLE", "check_folder", "check_target", "save"]

_WRITERS: dict[str, Callable[[Graphs], bytes]] = {
    ".ply": write_ply,
    ".pcd": write_pcd,
    ".xyz": write_xyz,
    ".csv": write_csv,
    ".npy": write_npy,
    ".npz": write_npz,
    ".h5ad": write_h5ad,
}
_ONE_GRAPH = (".ply", ".pcd", ".xyz")

WRITABLE: tuple[str, ...] = tuple(_WRITERS)
"""Endings that `save` knows."""


def save(graphs: Graphs, path: str | os.PathLike[str], *, feature_names: Sequence[str] = ()) -> Path:
    """Write graphs in the format that the ending of `path` says, whole or not at all.

    For several graphs, ``samples.ply`` and ``samples.xyz`` mean the folder ``samples`` with the files
    ``0000.ply``, ``0001.ply`` ..., in one folder for each class if the classes have names; `load` reads
    the folder back.

    Parameters
    ----------
    graphs
        What is written.
    path
        File to write.
    feature_names
        Names of the features, such as genes; for .h5ad alone.

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
    target = check_target(path, len(graphs))
    ending = Path(path).suffix.lower()
    try:
        if ending != ".npz" and (graphs.edge_index is not None or graphs.mask is not None):
            raise ValueError("only .npz files hold edges and masks; save as .npz, or drop them.")
        if feature_names and ending != ".h5ad":
            raise ValueError("only .h5ad files hold names of features; save as .h5ad, or leave them out.")
        write = _WRITERS[ending]
        if feature_names:
            write = partial(write_h5ad, feature_names=feature_names)
        if target == Path(path):
            content = {Path(target.name): write(graphs)}
        else:
            content = {Path(_name(graphs, i) + ending): write(graphs[i]) for i in range(len(graphs))}
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    _replace(target, content)
    return target


def check_target(path: str | os.PathLike[str], count: int = 1) -> Path:
    """The file or folder to which `save` would write this many graphs.

    Raises
    ------
    ValueError
        If the format is unknown, there is nothing to write, or nothing can be written there.
    FileExistsError
        If a folder stands there already.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in _WRITERS:
        raise ValueError(
            f"{path}: the ending {ending!r} cannot be written, only {' '.join(WRITABLE)}; choose one."
        )
    if count < 1:
        raise ValueError(f"{path}: there are no graphs to save; give at least one.")
    target = path.with_suffix("") if count > 1 and ending in _ONE_GRAPH else path
    if target.is_dir() or (target != path and target.exists()):
        raise FileExistsError(f"{target}: this is there already; remove it or choose another name.")
    check_folder(target)
    return target


def check_folder(target: Path) -> None:
    """Try whether a file can be made where `target` is to stand, before the work for it begins.

    Raises
    ------
    ValueError
        If that is forbidden, or no folder.
    """
    folder = next(p for p in target.absolute().parents if p.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENOENT):
            raise
        raise ValueError(
            f"{target}: nothing can be written in {folder} ({error.strerror}); choose another folder."
        ) from error


def _name(graphs: Graphs, i: int) -> str:
    """Name of graph i within the folder, without ending."""
    if graphs.label is None or not graphs.classes:
        return f"{i:04d}"
    name = graphs.classes[int(graphs.label[i])]
    return f"{name.replace('/', '_').replace(os.sep, '_').lstrip('.') or '_'}/{i:04d}"


def _replace(target: Path, content: dict[Path, bytes]) -> None:
    """Write beside the target under another name, then rename."""
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        for name, data in content.items():
            file = staged if name == Path(target.name) else staged / name
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("xb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
        staged.replace(target)
    finally:
        if staged.is_dir():
            shutil.rmtree(staged)
        else:
            staged.unlink(missing_ok=True)
