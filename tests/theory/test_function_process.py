"""The process over functions: its forward marginal, its reverse, and its equivariance, with exact fields."""

from dataclasses import replace

import pytest
import torch

from noisefold.geometry import CurlFree, DivergenceFree, Graphs, IndependentOutputs
from noisefold.noise import VP, Gaussian, GPNoise, Nugget, Streams, White
from noisefold.noise.source import Drawn
from noisefold.noise.variable import Features, Known
from noisefold.sample import DDIM, Ancestral, GaussianTask, LangevinCorrection, Uniform
from noisefold.theory import GaussianProcess, propagated_moments, rate

WHITE = IndependentOutputs(Nugget(0.1), 2)
DATA = CurlFree(0.7) + IndependentOutputs(Nugget(0.02), 2)
LIMIT = GPNoise(0.9 * DivergenceFree(0.5) + WHITE)
VPS = VP(1e-4, 15.0)


def scalar(t):
    return torch.tensor(t, dtype=torch.float64)


def plane(n=5, seed=0):
    pos = torch.randn(n, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Graphs(pos, x=torch.zeros(n, 2).double())


def test_the_forward_marginal_solves_the_moment_equations():
    """m' = -beta m / 2 and S' = -beta (S - K), by the classical Runge-Kutta method, 400 steps."""
    frame, mean0 = plane(), 0.7
    path = Gaussian(VPS, LIMIT)
    k, c = LIMIT.covariance(frame.pos), DATA.matrix(frame.pos)

    def beta(t):
        return VPS.beta_min + (VPS.beta_max - VPS.beta_min) * t

    def slope(t, m, s):
        return -beta(t) * m / 2, -beta(t) * (s - k)

    m, s, steps = torch.full((10,), mean0, dtype=torch.float64), c, 400
    h = 0.6 / steps
    for i in range(steps):
        t = i * h
        k1 = slope(t, m, s)
        k2 = slope(t + h / 2, m + h / 2 * k1[0], s + h / 2 * k1[1])
        k3 = slope(t + h / 2, m + h / 2 * k2[0], s + h / 2 * k2[1])
        k4 = slope(t + h, m + h * k3[0], s + h * k3[1])
        m = m + h / 6 * (k1[0] + 2 * k2[0] + 2 * k3[0] + k4[0])
        s = s + h / 6 * (k1[1] + 2 * k2[1] + 2 * k3[1] + k4[1])
    t = scalar(0.6)
    alpha, sigma = path.schedule.alpha(t), path.schedule.sigma(t)
    assert float((alpha * mean0 - m).abs().max()) < 1e-8
    assert float((alpha**2 * c + sigma**2 * k - s).abs().max()) < 1e-8
    # The density of the exact field is of these moments.
    field = GaussianProcess(DATA, mean0).on(frame, path)
    x = field.sample(2, Streams(0, [0]), t)
    expected = torch.distributions.MultivariateNormal(m, s).log_prob(x.flatten())
    torch.testing.assert_close(field.log_prob(x, t)[0], expected, rtol=0, atol=1e-5)


def test_draws_of_the_forward_marginal():
    """50,000 draws under curl-free noise: mean within 0.03, covariance within 4 % in Frobenius' norm."""
    frame, t = plane(), scalar(0.4)
    source = GPNoise(0.9 * CurlFree(0.5) + WHITE)
    path = Gaussian(VPS, source)
    lower = source.factor(frame.pos)
    field = GaussianProcess(DATA, 0.7).on(frame[[0] * 3], path)
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(2, 50000, 10, generator=generator, dtype=torch.float64)
    x0 = 0.7 + z[0] @ torch.linalg.cholesky(field.covariance).T
    x = path.mix(x0, z[1] @ lower.T, t)
    alpha, sigma = path.schedule.alpha(t), path.schedule.sigma(t)
    exact = alpha**2 * DATA.matrix(frame.pos) + sigma**2 * source.kernel.matrix(frame.pos)
    assert float((x.mean(0) - alpha * 0.7).abs().max()) < 0.03
    assert float((torch.cov(x.T) - exact).norm() / exact.norm()) < 0.04
    # The library's own draws are the same function of the same numbers.
    one = frame[[0] * 3]

    class Given(Streams):
        def normal(self, sizes, columns, like):
            return z[1, :3].reshape(-1, columns)

    found = path.corrupt(x0[:3].reshape(-1, 2), t, one, Given(0, range(3)))
    torch.testing.assert_close(found.reshape(3, 10), x[:3], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "source", [pytest.param(White(), marks=pytest.mark.slow), LIMIT], ids=["white", "divergence-free"]
)
def test_the_reverse_chain_returns_to_the_data(source):
    """Covariance error of the ancestral sampler by propagation: halved by twice the steps, 4 % at 200."""
    path = Gaussian(VPS, source)
    frame = plane(4)
    exact = DATA.matrix(frame.pos)

    def error(steps):
        found = propagated_moments(
            GaussianProcess(DATA, 0.7), frame, path, Uniform()(path, steps), Ancestral(), 2
        )
        return float((found.covariance - exact).norm() / exact.norm())

    few, many = error(100), error(200)
    assert many < 0.04
    assert many == pytest.approx(few / 2, rel=0.15)


def test_euler_steps_of_the_reverse_sde():
    """dY = (-beta Y / 2 - beta K grad log p) dt + beta^(1/2) S dB, by propagation: 1 %, and half of it."""
    frame = plane(4)
    exact, k = DATA.matrix(frame.pos), LIMIT.covariance(frame.pos)

    def error(steps):
        t, h = 1.0, (1 - 1e-4) / steps
        alpha = float(VPS.alpha(scalar(1.0)))
        s = alpha**2 * exact + (1 - alpha**2) * k
        for _ in range(steps):
            at = scalar(t)
            beta = float(rate(VPS, at))
            a, sigma2 = float(VPS.alpha(at)) ** 2, float(VPS.sigma(at)) ** 2
            # K grad log p = -K V^{-1} y.
            pull = torch.linalg.solve(a * exact + sigma2 * k, k).T
            linear = (1 + h * beta / 2) * torch.eye(len(k)).double() - h * beta * pull
            s = linear @ s @ linear.T + h * beta * k
            t -= h
        return float((s - exact).norm() / exact.norm())

    few, many = error(500), error(1000)
    assert few < 0.01
    assert many == pytest.approx(few / 2, rel=0.05)


@pytest.mark.parametrize("data", [DATA, DivergenceFree(0.7) + IndependentOutputs(Nugget(0.02), 2)], ids=repr)
def test_the_posterior_turns_with_its_context(data):
    """sample(g context) = g sample with the same noise, turned: float32 states, within 1e-4."""
    frame, path = plane(8), Gaussian(VPS, GPNoise(0.9 * CurlFree(0.5) + WHITE))
    generator = torch.Generator().manual_seed(1)
    r = torch.linalg.qr(torch.randn(2, 2, generator=generator, dtype=torch.float64))[0]
    r[:, 0] *= -torch.linalg.det(r)  # a reflection
    value = torch.randn(8, 2, generator=generator, dtype=torch.float64)
    mask = (torch.arange(8) < 3)[:, None].expand(8, 2)
    lower = path.source.factor(frame.pos)

    def sample(turn):
        drawn = torch.Generator().manual_seed(2)

        def noise():
            z = torch.randn(16, generator=drawn, dtype=torch.float64)
            return ((lower @ z).reshape(8, 2) @ turn.T).float()

        graphs = Graphs(frame.pos @ turn.T + 3.0, x=frame.x)
        field = GaussianProcess(data).on(graphs, path)
        own = replace(path, source=Drawn(noise, path.source))
        times = Uniform()(path, 10)
        task = GaussianTask(field.denoise, own, times, graphs, Streams(0, [0]), Features())
        known = Known((value @ turn.T).float(), mask)
        task, solver = LangevinCorrection(3)(task, DDIM(), known)
        return solver(task, noise() * float(path.scale(times[0])))

    turned, plain = sample(r), sample(torch.eye(2).double())
    assert float((turned - plain @ r.T.float()).abs().max()) < 1e-4
    assert float(plain.abs().max()) > 0.1
