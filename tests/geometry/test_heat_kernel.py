"""Heat kernels against their series in 60 digits, and draws against the moments of Brownian motion."""

import math

import mpmath
import pytest
import torch

from noisefold.geometry.heat_kernel import (
    SWITCH,
    circle_log_density,
    circle_slope,
    sphere_angle,
    sphere_log_density,
    sphere_slope,
)

F64 = torch.float64


def exact(theta: float, s: float) -> tuple[float, float]:
    """Log-density and slope of the sphere by the Legendre series in 60 digits."""
    mpmath.mp.dps = 60
    u, s = mpmath.cos(theta), mpmath.mpf(s)
    before, here, slope_before, slope = mpmath.mpf(1), u, mpmath.mpf(0), mpmath.mpf(1)
    density, change = mpmath.mpf(1), mpmath.mpf(0)
    for n in range(1, int(math.sqrt(280 / float(s))) + 5):
        weight = (2 * n + 1) * mpmath.exp(-n * (n + 1) * s / 2)
        density, change = density + weight * here, change + weight * slope
        after = ((2 * n + 1) * u * here - n * before) / (n + 1)
        slope_before, slope = slope, slope_before + (2 * n + 1) * here
        before, here = here, after
    return float(mpmath.log(density / (4 * mpmath.pi))), float(-mpmath.sin(theta) * change / density)


@pytest.mark.parametrize("s", [0.02, 0.1, 0.2, 0.25, 0.26, 1.0, 4.0])
def test_sphere_is_the_series(s):
    angles = [1e-3, 0.02, 0.3, 1.0, math.pi / 2 - 1e-9, math.pi / 2 + 1e-9, 2.0]
    truth = torch.tensor([exact(a, s) for a in angles], dtype=F64)
    theta, time = torch.tensor(angles, dtype=F64), torch.tensor(s, dtype=F64)
    # The next term of the expansion is of the order s^2 / 60; the required bound of the slope is 1e-3.
    assert (sphere_slope(theta, time) / truth[:, 1] - 1).abs().max() < 1e-4
    assert (sphere_log_density(theta, time) - truth[:, 0]).abs().max() < 2e-3


@pytest.mark.parametrize("s", [0.1, 0.25, 0.3])
def test_sphere_holds_at_the_antipode(s):
    """Where Varadhan's approximation has a pole, the slope falls to 0 as it must."""
    angles = [2.5, 3.0, 3.1]
    truth = torch.tensor([exact(a, s) for a in angles], dtype=F64)
    theta, time = torch.tensor(angles, dtype=F64), torch.tensor(s, dtype=F64)
    assert (sphere_slope(theta, time) - truth[:, 1]).abs().max() < 0.02 * truth[0, 1].abs()
    assert (sphere_log_density(theta, time) - truth[:, 0]).abs().max() < 3e-3
    ends = sphere_slope(torch.tensor([0.0, math.pi], dtype=F64), time)
    assert ends.abs().max() < 1e-9


def test_correction_of_varadhan_matters():
    """Its slope alone is off by 5 % at s = 0.2; with the correction by less than a thousandth."""
    theta, s = torch.linspace(0.1, 2, 20, dtype=F64), 0.2
    truth = torch.tensor([exact(float(a), s)[1] for a in theta], dtype=F64)
    plain = -theta / s
    corrected = plain + (1 / theta - 1 / theta.tan()) / 2
    found = sphere_slope(theta, torch.tensor(s))
    errors = [float((v / truth - 1).abs().max()) for v in (plain, corrected, found)]
    assert errors[0] > 0.04
    assert errors[1] < 1e-3
    assert errors[2] < errors[1] / 10


def test_the_two_branches_meet():
    theta = torch.linspace(0, math.pi, 101, dtype=F64)
    before, after = (sphere_slope(theta, torch.tensor(SWITCH * f, dtype=F64)) for f in (1.0, 1 + 1e-9))
    # The most is near the antipode, where the density is e^-20 of its peak.
    assert (before - after).abs().max() < 0.02 * after.abs().max()


@pytest.mark.parametrize("s", [1e-3, 0.2, 0.5, 2.0, 8.0])
def test_densities_integrate_to_one_and_slopes_are_derivatives(s):
    theta = torch.linspace(0, math.pi, 20001, dtype=F64, requires_grad=True)
    time = torch.tensor(s, dtype=F64)
    log_density = sphere_log_density(theta, time)
    weight = 2 * math.pi * theta.sin() * log_density.exp()
    assert abs(float(torch.trapezoid(weight, theta).detach()) - 1) < 2e-3
    around = torch.linspace(-math.pi, math.pi, 20001, dtype=F64, requires_grad=True)
    circle = circle_log_density(around, time)
    assert abs(float(torch.trapezoid(circle.exp(), around).detach()) - 1) < 1e-6
    (by_hand,) = torch.autograd.grad(circle.sum(), around)
    assert (by_hand - circle_slope(around.detach(), time)).abs().max() < 1e-9 * max(1.0, 1 / s)


def test_circle_is_the_same_by_images_and_by_its_series():
    around = torch.linspace(-3, 3, 61, dtype=F64)
    before, after = (circle_slope(around, torch.tensor(4 * f, dtype=F64)) for f in (1.0, 1 + 1e-12))
    assert (before - after).abs().max() < 1e-10


@pytest.mark.parametrize("s", [1e-5, 1e-3, 0.1, 0.3, 1.0, 4.0, 40.0])
def test_quantiles_have_the_moments_of_brownian_motion(s):
    """Over even quantiles, so that nothing but the table is measured; within 0.3 per cent."""
    part = (torch.arange(200_000, dtype=F64) + 0.5) / 200_000
    theta = sphere_angle((-2 * part.log()).sqrt(), torch.tensor(s))
    # Of angles below a hundredth the loss 1 - cos is theta^2 / 2.
    lost = 2 * (theta / 2).sin().square()
    assert abs(float(lost.mean()) / -math.expm1(-s) - 1) < 3e-3
    second = (1.5 * theta.cos().square() - 0.5).mean()
    assert abs(float(second) - math.exp(-3 * s)) < 2e-3
