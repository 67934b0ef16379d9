"""Langevin steps with momentum: what they leave in place, and the posterior that they reach."""

import math

import pytest
import torch
from gaussian_nodes import CORRELATED, conditional, law, size_of_error
from torch import Tensor

from noisefold.noise import VP, Gaussian, Linear
from noisefold.sample import (
    DDIM,
    GaussianTask,
    Langevin,
    LangevinCorrection,
    Replacement,
    UnderdampedLangevin,
)

T = torch.tensor(0.4, dtype=torch.float64)


class Still(DDIM):
    """Leaves the state."""

    def step(self, task, x, t, s, memory):
        return x, memory


def response(path: Gaussian, variance: float, solver: UnderdampedLangevin) -> float:
    """Variance of a normal marginal of data of this variance after the steps, exactly.

    The state after the steps is a linear function of the state before and of all noise drawn.
    """
    alpha, sigma = path.schedule.alpha(T), path.schedule.sigma(T)
    marginal = alpha**2 * variance + sigma**2
    drawn = 0
    rows = 3 + 2 * solver.steps

    def noise() -> Tensor:
        nonlocal drawn
        drawn += 1
        out = torch.zeros(rows, 1, dtype=torch.float64)
        out[drawn] = 1
        return out

    x = torch.zeros(rows, 1, dtype=torch.float64)
    x[0] = marginal.sqrt()
    task = GaussianTask.of(lambda x, t: alpha * variance / marginal * x, path, torch.stack([T, T]), noise)
    out, _ = solver.step(task, x, T, T, None)
    return float(out.square().sum() / marginal)


@pytest.mark.parametrize("path", [Gaussian(Linear()), Gaussian(VP())], ids=repr)
@pytest.mark.parametrize("variance", [0.0, 0.1, 1.0, 30.0])
@pytest.mark.parametrize("ratio", [0.3, 1.4])
def test_a_normal_marginal_is_left_in_place(path, variance, ratio):
    """After many steps, whatever their length: BAOAB has the exact law N(0, K^-1) of positions.

    The velocities begin with a little more than their variance 1 - h^2 K / 4 in equilibrium; 200 steps forget
    it, but for the softest mode, which they move by little.
    """
    assert response(path, variance, UnderdampedLangevin(Still(), 200, ratio, 0.5)) == pytest.approx(
        1, abs=1e-4
    )


def test_one_evaluation_a_step_and_none_at_the_end():
    calls = 0

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return x

    times = torch.tensor([0.9, 0.6, 0.3, 0.0], dtype=torch.float64)
    x = torch.zeros(2, 1, dtype=torch.float64)
    for solver, expected in (
        (UnderdampedLangevin(DDIM(), 4), 3 + 2 * 4),
        (UnderdampedLangevin(DDIM(), 0), 3),
    ):
        calls = 0
        solver(GaussianTask.of(denoise, Gaussian(), times, lambda: torch.zeros_like(x)), x)
        assert calls == expected


def test_the_posterior_is_within_what_is_asked():
    """Mean within 2 %, covariance within 5 %, with 210 evaluations; replacement alone is ten times worse."""
    exact = conditional(CORRELATED)
    mean, covariance = law(LangevinCorrection(), DDIM(), 20)
    found = size_of_error(mean, exact[0]), size_of_error(covariance, exact[1])
    assert found[0] < 0.02
    assert found[1] < 0.05
    plain = law(Replacement(), DDIM(), 200)
    assert size_of_error(plain[0], exact[0]) > 10 * found[0]
    assert size_of_error(plain[1], exact[1]) > 10 * found[1]


@pytest.mark.slow
def test_momentum_pays():
    """Against plain Langevin steps with a little more evaluations, the mean's error is less than half."""
    exact = conditional(CORRELATED)[0]

    class Plain(LangevinCorrection):
        def __call__(self, task, solver, known):
            task, _ = super().__call__(task, solver, known)
            return task, Langevin(solver, 11, math.sqrt(0.5))

    with_, without = (size_of_error(law(m, DDIM(), 20)[0], exact) for m in (LangevinCorrection(), Plain()))
    assert with_ < 0.5 * without


@pytest.mark.parametrize("make", [LangevinCorrection, lambda *a: UnderdampedLangevin(DDIM(), *a)])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1,), "steps must not be negative, got -1"),
        ((1, 2.0), r"ratio must lie in \(0, 2\), got 2.0"),
        ((1, 1.0, 0.0), "friction must be above 0, got 0.0"),
    ],
)
def test_misuse_is_said_in_one_sentence(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(*arguments)
