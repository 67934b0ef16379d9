"""Kernels: one battery for all, closed forms at a distance, and factorisation."""

import math

import pytest
import torch

from noisefold.configuration import decode, encode
from noisefold.geometry.correlation import Exponential, Matern, SquaredExponential, Triangular
from noisefold.noise import Kernel, Nugget, Scaled, Stationary, Sum, cholesky

SMOOTH = Stationary(SquaredExponential(0.5), 0.95)
KERNELS = [
    SMOOTH,
    Stationary(Exponential(0.3), 2.0),
    *(Stationary(Matern(0.4, nu)) for nu in (0.5, 1.5, 2.5)),
    Nugget(0.3),
    SMOOTH + Nugget(0.05),
    3.0 * (SMOOTH + Nugget(0.05)),
    Sum((Stationary(Matern(1.0)), 0.5 * Stationary(Exponential()), Nugget(0.1))),
]
EVERY = pytest.mark.parametrize("kernel", KERNELS, ids=repr)


def places(n=20, d=2, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@EVERY
@pytest.mark.parametrize("d", [1, 2, 3])
def test_a_kernel_is_a_covariance(kernel, d):
    """Symmetric, its variance on the diagonal, no negative eigenvalue; blind to order, motion and batch."""
    pos = places(d=d)
    k = kernel.matrix(pos)
    assert k.dtype == torch.float64
    assert torch.equal(k, k.T)
    torch.testing.assert_close(
        k.diagonal(), torch.full((20,), kernel.variance, dtype=k.dtype), rtol=1e-14, atol=0
    )
    assert float(torch.linalg.eigvalsh(k)[0]) > -1e-13 * kernel.variance
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    assert torch.equal(kernel.matrix(pos[order]), k[order][:, order])
    rotation = torch.linalg.qr(places(d, d, 2))[0]
    torch.testing.assert_close(kernel.matrix(pos @ rotation + 3), k, rtol=1e-11, atol=1e-13)
    batch = kernel.matrix(torch.stack([pos, 2 * pos]))
    assert torch.equal(batch[0], k)
    apart = torch.cat([pos[:7], pos[7:]])
    assert torch.equal(kernel.between(apart[:7], apart[7:]), kernel.matrix(apart)[:7, 7:])


@EVERY
def test_a_kernel_is_its_own_configuration(kernel):
    assert decode(encode(kernel)) == kernel


def test_closed_forms():
    a, b = torch.zeros(1, 1), torch.tensor([[0.3]], dtype=torch.float64)
    z = math.sqrt(5) * 0.3 / 0.4
    known = {
        Stationary(SquaredExponential(0.4), 2.0): 2 * math.exp(-0.5 * (0.3 / 0.4) ** 2),
        Stationary(Exponential(0.4)): math.exp(-0.3 / 0.4),
        Stationary(Matern(0.4, 0.5)): math.exp(-0.3 / 0.4),
        Stationary(Matern(0.4, 1.5)): (1 + math.sqrt(3) * 0.75) * math.exp(-math.sqrt(3) * 0.75),
        Stationary(Matern(0.4, 2.5)): (1 + z + z * z / 3) * math.exp(-z),
        Nugget(0.4): 0.0,
        2.0 * Stationary(Exponential(0.4)) + Nugget(): 2 * math.exp(-0.3 / 0.4),
    }
    for kernel, value in known.items():
        assert abs(float(kernel.between(a, b)) - value) < 1e-14, kernel


def test_a_nugget_is_a_nodes_own():
    """Two nodes at one place: the field is shared, the noise is not."""
    twice = torch.zeros(2, 2)
    k = (SMOOTH + Nugget(0.05)).matrix(twice)
    torch.testing.assert_close(k, torch.tensor([[1.0, 0.95], [0.95, 1.0]], dtype=k.dtype), rtol=0, atol=1e-15)


def test_cholesky_returns_what_it_factorised():
    covariance, factor = cholesky(SMOOTH, places(50))
    torch.testing.assert_close(factor @ factor.T, covariance, rtol=0, atol=1e-14)
    extra = (covariance - SMOOTH.matrix(places(50))).diagonal() / 0.95
    # Very smooth on 50 near points: singular to rounding, and mended by the least jitter.
    torch.testing.assert_close(extra, torch.full((50,), 1e-10, dtype=extra.dtype), rtol=1e-4, atol=0)
    assert torch.equal(factor.tril(), factor)


def test_cholesky_climbs_and_gives_up():
    """From a jitter below rounding it climbs; where a matrix has negative eigenvalues it says which."""
    near = places(100, 1)
    covariance, _ = cholesky(Stationary(SquaredExponential(3.0)), near, jitter=1e-17)
    added = float((covariance - Stationary(SquaredExponential(3.0)).matrix(near))[0, 0])
    assert 1e-16 < added < 2e-11

    class Wrong(Kernel):
        variance = 1.0

        def between(self, a, b):
            raise NotImplementedError

        def matrix(self, pos):
            return torch.tensor([[1.0, 2.0], [2.0, 1.0]]).double()

    with pytest.raises(ValueError, match=r"Wrong.* on 2 nodes has eigenvalues from -1 to 3 \(condition 3\)"):
        cholesky(Wrong(), torch.zeros(2, 1))


def test_refuses_what_is_no_kernel():
    for make in (lambda: Nugget(0.0), lambda: Stationary(Exponential(), -1.0), lambda: Scaled(SMOOTH, 0.0)):
        with pytest.raises(ValueError, match="must be positive and finite"):
            make()
    with pytest.raises(ValueError, match="at least one kernel"):
        Sum(())
    with pytest.raises(ValueError, match="up to 1 dimensions and the positions have 2"):
        Stationary(Triangular(1.0)).matrix(places())
