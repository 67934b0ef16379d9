"""Sizes that the compressed chunks of a zarr store declare: the library makes room for them unasked.

Source: https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst (a Blosc header of 16 bytes) and
https://www.rfc-editor.org/rfc/rfc8878#section-3.1.1.1 (the header of a Zstandard frame).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from noisefold.data.formats.guard import check_size

__all__ = ["check_chunks"]

_ARRAY = (".zarray", "zarr.json")
_PLAIN = (*_ARRAY, ".zattrs", ".zgroup", ".zmetadata")
_HEAD = 18  # bytes that hold the size in either format
_ZSTD = b"\x28\xb5\x2f\xfd"
_NAMED, _SIZED = (0, 1, 2, 4), (0, 2, 4, 8)  # bytes of a frame's dictionary and of its size


def check_chunks(folder: Path, on_disk: int) -> None:
    """Refuse a chunk that declares more bytes than a store of this size can mean.

    Parameters
    ----------
    folder
        An array, or a group of arrays.
    on_disk
        Bytes of the whole store.

    Raises
    ------
    ValueError
        If there is one.
    """
    for array in _arrays(folder):
        blosc = any(b'"blosc"' in (array / name).read_bytes() for name in _ARRAY if (array / name).is_file())
        for file in array.rglob("*"):
            if file.name not in _PLAIN and file.is_file():
                with file.open("rb") as stream:
                    head = stream.read(_HEAD)
                check_size(_declared(head, blosc), on_disk, f"chunk {file.relative_to(folder)}")


def _arrays(folder: Path) -> Iterator[Path]:
    """Folders of arrays: those with metadata that have no such folder within."""
    metadata = [path.parent for name in _ARRAY for path in folder.rglob(name)]
    above = {parent for path in metadata for parent in path.parents}
    return (path for path in metadata if path not in above)


def _declared(head: bytes, blosc: bool) -> int:
    if head.startswith(_ZSTD) and len(head) > len(_ZSTD):
        kind = head[4]
        single = kind >> 5 & 1
        width = _SIZED[kind >> 6] or single
        start = 6 - single + _NAMED[kind & 3]
        return int.from_bytes(head[start : start + width], "little") + 256 * (width == 2)
    return int.from_bytes(head[4:8], "little") if blosc else 0
