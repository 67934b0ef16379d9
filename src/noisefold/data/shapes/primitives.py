"""Solids from which shapes are put together, as triangle meshes.

Everything is one of two constructions: a *grid*, the image of a rectangle under (u, v) -> p(u, v), from
which come surfaces of revolution p = (r(u) cos v, r(u) sin v, z(u)), ellipsoids and tubes
p = c(u) + r(u) (cos v N + sin v B) around a curve c with normals N and B; or a *prism*, a convex polygon
swept along a vector. The up axis is z.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from noisefold.data.mesh import Array, Mesh

__all__ = ["box", "disc", "ellipsoid", "moved", "prism", "revolve", "tube"]


@lru_cache(maxsize=64)
def _grid_faces(rows: int, columns: int) -> NDArray[np.int64]:
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns), indexing="ij")
    k = (j + 1) % columns
    a, b, c, d = (i * columns + j, (i + 1) * columns + j, (i + 1) * columns + k, i * columns + k)
    return np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])


@lru_cache(maxsize=16)
def _circle(around: int) -> Array:
    angle = 2 * np.pi * np.arange(around) / around
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _grid(points: Array) -> Mesh:
    """Triangles over ``points [rows, columns, 3]``, closed in the second direction."""
    return Mesh(points.reshape(-1, 3), _grid_faces(points.shape[0], points.shape[1]))


def moved(mesh: Mesh, offset: ArrayLike = (0, 0, 0), scale: ArrayLike = 1.0) -> Mesh:
    """Scaled along the axes, then shifted."""
    return Mesh(mesh.vertices * np.asarray(scale) + np.asarray(offset, dtype=float), mesh.faces)


def revolve(profile: ArrayLike, around: int = 32) -> Mesh:
    """Surface of revolution about z of a profile ``[k, 2]`` of (radius, height)."""
    line = np.asarray(profile, dtype=float)
    ring = _circle(around)[None] * line[:, :1, None]
    height = np.broadcast_to(line[:, 1:, None], (len(line), around, 1))
    return _grid(np.concatenate([ring, height], axis=2))


def disc(radius: float, height: float, thickness: float, around: int = 32) -> Mesh:
    """Closed upright cylinder from `height` up to ``height + thickness``."""
    top = height + thickness
    return revolve([(0, height), (radius, height), (radius, top), (0, top)], around)


def ellipsoid(center: ArrayLike, radii: ArrayLike, around: int = 24) -> Mesh:
    """Ellipsoid with half axes `radii` along x, y, z (a number: a ball)."""
    angle = np.linspace(0, np.pi, around // 2 + 1)
    return moved(revolve(np.stack([np.sin(angle), np.cos(angle)], 1), around), center, radii)


def tube(path: ArrayLike, radius: ArrayLike, around: int = 12, caps: bool = True) -> Mesh:
    """Tube around a curve ``[k, 3]`` with one radius, or one for each of its points; two points: a cone."""
    curve = np.asarray(path, dtype=float)
    width = np.broadcast_to(np.asarray(radius, dtype=float), (len(curve),))
    tangent = np.gradient(curve, axis=0)
    tangent = tangent / np.linalg.norm(tangent, axis=1, keepdims=True)
    # The axis farthest from every tangent, so that its cross products with them never vanish.
    reference = np.eye(3)[np.abs(tangent).max(axis=0).argmin()]
    normal = np.cross(reference, tangent)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    binormal = np.cross(tangent, normal)
    circle = _circle(around)[None] * width[:, None, None]
    rings = curve[:, None] + circle[..., :1] * normal[:, None] + circle[..., 1:] * binormal[:, None]
    if caps:
        ends = [np.broadcast_to(curve[i], (1, around, 3)) for i in (0, -1)]
        rings = np.concatenate([ends[0], rings, ends[1]])
    return _grid(rings)


def prism(outline: Sequence[ArrayLike], along: ArrayLike) -> Mesh:
    """A convex polygon ``[k, 3]`` swept along a vector, closed."""
    base = np.asarray(outline, dtype=float)
    k = len(base)
    vertices = np.concatenate([base, base + np.asarray(along, dtype=float)])
    i = np.arange(k)
    j = (i + 1) % k
    fan = np.stack([np.zeros(k - 2, dtype=np.int64), i[1:-1], i[2:]], axis=1)
    sides = [np.stack([i, j, j + k], axis=1), np.stack([i, j + k, i + k], axis=1)]
    return Mesh(vertices, np.concatenate([fan, fan + k, *sides]))


def box(low: ArrayLike, high: ArrayLike) -> Mesh:
    """Box between two opposite corners, sides along the axes."""
    (x0, y0, z0), (x1, y1, z1) = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
    return prism([(x0, y0, z0), (x1, y0, z0), (x1, y1, z0), (x0, y1, z0)], (0, 0, z1 - z0))
