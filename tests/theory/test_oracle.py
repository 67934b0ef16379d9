"""The oracle against autograd, quadrature and torch.distributions: what everything else is tested with."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from crossed import crossed
from noisefold import noise
from noisefold.noise import VE, Gaussian, Linear, Schedule
from noisefold.theory import GaussianMixture

SCHEDULES = [value() for value in vars(noise).values() if Schedule in getattr(value, "__mro__", ())[1:]]
EVERY = pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
TIMES = (1e-3, 0.05, 0.3, 0.7, 0.95, 1 - 1e-3)

MIXTURE = GaussianMixture(
    weights=(0.2, 0.5, 0.3),
    means=((-2.0, 1.0, 0.0), (1.5, -1.0, 0.5), (0.0, 0.0, 0.0)),
    covariances=(
        ((0.5, 0.2, 0.0), (0.2, 0.4, 0.1), (0.0, 0.1, 0.3)),
        ((0.2, 0.0, 0.0), (0.0, 1.0, -0.3), (0.0, -0.3, 0.4)),
        ((0.05, 0.0, 0.0), (0.0, 0.05, 0.0), (0.0, 0.0, 0.05)),
    ),
)
SINGLE = GaussianMixture.gaussian((1.0, -2.0), ((0.6, 0.3), (0.3, 0.5)))
LINE = GaussianMixture((0.4, 0.6), ((-1.0,), (0.8,)), (((0.1,),), ((0.3,),)))


def name(value: object) -> str:
    names = {MIXTURE: "mixture", SINGLE: "gaussian", LINE: "line"}
    return names[value] if isinstance(value, GaussianMixture) else repr(value)


EVERYWHERE = pytest.mark.parametrize(
    ("t", "schedule", "law"), crossed(TIMES, SCHEDULES, [MIXTURE, SINGLE, LINE]), ids=name
)


def scalar(t: float) -> Tensor:
    return torch.tensor(t, dtype=torch.float64)


def states(law: GaussianMixture, t: Tensor, path: Gaussian, n: int = 16) -> Tensor:
    """Draws of x_t, and three times as far out."""
    x = law.marginal(t, path).sample(n, torch.Generator().manual_seed(0))
    return torch.cat([x, 3 * x])


@EVERYWHERE
def test_score_is_the_gradient_of_the_density(schedule, law, t):
    path, t = Gaussian(schedule), scalar(t)
    x = states(law, t, path).requires_grad_()
    (truth,) = torch.autograd.grad(law.log_prob(x, t, path).sum(), x)
    # Scores reach |x| / sigma^2, some 1e3 far out at the clean end: relative, absolute where they vanish.
    torch.testing.assert_close(law.score(x.detach(), t, path), truth, rtol=1e-10, atol=1e-10)


@EVERYWHERE
def test_denoiser_is_tweedies(schedule, law, t):
    """E[x_0 | x_t] = (x_t + sigma^2 grad log p) / alpha, which the density alone gives."""
    path, t = Gaussian(schedule), scalar(t)
    x = states(law, t, path).requires_grad_()
    (gradient,) = torch.autograd.grad(law.log_prob(x, t, path).sum(), x)
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    x = x.detach()
    # Tweedie cancels where alpha is small: its own error is that of x over alpha, up to 1e4 roundings.
    torch.testing.assert_close(
        law.denoise(x, t, path), (x + sigma**2 * gradient) / alpha, rtol=1e-10, atol=1e-10
    )


@EVERYWHERE
def test_posterior_covariance_is_the_denoisers_slope(schedule, law, t):
    """Cov[x_0 | x_t] = (sigma^2 / alpha) d E[x_0 | x_t] / d x_t."""
    path, t = Gaussian(schedule), scalar(t)
    x = states(law, t, path, 5)
    slope = torch.stack(
        [torch.autograd.functional.jacobian(lambda y: law.denoise(y[None], t, path)[0], row) for row in x]
    )
    truth = schedule.sigma(t) ** 2 / schedule.alpha(t) * slope
    got = law.posterior_covariance(x, t, path)
    torch.testing.assert_close(got, truth, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(got, got.mT, rtol=1e-12, atol=1e-12)


@EVERYWHERE
def test_density_is_that_of_torch(schedule, law, t):
    path, t = Gaussian(schedule), scalar(t)
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    weights, means, covariances = (
        torch.tensor(v, dtype=torch.float64) for v in (law.weights, law.means, law.covariances)
    )
    noisy = alpha**2 * covariances + sigma**2 * torch.eye(law.dim, dtype=torch.float64)
    truth = MixtureSameFamily(Categorical(weights), MultivariateNormal(alpha * means, noisy))
    x = states(law, t, path)
    torch.testing.assert_close(law.log_prob(x, t, path), truth.log_prob(x), rtol=1e-11, atol=1e-11)


@EVERY
@pytest.mark.parametrize("t", [0.05, 0.5, 0.95])
def test_posterior_by_quadrature(schedule, t):
    """Mean and variance of x_0 given x_t from Bayes' rule on a grid: no formula of the oracle's."""
    path, t = Gaussian(schedule), scalar(t)
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    x0 = torch.linspace(-8, 8, 40_001, dtype=torch.float64)[:, None]
    prior = sum(
        w * torch.exp(-((x0 - m[0]) ** 2) / 2 / c[0][0]) / math.sqrt(c[0][0])
        for w, m, c in zip(LINE.weights, LINE.means, LINE.covariances, strict=True)
    )
    x = states(LINE, t, path, 4)
    weight = prior * torch.exp(-((x.T - alpha * x0) ** 2) / 2 / sigma**2)
    weight = weight / weight.sum(0)
    mean = (weight * x0).sum(0)
    variance = (weight * (x0 - mean) ** 2).sum(0)
    # The trapezoid rule on a smooth integrand is exact to rounding once steps (4e-4) are below its widths.
    torch.testing.assert_close(LINE.denoise(x, t, path)[:, 0], mean, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(
        LINE.posterior_covariance(x, t, path)[:, 0, 0], variance, rtol=1e-8, atol=1e-10
    )


@EVERY
def test_estimates_are_a_martingale(schedule):
    """E[x0_hat(x_s) | x_t] = x0_hat(x_t) for s < t: denoising is localization. By quadrature over x_s."""
    path = Gaussian(schedule)
    t, s = scalar(0.7), scalar(0.4)
    ratio = schedule.alpha(t) / schedule.alpha(s)
    added = schedule.sigma(t) ** 2 - ratio**2 * schedule.sigma(s) ** 2
    reach = 12 * float(path.scale(s))
    earlier = torch.linspace(-reach, reach, 20_001, dtype=torch.float64)[:, None]
    estimate = LINE.denoise(earlier, s, path)[:, 0]
    for x in states(LINE, t, path, 4):
        log_weight = LINE.log_prob(earlier, s, path) - (x - ratio * earlier[:, 0]) ** 2 / 2 / added
        weight = torch.softmax(log_weight, 0)
        assert float(weight @ estimate) == pytest.approx(float(LINE.denoise(x[None], t, path)), abs=1e-9)


@EVERY
def test_one_gaussian_is_linear(schedule):
    path, t = Gaussian(schedule), scalar(0.4)
    mean, covariance = (torch.tensor(v[0], dtype=torch.float64) for v in (SINGLE.means, SINGLE.covariances))
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    gain = alpha * covariance @ torch.linalg.inv(alpha**2 * covariance + sigma**2 * torch.eye(2).double())
    x = states(SINGLE, t, path)
    truth = mean + (x - alpha * mean) @ gain.T
    torch.testing.assert_close(SINGLE.denoise(x, t, path), truth, rtol=1e-12, atol=1e-12)
    posterior = covariance - alpha * gain @ covariance
    got = SINGLE.posterior_covariance(x, t, path)
    torch.testing.assert_close(got, posterior.expand_as(got), rtol=1e-10, atol=1e-12)


@EVERY
def test_a_time_for_every_state(schedule):
    path = Gaussian(schedule)
    t = torch.tensor(TIMES, dtype=torch.float64)
    x = torch.randn(len(t), 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for name in ("denoise", "score", "log_prob", "posterior_covariance", "responsibilities"):
        call = getattr(MIXTURE, name)
        for times in (t, t[:, None]):
            for i in range(len(t)):
                torch.testing.assert_close(
                    call(x, times, path)[i], call(x[i : i + 1], t[i], path)[0], rtol=1e-12, atol=0
                )


def test_responsibilities_are_bayes():
    path, t = Gaussian(), scalar(0.3)
    x = states(MIXTURE, t, path)
    share = MIXTURE.responsibilities(x, t, path)
    torch.testing.assert_close(share.sum(1), torch.ones(len(x)).double(), rtol=1e-14, atol=0)
    parts = [
        w * GaussianMixture.gaussian(m, c).log_prob(x, t, path).exp()
        for w, m, c in zip(MIXTURE.weights, MIXTURE.means, MIXTURE.covariances, strict=True)
    ]
    joint = torch.stack(parts, 1)
    torch.testing.assert_close(share, joint / joint.sum(1, keepdim=True), rtol=1e-10, atol=1e-300)
    # At pure noise a state says nothing.
    torch.testing.assert_close(
        MIXTURE.responsibilities(x, scalar(1.0), path),
        torch.tensor(MIXTURE.weights).double().expand(len(x), 3),
    )


def test_far_away_stays_finite():
    """Densities underflow to 0 there; their logarithms and ratios must not."""
    path, t = Gaussian(), scalar(1e-3)
    x = torch.full((1, 3), 1e3, dtype=torch.float64)
    for name in ("denoise", "score", "log_prob", "posterior_covariance", "responsibilities"):
        assert bool(torch.isfinite(getattr(MIXTURE, name)(x, t, path)).all())


@EVERY
@pytest.mark.parametrize("t", [0.0, 0.5, 1.0])
def test_samples_have_the_laws_moments(schedule, t):
    """Mean and covariance within 5 standard errors, of the covariance those of the sample's own products."""
    n = 20_000
    law = MIXTURE.marginal(scalar(t), Gaussian(schedule))
    x = law.sample(n, torch.Generator().manual_seed(3))
    weights, means, covariances = (
        torch.tensor(v, dtype=torch.float64) for v in (law.weights, law.means, law.covariances)
    )
    mean = weights @ means
    apart = means - mean
    covariance = torch.einsum("k,kde->de", weights, covariances) + torch.einsum(
        "k,kd,ke->de", weights, apart, apart
    )
    assert bool(((x.mean(0) - mean).abs() < 5 * (covariance.diag() / n).sqrt()).all())
    products = torch.einsum("nd,ne->nde", x - mean, x - mean)
    assert bool(((products.mean(0) - covariance).abs() < 5 * products.std(0) / n**0.5).all())


def test_samples_repeat_with_the_generator():
    one, two = (MIXTURE.sample(5, torch.Generator().manual_seed(8)) for _ in range(2))
    assert torch.equal(one, two)


def test_a_point_is_its_own_estimate():
    law = GaussianMixture((0.5, 0.5), ((1.0, 2.0), (-3.0, 0.0)), torch.zeros(2, 2, 2))
    x = torch.tensor([[1.1, 1.9], [-2.0, 0.0]], dtype=torch.float64)
    near = law.denoise(x, scalar(0.05), Gaussian())
    torch.testing.assert_close(near, torch.tensor([[1.0, 2.0], [-3.0, 0.0]]).double(), rtol=0, atol=1e-12)


def test_float32_states_give_float32():
    path, t = Gaussian(VE()), scalar(0.5)
    x = states(MIXTURE, t, path)
    for name in ("denoise", "score", "log_prob", "posterior_covariance", "responsibilities"):
        call = getattr(MIXTURE, name)
        assert call(x.float(), t, path).dtype == torch.float32
        torch.testing.assert_close(call(x.float(), t, path), call(x, t, path).float(), rtol=1e-4, atol=1e-5)


def test_bound_is_the_denoiser_of_a_path():
    path, t = Gaussian(), scalar(0.3)
    x = states(MIXTURE, t, path)
    assert torch.equal(MIXTURE.bound(path)(x, t), MIXTURE.denoise(x, t, path))


def test_tensors_and_sequences_are_the_same_law():
    tensors = (
        torch.tensor(v, dtype=torch.float64) for v in (MIXTURE.weights, MIXTURE.means, MIXTURE.covariances)
    )
    again = GaussianMixture(*tensors)
    assert again == MIXTURE
    assert hash(again) == hash(MIXTURE)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (((0.5, 0.6), ((0.0,), (1.0,)), (((1.0,),), ((1.0,),))), "weights must be positive with sum 1"),
        (((0.0, 1.0), ((0.0,), (1.0,)), (((1.0,),), ((1.0,),))), "weights must be positive"),
        (((1.0,), ((0.0,), (1.0,)), (((1.0,),),)), r"weights must be \[k\] and means \[k, d\]"),
        (((1.0,), ((0.0, 1.0),), (((1.0,),),)), r"covariances must be \[1, 2, 2\], got \[1, 1, 1\]"),
        (((1.0,), ((0.0, 1.0),), (((1.0, 0.5), (0.0, 1.0)),)), "symmetric"),
        (((1.0,), ((0.0, 1.0),), (((1.0, 2.0), (2.0, 1.0)),)), "negative eigenvalue, got -1"),
    ],
)
def test_refuses_what_is_no_mixture(arguments, says):
    with pytest.raises(ValueError, match=says):
        GaussianMixture(*arguments)


def test_refuses_states_and_sources_it_does_not_know():
    t = scalar(0.5)
    with pytest.raises(ValueError, match=r"x must be \[n, 3\], got \[4, 2\]"):
        MIXTURE.denoise(torch.zeros(4, 2), t, Gaussian())
    with pytest.raises(ValueError, match=r"t must be a scalar or \[4\], got \[3\]"):
        MIXTURE.denoise(torch.zeros(4, 3), torch.zeros(3), Gaussian())
    with pytest.raises(ValueError, match="source must be White"):
        MIXTURE.denoise(torch.zeros(4, 3), t, Gaussian(Linear(), source=object()))
