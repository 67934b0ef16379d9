"""Hierarchies of named arrays on disk: HDF5 files and folders of zarr, format 2 and 3.

Every array's declared size is compared with the size on disk before anything is read.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from noisefold.data.formats.arrays import parsing
from noisefold.data.formats.compressed_chunks import check_chunks
from noisefold.data.formats.datatypes import check_types
from noisefold.data.formats.guard import check_size
from noisefold.data.formats.heaps import check_heaps

__all__ = ["Store", "libraries", "opened_store"]

_MAGIC = b"\x89HDF\r\n\x1a\n"
_DEEPEST = 12  # levels of groups; links may make circles
_OBJECT = 64  # bytes of a short string in memory


def libraries() -> tuple[Any, Any]:
    """Return the modules h5py and anndata.io.

    Raises
    ------
    ImportError
        If they are not installed.
    """
    try:
        import anndata.io
        import h5py
    except ImportError as error:
        raise ImportError(".h5ad files need anndata; run pip install 'noisefold[bio]'.") from error
    return h5py, anndata.io


class Store:
    """A group of named arrays and groups.

    Parameters
    ----------
    root
        The group, of h5py or zarr.
    path
        Its file or folder.
    """

    def __init__(self, root: Any, path: Path) -> None:
        self.root, self.path = root, path

    def __contains__(self, name: str) -> bool:
        with parsing():
            return name in self.root

    def keys(self, group: str = "") -> list[str]:
        """Return the names in a group; none where it is not there, or is no group."""
        with parsing():
            if group and group not in self.root:
                return []
            found = self.root[group] if group else self.root
            return [] if hasattr(found, "shape") else [str(key) for key in found]

    def attributes(self, name: str = "") -> dict[str, Any]:
        """Return the attributes of an array or a group."""
        with parsing():
            item = self.root[name] if name else self.root
            if hasattr(item, "id"):
                check_types(item)
            return dict(item.attrs)

    def array(self, name: str) -> Any:
        """Return an array that is there, as numpy's."""
        self.check(name)
        with parsing():
            return self.root[name][()]

    def element(self, name: str) -> Any:
        """Return an element that anndata wrote: an array, a table, a sparse matrix."""
        self.check(name)
        with parsing():
            return libraries()[1].read_elem(self.root[name])

    def inside(self, name: str) -> Store:
        """Return a group that is there."""
        with parsing():
            return Store(self.root[name], self.path)

    def check(self, name: str) -> None:
        """Refuse an element that would take more memory than the store can mean, or than there is.

        Raises
        ------
        ValueError
            If it is too large, is nested too deep or lies in another file.
        """
        check_size(self.declared(name), self.size, repr(name))
        if self.path.is_dir():
            check_chunks(self.path / self.root[name].path, self.size)

    def declared(self, name: str) -> int:
        """Return the bytes of memory that an element's shapes declare."""
        return self._declared(self.root, name, 0)

    @cached_property
    def size(self) -> int:
        """Bytes on disk."""
        if self.path.is_file():
            return self.path.stat().st_size
        files = (Path(folder) / name for folder, _, names in os.walk(self.path) for name in names)
        return sum(file.stat().st_size for file in files)

    def _declared(self, group: Any, name: str, depth: int) -> int:
        if depth > _DEEPEST:
            raise ValueError(f"{name!r} is nested too deep; the file is damaged, export it again.")
        with parsing():
            links = hasattr(group, "id")  # of h5py, whose groups may point into other files
            elsewhere = links and type(group.get(name, getlink=True)).__name__ == "ExternalLink"
        if elsewhere:
            raise ValueError(f"{name!r} lies in another file; write one file with all of it.")
        with parsing():
            item = group[name]
            if links:
                check_types(item)
            if hasattr(item, "shape"):
                kind = getattr(item.dtype, "kind", "O")
                width = _OBJECT if kind in "OT" else int(item.dtype.itemsize)
                return math.prod(int(n) for n in item.shape or ()) * max(width, 1)
            keys = list(item)
        return sum(self._declared(item, key, depth + 1) for key in keys)


@contextmanager
def opened_store(path: Path) -> Iterator[Store]:
    """Open an HDF5 file or a folder of zarr for reading.

    Raises
    ------
    ImportError
        If the library is not installed.
    ValueError
        If it is damaged, or neither.
    """
    h5py, _ = libraries()
    if path.is_dir():
        yield Store(_zarr(path), path)
        return
    with path.open("rb") as stream:
        if stream.read(len(_MAGIC)) != _MAGIC:
            raise ValueError("this is no HDF5 file, and so no .h5ad; write it with AnnData.write_h5ad.")
    check_heaps(path)
    with parsing():
        file = h5py.File(path, "r")
    with file:
        yield Store(file, path)


def _zarr(path: Path) -> Any:
    if not any((path / name).is_file() for name in (".zgroup", "zarr.json")):
        raise ValueError(
            "this folder is no group of zarr (.zgroup or zarr.json); write it with AnnData.write_zarr."
        )
    try:
        import zarr
    except ImportError as error:
        raise ImportError(".zarr folders need zarr; run pip install 'noisefold[bio]'.") from error
    with parsing():
        return zarr.open_group(str(path), mode="r")
