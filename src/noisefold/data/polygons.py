r"""Triangulation of polygons: fans where one corner sees all others, ear clipping elsewhere.

A set of triangles with the boundary of the polygon, all oriented as the polygon is, covers every point as
often as the polygon winds around it: for a polygon that does not cross itself, exactly once inside. So the
orientation of the triangles is the only condition that is checked, with the area vector

    N = 1/2 sum_i (v_i - v_0) x (v_{i+1} - v_0)

as the direction of a polygon in space. Holes that are connected to the outer boundary by a double edge are
handled like any other polygon.

Source: G. H. Meisters, *Polygons have ears*, American Mathematical Monthly 82 (1975),
https://doi.org/10.2307/2319703.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ints", "triangulated"]

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

_FANS = 16  # corners from which a fan is tried, for all polygons of one size at once
_MOST_CORNERS = 10_000  # ear clipping costs the square of the corners
_FLAT = 1e-9  # how far a triangle may turn against its polygon, as a fraction of the polygon's area
_NO_AREA = 1e-12  # triangles below this fraction of the squared extent have no area


def triangulated(vertices: Array, corners: Ints, sizes: Ints) -> Ints:
    """Return the triangles of polygons, ``[t, 3]``, rows of vertices, in the order of the polygons.

    Parameters
    ----------
    vertices
        Coordinates, ``[v, 3]``, finite.
    corners
        Corners of one polygon after another, rows of vertices, ``[c]``.
    sizes
        Number of corners of each polygon, ``[p]``; polygons with fewer than three have no triangles.

    Raises
    ------
    ValueError
        If a polygon crosses itself, or is concave with too many corners.
    """
    starts = np.cumsum(sizes) - sizes
    faces = np.flatnonzero(sizes >= 3)
    counts = sizes[faces] - 2
    first = np.cumsum(counts) - counts
    total = int(counts.sum())
    inner = np.arange(total, dtype=np.int64) - np.repeat(first, counts)
    apex = np.repeat(starts[faces], counts)
    triangles = corners[np.stack([apex, apex + inner + 1, apex + inner + 2], axis=1).reshape(total, 3)]
    for size in np.unique(counts[counts > 1]) + 2:
        alike = np.flatnonzero(counts == size - 2)
        polygons = corners[starts[faces[alike]][:, None] + np.arange(size)]
        rows = first[alike][:, None] + np.arange(size - 2)
        triangles[rows] = _of_one_size(vertices, polygons, faces[alike])
    return np.asarray(triangles)


def _of_one_size(vertices: Array, polygons: Ints, numbers: Ints) -> Ints:
    """Return the triangles ``[p, k - 2, 3]`` of polygons ``[p, k]``, called by their numbers ``[p]``."""
    size = polygons.shape[1]
    result = np.empty((len(polygons), size - 2, 3), dtype=np.int64)
    left = np.arange(len(polygons))
    for corner in range(min(size, _FANS)):
        turned = np.roll(polygons[left], -corner, axis=1) if corner else polygons
        fan = np.stack([np.repeat(turned[:, :1], size - 2, 1), turned[:, 1:-1], turned[:, 2:]], axis=2)
        good = _oriented(vertices, turned)
        result[left[good]] = fan[good]
        left = left[~good]
        if not len(left):
            return result
    for row in left:
        polygon = polygons[row]
        if size > _MOST_CORNERS:
            raise ValueError(
                f"face {numbers[row]} is concave with {size} corners, of at most {_MOST_CORNERS}; "
                f"triangulate the mesh."
            )
        plane = _flattened(vertices[polygon])
        ears = None if plane is None else _ears(plane)
        if ears is None:
            raise ValueError(f"face {numbers[row]} crosses itself; triangulate the mesh.")
        result[row] = polygon[ears]
    return result


def _oriented(vertices: Array, polygons: Ints) -> NDArray[np.bool_]:
    """Whether no triangle of the fan from the first corner of polygons ``[p, k]`` turns against them."""
    edges = []
    for axis in range(3):  # one axis at a time: several times faster than numpy.cross
        values = np.ascontiguousarray(vertices[:, axis])[polygons]
        edges.append(values[:, 1:] - values[:, :1])
    (ax, ay, az), (bx, by, bz) = ([e[:, :-1] for e in edges], [e[:, 1:] for e in edges])
    normals = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    whole = [n.sum(axis=1) for n in normals]
    square = sum(w * w for w in whole)
    smallest = _NO_AREA**2 * np.max([np.abs(e).max(axis=1) for e in edges], axis=0) ** 4
    flat = np.max(sum(n * n for n in normals), axis=1) <= smallest
    along = sum(n * w[:, None] for n, w in zip(normals, whole, strict=True))
    return np.asarray(flat | ((square > smallest) & (np.min(along, axis=1) >= -_FLAT * square)))


def _flattened(points: Array) -> Array | None:
    """Return the corners ``[k, 2]`` of a polygon ``[k, 3]`` in its plane, counter-clockwise, in extents.

    None if its area vector is zero.
    """
    edges = points - points[0]
    extent = np.abs(edges).max()
    edges = edges / extent
    normal = np.cross(edges[1:-1], edges[2:]).sum(axis=0)
    length = np.linalg.norm(normal)
    if length <= _NO_AREA:
        return None
    normal = normal / length
    u = np.cross(normal, np.eye(3)[np.abs(normal).argmin()])
    u /= np.linalg.norm(u)
    return np.stack([edges @ u, edges @ np.cross(normal, u)], axis=1)


def _ears(points: Array) -> Ints | None:
    """Return the triangles ``[k - 2, 3]`` of a polygon ``[k, 2]``, or None if no ear is left to cut.

    To cut an ear changes nothing but the two corners beside it, so that each corner is tested anew only
    when a neighbour was cut.
    """
    size = len(points)
    before, after = np.roll(np.arange(size), 1).tolist(), np.roll(np.arange(size), -1).tolist()
    there = np.ones(size, dtype=bool)
    waiting = OrderedDict.fromkeys(range(size))
    result: list[tuple[int, int, int]] = []
    while waiting and len(result) < size - 3:
        tip, _ = waiting.popitem(last=False)
        ear = (before[tip], tip, after[tip])
        if not _is_ear(points, there, ear):
            continue
        result.append(ear)
        there[tip] = False
        after[before[tip]], before[after[tip]] = after[tip], before[tip]
        for corner in (before[tip], after[tip]):  # at the end, so that few thin triangles are left over
            waiting[corner] = None
            waiting.move_to_end(corner)
    last = np.flatnonzero(there)
    if len(last) > 3 or _turn(points[last]) < -_FLAT:
        return None
    return np.array([*result, last], dtype=np.int64)


def _turn(triangle: Array) -> float:
    (ax, ay), (bx, by), (cx, cy) = triangle.tolist()
    return float((bx - ax) * (cy - ay) - (by - ay) * (cx - ax))


def _is_ear(points: Array, there: NDArray[np.bool_], ear: tuple[int, int, int]) -> bool:
    """Whether three corners are a triangle that turns as the polygon does and holds no other corner."""
    triangle = points[list(ear)]
    turn = _turn(triangle)
    if turn <= 0:
        return turn >= -_NO_AREA
    others = points[there]
    inside = np.ones(len(others), dtype=bool)
    for i in range(3):
        a, b = triangle[i], triangle[(i + 1) % 3]
        side = (b[0] - a[0]) * (others[:, 1] - a[1]) - (b[1] - a[1]) * (others[:, 0] - a[0])
        inside &= (side >= 0) & (others != a).any(axis=1)
    return not bool(inside.any())
