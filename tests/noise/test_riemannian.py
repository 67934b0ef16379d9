"""The Riemannian path and the tangent score, on the sphere and the torus."""

import itertools
import math

import pytest
import torch

from noisefold.configuration import decode, encode
from noisefold.geometry import Graphs, Sphere, Torus
from noisefold.noise import Known, Riemannian, Streams, TangentScore, Types
from noisefold.theory import HeatMixture

F64 = torch.float64
PATHS = pytest.mark.parametrize("path", [Riemannian(), Riemannian(Torus(2))], ids=["sphere", "torus"])


def points(manifold, count, seed=0):
    normal = torch.randn(count, manifold.columns, generator=torch.Generator().manual_seed(seed), dtype=F64)
    return manifold.project(normal)


@PATHS
def test_times_diffusion_times_and_log_snr_are_one_another_inverted(path):
    t = torch.linspace(0.001, 1, 200, dtype=F64)
    s = path.diffusion(t)
    assert (path.time_of(s) - t).abs().max() < 1e-12
    assert (path.time(path.log_snr(t)) - t).abs().max() < 1e-9
    assert float(s[0]) == pytest.approx(path.least)
    assert float(s[-1]) == pytest.approx(path.end)
    assert float(path.diffusion(torch.tensor(0.0))) == 0
    # Equal times are equal ratios of s.
    assert s.log().diff().std() < 1e-9
    correlation = torch.exp(-path.manifold.sphere * s / 2)
    expected = torch.log(correlation.square() / -torch.expm1(-path.manifold.sphere * s))
    assert (path.log_snr(t) - expected).abs().max() < 1e-9
    assert decode(encode(path)) == path


@PATHS
def test_noised_states_have_the_moments_of_brownian_motion_also_in_two_steps(path):
    count, d = 20_000, path.manifold.sphere
    graphs = Graphs(torch.zeros(count, 0))
    clean = points(path.manifold, count)
    for s in (0.05, 0.7, 2.5):
        times = [path.time_of(torch.tensor(v, dtype=F64)) for v in (s / 3, s)]
        whole = path.corrupt(clean, times[1], graphs, Streams(0, [0]))
        part = path.corrupt(clean, times[0].expand(1), graphs, Streams(1, [0]))
        again = path.renoise(part, *times, graphs, Streams(2, [0]))
        for state in (whole, again):
            cosine = path.manifold.angles(state, clean).cos()
            assert float(cosine.mean()) == pytest.approx(math.exp(-d * s / 2), abs=0.02)
            if d == 2:
                second = (1.5 * cosine.square() - 0.5).mean()
                assert float(second) == pytest.approx(math.exp(-3 * s), abs=0.02)


def test_a_walk_of_a_thousand_steps_stays_on_the_sphere():
    path, graphs = Riemannian(), Graphs(torch.zeros(30, 0))
    state = points(path.manifold, 30).float()
    times = torch.linspace(0, 1, 1001, dtype=F64)
    streams = Streams(0, [0])
    for early, late in itertools.pairwise(times):
        state = path.renoise(state, early, late, graphs, streams)
    assert (state.norm(dim=1) - 1).abs().max() < 1e-6


@PATHS
def test_start_is_uniform_and_unobserved_zeros_are_noised(path):
    count = 20_000
    graphs = Graphs(torch.zeros(count, 0))
    drawn = path.prior(graphs, torch.zeros(count, path.manifold.columns), torch.tensor(1.0), Streams(0, [0]))
    assert drawn.mean(0).abs().max() < 4 / math.sqrt(count)
    path.manifold.check(drawn, "drawn")
    noised = path.corrupt(torch.zeros_like(drawn), torch.tensor(0.5), graphs, Streams(0, [0]))
    path.manifold.check(noised, "noised")


@PATHS
def test_the_exact_answer_has_the_least_loss_and_gives_back_its_score(path):
    """Denoising score matching: of all multiples of the mixture's score it leaves the least loss."""
    count = 10_000
    centres = points(path.manifold, 2, 7)
    mixture = HeatMixture(path.manifold, centres, torch.tensor([0.6, 0.4], dtype=F64), 0.05)
    graphs = Graphs(torch.zeros(count, 0), ptr=torch.arange(count + 1))
    clean, target = mixture.sample(count), TangentScore()
    for s in (0.1, 0.6):
        t = path.time_of(torch.full((count,), s, dtype=F64))
        state = path.corrupt(clean, t, graphs, Streams(0, range(count)))
        answer = mixture.answer(state, path, t)
        nothing, once, twice = (
            float(target.loss(answer * f, clean, state, t, path, graphs, None).mean()) for f in (0, 1, 2)
        )
        # The parabola through the three has its least value where the answer is multiplied by this.
        least = (twice - 4 * once + 3 * nothing) / (twice - 2 * once + nothing) / 2
        assert least == pytest.approx(1, abs=0.05)
        estimate = target.estimate(answer, state, t, path, graphs)
        path.manifold.check(estimate, "estimate")
        read = path.manifold.log(state, estimate) / s
        expected = mixture.score(state, s)
        assert (read - expected).abs().max() < 1e-6 * expected.abs().max()


def test_a_network_that_answers_nothing_has_the_loss_of_one_near_the_data():
    path, count = Riemannian(), 4000
    graphs, clean = Graphs(torch.zeros(count, 0)), points(Sphere(), count).float()
    t = path.time_of(torch.full((1,), 1e-5))
    state = path.corrupt(clean, t, graphs, Streams(0, [0]))
    loss = TangentScore().loss(torch.zeros_like(state), clean, state, t, path, graphs, None)
    assert float(loss) == pytest.approx(1, abs=0.06)
    mask = torch.zeros(count, 1, dtype=torch.bool).expand(-1, 3).clone()
    mask[: count // 2] = True
    half = TangentScore().loss(
        torch.zeros_like(state), clean, state, t, path, graphs, Known(clean, mask, graphs.batch)
    )
    assert float(half) == pytest.approx(0.5, abs=0.06)


def test_what_does_not_go_together_is_refused():
    path, graphs = Riemannian(), Graphs(torch.zeros(4, 0))
    x = points(Sphere(), 4)
    answer = torch.zeros_like(x)
    t = torch.tensor([0.5], dtype=F64)
    with pytest.raises(ValueError, match="data"):
        TangentScore().loss(answer, 2 * x, x, t, path, graphs, None)
    mask = torch.tensor([True, False, False]).expand(4, 3)
    with pytest.raises(ValueError, match="known"):
        TangentScore().loss(answer, x, x, t, path, graphs, Known(x, mask))
    with pytest.raises(ValueError, match="variable"):
        path.check(Types())
    for wrong in ({"least": 0.0}, {"least": 9.0}, {"margin": 0.6}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Riemannian(**wrong)
