"""Object files, .off: the keyword ``[ST][C][N][4][n]OFF``, counts, vertices and polygons in text.

Prefixes say what follows the coordinates of a vertex: N a normal, C a colour, ST texture coordinates; 4 makes
the coordinates homogeneous. Colours after the corners of a face are passed over.

Source: Geomview manual, *OFF files*, http://www.geomview.org/docs/html/OFF.html.
"""

from __future__ import annotations

import re

import numpy as np

from noisefold.data.formats.text import decoded
from noisefold.data.formats.vertices import Numbers, Vertices, numbers, polygons
from noisefold.data.mesh import Array
from noisefold.data.polygons import Ints

__all__ = ["read_off"]

_HEAD = re.compile(r"\s*(ST|st)?([Cc])?(N)?(4)?(n)?(?i:off)(?![A-Za-z])\s*")
_COLOURS = ("red", "green", "blue", "alpha")


def read_off(data: bytes) -> Vertices:
    """Return what the bytes of an .off file hold.

    Raises
    ------
    ValueError
        If the bytes are cut or damaged, binary, or of another dimension than 3.
    """
    if re.match(rb"\s*\w*OFF\s+BINARY", data[:64], re.IGNORECASE):
        raise ValueError("binary OFF files are not read; export it as text, or as .ply.")
    text = decoded(data)
    text = re.sub(r"#.*", "", text) if "#" in text else text
    head = _HEAD.match(text)
    if head is None:
        raise ValueError("there is no OFF header; export the file again.")
    if head[5]:
        raise ValueError("OFF files of any dimension (nOFF) are not read; export it in 3 dimensions.")
    content = numbers(text[head.end() :])
    vertices, faces, at, line = _counts(content)
    ends = at + np.cumsum(content.counts[line:])
    if len(ends) < vertices + faces:
        if len(content.values) - at < 3 * vertices + faces or head[2] or head[1]:
            raise content.lacking(f"the {vertices} vertices and {faces} faces")
        ends = _by_place(content, at, vertices, faces, (4 if head[4] else 3) + (3 if head[3] else 0))
    if len(ends) > vertices + faces:
        raise ValueError(
            f"{len(ends) - vertices - faces} lines follow the {vertices} vertices and {faces} faces that the "
            f"counts announce; correct the counts."
        )
    begins = np.concatenate([[at], ends])[: vertices + faces]
    pos, features, names = _vertices(content, begins[:vertices], ends[:vertices], head)
    corners, sizes = _faces(content, begins[vertices:], ends[vertices : vertices + faces])
    surface = sizes >= 3
    kept = np.repeat(surface, sizes)
    return Vertices(pos, polygons(pos, corners[kept], sizes[surface]), features, names)


def _counts(content: Numbers) -> tuple[int, int, int, int]:
    """Return the number of vertices and of faces, the place of the first coordinate and its line."""
    values = content.values
    if len(values) < 2:
        raise content.lacking("its counts")
    at = line = 0
    while at < 2:  # some writers give each count a line
        at += int(content.counts[line])
        line += 1
    vertices, faces = values[0], values[1]
    if not all(0 <= n < 2**40 and n == int(n) for n in (vertices, faces)):
        raise ValueError(f"the counts of vertices and faces are {vertices:g} and {faces:g}; correct them.")
    if at > 3:  # all in one line
        at, line = 3, len(content.counts)
    if line == 2 and at == 2 and line < len(content.counts) and content.counts[line] == 1:
        at, line = 3, 3
    return int(vertices), int(faces), at, line


def _by_place(content: Numbers, at: int, vertices: int, faces: int, width: int) -> Ints:
    """Return where vertices and faces end if lines mean nothing."""
    ends = [at + width * (k + 1) for k in range(vertices)] if width * vertices <= len(content.values) else []
    at += width * vertices
    for _ in range(faces):
        if at >= len(content.values):
            raise content.lacking(f"the {faces} faces")
        at += 1 + max(int(content.values[at]), 0)
        ends.append(at)
    if at > len(content.values):
        raise content.lacking(f"the {faces} faces")
    return np.array(ends, dtype=np.int64)


def _vertices(
    content: Numbers, begins: Ints, ends: Ints, head: re.Match[str]
) -> tuple[Array, Array | None, tuple[str, ...]]:
    """Return coordinates ``[v, 3]``, features ``[v, f]`` and their names."""
    if not len(begins):
        return np.zeros((0, 3)), None, ()
    textured, coloured, normal, homogeneous = (head[i] is not None for i in range(1, 5))
    widths = np.unique(ends - begins)
    axes = 4 if homogeneous else 3
    names = ["nx", "ny", "nz"] * normal
    colour = int(widths[0]) - axes - len(names) - 2 * textured
    if len(widths) > 1 or colour not in ((3, 4) if coloured else (0, 3, 4)):
        raise ValueError(
            f"the vertices have {' and '.join(map(str, widths[:3]))} numbers a line, "
            f"{axes + len(names)} are expected; export the file again."
        )
    names += [*_COLOURS[:colour], *(["s", "t"] * textured)]
    table = content.values[begins[0] : ends[-1]].reshape(len(begins), -1)
    pos = table[:, :3]
    if homogeneous:
        if (table[:, 3] == 0).any():
            raise ValueError("a homogeneous coordinate is zero; export the file in 3 dimensions.")
        pos = pos / table[:, 3:4]
    return np.ascontiguousarray(pos), table[:, axes:] if names else None, tuple(names)


def _faces(content: Numbers, begins: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """Return the corners of all faces and the number of corners of each."""
    sizes = content.values[begins]
    there = ends - begins
    bad = ~((sizes >= 0) & (sizes < there) & (sizes == np.trunc(sizes)))
    if bad.any():
        face = int(bad.argmax())
        last = " and the file perhaps truncated" if face == len(begins) - 1 else ""
        raise ValueError(
            f"face {face} announces {sizes[face]:g} corners, {there[face] - 1} follow: it is "
            f"incomplete{last}; export the file again."
        )
    counts = sizes.astype(np.int64)
    inner = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    corners = content.values[np.repeat(begins + 1, counts) + inner]
    whole = (np.abs(corners) < 2**53) & (corners == np.trunc(corners))
    if not whole.all():
        raise ValueError(f"a face names the vertex {corners[~whole][0]:g}; export the file again.")
    return corners.astype(np.int64), counts
