"""Measures: that of exact draws they say the truth, and of known errors what those are."""

import math

import pytest
import torch

from noisefold.studies.diffusion.chains import chain
from noisefold.studies.diffusion.distributions import GRAPHS, MIXTURE, NAMED
from noisefold.studies.diffusion.measures import (
    LEVELS,
    MEASURES,
    Evaluator,
    cluster_bits,
    information,
    schedule_steps,
    score_error,
)
from noisefold.studies.diffusion.samplers import Exact

_N = 4000


@pytest.mark.parametrize("data", [MIXTURE, GRAPHS], ids=lambda t: t.name)
def test_exact_draws_measure_as_the_truth(data):
    """Standard errors at 4,000: mass 0.0011, share 0.008, det sqrt(2 d / 2000) a mode.

    The graphs' corridor is 3.6 deviations from a mode, with 1.4e-4 of the law on that side.
    """
    generator = torch.Generator().manual_seed(0)
    found = Evaluator(data)(torch.randn(_N, data.dim, generator=generator), data.draw(_N, generator))
    assert found["mass"] == pytest.approx(0.495, abs=0.005)
    assert found["corridor"] < (1e-8 if data is MIXTURE else 0.002)
    assert found["balance"] < 0.03
    assert found["det"] == pytest.approx(1, abs=0.15)
    assert found["bits"] < 0.002
    assert 0 < found["w2"] < 0.3 * math.sqrt(data.dim)


@pytest.mark.parametrize("stretch", [0.5, 2.0])
def test_known_errors_are_told(stretch):
    generator = torch.Generator().manual_seed(0)
    x = MIXTURE.draw(_N, generator)
    means = torch.tensor(MIXTURE.mixture.means, dtype=torch.float64)
    centre = means[torch.cdist(x, means).argmin(1)]
    found = Evaluator(MIXTURE)(x, centre + stretch * (x - centre))
    assert found["det"] == pytest.approx(stretch**4, rel=0.15)
    assert found["bits"] == pytest.approx(1, abs=0.01)
    # In either mode W2^2 = (stretch - 1)^2 tr C = 0.4 (stretch - 1)^2; 200 draws add their own distance.
    assert found["w2"] == pytest.approx(abs(stretch - 1) * 0.4**0.5, abs=0.15)


def test_the_corridor_and_lost_modes_are_told():
    evaluate, generator = Evaluator(MIXTURE), torch.Generator().manual_seed(0)
    x = MIXTURE.draw(_N, generator)
    x[:400] = 0
    assert evaluate(x, x)["corridor"] == pytest.approx(0.1)
    one = evaluate(x[400:], x[400:].abs())
    assert one["balance"] == pytest.approx(0.5)
    assert evaluate(x, torch.full_like(x, math.nan)).keys() == set(MEASURES)


@pytest.mark.parametrize("name", ["moons", "checkerboard"])
def test_a_large_sample_stands_for_a_distribution(name):
    """New draws: mass is the share that defined the distance, 0.99 within 5 errors of 0.0016 and its own."""
    data = NAMED[name]
    evaluate, generator = Evaluator(data), torch.Generator().manual_seed(5)
    x = data.draw(_N, generator)
    good, wide = evaluate(torch.randn(_N, 2, generator=generator), x), evaluate(x, 2 * x)
    assert good["mass"] == pytest.approx(0.99, abs=0.015)
    assert good["det"] == pytest.approx(1, abs=0.1)
    assert good["bits"] < 0.002
    assert wide["mass"] < 0.8
    assert wide["det"] == pytest.approx(16, rel=0.1)
    assert wide["w2"] > 2 * good["w2"]


@pytest.mark.parametrize(("share", "bits"), [(1.0, 1.0), (0.5, 0.0), (0.9, 0.531)])
def test_information_of_two_sides(share, bits):
    """1 - h(p) of a symmetric channel: h(0.9) = 0.469."""
    a = torch.arange(1000) % 2 == 0
    flipped = (torch.arange(1000) // 2) % 10 >= round(10 * share)
    assert information(a, a ^ flipped) == pytest.approx(bits, abs=1e-3)


def test_where_the_schedules_put_their_steps():
    """Against quadrature of the symmetric binary channel that a mixture is along its axis.

    The paper's other count for the cosine, 3/22/75, is that of a Monte Carlo estimate: step 97 tells 0.0495.
    """
    nodes = torch.linspace(-12, 12, 4001, dtype=torch.float64)
    for name, steps in (("linear", (25, 32, 43)), ("cosine", (4, 21, 75))):
        walk = chain(name, 100)
        bits = cluster_bits(MIXTURE.mixture, walk)
        assert schedule_steps(bits) == steps
        for k in (30, 60, 97):
            distance = walk.alpha[k] * 32**0.5 / (0.2 * walk.alpha[k] ** 2 + walk.sigma[k] ** 2).sqrt()
            density = torch.exp(-(nodes**2) / 2) / math.sqrt(2 * math.pi)
            lost = torch.nn.functional.softplus(-2 * distance * (nodes + distance)) / math.log(2)
            truth = 1 - float(torch.trapezoid(density * lost, nodes))
            assert bits[k - 1] == pytest.approx(truth, abs=1e-3)


def test_the_oracle_has_no_score_error():
    """Exact but for states in float32: at t = 0 sigma^2 is 2e-4 and takes most digits."""
    walk = chain("cosine", 100)
    errors = [float(score_error(Exact(MIXTURE.mixture, walk), MIXTURE, walk, 1, k)) for k in LEVELS]
    assert max(errors[1:]) < 1e-9
    assert errors[0] < 1e-3
