"""The Gaussian path: margins, moments of the forward marginal, and transitions that keep it."""

import pytest
import torch

from noisefold import noise
from noisefold.geometry import Graphs
from noisefold.noise import Gaussian, Linear, Schedule, Streams, Transition

SCHEDULES = [value() for value in vars(noise).values() if Schedule in getattr(value, "__mro__", ())[1:]]
EVERY = pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
ETAS = pytest.mark.parametrize("eta", [0.0, 0.3, 0.7, 1.0])
PAIRS = [(0.999, 0.9), (0.9, 0.35), (0.35, 0.34), (0.02, 0.001), (0.3, 0.0)]


def at(t: float) -> torch.Tensor:
    return torch.tensor(t, dtype=torch.float64)


def factors(path: Gaussian, t: float) -> tuple[torch.Tensor, torch.Tensor]:
    return path.schedule.alpha(at(t)), path.schedule.sigma(at(t))


@pytest.mark.parametrize("margin", [0.0, 0.5, -0.1, 1.0])
def test_margin_must_leave_times(margin):
    with pytest.raises(ValueError, match=f"margin must lie in .*got {margin}"):
        Gaussian(margin=margin)


def test_clip_keeps_times_inside():
    path = Gaussian(margin=0.01)
    assert path.clip(torch.tensor([0.0, 0.005, 0.5, 0.995, 1.0])).tolist() == pytest.approx(
        [0.01, 0.01, 0.5, 0.99, 0.99]
    )


@EVERY
def test_within_the_margin_everything_is_finite(schedule):
    path = Gaussian(schedule)
    t = path.clip(torch.tensor([0.0, 1.0]))  # float32, as in training
    for value in (path.log_snr(t), path.signal(t), path.scale(t), schedule.dalpha(t), schedule.dsigma(t)):
        assert bool(torch.isfinite(value).all())


@EVERY
def test_signal_falls_with_time(schedule):
    path = Gaussian(schedule)
    level = path.signal(torch.linspace(1e-3, 1 - 1e-3, 50, dtype=torch.float64))
    assert bool((level.diff() < 0).all())


@EVERY
@pytest.mark.parametrize("t", [0.05, 0.5, 0.95])
def test_forward_marginal_has_its_moments(schedule, t):
    """x_0 ~ N(m, diag C) gives x_t ~ N(alpha m, alpha^2 C + sigma^2), within 5 standard errors."""
    n = 20_000
    path = Gaussian(schedule)
    mean, spread = torch.tensor([1.0, -2.0]).double(), torch.tensor([0.5, 2.0]).double()
    x0 = mean + spread * torch.randn(n, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    graphs = Graphs.dense(x0.reshape(100, n // 100, 2))
    x = path.mix(x0, path.source.draw(graphs, 2, Streams(2, range(100))), at(t))
    alpha, sigma = factors(path, t)
    variance = (alpha * spread) ** 2 + sigma**2
    assert bool(((x.mean(0) - alpha * mean).abs() < 5 * (variance / n).sqrt()).all())
    assert bool(((x.var(0) - variance).abs() < 5 * variance * (2 / n) ** 0.5).all())
    covariance = torch.cov(x.T)[0, 1]
    assert float(covariance.abs()) < 5 * float((variance.prod() / n).sqrt())


@EVERY
def test_scale_is_the_spread_of_standard_data(schedule):
    path, t = Gaussian(schedule), torch.linspace(0, 1, 11, dtype=torch.float64)
    truth = (schedule.alpha(t).square() + schedule.sigma(t).square()).sqrt()
    torch.testing.assert_close(path.scale(t), truth, rtol=1e-15, atol=0)


def test_mix_takes_a_time_for_every_node():
    x0, eps = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    t = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    mixed = Gaussian().mix(x0, eps, t[:, None])
    for i in range(4):
        torch.testing.assert_close(mixed[i], (1 - t[i]) * x0[i] + t[i] * eps[i], rtol=1e-15, atol=0)


@EVERY
@ETAS
@pytest.mark.parametrize(("t", "s"), PAIRS)
def test_transition_keeps_the_marginal(schedule, eta, t, s):
    """x_0 ~ N(m, C), x_t given x_0 on the path: then a x_0 + b x_t + c z has the moments of x_s."""
    path, mean, variance = Gaussian(schedule), 1.7, 0.6
    (alpha_t, sigma_t), (alpha_s, sigma_s) = factors(path, t), factors(path, s)
    step = path.transition(at(t), at(s), eta)
    moved = (step.data + step.state * alpha_t) * mean
    torch.testing.assert_close(moved, alpha_s * mean, rtol=1e-12, atol=0)
    of_data = (step.data + step.state * alpha_t) ** 2 * variance
    of_noise = (step.state * sigma_t) ** 2 + step.noise**2
    torch.testing.assert_close(of_data + of_noise, alpha_s**2 * variance + sigma_s**2, rtol=1e-12, atol=0)
    torch.testing.assert_close(of_noise, sigma_s**2, rtol=1e-12, atol=1e-300)


@EVERY
@pytest.mark.parametrize(("t", "s"), PAIRS[:-1])
def test_full_noise_is_bayes(schedule, t, s):
    """Prior x_s ~ N(alpha_s x_0, sigma_s^2), likelihood x_t = r x_s + N(0, sigma_t^2 - r^2 sigma_s^2)."""
    path = Gaussian(schedule)
    (alpha_t, sigma_t), (alpha_s, sigma_s) = factors(path, t), factors(path, s)
    ratio = alpha_t / alpha_s
    added = sigma_t**2 - ratio**2 * sigma_s**2
    precision = 1 / sigma_s**2 + ratio**2 / added
    step = path.transition(at(t), at(s))
    # `added` itself loses digits where s is near t: two of sixteen for (.35, .34).
    torch.testing.assert_close(step.data, alpha_s / sigma_s**2 / precision, rtol=1e-11, atol=0)
    torch.testing.assert_close(step.state, ratio / added / precision, rtol=1e-11, atol=0)
    torch.testing.assert_close(step.noise, precision**-0.5, rtol=1e-11, atol=0)


def compose(first: Transition, then: Transition) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return (
        then.data + then.state * first.data,
        then.state * first.state,
        torch.sqrt((then.state * first.noise) ** 2 + then.noise**2),
    )


@EVERY
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_two_transitions_make_one(schedule, eta):
    """Both ends of eta are Markov in (x_t, x_0): by way of a middle time is the same as directly."""
    path = Gaussian(schedule)
    t, r, s = at(0.8), at(0.5), at(0.1)
    two = compose(path.transition(t, r, eta), path.transition(r, s, eta))
    one = path.transition(t, s, eta)
    for got, truth in zip(two, (one.data, one.state, one.noise), strict=True):
        torch.testing.assert_close(got, truth, rtol=1e-11, atol=1e-15)


@ETAS
def test_last_transition_gives_the_data(eta):
    step = Gaussian(Linear()).transition(at(0.2), at(0.0), eta)
    assert (float(step.data), float(step.state), float(step.noise)) == (1.0, 0.0, 0.0)


@EVERY
def test_transition_acts_on_many_times(schedule):
    t = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
    path = Gaussian(schedule)
    many = path.transition(t, t / 2, 0.5)
    for i in range(len(t)):
        one = path.transition(t[i], t[i] / 2, 0.5)
        assert (many.data[i], many.state[i], many.noise[i]) == (one.data, one.state, one.noise)
