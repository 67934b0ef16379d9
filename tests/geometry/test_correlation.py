import math

import pytest
import torch

from noisefold.configuration import decode, encode
from noisefold.geometry.correlation import (
    Exponential,
    Matern,
    Nested,
    Spherical,
    SquaredExponential,
    Triangular,
)

ALL = [
    SquaredExponential(0.7),
    Exponential(0.7),
    Matern(0.7),
    Matern(0.7, 2.5),
    Matern(0.7, 4.5),
    Triangular(0.7),
    Spherical(0.7),
    Nested(Matern(0.7), 0.5, 0.2),
]
H = torch.linspace(0, 4, 401, dtype=torch.float64)


@pytest.mark.parametrize("correlation", ALL, ids=repr)
def test_one_at_zero_and_never_rising(correlation):
    value = correlation(H)
    assert value[0] == 1
    assert (value.diff() <= 1e-15).all()
    assert (value >= 0).all()
    assert decode(encode(correlation)) == correlation
    assert encode(correlation)["kind"].startswith("geometry.")


def test_matern_between_the_exponential_and_the_squared_exponential():
    assert torch.allclose(Matern(0.3, 0.5)(H), Exponential(0.3)(H), rtol=1e-14)
    z = math.sqrt(3) * H / 0.3
    assert torch.allclose(Matern(0.3, 1.5)(H), (1 + z) * torch.exp(-z), rtol=1e-13)
    z = math.sqrt(5) * H / 0.3
    assert torch.allclose(Matern(0.3, 2.5)(H), (1 + z + z**2 / 3) * torch.exp(-z), rtol=1e-13)
    # The limit of many slopes: the difference falls as 1 / smoothness.
    gaps = [float((Matern(0.3, nu)(H) - SquaredExponential(0.3)(H)).abs().max()) for nu in (5.5, 10.5, 20.5)]
    assert gaps[1] / gaps[0] == pytest.approx(5.5 / 10.5, rel=0.1)
    assert gaps[2] / gaps[1] == pytest.approx(10.5 / 20.5, rel=0.1)


def test_spherical_is_what_two_balls_have_in_common():
    """By counting points of one ball that lie in the other; 4 binomial errors."""
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(200_000, 3, generator=generator, dtype=torch.float64) * 2 - 1
    ball = points[points.norm(dim=1) < 1]
    for h in (0.3, 1.0, 1.7):
        shift = torch.tensor([h, 0, 0], dtype=torch.float64)
        share = float(((ball - shift).norm(dim=1) < 1).double().mean())
        truth = float(Spherical(2.0)(torch.tensor(h, dtype=torch.float64)))
        assert share == pytest.approx(truth, abs=4 * math.sqrt(truth * (1 - truth) / len(ball)))


def test_nested_has_its_shares():
    nested = Nested(Exponential(1.0), share=0.5, floor=0.2)
    near, far = nested(torch.tensor([1e-12, 1e3], dtype=torch.float64)).tolist()
    assert near == pytest.approx(0.7)
    assert far == pytest.approx(0.2)
    assert Nested(Spherical(1.0)).highest == 3
    assert Nested(Spherical(1.0)).kinks == (1.0,)


@pytest.mark.parametrize(
    ("build", "word"),
    [
        (lambda: SquaredExponential(0.0), "length"),
        (lambda: Spherical(math.inf), "length"),
        (lambda: Matern(1.0, 1.0), "half-integer"),
        (lambda: Matern(1.0, 21.5), "half-integer"),
        (lambda: Nested(Matern(), 0.8, 0.3), "share and floor"),
        (lambda: Nested(Matern(), -0.1), "share and floor"),
    ],
)
def test_bad_numbers_are_refused(build, word):
    with pytest.raises(ValueError, match=word):
        build()
