"""Texts of HDF5 files, checked before the library reads them: a damaged heap of them makes it run for ever.

Texts of any length lie in global heap collections. The library walks from object to object by their sizes,
and stands still at a free one of size 0.

Source: https://docs.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html (III.E. Disk Format: Global Heap)
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

__all__ = ["check_heaps"]

_START = b"GCOL\x01\x00\x00\x00"
_HEAD, _OBJECT = 16, struct.Struct("<HHIQ")  # with lengths of 8 bytes, as all libraries write them
_LARGEST = 1 << 32  # bytes of a file that is searched


def check_heaps(path: Path) -> None:
    """Refuse a file whose collections of texts cannot be walked through.

    Raises
    ------
    ValueError
        If there is one.
    """
    if not 0 < path.stat().st_size <= _LARGEST:
        return
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        place = content.find(_START)
        while place >= 0:
            if not _sound(content, place):
                raise ValueError("the file is truncated or damaged (its texts); export or copy it again.")
            place = content.find(_START, place + 1)


def _sound(content: mmap.mmap, place: int) -> bool:
    if place + _HEAD > len(content):
        return False
    end = place + int.from_bytes(content[place + 8 : place + _HEAD], "little")
    if end > len(content):
        return False
    place += _HEAD
    while place + _OBJECT.size <= end:
        index, _, _, size = _OBJECT.unpack_from(content, place)
        step = _OBJECT.size + -(-size // 8) * 8 if index else size
        if step < _OBJECT.size or place + step > end:
            return False
        place += step
    return True
