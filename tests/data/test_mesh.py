"""Sampling of triangle meshes against closed-form moments, areas and a brute-force point-to-mesh distance."""

from itertools import pairwise

import numpy as np
import pytest

from noisefold.data.mesh import Mesh, areas, join, sample_surface, unit_sphere
from noisefold.data.shapes.families import BUILDERS
from noisefold.data.shapes.primitives import box, disc, ellipsoid, prism, revolve, tube


def rng(seed=0):
    return np.random.default_rng(seed)


def distance(points, mesh):
    """Distance of each point to the nearest triangle, by clamping barycentric coordinates of its projection.

    Exact for points over a triangle's interior, an upper bound elsewhere, which is all that is needed here.
    """
    a, b, c = (mesh.vertices[mesh.faces[:, i]] for i in range(3))
    p, q, r = b - a, c - a, points[:, None] - a
    pp, qq, pq = (p * p).sum(1), (q * q).sum(1), (p * q).sum(1)
    rp, rq = (r * p).sum(-1), (r * q).sum(-1)
    det = np.where(pp * qq - pq**2 > 1e-14, pp * qq - pq**2, np.inf)
    v, w = (qq * rp - pq * rq) / det, (pp * rq - pq * rp) / det
    v, w = np.clip(v, 0, 1), np.clip(w, 0, 1)
    over = np.maximum(v + w, 1)
    near = a + (v / over)[..., None] * p + (w / over)[..., None] * q
    return np.linalg.norm(points[:, None] - near, axis=-1).min(axis=1)


def test_points_of_one_triangle_have_the_moments_of_the_uniform_law():
    corners = np.array([[0.0, 0, 0], [2, 0, 1], [0.5, 3, -1]])
    n = 200_000
    points = sample_surface(Mesh(corners, np.array([[0, 1, 2]])), n, rng())
    spread = corners - corners.mean(0)
    covariance = spread.T @ spread / 12
    error = 5 * np.sqrt(np.diag(covariance) / n)
    assert (np.abs(points.mean(0) - corners.mean(0)) < error).all()
    # Var of a sample variance is (kurtosis - 1) s^4 / n, below 2 s^4 / n for laws flatter than the normal.
    scale = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    assert (np.abs(np.cov(points.T, bias=True) - covariance) < 5 * scale * np.sqrt(2 / n)).all()


def test_triangles_are_hit_by_area_however_the_surface_is_cut():
    # The square [0, 1]^2, its left half in one pair of triangles, its right half in 2 x 50 thin ones.
    left = prism([(0, 0, 0), (0.5, 0, 0), (0.5, 1, 0), (0, 1, 0)], (0, 0, 0))
    x = np.linspace(0.5, 1, 51)
    right = [prism([(a, 0, 0), (b, 0, 0), (b, 1, 0), (a, 1, 0)], (0, 0, 0)) for a, b in pairwise(x)]
    n = 100_000
    points = sample_surface(join([left, *right]), n, rng(1))
    counts, _, _ = np.histogram2d(points[:, 0], points[:, 1], bins=8, range=[[0, 1], [0, 1]])
    p = 1 / 64
    assert (np.abs(counts - n * p) < 5 * np.sqrt(n * p * (1 - p))).all()


@pytest.mark.parametrize("family", BUILDERS)
def test_points_lie_on_the_surface(family):
    mesh = join(BUILDERS[family](rng(3)))
    points = sample_surface(mesh, 100, rng(4))
    # Lengths are of order 1; a barycentric combination and its inverse lose a few digits on thin triangles.
    assert distance(points, mesh).max() < 1e-7
    assert distance(points + 10, mesh).min() > 1


def test_first_points_do_not_depend_on_how_many_are_drawn():
    mesh = box((0, 0, 0), (1, 2, 3))
    np.testing.assert_array_equal(sample_surface(mesh, 10, rng()), sample_surface(mesh, 100, rng())[:10])


@pytest.mark.parametrize(
    "mesh",
    [
        Mesh(np.zeros((3, 3)), np.array([[0, 1, 2]])),
        Mesh(np.zeros((3, 3)), np.zeros((0, 3), dtype=np.int64)),
    ],
)
def test_mesh_without_area_is_refused(mesh):
    with pytest.raises(ValueError, match="no surface to sample"):
        sample_surface(mesh, 10, rng())


def test_areas_of_primitives():
    assert areas(box((0, 0, 0), (1, 2, 3))).sum() == pytest.approx(22, rel=1e-14)
    # A regular k-gon of circumradius r has perimeter 2 k r sin(pi / k) and area k r^2 sin(2 pi / k) / 2.
    k, r, h = 32, 0.7, 1.3
    side, base = 2 * k * r * np.sin(np.pi / k) * h, k * r**2 * np.sin(2 * np.pi / k) / 2
    assert areas(disc(r, 0.2, h, around=k)).sum() == pytest.approx(side + 2 * base, rel=1e-13)
    assert areas(tube([(0, 0, 0), (0, 0, h)], r, around=k)).sum() == pytest.approx(side + 2 * base, rel=1e-13)
    assert areas(tube([(0, 0, 0), (0, 0, h)], r, around=k, caps=False)).sum() == pytest.approx(
        side, rel=1e-13
    )
    # An inscribed polyhedron with angular step h misses O(h^2) of a ball's area: here below 2 %.
    ball = areas(ellipsoid((1, 2, 3), 1.0, around=48)).sum()
    assert 0.98 * 4 * np.pi < ball < 4 * np.pi


def test_tube_stays_at_its_radius_from_its_curve():
    angle = np.linspace(0, 4 * np.pi, 200)
    curve = np.stack([np.cos(angle), np.sin(angle), 0.2 * angle], 1)
    mesh = tube(curve, 0.1, caps=False)
    ring = mesh.vertices.reshape(200, 12, 3) - curve[:, None]
    np.testing.assert_allclose(np.linalg.norm(ring, axis=-1), 0.1, rtol=1e-12)
    tangent = np.gradient(curve, axis=0)
    np.testing.assert_allclose(np.einsum("kac,kc->ka", ring, tangent), 0, atol=1e-12)


def test_revolution_keeps_its_profile():
    profile = np.array([(0.0, 0.0), (1.0, 0.5), (0.3, 2.0)])
    vertices = revolve(profile, around=7).vertices.reshape(3, 7, 3)
    np.testing.assert_allclose(
        np.linalg.norm(vertices[..., :2], axis=-1), np.tile(profile[:, :1], 7), atol=1e-15
    )
    np.testing.assert_array_equal(vertices[..., 2], np.tile(profile[:, 1:], 7))


def test_unit_sphere():
    cloud = unit_sphere(rng().normal(size=(50, 3)) * 7 + 100)
    # Coordinates of 100 with 16 digits: means are exact to 1e-14 of them.
    np.testing.assert_allclose(cloud.mean(0), 0, atol=1e-13)
    assert np.linalg.norm(cloud, axis=1).max() == pytest.approx(1, rel=1e-14)
    np.testing.assert_array_equal(unit_sphere(np.ones((4, 3))), 0)
