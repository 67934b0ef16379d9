"""Conditioning under correlated noise, by exact propagation: the posterior, and published schemes."""

import math

import pytest
import torch
from torch import nn

from noisefold.geometry import Chain, CurlFree, Graphs, IndependentOutputs, Matern, SquaredExponential
from noisefold.nn import Denoiser
from noisefold.noise import VP, Gaussian, GPNoise, Nugget, Stationary, Target, White
from noisefold.sample import (
    DDIM,
    Conditioning,
    Heun,
    LangevinCorrection,
    Reconstruction,
    Repaint,
    Replaced,
    Replacement,
    Sampling,
    complete,
)
from noisefold.studies.sampling.correlated import PublishedLangevin
from noisefold.theory import GaussianProcess, propagated_moments

DATA = Stationary(SquaredExponential(0.25)) + Nugget(0.05**2)
NOISES = {
    "white": White(),
    "smooth": GPNoise(0.95 * SquaredExponential(0.25) + Nugget(0.05)),
    "rough": GPNoise(0.95 * Matern(0.4) + Nugget(0.05)),
    "matched": GPNoise(DATA * (1 / DATA.variance)),
}
FEW = 3, 8


def scene(data=DATA, d=1, size=FEW, seed=0):
    """One graph, values at its nodes, and where they are observed."""
    generator = torch.Generator().manual_seed(seed)
    n, o = sum(size), data.outputs
    pos = n ** (1 / d) * 0.16 * torch.rand(n, d, generator=generator, dtype=torch.float64)
    lower = torch.linalg.cholesky(data.matrix(pos))
    values = (lower @ torch.randn(n * o, 1, generator=generator, dtype=torch.float64)).reshape(n, o)
    mask = (torch.arange(n) < size[0])[:, None].expand(n, o)
    return Graphs(pos, x=torch.zeros(n, o).double()), values, mask


def errors(source, method, solver=None, levels=20, data=DATA, d=1, size=FEW, mask=None):
    """Relative and largest error of the posterior mean, and relative error of the covariance."""
    frame, values, usual = scene(data, d, size)
    mask = usual if mask is None else mask
    path = Gaussian(VP(), source, margin=1e-4)
    places = path.time(torch.linspace(-6, 10, levels, dtype=torch.float64))
    times = torch.cat([places, places.new_zeros(1)])
    process = GaussianProcess(data)
    found = propagated_moments(
        process, frame, path, times, solver or DDIM(), data.outputs, (values, mask, method)
    )
    c, o = data.matrix(frame.pos), mask.flatten()
    gain = torch.linalg.solve(c[o][:, o], c[o][:, ~o]).T
    mean, covariance = gain @ values.flatten()[o], c[~o][:, ~o] - gain @ c[o][:, ~o]
    gap = found.mean.flatten()[~o] - mean
    assert torch.equal(found.mean[mask], values[mask])
    spread = found.covariance[~o][:, ~o] - covariance
    return (
        float(gap.norm() / mean.norm()),
        float(gap.abs().max()),
        float(spread.norm() / covariance.norm()),
    )


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name == "rough" else ()) for name in NOISES]
)
def test_corrections_reach_the_posterior(name):
    """Five observed values and 20 unknown, 20 levels of 10 steps: mean within 2 %, covariance within 2 %.

    With the data's own covariance as that of the noise the largest error of the mean is below 0.001.
    """
    relative, largest, covariance = errors(NOISES[name], LangevinCorrection(), size=(5, 20))
    assert relative < 0.02
    assert covariance < (0.02 if name == "white" else 0.01)
    if name == "matched":
        assert largest < 1e-3


@pytest.mark.parametrize("name", [pytest.param("smooth", marks=pytest.mark.slow), "matched"])
def test_the_published_schemes_miss_it(name):
    """All of K has the wrong fixed point: of matched noise the prior mean, 0. The block of K diverges."""
    relative, _, covariance = errors(NOISES[name], PublishedLangevin("full"))
    assert relative > 0.3
    assert covariance > 0.2
    if name == "matched":
        assert relative == pytest.approx(1, abs=1e-6)
    _, _, covariance = errors(NOISES[name], PublishedLangevin("block"))
    assert not covariance < 1e6


@pytest.mark.slow
def test_replacement_alone():
    """Worse than corrections everywhere, and independent of the observed values without the kriging."""
    for name in ("white", "smooth"):
        plain, corrected = (errors(NOISES[name], m)[0] for m in (Replacement(), LangevinCorrection()))
        assert plain > 10 * corrected

    class Alone(Conditioning):
        handles = Gaussian

        def __call__(self, task, solver, known):
            return task.denoised_by(Replaced(task, known, task.random)), solver

    assert errors(NOISES["matched"], Alone())[0] == pytest.approx(1, abs=1e-6)
    for method in (Replacement(), Repaint(4)):
        assert errors(NOISES["matched"], method)[1] < 1e-3
        assert errors(NOISES["smooth"], method)[0] < 0.1


@pytest.mark.slow
def test_reconstruction_knows_the_covariance_of_the_noise():
    """Exact for Gaussian data once conjugate gradients have converged; what is left is the solver's error."""
    full = Reconstruction(iterations=FEW[0])
    relative, _, covariance = errors(NOISES["smooth"], full, levels=100)
    assert relative < 0.02
    assert covariance < 0.05


@pytest.mark.parametrize("by_entry", [False, True])
def test_vector_fields(by_entry):
    """Curl-free data under curl-free noise of another length; components observed apart."""
    data = CurlFree(0.7) + IndependentOutputs(Nugget(0.02), 2)
    noise = GPNoise(0.9 * CurlFree(1.0) + IndependentOutputs(Nugget(0.1), 2))
    mask = torch.zeros(sum(FEW), 2, dtype=torch.bool)
    mask[:3, 0] = True
    mask[2:5, 1] = True
    found = errors(noise, LangevinCorrection(), data=data, d=2, mask=mask if by_entry else None)
    assert found[0] < 0.02
    assert found[2] < 0.01


class Matched(nn.Module):
    """Answers zero, which with a residual target is exact for data of the noise's distribution."""

    def forward(self, graphs, log_snr, label=None):
        return torch.zeros_like(graphs.x)


def test_completion_of_a_ragged_batch():
    """Draws of data of the noise's distribution, entry by entry, against kriging; and batch by batch."""
    source = NOISES["smooth"]
    denoiser = Denoiser(Matched(), Gaussian(VP(), source), Target(), "x")
    generator = torch.Generator().manual_seed(0)
    pos = [torch.rand(n, 1, generator=generator) * 2 for n in (6, 9)]
    values = torch.randn(15, 2, generator=generator)
    known = torch.rand(15, 2, generator=generator) < 0.5
    graphs = Graphs.ragged(pos, list(values.split([6, 9])))

    def completed(of, mask, batch, draws=4):
        sampling = Sampling(steps=4, solver=Heun(), batch=batch)
        return complete(denoiser, Chain(()), of, mask, LangevinCorrection(5), sampling, draws=draws)

    done = completed(graphs, known, 64, 60)
    assert torch.equal(done.mean[known], values[known])
    k = [source.covariance(p) for p in pos]
    for i, (v, o, mean, std) in enumerate(
        zip(*map(graphs.unpack, (values, known, done.mean, done.std)), strict=True)
    ):
        for c in range(2):
            m = o[:, c]
            gain = torch.linalg.solve(k[i][m][:, m], k[i][m][:, ~m]).T
            exact = gain @ v[m, c].double()
            spread = (k[i][~m][:, ~m] - gain @ k[i][m][:, ~m]).diagonal().sqrt()
            # Some 14 means and 14 deviations of 60 draws.
            assert float(((mean[~m, c] - exact) / spread).abs().max()) < 4 / math.sqrt(60)
            assert float((std[~m, c] / spread - 1).abs().max()) < 4 / math.sqrt(120)
    few = completed(graphs, known, 3)
    torch.testing.assert_close(few.values, done.values[:4], rtol=0, atol=1e-5)
    one = completed(graphs[0], known[:6], 64)
    torch.testing.assert_close(one.values, done.values[:4, :6], rtol=0, atol=1e-5)
