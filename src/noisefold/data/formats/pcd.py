"""Point cloud data, .pcd, of the Point Cloud Library: ascii, binary and binary_compressed.

Every field besides x, y and z is a named feature; a field of several values has a number behind its name,
and packed colours (rgb, rgba) become red, green, blue (and alpha). Points of an organised cloud (a height
above 1) without any coordinate are the ones that its sensor did not see, and are left out.

Source: Point Cloud Library, *The PCD file format*,
https://pointclouds.org/documentation/tutorials/pcd_file_format.html.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from noisefold.data.formats.lzf import decompressed
from noisefold.data.formats.text import decoded
from noisefold.data.formats.vertices import Vertices, header_names, numbers, position_columns
from noisefold.geometry.graphs import Graphs

__all__ = ["read_pcd", "write_pcd"]

_KINDS = {"F": "f", "I": "i", "U": "u"}
_SIZES = {"F": (4, 8), "I": (1, 2, 4, 8), "U": (1, 2, 4, 8)}
_LONGEST_HEADER = 2**16
_PACKED = {"rgb": ("red", "green", "blue"), "rgba": ("red", "green", "blue", "alpha")}
_SHIFTS = {"red": 16, "green": 8, "blue": 0, "alpha": 24}


@dataclass(frozen=True)
class _Header:
    fields: tuple[str, ...]
    kinds: tuple[str, ...]  # NumPy's codes, such as <f4
    counts: tuple[int, ...]
    points: int
    organised: bool
    data: str

    @property
    def row(self) -> int:
        """Bytes of a point."""
        return sum(int(kind[2:]) * count for kind, count in zip(self.kinds, self.counts, strict=True))


def read_pcd(data: bytes) -> Vertices:
    """Return what the bytes of a .pcd file hold.

    Raises
    ------
    ValueError
        If the bytes are cut or damaged.
    """
    end = re.search(
        rb"(?:^|[\r\n])[ \t]*DATA[ \t]+(\w+)[ \t]*(\r?\n|\r|$)", data[:_LONGEST_HEADER], re.IGNORECASE
    )
    if end is None:
        raise ValueError("there is no line DATA, so that it is no PCD file, or truncated; copy it again.")
    header = _header(decoded(data[: end.start()]), end[1].decode().lower())
    body = data[end.end() :]
    columns = {"ascii": _ascii, "binary": _binary, "binary_compressed": _compressed}[header.data](
        body, header
    )
    table, names = _named(header, columns)
    axes = position_columns(names)
    if header.organised:
        table = table[~np.isnan(table[:, axes]).all(axis=1)]
    further = [i for i in range(len(names)) if i not in axes]
    features = table[:, further] if further else None
    return Vertices(
        np.ascontiguousarray(table[:, axes]),
        np.zeros((0, 3), dtype=np.int64),
        features,
        tuple(names[i] for i in further),
    )


def _header(text: str, data: str) -> _Header:
    entries: dict[str, list[str]] = {}
    for line in text.splitlines():
        words = line.split("#", 1)[0].split()
        if words:
            entries[words[0].upper()] = words[1:]
    fields = tuple(entries.get("FIELDS", entries.get("COLUMNS", [])))
    ones = ["1"] * len(fields)
    types = [kind.upper() for kind in entries.get("TYPE", ["F"] * len(fields))]
    sizes = _integers(entries.get("SIZE", ["4"] * len(fields)), "SIZE")
    counts = _integers(entries.get("COUNT", ones), "COUNT")
    if not fields or not len(fields) == len(types) == len(sizes) == len(counts):
        raise ValueError(
            "FIELDS, SIZE, TYPE and COUNT must have one entry for each field; correct the header."
        )
    for field, kind, size in zip(fields, types, sizes, strict=True):
        if size not in _SIZES.get(kind, ()):
            raise ValueError(f"field {field!r} has the unknown type {kind} {size}; correct the header.")
    width, height = (_integers(entries.get(k, ["1"]), k) for k in ("WIDTH", "HEIGHT"))
    points = _integers(entries["POINTS"], "POINTS") if "POINTS" in entries else (width[0] * height[0],)
    if "POINTS" not in entries and "WIDTH" not in entries:
        raise ValueError("the header announces no POINTS; correct it.")
    if data not in ("ascii", "binary", "binary_compressed"):
        raise ValueError(f"DATA {data!r} is none of ascii, binary and binary_compressed; export it again.")
    kinds = tuple(f"<{_KINDS[kind]}{size}" for kind, size in zip(types, sizes, strict=True))
    return _Header(fields, kinds, counts, points[0], height[0] > 1, data)


def _integers(words: list[str], name: str) -> tuple[int, ...]:
    if not words or not all(word.isdecimal() and len(word) < 16 for word in words):
        raise ValueError(
            f"{name} is {' '.join(words)[:40]!r}, not a number for each field; correct the header."
        )
    return tuple(int(word) for word in words)


# -- the points: an array [points, count] for each field -----------------------------------------------------


def _ascii(body: bytes, header: _Header) -> list[NDArray[Any]]:
    content = numbers(re.sub(r"#.*", "", decoded(body)))
    width = sum(header.counts)
    if header.points * width > len(content.values):
        raise content.lacking(f"the {header.points} points")
    if len(content.counts) > header.points:
        raise ValueError(
            f"{len(content.counts)} points follow, the header announces {header.points}; correct the header."
        )
    rows = content.counts[: header.points]
    if (rows != width).any():
        place = int((rows != width).argmax())
        raise ValueError(f"point {place} has {rows[place]} of {width} numbers; export the file again.")
    table = content.values[: header.points * width].reshape(header.points, width)
    parts = np.split(table, np.cumsum(header.counts)[:-1], axis=1)
    return [
        part.astype(np.float32 if kind == "<f4" else np.float64)
        for part, kind in zip(parts, header.kinds, strict=True)
    ]


def _binary(body: bytes, header: _Header) -> list[NDArray[Any]]:
    if header.points * header.row > len(body):
        raise ValueError(
            f"the file is truncated, it holds {len(body)} of the {header.points * header.row} bytes that "
            f"{header.points} points need; copy it again."
        )
    row = np.dtype(
        [(f"v{i}", k, (c,)) for i, (k, c) in enumerate(zip(header.kinds, header.counts, strict=True))]
    )
    table = np.frombuffer(body, row, header.points)
    return [table[f"v{i}"] for i in range(len(header.fields))]


def _compressed(body: bytes, header: _Header) -> list[NDArray[Any]]:
    packed, size = (int.from_bytes(body[i : i + 4], "little") for i in (0, 4))
    if size != header.points * header.row:
        raise ValueError(f"{header.points} points need {header.points * header.row} bytes, not {size}.")
    if packed > len(body) - 8:
        raise ValueError(
            f"the file is truncated, it holds {max(len(body) - 8, 0)} of {packed} compressed bytes; "
            f"copy it again."
        )
    plain = decompressed(body[8 : 8 + packed], size)
    columns, at = [], 0
    for kind, count in zip(header.kinds, header.counts, strict=True):
        columns.append(np.frombuffer(plain, kind, header.points * count, at).reshape(header.points, count))
        at += columns[-1].nbytes
    return columns


def _named(header: _Header, columns: list[NDArray[Any]]) -> tuple[NDArray[np.float64], list[str]]:
    """Return all numbers ``[points, f]`` and their names."""
    parts: list[NDArray[Any]] = []
    names: list[str] = []
    for field, values in zip(header.fields, columns, strict=True):
        if field == "_":  # padding
            continue
        colours = _PACKED.get(field.lower(), ())
        if colours and values.shape[1] == 1:
            bits = values.view(np.uint32) if values.dtype == np.float32 else values.astype(np.int64)
            parts += [(bits >> _SHIFTS[colour]) & 255 for colour in colours]
            names += colours
            continue
        parts.append(values)
        several = values.shape[1] > 1
        names += [f"{field}_{i}" for i in range(values.shape[1])] if several else [field] * values.shape[1]
    table = np.concatenate([part.astype(np.float64) for part in parts], axis=1) if parts else None
    return (np.zeros((header.points, 0)) if table is None else table), names


# -- writing ------------------------------------------------------------------------------------------------


def write_pcd(graphs: Graphs) -> bytes:
    """Return one graph as the bytes of a binary .pcd file, with a field for each feature.

    Blanks in a name are written as %20, and features without names become f0, f1 ...; coordinates are doubles
    where the graph has an origin, in the user's own frame.

    Raises
    ------
    ValueError
        If positions are not in 3 dimensions, or a name is empty.
    """
    if graphs.dim != 3:
        raise ValueError(f"a .pcd file holds positions in 3 dimensions, got {graphs.dim}; save as .npz.")
    names = header_names(graphs, taken=("x", "y", "z", "_", *_PACKED))
    wide = graphs.dtype == torch.float64
    sizes = [8 if wide or any(graphs.origin) else 4] * 3 + [8 if wide else 4] * len(names)
    parts = [graphs.coordinates] if graphs.x is None else [graphs.coordinates, graphs.x]
    values = torch.cat([p.detach().cpu().double() for p in parts], dim=1).numpy()
    table = np.empty(len(values), dtype=[(f"v{i}", f"<f{size}") for i, size in enumerate(sizes)])
    for i in range(len(sizes)):
        table[f"v{i}"] = values[:, i]
    header = [
        "# .PCD v0.7 - Point Cloud Data file format",
        "VERSION 0.7",
        f"FIELDS {' '.join(('x', 'y', 'z', *names))}",
        f"SIZE {' '.join(map(str, sizes))}",
        f"TYPE {' '.join(['F'] * len(sizes))}",
        f"COUNT {' '.join(['1'] * len(sizes))}",
        f"WIDTH {len(values)}",
        "HEIGHT 1",
        "VIEWPOINT 0 0 0 1 0 0 0",
        f"POINTS {len(values)}",
        "DATA binary",
    ]
    return "\n".join([*header, ""]).encode() + table.tobytes()
