"""Triangle meshes and points spread uniformly over them.

A point uniform on the triangle a, b, c is

    p = (1 - s) a + s (1 - r) b + s r c,    s = sqrt(U_1), r = U_2,

and a triangle is chosen with probability proportional to its area |(b - a) x (c - a)| / 2 (Osada et al.,
*Shape distributions*, ACM Transactions on Graphics 2002).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Mesh", "areas", "join", "sample_surface", "unit_sphere"]

Array = NDArray[np.float64]


class Mesh(NamedTuple):
    """Triangles: `vertices` ``[v, 3]`` and `faces` ``[f, 3]``, rows of vertices."""

    vertices: Array
    faces: NDArray[np.int64]


def join(parts: Sequence[Mesh]) -> Mesh:
    """All parts as one mesh; where parts overlap, both surfaces stay."""
    starts = np.cumsum([0] + [len(p.vertices) for p in parts[:-1]])
    faces = [p.faces + s for p, s in zip(parts, starts, strict=True)]
    return Mesh(np.concatenate([p.vertices for p in parts]), np.concatenate(faces))


def areas(mesh: Mesh) -> Array:
    """Area of each triangle, ``[f]``, in squared units of the vertices."""
    a, b, c = (mesh.vertices[mesh.faces[:, i]] for i in range(3))
    p, q = b - a, c - a
    square = (p * p).sum(1) * (q * q).sum(1) - (p * q).sum(1) ** 2
    return np.asarray(0.5 * np.sqrt(np.maximum(square, 0.0)))


def sample_surface(mesh: Mesh, points: int, rng: np.random.Generator) -> Array:
    """Independent points, uniform by area, ``[points, 3]``.

    Raises
    ------
    ValueError
        If the mesh has no area.
    """
    total = np.cumsum(areas(mesh))
    if len(total) == 0 or not total[-1] > 0:
        raise ValueError("the mesh has no surface to sample; give one with faces of positive area.")
    u = rng.random((points, 3))
    chosen = np.searchsorted(total, u[:, 0] * total[-1], side="right")
    a, b, c = (mesh.vertices[mesh.faces[chosen, i]] for i in range(3))
    s, r = np.sqrt(u[:, 1:2]), u[:, 2:3]
    return np.asarray((1 - s) * a + s * ((1 - r) * b + r * c))


def unit_sphere(points: Array) -> Array:
    """Centred on the mean and scaled so that the farthest point has norm 1, ``[n, d]``, as in ModelNet."""
    centred = points - points.mean(axis=0)
    radius = np.sqrt((centred * centred).sum(axis=1).max())
    return np.asarray(centred / radius) if radius > 0 else centred
