import math

import pytest
import torch
from gaussian_fields import gaussian_fields
from scipy.optimize import minimize

from crossed import crossed
from noisefold.geometry.correlation import Exponential, Matern, Nested, SquaredExponential
from noisefold.geometry.correlation_fit import FAMILIES, _least_squares, fit_correlation
from noisefold.geometry.variogram import Variogram, variogram

FIELDS = {
    "squared exponential": SquaredExponential(0.1),
    "exponential": Exponential(0.2),
    "matern 3/2": Nested(Matern(0.15), 0.7, 0.2),
}


def exact(correlation):
    """A variogram without error."""
    h = torch.logspace(-2, 0, 16, dtype=torch.float64)
    value = 1 - correlation(h)
    return Variogram(h, value, value, value, torch.full((16,), 100), value.expand(20, -1).clone())


@pytest.mark.parametrize("family", FAMILIES)
def test_finds_the_correlation_that_made_it(family):
    truth = Nested(FAMILIES[family](0.23), 0.6, 0.3)
    fit = fit_correlation(exact(truth))
    assert fit.family == family
    assert set(fit.residuals) == set(FAMILIES)
    # The grid of lengths is 4 % apart, and a parabola leaves a part of that squared.
    assert fit.length == pytest.approx(0.23, rel=2e-3)
    assert fit.low == pytest.approx(fit.length) == fit.high
    assert fit.correlation.share == pytest.approx(0.6, abs=2e-3)
    assert fit.correlation.floor == pytest.approx(0.3, abs=2e-3)
    assert fit.residual < 1e-3


def test_least_squares_in_the_triangle_are_the_optimiser_s():
    """Targets that pull out of the triangle on every side; scipy's optimum to its own tolerance."""
    h = torch.linspace(0.01, 1, 12, dtype=torch.float64)
    shape = torch.exp(-h / 0.3)
    generator = torch.Generator().manual_seed(0)
    targets = [
        a + b * shape for a, b in ((0.2, 0.5), (-0.3, 1.0), (0.5, 1.0), (0.6, -0.4), (-0.5, 0.2), (1.4, 0.1))
    ]
    targets += list(torch.randn(20, 12, generator=generator, dtype=torch.float64))
    error, share, floor = _least_squares(shape[None], torch.stack(targets))
    assert ((share >= 0) & (floor >= 0) & (share + floor <= 1 + 1e-12)).all()
    for i, target in enumerate(targets):
        found = minimize(
            lambda v, y=target: float((v[1] + v[0] * shape - y).square().mean()),
            [0.3, 0.3],
            bounds=[(0, 1), (0, 1)],
            constraints={"type": "ineq", "fun": lambda v: 1 - v[0] - v[1]},
            tol=1e-12,
        )
        assert float(error[i, 0]) == pytest.approx(found.fun, abs=1e-7)


@pytest.mark.parametrize(("family", "size"), crossed(list(FIELDS), [(100, 60, 1.0), (1, 1200, 3.0)]), ids=str)
def test_the_length_of_a_field_lies_in_its_interval(family, size):
    """Many graphs, and patches of a single one: in at least 6 of 8 draws (of 95 %, P(5 or less) = .006)."""
    truth, (graphs, nodes, side) = FIELDS[family], size
    length = getattr(truth, "base", truth).length
    held = 0
    for seed in range(8):
        fit = fit_correlation(variogram(gaussian_fields(truth, graphs, nodes, seed, side=side)), family)
        held += fit.low <= length <= fit.high
        assert fit.length == pytest.approx(length, rel=0.6)
    assert held >= 6


def test_noise_has_no_length():
    measured = exact(Nested(Exponential(0.2), 0.0, 0.0))
    fit = fit_correlation(measured)
    assert fit.correlation.share == pytest.approx(0, abs=1e-9)
    assert fit.correlation.floor == pytest.approx(0, abs=1e-9)


def test_a_length_beyond_all_pairs_has_an_open_interval():
    fit = fit_correlation(exact(SquaredExponential(40.0)), "squared exponential")
    assert fit.high == math.inf


def test_unknown_family_is_refused():
    with pytest.raises(ValueError, match="family"):
        fit_correlation(exact(Exponential(0.2)), "linear")
