"""Conditional log-likelihood against Gaussian processes, whose conditionals have a closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import pytest
import torch
from torch import Tensor, nn

from noisefold.geometry import Graphs, Scaling
from noisefold.nn import Denoiser, SetTransformer
from noisefold.noise import Gaussian, GPNoise, Nugget, Stationary, Streams, Target, variable_of
from noisefold.noise.variable import Known
from noisefold.sample import (
    Bound,
    EvidenceBound,
    ProbabilityFlow,
    conditional_log_prob,
    consistency_gap,
    log_det,
    log_prob,
)
from noisefold.sample.densities import UnitState
from noisefold.sample.probability_flow import trace
from noisefold.theory import Field, GaussianProcess, SquaredExponential

SMOOTH = Stationary(SquaredExponential(0.4)) + Nugget(0.05**2)
CORRELATED = GPNoise(Stationary(SquaredExponential(0.5), 0.9) + Nugget(0.1))
# The noisy end holds exp(-16) of the data, so that what is left is the solver's error at 20 steps.
FINE = ProbabilityFlow(steps=20, log_snr=(9.0, -16.0))
KNOWN = torch.tensor([True, False, False, True, False, False, False, True, False, False])


@dataclass
class Exact:
    """The exact denoiser of a Gaussian process, on whole graphs and given observed nodes."""

    law: GaussianProcess
    path: Gaussian
    for_completion: bool = True
    given: GaussianProcess | None = None
    made: dict[tuple[int, int, bool], Field] = field(default_factory=dict)
    variable = variable_of("x")

    def __call__(
        self, graphs: Graphs, x: Tensor, t: Tensor, label: object = None, known: Known[Tensor] | None = None
    ) -> Tensor:
        key = (len(graphs), graphs.num_nodes, known is None)
        if key not in self.made:
            law = self.law if known is None else self.given or self.law
            self.made[key] = law.on(graphs, self.path)
            if known is not None:
                self.made[key] = unknown_part(self.made[key], known)
        if known is None:
            return self.made[key].denoise(x, t)
        rest = ~known.mask[:, 0]
        estimate = self.made[key].denoise(x[rest], t)
        return known.value.clone().masked_scatter(rest[:, None].expand_as(x), estimate)


def unknown_part(whole: Field, known: Known[Tensor]) -> Field:
    """The conditional law of the unknown nodes, under noise that is drawn for these alone."""
    rest = ~known.mask[: whole.mean.shape[1], 0]
    conditional = whole.given(known.value, ~rest)
    pos = whole.graphs.pos.reshape(len(whole.graphs), len(rest), -1)[:, rest]
    return replace(
        conditional,
        graphs=Graphs.dense(pos),
        mean=conditional.mean[:, rest],
        covariance=conditional.covariance[rest][:, rest],
        noise=None if whole.noise is None else whole.noise[rest][:, rest],
    )


def fields(path: Gaussian, columns: int = 2, graphs: int = 2) -> tuple[Exact, Graphs]:
    pos = torch.linspace(-1, 1, len(KNOWN), dtype=torch.float64)[:, None]
    bare = Graphs.dense(pos.expand(graphs, -1, -1))
    law = GaussianProcess(SMOOTH)
    x = law.on(bare, path).sample(columns, Streams(0, range(graphs)))
    return Exact(law, path), bare.replace(x=x)


def closed_form(graphs: Graphs, path: Gaussian, known: Tensor, noisy_context: bool) -> Tensor:
    """Log-density of the unknown nodes of a state at the data's log-SNR, given the known ones."""
    keep = 1 / (1 + math.exp(-FINE.log_snr[0]))
    pos = graphs.pos[: len(known)]
    noise = torch.eye(len(pos)).double() if path.source.white else path.source.covariance(pos)
    floor = math.exp(-FINE.log_snr[0]) * noise
    clean = SMOOTH.matrix(pos)
    observed = (clean + floor if noisy_context else clean)[known][:, known]
    across = (clean + floor if noisy_context else clean)[~known][:, known]
    gain = torch.linalg.solve(observed, across.mT).mT
    values = graphs.x.reshape(len(graphs), len(pos), -1).mT
    mean = values[..., known] @ gain.mT * (1 if noisy_context else math.sqrt(keep))
    covariance = keep * ((clean + floor)[~known][:, ~known] - gain @ across.mT)
    normal = torch.distributions.MultivariateNormal(mean, covariance)
    return normal.log_prob(values[..., ~known]).sum(1)


@pytest.mark.parametrize("source", [None, CORRELATED], ids=["white", "correlated"])
def test_direct_density_of_an_exact_denoiser(source):
    """Fourteen numbers of each graph are free; the error of 20 steps stays below 2e-4 a number."""
    path = Gaussian(margin=1e-4) if source is None else Gaussian(source=source, margin=1e-4)
    exact, graphs = fields(path)
    found = log_prob(path, exact, graphs, known=KNOWN.repeat(2), method=FINE)
    truth = closed_form(graphs, path, KNOWN, noisy_context=False)
    torch.testing.assert_close(found.value + found.end_error, truth, rtol=0, atol=2.8e-3)
    assert found.nodes.tolist() == [7, 7]
    assert found.numbers.tolist() == [14, 14]
    assert found.error.tolist() == [0, 0]


@pytest.mark.parametrize("source", [None, CORRELATED], ids=["white", "correlated"])
def test_joint_density_less_that_of_the_context(source):
    path = Gaussian(margin=1e-4) if source is None else Gaussian(source=source, margin=1e-4)
    exact, graphs = fields(path)
    found = conditional_log_prob(exact, graphs, KNOWN.repeat(2), route="joint", method=FINE)
    truth = closed_form(graphs, path, KNOWN, noisy_context=True)
    torch.testing.assert_close(found.value, truth, rtol=0, atol=2.8e-3)
    assert found.nodes.tolist() == [7, 7]
    assert found.numbers.tolist() == [14, 14]


@pytest.mark.slow
def test_a_consistent_denoiser_has_no_gap_and_another_has_one():
    """What is left of the gap is the noise exp(-9) on the context, which the direct route has not."""
    path = Gaussian(margin=1e-4)
    exact, graphs = fields(path, columns=1)
    known = KNOWN.repeat(2)
    assert float(consistency_gap(exact, graphs, known, method=FINE).abs().max()) < 5e-3
    other = replace(
        exact, made={}, given=GaussianProcess(Stationary(SquaredExponential(0.1)) + Nugget(0.05**2))
    )
    assert float(consistency_gap(other, graphs, known, method=FINE).mean()) > 0.1


def test_default_route_is_what_the_denoiser_can():
    path = Gaussian()
    exact, graphs = fields(path)
    known, method = KNOWN.repeat(2), ProbabilityFlow(steps=2)
    for can, route in ((True, "direct"), (False, "joint")):
        one = replace(exact, made={}, for_completion=can)
        values = [conditional_log_prob(one, graphs, known, route=r, method=method) for r in (None, route)]
        assert torch.equal(values[0].value, values[1].value)


def test_bound_of_an_exact_denoiser_is_the_density():
    path = Gaussian(margin=1e-4)
    exact, graphs = fields(path)
    method = EvidenceBound(16, 16, log_snr=FINE.log_snr)
    found = log_prob(path, exact, graphs, known=KNOWN.repeat(2), method=method)
    truth = closed_form(graphs, path, KNOWN, noisy_context=False)
    assert float(((found.value - truth).abs() / found.error).max()) < 4
    assert float(found.error.max()) < 1.5


# -- ragged graphs, entries, batches -------------------------------------------------------------------------


def learned() -> Denoiser[Tensor, Tensor]:
    torch.manual_seed(0)
    net = SetTransformer(2, 4, 2, width=16, blocks=1, heads=2).double()
    nn.init.normal_(net.head.weight, std=0.3)
    return Denoiser(net, Gaussian(), Target(), "x", for_completion=True).eval()


def ragged() -> tuple[Graphs, Tensor]:
    random = torch.Generator().manual_seed(1)
    sizes = [5, 1, 8, 3]
    pos, x = (torch.randn(sum(sizes), 2, generator=random, dtype=torch.float64) for _ in range(2))
    ptr = torch.tensor([0, *sizes]).cumsum(0)
    known = torch.rand(sum(sizes), 2, generator=random) < 0.4
    known[5], known[14:] = False, True  # nothing and everything of a graph
    return Graphs(pos, x, ptr), known


def test_divergence_is_that_of_what_is_free():
    denoiser, (graphs, known) = learned(), ragged()
    log_snr = torch.tensor(0.5, dtype=torch.float64)

    def flow(some: Graphs, mask: Tensor) -> tuple[UnitState, object]:
        bound = Bound(denoiser, some).given(Known(some.x, mask, some.batch))
        state = UnitState(denoiser.path, bound, some, some.x, (13.0, -7.0), ~mask)
        return state, lambda y: state.velocity(y, log_snr)

    state, velocity = flow(graphs, known)
    at = graphs.x.clone().requires_grad_()
    found = trace(velocity(at), at, state)[0]
    parts = known.split(graphs.sizes.tolist())
    jacobians = [
        torch.autograd.functional.jacobian(flow(g, k)[1], g.x) for g, k in zip(graphs, parts, strict=True)
    ]
    truth = torch.stack([j.reshape(j.shape[0] * 2, -1).trace() for j in jacobians])
    torch.testing.assert_close(found, truth, rtol=1e-10, atol=1e-12)
    assert state.numbers.tolist() == [float((~k).sum()) for k in parts]


@pytest.mark.parametrize(
    "method", [ProbabilityFlow(1), ProbabilityFlow(1, exact_below=0), EvidenceBound(2, 2)]
)
def test_batches_do_not_matter(method):
    denoiser, (graphs, known) = learned(), ragged()
    one, all_ = (
        log_prob(denoiser.path, denoiser, graphs, known=known, method=method, batch=b) for b in (1, 8)
    )
    torch.testing.assert_close(one.value, all_.value, rtol=1e-10, atol=1e-10)
    assert one.value[3] == 0, "a graph of which all is known has the density of nothing"
    assert one.nodes.tolist()[1:] == [1, int((~known[6:14]).any(1).sum()), 0]


def test_values_that_are_free_are_not_seen():
    """The density of a value is a function of it; what the network conditions on is the observed ones."""
    denoiser, (graphs, known) = learned(), ragged()
    graphs, known, seen = graphs[:3], known[:14], []
    denoiser.net.register_forward_pre_hook(lambda _, args: seen.append(args[0].x.detach()))
    log_prob(denoiser.path, denoiser, graphs, known=known, method=ProbabilityFlow(1, exact_below=0))
    for state in seen:
        assert len(state) == graphs.num_nodes
        assert torch.equal(state[:, 2:].sum(0).long(), known.sum(0))
        given = state[:, :2][state[:, 2:] > 0.5]
        assert torch.equal(given.sort().values, graphs.x[known].sort().values)


@pytest.mark.parametrize("columns", [False, True])
def test_units(columns):
    """The density of the free values alone changes with the scale."""
    graphs, known = ragged()
    mask = known if columns else known[:, 0]
    scaling = Scaling((0.0, 0.0), 1.0, (1.0, 2.0), (3.0, 7.0))
    free = ~(known if columns else mask[:, None].expand(-1, 2))
    each = (free * torch.tensor([3.0, 7.0]).double().log()).sum(1)
    truth = -each.new_zeros(4).index_add(0, graphs.batch, each)
    torch.testing.assert_close(log_det(scaling, graphs, "x", mask), truth, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(
    ("known", "how", "says"),
    [
        (torch.ones(17, dtype=torch.bool), {"route": "both"}, "route"),
        (torch.ones(3, dtype=torch.bool), {}, "known"),
        (torch.ones(17), {}, "known"),
        (torch.arange(34).view(17, 2) % 3 == 0, {"route": "joint"}, "known"),
    ],
)
def test_refused(known, how, says):
    graphs, _ = ragged()
    with pytest.raises(ValueError, match=says):
        conditional_log_prob(learned(), graphs, known, **how)


def test_direct_needs_a_denoiser_for_completion():
    graphs, known = ragged()
    net = SetTransformer(2, 2, 2, width=16, blocks=1, heads=2).double()
    with pytest.raises(ValueError, match="for_completion"):
        conditional_log_prob(Denoiser(net, Gaussian(), Target(), "x"), graphs, known, route="direct")
