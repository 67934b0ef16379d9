"""One battery for every schedule: a new one gets it by being exported, other settings by joining VARIANTS."""

import math

import pytest
import torch

from noisefold import noise
from noisefold.noise import VE, VP, Cosine, Linear, Localization, Schedule, signal_level
from noisefold.testing import assert_roundtrip, assert_schedule

EXPORTED = [value() for value in vars(noise).values() if Schedule in getattr(value, "__mro__", ())[1:]]
VARIANTS = [VP(0.0, 12.0), VP(4.0, 4.0), VP(0.1, 60.0), Cosine(0.008), VE(0.1, 5.0)]
SCHEDULES = EXPORTED + VARIANTS
EVERY = pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
INSIDE = torch.linspace(1e-3, 1 - 1e-3, 301, dtype=torch.float64)


def test_every_exported_schedule_is_here():
    assert {type(s).__name__ for s in EXPORTED} == {"Linear", "VP", "Cosine", "VE", "Localization"}


@EVERY
def test_holds_what_every_schedule_must(schedule):
    """A few roundings on values of at most sigma' = 427 (VE); 1e-12 is some thousand near log-SNR 0."""
    assert_schedule(schedule, tolerance=1e-12)


@EVERY
def test_comes_back_from_its_configuration(schedule):
    assert_roundtrip(schedule)


@EVERY
def test_data_fade_and_noise_grows(schedule):
    t = torch.linspace(0, 1, 501, dtype=torch.float64)
    assert bool((schedule.alpha(t).diff() <= 0).all())
    assert bool((schedule.sigma(t).diff() > 0).all())


ENDS = [
    (Linear(), (1.0, 0.0), (0.0, 1.0)),
    (Localization(), (1.0, 0.0), (0.0, 1.0)),
    (Cosine(), (1.0, 0.0), (0.0, 1.0)),
    (
        Cosine(0.008),
        (math.cos(math.pi / 2 * 0.008 / 1.008), math.sin(math.pi / 2 * 0.008 / 1.008)),
        (0.0, 1.0),
    ),
    # B(1) is the mean of the betas.
    (VP(), (1.0, 0.0), (math.exp(-5.025), math.sqrt(1 - math.exp(-10.05)))),
    (VE(), (1.0, 0.01), (1.0, 50.0)),
]


@pytest.mark.parametrize(("schedule", "clean", "noisy"), ENDS, ids=lambda v: repr(v))
def test_ends(schedule, clean, noisy):
    for t, truth in ((0.0, clean), (1.0, noisy)):
        at = torch.tensor(t, dtype=torch.float64)
        got = (float(schedule.alpha(at)), float(schedule.sigma(at)))
        assert got == pytest.approx(truth, rel=1e-14, abs=1e-300)


@pytest.mark.parametrize("schedule", [VP(), VP(4.0, 4.0), Cosine(), Cosine(0.008), Localization()], ids=repr)
def test_preserves_variance(schedule):
    total = schedule.alpha(INSIDE) ** 2 + schedule.sigma(INSIDE) ** 2
    torch.testing.assert_close(total, torch.ones_like(total), rtol=1e-14, atol=0)


def test_vp_alpha_solves_its_equation():
    """dx = -beta x / 2 dt: the mean of the variance-preserving SDE, by quadrature of beta."""
    schedule = VP(0.1, 20.0)
    t = torch.linspace(0, 1, 20001, dtype=torch.float64)
    beta = 0.1 + 19.9 * t
    integral = torch.cumulative_trapezoid(beta, t)  # exact for a straight line
    torch.testing.assert_close(schedule.alpha(t[1:]), torch.exp(-integral / 2), rtol=1e-10, atol=0)


@EVERY
def test_signal_level_is_alpha_over_alpha_plus_sigma(schedule):
    alpha, sigma = schedule.alpha(INSIDE), schedule.sigma(INSIDE)
    level = signal_level(schedule.log_snr(INSIDE))
    torch.testing.assert_close(level, alpha / (alpha + sigma), rtol=1e-12, atol=0)
    assert bool(((level > 0) & (level < 1)).all())


@pytest.mark.parametrize("schedule", [Linear(), Localization()], ids=repr)
def test_signal_level_is_one_minus_t(schedule):
    torch.testing.assert_close(signal_level(schedule.log_snr(INSIDE)), 1 - INSIDE, rtol=1e-13, atol=0)


def test_localization_time_is_the_signal_to_noise_ratio():
    schedule = Localization()
    s = schedule.localization_time(INSIDE)
    torch.testing.assert_close(s, schedule.log_snr(INSIDE).exp(), rtol=1e-13, atol=0)
    # Y_s = s x_0 + B_s over sqrt(s (1 + s)).
    scale = torch.sqrt(s * (1 + s))
    torch.testing.assert_close(schedule.alpha(INSIDE), s / scale, rtol=1e-13, atol=0)
    torch.testing.assert_close(schedule.sigma(INSIDE), s.sqrt() / scale, rtol=1e-13, atol=0)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: VP(-1.0, 2.0), "beta_min"),
        (lambda: VP(3.0, 2.0), "got 3.0 and 2.0"),
        (lambda: VP(0.0, 0.0), "beta_max"),
        (lambda: Cosine(1.0), "offset"),
        (lambda: Cosine(-0.1), "got -0.1"),
        (lambda: VE(0.0, 1.0), "sigma_min"),
        (lambda: VE(2.0, 1.0), "got 2.0 and 1.0"),
    ],
)
def test_refuses_what_is_no_schedule(make, says):
    with pytest.raises(ValueError, match=says):
        make()
