"""The loss against a twin computed node by node, and against its expectation."""

from __future__ import annotations

import math

import pytest
import torch
from tiny_training import SMALL, data, denoiser
from torch import Tensor, nn

from noisefold.geometry.graphs import Graphs
from noisefold.nn.denoiser import Denoiser
from noisefold.nn.latents import Latents
from noisefold.noise.coupling import Independent
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.levels import LevelDistribution
from noisefold.noise.source import Streams
from noisefold.noise.target import Target
from noisefold.train.objective import batch_loss, hide_labels

PLAIN = Target(residual=False)


class _Zero(nn.Module):
    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        return torch.zeros_like(graphs.pos)


def _wild(classes: int) -> nn.Module:
    """A network whose answers are not all zero, as those of a fresh one are."""
    torch.manual_seed(0)
    net = Latents(classes=classes, **SMALL).double()
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return net


def _twin(net: nn.Module, graph: Graphs, stream: Streams, quantile: float) -> tuple[float, float]:
    """Flow matching of one graph, point by point, coordinate by coordinate."""
    t = 1e-3 + (1 - 2e-3) * quantile
    eps = stream.normal(graph.sizes, 3, graph.pos)
    unit = math.hypot(1 - t, t)
    noisy = torch.zeros_like(graph.pos)
    for i in range(graph.num_nodes):
        for c in range(3):
            noisy[i, c] = ((1 - t) * graph.pos[i, c] + t * eps[i, c]) / unit
    log_snr = torch.tensor([2 * math.log((1 - t) / t)], dtype=torch.float64)
    with torch.no_grad():
        predicted = net(graph.replace(pos=noisy), log_snr, graph.label)
    total = 0.0
    for i in range(graph.num_nodes):
        for c in range(3):
            velocity = float(eps[i, c] - graph.pos[i, c])
            total += (math.sqrt(2) * float(predicted[i, c]) - velocity) ** 2
    return total / (3 * graph.num_nodes), t


@pytest.mark.parametrize("uniform", [False, True])
def test_the_loss_is_that_of_a_plain_twin(uniform: bool) -> None:
    graphs = data().to(dtype=torch.float64)
    if uniform:
        graphs = graphs.thin(5, torch.rand(graphs.num_nodes, dtype=torch.float64))
    net = _wild(10)
    quantiles = torch.linspace(0, 1, 10, dtype=torch.float64)
    indices = list(range(20, 30))
    loss, t = batch_loss(
        Denoiser(net, Gaussian(), PLAIN), graphs, Streams(1, indices), quantiles, Independent()
    )
    loss = loss.detach()
    for i, k in enumerate(indices):
        exact, time = _twin(net, graphs[i], Streams(1, [k]), float(quantiles[i]))
        assert abs(float(t[i]) - time) < 1e-15
        # Sums of some dozens of terms of order 1 in float64, in another order.
        assert abs(float(loss[i]) - exact) < 1e-11 * (1 + exact)


@pytest.mark.parametrize(
    ("target", "exact", "variance"),
    [
        # y is normal with variance v, so E y^2 = v and var y^2 = 2 v^2.
        ("velocity", 2.0, 8.0),
        ("noise", 1.0, 2.0),
        ("data", 1.0, 2.0),
    ],
)
def test_a_network_that_answers_zero_has_the_known_loss(target: str, exact: float, variance: float) -> None:
    torch.manual_seed(0)
    count, nodes = 200, 50
    graphs = Graphs.dense(torch.randn(count, nodes, 3))
    denoise = Denoiser(_Zero(), Gaussian(), Target(target, residual=False))
    quantiles = (torch.arange(count) + 0.5) / count
    loss, _ = batch_loss(denoise, graphs, Streams(0, range(count)), quantiles, Independent())
    deviation = math.sqrt(variance / (count * nodes * 3))
    assert abs(float(loss.mean()) - exact) < 5 * deviation


@pytest.mark.parametrize(
    ("target", "exact"),
    [
        # Of standard data zero leaves 1 / (alpha^2 + sigma^2) of the velocity; with alpha = 1 - t, sigma = t
        # its mean over t is pi / 2. Of the data it leaves sigma^2, of the noise alpha^2 over the same.
        ("velocity", math.pi / 2),
        ("noise", 0.5),
        ("data", 0.5),
    ],
)
def test_zero_stands_for_the_best_linear_estimate(target: str, exact: float) -> None:
    torch.manual_seed(0)
    count, nodes = 200, 50
    graphs = Graphs.dense(torch.randn(count, nodes, 3))
    quantiles = (torch.arange(count) + 0.5) / count
    denoise = Denoiser(_Zero(), Gaussian(), Target(target))
    loss, _ = batch_loss(denoise, graphs, Streams(0, range(count)), quantiles, Independent())
    # Each squared residual has at most variance 2 * 2^2; the margins move the mean by less than .001.
    assert abs(float(loss.mean()) - exact) < 5 * math.sqrt(8 / (count * nodes * 3)) + 1e-3


def test_times_follow_the_law_asked_for() -> None:
    graphs = data()
    quantiles = torch.linspace(0.05, 0.95, 10, dtype=torch.float64)
    law = LevelDistribution((0.2, 0.4), (1.0,))
    _, t = batch_loss(denoiser(), graphs, Streams(0, range(10)), quantiles, Independent(), law)
    torch.testing.assert_close(t.double(), 0.8 - 0.2 * quantiles, rtol=0, atol=1e-6)


def test_a_fresh_network_answers_zero() -> None:
    graphs = data()
    quantiles = torch.linspace(0.1, 0.9, 10)
    denoise = denoiser()
    fresh, _ = batch_loss(denoise, graphs, Streams(0, range(10)), quantiles, Independent())
    zero, _ = batch_loss(
        Denoiser(_Zero(), Gaussian(), PLAIN), graphs, Streams(0, range(10)), quantiles, Independent()
    )
    assert torch.equal(fresh, zero)


def test_the_weight_turns_one_targets_error_into_anothers() -> None:
    # Two networks that stand for the data 0: one says so, the other predicts the noise x_t / sigma.
    class _NoiseForZero(nn.Module):
        def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
            ratio = torch.exp(-log_snr / 2)[graphs.batch, None]
            t = ratio / (1 + ratio)
            return graphs.pos * torch.sqrt((1 - t) ** 2 + t**2) / t

    graphs = data().to(dtype=torch.float64)
    quantiles = torch.linspace(0.05, 0.95, 10, dtype=torch.float64)
    streams = [Streams(0, range(10)) for _ in range(2)]
    as_noise = Denoiser(_NoiseForZero(), Gaussian(), Target("noise", weight="data", residual=False))
    as_data = Denoiser(_Zero(), Gaussian(), Target("data", residual=False))
    first, _ = batch_loss(as_noise, graphs, streams[0], quantiles, Independent())
    second, _ = batch_loss(as_data, graphs, streams[1], quantiles, Independent())
    torch.testing.assert_close(first, second, rtol=1e-11, atol=1e-11)


def test_graphs_weigh_the_same_whatever_their_size() -> None:
    # Every node of a graph is off by the graph's own number: the mean over graphs, not over nodes.
    sizes = [1, 100]
    graphs = Graphs.ragged([torch.full((n, 3), float(v)) for n, v in zip(sizes, (1, 3), strict=True)])
    denoise = Denoiser(_Zero(), Gaussian(), Target("data", residual=False))
    loss, _ = batch_loss(denoise, graphs, Streams(0, range(2)), torch.tensor([0.5, 0.5]), Independent())
    assert loss.tolist() == [1.0, 9.0]


def test_the_share_of_hidden_labels() -> None:
    count, share = 4000, 0.1
    graphs = Graphs(torch.zeros(count, 1), ptr=torch.arange(count + 1), label=torch.arange(count) % 7)
    hidden = hide_labels(graphs, Streams(0, range(count)), share).label
    assert hidden is not None
    gone = hidden == -1
    assert torch.equal(hidden[~gone], graphs.label[~gone])
    assert abs(int(gone.sum()) - count * share) < 5 * math.sqrt(count * share * (1 - share))


def test_nothing_is_hidden_where_there_is_nothing_to_hide() -> None:
    graphs = data()
    assert hide_labels(graphs, Streams(0, range(10)), 0.0) is graphs
    bare = graphs.replace(label=None)
    assert hide_labels(bare, Streams(0, range(10)), 0.5) is bare
