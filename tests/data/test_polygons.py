"""Triangulation of polygons: area and containment against closed forms and random polygons."""

import numpy as np
import pytest

from noisefold.data.mesh import Mesh, areas
from noisefold.data.polygons import triangulated

L = [(2, 0), (2, 1), (1, 1), (1, 2), (0, 2), (0, 0)]
KEYHOLE = [(0, 0), (3, 0), (3, 3), (0, 3), (0, 0), (1, 1), (1, 2), (2, 2), (2, 1), (1, 1)]


def shoelace(polygon):
    x, y = np.asarray(polygon, dtype=np.float64).T
    return 0.5 * abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())


def inside(points, polygon):
    """Whether points ``[n, 2]`` lie in a polygon, by the number of edges right of them."""
    a, b = np.asarray(polygon, dtype=np.float64), np.roll(polygon, -1, axis=0).astype(np.float64)
    x, y = points[:, :1], points[:, 1:]
    level = (a[:, 1] > y) != (b[:, 1] > y)
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = a[:, 0] + (y - a[:, 1]) / (b[:, 1] - a[:, 1]) * (b[:, 0] - a[:, 0])
    return (level & (x < crossing)).sum(axis=1) % 2 == 1


def in_space(polygon, rng):
    """Return the corners in a random plane."""
    turned, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return np.pad(np.asarray(polygon, dtype=np.float64), ((0, 0), (0, 1))) @ turned.T + rng.normal(size=3)


def triangles_of(polygon, vertices=None):
    flat = np.pad(np.asarray(polygon, dtype=np.float64), ((0, 0), (0, 1)))
    return triangulated(
        flat if vertices is None else vertices, np.arange(len(polygon)), np.array([len(polygon)])
    )


def check(polygon, rng):
    """Area as by the shoelace formula, and no triangle outside."""
    vertices = in_space(polygon, rng)
    triangles = triangles_of(polygon, vertices)
    assert triangles.shape == (len(polygon) - 2, 3)
    found = areas(Mesh(vertices, triangles))
    # Coordinates of order 1: the area of a thin triangle is known to sqrt(2^-52) of its squared side.
    assert found.sum() == pytest.approx(shoelace(polygon), rel=1e-6)
    middle = np.asarray(polygon, dtype=np.float64)[triangles].mean(axis=1)
    assert inside(middle[found > 1e-6], polygon).all()


@pytest.mark.parametrize("turn", range(6))
@pytest.mark.parametrize("mirrored", [False, True])
def test_l_shape(turn, mirrored):
    polygon = np.roll(L[::-1] if mirrored else L, turn, axis=0)
    check(polygon, np.random.default_rng(turn))
    assert shoelace(polygon) == 3


@pytest.mark.parametrize("turn", range(10))
def test_hole_that_a_double_edge_connects(turn):
    polygon = np.roll(KEYHOLE, turn, axis=0)
    assert shoelace(polygon) == 8
    check(polygon, np.random.default_rng(turn))


def test_random_star_shaped_polygons():
    rng = np.random.default_rng(0)
    for _ in range(60):
        angle = np.sort(rng.random(rng.integers(8, 60))) * 2 * np.pi
        if max(np.diff(angle).max(), angle[0] + 2 * np.pi - angle[-1]) > 3:
            continue  # the centre is outside
        radius = rng.uniform(0.2, 1, len(angle))
        check(
            np.roll(np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1), rng.integers(99), 0), rng
        )


def test_spiral():
    """A polygon in which no corner sees all others, and most corners are no ears."""
    t = np.linspace(0, 6 * np.pi, 150)
    outer = np.stack([(1 + t) * np.cos(t), (1 + t) * np.sin(t)], 1)
    inner = np.stack([(0.5 + t) * np.cos(t), (0.5 + t) * np.sin(t)], 1)
    check(np.concatenate([outer, inner[::-1]]) / 20, np.random.default_rng(0))


def test_order_and_sizes():
    """Triangles come in the order of the polygons; polygons without area or corners do no harm."""
    vertices = np.array([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (2, 0, 0)], dtype=np.float64)
    corners = np.array([0, 1, 2, 0, 1, 0, 1, 2, 3, 0, 1, 4, 4, 0, 0, 0])
    triangles = triangulated(vertices, corners, np.array([3, 2, 4, 4, 3]))
    assert triangles.tolist() == [[0, 1, 2], [0, 1, 2], [0, 2, 3], [0, 1, 4], [0, 4, 4], [0, 0, 0]]


@pytest.mark.parametrize(
    "polygon",
    [
        [(0, 0), (1, 1), (1, 0), (0, 1)],
        [(0, 0), (2, 2), (2, 0), (0, 1)],
        [(np.cos(a), np.sin(a)) for a in np.arange(5) * 4 * np.pi / 5],
    ],
)
def test_polygons_that_cross_themselves_are_refused(polygon):
    with pytest.raises(ValueError, match="face 0 "):
        triangles_of(polygon)


def test_many_quads_at_once():
    """No loop over the polygons: this would take minutes."""
    side = np.arange(401.0)
    x, y = np.meshgrid(side, side, indexing="ij")
    vertices = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], 1)
    first = (np.arange(400)[:, None] * 401 + np.arange(400)).reshape(-1, 1)
    corners = (first + np.array([0, 1, 402, 401])).ravel()
    triangles = triangulated(vertices, corners, np.full(400**2, 4))
    assert areas(Mesh(vertices, triangles)).sum() == pytest.approx(400**2, rel=1e-12)
