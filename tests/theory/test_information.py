"""Lemma 3.1 against closed forms, simulated fields and the paper's own example."""

import math
from itertools import pairwise

import pytest
import torch
from scipy.optimize import minimize_scalar

from noisefold.studies.neighbors.range import simulated_distance, simulated_information
from noisefold.theory import (
    Exponential,
    Matern,
    Nested,
    Spherical,
    SquaredExponential,
    Triangular,
    ball_integrals,
    best_radius,
    expected_square_distance,
    lemma,
    mutual_information,
)

RADII = torch.tensor([0.01, 0.2, 0.5, 1.3, 20.0], dtype=torch.float64)
VALID = [
    *((SquaredExponential(0.5), d) for d in (1, 2, 3)),
    *((Exponential(0.5), d) for d in (1, 2, 3)),
    *((Matern(0.5), d) for d in (1, 2, 3)),
    (Triangular(1.0), 1),
    (Spherical(1.0), 2),
    (Spherical(1.0), 3),
]
# Every family and every dimension once for the fast suite.
QUICK = [VALID[k] for k in (0, 4, 8, 9, 11)]
EVERY = pytest.mark.parametrize(
    ("correlation", "dim"),
    [pytest.param(*v, marks=[] if v in QUICK else pytest.mark.slow) for v in VALID],
    ids=repr,
)


def paper(h):
    """The paper's example."""
    return 1 - h**2


def squared_exponential(r, length):
    b = length * math.sqrt(2 * math.pi) * torch.erf(r / (math.sqrt(2) * length))
    a = 2 * r * length * math.sqrt(2 * math.pi) * torch.erf(math.sqrt(2) * r / length)
    return a - 2 * length**2 * -torch.expm1(-2 * r**2 / length**2), b


def exponential(r, length):
    return 4 * length * r + 2 * length**2 * torch.expm1(-2 * r / length), -2 * length * torch.expm1(
        -r / length
    )


def triangular(r, length):
    side = 2 * r
    a = torch.where(side < length, side**2 - side**3 / (3 * length), side * length - length**2 / 3)
    return a, torch.where(r < length, 2 * r - r**2 / length, torch.tensor(length).double())


@pytest.mark.parametrize(
    ("correlation", "closed"),
    [
        (SquaredExponential(0.5), squared_exponential),
        (Exponential(0.5), exponential),
        (Triangular(1.0), triangular),
    ],
    ids=repr,
)
def test_integrals_on_the_line_are_the_closed_forms(correlation, closed):
    volume, a, b = ball_integrals(correlation, RADII)
    closed_a, closed_b = closed(RADII, correlation.length)
    assert torch.allclose(volume, 2 * RADII, rtol=1e-14)
    assert torch.allclose(b, closed_b, rtol=1e-12)
    # The closed forms lose digits at small radii, where they subtract what is nearly equal.
    assert torch.allclose(a, closed_a, rtol=1e-11)


@pytest.mark.parametrize("dim", [1, 2, 3, 4, 7])
def test_integrals_of_powers_in_every_dimension(dim):
    """Mean squares of distances in a ball: d r^2 / (d + 2) from the centre, twice that between two points."""
    volume, a, b = ball_integrals(torch.ones_like, RADII, dim)
    assert torch.allclose(a, volume**2, rtol=1e-12)
    assert torch.allclose(b, volume, rtol=1e-12)
    _, a, b = ball_integrals(torch.square, RADII, dim)
    assert torch.allclose(b, volume * dim / (dim + 2) * RADII**2, rtol=1e-12)
    assert torch.allclose(a, volume**2 * 2 * dim / (dim + 2) * RADII**2, rtol=1e-12)


def test_integrals_of_the_spherical_correlation_in_space():
    r = RADII[RADII < 1]
    b = 4 * math.pi * (r**3 / 3 - 3 * r**4 / 8 + r**6 / 12)
    assert torch.allclose(ball_integrals(Spherical(1.0), r, 3)[2], b, rtol=1e-12)


@pytest.mark.slow
@EVERY
def test_simulated_fields_tell_as_much(correlation, dim):
    """Within 3 standard errors; 400 points in the ball make A wrong by less than 1 / 400 of it."""
    snr = torch.tensor([0.3, 1.0, 10.0], dtype=torch.float64)
    radius = 0.4
    found, error = simulated_information(correlation, radius, snr, dim, samples=8000, points=400, seed=1)
    assert ((found - mutual_information(correlation, radius, snr, dim)).abs() < 3 * error).all()


def test_best_radii_of_the_specification():
    """.687, .597, .478, .418, .308 there, from a grid; the maxima themselves by the closed form."""

    def told(r, snr):
        a, b = squared_exponential(torch.tensor(r, dtype=torch.float64), 0.5)
        return float(lemma(torch.tensor(2 * r), a, b, snr))

    for snr, planned in ((0.1, 0.687), (1, 0.597), (5, 0.478), (10, 0.418), (50, 0.308)):
        radius = best_radius(SquaredExponential(0.5), snr)
        assert radius == pytest.approx(planned, abs=3e-3)
        options = {"xatol": 1e-10}
        exact = minimize_scalar(
            lambda r, s=snr: -told(r, s), bounds=(0.1, 2), method="bounded", options=options
        )
        # A maximum is flat: a value right to 1e-16 finds its place to about 1e-8.
        assert radius == pytest.approx(exact.x, rel=1e-6)
        # The planned radii were on a flat top: nothing is lost by them.
        assert told(planned, snr) > 0.9999 * told(radius, snr)


@pytest.mark.slow
@EVERY
def test_more_noise_wants_more_range_for_every_valid_correlation(correlation, dim):
    radii = [best_radius(correlation, 10.0**k, dim) for k in (-3, -2, -1, 0, 1, 2, 3)]
    assert all(far > near for far, near in pairwise(radii))
    # In other units all is the same.
    scaled = type(correlation)(1000 * correlation.length)
    assert best_radius(scaled, 1.0 / 1000**dim, dim) == pytest.approx(1000 * radii[3], rel=1e-6)


def test_the_theorem_in_other_words():
    """At the radius that is best for little noise, a larger one tells more once there is more noise."""
    field = Matern(0.5, 2.5)
    clear, noisy = best_radius(field, 20.0), best_radius(field, 0.5)
    told = mutual_information(field, torch.tensor([clear, noisy], dtype=torch.float64), 0.5)
    assert told[1] > told[0]


def test_a_part_that_is_nobody_else_s_only_lowers_the_information():
    radius = torch.linspace(0.05, 2, 20, dtype=torch.float64)
    assert (
        mutual_information(Nested(Matern(0.5), 0.7), radius, 1.0)
        < mutual_information(Matern(0.5), radius, 1.0)
    ).all()


# -- correlated noise --------------------------------------------------------------------------------------


@pytest.mark.slow
@EVERY
def test_under_noise_correlated_as_the_data_no_radius_beats_the_node_itself(correlation, dim):
    """I = 1/2 log(1 + SNR) at radius 0, and it only falls from there."""
    # Smooth fields lose a share of r^4 alone: below .02 no more than rounding.
    radius = torch.tensor([1e-6, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6], dtype=torch.float64)
    told = mutual_information(correlation, radius, 3.0, dim, noise=correlation)
    # At 1e-6 a correlation with a kink has lost some 1e-6 of its value.
    assert float(told[0]) == pytest.approx(0.5 * math.log(4), rel=1e-5)
    assert (told.diff() < 0).all()
    assert best_radius(correlation, 3.0, dim, bounds=(1e-3, 3), noise=correlation) == pytest.approx(1e-3)


def test_noise_of_short_range_is_white_with_its_integral_as_variance():
    """N / V tends to the integral of kappa, l sqrt(2 pi); what is missing at the ends is of order l / r."""
    radius = torch.tensor([0.3, 0.6, 1.2], dtype=torch.float64)
    length = 1e-3
    found = mutual_information(Matern(0.5), radius, 0.01, noise=SquaredExponential(length))
    white = mutual_information(Matern(0.5), radius, 0.01 / (length * math.sqrt(2 * math.pi)))
    assert torch.allclose(found, white, rtol=length / 0.3)


def test_best_radius_falls_to_nothing_as_the_noise_comes_near_the_data():
    def best(length):
        return best_radius(Matern(0.5), 0.1, 2, bounds=(1e-3, 10), noise=Matern(length))

    radii = [best(length) for length in (0.25, 0.35, 0.45, 0.49)]
    assert all(far > near for far, near in pairwise(radii))
    assert best(0.5) == best(2.0) == pytest.approx(1e-3)


def test_noise_must_be_a_correlation_too():
    with pytest.raises(ValueError, match="not positive definite"):
        mutual_information(Matern(0.5), 0.5, 1.0, noise=paper)
    with pytest.raises(ValueError, match="not positive definite"):
        best_radius(Matern(0.5), 1.0, bounds=(1e-3, 1.0), noise=paper)


# -- the erratum -------------------------------------------------------------------------------------------


def test_sign_of_lemma_a1():
    r = torch.linspace(0.05, 1, 30, dtype=torch.float64)
    volume, a, b = ball_integrals(paper, r)
    assert torch.allclose(a, 4 * r**2 - 8 * r**4 / 3, rtol=1e-13)
    assert torch.allclose(b, 2 * r - 2 * r**3 / 3, rtol=1e-13)
    assert torch.allclose(a - b**2, -4 * r**6 / 9, atol=1e-13)
    assert torch.allclose(volume, 2 * r)


def test_with_the_right_sign_the_best_radius_of_the_paper_s_example_grows():
    def best(snr):
        return best_radius(paper, snr, bounds=(1e-3, 1.0), check=False)

    # At vanishing SNR the derivative is 4 - 8 r^2 + 20 r^4 / 9 = 0: r^2 = 3 / 5.
    assert best(1e-5) == pytest.approx(math.sqrt(0.6), rel=1e-4)
    radii = [best(snr) for snr in (1e-5, 0.01, 0.1, 0.2, 0.4, 0.6)]
    assert radii == sorted(radii)
    assert len(set(radii)) == 6
    assert [best(snr) for snr in (1.0, 2.0, 4.4)] == pytest.approx([1.0] * 3)
    # From 4.5 on the logarithm has no value beyond a radius, and no bound before it.
    for snr in (5.0, 50.0):
        pole = (4.5 / snr) ** 0.2
        around = torch.tensor([0.999999 * pole, 1.000001 * pole], dtype=torch.float64)
        before, after = lemma(*ball_integrals(paper, around), snr)
        assert before > 5
        assert after.isnan()


def test_with_the_printed_sign_it_falls():
    def best(snr):
        def told(r):
            whole = 2 * r / snr + 4 * r**2 - 8 * r**4 / 3
            return math.log(whole / (2 * r / snr + 4 * r**6 / 9))

        found = minimize_scalar(
            lambda r: -told(r), bounds=(1e-3, 1), method="bounded", options={"xatol": 1e-9}
        )
        return found.x

    # 4 - 8 r^2 - 20 r^4 / 9 = 0.
    assert best(1e-5) == pytest.approx(math.sqrt((-8 + math.sqrt(64 + 320 / 9)) / (40 / 9)), rel=1e-4)
    assert best(0.1) > best(1) > best(10)


def test_the_paper_s_example_is_refused_with_the_reason():
    with pytest.raises(ValueError, match=r"paper is not positive definite.*negative variance"):
        mutual_information(paper, 0.5, 1.0)
    with pytest.raises(ValueError, match="not positive definite"):
        best_radius(paper, 1.0, bounds=(1e-3, 1.0))


# -- proposition 3.3 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [1, 3])
@pytest.mark.parametrize("rho", [-0.7, 0.0, 0.4, 0.95])
@pytest.mark.parametrize("time", [0.9, 0.5, 0.1])
def test_expected_distance_of_noised_nodes(dim, rho, time):
    """Against simulated pairs, within 4 standard errors; with the printed sign it fails for rho of .4."""
    alpha, sigma = math.sqrt(time), math.sqrt(1 - time)
    found, error = simulated_distance(0.1, alpha, sigma, rho, dim, samples=20_000, seed=2)
    truth = float(expected_square_distance(0.1, alpha, sigma, rho, dim))
    assert found == pytest.approx(truth, abs=4 * error)
    printed = dim * 2 * (1 - time) * (1 + rho) + time * 0.01
    if abs(rho) > 0.3:
        assert abs(found - printed) > 10 * error
    if dim == 1:
        assert truth == pytest.approx(2 * (1 - time) * (1 - rho) + time * 0.01)


# -- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: mutual_information(Exponential(), 0.5, 0.0), "snr"),
        (lambda: mutual_information(Exponential(), -0.5, 1.0), "radius"),
        (lambda: ball_integrals(Exponential(), 0.5, 0), "dim"),
        (lambda: mutual_information(Triangular(), 0.5, 1.0, dim=2), "no correlation in 2 dimensions"),
        (lambda: best_radius(lambda h: torch.exp(-h), 1.0), "bounds"),
        (lambda: best_radius(Exponential(), 1.0, bounds=(2.0, 1.0)), "bounds"),
        (lambda: best_radius(paper, 50.0, bounds=(0.9, 1.0), check=False), "no value"),
        (lambda: expected_square_distance(0.1, 1.0, 0.0, 1.5), "correlation"),
    ],
)
def test_bad_arguments_are_refused(call, word):
    with pytest.raises(ValueError, match=word):
        call()
