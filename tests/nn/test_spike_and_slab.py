"""Laws with a spike: their moments, answers and CRPS against numerical integrals."""

import pytest
import torch

from noisefold.nn.prior.spike_and_slab import SpikeAndSlab

SPIKE = torch.tensor([-0.6, -0.2], dtype=torch.float64)


@pytest.fixture
def law():
    share = torch.tensor([[0.05, 0.5], [0.9, 1.0]], dtype=torch.float64)
    mean = torch.tensor([[1.5, 0.3], [0.0, 2.0]], dtype=torch.float64)
    variance = torch.tensor([[0.4, 0.01], [1.3, 0.2]], dtype=torch.float64)
    return SpikeAndSlab(SPIKE, share, mean, variance)


def slab_nodes(law, points=4001):
    """Values and weights of the slab, ``[points, n, f]``; over 12 deviations trapezia are exact."""
    z = torch.linspace(-12, 12, points, dtype=torch.float64)[:, None, None]
    weight = torch.exp(-z.square() / 2)
    return law.mean + law.variance.sqrt() * z, weight / weight.sum(0)


@pytest.mark.parametrize("b", [0.02, 0.3, 0.8, 0.9999])
def test_the_answer_is_the_posterior(law, b):
    b = torch.tensor([[b]], dtype=torch.float64)
    a = (1 - b.square()).sqrt()
    for shift in (-0.5, 0.0, 0.7, 2.0):
        state = a * law.spike + shift * b + torch.zeros_like(law.mean)
        values, weight = slab_nodes(law, 200_001 if float(b) < 0.1 else 4001)
        likely = law.share * weight * torch.exp(-((state - a * values) / b).square() / 2)
        spike = (1 - law.share) * torch.exp(-((state - a * law.spike) / b).square() / 2)
        whole = likely.sum(0) + spike
        mean = ((likely * values).sum(0) + spike * law.spike) / whole
        square = ((likely * (values - mean).square()).sum(0) + spike * (law.spike - mean).square()) / whole
        found, spread = law.answer(state, a, b)
        torch.testing.assert_close(a * state + b * found, mean, rtol=1e-9, atol=1e-9)
        # A variance is what is left of two larger numbers: half of the digits.
        torch.testing.assert_close(b * spread, square.sqrt(), rtol=1e-6, atol=1e-7)


def test_no_spike_is_the_gaussian_answer():
    one = torch.ones(3, 1, dtype=torch.float64)
    law = SpikeAndSlab(SPIKE[:1], one, 0.4 * one, 0.7 * one)
    b = torch.tensor([[0.1], [0.5], [0.9]], dtype=torch.float64)
    a = (1 - b.square()).sqrt()
    found, spread = law.answer(0.3 * one, a, b)
    precision = 1 / 0.7 + a.square() / b.square()
    expected = (0.4 / 0.7 + a * 0.3 / b.square()) / precision
    torch.testing.assert_close(a * 0.3 + b * found, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(b * spread, precision.rsqrt(), rtol=1e-12, atol=1e-12)


def test_moments_and_draws_agree(law):
    mean, variance = law.moments
    draws = law.draw(200_000, torch.Generator().manual_seed(0)).double()
    error = (variance / 200_000).sqrt()
    assert bool(((draws.mean(0) - mean).abs() < 5 * error).all())
    # Kurtosis is below 20 for each, so that a variance errs by less than 5 sqrt(20 / 200,000).
    torch.testing.assert_close(draws.var(0), variance, rtol=0.05, atol=0)
    assert bool(((draws == law.spike).double().mean(0) - (1 - law.share)).abs().max() < 0.006)


def test_a_matched_law_has_the_predicted_moments():
    torch.manual_seed(0)
    over = torch.rand(500, 2, dtype=torch.float64) * 3 + 0.05
    variance = torch.rand(500, 2, dtype=torch.float64) * 2 + 1e-3
    above = torch.tensor([[0.5, 0.1], [1.6, 0.9]], dtype=torch.float64)
    spread = torch.tensor([0.3, 0.05], dtype=torch.float64)
    belief = torch.ones(2, dtype=torch.float64)
    law = SpikeAndSlab.matched(SPIKE + over, variance, SPIKE, above, spread, belief)
    mean, found = law.moments
    torch.testing.assert_close(mean, SPIKE + over, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found, variance, rtol=1e-9, atol=1e-9)
    assert bool((law.share <= 1).all())
    assert bool((law.variance <= spread).all())


def test_without_belief_the_slab_is_the_features_own():
    above = torch.tensor([[0.5, 0.1], [1.6, 0.9]], dtype=torch.float64)
    spread = torch.tensor([0.3, 0.05], dtype=torch.float64)
    over = torch.tensor([[0.4, 0.3], [1.5, 2.0]], dtype=torch.float64)
    law = SpikeAndSlab.matched(
        SPIKE + over, torch.ones_like(over), SPIKE, above, spread, torch.zeros(2, dtype=torch.float64)
    )
    height = torch.maximum(over, above[1])
    torch.testing.assert_close(law.mean, SPIKE + height, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(law.variance, spread.expand(2, 2), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(law.share, over / height, rtol=1e-10, atol=1e-10)


def test_a_prediction_below_the_spike_is_a_rare_slab():
    above = torch.tensor([[0.5], [1.6]], dtype=torch.float64)
    law = SpikeAndSlab.matched(
        SPIKE[:1] - torch.ones(1, 1, dtype=torch.float64),
        torch.ones(1, 1, dtype=torch.float64),
        SPIKE[:1],
        above,
        torch.tensor([0.3], dtype=torch.float64),
        torch.zeros(1, dtype=torch.float64),
    )
    assert float(law.share) == pytest.approx(0.05 * 0.5 / 1.6)


def test_crps_is_the_integral(law):
    z = torch.linspace(-10, 10, 400_001, dtype=torch.float64)[:, None, None]
    below = 0.5 * (1 + torch.erf((z - law.mean) / (2 * law.variance).sqrt()))
    cumulated = law.share * below + (1 - law.share) * (z >= law.spike)
    for x in (-0.6, -0.2, 0.0, 1.1):
        value = torch.full_like(law.mean, x)
        expected = (cumulated - (z >= value).double()).square().sum(0) * 20 / 400_000
        # Steps fall within a cell of 5e-5.
        torch.testing.assert_close(law.crps(value), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("b", [0.001, 0.5, 0.999])
def test_derivatives_are_finite(b):
    """Predictions that are all slab, wide, and below the spike; features with and without one."""
    mean = torch.linspace(-3, 3, 25, dtype=torch.float64)[:, None].repeat(1, 3).requires_grad_()
    variance = torch.logspace(-3, 1, 25, dtype=torch.float64)[:, None].repeat(1, 3).requires_grad_()
    ones = torch.ones(3, dtype=torch.float64)
    belief = torch.tensor([-1.0, 0.0, 0.5], dtype=torch.float64)
    law = SpikeAndSlab.matched(mean, variance, -0.3 * ones, torch.stack([ones, ones]), ones / 2, belief)
    state = torch.linspace(-4, 4, 25, dtype=torch.float64)[:, None].repeat(1, 3).requires_grad_()
    noise = torch.full((25, 1), b, dtype=torch.float64)
    answer = law.answer(state, (1 - noise.square()).sqrt(), noise)
    for value in (*law.moments, *answer):
        for gradient in torch.autograd.grad(
            value.sum(), (mean, variance, state), retain_graph=True, allow_unused=True
        ):
            assert gradient is None or bool(torch.isfinite(gradient).all())
