"""Kernels: one battery for all, closed forms, gpytorch, and what earlier versions wrote."""

import math

import pytest
import torch

from noisefold.configuration import decode, encode
from noisefold.geometry import (
    Anisotropic,
    Correlation,
    Exponential,
    Kernel,
    Matern,
    Nested,
    Nugget,
    Periodic,
    Product,
    Scaled,
    Spherical,
    SquaredExponential,
    Stationary,
    Sum,
    Triangular,
)
from noisefold.geometry.kernels import distances

SMOOTH = Stationary(SquaredExponential(0.5), 0.95)
INF = math.inf
ISOTROPIC = [
    SMOOTH,
    Matern(0.7),
    Stationary(Exponential(0.3), 2.0),
    *(Stationary(Matern(0.4, nu)) for nu in (0.5, 1.5, 2.5)),
    Nugget(0.3),
    SMOOTH + Nugget(0.05),
    3.0 * (SMOOTH + Nugget(0.05)),
    Sum((Stationary(Matern(1.0)), 0.5 * Stationary(Exponential()), Nugget(0.1))),
    Product((Matern(1.0, 2.5), SMOOTH + Nugget(0.2))),
    Nested(Matern(0.5), 0.6, 0.2) * 1.7,
]
BY_DIMENSION = {
    1: [*ISOTROPIC, Triangular(0.8), Periodic(0.7, 1.3), Spherical(2.0), Matern() * Periodic(1.0, 0.4)],
    2: [
        *ISOTROPIC,
        Spherical(1.0),
        Anisotropic(Matern(), lengths=(0.3, 2.0)),
        Anisotropic(SMOOTH, transform=((1.0, 0.3), (-0.2, 2.0), (0.5, 0.5))),
        Anisotropic(Periodic(0.7, 1.3), lengths=(1.0, INF)) * Anisotropic(Exponential(), lengths=(INF, 2.0)),
    ],
    3: [*ISOTROPIC, Spherical(1.5), Anisotropic(Matern(1.0, 2.5), lengths=(1.0, INF, 0.2)) + Nugget(0.1)],
}
CASES = [(kernel, d) for d, kernels in BY_DIMENSION.items() for kernel in kernels]


def places(n=20, d=2, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("kernel", "d"), CASES, ids=repr)
def test_kernel_is_a_covariance(kernel, d):
    """Symmetric, its variance on the diagonal, no negative eigenvalue; blind to order, shift and batch."""
    pos = places(d=d)
    k = kernel.matrix(pos)
    assert k.dtype == torch.float64
    assert k.shape == (20 * kernel.outputs, 20 * kernel.outputs)
    assert torch.equal(k, k.T)
    variance = torch.full((20,), kernel.variance, dtype=k.dtype)
    torch.testing.assert_close(k.diagonal(), variance, rtol=1e-14, atol=0)
    # Rounding of a matrix of 20 entries of this variance.
    assert float(torch.linalg.eigvalsh(k)[0]) > -1e-13 * kernel.variance
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    assert torch.equal(kernel.matrix(pos[order]), k[order][:, order])
    torch.testing.assert_close(kernel.matrix(pos + 3), k, rtol=1e-11, atol=1e-13)
    batch = kernel.matrix(torch.stack([pos, 2 * pos]))
    # A batched linear map may add in another order.
    torch.testing.assert_close(batch[0], k, rtol=1e-14, atol=1e-15)
    assert torch.equal(kernel.between(pos[:7], pos[7:]), k[:7, 7:])
    assert torch.equal(kernel.matrix(pos.float()), kernel.matrix(pos.float().double()))
    assert decode(encode(kernel)) == kernel


@pytest.mark.parametrize("kernel", ISOTROPIC, ids=repr)
def test_isotropic_kernels_are_blind_to_rotation(kernel):
    pos = places(d=3)
    rotation = torch.linalg.qr(places(3, 3, 2))[0]
    torch.testing.assert_close(kernel.matrix(pos @ rotation), kernel.matrix(pos), rtol=1e-11, atol=1e-13)


def test_closed_forms():
    a, b = torch.zeros(1, 1), torch.tensor([[0.3]], dtype=torch.float64)
    z = math.sqrt(5) * 0.3 / 0.4
    known = {
        Stationary(SquaredExponential(0.4), 2.0): 2 * math.exp(-0.5 * (0.3 / 0.4) ** 2),
        Stationary(Exponential(0.4)): math.exp(-0.3 / 0.4),
        Matern(0.4, 0.5): math.exp(-0.3 / 0.4),
        Matern(0.4, 1.5): (1 + math.sqrt(3) * 0.75) * math.exp(-math.sqrt(3) * 0.75),
        Stationary(Matern(0.4, 2.5)): (1 + z + z * z / 3) * math.exp(-z),
        Periodic(0.4, 1.7): math.exp(-2 * math.sin(math.pi * 0.3 / 1.7) ** 2 / 0.4**2),
        Spherical(0.4): 1 - 1.5 * 0.75 + 0.5 * 0.75**3,
        Triangular(0.4): 0.25,
        Nugget(0.4): 0.0,
        2.0 * Exponential(0.4) + Nugget(): 2 * math.exp(-0.3 / 0.4),
        Exponential(0.4) * Exponential(0.2): math.exp(-0.3 / 0.4 - 0.3 / 0.2),
        Anisotropic(Exponential(), lengths=(0.1,)): math.exp(-3),
        Anisotropic(Exponential(), transform=((3.0,), (4.0,))): math.exp(-1.5),
    }
    for kernel, value in known.items():
        assert abs(float(kernel.between(a, b)) - value) < 1e-14, kernel


def test_periodic_has_its_period():
    pos = torch.linspace(0, 0.4, 9, dtype=torch.float64)[:, None]
    kernel = Periodic(0.8, 1.3)
    torch.testing.assert_close(kernel.between(pos, pos + 3 * 1.3), kernel.matrix(pos), rtol=0, atol=1e-14)


def test_against_gpytorch():
    gpytorch = pytest.importorskip("gpytorch")
    from gpytorch import kernels as gk

    del gpytorch
    pos = places(30, 2)

    def set_to(kernel, **values):
        kernel = kernel.double()
        for name, value in values.items():
            setattr(kernel, name, torch.as_tensor(value, dtype=torch.float64))
        return kernel

    matern = set_to(gk.MaternKernel(nu=1.5), lengthscale=0.7)
    smooth = set_to(gk.RBFKernel(ard_num_dims=2), lengthscale=[[0.3, 2.0]])
    pairs = [
        (Matern(0.7), matern),
        (Matern(0.7, 2.5), set_to(gk.MaternKernel(nu=2.5), lengthscale=0.7)),
        (Exponential(0.7), set_to(gk.MaternKernel(nu=0.5), lengthscale=0.7)),
        (Anisotropic(SquaredExponential(), lengths=(0.3, 2.0)), smooth),
        (Matern(0.7) * Anisotropic(SquaredExponential(), lengths=(0.3, 2.0)), matern * smooth),
        (Matern(0.7) + Anisotropic(SquaredExponential(), lengths=(0.3, 2.0)), matern + smooth),
        (2.5 * Matern(0.7), set_to(gk.ScaleKernel(matern), outputscale=2.5)),
    ]
    for mine, theirs in pairs:
        found, expected = mine.matrix(pos), theirs(pos).to_dense().detach()
        # gpytorch computes distances by a matrix product: 1e-8 where the distance is 0, and a slope of 2.
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-7)
    line = places(30, 1)
    periodic = set_to(gk.PeriodicKernel(), lengthscale=0.64, period_length=1.3)
    # Their length is the square of ours.
    torch.testing.assert_close(
        Periodic(0.8, 1.3).matrix(line), periodic(line).to_dense().detach(), rtol=0, atol=1e-12
    )


def test_an_infinite_length_leaves_an_axis_out():
    pos = places(10, 3)
    space = Anisotropic(Matern(), lengths=(0.2, 0.4, INF))
    separable = space * Anisotropic(Exponential(), lengths=(INF, INF, 3.0))
    scaled = pos[:, :2] / torch.tensor([0.2, 0.4], dtype=torch.float64)
    expected = Matern()(distances(scaled, scaled)) * Exponential(3.0)(distances(pos[:, 2:], pos[:, 2:]))
    torch.testing.assert_close(separable.matrix(pos), expected, rtol=1e-14, atol=0)


def test_distances_are_exact_far_from_the_origin():
    """The form by a matrix product gives 1e-8 of the norm for two equal positions."""
    pos = 1e6 + places(60)
    gap = distances(pos, pos)
    assert float(gap.diagonal().max()) == 0
    torch.testing.assert_close(gap[0, 1], (pos[0] - pos[1]).norm(), rtol=1e-14, atol=0)


def test_a_nugget_belongs_to_a_node():
    """Two nodes at one position: the field is shared, the noise is not."""
    twice = torch.zeros(2, 2)
    k = (SMOOTH + Nugget(0.05)).matrix(twice)
    torch.testing.assert_close(k, torch.tensor([[1.0, 0.95], [0.95, 1.0]], dtype=k.dtype), rtol=0, atol=1e-15)


class TwoOutputs(Kernel):
    """Two values at each node with covariance B, times a correlation (intrinsic coregionalisation)."""

    outputs = 2
    variance = 1.0
    values = torch.tensor([[1.0, 0.5], [0.5, 1.0]], dtype=torch.float64)

    def between(self, a, b):
        return torch.kron(Matern().between(a, b), self.values)

    def matrix(self, pos):
        return self.between(pos, pos)


def test_vector_valued_kernels_compose():
    pos = places(6)
    kernel = Anisotropic(2.0 * (TwoOutputs() + TwoOutputs() * TwoOutputs()), lengths=(2.0, 2.0))
    assert kernel.outputs == 2
    rho, b = Matern(2.0).matrix(pos), TwoOutputs.values
    expected = 2 * (torch.kron(rho, b) + torch.kron(rho**2, b**2))
    torch.testing.assert_close(kernel.matrix(pos), expected, rtol=1e-13, atol=0)
    for parts in (Sum, Product):
        with pytest.raises(ValueError, match=r"outputs.*\[2, 1\]"):
            parts((TwoOutputs(), Matern()))


def test_kinds_of_earlier_versions_load():
    old = {
        "kind": "noise.Sum",
        "parts": [
            {
                "kind": "noise.Stationary",
                "correlation": {"kind": "theory.Matern", "length": 0.3},
                "variance": 0.5,
            },
            {"kind": "noise.Scaled", "kernel": {"kind": "noise.Nugget", "variance": 0.1}, "factor": 2.0},
        ],
    }
    assert decode(old) == Stationary(Matern(0.3), 0.5) + 2.0 * Nugget(0.1)
    for name in ("SquaredExponential", "Exponential", "Matern", "Triangular", "Spherical"):
        found = decode({"kind": f"theory.{name}", "length": 0.3})
        assert isinstance(found, Correlation)
        assert (type(found).__name__, found.length) == (name, 0.3)
    assert decode({"kind": "theory.Nested", "base": {"kind": "theory.Exponential"}}) == Nested(Exponential())


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Nugget(0.0), "variance"),
        (lambda: Stationary(Exponential(), -1.0), "variance"),
        (lambda: Scaled(SMOOTH, 0.0), "factor"),
        (lambda: Sum(()), "parts"),
        (lambda: Product(()), "parts"),
        (lambda: Periodic(1.0, 0.0), "period"),
        (lambda: Periodic(math.inf, 1.0), "length"),
        (lambda: Anisotropic(SMOOTH), "lengths and transform"),
        (lambda: Anisotropic(SMOOTH, (1.0,), ((1.0,),)), "lengths and transform"),
        (lambda: Anisotropic(SMOOTH, (1.0, -1.0)), "lengths"),
        (lambda: Anisotropic(SMOOTH, (INF, INF)), "lengths"),
        (lambda: Anisotropic(SMOOTH, transform=((1.0,), (1.0, 2.0))), "transform"),
        (lambda: Anisotropic(SMOOTH, transform=()), "transform"),
        (lambda: Anisotropic(SMOOTH, (1.0,)).matrix(places()), "coordinates"),
        (lambda: Triangular(1.0).matrix(places()), r"up to 1 dimensions"),
        (lambda: Stationary(Periodic()).matrix(places()), r"up to 1 dimensions"),
        (lambda: Spherical().matrix(places(d=4)), r"up to 3 dimensions"),
    ],
)
def test_refuses_what_is_no_kernel(make, named):
    with pytest.raises(ValueError, match=named):
        make()
