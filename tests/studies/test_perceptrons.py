"""Networks side by side: each as if it were alone."""

from itertools import product

import pytest
import torch

from noisefold.noise import Target
from noisefold.studies.diffusion.chains import NOISES, SCHEDULES, chain
from noisefold.studies.diffusion.distributions import MIXTURE
from noisefold.studies.diffusion.perceptrons import (
    TARGETS,
    Perceptrons,
    Recipe,
    Trial,
    batches,
    perceptron,
    read_out,
    train,
    update_one,
)

_SMALL = Recipe(points=200, epochs=3, batch=16, hidden=(7, 5))


@pytest.fixture(params=[(), (6,), (7, 5)], ids=str)
def nets(request):
    out = Perceptrons(2, request.param, [0, 1, 1])
    out.flat = out.flat.double()
    return out


def _states(nets, n=9):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(len(nets), nets.dim, n, generator=generator, dtype=torch.float64)


def test_gradient_is_that_of_autograd(nets):
    """Both float64: equal to rounding."""
    x, answer = _states(nets), _states(nets).flip(0)
    x = torch.cat([x, x[:, :1].square()], 1)
    flat = nets.flat.clone().requires_grad_()
    weights, out = nets.views(flat), x
    for i in range(0, len(weights), 2):
        out = torch.baddbmm(weights[i + 1], weights[i], out.relu() if i else out)
    (out - answer).square().mean((1, 2)).sum().backward()
    told = torch.zeros_like(nets.flat)
    nets.gradient(x, answer, told)
    torch.testing.assert_close(told, flat.grad, rtol=1e-10, atol=1e-12)


def test_slopes_are_those_of_autograd(nets):
    x, t = _states(nets), torch.tensor(0.3, dtype=torch.float64)
    answer, slopes = nets.with_slopes(x, t)
    torch.testing.assert_close(answer, nets(x, t))
    for c, i in product(range(len(nets)), range(x.shape[2])):
        one = nets.pick([c])
        truth = torch.autograd.functional.jacobian(
            lambda v, one=one: one(v[None, :, None], t)[0, :, 0], x[c, :, i]
        )
        torch.testing.assert_close(slopes[c, :, :, i], truth)


def test_the_same_seed_begins_with_the_same_weights(nets):
    one, two, three = (nets.pick([i]).flat for i in range(3))
    assert torch.equal(two, three)
    assert not torch.equal(one, two)


@pytest.mark.parametrize("shuffled", [False, True])
def test_all_at_once_is_one_after_the_other(shuffled):
    """36 steps in float32 in another order of sums: weights of size 1 agree to 1e-5."""
    trials = [
        Trial(target, noise, schedule, seed, shuffled)
        for target, noise, schedule, seed in product(("noise", "previous"), NOISES, SCHEDULES, (0, 4))
    ]
    together = train(MIXTURE, trials, _SMALL)
    for i in (0, 7, 13, 23):
        alone = perceptron(2, _SMALL.hidden, trials[i].seed)
        update_one(alone, batches(MIXTURE, [trials[i]], _SMALL), _SMALL)
        one = together.pick([i])
        for told, truth in zip(one.views(one.flat), alone.parameters(), strict=True):
            torch.testing.assert_close(told[0].reshape(truth.shape), truth.detach(), atol=1e-5, rtol=1e-4)


def test_trials_of_a_seed_share_points_and_times():
    trials = [Trial(noise=kind, seed=seed) for kind, seed in product(NOISES, (0, 1))]
    x, _ = batches(MIXTURE, trials, _SMALL)(2)
    assert x.shape == (12, 6, 3, 16)
    times = x[:, :, 2]
    assert torch.equal(times[:, 0], times[:, 2])
    assert torch.equal(times[:, 0], times[:, 4])
    assert not torch.equal(times[:, 0], times[:, 1])
    assert not torch.equal(x[:, 0, :2], x[:, 2, :2])


def test_shuffled_times_are_those_of_the_batch():
    x, y = batches(MIXTURE, [Trial(), Trial(shuffled=True)], _SMALL)(0)
    assert torch.equal(x[:, 0, :2], x[:, 1, :2])
    assert torch.equal(y[:, 0], y[:, 1])
    assert torch.equal(x[:, 0, 2].sort().values, x[:, 1, 2].sort().values)
    assert not torch.equal(x[:, 0, 2], x[:, 1, 2])


@pytest.mark.parametrize(("target", "schedule"), list(product(TARGETS, SCHEDULES)))
def test_a_perfect_answer_is_read_as_the_data(target, schedule):
    """Batches and `read_out` are inverse: float32 answers, divided by as little as 0.1 in these steps."""
    trial, walk = Trial(target=target, schedule=schedule), chain(schedule, 100)
    x0 = MIXTURE.draw(50, torch.Generator().manual_seed(0))
    eps = torch.randn(50, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    at = read_out([trial], Recipe())
    for k in (1, 20, 40):
        t = walk.times[k]
        x = walk.path.mix(x0, eps, t)
        goal = Target(target, steps=100, residual=False)
        answer = goal.value(x0, x, t, walk.path) / goal.scale(t, walk.path)
        p, q = (v.double().squeeze() for v in at(k))
        torch.testing.assert_close(p * answer + q * x, x0, atol=3e-4, rtol=0)


def test_training_lowers_the_loss():
    recipe = Recipe(points=2000, epochs=5)
    trials = [Trial(target=target) for target in TARGETS]
    x, y = batches(MIXTURE, trials, recipe)(9)
    x, y = (v.movedim(0, 2).flatten(2) for v in (x, y))  # [C, rows, updates * batch]

    def losses(nets):
        weights, out = nets.views(nets.flat), x
        for i in range(0, len(weights), 2):
            out = torch.baddbmm(weights[i + 1], weights[i], out.relu() if i else out)
        return (out - y).square().mean((1, 2))

    first = losses(Perceptrons(2, recipe.hidden, [0] * 4))
    assert bool((losses(train(MIXTURE, trials, recipe)) < 0.7 * first).all())
