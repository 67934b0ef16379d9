"""Kernels of vector fields: equivariance, validity, divergence and curl, in space and on the sphere."""

import math

import pytest
import torch

from noisefold.configuration import decode, encode
from noisefold.geometry import (
    CurlFree,
    DivergenceFree,
    IndependentOutputs,
    Matern,
    Nugget,
    Periodic,
    SquaredExponential,
    Tangent,
    TangentGradient,
    TangentRotational,
    local_frame,
)


def white(d, v=0.1):
    return IndependentOutputs(Nugget(v), d)


def places(n=12, d=2, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unit(n=12, seed=0):
    return torch.nn.functional.normalize(places(n, 3, seed), dim=1)


def orthogonal(d, seed):
    """A random element of O(d); every second one has determinant -1."""
    q = torch.linalg.qr(places(d, d, seed))[0]
    q[:, 0] *= torch.linalg.det(q) * (-1) ** seed
    return q


def rotated(r, n):
    return torch.block_diag(*[r] * n)


IN_SPACE = [
    (make(d), d)
    for d in (2, 3)
    for make in (
        lambda d: CurlFree(0.7, d),
        lambda d: DivergenceFree(0.7, d),
        lambda d: IndependentOutputs(SquaredExponential(0.7), d),
        lambda d: 0.5 * CurlFree(0.7, d) + 0.3 * DivergenceFree(1.4, d) + white(d),
    )
]
ON_SPHERE = [
    Tangent(Matern(0.5)),
    TangentGradient(0.6),
    TangentRotational(0.6),
    0.5 * TangentGradient(0.6) + 0.5 * TangentRotational(1.2),
]


@pytest.mark.parametrize(("kernel", "d"), IN_SPACE, ids=repr)
def test_vectors_turn_with_space(kernel, d):
    """64 elements of E(d), half of them reflections; validity; what the base class asks for."""
    pos = places(d=d)
    k = kernel.matrix(pos)
    n = len(pos)
    torch.testing.assert_close(k, k.T, rtol=0, atol=1e-14)
    torch.testing.assert_close(k.diagonal(), torch.full((n * d,), kernel.variance, dtype=k.dtype))
    values = torch.linalg.eigvalsh(k)
    assert float(values[0]) >= -1e-10 * float(values[-1])
    torch.testing.assert_close(kernel.between(pos[:5], pos[5:]), k[: 5 * d, 5 * d :])
    torch.testing.assert_close(kernel.matrix(torch.stack([pos, 2 * pos]))[0], k)
    assert decode(encode(kernel)) == kernel
    for seed in range(64):
        r = orthogonal(d, seed)
        moved = pos @ r.T + places(1, d, seed + 100)
        turned = rotated(r, n)
        assert float((kernel.matrix(moved) - turned @ k @ turned.T).abs().max()) < 1e-12
    assert torch.linalg.det(orthogonal(d, 1)) < 0 < torch.linalg.det(orthogonal(d, 2))


@pytest.mark.parametrize("d", [2, 3, 4])
@pytest.mark.parametrize("kind", [CurlFree, DivergenceFree])
def test_columns_have_no_curl_or_no_divergence(kind, d):
    """Of each column as a function of the position, by autograd."""
    other = places(3, d)

    def field(x):
        return kind(0.8, d).between(x[None], other).T

    jacobian = torch.autograd.functional.jacobian(field, places(1, d, 5)[0])
    curl = jacobian - jacobian.mT
    divergence = jacobian.diagonal(dim1=1, dim2=2).sum(1)
    zero, other_one = (curl, divergence) if kind is CurlFree else (divergence, curl)
    assert float(zero.abs().max()) < 1e-8
    assert float(other_one.abs().max()) > 0.1


@pytest.mark.parametrize("kernel", ON_SPHERE, ids=repr)
def test_tangent_vectors_turn_with_the_sphere(kernel):
    pos = unit()
    k = kernel.matrix(pos)
    values = torch.linalg.eigvalsh(k)
    assert float(values[0]) >= -1e-10 * float(values[-1])
    normal = torch.block_diag(*pos[:, None])
    assert float((normal @ k).abs().max()) < 1e-14
    for seed in range(64):
        r = orthogonal(3, seed)
        turned = rotated(r, len(pos))
        assert float((kernel.matrix(pos @ r.T) - turned @ k @ turned.T).abs().max()) < 1e-12


@pytest.mark.parametrize("kind", [TangentGradient, TangentRotational])
def test_surface_curl_and_divergence(kind):
    """Of columns extended along the radius, whose ordinary divergence and radial curl those are."""
    other, at = unit(3), unit(1, 5)[0]

    def field(x):
        return kind(0.7).between((x / x.norm())[None], other).T

    jacobian = torch.autograd.functional.jacobian(field, at)
    divergence = jacobian.diagonal(dim1=1, dim2=2).sum(1)
    antisymmetric = jacobian - jacobian.mT
    curl = torch.stack([antisymmetric[:, 2, 1], antisymmetric[:, 0, 2], antisymmetric[:, 1, 0]], 1) @ at
    zero, other_one = (curl, divergence) if kind is TangentGradient else (divergence, curl)
    assert float(zero.abs().max()) < 1e-8
    assert float(other_one.abs().max()) > 0.1


@pytest.mark.parametrize("kind", [TangentGradient, TangentRotational])
def test_components_to_the_east_and_the_north(kind):
    pos = torch.cat([unit(6), torch.tensor([[0.0, 0, 1], [0, 0, -1]], dtype=torch.float64)])
    frame = local_frame(pos)
    basis = torch.cat([frame, pos[..., None]], -1)
    torch.testing.assert_close(basis.mT @ basis, torch.eye(3).double().expand(8, 3, 3))
    assert float(torch.linalg.det(basis).min()) > 0.99  # east, north, up is right-handed
    every = torch.block_diag(*frame)
    local = kind(0.5, local=True)
    torch.testing.assert_close(local.matrix(pos), every.T @ kind(0.5).matrix(pos) @ every)
    assert float(torch.linalg.eigvalsh(local.matrix(pos))[0]) > 1e-6


def test_independent_outputs_are_a_kronecker_product():
    pos, scalar = places(), 0.5 * Matern(0.6) + Nugget(0.1)
    kernel = IndependentOutputs(scalar, 3)
    torch.testing.assert_close(kernel.matrix(pos), torch.kron(scalar.matrix(pos), torch.eye(3).double()))
    assert kernel.scalar == scalar
    parts = 2.0 * (IndependentOutputs(Matern(0.6), 3) + white(3))
    torch.testing.assert_close(torch.kron(parts.scalar.matrix(pos), torch.eye(3).double()), parts.matrix(pos))
    product = IndependentOutputs(Matern(0.6), 2) * IndependentOutputs(Matern(0.2), 2)
    assert product.scalar == Matern(0.6) * Matern(0.2)
    assert scalar.scalar is scalar
    assert (CurlFree(0.5) + white(2)).scalar is None


def test_weakly_periodic_functions():
    """SE times periodic: 2 sin^2(.) / (2 l)^2 here is sin^2(.) / (2 l^2) of the published kernel."""
    pos = 2 * places(15, 1)
    kernel = SquaredExponential(0.5) * Periodic(2 * 0.25, 1.0)
    r = pos - pos.T
    expected = torch.exp(-(r**2) / 0.5 - torch.sin(math.pi * r.abs()) ** 2 / (2 * 0.25**2))
    torch.testing.assert_close(kernel.matrix(pos), expected, rtol=0, atol=1e-14)
    assert float(torch.linalg.eigvalsh(kernel.matrix(pos))[0]) > -1e-13


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: CurlFree(0.0), "length"),
        (lambda: DivergenceFree(1.0, 1), "dim must be at least 2, got 1"),
        (lambda: CurlFree(1.0, 3).matrix(places()), "positions must have 3 coordinates"),
        (lambda: TangentGradient().matrix(places(4, 3)), "unit vectors"),
        (lambda: Tangent(2.0 * Matern()), "kernel must have one output and variance 1, got 1 and 2"),
        (lambda: IndependentOutputs(CurlFree()), "kernel must have one output, got 2"),
        (lambda: IndependentOutputs(Matern(), 0), "outputs must be at least 1, got 0"),
        (lambda: CurlFree() + Nugget(0.1), r"outputs, got \[2, 1\]; IndependentOutputs"),
    ],
)
def test_refuses_what_is_no_kernel(make, named):
    with pytest.raises(ValueError, match=named):
        make()
