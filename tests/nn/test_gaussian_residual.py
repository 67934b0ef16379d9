"""The Gaussian base estimate against closed forms, with and without observed values."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from noisefold import Graphs, Model, Training
from noisefold.geometry import Scaling
from noisefold.geometry.lattice import pixel_positions
from noisefold.geometry.principal_components import principal_components
from noisefold.geometry.summary import DataSummary
from noisefold.nn import Denoiser, DiT, GaussianResidual
from noisefold.nn.prior.low_rank_gaussian import LowRankGaussian
from noisefold.noise import Cosine, Gaussian, Linear, Target
from noisefold.testing import assert_batch_independent, assert_permutation_equivariant, perturbed
from noisefold.train import train

EXACT = {"rtol": 1e-8, "atol": 1e-8}


class Zero(nn.Module):
    """A network that answers zero, to see what it starts from."""

    def __init__(self, columns):
        super().__init__()
        self.columns = columns

    def forward(self, graphs, log_snr, label=None):
        assert graphs.features in (self.columns, 2 * self.columns)
        return graphs.x.new_zeros(graphs.num_nodes, self.columns)


def _covariance(size, rank, seed=0):
    """A mean, and a covariance of so many components and one variance for the rest."""
    generator = torch.Generator().manual_seed(seed)
    u, _ = torch.linalg.qr(torch.randn(size, rank, generator=generator, dtype=torch.float64))
    values = torch.linspace(6.0, 0.5, rank, dtype=torch.float64)
    mean = torch.randn(size, generator=generator, dtype=torch.float64)
    return mean, u, values, torch.tensor(0.3, dtype=torch.float64)


def _base(columns=2, rank=8, classes=0, shape=(3, 2), net=None, shown=False):
    """A base estimate in float64 whose Gaussians are known, and their dense covariances."""
    nodes = shape[0] * shape[1]
    base = GaussianResidual(net or Zero(columns), columns, nodes, 2, rank, classes, shown).double()
    grid, known = base.grids[0], []
    grid.pos.copy_(pixel_positions(*shape))
    for k in range(classes + 1):
        mean, u, values, rest = _covariance(shape[0] * shape[1] * columns, rank, k)
        grid.mean[k], grid.vectors[k], grid.values[k], grid.rest[k] = mean, u, values, rest
        known.append((mean, u @ torch.diag(values) @ u.T + rest * (torch.eye(len(u)).double() - u @ u.T)))
    with torch.no_grad():
        base.gate.fill_(torch.inf)
    base.gates = lambda log_snr: torch.ones_like(log_snr)
    return base, known


def _graphs(count, columns=2, shape=(3, 2), seed=0):
    x = torch.randn(
        count, shape[0] * shape[1], columns, generator=torch.Generator().manual_seed(seed)
    ).double()
    return Graphs.dense(pixel_positions(*shape).double().expand(count, -1, -1), x)


@pytest.mark.parametrize("path", [Gaussian(Linear(), margin=1e-6), Gaussian(Cosine(), margin=1e-6)])
@pytest.mark.parametrize("rank", [8, 12])
def test_exact_denoiser_of_gaussian_data_at_every_level(path, rank):
    base, known = _base(rank=rank, classes=2)
    t = torch.linspace(1e-6, 1 - 1e-6, 25).double()
    graphs = _graphs(25)
    label = torch.arange(25) % 3 - 1
    denoiser = Denoiser(base, path, Target(), "x")
    found = denoiser(graphs, graphs.x, t, label).view(25, -1)
    alpha, sigma = path.schedule.alpha(t), path.schedule.sigma(t)
    for i in range(25):
        mean, cov = known[int(label[i]) + 1]
        y = graphs.x.view(25, -1)[i]
        noisy = alpha[i] ** 2 * cov + sigma[i] ** 2 * torch.eye(12).double()
        expected = mean + alpha[i] * cov @ torch.linalg.solve(noisy, y - alpha[i] * mean)
        torch.testing.assert_close(found[i], expected, **EXACT)


@pytest.mark.parametrize("rank", [8, 12])
def test_exact_given_observed_values(rank):
    base, ((mean, cov),) = _base(rank=rank)
    log_snr = torch.linspace(-9, 9, 13).double()
    graphs = _graphs(13)
    mask = torch.rand(13, 12, generator=torch.Generator().manual_seed(1)) < 0.4
    mask[0] = False
    flagged = graphs.replace(x=torch.cat([graphs.x, mask.view(-1, 2).double()], 1))
    answer = base(flagged, log_snr).view(13, 12)
    a, b = log_snr.sigmoid().sqrt(), (-log_snr).sigmoid().sqrt()
    for i in range(13):
        seen, y = mask[i], graphs.x.view(13, 12)[i]
        h = torch.where(seen, 1.0, a[i])
        v = torch.where(seen, 0.0, b[i] ** 2)
        noisy = h[:, None] * cov * h + torch.diag(v)
        expected = mean + cov @ (h * torch.linalg.solve(noisy, y - h * mean))
        found = a[i] * y + b[i] * answer[i]
        torch.testing.assert_close(found[~seen], expected[~seen], **EXACT)


def test_components_of_many_and_of_few():
    _, u, values, rest = _covariance(40, 4)
    draws = torch.randn(20_000, 40, generator=torch.Generator().manual_seed(0)).double()
    cov = u @ torch.diag(values) @ u.T + rest * (torch.eye(40).double() - u @ u.T)
    vectors, found, left = principal_components(draws @ torch.linalg.cholesky(cov).T, 4)
    assert float(((vectors.T @ u) ** 2).sum()) > 3.9
    torch.testing.assert_close(found, values, rtol=0.05, atol=0)
    assert float(left) == pytest.approx(float(rest), rel=0.02)
    few = torch.randn(3, 1300).double()
    vectors, found, left = principal_components(few, 5)
    torch.testing.assert_close(
        vectors[:, :3] * found[:3] @ vectors[:, :3].T, few.T @ few / 3, rtol=0, atol=1e-8
    )
    torch.testing.assert_close(vectors.T @ vectors, torch.eye(5).double(), rtol=0, atol=1e-8)
    assert bool((found >= left).all())


def _drawn(count, classes=2):
    label = torch.arange(count) % classes
    random = torch.Generator().manual_seed(3)
    wave = torch.randn(count, 1, generator=random) * torch.linspace(-1, 1, 12) + 2.0 * label[:, None]
    x = wave + 0.1 * torch.randn(count, 12, generator=random)
    return Graphs.dense(pixel_positions(3, 4).expand(count, -1, -1), x[..., None], label, ("a", "b"))


def test_training_measures_it_once_and_it_is_saved(tmp_path):
    data = _drawn(400)
    base = GaussianResidual(DiT(1, width=8, blocks=1, heads=1, classes=2), 1, 12, rank=2, classes=2)
    model = Model(base, Gaussian(), Target(), "x")
    model.summary = DataSummary.of(
        data, Scaling((0.0, 0.0), 1.0, (float(data.x.mean()),), (float(data.x.std()),))
    )
    model.fit(data, settings=Training(steps=2, batch=8, warmup=1, device="cpu"))
    assert bool(base.learned)
    means = base.grids[0].mean.view(3, 12)
    unit = model.units.apply(data).x.view(400, 12)
    torch.testing.assert_close(means[0], unit.mean(0), rtol=0, atol=1e-5)
    for k in range(2):
        torch.testing.assert_close(means[k + 1], unit[data.label == k].mean(0), rtol=0, atol=1e-5)
    model.save_pretrained(tmp_path / "model")
    again = Model.from_pretrained(tmp_path / "model")
    for name, value in base.state_dict().items():
        assert torch.equal(again.net.state_dict()[name], value)
    assert model.sample(3, like=data[:1], steps=2).x.shape == (36, 1)


def test_gate_begins_at_one_for_gaussian_data_and_lower_for_others():
    generator = torch.Generator().manual_seed(0)
    pos = pixel_positions(3, 4).expand(2000, -1, -1)
    mixed = torch.randn(12, 12, generator=generator)
    normal = torch.randn(2000, 12, generator=generator) @ mixed / 12**0.5
    gates = []
    for x in (normal, normal.sign()):
        base = GaussianResidual(Zero(1), 1, 12, rank=12)
        base.learn(Graphs.dense(pos, x[..., None]))
        gates.append(base.gates(torch.linspace(-8, 12, 6)).detach())
    assert bool((gates[0] > 0.9).all())
    assert float(gates[1][0]) > 0.9
    assert float(gates[1][-2]) < 0.5


def test_battery():
    torch.manual_seed(0)
    base, _ = _base(1, 4, 2, (3, 4), DiT(2, 1, width=8, blocks=1, heads=1, classes=2).double(), True)
    perturbed(base.net)
    graphs, log_snr = _graphs(4, 1, (3, 4)), torch.tensor([-5.0, 0.0, 3.0, 8.0]).double()
    label = torch.tensor([0, -1, 1, 0])
    assert_batch_independent(base, graphs, log_snr, label, tolerance=1e-9)
    assert_permutation_equivariant(base, graphs, log_snr, label, tolerance=1e-9)


def test_sizes_have_their_own_gaussian():
    base = GaussianResidual(Zero(1), 1, (12, 6), rank=2)
    data = [pixel_positions(3, 4), pixel_positions(2, 3)] * 30
    x = [torch.randn(len(p), 1) + len(p) for p in data]
    graphs = Graphs.ragged(data, x)
    base.learn(graphs)
    assert [round(float(grid.mean.mean())) for grid in base.grids] == [12, 6]
    out = base(graphs, torch.zeros(60))
    torch.testing.assert_close(out[12:18], base(graphs[1:2], torch.zeros(1)))


@pytest.mark.parametrize("move", [lambda p: p + 0.5 * torch.rand_like(p), lambda p: p[:-1]])
def test_other_positions_are_refused(move):
    base = GaussianResidual(Zero(1), 1, 12, rank=2)
    base.learn(_drawn(20))
    pos = move(pixel_positions(3, 4))
    with pytest.raises(ValueError, match="graph 0 "):
        base(Graphs(pos, torch.randn(len(pos), 1)), torch.zeros(1))


@pytest.mark.parametrize(
    ("arguments", "name"), [({"rank": 13}, "rank"), ({"nodes": 0}, "nodes"), ({"nodes": (12, 12)}, "nodes")]
)
def test_wrong_arguments(arguments, name):
    with pytest.raises(ValueError, match=name):
        GaussianResidual(Zero(1), **{"columns": 1, "nodes": 12, "rank": 2, **arguments})


def test_networks_that_ask_for_more_graphs_get_them():
    seen = []

    class Counts(nn.Module):
        measured_graphs = 100

        def __init__(self):
            super().__init__()
            self.register_buffer("learned", torch.tensor(False))
            self.weight = nn.Parameter(torch.zeros(1))

        def learn(self, graphs):
            seen.append(len(graphs))
            self.learned.fill_(True)

        def forward(self, graphs, log_snr, label=None):
            return self.weight * graphs.x

    train(
        Denoiser(Counts(), Gaussian(), Target(), "x"), _drawn(300), Training(steps=1, batch=4, device="cpu")
    )
    assert seen == [100]


def test_every_graph_its_own_gaussian():
    mean, u, values, rest = _covariance(6, 2)
    gaussian = LowRankGaussian(
        torch.stack([mean, -mean]),
        torch.stack([u, u]),
        torch.stack([values] * 2),
        rest.repeat(2),
        torch.tensor([1, 0]),
    )
    y, half = torch.zeros(2, 6).double(), torch.full((2,), 0.5**0.5).double()
    out = gaussian.residual(y, half, half)
    torch.testing.assert_close(out[0], -out[1], **EXACT)


def test_graphs_of_other_sizes_are_refused_when_it_learns():
    with pytest.raises(ValueError, match="nodes "):
        GaussianResidual(Zero(1), 1, (6, 8), rank=2).learn(_drawn(20))
    with pytest.raises(ValueError, match="8 nodes"):
        GaussianResidual(Zero(1), 1, (12, 8), rank=2).learn(_drawn(20))
