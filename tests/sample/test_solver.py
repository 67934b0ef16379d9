"""One battery for every solver: order, the law of its samples, exactness. A new one joins CASES."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from crossed import crossed
from noisefold import noise, sample
from noisefold.noise import (
    VE,
    VP,
    Cosine,
    Gaussian,
    GPNoise,
    Linear,
    Localization,
    Nugget,
    Schedule,
    Stationary,
)
from noisefold.sample import (
    DDIM,
    Ancestral,
    DPMSolver,
    Euler,
    GaussianTask,
    Heun,
    Langevin,
    LogSNR,
    Resampled,
    Solver,
    StochasticHeun,
    UnderdampedLangevin,
    Uniform,
)
from noisefold.testing import assert_solver_order
from noisefold.theory import GaussianMixture, SquaredExponential
from noisefold.theory.convergence import MIXTURE, flow_error, interior, moment_errors


@dataclass(frozen=True)
class Case:
    """A solver, the order of its error in the step (None if another remains), and whether it draws noise."""

    solver: Solver
    order: int | None
    random: bool = False


CASES = [
    Case(Euler(), 1),
    Case(Heun(), 2),
    Case(DDIM(), 1),
    Case(DDIM(eta=0.5), 1, random=True),
    Case(Ancestral(), 1, random=True),
    Case(DPMSolver(), 2),
    Case(StochasticHeun(churn=0.0), 2),
    Case(StochasticHeun(churn=5.0), 2, random=True),
    Case(Langevin(Heun(), steps=0), 2),
    # Langevin steps leave an error of their own, in ratio^2 and not in the time step: hidden and open.
    Case(Langevin(Heun(), ratio=0.005), 2, random=True),
    Case(Langevin(DDIM(), steps=2, ratio=0.3), None, random=True),
    Case(UnderdampedLangevin(Heun(), steps=0), 2),
    Case(UnderdampedLangevin(DDIM(), steps=2, ratio=0.3), None, random=True),
    Case(Resampled(Heun(), jumps=0), 2),
    Case(Resampled(Heun(), jumps=2), 2, random=True),
]
SCHEDULES = [value() for value in vars(noise).values() if Schedule in getattr(value, "__mro__", ())[1:]]


def name(value: object) -> str:
    return repr(value.solver if isinstance(value, Case) else value)


ALL = pytest.mark.parametrize("case", CASES, ids=name)
EVERY = pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
NAMES = ("case", "schedule")
FLOWS = [case for case in CASES if not case.random]
VARIANCES = (0.05, 0.3, 2.0)


def solve(solver, denoise, x, times, path, noise, callback=None) -> Tensor:
    """What a solver makes of a bare state, with noise that a function draws."""
    return solver(GaussianTask.of(denoise, path, times, noise), x, callback)


def scalar(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def refused() -> Tensor:
    raise AssertionError("a deterministic solver drew noise")


def gaussian_noise(like: Tensor, seed: int) -> Callable[[], Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(like.shape, generator=generator, dtype=like.dtype)


def test_every_exported_solver_has_a_case():
    exported = {v for v in vars(sample).values() if Solver in getattr(v, "__mro__", ())[1:]}
    exported = {solver for solver in exported if isinstance(noise.Gaussian(), solver.handles)}
    assert {type(case.solver) for case in CASES} == exported


# -- order ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(NAMES, crossed(FLOWS, SCHEDULES), ids=name)
def test_trajectories_converge_with_their_order(case, schedule):
    assert_solver_order(case.solver, case.order, schedule=schedule)


@pytest.mark.parametrize(NAMES, crossed(FLOWS, SCHEDULES), ids=name)
def test_trajectories_converge_with_their_order_in_log_snr(case, schedule):
    errors = [flow_error(case.solver, Gaussian(schedule), steps, "log_snr") for steps in (40, 160)]
    # Terms of higher order move slopes by up to 0.15.
    assert float(np.log(errors[0] / errors[1]) / np.log(4)) == pytest.approx(case.order, abs=0.15)


def size(errors: Tensor) -> float:
    return float(errors.square().mean().sqrt())


@pytest.mark.parametrize(NAMES, crossed([c for c in CASES if c.order is not None], SCHEDULES), ids=name)
def test_laws_converge_with_their_order(case, schedule):
    """Weak order, in mean and variance; of three Gaussians together, since one error may change its sign."""
    assert_solver_order(case.solver, case.order, schedule=schedule, weak=True)


@pytest.mark.parametrize(
    (*NAMES, "grid"), crossed(CASES, SCHEDULES, [Uniform(), LogSNR()], every=3), ids=name
)
def test_whole_trajectories_converge_to_the_data(case, schedule, grid):
    """From the margin to t = 0: four times the steps, at most half the error.

    What does not fall with the steps: the last step gives the posterior's mean for its law, and so loses up
    to (sigma / alpha)^2 / C of the variance C at the last time; Langevin steps add up to ratio^2 / 2.
    """
    path = Gaussian(schedule)
    errors = [size(moment_errors(case.solver, grid(path, steps), path, VARIANCES)) for steps in (40, 160)]
    margin = scalar(path.margin)
    floor = float((schedule.sigma(margin) / schedule.alpha(margin)) ** 2) / min(VARIANCES)
    if isinstance(case.solver, Langevin | UnderdampedLangevin) and case.solver.steps:
        floor += case.solver.ratio**2 / 2
    assert errors[1] < errors[0] / 2 + floor
    # Steps of h in ln(sigma) leave h / 2 or so at order 1, h^2 at order 2; the longest h is VE's, 8.5 / 160.
    assert errors[1] < (0.35 if case.order == 1 else 0.02) + floor


# -- the law of samples --------------------------------------------------------------------------------------


@pytest.mark.parametrize(NAMES, crossed(CASES, [Linear(), VP(), Cosine(), VE()], every=3), ids=name)
def test_samples_have_the_law_of_a_mixture(case, schedule):
    """Share, mean and covariance of both components.

    Bounds: 5 standard errors, and the solver's own error: one and a half times what it does to either
    component alone, known exactly, and .03 for what it does to the crossing between them.
    """
    n, path = 20_000, Gaussian(schedule)
    times = LogSNR()(path, 50 if case.order == 2 else 150)
    start = MIXTURE.marginal(times[0], path).sample(n, torch.Generator().manual_seed(1))
    x = solve(case.solver, MIXTURE.bound(path), start, times, path, gaussian_noise(start, 2))
    end = MIXTURE.marginal(times[-1], path)
    which = MIXTURE.responsibilities(x, scalar(0.05), Gaussian()).argmax(1)
    for k, weight in enumerate(end.weights):
        mean, covariance = (torch.tensor(v[k], dtype=torch.float64) for v in (end.means, end.covariances))
        values, basis = torch.linalg.eigh(covariance)
        bias = 0.03 + 1.5 * float(moment_errors(case.solver, times, path, values.tolist())[1].abs().max())
        part = x[which == k]
        # In the component's own units the truth is mean 0 and covariance 1.
        unit = (part - mean) @ basis / values.sqrt()
        error = 5 / len(part) ** 0.5
        assert abs(len(part) / n - weight) < 5 * (weight * (1 - weight) / n) ** 0.5 + bias / 10
        assert float(unit.mean(0).abs().max()) < error + bias
        moments = torch.cov(unit.T) - torch.eye(2)
        assert float(moments.diag().abs().max()) < 2**0.5 * error + bias
        assert float(moments[0, 1].abs()) < error + bias


@pytest.mark.parametrize("variance", [0.02, 1.0])
@pytest.mark.parametrize("ratio", [0.05, 0.3, 0.6])
def test_langevin_has_its_known_bias(variance, ratio):
    """Many steps at one time: variance V / (1 - h / 2V) of the unadjusted chain, h = (ratio sigma)^2."""
    path, t = Gaussian(Linear()), scalar(0.7)
    law = GaussianMixture.gaussian((0.0,), ((variance,),))
    total = law.marginal(t, path).covariances[0][0][0]
    h = (ratio * 0.7) ** 2
    steps = int(40 / (h / total))
    chain = Langevin(Heun(), steps=1, ratio=ratio)
    x = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    draw = torch.tensor([[1.0], [0.0]], dtype=torch.float64)
    task = GaussianTask.of(law.bound(path), path, t[None], lambda: draw)
    moved = chain.correct(task, x, t)
    gain, push = float(moved[1, 0]), float(moved[0, 0])
    spread = sum((push * gain**k) ** 2 for k in range(steps))
    assert spread == pytest.approx(total / (1 - h / (2 * total)), rel=1e-10)


# -- exactness -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(NAMES, crossed(CASES, SCHEDULES), ids=name)
def test_calls_back_after_every_step(case, schedule):
    path = Gaussian(schedule)
    times = LogSNR()(path, 6)
    x = MIXTURE.marginal(times[0], path).sample(3, torch.Generator().manual_seed(0))
    kept = x.clone()
    seen: list[tuple[int, float, Tensor]] = []
    out = solve(
        case.solver,
        MIXTURE.bound(path),
        x,
        times,
        path,
        gaussian_noise(x, 1) if case.random else refused,
        lambda i, t, state: seen.append((i, float(t), state)),
    )
    assert [i for i, _, _ in seen] == list(range(6))
    assert [t for _, t, _ in seen] == times[1:].tolist()
    assert torch.equal(seen[-1][2], out)
    assert torch.equal(x, kept)


@pytest.mark.parametrize(NAMES, crossed(CASES, SCHEDULES), ids=name)
def test_keeps_float32(case, schedule):
    path = Gaussian(schedule)
    times = LogSNR()(path, 5)
    x = MIXTURE.marginal(times[0], path).sample(4, torch.Generator().manual_seed(0))
    wide = solve(case.solver, MIXTURE.bound(path), x, times, path, gaussian_noise(x, 1))
    draw = gaussian_noise(x, 1)
    narrow = solve(case.solver, MIXTURE.bound(path), x.float(), times, path, lambda: draw().float())
    assert narrow.dtype == torch.float32
    # States reach 50 (VE) and roundings of 6e-8 of that pass through a map of slope some 10.
    torch.testing.assert_close(narrow.double(), wide, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(NAMES, crossed(CASES, [Linear(), VP(), Cosine(), Localization()]), ids=name)
def test_noise_is_used_or_not(case, schedule):
    path = Gaussian(schedule)
    times = LogSNR()(path, 8)
    x = MIXTURE.marginal(times[0], path).sample(3, torch.Generator().manual_seed(0))
    one, same, other = (
        solve(case.solver, MIXTURE.bound(path), x, times, path, gaussian_noise(x, seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(one, same)
    assert torch.equal(one, other) is not case.random


def test_bare_tasks_draw_as_they_are_told():
    """Whatever the source of the path, whose distribution is not hidden."""
    path = Gaussian(source=GPNoise(Stationary(SquaredExponential(0.5), 0.9) + Nugget(0.1)))
    x, eps = torch.zeros(3, 1), torch.ones(3, 1)
    task = GaussianTask.of(lambda x, t: x, path, torch.tensor([0.5, 0.0]), lambda: eps)
    assert torch.equal(task.noise(x), eps)
    assert not task.path.source.white
    with pytest.raises(ValueError, match="noise="):
        GaussianTask.of(lambda x, t: x, path, torch.tensor([0.5, 0.0])).noise(x)


@ALL
def test_states_stay_on_their_device(case, device):
    """Times are numbers on the CPU wherever the states are; the same noise ends in the same place."""
    path = Gaussian(VP())
    times = LogSNR()(path, 5)
    x = MIXTURE.marginal(times[0], path).sample(3, torch.Generator().manual_seed(0)).float()
    draw = gaussian_noise(x, 1)
    there = solve(case.solver, MIXTURE.bound(path), x.to(device), times, path, lambda: draw().to(device))
    assert there.device.type == device.type
    here = solve(case.solver, MIXTURE.bound(path), x, times, path, gaussian_noise(x, 1))
    torch.testing.assert_close(there.cpu(), here, rtol=1e-4, atol=1e-4)


EXPONENTIAL = [Case(DDIM(), 1), Case(DDIM(eta=0.5), 1), Case(Ancestral(), 1), Case(DPMSolver(), 2)]


@pytest.mark.parametrize((*NAMES, "steps"), crossed(EXPONENTIAL, SCHEDULES, [1, 2, 9]), ids=name)
def test_chains_are_exact_for_a_constant_estimate(case, schedule, steps):
    """All mass at one point: any number of steps ends there, on VE in its last noise."""
    path, point = Gaussian(schedule), torch.tensor([[1.5, -0.5]], dtype=torch.float64)
    times = Uniform()(path, steps)
    x = path.mix(point, torch.randn(4, 2, generator=torch.Generator().manual_seed(0)).double(), times[0])
    out = solve(case.solver, lambda y, t: point.expand_as(y), x, times, path, gaussian_noise(x, 1))
    left = float(schedule.sigma(scalar(0.0)))
    assert float((out - point).abs().max()) <= 5 * left + 1e-12


@EVERY
def test_deterministic_chains_keep_the_noise_of_a_constant_estimate(schedule):
    """DDIM and DPM-Solver++ on the way: the state is on its path, at every time, exactly."""
    path, point = Gaussian(schedule), torch.tensor([[1.5, -0.5]], dtype=torch.float64)
    eps = torch.randn(4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    times = interior(schedule, 7)
    for solver in (DDIM(), DPMSolver()):
        out = solve(
            solver, lambda y, t: point.expand_as(y), path.mix(point, eps, times[0]), times, path, refused
        )
        torch.testing.assert_close(out, path.mix(point, eps, times[-1]), rtol=1e-11, atol=1e-12)


@EVERY
def test_dpm_solver_looks_ahead_to_the_middle_of_its_step(schedule):
    """An estimate that is linear in log-SNR, unequal steps: the second has its value in the middle, exactly.

    Sums over a trajectory would hide unequal steps taken for one another, since their squares add up alike.
    """
    path = Gaussian(schedule)
    levels = torch.tensor([-1.0, -0.4, 1.4], dtype=torch.float64)
    times = schedule.time(levels)
    x = torch.ones(1, 1, dtype=torch.float64)
    solver = DPMSolver()

    def line(y: Tensor, t: Tensor) -> Tensor:
        return path.log_snr(t).expand_as(y)

    _, s, r = times
    first = solve(solver, line, x, times[:2], path, refused)
    both = solve(solver, line, x, times, path, refused)
    gain = torch.expm1((levels[1] - levels[2]) / 2)
    truth = schedule.sigma(r) / schedule.sigma(s) * first - schedule.alpha(r) * gain * levels[1:].mean()
    torch.testing.assert_close(both, truth, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    "solver", [Euler(), Heun(), DDIM(), Ancestral(), DPMSolver(), StochasticHeun()], ids=repr
)
def test_one_step_of_flow_matching_is_the_estimate(solver):
    path = Gaussian(Linear())
    times = Uniform()(path, 1)
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    out = solve(solver, MIXTURE.bound(path), x, times, path, refused)
    torch.testing.assert_close(out, MIXTURE.denoise(x, times[0], path), rtol=1e-12, atol=1e-12)


@EVERY
def test_special_cases_are_each_other(schedule):
    """To rounding: DDIM(1) = ancestral, no churn = Heun, no Langevin steps = the predictor."""
    path = Gaussian(schedule)
    times = LogSNR()(path, 12)
    x = MIXTURE.marginal(times[0], path).sample(5, torch.Generator().manual_seed(0))

    def run(solver: Solver) -> Tensor:
        return solve(solver, MIXTURE.bound(path), x, times, path, gaussian_noise(x, 3))

    close = {"rtol": 1e-9, "atol": 1e-9}
    torch.testing.assert_close(run(DDIM(eta=1.0)), run(Ancestral()), **close)
    torch.testing.assert_close(run(StochasticHeun(churn=0.0)), run(Heun()), **close)
    torch.testing.assert_close(run(Langevin(Heun(), steps=0)), run(Heun()), **close)
    torch.testing.assert_close(run(Langevin(DPMSolver(), steps=0)), run(DPMSolver()), **close)


def test_euler_is_ddim_on_straight_paths():
    path = Gaussian(Linear())
    times = Uniform()(path, 12)
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    one, two = (solve(solver, MIXTURE.bound(path), x, times, path, refused) for solver in (Euler(), DDIM()))
    torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("solver", [DDIM(), Ancestral(), DPMSolver()], ids=repr)
@pytest.mark.parametrize("schedule", SCHEDULES[1:], ids=repr)
def test_chains_see_only_the_signal_to_noise_ratio(solver, schedule):
    """Two notations of one process: the same ratios on another schedule, the same trajectory, rescaled."""
    one, two = Gaussian(SCHEDULES[0]), Gaussian(schedule)
    levels = torch.linspace(-5, 5, 15, dtype=torch.float64)
    times = [path.schedule.time(levels) for path in (one, two)]
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ends = []
    for path, t in zip((one, two), times, strict=True):
        out = solve(solver, MIXTURE.bound(path), x * path.schedule.alpha(t[0]), t, path, gaussian_noise(x, 1))
        ends.append(out / path.schedule.alpha(t[-1]))
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: DDIM(eta=1.5), "eta must lie in .*got 1.5"),
        (lambda: DDIM(eta=-0.1), "eta must lie in"),
        (lambda: StochasticHeun(churn=-1.0), "churn must not be negative, got -1"),
        (lambda: Langevin(Heun(), steps=-1), "got -1 and 0.3"),
        (lambda: Langevin(Heun(), ratio=0.0), "ratio > 0"),
    ],
)
def test_refuses_arguments_out_of_range(make, says):
    with pytest.raises(ValueError, match=says):
        make()
