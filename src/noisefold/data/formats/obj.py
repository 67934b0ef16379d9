"""Wavefront files, .obj: vertices, polygons and lines in text.

Only geometry is read: ``v x y z [w]`` or ``v x y z r g b``, ``f``, ``l`` and ``p``, with indices from 1, or
relative to the last vertex if negative; normals, texture coordinates, groups and materials are passed over.
Free-form curves and surfaces are refused by name.

Source: P. Bourke, *Object files*, https://paulbourke.net/dataformats/obj/.
"""

from __future__ import annotations

import re

import numpy as np

from noisefold.data.formats.text import decoded
from noisefold.data.formats.vertices import Vertices, numbers, polygons
from noisefold.data.mesh import Array
from noisefold.data.polygons import Ints

__all__ = ["read_obj"]

_FREE_FORM = ("curv", "curv2", "surf", "cstype", "bzp", "bsp", "cdc", "cdp", "res")


def read_obj(data: bytes) -> Vertices:
    """Return what the bytes of an .obj file hold.

    Raises
    ------
    ValueError
        If a line is damaged, or a surface is not understood.
    """
    text = decoded(data)
    if "\\" in text:
        text = re.sub(r"\\[ \t]*(\r\n|\n|\r)", " ", text)
    if "#" in text:
        text = re.sub(r"#.*", "", text)
    vertices: list[str] = []
    faces: list[str] = []
    lines: list[str] = []
    before: tuple[list[int], list[int]] = ([], [])  # vertices above each face and each line
    for line in text.splitlines():
        word, _, rest = line.partition(" ") if line[:2] in ("v ", "f ") else _first(line)
        if word == "v":
            vertices.append(rest)
        elif word in ("f", "fo"):
            faces.append(rest)
            before[0].append(len(vertices))
        elif word == "l":
            lines.append(rest)
            before[1].append(len(vertices))
        elif word in _FREE_FORM:
            raise ValueError(f"{word!r} is of a free-form surface, which is not read; export a mesh.")
    pos, features = _coordinates(vertices)
    corners, sizes = _indices(faces, before[0], "face")
    kept = np.repeat(sizes >= 3, sizes)
    triangles = polygons(pos, corners[kept], sizes[sizes >= 3])
    names = ("red", "green", "blue") if features is not None else ()
    return Vertices(pos, triangles, features, names, _edges(lines, before[1], len(pos)))


def _first(line: str) -> tuple[str, str, str]:
    """Return the first word of a line, nothing, and what follows it."""
    words = line.split(None, 1)
    return (words[0] if words else ""), "", (words[1] if len(words) > 1 else "")


def _coordinates(lines: list[str]) -> tuple[Array, Array | None]:
    """Return coordinates ``[v, 3]``, and colours ``[v, 3]`` if all vertices have them."""
    if not lines:
        return np.zeros((0, 3)), None
    content = numbers("\n".join(lines))
    if content.stop:
        raise content.lacking("the vertices")
    if len(content.counts) < len(lines) or content.counts.min() < 3:
        counts = np.array([len(line.split()) for line in lines])
        place = int((counts < 3).argmax())
        raise ValueError(f"vertex {place} has {counts[place]} of 3 coordinates; export the file again.")
    begins = np.cumsum(content.counts) - content.counts
    pos = content.values[begins[:, None] + np.arange(3)]
    widths = set(np.unique(content.counts).tolist())
    if widths <= {6, 7}:
        colours = begins + content.counts - 3
        return pos, content.values[colours[:, None] + np.arange(3)]
    return pos, None


def _indices(lines: list[str], before: list[int], noun: str) -> tuple[Ints, Ints]:
    """Return the vertices that lines name, from 0, and the number of each line's."""
    if not lines:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    text = "\n".join(lines)
    if "/" in text:
        text = re.sub(r"/\S*", "", text)
    content = numbers(text)
    if content.stop:
        raise content.lacking(f"the {noun}s")
    sizes = content.counts
    if len(sizes) < len(lines):
        sizes = np.array([len(line.split()) for line in text.split("\n")], dtype=np.int64)
    if len(sizes) != len(lines) or sizes.sum() != len(content.values):  # a blank that is no blank in ASCII
        raise ValueError(f"the {noun}s hold characters that are no numbers; export the file again.")
    named = content.values
    above = np.repeat(np.array(before, dtype=np.int64), sizes)
    bad = ~((np.abs(named) < 2**53) & (named == np.trunc(named)) & (named != 0) & (named >= -above))
    if bad.any():
        place = int(bad.argmax())
        row = int(np.searchsorted(np.cumsum(sizes), place, side="right"))
        raise ValueError(
            f"{noun} {row} names vertex {named[place]:g}, with {above[place]} vertices above it; "
            f"export the file again."
        )
    indices = named.astype(np.int64)
    return np.where(indices > 0, indices - 1, above + indices), sizes


def _edges(lines: list[str], before: list[int], vertices: int) -> Ints | None:
    """Return the steps of polylines, ``[2, e]``, or None if there are no lines."""
    if not lines:
        return None
    corners, sizes = _indices(lines, before, "line")
    if len(corners) and corners.max() >= vertices:
        raise ValueError(f"a line names vertex {corners.max() + 1} of {vertices}; export the file again.")
    line = np.repeat(np.arange(len(sizes)), sizes)
    step = np.flatnonzero(line[:-1] == line[1:])
    return np.stack([corners[step], corners[step + 1]])
