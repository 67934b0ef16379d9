"""The oracle of fields against autograd, torch.distributions, plain linear algebra and the solvers."""

import pytest
import torch
from torch.distributions import MultivariateNormal

from crossed import crossed
from noisefold import noise
from noisefold.geometry import Graphs
from noisefold.geometry.correlation import Exponential, Matern, SquaredExponential
from noisefold.noise import VP, Digits, Gaussian, GPNoise, Linear, Nugget, Schedule, Stationary, Streams
from noisefold.noise.variable import Features
from noisefold.sample import DDIM, Ancestral, Euler, GaussianTask, Heun, Langevin, Uniform
from noisefold.theory import GaussianMixture, GaussianProcess

SCHEDULES = [value() for value in vars(noise).values() if Schedule in getattr(value, "__mro__", ())[1:]]
EVERY = pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
KINDS = [
    noise.White(),
    GPNoise(Stationary(SquaredExponential(0.5), 0.95) + Nugget(0.05)),
    GPNoise(Stationary(Exponential(0.7))),
]
SOURCES = pytest.mark.parametrize("source", KINDS, ids=["white", "smooth", "rough"])
TIMES = (0.01, 0.3, 0.7, 0.99)
LAW = GaussianProcess(Stationary(Matern(0.6, 2.5), 0.8) + Nugget(0.1), mean=0.7)
G, N, F = 3, 12, 2


def scalar(t):
    return torch.tensor(t, dtype=torch.float64)


def frames(g=G, n=N, seed=0):
    pos = torch.randn(n, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Graphs.collate([Graphs(pos) for _ in range(g)])


def states(field, t, columns=F):
    """Draws of x_t, doubled to be partly far out."""
    x = field.sample(columns, Streams(0, range(len(field.graphs))), t)
    return torch.cat([x[: len(x) // 2], 2 * x[len(x) // 2 :]])


def marginal(field, path, t):
    """Mean and covariance of one column of x_t, from the kernels alone."""
    pos = field.graphs.unpack()[0]
    alpha, sigma = path.schedule.alpha(t), path.schedule.sigma(t)
    k = torch.eye(len(pos), dtype=torch.float64)
    if isinstance(path.source, GPNoise):
        k = path.source.kernel.matrix(pos)
    return alpha * LAW.mean, alpha**2 * LAW.kernel.matrix(pos) + sigma**2 * k


@pytest.mark.parametrize(("schedule", "source", "t"), crossed(SCHEDULES, KINDS, TIMES), ids=repr)
def test_density_and_score_of_torch(schedule, source, t):
    """Against MultivariateNormal and its gradient: nothing of the oracle's decomposition."""
    path, t = Gaussian(schedule, source), scalar(t)
    field = LAW.on(frames(), path)
    x = states(field, t)
    mean, covariance = marginal(field, path, t)
    truth = MultivariateNormal(torch.full((N,), float(mean), dtype=torch.float64), covariance)
    columns = x.reshape(G, N, F).mT.clone().requires_grad_()
    density = truth.log_prob(columns).sum(1)
    (score,) = torch.autograd.grad(density.sum(), columns)
    score = score.mT.reshape(-1, F)
    # The jitter of 1e-10 stands in ours alone: 1e-10 over the smallest eigenvalue, 1e-4 at the worst.
    torch.testing.assert_close(field.log_prob(x, t), density.detach(), rtol=1e-6, atol=1e-6)
    bound = 1e-6 * float(score.abs().max())
    torch.testing.assert_close(field.score(x, t), score, rtol=0, atol=bound)


@pytest.mark.parametrize(("schedule", "source", "t"), crossed(SCHEDULES, KINDS, TIMES), ids=repr)
def test_score_is_the_gradient_of_the_density(schedule, source, t):
    path, t = Gaussian(schedule, source), scalar(t)
    field = LAW.on(frames(), path)
    x = states(field, t).requires_grad_()
    (truth,) = torch.autograd.grad(field.log_prob(x, t).sum(), x)
    torch.testing.assert_close(
        field.score(x.detach(), t), truth, rtol=1e-10, atol=1e-10 * float(truth.abs().max())
    )


@pytest.mark.parametrize(("schedule", "source", "t"), crossed(SCHEDULES, KINDS, TIMES), ids=repr)
def test_posterior_of_the_data(schedule, source, t):
    """E and Cov of x_0 given x_t by the joint Gaussian's formulas, with a plain solve."""
    path, t = Gaussian(schedule, source), scalar(t)
    field = LAW.on(frames(), path)
    x = states(field, t)
    mean, v = marginal(field, path, t)
    alpha = path.schedule.alpha(t)
    c = LAW.kernel.matrix(field.graphs.unpack()[0])
    gain = alpha * torch.linalg.solve(v, c).T
    rows = x.reshape(G, N, F) - mean
    truth = LAW.mean + gain @ rows
    torch.testing.assert_close(
        field.denoise(x, t), truth.reshape(-1, F), rtol=0, atol=1e-7 * float(truth.abs().max())
    )
    torch.testing.assert_close(
        field.posterior_covariance(t), c - alpha * gain @ c, rtol=0, atol=1e-7 * float(c.max())
    )


@SOURCES
def test_batched_is_looped(source):
    """Graphs at their own times, columns one at a time, float32 outside."""
    path = Gaussian(VP(), source)
    field, one = LAW.on(frames(), path), LAW.on(frames(1), path)
    t = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    x = states(field, t)
    density = torch.zeros(G, dtype=torch.float64)
    for i, (rows, estimate) in enumerate(
        zip(field.graphs.unpack(x), field.graphs.unpack(field.denoise(x, t)), strict=True)
    ):
        for f in range(F):
            column = rows[:, f : f + 1]
            density[i] += one.log_prob(column, t[i])[0]
            # Sums in another order.
            torch.testing.assert_close(estimate[:, f : f + 1], one.denoise(column, t[i]), rtol=0, atol=1e-12)
    torch.testing.assert_close(field.log_prob(x, t), density, rtol=1e-12, atol=0)
    single = field.denoise(x.float(), t.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), field.denoise(x, t), rtol=0, atol=1e-4)


@SOURCES
def test_a_field_is_a_mixture_of_one(source):
    path, t = Gaussian(Linear(), source), scalar(0.4)
    field = LAW.on(frames(1), path)
    pos = field.graphs.pos
    k = source.covariance(pos) if isinstance(source, GPNoise) else None
    mixture = GaussianMixture((1.0,), [[LAW.mean] * N], field.covariance[None], k)
    x = states(field, t)
    torch.testing.assert_close(mixture.denoise(x.T, t, path).T, field.denoise(x, t), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(mixture.score(x.T, t, path).T, field.score(x, t), rtol=1e-11, atol=1e-9)
    torch.testing.assert_close(
        mixture.posterior_covariance(x.T, t, path)[0], field.posterior_covariance(t), rtol=0, atol=1e-12
    )
    assert mixture.marginal(t, path).noise == mixture.noise


@SOURCES
def test_draws_have_the_moments(source):
    """6,000 columns, of the data and of x_t: covariance within 5 standard errors, and mean."""
    draws, path, t = 6000, Gaussian(VP(), source), scalar(0.3)
    field = LAW.on(frames(1, 6), path)
    alpha = path.schedule.alpha(t)
    for x, mean, c in (
        (field.sample(draws, Streams(1, [0])), LAW.mean, field.covariance),
        (field.sample(draws, Streams(2, [0]), t), alpha * LAW.mean, marginal(field, path, t)[1]),
    ):
        error = ((c**2 + c.diagonal()[:, None] * c.diagonal()) / draws).sqrt()
        assert float(((torch.cov(x) - c) / error).abs().max()) < 5
        assert float(((x.mean(1) - mean) / (c.diagonal() / draws).sqrt()).abs().max()) < 5
    together = LAW.on(frames(3, 6), path).sample(2, Streams(4, range(3)), t)
    alone = LAW.on(frames(1, 6), path).sample(2, Streams(4, [2]), t)
    assert torch.equal(together[12:], alone)


@SOURCES
@pytest.mark.parametrize("t", [0.1, 0.6])
def test_conditional_law(source, t):
    """Given some nodes: the textbook's formulas at t = 0, Bayes' rule through the joint law at time t."""
    path, t = Gaussian(Linear(), source), scalar(t)
    field = LAW.on(frames(), path)
    known = torch.arange(N) % 3 == 0
    value = field.sample(F, Streams(0, range(G)))
    given = field.given(value, known)
    c, y = field.covariance, value.reshape(G, N, F)
    o, u = known.nonzero()[:, 0], (~known).nonzero()[:, 0]
    gain = torch.linalg.solve(c[o][:, o], c[o][:, u]).T
    mean = LAW.mean + gain @ (y[:, o] - LAW.mean)
    torch.testing.assert_close(given.mean[:, u], mean, rtol=0, atol=1e-10)
    torch.testing.assert_close(given.covariance[u][:, u], c[u][:, u] - gain @ c[o][:, u], rtol=0, atol=1e-10)
    assert torch.equal(given.mean[:, o], y[:, o])
    assert not given.covariance[o].any()

    # x_0 at unknown nodes given y *and* x_t: first x_t, whose law is linear Gaussian, then y, or all at once.
    x = given.sample(F, Streams(1, range(G)), t)
    alpha, sigma = path.schedule.alpha(t), path.schedule.sigma(t)
    pos = field.graphs.unpack()[0]
    k = source.covariance(pos) if isinstance(source, GPNoise) else torch.eye(N, dtype=torch.float64)
    seen = torch.cat([torch.eye(N, dtype=torch.float64)[o], alpha * torch.eye(N, dtype=torch.float64)])
    noise_part = torch.zeros(len(seen), len(seen), dtype=torch.float64)
    noise_part[len(o) :, len(o) :] = sigma**2 * k
    both = torch.cat([y[:, o], x.reshape(G, N, F)], 1) - LAW.mean * seen.sum(1, keepdim=True)
    pull = torch.linalg.solve(seen @ c @ seen.T + noise_part, seen @ c).T
    truth = LAW.mean + pull @ both
    torch.testing.assert_close(given.denoise(x, t).reshape(G, N, F), truth, rtol=0, atol=1e-8)
    torch.testing.assert_close(given.posterior_covariance(t), c - pull @ seen @ c, rtol=0, atol=1e-8)


LONG = [(Heun(), 60), (Euler(), 200), (DDIM(), 200), (Ancestral(), 200), (Langevin(DDIM(), 2, 0.2), 100)]


@pytest.mark.parametrize(("long", "source"), crossed(LONG, KINDS), ids=repr)
def test_every_solver_ends_at_the_law(long, source):
    """Mean and covariance of 4,000 columns, the noise of each step drawn from the source.

    Bias of first-order solvers with these steps is below 2 %, as with white noise; statistical error of a
    covariance entry 2.2 %: relative Frobenius error below 8 %, where white noise in the steps gives 26.
    """
    (solver, steps), path, columns = long, Gaussian(Linear(), source), 4000
    field = LAW.on(frames(1, 6), path)
    times = Uniform()(path, steps).double()
    task = GaussianTask(field.denoise, path, times, field.graphs, Streams(0, [0]), Features())
    x = solver(task, path.prior(field.graphs, torch.empty(6, columns), times[0], task.random))
    assert float((torch.cov(x) - field.covariance).norm() / field.covariance.norm()) < 0.08
    assert float((x.mean(1) - LAW.mean).abs().max()) < 0.08


def test_refuses_what_it_cannot_know():
    path = Gaussian()
    with pytest.raises(ValueError, match=r"of one size, got sizes \[3, 4\]"):
        LAW.on(Graphs.ragged([torch.zeros(3, 2), torch.zeros(4, 2)]), path)
    with pytest.raises(ValueError, match="all have the same positions"):
        LAW.on(Graphs.ragged([torch.zeros(3, 2), torch.ones(3, 2)]), path)
    with pytest.raises(ValueError, match=r"source must be White.*got Digits"):
        LAW.on(frames(), Gaussian(source=Digits()))
    field = LAW.on(frames(), path)
    with pytest.raises(ValueError, match=r"states must be \[36, f\], got \[12, 2\]"):
        field.denoise(torch.zeros(N, F), scalar(0.5))
    with pytest.raises(ValueError, match=r"t must be a scalar or \[3\], got \[2\]"):
        field.denoise(torch.zeros(G * N, F), torch.zeros(2))
    value, known = torch.zeros(G * N, F), torch.zeros(N, dtype=torch.bool)
    known[0] = True
    with pytest.raises(ValueError, match=r"known must be bool \[12\].*got torch.bool \[36\]"):
        field.given(value, known.repeat(3))
    with pytest.raises(ValueError, match="leave out those known before"):
        field.given(value, known).given(value, known)
    with pytest.raises(ValueError, match=r"states must be \[36, 2\], got \[36, 3\]"):
        field.given(value, known).denoise(torch.zeros(G * N, 3), scalar(0.5))
