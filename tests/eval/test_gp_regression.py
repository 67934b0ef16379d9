"""Gaussian-process regression against multivariate normal distributions."""

import math

import pytest
import torch

from noisefold.eval import GPRegression
from noisefold.geometry import Graphs, Matern, Nugget, SquaredExponential, Stationary
from noisefold.noise import Gaussian, Streams
from noisefold.theory import GaussianProcess

TRUTH = Stationary(SquaredExponential(0.3), 4.0) + Nugget(0.04)


def fields(graphs: int = 12, nodes: int = 40, seed: int = 0) -> Graphs:
    pos = torch.linspace(-1, 1, nodes, dtype=torch.float64)[:, None]
    bare = Graphs.dense(pos.expand(graphs, nodes, 1))
    x = GaussianProcess(TRUTH, mean=5.0).on(bare, Gaussian()).sample(1, Streams(seed, range(graphs)))
    return bare.replace(x=x)


def covariance(fitted, pos: torch.Tensor) -> torch.Tensor:
    """The covariance of the chosen settings, by the kernels of the library."""
    column = fitted.columns[0]
    smooth = Stationary(column.correlation, column.variance * (1 - column.share))
    return (smooth + Nugget(column.variance * column.share)).matrix(pos / column.length)


@pytest.fixture(scope="module")
def fitted():
    return GPRegression().fit(fields())


def test_the_process_of_the_data_is_found(fitted):
    """The fit loses little of the truth's log-density on other data: its grid is no coarser than that."""
    test = fields(seed=1)
    normal = torch.distributions.MultivariateNormal(
        torch.full((40,), 5.0).double(), TRUTH.matrix(test.pos[:40])
    )
    truth = normal.log_prob(test.x.view(12, 40))
    assert isinstance(fitted.columns[0].correlation, SquaredExponential)
    assert float((truth - fitted.log_prob(test)).mean()) / 40 < 0.03


def test_log_density(fitted):
    test = fields(2)
    normal = torch.distributions.MultivariateNormal(fitted.mean.expand(40), covariance(fitted, test.pos[:40]))
    # Features are kept in float32.
    torch.testing.assert_close(
        fitted.log_prob(test), normal.log_prob(test.x.float().double().view(2, 40)), rtol=1e-9, atol=1e-7
    )


def test_log_density_given_others_is_a_difference(fitted):
    test = fields(1)
    known = torch.arange(40) % 3 == 0
    context = Graphs(test.pos[known], test.x[known])
    whole, part = fitted.log_prob(test), fitted.log_prob(context)
    torch.testing.assert_close(fitted.log_prob(test, known), whole - part, rtol=1e-10, atol=1e-8)


def test_draws_have_the_conditional_distribution(fitted):
    """Mean and covariance of 4,000 draws, within five standard errors."""
    test = fields(1, nodes=12)
    known = torch.tensor([True, False, False, True] * 3)
    matrix = covariance(fitted, test.pos)
    gain = torch.linalg.solve(matrix[known][:, known], matrix[known][:, ~known]).mT
    mean = fitted.mean + (test.x[known] - fitted.mean).mT @ gain.mT
    rest = matrix[~known][:, ~known] - gain @ matrix[known][:, ~known]
    draws = fitted.draw(test, known, 4000)[..., 0].double()
    assert torch.equal(draws[:, known], test.x[known, 0].float().double().expand(4000, -1))
    found = draws[:, ~known]
    error = (rest.diagonal() / 4000).sqrt()
    assert float(((found.mean(0) - mean[0]).abs() / error).max()) < 5
    spread = (rest.diagonal()[:, None] * rest.diagonal() + rest.square()).div(4000).sqrt()
    assert float(((found.T.cov() - rest).abs() / spread).max()) < 5


def test_nothing_known_and_everything_known(fitted):
    test = fields(1, nodes=12)
    nothing, everything = torch.zeros(12, dtype=torch.bool), torch.ones(12, dtype=torch.bool)
    assert fitted.draw(test, nothing, 3).isfinite().all()
    assert torch.equal(fitted.draw(test, everything, 3)[0], test.x.float())
    assert float(fitted.log_prob(test, everything)) == pytest.approx(0, abs=1e-9)


def test_a_constant_feature_is_drawn_as_it_is():
    graphs = fields(3).replace(x=torch.full((120, 1), 2.0))
    fitted = GPRegression((Matern(1.0, 2.5),)).fit(graphs)
    assert torch.equal(fitted.draw(graphs, torch.arange(120) < 5, 2), torch.full((2, 120, 1), 2.0))
    assert not math.isnan(float(fitted.log_prob(graphs).sum()))


def test_other_features_are_refused(fitted):
    graphs = fields(1)
    with pytest.raises(ValueError, match="features"):
        fitted.log_prob(graphs.replace(x=graphs.x.expand(-1, 2)))
