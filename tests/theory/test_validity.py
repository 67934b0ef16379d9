import math

import pytest
import torch
from scipy.special import jv

from crossed import crossed
from noisefold.theory import (
    Exponential,
    Matern,
    Nested,
    Spherical,
    SquaredExponential,
    Triangular,
    require_valid,
    spectral_density,
)
from noisefold.theory.radial import ball_points, ball_volume, common_share

K = torch.linspace(0, 40, 81, dtype=torch.float64)
EVERYWHERE = [SquaredExponential(0.5), Exponential(0.5), Matern(0.5), Matern(0.5, 4.5)]


def matern(k, length, nu, d):
    scale = 2**d * math.pi ** (d / 2) * math.gamma(nu + d / 2) / math.gamma(nu)
    rate = 2 * nu / length**2
    return scale * rate**nu * (rate + k**2) ** -(nu + d / 2)


@pytest.mark.parametrize("dim", [1, 2, 3, 5])
@pytest.mark.parametrize("nu", [0.5, 1.5, 4.5, math.inf])
def test_density_is_the_closed_form(dim, nu):
    if nu == math.inf:
        correlation = SquaredExponential(0.5)
        truth = (2 * math.pi) ** (dim / 2) * 0.5**dim * torch.exp(-(K**2) / 8)
    else:
        correlation, truth = Matern(0.5, nu), matern(K, 0.5, nu, dim)
    found = spectral_density(correlation, K, dim, reach=25.0)
    # Beyond 50 lengths lies e^-50 of it; the rest is quadrature, seen against the largest value.
    assert torch.allclose(found, truth, rtol=0, atol=1e-7 * float(truth[0]))


def test_density_of_what_intervals_and_balls_share():
    """The squared transform of an interval and of a ball, over their volume."""
    half = K * 0.5
    interval = torch.sinc(half / math.pi) ** 2
    assert torch.allclose(spectral_density(Triangular(1.0), K, 1, reach=1.0), interval, atol=1e-12)
    k = K[1:]
    ball = (2 * math.pi * 0.5 / k) ** 1.5 * torch.from_numpy(jv(1.5, (k * 0.5).numpy()))
    truth = ball**2 / (math.pi / 6)
    assert torch.allclose(spectral_density(Spherical(1.0), k, 3, reach=1.0), truth, atol=1e-12)


@pytest.mark.parametrize(
    ("correlation", "dim"),
    [
        *crossed(EVERYWHERE, (1, 2, 3)),
        (Triangular(1.0), 1),
        *((Spherical(1.0), d) for d in (1, 2, 3)),
    ],
    ids=repr,
)
def test_valid_correlations_have_no_negative_density_or_eigenvalue(correlation, dim):
    require_valid(correlation, dim, 1.0)
    for radius in (0.3, 1.0, 3.0):
        require_valid(lambda h: correlation(h), dim, radius)  # as of any function, by its numbers
    density = spectral_density(correlation, K, dim, reach=25.0)
    assert float(density.min()) > -1e-7 * float(density.max())


@pytest.mark.parametrize(
    ("function", "dim", "radius"),
    [
        *((lambda h: 1 - h**2, d, r) for d in (1, 2, 3) for r in (0.01, 0.5, 1.0)),
        (Triangular(1.0).__call__, 2, 1.0),
        (Triangular(1.0).__call__, 3, 3.0),
        (Spherical(1.0).__call__, 5, 3.0),
        (lambda h: torch.exp(-(h**3)), 1, 2.0),  # smoother at 0 than a correlation can be
        (lambda h: (h < 0.5).double(), 1, 1.0),
        (lambda h: torch.cos(3 * h), 2, 2.0),  # a correlation on the line alone
    ],
)
def test_what_is_no_correlation_is_refused(function, dim, radius):
    with pytest.raises(ValueError, match="not positive definite"):
        require_valid(lambda h: function(h), dim, radius)


def test_a_wave_is_a_correlation_on_the_line():
    require_valid(lambda h: torch.cos(3 * h), 1, 2.0)


def test_a_class_is_held_to_its_dimension():
    with pytest.raises(
        ValueError, match=r"Triangular\(length=1.0\) is no correlation in 2 dimensions.*Spherical"
    ):
        require_valid(Triangular(1.0), 2, 1.0)
    with pytest.raises(ValueError, match="up to 3"):
        require_valid(Nested(Spherical(1.0), 0.5), 4, 1.0)
    with pytest.raises(ValueError, match="must be 1 at distance 0, got 2"):
        require_valid(lambda h: 2 * torch.exp(-h), 1, 1.0)


@pytest.mark.parametrize("dim", [1, 2, 3, 6])
def test_what_balls_share_by_counting(dim):
    """Points of one ball that lie in another, 5 errors of random points; and its closed forms."""
    points = ball_points(1 << 14, dim)
    assert float(points.norm(dim=1).max()) <= 1
    # Evenly: the share within half the radius is 2^-d.
    assert float((points.norm(dim=1) < 0.5).double().mean()) == pytest.approx(0.5**dim, abs=0.02)
    h = torch.tensor([0.0, 0.4, 1.2, 2.0, 3.0], dtype=torch.float64)
    share = common_share(h, torch.tensor(1.0, dtype=torch.float64), dim)
    for gap, value in zip(h.tolist(), share.tolist(), strict=True):
        shift = torch.zeros(dim, dtype=torch.float64)
        shift[0] = gap
        counted = float(((points - shift).norm(dim=1) <= 1).double().mean())
        assert value == pytest.approx(counted, abs=5 * 0.5 / 128)
    known = {1: 1 - h / 2, 3: (4 + h) * (2 - h).clamp(min=0) ** 2 / 16}
    if dim in known:
        assert torch.allclose(share, known[dim].clamp(min=0), atol=1e-14)


def test_volumes():
    one = torch.tensor(1.0, dtype=torch.float64)
    for dim, volume in ((1, 2), (2, math.pi), (3, 4 * math.pi / 3), (4, math.pi**2 / 2)):
        assert float(ball_volume(one, dim)) == pytest.approx(volume, rel=1e-14)
        assert float(ball_volume(2 * one, dim)) == pytest.approx(volume * 2**dim, rel=1e-14)
