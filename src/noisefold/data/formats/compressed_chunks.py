"""Sizes that the compressed chunks of a zarr store declare: the library makes room for them unasked.

Source: https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst (a Blosc header of 16 bytes),
https://www.rfc-editor.org/rfc/rfc8878#section-3.1.1.1 (the header of a Zstandard frame) and
https://numcodecs.readthedocs.io/en/stable/other/vlen.html (texts, of which a chunk's first four bytes say how
many they are).
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
_TEXTS = b'"vlen-'  # codecs of texts and lists, for each of which the library keeps a reference
_REFERENCE = 8  # bytes
_CODECS = ("blosc", "zstd", "gzip", "zlib", "lz4", "bz2")
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
        metadata = b"".join((array / name).read_bytes() for name in _ARRAY if (array / name).is_file())
        codec = next((name for name in _CODECS if f'"{name}"'.encode() in metadata), None)
        for file in array.rglob("*"):
            if file.name not in _PLAIN and file.is_file():
                with file.open("rb") as stream:
                    head = stream.read(_HEAD)
                what = f"chunk {file.relative_to(folder)}"
                check_size(_declared(head, codec == "blosc"), on_disk, what)
                if _TEXTS in metadata:
                    check_size(_REFERENCE * _count(file.read_bytes(), codec), on_disk, what)


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


def _count(chunk: bytes, codec: str | None) -> int:
    """Return how many texts a chunk declares, 0 where it cannot be unpacked, which reading it says."""
    import numcodecs

    try:
        plain = chunk if codec is None else numcodecs.get_codec({"id": codec}).decode(chunk)
    except Exception:  # on damaged bytes codecs raise anything at all
        return 0
    return int.from_bytes(bytes(plain[:4]), "little")
