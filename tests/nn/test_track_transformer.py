"""The transformer of tracks: its Gaussian process by hand, symmetries, and the batteries."""

import math

import pytest
import torch

from noisefold.geometry import Graphs, Sphere, TrackKernel
from noisefold.nn import TrackTransformer
from noisefold.testing import perturbed

F64 = torch.float64
SMALL = {"width": 16, "blocks": 2, "heads": 2, "kernel": (0.3, 0.01, 0.02, 0.8)}
KERNEL = TrackKernel(*SMALL["kernel"])


def batch(sizes=(6, 9), flags=False, seed=0):
    g = torch.Generator().manual_seed(seed)
    n = sum(sizes)
    x = Sphere().project(torch.randn(n, 3, generator=g, dtype=F64))
    if flags:
        seen = torch.rand(n, 1, generator=g) < 0.4
        x = torch.cat([x, seen.double().expand(-1, 3)], 1)
    times = torch.randn(n, 1, generator=g, dtype=F64)
    return Graphs(times, x, torch.tensor([0, *sizes]).cumsum(0)), torch.tensor([1.5, -2.0], dtype=F64)


@pytest.mark.parametrize("flags", [False, True])
def test_untrained_answer_is_that_of_the_gaussian_process(flags):
    graphs, log_snr = batch(flags=flags)
    net = TrackTransformer(**SMALL, features=6 if flags else 3).double()
    found = net(graphs, log_snr).split(graphs.sizes.tolist())
    for graph, level, answer in zip(graphs, log_snr, found, strict=True):
        s = torch.log1p(torch.exp(-level)) / 2
        x = graph.x[:, :3]
        seen = graph.x[:, 3] > 0.5 if flags else torch.zeros(len(x), dtype=torch.bool)
        keep = torch.where(seen, torch.ones_like(s), torch.exp(-s))
        noise = torch.where(seen, 2e-7, (1 - torch.exp(-2 * s)) / 2)
        total = keep[:, None] * KERNEL.matrix(graph.pos[:, 0]) * keep + noise.diag()
        w = torch.linalg.solve(total, x)
        expected = -s.sqrt() * (w - (w * x).sum(1, keepdim=True) * x)
        # Observed places have a precision of 5e6, which is lost of sixteen digits.
        assert (answer - expected).abs().max() < 1e-6 * expected.abs().max()


def test_it_is_near_the_exact_score_of_smooth_tracks():
    """Tracks of its own Gaussian process, projected to the sphere, with little noise."""
    kernel = TrackKernel(0.0, 1e-3, 2e-3, 1.0)
    times = torch.linspace(-1.5, 1.5, 12, dtype=F64)
    lower = torch.linalg.cholesky(kernel.matrix(times) + 1e-12 * torch.eye(12, dtype=F64))
    g = torch.Generator().manual_seed(0)
    pole = torch.tensor([0.0, 0.0, 1.0], dtype=F64)
    tracks = pole + torch.einsum("ij,gjk->gik", lower, torch.randn(64, 12, 3, generator=g, dtype=F64))
    sphere, s = Sphere(), torch.tensor(1e-4, dtype=F64)
    clean = sphere.project(tracks.reshape(-1, 3))
    noisy = sphere.brownian(clean, s, torch.randn(len(clean), 3, generator=g, dtype=F64))
    wide = (1 / 3, *SMALL["kernel"][1:2], 2e-3, 1.0)
    net = TrackTransformer(**{**SMALL, "kernel": wide}).double()
    graphs = Graphs.dense(times[None, :, None].expand(64, -1, -1), noisy.reshape(64, 12, 3))
    answer = net(graphs, -torch.log(torch.expm1(2 * s)).expand(64))
    moved = sphere.exp(noisy, s.sqrt() * answer)
    before, after = (float(sphere.distance(v, clean).square().mean()) for v in (noisy, moved))
    assert before == pytest.approx(2e-4, rel=0.1)
    assert after < 0.6 * before


def test_tracks_that_share_times_and_level_are_factorised_once():
    graphs, _ = batch((6, 6), flags=True)
    graphs = graphs.replace(
        pos=graphs.pos[:6].repeat(2, 1), x=torch.cat([graphs.x[:, :3], graphs.x[:6, 3:].repeat(2, 1)], 1)
    )
    torch.manual_seed(1)
    net = perturbed(TrackTransformer(**SMALL, features=6)).double()
    both = net(graphs, torch.full((2,), 1.5, dtype=F64))
    for i in range(2):
        alone = net(graphs[i], torch.full((1,), 1.5, dtype=F64))
        assert (alone - both[6 * i : 6 * i + 6]).abs().max() < 1e-10 * both.abs().max()


@pytest.mark.parametrize("flags", [False, True])
def test_graphs_do_not_see_each_other_and_the_order_of_nodes_does_not_matter(flags):
    graphs, log_snr = batch(flags=flags)
    torch.manual_seed(1)
    net = perturbed(TrackTransformer(**SMALL, features=6 if flags else 3)).double()
    whole = net(graphs, log_snr)
    for i, part in enumerate(whole.split(graphs.sizes.tolist())):
        assert (net(graphs[i], log_snr[i : i + 1]) - part).abs().max() < 1e-8 * part.abs().max()
    one = graphs[0]
    order = torch.randperm(one.num_nodes, generator=torch.Generator().manual_seed(2))
    shuffled = net(Graphs(one.pos[order], one.x[order]), log_snr[:1])
    assert (shuffled - whole[: one.num_nodes][order]).abs().max() < 1e-8 * whole.abs().max()


def test_answer_turns_about_the_poles_but_for_what_depends_on_longitude():
    """Without the two inputs that tell the longitude it is equivariant under turns of the Earth."""
    torch.manual_seed(1)
    net = perturbed(TrackTransformer(**SMALL)).double()
    columns = slice(net.fourier.width + 15, net.fourier.width + 17)
    with torch.no_grad():
        net.lift[0].weight[:, columns] = 0
    graphs, log_snr = batch()
    a = 0.7
    turn = torch.tensor([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]], dtype=F64)
    plain, turned = net(graphs, log_snr), net(graphs.replace(x=graphs.x @ turn.T), log_snr)
    assert (turned - plain @ turn.T).abs().max() < 1e-9 * plain.abs().max()
    assert plain.abs().max() > 1e-2


def test_gradients_are_finite_and_dimensions_are_checked():
    graphs, log_snr = batch(flags=True)
    net = perturbed(TrackTransformer(**SMALL, features=6)).double()
    graphs = graphs.replace(x=graphs.x.clone().requires_grad_())
    net(graphs, log_snr).square().sum().backward()
    assert graphs.x.grad.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    with pytest.raises(ValueError, match="features"):
        TrackTransformer(features=4)


def test_kernel_derivative_and_fit():
    times = torch.linspace(0, 3, 20, dtype=F64, requires_grad=True)
    matrix = KERNEL.matrix(times)
    assert (matrix - matrix.mT).abs().max() < 1e-15
    assert torch.linalg.eigvalsh(matrix.detach()).min() > -1e-10
    h = 1e-6
    moved = torch.cat([times.detach()[:1] + h, times.detach()[1:]])
    slope = (KERNEL.matrix(moved)[0, 1:] - matrix.detach()[0, 1:]) / h
    assert (slope - KERNEL.derivative(times.detach())[0, 1:]).abs().max() < 1e-5
    lower = torch.linalg.cholesky(KERNEL.matrix(times.detach()) + 1e-6 * torch.eye(20, dtype=F64))
    g = torch.Generator().manual_seed(0)
    places = [lower @ torch.randn(20, 3, generator=g, dtype=F64) for _ in range(120)]
    found = TrackKernel.fit([times.detach()] * 120, places, 1e-6)
    assert found.constant == pytest.approx(KERNEL.constant, rel=0.3)
    assert found.variance == pytest.approx(KERNEL.variance, rel=0.3)
    assert found.length == pytest.approx(KERNEL.length, rel=0.15)
    for wrong in ({"length": 0.0}, {"variance": -1.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            TrackKernel(**wrong)
