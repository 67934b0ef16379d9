"""Four views of one path: exact conversions on an oracle, in which the laws are known in each language."""

import pytest
import torch

from noisefold.noise import VE, VP, Cosine, Gaussian, Linear, Localization
from noisefold.sample import Ancestral, GaussianTask, Langevin
from noisefold.theory import GaussianMixture, Point, alpha_bars, betas, rate, reverse_drift

# All are the same numbers in other letters: rounding, times 1e5 at most where alpha or sigma is 1e-2.
TOLERANCE = 1e-10

LAW = GaussianMixture(
    (0.5, 0.5), ((-4.0, -4.0), (4.0, 4.0)), (((0.3, 0.05), (0.05, 0.1)), ((0.2, 0.0), (0.0, 0.2)))
)
PRESERVING = pytest.mark.parametrize("schedule", [VP(), Cosine(), Localization()], ids=repr)
TIMES = (0.05, 0.3, 0.6, 0.95)


def scalar(t: float) -> torch.Tensor:
    return torch.tensor(t, dtype=torch.float64)


def states(t, path, n=200):
    generator = torch.Generator().manual_seed(0)
    return torch.cat([LAW.marginal(t, path).sample(n, generator), 6 * torch.randn(n, 2, generator=generator)])


def tilted_mean(y, s):
    """E[x* | Y_s = y] from the law of x* tilted by exp(<y, x> - s |x|^2 / 2): no path, no schedule."""
    y = y[:, :, None]
    logs, means = [], []
    for weight, mean, covariance in zip(LAW.weights, LAW.means, LAW.covariances, strict=True):
        mean = torch.tensor(mean, dtype=torch.float64)[:, None]
        precision = torch.tensor(covariance, dtype=torch.float64).inverse()
        posterior = (precision + s * torch.eye(2, dtype=torch.float64)).inverse()
        centre = posterior @ (precision @ mean + y)
        exponent = (centre.mT @ posterior.inverse() @ centre - mean.T @ precision @ mean)[:, 0, 0] / 2
        logs.append(torch.log(torch.tensor(weight)) + exponent + 0.5 * torch.logdet(posterior @ precision))
        means.append(centre[:, :, 0])
    return (torch.softmax(torch.stack(logs), 0)[..., None] * torch.stack(means)).sum(0)


@PRESERVING
@pytest.mark.parametrize("t", TIMES)
def test_every_view_sees_the_same_estimate(schedule, t):
    """Noise, score, Langevin drift and localization drift, each from its own definition, give one x_0."""
    path, t = Gaussian(schedule), scalar(t)
    x = states(t, path)
    alpha_bar = schedule.alpha(t) ** 2
    data = LAW.denoise(x, t, path)
    at = Point(alpha_bar, x, data)

    x.requires_grad_()
    (score,) = torch.autograd.grad(LAW.log_prob(x, t, path).sum(), x)
    x.requires_grad_(False)
    torch.testing.assert_close(at.score, score, rtol=0, atol=TOLERANCE * float(score.abs().max()))
    torch.testing.assert_close(tilted_mean(at.observation, at.time), data, rtol=TOLERANCE, atol=TOLERANCE)

    moved = x + 0.01 * score
    for point in (
        Point.ddpm(alpha_bar, x, -(1 - alpha_bar).sqrt() * score),
        Point.sde(alpha_bar, x, score),
        Point.langevin(alpha_bar, x, moved, 0.01),
        Point.localization(at.time, at.observation, tilted_mean(at.observation, at.time)),
    ):
        for name in ("alpha_bar", "state", "data", "noise", "time", "observation"):
            expected = getattr(at, name)
            # A Langevin step of .01 keeps the score to 1e-16 / .01 of the state.
            torch.testing.assert_close(getattr(point, name), expected, rtol=TOLERANCE, atol=TOLERANCE)
        torch.testing.assert_close(
            point.langevin_mean(0.01), moved, rtol=TOLERANCE, atol=TOLERANCE * float(moved.abs().max())
        )


@PRESERVING
@pytest.mark.parametrize(("t", "s"), [(0.9, 0.8), (0.5, 0.1), (0.2, 0.02)])
def test_a_step_of_the_chain_is_an_euler_step_of_localization(schedule, t, s):
    """The same noise, the library's own ancestral step, and Y + dS E[x* | Y] + sqrt(dS) z."""
    path, t, s = Gaussian(schedule), scalar(t), scalar(s)
    x = states(t, path)
    z = torch.randn(len(x), 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    task = GaussianTask.of(LAW.bound(path), path, torch.stack([t, s]), lambda: z)
    reached, _ = Ancestral().step(task, x, t, s, None)

    here = Point(schedule.alpha(t) ** 2, x, LAW.denoise(x, t, path))
    later = torch.exp(schedule.log_snr(s))
    step = later - here.time
    y = here.observation + step * here.data + step.sqrt() * z
    there = Point.localization(later, y, here.data)
    torch.testing.assert_close(there.state, reached, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("schedule", [Linear(), VP(), Cosine(), Localization()], ids=repr)
def test_betas_and_signal_come_back(schedule):
    t = torch.arange(1, 100, dtype=torch.float64) / 100
    found = alpha_bars(betas(schedule, 100)[:-1])
    torch.testing.assert_close(found, torch.sigmoid(schedule.log_snr(t)), rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(schedule.time(torch.logit(found)), t, rtol=1e-10, atol=1e-12)


def test_betas_of_ddpm():
    """beta_k = .1 / T .. 20 / T in the limit of many steps, and of a chain its own from its signal."""
    # 1 - exp(-beta / T) at the middle of a step is beta / T to the order of its square, 20^2 / T / 2 = .02.
    steps = 10_000
    middle = (torch.arange(steps, dtype=torch.float64) + 0.5) / steps
    torch.testing.assert_close(betas(VP(), steps) * steps, 0.1 + 19.9 * middle, rtol=1.1e-3, atol=0)
    linear = torch.linspace(0.1, 20, 100, dtype=torch.float64) / 100
    torch.testing.assert_close(alpha_bars(linear), torch.cumprod(1 - linear, 0), rtol=1e-12, atol=0)


@PRESERVING
@pytest.mark.parametrize(("t", "s"), [(0.5, 0.49), (0.9, 0.89), (0.05, 0.04)])
def test_chain_posterior_in_ddpms_letters(schedule, t, s):
    """Eqs. 6 and 7 of Ho et al., with the betas of one step, against the path's transition."""
    path, t, s = Gaussian(schedule), scalar(t), scalar(s)
    after, before = schedule.alpha(t) ** 2, schedule.alpha(s) ** 2
    beta = 1 - after / before
    law = path.transition(t, s)
    torch.testing.assert_close(law.data, before.sqrt() * beta / (1 - after), rtol=TOLERANCE, atol=0)
    torch.testing.assert_close(
        law.state, (1 - beta).sqrt() * (1 - before) / (1 - after), rtol=TOLERANCE, atol=0
    )
    torch.testing.assert_close(law.noise**2, (1 - before) / (1 - after) * beta, rtol=TOLERANCE, atol=0)


@PRESERVING
@pytest.mark.parametrize("t", TIMES)
def test_reverse_sde_is_flow_and_langevin(schedule, t):
    """Its drift less the flow's is the mean of a Langevin step with h = beta dt / 2, as its noise says."""
    path, t = Gaussian(schedule), scalar(t)
    x = states(t, path)
    task = GaussianTask.of(LAW.bound(path), path, torch.stack([t, t]), lambda: x)
    at = Point(schedule.alpha(t) ** 2, x, LAW.denoise(x, t, path))
    beta = rate(schedule, t)
    flow = reverse_drift(x, at.score, beta, langevin=0.0)
    scale = float(flow.abs().max())
    torch.testing.assert_close(flow, -task.flow(x, t), rtol=0, atol=TOLERANCE * scale)
    dt = 1e-3
    whole = reverse_drift(x, at.score, beta) * dt
    step = float(beta) * dt / 2
    torch.testing.assert_close(whole - flow * dt, at.langevin_mean(step) - x, rtol=0, atol=TOLERANCE * scale)
    # The library's own Langevin corrector takes the same step.
    corrector = Langevin(Ancestral(), ratio=(step**0.5) / float(schedule.sigma(t)))
    still = GaussianTask.of(task.denoise, path, task.times, lambda: torch.zeros_like(x))
    torch.testing.assert_close(
        corrector.correct(still, x, t), at.langevin_mean(step), rtol=0, atol=TOLERANCE * scale
    )


@PRESERVING
@pytest.mark.parametrize("t", [0.1, 0.5, 0.9])
def test_density_moves_by_the_flow(schedule, t):
    """The continuity equation d log p / dt = -div v - v . grad log p, at every state."""
    path, t = Gaussian(schedule), scalar(t)
    x = states(t, path, 20)

    def velocity(row):
        score = LAW.score(row[None], t, path)
        return -reverse_drift(row[None], score, rate(schedule, t), langevin=0.0)[0]

    divergence = torch.stack([torch.autograd.functional.jacobian(velocity, row).trace() for row in x])
    moment = t.clone().requires_grad_()
    slope = torch.stack(
        [torch.autograd.grad(LAW.log_prob(row[None], moment, path).sum(), moment)[0] for row in x]
    )
    v = torch.stack([velocity(row) for row in x])
    expected = -divergence - (v * LAW.score(x, t, path)).sum(1)
    torch.testing.assert_close(slope, expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))


def test_what_is_no_chain_is_refused():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        betas(VP(), 0)
    with pytest.raises(ValueError, match=r"sigma 0.01 at t = 0; a chain begins clean"):
        betas(VE(), 10)
    with pytest.raises(ValueError, match=r"in \(0, 1\), got 0.1 to 1.2"):
        alpha_bars(torch.tensor([0.1, 1.2]))
