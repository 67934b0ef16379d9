"""Laser scans, .las, in the point formats 0 to 10, and .laz by laspy where it is installed.

Coordinates are ``integer * scale + offset`` in float64. Features are intensity, return_number,
number_of_returns, classification, red, green, blue and nir, as far as the format has them; one that is zero
everywhere is one that is not in use, says the specification, and is left out.

Source: ASPRS, *LAS specification 1.4-R15* (2019),
https://www.asprs.org/wp-content/uploads/2019/07/LAS_1_4_r15.pdf.
"""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noisefold.data.formats.vertices import Vertices

__all__ = ["read_las"]

_SHORTEST = 227  # bytes of the header of versions 1.0 to 1.2
_LENGTHS = (20, 28, 26, 34, 57, 63, 30, 36, 38, 59, 67)
_COLOURS = {2: 20, 3: 28, 5: 28, 7: 30, 8: 30, 10: 30}
_COMPRESSED = 0b1100_0000  # bits of the point format that LAZ sets
_MOST_EXPANSION = 1_000
_CHUNK = 1_000_000
_RECORD = 54  # bytes of a variable length record, at least


def read_las(data: bytes) -> Vertices:
    """Return what the bytes of a .las or .laz file hold.

    Raises
    ------
    ImportError
        If it is compressed, and laspy with a backend is not installed.
    ValueError
        If the bytes are cut or damaged.
    """
    if not data.startswith(b"LASF") or len(data) < _SHORTEST:
        raise ValueError("there is no LAS header, or it is truncated; copy the file again.")
    (start,) = struct.unpack_from("<I", data, 96)
    kind, length = struct.unpack_from("<BH", data, 104)
    (count,) = struct.unpack_from("<I", data, 107)
    if (data[24], data[25]) >= (1, 4) and len(data) >= 255:
        count = struct.unpack_from("<Q", data, 247)[0] or count
    scale, offset = (np.array(struct.unpack_from("<3d", data, at)) for at in (131, 155))
    if not (np.isfinite(scale) & np.isfinite(offset) & (scale != 0)).all():
        raise ValueError(
            "a scale or an offset in the header is zero, NaN or infinite; export the file again."
        )
    if kind & _COMPRESSED:
        kind &= ~_COMPRESSED
        (records,) = struct.unpack_from("<I", data, 100)
        if records * _RECORD > len(data):
            raise ValueError(f"{len(data)} bytes cannot hold {records} records; export the file again.")
        if count * max(length, 1) > _MOST_EXPANSION * len(data):
            raise ValueError(
                f"{len(data)} compressed bytes cannot hold {count} points; export the file again."
            )
        _check_chunks(data, start)
        raw = _uncompressed(data)
    else:
        raw = np.frombuffer(data, np.uint8)[start:]
    if kind >= len(_LENGTHS) or length < _LENGTHS[kind]:
        raise ValueError(
            f"point format {kind} of {length} bytes is unknown; export it in a format of 0 to 10."
        )
    if count * length > len(raw):
        raise ValueError(
            f"the file is truncated, it holds {len(raw) // length} of the {count} points that it announces; "
            f"copy it again."
        )
    table = np.ascontiguousarray(raw[: count * length]).reshape(count, length)
    pos = _column(table, 0, "<i4", 3).astype(np.float64) * scale + offset
    columns = _features(table, kind)
    used = {name: values.astype(np.float64) for name, values in columns.items() if values.any()}
    features = np.stack(list(used.values()), axis=1) if used else None
    return Vertices(pos, np.zeros((0, 3), dtype=np.int64), features, tuple(used))


def _column(table: NDArray[np.uint8], at: int, kind: str, count: int = 1) -> NDArray[Any]:
    width = int(kind[-1]) * count
    return np.ascontiguousarray(table[:, at : at + width]).view(kind)


def _features(table: NDArray[np.uint8], kind: int) -> dict[str, NDArray[Any]]:
    """Return the columns that can be features, ``[n]`` each, by name."""
    returns, bits, classes = table[:, 14], (3 if kind < 6 else 4), table[:, 15 if kind < 6 else 16]
    columns: dict[str, NDArray[Any]] = {
        "intensity": _column(table, 12, "<u2")[:, 0],
        "return_number": returns & (2**bits - 1),
        "number_of_returns": returns >> bits & (2**bits - 1),
        "classification": classes & 31 if kind < 6 else classes,
    }
    if kind in _COLOURS:
        colours = _column(table, _COLOURS[kind], "<u2", 3)
        columns |= {name: colours[:, i] for i, name in enumerate(("red", "green", "blue"))}
    if kind in (8, 10):
        columns["nir"] = _column(table, 36, "<u2")[:, 0]
    return columns


def _check_chunks(data: bytes, start: int) -> None:
    """Refuse more chunks than there are bytes: the library makes room for all, or ends the process.

    Points begin with the place of the table of chunks, -1 where it is in the last 8 bytes; the table begins
    with its version and the number of chunks.
    """
    try:
        (table,) = struct.unpack_from("<q", data, start)
        if table == -1:
            (table,) = struct.unpack_from("<q", data, len(data) - 8)
        _, chunks = struct.unpack_from("<II", data, table) if table >= 0 else (0, len(data) + 1)
    except struct.error as error:
        raise ValueError("the compressed points are truncated; copy the file again.") from error
    if chunks > len(data):
        raise ValueError("the table of compressed points is damaged; copy the file again.")


def _uncompressed(data: bytes) -> NDArray[np.uint8]:
    """Return the records of a .laz file, by laspy."""
    try:
        import laspy
    except ImportError as error:
        raise _no_backend() from error
    if not any(backend.is_available() for backend in laspy.LazBackend):
        raise _no_backend()
    try:
        with laspy.open(io.BytesIO(data)) as reader:
            chunks = [np.frombuffer(chunk.memoryview(), np.uint8) for chunk in reader.chunk_iterator(_CHUNK)]
    # The backend raises exceptions of its own kind on damaged bytes.
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise ValueError(
            f"the compressed points are damaged ({str(error)[:80]}); copy the file again."
        ) from error
    return np.concatenate(chunks) if chunks else np.zeros(0, dtype=np.uint8)


def _no_backend() -> ImportError:
    return ImportError(
        "compressed laser scans need laspy; run pip install 'noisefold[las]', or write the file as .las."
    )
