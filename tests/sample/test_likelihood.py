"""Log-likelihood against closed forms: mixtures, Gaussian processes, the change of variables.

Values are compared with the density at the data's log-SNR, so that what is measured is the method alone;
tests of the ends say what those leave.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from crossed import crossed
from noisefold import noise
from noisefold.geometry import Chain, Graphs, Scaling
from noisefold.nn import Denoiser, SetTransformer
from noisefold.noise import (
    VE,
    VP,
    Gaussian,
    GPNoise,
    Linear,
    Nugget,
    QuasiRandom,
    Schedule,
    Stationary,
    Target,
    variable_of,
)
from noisefold.noise.variable import Features, Positions, Variable
from noisefold.sample import (
    Bound,
    EvidenceBound,
    LogProb,
    ProbabilityFlow,
    log_det,
    log_prob,
    probability_flow,
)
from noisefold.sample.densities import UnitState
from noisefold.sample.probability_flow import trace
from noisefold.theory import Field, GaussianMixture, GaussianProcess, SquaredExponential

POSITIONS, FEATURES = Positions(), Features()
SCHEDULES = [value() for value in vars(noise).values() if Schedule in getattr(value, "__mro__", ())[1:]]
SOME = pytest.mark.parametrize(
    "schedule",
    [s if s in (Linear(), VE()) else pytest.param(s, marks=pytest.mark.slow) for s in SCHEDULES],
    ids=repr,
)
EVERY = pytest.mark.parametrize("schedule", [*SCHEDULES, VP(0.0, 12.0)], ids=repr)
MIXTURE = GaussianMixture(
    weights=(0.3, 0.7),
    means=((-1.1, 0.5), (0.6, -0.4)),
    covariances=(((0.1, 0.02), (0.02, 0.2)), ((0.25, 0.0), (0.0, 0.4))),
)
SMOOTH = Stationary(SquaredExponential(0.25)) + Nugget(0.05**2)
SOURCE = GPNoise(Stationary(SquaredExponential(0.5), 0.9) + Nugget(0.1))


def scalar(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def draws(count: int = 8) -> Graphs:
    return Graphs.dense(MIXTURE.sample(count, torch.Generator().manual_seed(0))[:, None])


@dataclass
class Points:
    """The exact denoiser of nodes that are independent draws of a law."""

    law: GaussianMixture
    path: Gaussian
    variable: Variable[Tensor] = POSITIONS

    def __call__(self, graphs: Graphs, x: Tensor, t: Tensor, *_: object) -> Tensor:
        return self.law.denoise(x, t[0], self.path)

    def density(self, graphs: Graphs, x: Tensor, t: Tensor) -> Tensor:
        each = self.law.log_prob(x, t, self.path)
        return each.new_zeros(len(graphs)).index_add(0, graphs.batch, each)


@dataclass
class OnField:
    """The exact denoiser of Gaussian fields on graphs that all have the same positions."""

    law: GaussianProcess
    path: Gaussian
    variable: Variable[Tensor] = FEATURES
    known: Field | None = None

    def field(self, graphs: Graphs) -> Field:
        if self.known is None or len(self.known.graphs) != len(graphs):
            self.known = self.law.on(graphs, self.path)
        return self.known

    def __call__(self, graphs: Graphs, x: Tensor, t: Tensor, *_: object) -> Tensor:
        return self.field(graphs).denoise(x, t)

    def density(self, graphs: Graphs, x: Tensor, t: Tensor) -> Tensor:
        return self.field(graphs).log_prob(x, t)


def standardised(density, path: Gaussian, graphs: Graphs, value: Tensor, log_snr: float) -> Tensor:
    """Log-density of the state at unit scale, from that of the state on its path."""
    t = path.schedule.time(scalar(log_snr))
    scale = path.scale(t)
    return density(graphs, scale * value, t) + graphs.sizes * value.shape[1] * scale.log()


def fields(path: Gaussian, columns: int = 1, graphs: int = 3, nodes: int = 20) -> tuple[OnField, Graphs]:
    pos = torch.linspace(-1, 1, nodes, dtype=torch.float64)[:, None]
    bare = Graphs.dense(pos.expand(graphs, nodes, 1))
    law = OnField(GaussianProcess(SMOOTH), path)
    x = law.field(bare).sample(columns, noise.Streams(0, range(graphs)))
    return law, bare.replace(x=x)


# -- the probability flow ------------------------------------------------------------------------------------


@EVERY
def test_value_is_that_of_a_mixture(schedule):
    """From nearer to the data than most networks; the method's error at 40 steps is 2e-5."""
    path = Gaussian(schedule)
    law, graphs = Points(MIXTURE, path), draws()
    found = log_prob(path, law, graphs, method=ProbabilityFlow(40), end=law.density)
    truth = standardised(law.density, path, graphs, graphs.pos, found.log_snr[0])
    assert found.kind == "exact"
    assert not found.error.any()
    assert float((found.per_point - truth).abs().max()) < 1e-4


def test_value_of_the_data_themselves():
    """With the default ends: the noise of variance e^-13 that the data keep moves the value by less."""
    path = Gaussian()
    law = Points(MIXTURE, path)
    found = log_prob(path, law, draws(), method=ProbabilityFlow(40), end=law.density)
    truth = MIXTURE.log_prob(draws().pos, scalar(0.0), path)
    assert float((found.per_point - truth).abs().max()) < 1e-4


@pytest.mark.parametrize(
    ("source", "schedule"), crossed([noise.White(), SOURCE], [*SCHEDULES, VP(0.0, 12.0)]), ids=repr
)
def test_value_is_that_of_a_field(schedule, source):
    path = Gaussian(schedule, source)
    law, graphs = fields(path, columns=2)
    found = log_prob(path, law, graphs, method=ProbabilityFlow(30), end=law.density)
    truth = standardised(law.density, path, graphs, graphs.x, found.log_snr[0])
    assert found.numbers.tolist() == [40, 40, 40]
    assert float(((found.value - truth) / graphs.sizes / 2).abs().max()) < 1e-4


def test_value_of_the_fields_themselves():
    """Fields with noise of 0.05: at log-SNR 13.59 it is the data's own noise that sets the error."""
    path = Gaussian()
    law, graphs = fields(path)
    found = log_prob(path, law, graphs, method=ProbabilityFlow(40, log_snr=(13.59, -7.0)), end=law.density)
    truth = law.density(graphs, graphs.x, scalar(0.0))
    assert float((found.value - truth).div(graphs.sizes).abs().max()) < 1e-4


@EVERY
@pytest.mark.parametrize("source", [noise.White(), SOURCE], ids=["white", "correlated"])
def test_data_with_the_distribution_of_the_noise_are_exact(schedule, source):
    """The flow stands still, so that any number of steps gives log N(x; 0, K)."""
    path = Gaussian(schedule, source)
    pos = torch.linspace(-1, 1, 7, dtype=torch.float64)[:, None]
    graphs = Graphs.dense(pos.expand(3, 7, 1), torch.randn(3, 7, 2, dtype=torch.float64))

    def best(graphs, x, t, *_):
        return schedule.alpha(t[0]) / path.scale(t[0]) ** 2 * x

    best.variable = variable_of("x")
    found = log_prob(path, best, graphs, method=ProbabilityFlow(1))
    covariance = torch.eye(7).double() if source == noise.White() else source.covariance(pos)
    normal = torch.distributions.MultivariateNormal(torch.zeros(7).double(), covariance)
    truth = normal.log_prob(graphs.x.reshape(3, 7, 2).mT).sum(1)
    torch.testing.assert_close(found.value, truth, rtol=1e-11, atol=1e-9)
    assert float(found.end_error.abs().max()) < 1e-9


@pytest.mark.slow
def test_method_is_of_order_4():
    """Half the step, a sixteenth of the error; against the flow itself with 160 steps."""
    path = Gaussian()
    law, graphs = fields(path)
    values = {n: log_prob(path, law, graphs, method=ProbabilityFlow(n)).value for n in (20, 40, 160)}
    errors = [float((values[n] - values[160]).square().mean().sqrt()) for n in (20, 40)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(4, abs=0.3)


@pytest.mark.slow
@SOME
def test_end_error_is_what_the_normal_end_lacks(schedule):
    """To second order in e^-7 = 1e-3, beside the first order of 1e-2."""
    path = Gaussian(schedule)
    law, graphs = Points(MIXTURE, path), draws()
    plain = log_prob(path, law, graphs, method=ProbabilityFlow(40))
    missing = log_prob(path, law, graphs, method=ProbabilityFlow(40), end=law.density).value - plain.value
    assert float(missing.abs().max()) > 4e-3
    assert float((missing - plain.end_error).abs().max()) < 1e-4


@pytest.mark.slow
@EVERY
def test_schedules_agree(schedule):
    """The density of the data is one, whatever the path to it."""
    ends = (8.0, -3.5)
    value = log_prob(
        Gaussian(schedule), Points(MIXTURE, Gaussian(schedule)), draws(), method=ProbabilityFlow(log_snr=ends)
    ).value
    other = log_prob(
        Gaussian(), Points(MIXTURE, Gaussian()), draws(), method=ProbabilityFlow(log_snr=ends)
    ).value
    torch.testing.assert_close(value, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("wrong", ["half", "sign"])
def test_wrong_flows_are_seen(wrong, monkeypatch):
    """A flow without its factor 1/2, and a divergence of the wrong sign: errors of more than 0.1."""
    velocity = UnitState.velocity
    if wrong == "half":
        monkeypatch.setattr(UnitState, "velocity", lambda *a: 2 * velocity(*a))
    else:
        monkeypatch.setattr(probability_flow, "trace", lambda *a: -trace(*a))
    path = Gaussian()
    law, graphs = Points(MIXTURE, path), draws()
    found = log_prob(path, law, graphs, method=ProbabilityFlow(20), end=law.density)
    truth = MIXTURE.log_prob(graphs.pos, scalar(0.0), path)
    assert float((found.value - truth).abs().max()) > 0.1


# -- networks, batches, guidance -----------------------------------------------------------------------------


def learned(classes: int = 0, variable: str = "pos") -> Denoiser:
    torch.manual_seed(0)
    out = 2
    net = SetTransformer(
        pos_dim=2, features=out * (variable == "x"), out_dim=out, classes=classes, width=8, blocks=1, heads=2
    )
    with torch.no_grad():
        for p in net.parameters():
            p.add_(torch.randn_like(p) * 0.1)
    return Denoiser(net.double().eval(), Gaussian(), Target(), variable)


def ragged(sizes=(5, 1, 8, 3), features: int = 0) -> Graphs:
    random = torch.Generator().manual_seed(1)
    pos = [torch.randn(n, 2, generator=random, dtype=torch.float64) for n in sizes]
    x = [torch.randn(n, features, generator=random, dtype=torch.float64) for n in sizes]
    return Graphs.ragged(pos, x if features else None)


@pytest.mark.parametrize(
    ("method", "variable"),
    crossed(
        [ProbabilityFlow(2), ProbabilityFlow(2, 4, 9), ProbabilityFlow(2, 4, 0), EvidenceBound(2, 4)],
        ["pos", "x"],
    ),
    ids=repr,
)
def test_batches_do_not_matter(variable, method):
    denoiser, graphs = learned(variable=variable), ragged(features=2 * (variable == "x"))
    how = {"method": method}
    one, all_ = (log_prob(denoiser.path, denoiser, graphs, batch=b, **how) for b in (1, 8))
    for name in ("value", "error", "end_error"):
        torch.testing.assert_close(getattr(one, name), getattr(all_, name), rtol=1e-10, atol=1e-10)
    first = log_prob(denoiser.path, denoiser, graphs[:2], **how)
    torch.testing.assert_close(first.value, all_.value[:2], rtol=1e-10, atol=1e-10)
    assert one.nodes.tolist() == [5, 1, 8, 3]


def test_numbering_does_not_matter():
    denoiser, graphs = learned(), ragged()
    order = (
        torch.rand(graphs.num_nodes, generator=torch.Generator().manual_seed(2)) + graphs.batch
    ).argsort()
    values = [
        log_prob(denoiser.path, denoiser, g).value for g in (graphs, graphs.replace(pos=graphs.pos[order]))
    ]
    torch.testing.assert_close(*values, rtol=1e-10, atol=1e-10)


def test_divergence_is_the_trace_of_the_jacobian(monkeypatch):
    """Products one by one and all together are the trace of what autograd gives for each graph alone."""
    denoiser, graphs = learned(), ragged()

    def velocity(some: Graphs):
        state = UnitState(denoiser.path, Bound(denoiser, some), some, some.pos, (13.0, -7.0))
        return state, lambda y: state.velocity(y, scalar(0.5))

    state, field = velocity(graphs)
    at = graphs.pos.clone().requires_grad_()
    many = trace(field(at), at, state)[0]
    monkeypatch.setattr(probability_flow, "_ENTRIES", 1)
    few = trace(field(at), at, state)[0]
    alone = [torch.autograd.functional.jacobian(velocity(g)[1], g.pos) for g in graphs]
    truth = torch.stack([j.reshape(j.shape[0] * 2, -1).trace() for j in alone])
    torch.testing.assert_close(many, truth, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(few, many, rtol=1e-12, atol=1e-12)


class Custom(torch.autograd.Function):
    """A function whose derivative no one can batch."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.tanh()

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return torch.from_numpy(grad.detach().numpy() / x.detach().cosh().square().numpy())


def test_networks_with_derivatives_of_their_own():
    class Net(nn.Module):
        def __init__(self, function):
            super().__init__()
            self.function = function

        def forward(self, graphs, log_snr, label=None):
            return self.function(graphs.pos)

    values = [
        log_prob(Gaussian(), Denoiser(Net(f), Gaussian(), Target()), ragged()).value
        for f in (Custom.apply, torch.tanh)
    ]
    torch.testing.assert_close(*values, rtol=1e-12, atol=1e-12)


@pytest.mark.slow
def test_classes_and_guidance():
    denoiser = learned(classes=3)
    graphs = ragged((3, 1, 2, 4)).replace(label=torch.tensor([0, 1, 2, -1]))
    plain, same, more = (log_prob(denoiser.path, denoiser, graphs, guidance=w).value for w in (1, 1.0, 2.0))
    free = log_prob(denoiser.path, denoiser, graphs.replace(label=torch.full((4,), -1)), guidance=1.0).value
    none = log_prob(denoiser.path, denoiser, graphs, guidance=0.0).value
    assert torch.equal(plain, same)
    assert not torch.allclose(plain[:3], more[:3])
    torch.testing.assert_close(none, free, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(plain[3], more[3], rtol=1e-10, atol=1e-10)


@pytest.mark.slow
def test_hutchinson_is_unbiased():
    """128 probes: within 4 of its own standard errors of the exact value, for each graph and on average."""
    denoiser, graphs = learned(), ragged((5, 8, 3, 9, 7, 6))
    exact = log_prob(denoiser.path, denoiser, graphs, method=ProbabilityFlow(4))
    found = log_prob(denoiser.path, denoiser, graphs, method=ProbabilityFlow(4, 128, 0))
    z = (found.value - exact.value) / found.error
    assert bool((found.error > 1e-4).all())
    assert float(z.abs().max()) < 4
    assert 0.2 < float(z.square().mean()) < 3
    other = log_prob(denoiser.path, denoiser, graphs, method=ProbabilityFlow(4, 128, 0), seed=1)
    assert not torch.equal(found.value, other.value)
    one = log_prob(denoiser.path, denoiser, graphs, method=ProbabilityFlow(4, 1, 0))
    assert bool(one.error.isnan().all())
    assert float(((one.value - exact.value) / found.error).abs().max()) < 4 * 128**0.5


def test_a_few_probes_one_after_another_and_many_together_are_the_same():
    at = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    v = (at @ torch.randn(2, 2, dtype=torch.float64)).tanh() * at.sum()
    cotangents = torch.randn(12, 6, 2, dtype=torch.float64)
    together = probability_flow._rows(v, at, cotangents)
    few = torch.cat([probability_flow._rows(v, at, part) for part in cotangents.split(3)])
    torch.testing.assert_close(few, together)


@pytest.mark.slow
def test_error_of_hutchinson_is_that_of_its_spread():
    """Over 16 seeds with 8 probes: the mean square of (value - exact) / error is that of Student's t, 7/5."""
    denoiser, graphs = learned(), ragged((6,) * 16)
    exact = log_prob(denoiser.path, denoiser, graphs, method=ProbabilityFlow(1)).value
    runs = [
        log_prob(denoiser.path, denoiser, graphs, method=ProbabilityFlow(1, 8, 0), seed=s) for s in range(16)
    ]
    z = torch.stack([(r.value - exact) / r.error for r in runs])
    # 256 numbers with heavy tails: the mean square has a standard error of 0.2.
    assert float(z.square().mean()) == pytest.approx(1.4, abs=0.6)
    assert abs(float(z.mean())) < 0.3


# -- the bound -----------------------------------------------------------------------------------------------


@pytest.mark.slow
@SOME
def test_bound_of_an_exact_denoiser_is_the_density(schedule):
    path = Gaussian(schedule)
    law, graphs = Points(MIXTURE, path), draws(32)
    found = log_prob(path, law, graphs, method=EvidenceBound(20, 32))
    truth = standardised(law.density, path, graphs, graphs.pos, found.log_snr[0])
    z = (found.value - truth) / found.error
    assert found.kind == "bound"
    assert not found.end_error.any()
    assert abs(float(z.mean())) < 4 / 32**0.5
    assert float(z.abs().max()) < 4
    assert float((found.value - truth).mean().abs()) < 0.05


@pytest.mark.slow
def test_bound_of_a_field_under_correlated_noise():
    path = Gaussian(source=SOURCE)
    law, graphs = fields(path)
    found = log_prob(path, law, graphs, method=EvidenceBound(20, 32))
    truth = standardised(law.density, path, graphs, graphs.x, found.log_snr[0])
    assert float(((found.value - truth) / found.error).abs().max()) < 4
    assert float(((found.value - truth) / graphs.sizes).abs().max()) < 0.5


def test_bound_of_normal_data_has_no_noise():
    """Where the residual answer is 0 all is known: log N(x; 0, I) to rounding."""
    graphs = ragged()

    def best(graphs, x, t, *_):
        return (1 - t[0]) / Gaussian().scale(t[0]) ** 2 * x

    best.variable = variable_of("pos")
    found = log_prob(Gaussian(), best, graphs, method=EvidenceBound())
    each = torch.distributions.Normal(0.0, 1.0).log_prob(graphs.pos).sum(1)
    truth = each.new_zeros(4).index_add(0, graphs.batch, each)
    torch.testing.assert_close(found.value, truth, rtol=1e-9, atol=1e-9)
    assert float(found.error.max()) < 1e-9


def test_bound_of_a_wrong_denoiser_lies_below():
    """Estimates of another mixture: the bound on average far below the density of the data."""
    path = Gaussian()
    other = dataclasses.replace(MIXTURE, means=((0.0, 0.0), (0.0, 0.0)))
    found = log_prob(path, Points(other, path), draws(32), method=EvidenceBound(10, 32))
    truth = MIXTURE.log_prob(draws(32).pos, scalar(0.0), path)
    assert float((found.value - truth).mean()) < -0.3


# -- units ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["pos", "x"])
@pytest.mark.parametrize("apart", [(), (-1,)])
def test_units_of_the_data(variable, apart):
    """N(m, S^2) data standardised are N(0, 1); their own density is that plus the log-determinant."""
    graphs = ragged(features=3)
    graphs = graphs.replace(
        pos=graphs.pos * torch.tensor([2.0, 5.0]).double() + 1, x=graphs.x * torch.tensor([0.1, 3.0, 7.0]) - 2
    )
    scaling = Scaling.fit(graphs, apart)
    unit = scaling.apply(graphs)
    value, standard = (graphs.pos, unit.pos) if variable == "pos" else (graphs.x, unit.x)
    middle, scale = (
        (scaling.pos_mean, scaling.axis_scale or [scaling.pos_scale] * 2)
        if variable == "pos"
        else (scaling.x_mean, scaling.x_scale)
    )
    normal = torch.distributions.Normal(*torch.tensor([middle, scale], dtype=torch.float64))

    def total(each: Tensor) -> Tensor:
        return each.new_zeros(4).index_add(0, graphs.batch, each.sum(1))

    truth = total(normal.log_prob(value))
    before = total(torch.distributions.Normal(0.0, 1.0).log_prob(standard))
    zero = torch.zeros(4).double()
    found = LogProb(before, zero, "exact", zero, graphs.sizes, 2 * graphs.sizes, (13.0, -7.0))
    for transform in (scaling, Chain((scaling,))):
        moved = found.plus(log_det(transform, graphs, variable))
        torch.testing.assert_close(moved.value, truth, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(
        log_det(Chain((scaling, scaling)), graphs, variable), 2 * log_det(scaling, graphs, variable)
    )


def test_helpers():
    value = torch.tensor([6.0, -12.0]).double()
    found = LogProb(
        value, value * 0, "exact", value * 0, torch.tensor([2, 3]), torch.tensor([6, 9]), (13.0, -7.0)
    )
    assert len(found) == 2
    assert found.per_point.tolist() == [3.0, -4.0]
    assert found.per_dimension.tolist() == pytest.approx([1.0, -4 / 3])
    assert found.bits_per_dimension.tolist() == pytest.approx([-1 / math.log(2), 4 / 3 / math.log(2)])
    assert "2 graphs" in repr(found)


def test_no_graphs():
    denoiser = learned()
    found = log_prob(denoiser.path, denoiser, ragged()[[]])
    assert len(found) == 0
    assert "0 graphs" in repr(found)


# -- refusals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"batch": 0}, "batch .* 0"),
        ({"method": ProbabilityFlow(log_snr=(-7.0, 13.0))}, "log_snr"),
        ({"method": EvidenceBound(log_snr=(40.0, 30.0))}, "log_snr .*40"),
        ({"guidance": 2.0}, "labels"),
    ],
)
def test_arguments_out_of_range_are_refused(changes, says):
    denoiser = learned()
    with pytest.raises(ValueError, match=says):
        log_prob(denoiser.path, denoiser, ragged(), **changes)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ProbabilityFlow(steps=0), "steps .* 0"),
        (lambda: ProbabilityFlow(probes=0), "probes .* 0"),
        (lambda: EvidenceBound(strata=0), "strata .* 0"),
        (lambda: EvidenceBound(repetitions=1), "repetitions .* 1"),
    ],
)
def test_methods_out_of_range_are_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()


def test_other_paths_and_sources_are_refused():
    denoiser = learned()
    with pytest.raises(ValueError, match=r"path 'discrete' .*Gaussian"):
        log_prob("discrete", denoiser, ragged())
    with pytest.raises(ValueError, match="source QuasiRandom"):
        log_prob(Gaussian(source=QuasiRandom()), denoiser, ragged())


def test_transforms_without_a_jacobian_are_refused():
    class Log:
        """A transformation that says nothing of its derivative."""

    with pytest.raises(ValueError, match="transform Log"):
        log_det(Chain((Log(),)), ragged(), "x")
