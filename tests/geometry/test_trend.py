"""Mean functions: fitted exactly, undone exactly, and the limit of a model's noise."""

import math

import pytest
import torch
from torch import nn

from noisefold.geometry import DataSummary, Graphs, Nugget, SquaredExponential, Stationary, Trend
from noisefold.model import Model
from noisefold.noise import VP, Gaussian, GPNoise


def quadratic(pos):
    a, b = pos.unbind(1)
    return torch.stack([1 + 2 * a - b + 0.5 * a * b, 3 * b.square() - a], 1)


@pytest.fixture
def graphs():
    generator = torch.Generator().manual_seed(0)
    pos = 5 + torch.rand(40, 2, generator=generator, dtype=torch.float64)
    return Graphs.dense(pos.view(4, 10, 2), quadratic(pos).view(4, 10, 2))


def test_polynomials_are_fitted_and_undone_exactly(graphs):
    trend = Trend.fit(graphs, degree=2)
    assert trend.apply(graphs).x.abs().max() < 1e-10
    assert (trend.undo(trend.apply(graphs)).x - graphs.x).abs().max() < 1e-10
    elsewhere = 4 + 3 * torch.rand(7, 2, dtype=torch.float64)
    assert (trend.mean(elsewhere) - quadratic(elsewhere)).abs().max() < 1e-8
    assert Trend.fit(graphs, degree=1).apply(graphs).x.abs().max() > 0.1


def test_missing_values_do_not_count(graphs):
    x = graphs.x.clone()
    x[:5, 0], x[20:, 1] = math.nan, math.nan
    found = Trend.fit(graphs.replace(x=x), degree=2)
    assert (found.mean(graphs.pos) - graphs.x).abs().max() < 1e-8


def test_what_does_not_fit_is_refused(graphs):
    with pytest.raises(ValueError, match="degree"):
        Trend.fit(graphs, degree=4)
    with pytest.raises(ValueError, match="features"):
        Trend.fit(graphs.replace(x=None))
    with pytest.raises(ValueError, match="feature 1"):
        Trend.fit(graphs.replace(x=graphs.x * torch.tensor([1.0, math.nan])))
    with pytest.raises(ValueError, match="2-D"):
        Trend.fit(graphs).apply(graphs.replace(pos=graphs.pos[:, :1]))
    with pytest.raises(ValueError, match="coefficients"):
        Trend(((1.0,),), (0.0,), degree=1)


class Zero(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, graphs, log_snr, label=None):
        return self.weight * graphs.x


def test_it_is_the_mean_of_the_limit_of_a_models_noise():
    # Of a network of zeros the residual target makes the model the limit of its noise, N(m, s^2 K).
    generator = torch.Generator().manual_seed(1)
    pos = torch.linspace(-2, 2, 6, dtype=torch.float64)[:, None]
    data = Graphs.dense(pos.expand(200, -1, -1).float(), torch.randn(200, 6, 1, generator=generator))
    data = data.replace(x=0.5 * data.x + 4 - 3 * data.pos)
    kernel = Stationary(SquaredExponential(0.5), 0.9) + Nugget(0.1)
    path = Gaussian(VP(), GPNoise(kernel))
    trend = Trend.fit(data)
    model = Model(Zero(), path, variable="x", transform=trend, summary=DataSummary.fit(data, trend))
    mean = (4 - 3 * pos)[:, 0]
    scaling = model.summary.scaling
    covariance = scaling.x_scale[0] ** 2 * path.source.covariance(pos / scaling.pos_scale)
    exact = torch.distributions.MultivariateNormal(model.transform.mean(pos)[:, 0], covariance)
    found = model.log_prob(data[:3]).value
    wanted = exact.log_prob(data[:3].x.view(3, 6).double())
    assert (found - wanted).abs().max() < 1e-3 * 6
    made = model.sample(1000, like=data[:1], steps=4, seed=0).x.view(1000, 6).double()
    assert (made.mean(0) - mean).abs().max() < 4 * float(covariance[0, 0].sqrt()) / math.sqrt(1000) + 0.05
    assert (made.T.cov() - covariance).norm() / covariance.norm() < 0.1
