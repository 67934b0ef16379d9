"""Targets: what they are, that they convert into each other, and how their errors weigh."""

import itertools

import pytest
import torch

from noisefold import noise
from noisefold.geometry import DivergenceFree, Graphs, IndependentOutputs, Matern, Nugget
from noisefold.noise import TARGETS, WEIGHTS, Gaussian, GPNoise, Known, Schedule, Target

SCHEDULES = [value() for value in vars(noise).values() if Schedule in getattr(value, "__mro__", ())[1:]]
EVERY = pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
EACH = pytest.mark.parametrize("name", TARGETS)
PAIRS = list(itertools.product(TARGETS, TARGETS))
WEIGHED = list(itertools.product(TARGETS, WEIGHTS))
TIMES = torch.tensor([1e-3, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1 - 1e-3], dtype=torch.float64)[:, None]


def draw(seed: int, n: int = len(TIMES), d: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    x0, eps = torch.randn(2, n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x0, eps


@EVERY
@pytest.mark.parametrize(("name", "other"), PAIRS)
def test_converts_exactly(schedule, name, other):
    path, one, two = Gaussian(schedule), Target(name), Target(other)
    x0, eps = draw(0)
    x_t = path.mix(x0, eps, TIMES)
    value = one.value(x0, x_t, TIMES, path)
    there = one.convert(value, two, x_t, TIMES, path)
    back = two.convert(there, one, x_t, TIMES, path)
    # In units of what the values are: at the margins up to 1e-3 of signal in the state, so that some six of
    # sixteen digits may go ("previous" to "data" divides by a step's 1e-3 as well).
    unit_there, unit = two.scale(TIMES, path), one.scale(TIMES, path)
    torch.testing.assert_close(
        there / unit_there, two.value(x0, x_t, TIMES, path) / unit_there, rtol=0, atol=1e-10
    )
    torch.testing.assert_close(back / unit, value / unit, rtol=0, atol=1e-10)


@EVERY
def test_values_are_what_they_are_called(schedule):
    path = Gaussian(schedule)
    x0, eps = draw(1)
    t = TIMES.clone().requires_grad_()
    x_t = path.mix(x0, eps, t)
    noisy = x_t.detach()

    def value(name: str) -> torch.Tensor:
        return Target(name).value(x0, noisy, TIMES, path)

    sigma, alpha = schedule.sigma(TIMES), schedule.alpha(TIMES)
    close = {"rtol": 1e-10, "atol": 1e-10}
    torch.testing.assert_close(value("data"), x0, **close)
    torch.testing.assert_close(value("noise"), eps, **close)
    # Velocity: the path's derivative in time. One backward pass a column keeps the columns apart.
    columns = [torch.autograd.grad(x_t[:, i].sum(), t, retain_graph=True)[0] for i in range(x_t.shape[1])]
    torch.testing.assert_close(value("velocity"), torch.cat(columns, 1), **close)
    # Score: the gradient of log N(x_t; alpha x_0, sigma^2), in units of 1 / sigma.
    state = noisy.clone().requires_grad_()
    density = -0.5 * ((state - alpha * x0) / sigma).square().sum()
    (score,) = torch.autograd.grad(density, state)
    torch.testing.assert_close(value("score") * sigma, score * sigma, **close)


@EVERY
def test_previous_is_the_mean_of_the_chain(schedule):
    path, target = Gaussian(schedule), Target("previous", steps=50)
    x0, eps = draw(2)
    t = TIMES.clamp(min=0.02)
    x_t = path.mix(x0, eps, t)
    step = path.transition(t, t - 1 / 50)
    torch.testing.assert_close(
        target.value(x0, x_t, t, path), step.data * x0 + step.state * x_t, rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("t", [0.0, 1e-3])
def test_previous_stops_at_the_data(t):
    """Within the first step the previous state is the data themselves."""
    path, time = Gaussian(), torch.tensor([[max(t, 1e-3)]], dtype=torch.float64)
    x0, eps = draw(3, 1)
    value = Target("previous", steps=100).value(x0, path.mix(x0, eps, time), time, path)
    torch.testing.assert_close(value, x0, rtol=1e-12, atol=0)


@EVERY
@EACH
def test_scale_is_the_spread_of_the_target(schedule, name):
    """Standard data: the sample's deviation, within 5 standard errors, 1 / sqrt(2 n) each."""
    n = 20_000
    path, target = Gaussian(schedule), Target(name)
    x0, eps = draw(4, n, 1)
    for t in TIMES:
        value = target.value(x0, path.mix(x0, eps, t), t, path)
        assert float(value.std() / target.scale(t, path)) == pytest.approx(1, abs=5 / (2 * n) ** 0.5)


@EVERY
@EACH
@pytest.mark.parametrize("residual", [True, False])
def test_an_answer_stands_for_a_target_and_for_data_that_agree(schedule, name, residual):
    path, target = Gaussian(schedule), Target(name, residual=residual)
    x0, eps = draw(8)
    x_t = path.mix(x0, eps, TIMES)
    value, data = target.read(draw(9)[0], x_t, TIMES, path)
    # As in the conversion above: six of sixteen digits may go at the margins.
    unit = target.scale(TIMES, path)
    torch.testing.assert_close(target.value(data, x_t, TIMES, path) / unit, value / unit, rtol=0, atol=1e-10)


@EVERY
@EACH
def test_residual_answers_of_standard_data_are_zero_on_average_and_of_unit_spread(schedule, name):
    """Zero stands for the mean of normal data given the state; what is left of the data has unit spread."""
    path, target = Gaussian(schedule), Target(name)
    x0, eps = draw(10)
    x_t = path.mix(x0, eps, TIMES)
    alpha, sigma = schedule.alpha(TIMES), schedule.sigma(TIMES)
    precision = 1 + (alpha / sigma) ** 2
    mean, spread = (alpha / sigma**2) * x_t / precision, precision**-0.5
    torch.testing.assert_close(target.read(torch.zeros_like(x0), x_t, TIMES, path)[1], mean)
    torch.testing.assert_close(target.read(torch.ones_like(x0), x_t, TIMES, path)[1], mean + spread)


@EVERY
@EACH
def test_plain_answers_are_the_target_at_unit_scale(schedule, name):
    path, target = Gaussian(schedule), Target(name, residual=False)
    x0, eps = draw(11)
    x_t = path.mix(x0, eps, TIMES)
    answer = target.value(x0, x_t, TIMES, path) / target.scale(TIMES, path)
    torch.testing.assert_close(target.read(answer, x_t, TIMES, path)[1], x0, rtol=0, atol=1e-9)


@EVERY
@pytest.mark.parametrize(("name", "weight"), WEIGHED)
def test_weight_turns_one_error_into_the_others(schedule, name, weight):
    """weight * |own error|^2 is the squared error of the target that the weight names, for any prediction."""
    path, target = Gaussian(schedule), Target(name, weight)
    x0, eps = draw(5)
    guess, _ = draw(6)
    x_t = path.mix(x0, eps, TIMES)

    def error(of: str) -> torch.Tensor:
        kind = Target(of)
        return kind.value(guess, x_t, TIMES, path) - kind.value(x0, x_t, TIMES, path)

    if weight == "min-snr":
        truth = (schedule.alpha(TIMES) / schedule.sigma(TIMES)).square().clamp(max=5) * error("data").square()
    else:
        truth = error(name if weight == "uniform" else weight).square()
    got = target.loss_weight(TIMES, path) * error(name).square()
    # `error` subtracts nearly equal values where the data's factor is small: relative to the target's scale.
    torch.testing.assert_close(got, truth, rtol=1e-8, atol=0)


@EACH
def test_a_time_for_every_node_or_one_for_all(name):
    path, target = Gaussian(), Target(name)
    x0, eps = draw(7)
    t = torch.tensor(0.4, dtype=torch.float64)
    x_t = path.mix(x0, eps, t)
    many = target.value(x0, x_t, t.expand(len(x0), 1), path)
    assert torch.equal(target.value(x0, x_t, t, path), many)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"name": "speed"}, "target.*'speed'.*data"),
        ({"weight": "snr"}, "weight.*'snr'"),
        ({"steps": 1}, "steps must be at least 2, got 1"),
    ],
)
def test_refuses_unknown_names(arguments, says):
    with pytest.raises(ValueError, match=says):
        Target(**arguments)


@pytest.mark.parametrize("observed", [False, True])
@pytest.mark.parametrize("name", ["velocity", "noise"])
def test_errors_in_the_metric_of_the_noise(name, observed):
    """e^T K^{-1} e / (n d) of the unobserved entries under correlated noise; white noise changes no bit."""
    generator = torch.Generator().manual_seed(0)
    pos = [torch.randn(n, 2, generator=generator, dtype=torch.float64) for n in (5, 8)]
    graphs = Graphs.ragged(pos)
    clean, state, answer = (torch.randn(13, 2, generator=generator, dtype=torch.float64) for _ in range(3))
    mask = torch.rand(13, 2, generator=generator) < 0.5
    known = Known(clean, mask) if observed else None
    t = torch.tensor([0.3, 0.8], dtype=torch.float64)
    plain, target = (Target(name, "noise", whitened=w) for w in (False, True))
    white = [a.loss(answer, clean, state, t, Gaussian(), graphs, known) for a in (plain, target)]
    assert torch.equal(*white)
    kernel = 0.9 * DivergenceFree(0.5) + IndependentOutputs(Nugget(0.1), 2)
    for source in (GPNoise(kernel), GPNoise(Matern(0.7))):
        path = Gaussian(source=source)
        found = target.loss(answer, clean, state, t, path, graphs, known)
        error = target.read(answer, state, t[graphs.batch, None], path)[0]
        error = error - target.value(clean, state, t[graphs.batch, None], path)
        for i, (e, m) in enumerate(zip(graphs.unpack(error), graphs.unpack(mask), strict=True)):
            k = source.covariance(pos[i])
            k = k if len(k) == e.numel() else torch.kron(k, torch.eye(2).double())
            u = ~m.flatten() if observed else torch.ones(e.numel()).bool()
            e = e.flatten()[u]
            size = e @ torch.linalg.solve(k[u][:, u], e) / m.numel()
            expected = size * target.loss_weight(t, path)[i]
            torch.testing.assert_close(found[i], expected)
