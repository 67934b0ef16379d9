"""Meshes and clouds in three dimensions: .ply, .off, .obj and .stl.

A mesh becomes points independent and uniform by area on its surface (`noisefold.data.mesh`). Vertices
without faces are taken as they are; then a .ply file's further numeric vertex properties are features,
except normals and colours.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from noisefold.data.formats.arrays import parsing
from noisefold.data.mesh import Array, Mesh, join
from noisefold.geometry.graphs import Graphs

__all__ = ["Sampler", "read_surface", "write_ply"]

Sampler = Callable[[Mesh], Array]
_NOT_FEATURES = {"x", "y", "z", "nx", "ny", "nz", "red", "green", "blue", "alpha"}


def read_surface(data: bytes, ending: str, sampler: Sampler) -> Graphs:
    """One graph from the bytes of a file; `sampler` gives the points of a mesh.

    Raises
    ------
    ValueError
        If the bytes are damaged, or hold neither points nor faces.
    """
    import trimesh  # takes half a second, which only these formats need to spend

    kind = ending.removeprefix(".")
    with parsing(), _quiet():
        _complete(data, kind)
        options: dict[str, Any] = {"skip_materials": True} if kind == "obj" else {}
        loaded: Any = trimesh.load(io.BytesIO(data), file_type=kind, process=False, **options)
        parts: list[Any] = list(loaded.geometry.values()) if hasattr(loaded, "geometry") else [loaded]
        solids = [_mesh(p.vertices, p.faces) for p in parts if len(getattr(p, "faces", ()))]
        clouds = [p for p in parts if not len(getattr(p, "faces", ())) and len(p.vertices)]
        features = _features(clouds[0], kind) if len(clouds) == 1 else None
        if not solids and kind == "ply" and re.search(rb"^element face +[1-9]", data[:10_000], re.MULTILINE):
            raise ValueError("the faces are missing")
    if solids:
        return Graphs(torch.from_numpy(sampler(_sound(join(solids)))).float())
    if not clouds:
        raise ValueError(
            "there are neither points nor faces, perhaps it is truncated; export the file again."
        )
    return Graphs(torch.cat([torch.from_numpy(np.array(p.vertices)).float() for p in clouds]), features)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep trimesh from logging tracebacks of what is refused below anyway."""
    logger = logging.getLogger("trimesh")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def _mesh(vertices: Any, faces: Any) -> Mesh:
    return Mesh(np.array(vertices, dtype=np.float64), np.array(faces, dtype=np.int64))


def _sound(mesh: Mesh) -> Mesh:
    last, bad = len(mesh.vertices) - 1, ~np.isfinite(mesh.vertices).all(axis=1)
    if mesh.faces.min() < 0 or mesh.faces.max() > last:
        raise ValueError(f"a face names a vertex outside of 0 to {last}; export the file again.")
    if bad.any():
        raise ValueError(
            f"the coordinates of vertex {int(bad.argmax())} are NaN or infinite; repair the mesh."
        )
    return mesh


def _complete(data: bytes, kind: str) -> None:
    """Refuse text files that end too early, which trimesh reads as far as they go."""
    if kind == "off":
        lines = _lines(data.decode())
        head = re.match(r"[A-Z0-9]*?OFF\s*(\d+)\s+(\d+)", " ".join(lines[:2]))
        if head is None:
            raise ValueError("there is no OFF header")
        start = 1 if re.search(r"OFF\s*\d", lines[0]) else 2
        _enough(lines[start:], int(head[1]) + int(head[2]), polygons=int(head[2]) > 0)
    elif kind == "ply" and b"format ascii" in data[:200]:
        header, _, body = data.decode().partition("end_header")
        elements = re.findall(r"^element\s+(\w+)\s+(\d+)", header, re.MULTILINE)
        polygons = bool(elements) and elements[-1][0] == "face" and int(elements[-1][1]) > 0
        _enough(_lines(body), sum(int(n) for _, n in elements), polygons)
    elif (
        kind == "stl" and data.lstrip().startswith(b"solid") and b"\0" not in data and b"endsolid" not in data
    ):
        raise ValueError("there is no endsolid")


def _lines(text: str) -> list[str]:
    return [s for line in text.splitlines() if (s := line.split("#", 1)[0].strip())]


def _enough(lines: list[str], count: int, polygons: bool) -> None:
    if len(lines) < count:
        raise ValueError(f"{count} lines of points and faces are announced, {len(lines)} follow")
    if polygons:
        cells = lines[count - 1].split()
        if len(cells) <= int(cells[0]):
            raise ValueError("the last face is incomplete")


def _features(cloud: Any, kind: str) -> torch.Tensor | None:
    if kind != "ply":
        return None
    vertex = cloud.metadata["_ply_raw"]["vertex"]
    names = [n for n in vertex["properties"] if n not in _NOT_FEATURES]
    if not names:
        return None
    columns = [np.asarray(vertex["data"][n], dtype=np.float64).reshape(len(cloud.vertices)) for n in names]
    return torch.from_numpy(np.stack(columns, axis=1)).float()


def write_ply(graphs: Graphs) -> bytes:
    """One graph as the bytes of a binary .ply file, features as the properties f0, f1 ..."""
    if graphs.dim != 3:
        raise ValueError(f"a .ply file holds positions in 3 dimensions, got {graphs.dim}; save as .npz.")
    names = ["x", "y", "z", *(f"f{i}" for i in range(graphs.features))]
    kind, width = ("double", "<f8") if graphs.dtype == torch.float64 else ("float", "<f4")
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {graphs.num_nodes}"]
    header += [*(f"property {kind} {n}" for n in names), "end_header", ""]
    parts = [graphs.pos] if graphs.x is None else [graphs.pos, graphs.x]
    table = torch.cat([p.detach().cpu().double() for p in parts], dim=1).numpy()
    return "\n".join(header).encode() + table.astype(width).tobytes()
