"""Stochastic localization of known laws: a martingale that contracts."""

import pytest
import torch
from scipy.stats import chi2

from noisefold.theory import GaussianMixture, believe, martingale, observe

PAIR = GaussianMixture(
    (0.3, 0.7), ((-1.0, -1.0), (1.0, 0.5)), (((0.3, 0.05), (0.05, 0.1)), ((0.2, 0.0), (0.0, 0.2)))
)
SINGLE = GaussianMixture.gaussian((1.0, -2.0), ((0.6, 0.3), (0.3, 0.5)))


def generator(seed):
    return torch.Generator().manual_seed(seed)


def test_the_belief_is_a_martingale_that_contracts():
    """Of 82 deviations, at times far enough apart not to repeat each other, none beyond 4.5.

    Unit normals pass 4.5 with a chance of 6e-4 in 82, and 3 with 5 % in the 18 of the mean.
    """
    times = torch.logspace(-2, 2, 161, dtype=torch.float64)
    found = martingale(PAIR, times, 4000, generator(0))
    apart = slice(None, None, 20)
    for name, bound in (("mean", 3.0), ("past", 4.5), ("decay", 4.5)):
        value = getattr(found, name)[apart]
        assert value.numel() in (18, 32)
        assert float(value.abs().max()) < bound, name
        assert 0.1 < float(value.square().mean()) < 3, name
    # E Cov falls in the sense of matrices, from the data's to a point.
    falls = -torch.linalg.eigvalsh(found.covariance[apart].diff(dim=0))
    assert float(falls.min()) > 0
    assert float(torch.linalg.eigvalsh(found.covariance[-1]).max()) < 1 / float(times[-1])


def test_the_test_can_fail():
    """Beliefs about another law drift, know their past and decay wrongly."""
    wrong = GaussianMixture((0.5, 0.5), PAIR.means, PAIR.covariances)
    times = torch.logspace(-1, 1, 21, dtype=torch.float64)
    y = observe(PAIR.sample(4000, generator(0)), times, generator(1))
    means = torch.stack([believe(wrong, now, s)[0] for now, s in zip(y, times, strict=True)])
    deviation = (means[-1] - means[0]).mean(0) / ((means[-1] - means[0]).std(0) / 4000**0.5)
    assert float(deviation.abs().min()) > 10


def test_observations_are_brownian():
    """Y_s - s x*: independent increments with the variance of their length; chi-squared, tail 1e-4."""
    times = torch.tensor([0.1, 0.5, 0.6, 4.0])
    data = torch.ones(3000, 2, dtype=torch.float64)
    noise = observe(data, times, generator(3)) - times[:, None, None] * data
    steps = torch.diff(times.double(), prepend=torch.zeros(1, dtype=torch.float64))
    increments = torch.diff(noise, dim=0, prepend=torch.zeros(1, 3000, 2)) / steps.sqrt()[:, None, None]
    for row in increments:
        squares = float(row.square().sum())
        assert chi2.ppf(1e-4, 6000) < squares < chi2.ppf(1 - 1e-4, 6000)
    products = (increments[1:] * increments[:-1]).mean((1, 2)) * 6000**0.5
    assert float(products.abs().max()) < 4


def test_belief_of_one_gaussian():
    """(C^-1 + s)^-1 and (C^-1 + s)^-1 (C^-1 m + y), at every scale of s; and dCov/ds = -Cov^2."""
    mean = torch.tensor(SINGLE.means[0], dtype=torch.float64)
    precision = torch.tensor(SINGLE.covariances[0], dtype=torch.float64).inverse()
    y = torch.randn(7, 2, generator=generator(5), dtype=torch.float64) * 3
    for s in (1e-4, 0.1, 1.0, 30.0, 1e4):
        truth = (precision + s * torch.eye(2, dtype=torch.float64)).inverse()
        got, covariance = believe(SINGLE, y, s)
        torch.testing.assert_close(got, (precision @ mean + y) @ truth, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(covariance, truth.expand(7, 2, 2), rtol=1e-10, atol=1e-14)
    low, high = (believe(SINGLE, y[:1], s)[1] for s in (1 - 1e-4, 1 + 1e-4))
    middle = believe(SINGLE, y[:1], 1.0)[1]
    # Central differences over 2e-4: an error of 1e-8.
    torch.testing.assert_close((high - low) / 2e-4, -middle @ middle, rtol=1e-6, atol=0)


def test_what_cannot_be_tested_is_refused():
    with pytest.raises(ValueError, match="two times and two draws at least, got 1 and 5"):
        martingale(PAIR, torch.ones(1), 5)
    with pytest.raises(ValueError, match="rise from above 0"):
        martingale(PAIR, torch.tensor([1.0, 0.5]), 5)
    with pytest.raises(ValueError, match="rise from above 0"):
        observe(torch.zeros(2, 2), torch.tensor([0.0, 0.5]))
