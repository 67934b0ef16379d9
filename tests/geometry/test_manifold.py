"""The sphere and the torus: geodesics, tangent spaces, transport and Brownian motion."""

import math

import pytest
import torch

from noisefold.configuration import decode, encode
from noisefold.geometry import Sphere, Torus

F64 = torch.float64
BOTH = pytest.mark.parametrize("manifold", [Sphere(), Torus(1), Torus(3)], ids=repr)


def points(manifold, count=500, seed=0, dtype=F64):
    normal = torch.randn(count, manifold.columns, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return manifold.project(normal)


def vectors(manifold, x, longest):
    """Tangent vectors of lengths up to `longest` in each factor."""
    raw = manifold.tangent(x, points(manifold, len(x), 1).to(x))
    parts = raw.unflatten(-1, (manifold.factors, -1))
    parts = parts / parts.norm(dim=-1, keepdim=True)
    length = longest * torch.rand(len(x), manifold.factors, 1, generator=torch.Generator().manual_seed(2))
    return (parts * length.to(x)).flatten(-2)


@BOTH
def test_logarithm_undoes_the_exponential(manifold):
    x = points(manifold)
    for longest in (3.0, 1e-4, 1e-12):
        v = vectors(manifold, x, longest)
        y = manifold.exp(x, v)
        assert (manifold.log(x, y) - v).abs().max() < 1e-9  # at angle 3 the sine loses one digit
        assert (manifold.distance(x, y) - v.norm(dim=1)).abs().max() < 1e-9
        assert (manifold.radii(y) - 1).abs().max() < 1e-14


@BOTH
def test_antipodes_and_equal_points_have_finite_answers_and_derivatives(manifold):
    for dtype in (F64, torch.float32):
        x = points(manifold, 50, dtype=dtype)
        assert not manifold.log(x, x).any()
        assert not manifold.distance(x, x).any()
        away = manifold.log(x, -x)
        assert (manifold.exp(x, away) + x).abs().max() < 1e-6
        assert (manifold.tangent(x, away) - away).abs().max() < 1e-6
        for y in (x, -x):
            at = x.clone().requires_grad_()
            manifold.exp(at, manifold.log(at, y)).sum().backward()
            assert at.grad.isfinite().all()


@BOTH
def test_frame_spans_the_tangent_space(manifold):
    x = points(manifold)
    frame = manifold.frame(x)
    eye = torch.eye(manifold.dimension, dtype=F64)
    assert (frame @ frame.mT - eye).abs().max() < 1e-14
    v = torch.randn(len(x), manifold.columns, dtype=F64)
    rebuilt = torch.einsum("ndc,nde,ne->nc", frame, frame, v)
    assert (rebuilt - manifold.tangent(x, v)).abs().max() < 1e-13


@BOTH
def test_transport_keeps_lengths_and_turns_the_geodesic_into_itself(manifold):
    x = points(manifold)
    v = vectors(manifold, x, 2.5)
    y = manifold.exp(x, v)
    assert (manifold.transport(x, y, v) + manifold.log(y, x)).abs().max() < 1e-9
    w = manifold.tangent(x, torch.randn(len(x), manifold.columns, dtype=F64))
    there = manifold.transport(x, y, w)
    assert (manifold.tangent(y, there) - there).abs().max() < 1e-11
    assert (there.norm(dim=1) - w.norm(dim=1)).abs().max() < 1e-11
    assert (manifold.transport(y, x, there) - w).abs().max() < 1e-11


def test_volumes():
    assert Sphere().log_volume == math.log(4 * math.pi)
    assert Torus(3).log_volume == pytest.approx(3 * math.log(2 * math.pi))


@BOTH
def test_score_is_the_gradient_of_the_heat_kernel(manifold):
    x, start = points(manifold, 200, 3), points(manifold, 200, 4)
    for s in (0.05, 0.2, 1.0):
        time = torch.full((200, 1), s, dtype=F64)
        at = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(manifold.log_heat(manifold.project(at), start, time).sum(), at)
        found = manifold.score(x, start, time)
        assert (manifold.tangent(x, found) - found).abs().max() < 1e-9 * found.abs().max()
        # Far apart the expansion's density and slope differ by its next order.
        assert (found - manifold.tangent(x, gradient)).abs().max() < 1e-3 * found.abs().max()


@BOTH
def test_brownian_motion_from_anywhere_is_uniform_late_and_normal_early(manifold):
    count, d = 20_000, manifold.sphere
    x = points(manifold, 1).expand(count, -1)
    normal = torch.randn(count, manifold.columns, dtype=F64, generator=torch.Generator().manual_seed(5))
    late = manifold.brownian(x, torch.tensor(60.0, dtype=F64), normal)
    assert late.mean(0).abs().max() < 4 / math.sqrt(count)
    early = manifold.log(x, manifold.brownian(x, torch.tensor(1e-6, dtype=F64), normal))
    assert early.square().sum(1).mean() == pytest.approx(1e-6 * manifold.dimension, rel=0.05)
    middle = manifold.brownian(x, torch.full((count, 1), 0.4, dtype=F64), normal)
    kept = manifold.angles(middle, x).cos().mean()
    assert float(kept) == pytest.approx(math.exp(-d * 0.2), abs=4 / math.sqrt(count))


def test_angles_become_points_and_come_back():
    torus, angles = Torus(2), torch.tensor([[0.3, -3.0], [2.0, 1.0]])
    x = torus.points(angles)
    torus.check(x, "x")
    torch.testing.assert_close(torus.angles_of(x), angles)
    assert decode(encode(torus)) == torus


def test_what_are_no_points_is_refused():
    with pytest.raises(ValueError, match="x"):
        Sphere().check(torch.zeros(3, 2), "x")
    with pytest.raises(ValueError, match=r"1\.1"):
        Sphere().check(2.1 * points(Sphere(), 3), "x")
    with pytest.raises(ValueError, match="factors"):
        Torus(0)
