"""Polygon files, .ply: ascii and binary of both byte orders.

Elements are read in the order of the header. Of `vertex`, the scalar properties besides x, y and z are named
features; `face` holds polygons, `tristrips` triangle strips, `edge` pairs of vertices. Other elements are
passed over, unless they look like faces: these are refused by name.

Source: G. Turk, *The PLY polygon file format* (1994),
https://web.archive.org/web/20161204152348/http://www.dcs.ed.ac.uk/teaching/cs4/www/graphics/Web/ply.html.
"""

from __future__ import annotations

import re

import numpy as np
import torch

from noisefold.data.formats.ply_rows import Binary, Element, Property, Text, Values
from noisefold.data.formats.text import decoded
from noisefold.data.formats.vertices import Vertices, header_names, polygons, position_columns
from noisefold.data.mesh import Array
from noisefold.data.polygons import Ints
from noisefold.geometry.graphs import Graphs

__all__ = ["read_ply", "write_ply"]

_TYPES = {
    "char": "i1",
    "uchar": "u1",
    "short": "i2",
    "ushort": "u2",
    "int": "i4",
    "uint": "u4",
    "float": "f4",
    "double": "f8",
    **{f"int{8 * n}": f"i{n}" for n in (1, 2, 4, 8)},
    **{f"uint{8 * n}": f"u{n}" for n in (1, 2, 4, 8)},
    "float32": "f4",
    "float64": "f8",
}
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_LONGEST_HEADER = 2**20
_CORNERS = ("vertex_indices", "vertex_index", "vertex_ids", "vertex_id", "vertices")
_FACE_LIKE = re.compile(r"fac|poly|tri|strip|fan|quad|patch|mesh|surf|cell|tet|hexa", re.IGNORECASE)


def read_ply(data: bytes) -> Vertices:
    """Return what the bytes of a .ply file hold.

    Raises
    ------
    ValueError
        If the bytes are cut or damaged, or hold a surface that is not understood.
    """
    order, elements, start = _header(data)
    source = Text(data[start:]) if order == "" else Binary(data, start, order)
    values = {element.name: source.rows(element) for element in elements}
    source.end()
    if "vertex" not in values:
        raise ValueError("there is no element `vertex`; export the file again.")
    scalars = values["vertex"].scalars
    names = list(scalars)
    axes = position_columns(names)
    pos = np.stack([scalars[names[i]] for i in axes], axis=1)
    further = tuple(name for i, name in enumerate(names) if i not in axes)
    features = np.stack([scalars[name] for name in further], axis=1) if further else None
    triangles = [
        polygons(pos, corners, sizes)
        for element in elements
        for corners, sizes in _faces(element, values[element.name])
    ]
    joined = np.concatenate(triangles) if triangles else np.zeros((0, 3), dtype=np.int64)
    return Vertices(pos, joined, features, further, _edges(values.get("edge"), len(pos)))


# -- the header ---------------------------------------------------------------------------------------------


def _header(data: bytes) -> tuple[str, list[Element], int]:
    """Return the byte order ("" for ascii), the elements, and where the body begins."""
    found = re.match(rb"(?:\xef\xbb\xbf)?\s*ply[ \t]*(\r\n|\n|\r)", data[:64], re.IGNORECASE)
    if found is None:
        raise ValueError("it does not begin with `ply`, so that it is no PLY file; export it again.")
    newline = found[1]
    end = re.search(rb"(?:^|[\r\n])[ \t]*end_header[ \t]*(\r\n|\n|\r|$)", data[:_LONGEST_HEADER])
    if end is None:
        raise ValueError("the header is truncated, there is no `end_header`; copy the file again.")
    start = end.end() if newline != b"\r" or end[1] != b"\r\n" else end.end() - 1
    order: str | None = None
    elements: list[Element] = []
    for line in decoded(data[found.end() : end.start()]).splitlines():
        words = line.split()
        match words:
            case [] | ["comment" | "obj_info", *_]:
                pass
            case ["format", kind, *_] if kind in _ORDERS:
                order = _ORDERS[kind]
            case ["element", name, count] if count.isdecimal() and len(count) < 16:
                elements.append(Element(name.lower(), int(count)))
            case ["property", "list", length, kind, name] if elements and {length, kind} <= _TYPES.keys():
                elements[-1].properties.append(Property(name, _TYPES[kind], _TYPES[length]))
            case ["property", kind, name] if elements and kind in _TYPES:
                elements[-1].properties.append(Property(name, _TYPES[kind]))
            case _:
                raise ValueError(f"the header has the line {line.strip()[:60]!r}; correct it.")
    if order is None:
        raise ValueError("the header names no known format, ascii or binary; correct it.")
    for element in elements:
        names = [p.name for p in element.properties]
        if len(set(names)) < len(names) or sum(e.name == element.name for e in elements) > 1:
            raise ValueError(f"the header names a property of {element.name!r}, or it, twice; correct it.")
        if any(p.length.startswith("f") for p in element.properties):
            raise ValueError(f"the header counts a list of {element.name!r} in fractions; correct it.")
    return order, elements, start


# -- faces and edges ----------------------------------------------------------------------------------------


def _faces(element: Element, values: Values) -> list[tuple[Ints, Ints]]:
    """Return corners and sizes of the faces that an element holds."""
    if element.name in ("vertex", "edge", "range_grid") or not element.count:
        return []
    name = next((n for n in _CORNERS if n in values.lists), None)
    if element.name not in ("face", "tristrips"):
        if name is not None or _FACE_LIKE.search(element.name):
            raise ValueError(f"the element {element.name!r} is not understood; save its surface as faces.")
        return []
    if name is None:
        whole = {p.name for p in element.properties if p.length and p.kind[0] in "iu"}
        if len(whole) != 1:
            raise ValueError(
                f"the element {element.name!r} has no list {_CORNERS[0]!r}, only "
                f"{', '.join(p.name for p in element.properties) or 'nothing'}; rename it."
            )
        name = whole.pop()
    corners, sizes = values.lists[name]
    rows = _whole(corners, element.name)
    return [(rows, sizes)] if element.name == "face" else [_strips(rows, sizes)]


def _whole(values: Array, name: str) -> Ints:
    if not (np.abs(values) < 2**53).all() or (values != np.trunc(values)).any():
        raise ValueError(f"the element {name!r} names a vertex by no whole number; export the file again.")
    return values.astype(np.int64)


def _strips(corners: Ints, sizes: Ints) -> tuple[Ints, Ints]:
    """Return triangle strips, separated by -1 or by the end of a list, as corners and sizes of triangles."""
    strip = np.repeat(np.arange(len(sizes)), sizes) + np.cumsum(corners == -1)
    strip[corners == -1] = -1
    whole = (strip[:-2] == strip[1:-1]) & (strip[1:-1] == strip[2:]) & (strip[2:] >= 0)
    rows = np.flatnonzero(whole)[:, None] + np.arange(3)
    return corners[rows].ravel(), np.full(len(rows), 3, dtype=np.int64)


def _edges(values: Values | None, vertices: int) -> Ints | None:
    if values is None or not {"vertex1", "vertex2"} <= values.scalars.keys():
        return None
    edges = np.stack([_whole(values.scalars[name], "edge") for name in ("vertex1", "vertex2")])
    if edges.size and not (edges.min() >= 0 and edges.max() < vertices):
        raise ValueError(f"an edge names a vertex outside of 0 to {vertices - 1}; export the file again.")
    return edges


# -- writing ------------------------------------------------------------------------------------------------


def write_ply(graphs: Graphs) -> bytes:
    """Return one graph as the bytes of a binary .ply file, with a property for each feature, and its edges.

    Blanks in a name are written as %20, and features without names become f0, f1 ...; coordinates are doubles
    where the graph has an origin, in the user's own frame.

    Raises
    ------
    ValueError
        If positions are not in 3 dimensions, or a name is empty.
    """
    if graphs.dim != 3:
        raise ValueError(f"a .ply file holds positions in 3 dimensions, got {graphs.dim}; save as .npz.")
    names = header_names(graphs, taken=("x", "y", "z"))
    wide = graphs.dtype == torch.float64
    kinds = ["double" if wide or any(graphs.origin) else "float"] * 3
    kinds += ["double" if wide else "float"] * len(names)
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {graphs.num_nodes}"]
    header += [f"property {kind} {n}" for kind, n in zip(kinds, ("x", "y", "z", *names), strict=True)]
    row = np.dtype([(f"c{i}", "<" + _TYPES[kind]) for i, kind in enumerate(kinds)])
    table = np.empty(graphs.num_nodes, dtype=row)
    parts = [graphs.coordinates] if graphs.x is None else [graphs.coordinates, graphs.x]
    values = torch.cat([p.detach().cpu().double() for p in parts], dim=1).numpy()
    for i in range(len(kinds)):
        table[f"c{i}"] = values[:, i]
    body = table.tobytes()
    if graphs.edge_index is not None:
        ends = graphs.edge_index.cpu().numpy().T
        header += [f"element edge {len(ends)}", "property int vertex1", "property int vertex2"]
        body += np.ascontiguousarray(ends, dtype="<i4").tobytes()
    return "\n".join([*header, "end_header", ""]).encode() + body
