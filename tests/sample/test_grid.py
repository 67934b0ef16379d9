"""Time grids: one battery over every grid and schedule."""

import pytest
import torch

from noisefold import noise, sample
from noisefold.noise import Gaussian, LevelDistribution, Linear, Schedule
from noisefold.sample import Grid, Karras, LevelGrid, LogSNR, Uniform

SCHEDULES = [value() for value in vars(noise).values() if Schedule in getattr(value, "__mro__", ())[1:]]
# The grid of distilled models is for paths of few steps alone.
GRIDS = [
    value()
    for value in vars(sample).values()
    if Grid in getattr(value, "__mro__", ())[1:] and value is not sample.DistilledGrid
]
EVERY = pytest.mark.parametrize("grid", [*GRIDS, Karras(rho=1.0)], ids=repr)
PATHS = pytest.mark.parametrize(
    "path", [Gaussian(s, margin=m) for s in SCHEDULES for m in (1e-3, 0.02)], ids=repr
)


@EVERY
@PATHS
@pytest.mark.parametrize("steps", [1, 2, 3, 50])
def test_falls_from_the_noisy_margin_to_the_data(grid, path, steps):
    times = grid(path, steps)
    assert times.shape == (steps + 1,)
    assert times.dtype == torch.float64
    # Karras and LogSNR find the time of a log-SNR: some roundings at slope 2 or more.
    assert float(times[0]) == pytest.approx(1 - path.margin, abs=1e-12)
    assert float(times[-1]) == 0
    assert bool((times.diff() < 0).all())


@PATHS
def test_uniform_is_even_in_time(path):
    steps = Uniform()(path, 20).diff()
    torch.testing.assert_close(steps, steps.mean().expand(20), rtol=1e-12, atol=0)


@PATHS
def test_placed_is_at_the_quantiles_of_its_law(path):
    law = LevelDistribution((0.2, 0.5, 0.9), (3, 1))
    times = LevelGrid(law)(path, 8)
    level = path.signal(times[:-1])
    truth = torch.tensor([0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.7], dtype=torch.float64)
    torch.testing.assert_close(level, truth, rtol=0, atol=1e-12)
    assert float(times[-1]) == 0


def even(values: torch.Tensor) -> bool:
    steps = values.diff()
    return bool(torch.allclose(steps, steps.mean().expand(len(steps)), rtol=1e-8, atol=0))


@PATHS
def test_log_snr_is_even_in_log_snr(path):
    times = LogSNR()(path, 20)
    assert even(path.log_snr(times[:-1]))
    assert float(times[-2]) == pytest.approx(path.margin, rel=1e-9)


@PATHS
@pytest.mark.parametrize("rho", [1.0, 3.0, 7.0])
def test_karras_is_even_in_the_root_of_the_ratio(path, rho):
    times = Karras(rho)(path, 20)
    ratio = path.schedule.sigma(times[:-1]) / path.schedule.alpha(times[:-1])
    assert even(ratio ** (1 / rho))
    assert float(times[-2]) == pytest.approx(path.margin, rel=1e-9)


def test_larger_rho_looks_closer_at_the_data():
    path = Gaussian(Linear())
    near = [int((Karras(rho)(path, 40) < 0.1).sum()) for rho in (1.0, 3.0, 7.0)]
    assert near == sorted(set(near))


@EVERY
@pytest.mark.parametrize("steps", [0, -3])
def test_needs_a_step(grid, steps):
    with pytest.raises(ValueError, match=f"steps must be at least 1, got {steps}"):
        grid(Gaussian(), steps)


def test_refuses_a_root_that_is_none():
    with pytest.raises(ValueError, match=r"rho must be positive, got 0"):
        Karras(rho=0)
