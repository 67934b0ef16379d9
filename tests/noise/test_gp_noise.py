"""Gaussian-process noise: its covariance, its independence of the batch, and what it does to a path."""

import pytest
import torch
from torch import nn

from noisefold.configuration import decode, encode
from noisefold.geometry import CurlFree, Graphs, IndependentOutputs
from noisefold.geometry.correlation import Matern, Nested, SquaredExponential
from noisefold.nn import Denoiser
from noisefold.noise import Gaussian, GPNoise, Nugget, Stationary, Streams, Target, gp_noise
from noisefold.theory import GaussianProcess

SOURCE = GPNoise(Stationary(SquaredExponential(0.5), 0.95) + Nugget(0.05))


def line(n, scale=1.0):
    pos = scale * torch.linspace(-1, 1, n)[:, None]
    return Graphs(pos, x=torch.zeros(n, 2))


def test_draws_have_the_covariance():
    """8,000 columns on 5 nodes: sample covariance within 5 standard errors of K, entry by entry."""
    graphs, draws = line(5), 8000
    eps = SOURCE.draw(graphs, draws, Streams(0, [0])).double()
    k = SOURCE.covariance(graphs.pos)
    error = ((k**2 + k.diagonal()[:, None] * k.diagonal()) / draws).sqrt()
    assert float(((eps @ eps.T / draws - k) / error).abs().max()) < 5
    assert float(eps.mean(1).abs().max()) < 5 * draws**-0.5
    torch.testing.assert_close(k.diagonal(), torch.ones(5).double(), rtol=0, atol=1e-9)


def test_a_graph_does_not_know_its_batch():
    """Bit for bit, graphs with the same and with other positions, over two draws."""
    graphs = Graphs.collate([line(30), line(12), line(0), line(30), line(30, 0.5)])
    together, alone = Streams(3, range(5)), [Streams(3, [i]) for i in range(5)]
    for _ in range(2):
        drawn = graphs.unpack(SOURCE.draw(graphs, 3, together))
        for i, part in enumerate(drawn):
            assert part.dtype == torch.float32
            assert torch.equal(part, SOURCE.draw(graphs[i], 3, alone[i]))
    assert not torch.equal(drawn[0], drawn[3])


def test_factors_are_kept_and_forgotten(monkeypatch):
    made = []

    def counted(kernel, pos, jitter):
        made.append(len(pos))
        return original(kernel, pos, jitter)

    original = gp_noise.cholesky
    monkeypatch.setattr(gp_noise, "cholesky", counted)
    monkeypatch.setattr(gp_noise, "_CACHE_BYTES", 2 * 40 * 40 * 8)
    source = GPNoise(Nested(Matern(0.31), 0.9) and Stationary(Nested(Matern(0.31), 0.9)))
    one, two, three = (line(40, scale) for scale in (1.0, 2.0, 3.0))
    for graphs in (one, one, two, one, three, one, two):
        source.draw(graphs, 1, Streams(0, [0]))
    # The third makes room by the one longest unused, which is the second.
    assert len(made) == 4
    assert torch.equal(source.factor(one.pos), original(source.kernel, one.pos.double(), 1e-10)[1])


def test_residual_answers_stay_exact_and_targets_convert():
    """All targets are affine in data and state node by node, whatever correlates the nodes."""
    graphs, path = line(20), Gaussian(source=SOURCE)
    x0 = SOURCE.draw(graphs, 2, Streams(1, [0])).double()
    eps = SOURCE.draw(graphs, 2, Streams(2, [0])).double()
    for t in (torch.tensor(v, dtype=torch.float64) for v in (0.01, 0.5, 0.99)):
        x_t = path.mix(x0, eps, t)
        alpha, sigma, scale = path.schedule.alpha(t), path.schedule.sigma(t), path.scale(t)
        answer = (sigma * x0 - alpha * eps) / scale
        for name in ("data", "noise", "velocity", "score", "previous"):
            value, data = Target(name).read(answer, x_t, t, path)
            torch.testing.assert_close(data, x0, rtol=0, atol=1e-12)
            exact = Target(name).value(x0, x_t, t, path)
            torch.testing.assert_close(value, exact, rtol=1e-12, atol=1e-10)


def test_the_librarys_score_is_k_times_the_score():
    """(alpha x0_hat - x) / sigma^2 = K grad log p, which flow, chain and Langevin steps use."""
    graphs, path = line(15), Gaussian(source=SOURCE)
    field = GaussianProcess(Stationary(Matern(0.4, 1.5))).on(graphs, path)
    t = torch.tensor(0.4, dtype=torch.float64)
    x = field.sample(2, Streams(0, [0]), t)
    alpha, sigma = path.schedule.alpha(t), path.schedule.sigma(t)
    named = (alpha * field.denoise(x, t) - x) / sigma**2
    exact = SOURCE.covariance(graphs.pos) @ field.score(x, t)
    torch.testing.assert_close(named, exact, rtol=0, atol=1e-9 * float(exact.abs().max()))


def test_a_source_is_its_own_configuration():
    assert decode(encode(SOURCE)) == SOURCE
    assert decode(encode(Gaussian(source=SOURCE))) == Gaussian(source=SOURCE)


def test_refuses_where_it_makes_no_sense():
    with pytest.raises(ValueError, match=r"variance 1, since noise has unit scale, got 1.05; use 0.95"):
        GPNoise(Stationary(SquaredExponential(0.5)) + Nugget(0.05))
    with pytest.raises(ValueError, match="jitter must be positive, got 0"):
        GPNoise(Nugget(), jitter=0)
    with pytest.raises(ValueError, match="variable"):
        Denoiser(nn.Identity(), Gaussian(source=SOURCE), Target(), variable="pos")
    Denoiser(nn.Identity(), Gaussian(source=SOURCE), Target(), variable="x")


VECTORS = GPNoise(0.9 * CurlFree(0.5) + IndependentOutputs(Nugget(0.1), 2))


def plane(n, seed=0):
    pos = torch.rand(n, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Graphs(pos, x=torch.zeros(n, 2).double())


class Units:
    """Streams that give graph k of v values the unit vector k of these, so that draws are columns of L."""

    def normal(self, sizes, columns, like):
        return torch.eye(len(sizes)).to(like).reshape(-1, columns)


def test_columns_are_correlated_as_components():
    """The covariance of draws, from the response to every number drawn."""
    eps = VECTORS.draw(plane(3)[[0] * 6], 2, Units()).reshape(6, 6)
    k = VECTORS.kernel.matrix(plane(3).pos)
    torch.testing.assert_close(eps.T @ eps, k, rtol=0, atol=1e-9)
    assert float((k - torch.kron(k[::2, ::2], torch.eye(2))).abs().max()) > 0.05


def test_a_kronecker_product_is_factorised_as_its_kernel():
    """The same draws as of the scalar kernel, bit for bit, and no larger matrix."""
    lifted = GPNoise(IndependentOutputs(SOURCE.kernel, 2))
    assert lifted.factor(line(9).pos).shape == (9, 9)
    assert torch.equal(lifted.draw(line(9), 2, Streams(0, [0])), SOURCE.draw(line(9), 2, Streams(0, [0])))
    for source in (lifted, VECTORS):
        with pytest.raises(ValueError, match=r"2 outputs is for 2 columns, got 3"):
            source.draw(plane(4), 3, Streams(0, [0]))


@pytest.mark.parametrize("source", [SOURCE, VECTORS], ids=["scalar", "vectors"])
@pytest.mark.parametrize("part", [False, True])
def test_whitening(source, part):
    """Norm, volume and gradient against dense algebra, of all entries and of some."""
    graphs = plane(7)
    hidden = torch.rand(7, 2, generator=torch.Generator().manual_seed(1)) < 0.6 if part else None
    values = torch.randn(7, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    values.requires_grad_()
    white, volume = source.whiten(graphs.pos, values, hidden)
    k = source.covariance(graphs.pos)
    k = k if len(k) == 14 else torch.kron(k, torch.eye(2).double())
    mask = torch.ones(14).bool() if hidden is None else hidden.flatten()
    block, some = k[mask][:, mask], values.flatten()[mask]
    torch.testing.assert_close(white.square().sum(), some @ torch.linalg.solve(block, some))
    torch.testing.assert_close(volume, torch.logdet(block) / 2)
    (gradient,) = torch.autograd.grad(white.square().sum() / 2, values)
    torch.testing.assert_close(gradient.flatten()[mask], torch.linalg.solve(block, some))
    assert hidden is None or not gradient[~hidden].any()
    torch.testing.assert_close(source.correlate(graphs.pos, values).flatten(), k @ values.flatten())
