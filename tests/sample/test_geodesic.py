"""Solvers, conditioning and likelihood on Riemannian paths, against an exact score."""

import itertools
import math

import pytest
import torch
from torch import nn

from crossed import crossed
from noisefold.geometry import Graphs, Scaling, Sphere, Torus
from noisefold.nn import Denoiser
from noisefold.noise import Known, Riemannian, Streams, TangentScore
from noisefold.sample import (
    Amortized,
    Bound,
    GeodesicFlow,
    GeodesicHeun,
    GeodesicRandomWalk,
    ProbabilityFlow,
    Repaint,
    Replacement,
    Sampling,
    Task,
    Uniform,
    complete,
    default_conditioning,
    default_grid,
    default_solver,
    generate,
    log_prob,
)
from noisefold.sample.riemannian_likelihood import _Flow
from noisefold.theory import HeatMixture

F64 = torch.float64


class Exact(nn.Module):
    """The exact answer for nodes that are independent draws of a mixture, held in `pos` or `x`."""

    def __init__(self, mixture, path, variable="pos"):
        super().__init__()
        self.mixture, self.path, self.variable = mixture, path, variable

    def forward(self, graphs, log_snr, label=None):
        x = getattr(graphs, self.variable)[:, : self.path.manifold.columns]
        return self.mixture.answer(x, self.path, self.path.time(log_snr)[graphs.batch])


class Pair(nn.Module):
    """The exact answer for two nodes at one place, which is uniform, each moved from it by time `spread`.

    Of the two together the density depends on their distance alone.
    """

    def __init__(self, path, spread):
        super().__init__()
        self.path, self.spread = path, spread

    def forward(self, graphs, log_snr, label=None):
        x = graphs.x
        other = x.reshape(-1, 2, 3).flip(1).reshape(-1, 3)
        s = self.path.diffusion(self.path.time(log_snr))[graphs.batch, None]
        return s.sqrt() * self.path.manifold.score(x, other, 2 * (s + self.spread))


def mixture_on(manifold, spread=0.05):
    normal = torch.randn(2, manifold.columns, generator=torch.Generator().manual_seed(3), dtype=F64)
    return HeatMixture(manifold, manifold.project(normal), torch.tensor([0.7, 0.3], dtype=F64), spread)


def exact_denoiser(manifold, spread=0.05):
    path = Riemannian(manifold)
    mixture = mixture_on(manifold, spread)
    return Denoiser(Exact(mixture, path), path, TangentScore(), "pos"), mixture


def single(x):
    return Graphs(x, ptr=torch.arange(len(x) + 1))


def test_defaults_are_registered():
    path = Riemannian()
    assert default_solver(path) == GeodesicHeun()
    assert default_grid(path, GeodesicHeun()) == Uniform()
    assert default_conditioning(path, None) == Repaint()


@pytest.mark.parametrize(
    ("manifold", "how"),
    crossed([Sphere(), Torus(2)], [(GeodesicHeun(), 30), (GeodesicRandomWalk(), 60)]),
    ids=repr,
)
def test_samples_of_an_exact_score_have_its_distribution(manifold, how):
    solver, steps = how
    denoiser, mixture = exact_denoiser(manifold)
    count = 1500
    frame = single(torch.zeros(count, manifold.columns, dtype=F64))
    times = Uniform()(denoiser.path, steps)
    made = generate(denoiser, frame, times, solver, Streams(0, range(count))).pos
    assert (manifold.radii(made) - 1).abs().max() < 1e-12
    truth = mixture.sample(20_000, 1)
    # Standard error of a mean of 1500 draws, three times, and the error of so few steps.
    assert (made.mean(0) - truth.mean(0)).abs().max() < 3 / math.sqrt(count) + 0.02
    spread = [float(manifold.distance(v, mixture.centres[:1].expand_as(v)).mean()) for v in (made, truth)]
    assert spread[0] == pytest.approx(spread[1], abs=0.1)


@pytest.mark.slow
def test_heun_is_of_order_two_and_exact_for_one_point():
    path, centre = Riemannian(), torch.tensor([[0.0, 0.6, 0.8]], dtype=F64)
    start = path.manifold.project(torch.tensor([[0.9, -0.3, 0.2]], dtype=F64))

    def end(denoise, steps, last):
        times = torch.linspace(1, last, steps + 1, dtype=F64)
        graphs = single(start)
        return GeodesicHeun()(Task(denoise, path, times, graphs, Streams(0, [0]), None), start)

    assert (end(lambda x, t: centre, 1, 0.0) - centre).abs().max() < 1e-12
    # On the way it is on the geodesic, at the share of the square root of s.
    share = 1 - (path.diffusion(torch.tensor(0.9, dtype=F64)) / path.end).sqrt()
    between = path.manifold.exp(start, share * path.manifold.log(start, centre))
    assert (end(lambda x, t: centre, 3, 0.9) - between).abs().max() < 1e-12
    denoiser, _ = exact_denoiser(Sphere())
    bound = Bound(denoiser, single(start))
    finest = end(bound, 128, 0.6)
    errors = [float((end(bound, n, 0.6) - finest).norm()) for n in (8, 16, 32)]
    rates = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
    assert min(rates) > 1.7


def test_a_step_of_the_random_walk_has_the_variance_of_the_noise_that_is_left():
    """Around one point, near which the sphere is a plane: Brownian motion of time s becomes one of less."""
    path, count = Riemannian(), 4000
    centre = torch.tensor([[0.0, 0.6, 0.8]], dtype=F64).expand(count, -1)
    times = path.time_of(torch.tensor([1e-3, 2e-4], dtype=F64))
    graphs = single(centre)
    state = path.corrupt(centre, times[0], graphs, Streams(0, range(count)))
    task = Task(lambda x, t: centre, path, times, graphs, Streams(1, range(count)), None)
    made = GeodesicRandomWalk()(task, state)
    left = float(path.manifold.distance(made, centre).square().mean()) / 2
    assert left == pytest.approx(2e-4, rel=3 / math.sqrt(count) + 0.01)


@pytest.mark.parametrize("manifold", [Sphere(), pytest.param(Torus(2), marks=pytest.mark.slow)], ids=repr)
def test_likelihood_is_that_of_the_mixture(manifold):
    denoiser, mixture = exact_denoiser(manifold)
    x = mixture.sample(3, 1)
    graphs = Graphs(x, ptr=torch.tensor([0, 1, 3]))
    truth = mixture.log_density(x, denoiser.path.least)
    truth = torch.stack([truth[0], truth[1:].sum()])
    how = GeodesicFlow(steps=16)
    found = log_prob(denoiser.path, denoiser, graphs, method=how)
    # What 16 steps leave; at the end the data have left e^-8 of a mode, which the error of the end tells.
    assert (found.value + found.end_error - truth).abs().max() < 0.03
    assert found.end_error.abs().max() > 1e-5
    assert found.kind == "exact"
    assert not found.error.any()


class Linear(nn.Module):
    """Answers A x, whose tangent part has the divergence tr(A) - 3 x A x on the sphere."""

    matrix = torch.tensor([[0.3, 0.1, 0.0], [-0.2, -0.4, 0.2], [0.5, 0.0, 0.2]], dtype=F64)

    def forward(self, graphs, log_snr, label=None):
        return graphs.pos @ self.matrix.T


def test_divergence_is_that_of_the_sphere():
    path = Riemannian()
    x = mixture_on(Sphere()).sample(5)
    bound = Bound(Denoiser(Linear(), path, TangentScore(), "pos"), single(x))
    flow = _Flow(path, bound, single(x), torch.ones(5))
    u = math.log(0.3)
    at = x.clone().requires_grad_()
    found = flow._divergence(flow.field(at, u), at, None, 0)[0]
    a = Linear.matrix
    # tr(P A) - 2 a.x with a = A x, and a.x once more as the trace is over tangent directions.
    expected = -math.sqrt(0.3) / 2 * (a.trace() - 3 * torch.einsum("ni,ij,nj->n", x, a, x))
    assert (found - expected).abs().max() < 1e-9


@pytest.mark.slow
def test_hutchinson_agrees_within_its_error():
    path = Riemannian()
    denoiser = Denoiser(Linear(), path, TangentScore(), "pos")
    graphs = Graphs(mixture_on(Sphere()).sample(8, 1), ptr=torch.tensor([0, 3, 8]))
    exact, drawn = (
        log_prob(path, denoiser, graphs, method=GeodesicFlow(steps=6, probes=40, exact_below=m))
        for m in (100, 0)
    )
    assert (drawn.error > 0).all()
    assert ((exact.value - drawn.value).abs() < 4 * drawn.error).all()


def test_density_of_some_nodes_given_others():
    """Of a pair at one place: the density of one given the other is a heat kernel of the time of both."""

    class Given(nn.Module):
        def forward(self, graphs, log_snr, label=None):
            x = graphs.x[:, :3]
            other = x.reshape(-1, 2, 3).flip(1).reshape(-1, 3)
            s = path.diffusion(path.time(log_snr))[graphs.batch, None]
            return s.sqrt() * path.manifold.score(x, other, s + 0.4)

    path = Riemannian()
    denoiser = Denoiser(Given(), path, TangentScore(), "x", for_completion=True)
    x = mixture_on(Sphere(), 0.3).sample(4, 2)
    graphs = Graphs(torch.zeros(4, 1, dtype=F64), x, torch.tensor([0, 2, 4]))
    known = torch.tensor([True, False, False, True])
    found = log_prob(path, denoiser, graphs, known=known, method=GeodesicFlow(steps=16))
    truth = path.manifold.log_heat(x[[0, 3]], x[[1, 2]], torch.tensor(0.4 + path.least))
    assert (found.value + found.end_error - truth).abs().max() < 0.02
    assert found.nodes.tolist() == [1, 1]
    entries = torch.tensor([[True, False, False]]).expand(4, 3)
    with pytest.raises(ValueError, match="known"):
        log_prob(path, denoiser, graphs, known=entries)


def test_zero_score_has_the_uniform_density():
    """Minus n log 4 pi, and not plus."""

    class Zero(nn.Module):
        def forward(self, graphs, log_snr, label=None):
            return torch.zeros_like(graphs.pos)

    path = Riemannian()
    x = path.manifold.project(torch.randn(15, 3, dtype=F64))
    denoiser = Denoiser(Zero(), path, TangentScore(), "pos")
    found = log_prob(path, denoiser, Graphs(x, ptr=torch.tensor([0, 5, 15])), method=GeodesicFlow(steps=5))
    expected = -torch.tensor([5, 10], dtype=F64) * math.log(4 * math.pi)
    assert (found.value - expected).abs().max() < 1e-6


def test_other_methods_and_what_is_off_the_sphere_are_refused():
    denoiser, mixture = exact_denoiser(Sphere())
    x = mixture.sample(2)
    with pytest.raises(ValueError, match="ProbabilityFlow"):
        log_prob(denoiser.path, denoiser, single(x), method=ProbabilityFlow())
    with pytest.raises(ValueError, match="end"):
        log_prob(denoiser.path, denoiser, single(x), end=lambda *_: None)
    with pytest.raises(ValueError, match="positions"):
        log_prob(denoiser.path, denoiser, single(2 * x))
    with pytest.raises(ValueError, match="steps"):
        GeodesicFlow(steps=0)


@pytest.mark.slow
def test_completion_by_resampling_is_near_the_observed_neighbour():
    """Of a pair at one place one is observed: the other is a draw around it, of the variance of both."""
    path, spread = Riemannian(), 0.02
    denoiser = Denoiser(Pair(path, spread), path, TangentScore(), "x")
    x = torch.tensor([[0.0, 0.6, 0.8], [float("nan")] * 3], dtype=F64)
    graphs = Graphs(torch.zeros(2, 1, dtype=F64), x)
    known = torch.tensor([True, False])
    same = Scaling((0.0,), 1.0, (0.0,) * 3, (1.0,) * 3)
    how = Sampling(steps=12, batch=256)
    done = complete(denoiser, same, graphs, known, Repaint(), how, draws=256)
    assert torch.equal(done.values[:, 0], x[:1].expand(256, -1))
    drawn = done.values[:, 1]
    path.manifold.check(drawn, "drawn")
    cosine = float((drawn @ x[0]).mean())
    exact = math.exp(-2 * spread)
    assert abs((1 - cosine) / (1 - exact) - 1) < 3 / math.sqrt(256) + 0.15
    replaced = complete(denoiser, same, graphs, known, Replacement(), Sampling(steps=4), draws=2)
    path.manifold.check(replaced.values[:, 1], "drawn")
    entries = torch.tensor([[True, True, True], [True, False, False]])
    graphs = graphs.replace(x=x.nan_to_num())
    with pytest.raises(ValueError, match="known"):
        complete(denoiser, same, graphs, entries, Repaint(), how, draws=1)


def test_amortised_networks_see_observed_points_clean():
    path = Riemannian()
    seen = []

    class Spy(nn.Module):
        def forward(self, graphs, log_snr, label=None):
            seen.append(graphs.x)
            return torch.zeros_like(graphs.x[:, :3])

    denoiser = Denoiser(Spy(), path, TangentScore(), "x", for_completion=True)
    x = path.manifold.project(torch.randn(4, 3, dtype=F64))
    graphs = Graphs(torch.zeros(4, 1, dtype=F64), x)
    known = Known(x, torch.tensor([[True], [False], [True], [False]]).expand(4, 3), graphs.batch)
    times = Uniform()(path, 3)
    made = generate(denoiser, graphs, times, GeodesicHeun(), Streams(0, [0]), given=(known, Amortized()))
    assert all(torch.equal(v[[0, 2], :3], x[[0, 2]]) for v in seen)
    assert all(torch.equal(v[:, 3:], known.mask.double()) for v in seen)
    # The last step ends at the estimate, in which what is observed is exact.
    assert (made.x[[0, 2]] - x[[0, 2]]).abs().max() < 1e-12
