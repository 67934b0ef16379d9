"""The network that begins with kriging: its Gaussian prediction against brute force, and its answers."""

import math

import pytest
import torch
from torch import nn

import noisefold as nf
from noisefold.geometry import Graphs
from noisefold.nn import Denoiser, KrigingResidual, SetTransformer
from noisefold.nn.denoiser import Known
from noisefold.nn.prior.covariance import crps
from noisefold.nn.prior.field_prior import FieldPrior
from noisefold.noise import Gaussian, Target

N, F = 40, 3


class Zero(nn.Module):
    """Says that nothing is left."""

    def forward(self, graphs, log_snr, label=None):
        return graphs.x.new_zeros(graphs.num_nodes, graphs.features // 4)


@pytest.fixture(scope="module")
def patches():
    """Three fields of three features over the plane, one the sum of the two others and a little noise."""
    torch.manual_seed(0)
    pos = torch.rand(4 * 60, 2) * 3
    smooth = torch.stack([(2 * pos[:, 0]).sin(), (2 * pos[:, 1]).cos()], 1)
    x = torch.cat([smooth, smooth.sum(1, keepdim=True)], 1) + 0.1 * torch.randn(240, F)
    x = (x - x.mean(0)) / x.std(0, correction=0)
    return Graphs(pos, x, torch.arange(5) * 60)


@pytest.fixture(scope="module")
def learned(patches):
    return KrigingResidual(Zero(), F, 2, kernels=2).learn(patches).eval()


@pytest.fixture
def field():
    torch.manual_seed(1)
    return Graphs(torch.rand(N, 2) * 2, torch.randn(N, F), torch.tensor([0, N]))


def covariance(net, pos, feature):
    """Of one feature over space, in units of its process, float64, with the jitter of 1e-4."""
    k = int(net.prior.choice[feature])
    place = pos.double() * net.prior.stretch[k]
    r = math.sqrt(3) * torch.cdist(place, place) / net.prior.length[k]
    eta = float(net.prior.nugget[k])
    return (1 - eta) * (1 + r) * torch.exp(-r) + (eta + 1e-4) * torch.eye(len(pos))


def solved(net, field, feature, given, at):
    """Mean and variance of a feature at one node from given nodes, by the normal equations."""
    cov = covariance(net, field.pos, feature)
    weight = torch.linalg.solve(cov[given][:, given], cov[given, at])
    mean = weight @ field.x[given, feature].double()
    return mean, float(net.prior.spread[feature]) * (cov[at, at] - weight @ cov[given, at])


def kriged(net, field, feature, given, at, among=None):
    """The same, its variance that of this graph: each value that is known is predicted from the others."""
    among = given if among is None else among
    squares = 0.0
    for i in among.tolist():
        m, v = solved(net, field, feature, among[among != i], i)
        squares += float((field.x[i, feature] - m) ** 2 / v)
    mean, variance = solved(net, field, feature, given, at)
    trust = float(net.prior.trust[feature])
    return mean, variance * (1 + trust * squares) / (1 + trust * len(among))


def test_a_hole_is_kriged_feature_by_feature(learned, field):
    known = (torch.arange(N) >= 12)[:, None].expand(N, F)
    mean, variance = learned.prior.moments(field, field.x, known)
    given = torch.arange(12, N)
    for feature in range(F):
        for at in range(12):
            m, v = kriged(learned, field, feature, given, at)
            # Float32, condition numbers up to 40 / .003; covariance R scales the variance.
            assert float(mean[at, feature]) == pytest.approx(float(m), abs=5e-3)
            r = float(learned.prior.related[1, feature, feature])
            assert float(variance[at, feature]) == pytest.approx(
                min(float(v.clamp(1e-4, 4)) * r, 4), rel=0.02, abs=2e-3
            )


def test_an_unmeasured_feature_follows_from_the_others_where_no_node_tells(learned, field):
    known = torch.tensor([True, True, False]).expand(N, F)
    mean, variance = learned.prior.moments(field, field.x, known)
    cov = learned.prior.related[0].double()
    weight = torch.linalg.solve(cov[:2, :2], cov[:2, 2])
    torch.testing.assert_close(mean[:, 2].double(), field.x[:, :2].double() @ weight, atol=1e-4, rtol=1e-4)
    left = float(cov[2, 2] - cov[:2, 2] @ weight)
    torch.testing.assert_close(variance[:, 2], torch.full((N,), left), atol=1e-4, rtol=1e-3)
    # The third is nearly the sum of the two others.
    assert left < 0.1


def test_a_hole_in_one_feature_is_kriged_and_then_told_by_the_others(learned, field):
    known = torch.ones(N, F, dtype=torch.bool)
    known[:10, 2] = False
    mean, variance = learned.prior.moments(field, field.x, known)
    given, r = torch.arange(10, N), learned.prior.related[1].double()
    for at in range(10):
        found = [kriged(learned, field, f, given, at) for f in range(F)]
        found = [(m, v.clamp(max=4)) for m, v in found]
        z = torch.stack([(field.x[at, f] - found[f][0]) / found[f][1].sqrt() for f in range(2)])
        weight = torch.linalg.solve(r[:2, :2], r[:2, 2])
        expected = found[2][0] + found[2][1].sqrt() * (weight @ z)
        assert float(mean[at, 2]) == pytest.approx(float(expected), abs=0.02)
        left = float(found[2][1] * (r[2, 2] - weight @ r[:2, 2]))
        assert float(variance[at, 2]) == pytest.approx(max(left, 1e-4), rel=0.05, abs=2e-3)


def test_scattered_values_are_kriged_from_all_others(learned, field):
    known = torch.rand(N, F, generator=torch.Generator().manual_seed(3)) < 0.7
    k, w = learned.prior._kriged(field.pos, field.x * known, known, loo=True)
    for at, feature in [(0, 0), (5, 1), (9, 2), (20, 0), (31, 2)]:
        given = known[:, feature].nonzero().view(-1)
        m, v = kriged(learned, field, feature, given[given != at], at, given)
        assert float(k[at, feature]) == pytest.approx(float(m), abs=0.02)
        assert float(w[at, feature]) == pytest.approx(float(v.clamp(1e-4, 4)), rel=0.05, abs=2e-3)


def test_the_estimate_is_the_gaussian_posterior_of_all_nodes_at_every_noise_level(learned, field):
    """Values hang together: the noisy value of a node tells of the others."""
    path = Gaussian()
    denoiser = Denoiser(learned, path, Target(), "x", for_completion=True)
    known = (torch.arange(N) >= 12)[:, None].expand(N, F)
    mean, variance = (v.double()[:12] for v in learned.prior.moments(field, field.x, known))
    x_t = torch.randn(N, F, generator=torch.Generator().manual_seed(2))
    for t in (0.05, 0.4, 0.7, 0.98):
        at = torch.tensor([t])
        found = denoiser(field, x_t, at, known=Known(field.x, known))
        alpha, sigma = (float(f(at)) for f in (path.schedule.alpha, path.schedule.sigma))
        for g in range(F):
            cov = covariance(learned, field.pos, g)
            across = torch.linalg.solve(cov[12:, 12:], cov[12:, :12])
            left = cov[:12, :12] - cov[:12, 12:] @ across
            left *= (variance[:, g] / left.diagonal()).mean()
            noisy = alpha**2 * left + sigma**2 * torch.eye(12)
            gain = torch.linalg.solve(noisy, alpha * left).T
            expected = mean[:, g] + gain @ (x_t[:12, g].double() - alpha * mean[:, g])
            # Float32 with condition numbers up to 1 / .003; where predictions are clamped, a little more.
            torch.testing.assert_close(found[:12, g].double(), expected, atol=5e-3, rtol=5e-3)
        assert torch.equal(found[12:], field.x[12:])


@pytest.mark.slow
def test_untrained_it_draws_fields_that_hang_together(learned, field):
    scaling = nf.geometry.Scaling((0.0, 0.0), 1.0, (0.0,) * F, (1.0,) * F)
    model = nf.Model(learned, variable="x", for_completion=True, summary=nf.geometry.DataSummary(scaling))
    done = model.complete(
        field, torch.zeros(N, dtype=torch.bool), draws=800, steps=20, solver=nf.sample.DPMSolver(), seed=0
    )
    for g in range(F):
        expected = covariance(learned, field.pos, g).float()
        found = torch.corrcoef(done.values[..., g].T)
        error = (found - expected / (1 + 1e-4)).abs()
        # Chance leaves .028 on average, and .15 at most of 780 pairs.
        assert float(error.mean()) < 0.04
        assert float(error.max()) < 0.17


def test_places_are_relative_for_the_network_within(patches):
    seen = []

    class Look(Zero):
        def forward(self, graphs, log_snr, label=None):
            seen.append(graphs.pos)
            return super().forward(graphs, log_snr, label)

    net = KrigingResidual(Look(), F, 2, kernels=2).eval()
    x = torch.zeros(patches.num_nodes, 2 * F)
    for shift in (0.0, 5.0):
        net(patches.replace(pos=patches.pos + shift, x=x), torch.zeros(4))
    middle = torch.stack([p.mean(0) for p in patches.replace(pos=seen[0]).unpack()])
    torch.testing.assert_close(middle, torch.zeros(4, 2), atol=1e-5, rtol=0)
    torch.testing.assert_close(seen[0], seen[1], atol=1e-5, rtol=0)


def test_each_feature_takes_the_covariance_that_predicts_it(patches):
    """Noise is told from waves: one has a nugget near 1, and its law is not that of the others."""
    x = patches.x.clone()
    x[:, 1] = torch.randn(240, generator=torch.Generator().manual_seed(5))
    net = KrigingResidual(Zero(), F, 2, kernels=2).learn(patches.replace(x=x))
    assert net.prior.nugget[net.prior.choice[1]] > 0.9
    assert net.prior.nugget[net.prior.choice[0]] < 0.2
    assert torch.equal(net.prior.choice[[0, 2]] == net.prior.choice[1], torch.tensor([False, False]))


def test_told_nothing_it_is_as_without(learned, field):
    mean, variance = learned.prior.moments(field, field.x, torch.zeros(N, F, dtype=torch.bool))
    assert torch.equal(mean, torch.zeros(N, F))
    torch.testing.assert_close(variance, learned.prior.related[0].diagonal().expand(N, F))


def test_graphs_of_a_batch_do_not_see_each_other(learned, patches):
    known = torch.rand(patches.num_nodes, F, generator=torch.Generator().manual_seed(0)) < 0.5
    known[:60] = torch.arange(60)[:, None] > 20
    together = learned.prior.moments(patches, patches.x, known)[0]
    alone = [
        learned.prior.moments(patches[i], patches[i].x, known[60 * i : 60 * (i + 1)])[0] for i in range(4)
    ]
    assert torch.equal(together, torch.cat(alone))


def derivative(net, x, log_snr, step):
    """Along one direction: by autograd, which must be finite, and by differences."""
    random = torch.Generator().manual_seed(1)
    graphs = Graphs.ragged([torch.rand(12, 2, generator=random)])

    def answer(state):
        inputs = graphs.replace(x=torch.cat([state, torch.zeros_like(state)], 1))
        return (net(inputs, torch.tensor([log_snr])) * weight).sum()

    weight, along = (torch.randn(x.shape, generator=random) for _ in range(2))
    at = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(answer(at), at)
    assert bool(torch.isfinite(gradient).all())
    with torch.no_grad():
        moved = answer(x + step * along) - answer(x - step * along)
    return float((gradient * along).sum()), float(moved / (2 * step))


@pytest.mark.parametrize("log_snr", [-5.0, 0.0, 3.0])
def test_the_answer_is_differentiated_through_its_prediction(learned, log_snr):
    """The predicted mean follows the state; likelihoods and reconstruction need its derivative."""
    x = torch.randn(12, F, generator=torch.Generator().manual_seed(0))
    by_autograd, by_differences = derivative(learned.eval(), x, log_snr, 1e-2)
    # float32 leaves 1e-6 / 1e-2, and the curvature 1e-4, of numbers of the order of 10.
    assert by_autograd == pytest.approx(by_differences, rel=1e-2, abs=1e-2)


def test_a_model_keeps_what_was_learned(patches, tmp_path):
    torch.manual_seed(0)
    inner = SetTransformer(2, 4 * F, F, width=16, blocks=1)
    net = KrigingResidual(inner, F, 2, kernels=2).learn(patches)
    model = nf.Model(net, variable="x", for_completion=True)
    model.fit(patches, steps=2, batch=2, out=tmp_path / "run")
    again = nf.Model.from_pretrained(tmp_path / "run" / "model")
    known = torch.arange(240) % 60 > 20
    first, second = (m.complete(patches, known, draws=2, steps=2).values for m in (model, again))
    assert torch.equal(first, second)
    assert torch.equal(again.net.prior.related, net.prior.related)


def test_the_steps_of_a_solver_predict_once(learned, field, monkeypatch):
    asked = []
    predict = FieldPrior._predict
    monkeypatch.setattr(FieldPrior, "_predict", lambda self, *a: asked.append(a) or predict(self, *a))
    learned.prior._kept.clear()
    denoiser = Denoiser(learned, Gaussian(), Target(), "x", for_completion=True)
    known = (torch.arange(N) >= 12)[:, None].expand(N, F)
    for step in range(4):
        state = torch.randn(N, F, generator=torch.Generator().manual_seed(step))
        denoiser(field, state, torch.tensor([0.9 - 0.2 * step]), known=Known(field.x, known))
    assert len(asked) == 1


# -- silent features -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def silent():
    """Fields of two features, the first zero where a rough wave is low, in standard deviations."""
    torch.manual_seed(4)
    pos = torch.rand(6 * 80, 2) * 3
    wave = (2 * pos[:, 0]).sin() + (2 * pos[:, 1]).cos() + 0.7 * torch.randn(480)
    x = torch.stack([(wave - 0.6).clamp(min=0), wave], 1)
    graphs = Graphs(pos, (x - x.mean(0)) / x.std(0, correction=0), torch.arange(7) * 80)
    return graphs, KrigingResidual(Zero(), 2, 2, kernels=2).learn(graphs).eval()


def test_a_silent_feature_has_a_spike_and_another_has_none(silent):
    graphs, net = silent
    low = graphs.x.amin(0)
    assert float((graphs.x[:, 0] == low[0]).float().mean()) > 0.5
    assert float(net.prior.belief[0]) >= 0
    assert float(net.prior.belief[1]) == -1
    assert torch.equal(net.prior.spike, low)
    above = graphs.x[:, 0][graphs.x[:, 0] > low[0]] - low[0]
    torch.testing.assert_close(net.prior.above[1, 0], above.mean())
    torch.testing.assert_close(net.prior.slab[0], above.var(correction=0))


def test_a_spike_foretells_held_out_values_better_than_a_normal_law(silent):
    graphs, net = silent
    field = graphs[:1]
    known = (torch.arange(80) >= 25)[:, None].expand(80, 2)
    mean, variance = net.prior.moments(field, field.x, known)
    law = net.distribution(field, field.x, known)
    normal = crps(field.x, mean, variance.sqrt())[:25, 0].mean()
    # Measured .24 for .29; half of that must remain.
    assert float(law.crps(field.x)[:25, 0].mean()) < 0.92 * float(normal)


@pytest.mark.slow
def test_the_estimate_of_a_silent_feature_is_the_posterior(silent):
    graphs, net = silent
    field = graphs[:1]
    path = Gaussian()
    denoiser = Denoiser(net, path, Target(), "x", for_completion=True)
    known = (torch.arange(80) >= 12)[:, None].expand(80, 2)
    (told,) = net.prior.posterior(field, field.x, known)
    x_t = torch.randn(80, 2, generator=torch.Generator().manual_seed(2))
    for t in (0.4, 0.7, 0.95):
        at = torch.tensor([t])
        found = denoiser(field, x_t, at, known=Known(field.x, known))[:12].double()
        alpha, sigma = (f(at) for f in (path.schedule.alpha, path.schedule.sigma))
        size = (alpha**2 + sigma**2).sqrt()
        law = net.prior.distribution(*told.given_noisy(x_t / size, alpha[0] / size[0], sigma[0] / size[0]))
        draws = law.draw(100_000, torch.Generator().manual_seed(0))[:, :12].double()
        weight = torch.exp(-((x_t[:12].double() - alpha * draws) / sigma).square() / 2)
        weight /= weight.sum(0)
        expected = (weight * draws).sum(0)
        error = (weight.square() * (draws - expected).square()).sum(0).sqrt()
        assert bool(((found - expected).abs() < 5 * error + 1e-3).all())


@pytest.mark.slow
def test_untrained_it_draws_its_law(silent):
    graphs, net = silent
    field = graphs[:1]
    known = (torch.arange(80) >= 40)[:, None].expand(80, 2)
    scaling = nf.geometry.Scaling((0.0, 0.0), 1.0, (0.0, 0.0), (1.0, 1.0))
    model = nf.Model(net, variable="x", for_completion=True, summary=nf.geometry.DataSummary(scaling))
    done = model.complete(field, known, draws=400, steps=15, solver=nf.sample.DPMSolver(), seed=0)
    law = net.distribution(field, field.x, known)
    middle = net.prior.spike + 0.2
    drawn = (done.values[:, :40, 0] < middle[0]).float().mean(0)
    mean, variance = (v[:40, 0] for v in law.moments)
    share = 1 - law.share[:40, 0]
    share = share + law.share[:40, 0] * torch.distributions.Normal(
        law.mean[:40, 0], law.variance[:40, 0].sqrt()
    ).cdf(middle[0])
    # 400 draws err by .025 at most, and the solver by as much.
    assert float((drawn - share).abs().mean()) < 0.03
    torch.testing.assert_close(done.values[:, :40, 0].mean(0), mean, rtol=0, atol=0.2)
    spread = done.values[:, :40, 0].std(0) / variance.sqrt()
    assert 0.93 < float(spread.mean()) < 1.07


# What is constant or on few places is also met by `eval.test_degenerate_fields`.
RARER = [
    pytest.param(kind, marks=pytest.mark.slow) for kind in ("sizes", "constant", "two places", "duplicates")
]


@pytest.mark.parametrize("kind", ["rare", *RARER])
def test_poor_data_are_measured_and_drawn(kind):
    torch.manual_seed(0)
    pos, x = torch.rand(4, 30, 2), torch.randn(4, 30, 3)
    if kind == "constant":
        x[..., 0] = 0
    elif kind == "rare":
        x[..., 0] = 0
        x[0, 0, 0] = 9.0
    elif kind == "two places":
        pos = torch.zeros(4, 30, 2)
        pos[:, 1:] = 1
    elif kind == "duplicates":
        pos[:, ::2] = pos[:, 1::2]
    graphs = Graphs.dense(pos, x)
    if kind == "sizes":
        graphs = Graphs.ragged([*pos, torch.rand(1, 2), torch.rand(2, 2)], [*x, x[0, :1], x[0, :2]])
    net = KrigingResidual(Zero(), 3, 2, kernels=2).learn(graphs).eval()
    for known in (
        torch.ones(graphs.num_nodes, 3, dtype=torch.bool).index_fill(1, torch.tensor(0), False),
        (torch.arange(graphs.num_nodes) % 30 > 9)[:, None].expand(-1, 3),
        torch.rand(graphs.num_nodes, 3) < 0.5,
        torch.zeros(graphs.num_nodes, 3, dtype=torch.bool),
    ):
        law = net.distribution(graphs, graphs.x, known)
        assert all(bool(v.isfinite().all()) for v in law.moments)
        noisy = graphs.replace(x=torch.cat([torch.randn_like(graphs.x), known.float()], 1))
        for level in (-8.0, 0.0, 8.0):
            assert bool(net(noisy, torch.full((len(graphs),), level)).isfinite().all())


def test_without_places_apart_nothing_is_measured():
    for pos in (torch.rand(4, 2, 2), torch.ones(4, 30, 2)):
        graphs = Graphs.dense(pos, torch.randn(*pos.shape[:2], 3))
        with pytest.raises(ValueError, match="three nodes"):
            KrigingResidual(Zero(), 3, 2).learn(graphs)


@pytest.mark.parametrize(
    ("nodes", "features"),
    [(12, 8), *(pytest.param(*c, marks=pytest.mark.slow) for c in ((4, 40), (12, 3), (400, 3)))],
)
def test_covariance_between_features_is_shrunk_by_their_number_and_that_of_nodes(nodes, features):
    """Towards its diagonal, by ridge + f / 4n and at most entirely; the jitter of 1e-4 is added."""
    generator = torch.Generator().manual_seed(6)
    x = torch.randn(1, nodes, features, generator=generator)
    x = x + 0.8 * x.mean(2, keepdim=True)
    graphs = Graphs.dense(torch.rand(1, nodes, 2, generator=generator), x)
    for ridge in (0.02, 0.3):
        prior = FieldPrior(features, 2, kernels=1).learn(graphs, ridge=ridge)
        share = min(1.0, ridge + features / (4 * nodes))
        cov = x[0].T @ x[0] / nodes
        expected = (1 - share) * cov + torch.diag(share * cov.diagonal() + 1e-4)
        # Rounding of float32, with values clamped at 8 that are far below.
        torch.testing.assert_close(prior.related[0], expected, rtol=1e-5, atol=1e-6)
        # A third of the nodes are in the hole, and every node is left out in turn.
        for case, seen in ((1, nodes // 3 + 1), (2, nodes)):
            off = prior.related[case] - torch.diag(prior.related[case].diagonal())
            assert bool((off == 0).all()) == (ridge + features / (4 * seen) >= 1)
