"""Replacement and resampling against the exact conditional law of correlated Gaussian nodes."""

from functools import partial

import pytest
import torch
from gaussian_nodes import CORRELATED, OTHERS, D, conditional, law, run, size_of_error
from torch import Tensor

from noisefold.noise import VE, VP, Cosine, Gaussian, Known, Linear, Localization
from noisefold.sample import (
    DDIM,
    Ancestral,
    Conditioning,
    DPMSolver,
    Euler,
    GaussianTask,
    Heun,
    Repaint,
    Replaced,
    Replacement,
    Resampled,
    Solver,
    StochasticHeun,
)

SOLVERS = [Euler(), Heun(), DDIM(), DPMSolver(), Ancestral(), StochasticHeun()]


class Nothing(Conditioning):
    """Leaves denoiser and solver as they are."""

    handles = Gaussian

    def __call__(self, task, solver, known):
        return task, solver


@pytest.mark.parametrize(
    ("conditioning", "steps", "errors"),
    [
        (Replacement(), 200, (0.481, 1.471, 2.375)),
        pytest.param(Repaint(1), 100, (0.320, 0.842, 1.731), marks=pytest.mark.slow),
        pytest.param(Repaint(4), 40, (0.177, 0.399, 1.284), marks=pytest.mark.slow),
        pytest.param(Repaint(9), 20, (0.111, 0.175, 1.000), marks=pytest.mark.slow),
        (Repaint(19), 10, (0.073, 0.268, 0.725)),
    ],
    ids=repr,
)
def test_the_errors_are_those_of_the_table(conditioning, steps, errors):
    """Digit for digit: nothing here is left to chance."""
    mean, covariance = law(conditioning, DDIM(), steps)
    exact = conditional(CORRELATED)
    found = (
        size_of_error(mean, exact[0]),
        size_of_error(covariance, exact[1]),
        float(covariance.trace() / exact[1].trace()),
    )
    assert found == pytest.approx(errors, abs=6e-4)


@pytest.mark.parametrize("path", [Gaussian(), pytest.param(Gaussian(VP()), marks=pytest.mark.slow)], ids=repr)
def test_the_mean_converges_with_the_jumps(path):
    noise = partial(torch.zeros, 1, D, dtype=torch.float64)
    exact, _ = conditional(CORRELATED)
    few, many = (
        size_of_error(run(Repaint(j), DDIM(), 40, CORRELATED, path, noise)[0, OTHERS], exact) for j in (9, 59)
    )
    # Six times the jumps: (1/6)^.8 is .24. Twice the steps change it by a few percent.
    assert few == pytest.approx(0.108, abs=0.002)
    assert many < 0.3 * few


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
@pytest.mark.parametrize("jumps", [0, 2])
def test_nodes_that_tell_nothing_change_nothing(solver, jumps):
    """Of independent nodes the others have exactly the law they have without a condition."""
    alone = torch.eye(D, dtype=torch.float64)
    expected = law(Nothing(), Resampled(solver, jumps), 10, alone)
    for conditioning in (Repaint(jumps), *([Replacement()] if jumps == 0 else [])):
        mean, covariance = law(conditioning, solver, 10, alone)
        torch.testing.assert_close(mean, expected[0], atol=1e-12, rtol=0)
        torch.testing.assert_close(covariance, expected[1], atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("jumps", [0, 3])
def test_without_a_condition_resampling_keeps_the_law(jumps):
    """Up to the error of the solver, of second order in the steps."""
    exact = CORRELATED[OTHERS][:, OTHERS]
    errors = [size_of_error(law(Nothing(), Resampled(Heun(), jumps), n)[1], exact) for n in (20, 40)]
    assert errors[1] < 0.01
    assert errors[1] < errors[0] / 3


def test_the_denoiser_sees_the_known_values_noised_and_returns_them_clean():
    seen = []

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        seen.append(x)
        return 3 * x

    path, t = Gaussian(VP()), torch.tensor(0.3, dtype=torch.float64)
    x, value, eps = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mask = torch.tensor([[True, False], [False, False], [True, True], [False, True]])
    task = GaussianTask.of(denoise, path, t[None], lambda: eps)
    out = Replaced(task, Known(value, mask), task.random)(x, t)
    variable = path.schedule.alpha(t) * value + path.schedule.sigma(t) * eps
    assert torch.equal(seen[0], torch.where(mask, variable, x))
    assert torch.equal(out, torch.where(mask, value, 3 * seen[0]))


def test_replacement_keeps_one_noise_and_repaint_draws_anew():
    for conditioning, count in ((Replacement(), 1), (Repaint(0), 5)):
        calls = 0

        def noise() -> Tensor:
            nonlocal calls
            calls += 1
            return torch.zeros(1, 1)

        some = Known(torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.bool))
        task = GaussianTask.of(lambda x, t: x, Gaussian(), torch.tensor([0.5, 0.0]), noise)
        task, _ = conditioning(task, Euler(), some)
        for _ in range(5):
            task.denoise(torch.zeros(1, 1), torch.tensor(0.5))
        assert calls == count


class Still(Solver):
    """Leaves the state, and keeps what it was given."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def step(self, task, x, t, s, memory):
        self.seen.append(x)
        return x, memory


@pytest.mark.parametrize("schedule", [Linear(), VP(), Cosine(), VE(), Localization()], ids=repr)
@pytest.mark.parametrize("s", [0.0, 0.2, 0.6])
def test_a_jump_back_is_the_paths_own_noising(schedule, s):
    """x_s = a_s y + sigma_s e becomes a_t y + sigma_t e': the factor of y and the variance are those of t."""
    path, solver = Gaussian(schedule), Still()
    t, s = torch.tensor(0.7, dtype=torch.float64), torch.tensor(s, dtype=torch.float64)
    for x, z in ((1.0, 0.0), (0.0, 1.0)):
        state, noise = torch.full((1, 1), x).double(), torch.full((1, 1), z).double()
        task = GaussianTask.of(lambda x, t: x, path, torch.stack([t, s]), lambda noise=noise: noise)
        Resampled(solver, 1).step(task, state, t, s, None)
    _, keep, _, spread = (float(x) for x in solver.seen)
    assert keep * schedule.alpha(s) == pytest.approx(float(schedule.alpha(t)), rel=1e-12)
    variance = (keep * schedule.sigma(s)) ** 2 + spread**2
    assert float(variance) == pytest.approx(float(schedule.sigma(t)) ** 2, rel=1e-12)


def test_every_step_is_taken_jumps_and_one_times():
    solver = Still()
    times = torch.tensor([0.9, 0.5, 0.0])
    task = GaussianTask.of(lambda x, t: x, Gaussian(), times, lambda: torch.zeros(1, 1))
    Resampled(solver, 4)(task, torch.ones(1, 1))
    assert len(solver.seen) == 10


@pytest.mark.parametrize("make", [Repaint, lambda jumps: Resampled(Euler(), jumps)])
def test_negative_jumps_are_refused(make):
    with pytest.raises(ValueError, match="jumps must not be negative, got -1"):
        make(-1)
