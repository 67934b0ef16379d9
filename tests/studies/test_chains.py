"""Chains as paths, and their noise."""

import pytest
import torch

from noisefold.geometry import Graphs
from noisefold.noise import Digits, Gaussian, Streams
from noisefold.studies.diffusion.chains import NOISES, Betas, chain, grid, noise_table

_BETAS = torch.linspace(0.001, 0.2, 100, dtype=torch.float64)


def test_betas_are_the_chain_of_ho():
    """alpha^2 is the running product at every step, and the transition is DDPM's posterior (eqs. 6 and 7)."""
    walk = chain("linear", 100)
    bar = torch.cat([torch.ones(1).double(), (1 - _BETAS).cumprod(0)])
    torch.testing.assert_close(walk.alpha[:-1] ** 2, bar[:-1], rtol=1e-12, atol=0)
    torch.testing.assert_close(walk.alpha[-1] ** 2, bar[-1], rtol=1e-6, atol=0)  # t = 1 less 1e-9
    for k in (2, 50, 99):
        step = walk.path.transition(walk.times[k], walk.times[k - 1])
        beta = _BETAS[k - 1]
        mean = bar[k - 1].sqrt() * beta / (1 - bar[k])
        kept = (1 - beta).sqrt() * (1 - bar[k - 1]) / (1 - bar[k])
        spread = ((1 - bar[k - 1]) / (1 - bar[k]) * beta).sqrt()
        torch.testing.assert_close(torch.stack([*vars(step).values()]), torch.stack([mean, kept, spread]))


def test_betas_are_a_schedule():
    """Derivatives by central differences within a step (second order, 1e-5^2), and the clock's inverse."""
    schedule = Betas(tuple(_BETAS.tolist()))
    t = torch.tensor([0.0051, 0.123, 0.5003, 0.9871], dtype=torch.float64)
    for name in ("alpha", "sigma"):
        value, slope = getattr(schedule, name), getattr(schedule, f"d{name}")
        central = (value(t + 1e-5) - value(t - 1e-5)) / 2e-5
        torch.testing.assert_close(slope(t), central, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(schedule.time(schedule.log_snr(t)), t, rtol=1e-9, atol=0)
    torch.testing.assert_close(schedule.alpha(t) ** 2 + schedule.sigma(t) ** 2, torch.ones(4).double())


def test_betas_must_be_shares():
    with pytest.raises(ValueError, match="betas must lie between 0 and 1"):
        Betas((0.1, 1.0))


@pytest.mark.parametrize("kind", NOISES)
def test_noise_is_standard_and_repeats(kind):
    """Mean within 5 and variance within 7 standard errors of 20,000 independent numbers."""
    values = torch.randn(1000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    table = noise_table(kind, values, 10, 5)
    assert table.shape == (10, 1000, 2)
    assert torch.equal(table, noise_table(kind, values, 10, 5))
    later = table[2:]  # the first decimals of a normal number are not uniform
    assert abs(float(later.mean())) < 5 / 16_000**0.5
    assert abs(float(later.var()) - 1) < 10 / 16_000**0.5


def test_only_digits_depend_on_the_values():
    one, two = torch.rand(2, 50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for kind in NOISES:
        same = torch.equal(noise_table(kind, one, 5, 0), noise_table(kind, two, 5, 0))
        assert same == (kind != "digits")


def test_grid_fills_a_cube():
    points = grid(49, 2)
    assert points.shape == (49, 2)
    assert points.aminmax(dim=0).min.tolist() == [-7, -7]
    assert len(grid(50, 3).unique(dim=0)) == 50


def test_cosine_ends_within_its_margin():
    walk = chain("cosine", 100)
    assert float(walk.times[-1]) == 1 - Gaussian().margin
    assert float(walk.alpha[0]) == 1


def test_the_librarys_source_noises_as_the_study_does():
    """Entry k of the table of digits is what training with `Digits` takes at the time k / T."""
    values = torch.randn(30, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    table = noise_table("digits", values, 25, seed=0)
    for k in (1, 7, 25):
        drawn = Digits(places=25).draw(
            Graphs(values), 2, Streams(0, [0]), values, torch.tensor(k / 25, dtype=torch.float64)
        )
        assert torch.equal(drawn.float(), table[k - 1])
