"""Solvers of discrete paths with exact denoisers: the sampler's own error, without any draw."""

import networkx as nx
import pytest
import torch

import noisefold as nf
from noisefold.noise import Discrete, Streams, Types
from noisefold.sample import D3PM, CosineGrid, DiscreteFlow, Power, Renoising, Task, Uniform
from noisefold.sample.discrete import flow_rates, mixed_kernel, reweighted_kernel
from noisefold.theory.graph_oracle import FiniteGraphs, propagated

F64 = torch.float64


@pytest.fixture(scope="module")
def law():
    """Three edges that are all absent or all present; unequal weights, since equal ones hide errors."""
    both = [nf.Graphs.from_networkx(g) for g in (nx.empty_graph(3), nx.complete_graph(3))]
    return FiniteGraphs(nf.Graphs.collate(both), (0.6, 0.4))


def path_of(noise):
    return Discrete((1.0,), (0.6, 0.4), noise)


def total_variation(law, noise, solver, grid, steps):
    path = path_of(noise)
    want = torch.tensor([0.6, 0.4, 0.0], dtype=F64)
    return float((propagated(law, path, solver, grid(path, steps)) - want).abs().sum() / 2)


def one_entry(kernel, noise, steps, data):
    """Distribution of one entry after a chain with the exact posterior."""
    keeps = torch.cos(torch.linspace(torch.pi / 2, 0, steps + 1, dtype=F64)) ** 2
    keeps[0], current, k = 0.0, noise, len(noise)
    for keep_t, keep_s in zip(keeps[:-1].tolist(), keeps[1:].tolist(), strict=True):
        joint = data[:, None] * (keep_t * torch.eye(k, dtype=F64) + (1 - keep_t) * noise)
        posterior = (joint / joint.sum(0).clamp(min=1e-300)).T
        current = current @ kernel(posterior, torch.arange(k), keep_s, keep_t, noise)
    return current


def test_chain_of_one_entry_is_exact_and_the_reweighted_one_is_not():
    data = torch.tensor([0.7, 0.2, 0.1], dtype=F64)
    for noise in (data, torch.full((3,), 1 / 3, dtype=F64), torch.tensor([0.0, 0.0, 1.0], dtype=F64)):
        assert (one_entry(mixed_kernel, noise, 10, data) - data).abs().sum() / 2 < 1e-12
    uniform = torch.full((3,), 1 / 3, dtype=F64)
    assert (one_entry(reweighted_kernel, uniform, 10, data) - data).abs().sum() / 2 > 0.03


@pytest.mark.parametrize("eta", [0.0, 3.0])
def test_rates_satisfy_the_kolmogorov_equation(eta):
    torch.manual_seed(0)
    for k in (2, 6):
        shares = torch.softmax(torch.randn(k, dtype=F64), 0)
        for noise in (shares, torch.full((k,), 1 / k, dtype=F64), torch.eye(k, dtype=F64)[-1]):
            for keep in (0.0, 0.3, 0.9):
                rates = flow_rates(keep, noise, eta)
                p = keep * torch.eye(k, dtype=F64) + (1 - keep) * noise
                gained = torch.einsum("ax,axz->az", p, rates) - p * rates.sum(2)
                assert (gained - (torch.eye(k, dtype=F64) - noise)).abs().max() < 1e-10


def test_target_guidance_breaks_the_kolmogorov_equation():
    noise = torch.tensor([0.5, 0.3, 0.2], dtype=F64)
    rates, eye = flow_rates(0.5, noise, omega=0.1), torch.eye(3, dtype=F64)
    p = 0.5 * eye + 0.5 * noise
    gained = torch.einsum("ax,axz->az", p, rates) - p * rates.sum(2)
    assert (gained - (eye - noise)).abs().max() > 0.01


# Bounds: what exact propagation gives, rounded up; they hold at any seed since nothing is drawn.
@pytest.mark.parametrize(
    ("noise", "solver", "grid", "steps", "bound"),
    [
        ("uniform", D3PM(), CosineGrid(), 10, 0.010),
        ("uniform", D3PM(), CosineGrid(), 50, 0.002),
        ("marginal", D3PM(), CosineGrid(), 50, 0.002),
        ("uniform", DiscreteFlow(), Uniform(), 50, 0.005),
        ("uniform", DiscreteFlow(), Power(2), 10, 0.010),
        ("marginal", DiscreteFlow(), Power(2), 10, 0.010),
        ("marginal", DiscreteFlow(eta=1.0), Power(2), 50, 0.002),
    ],
)
def test_samplers_approach_a_law_of_dependent_edges(law, noise, solver, grid, steps, bound):
    assert total_variation(law, noise, solver, grid, steps) < bound


def test_absorbing_noise_needs_more_steps(law):
    absorbing = total_variation(law, "absorbing", DiscreteFlow(), Uniform(), 50)
    uniform = total_variation(law, "uniform", DiscreteFlow(), Uniform(), 50)
    assert 6 * uniform < absorbing < 0.02


def test_renoising_keeps_an_error_however_many_steps(law):
    errors = [total_variation(law, "marginal", Renoising(), Power(2), n) for n in (50, 200)]
    assert min(errors) > 0.02


def test_draws_have_the_propagated_distribution(law):
    path, count = path_of("marginal"), 2000
    frame = nf.Graphs(torch.zeros(3 * count, 0), ptr=3 * torch.arange(count + 1))
    times = Power(2)(path, 10)
    task = Task(law.denoiser(path), path, times, frame, Streams(0, range(count)), Types())
    start = path.prior(frame, Types().read(frame), times[0], task.random)
    edges = DiscreteFlow()(task, start).pairs.view(count, 3).sum(1)
    found = torch.stack([(edges == 0).double().mean(), (edges == 3).double().mean()])
    want = propagated(law, path, DiscreteFlow(), times)[:2]
    assert (found - want).abs().max() < 4 * (0.25 / count) ** 0.5


def test_too_large_a_rate_is_refused(law):
    with pytest.raises(ValueError, match="eta"):
        total_variation(law, "marginal", DiscreteFlow(eta=50.0), Uniform(), 10)
    with pytest.raises(ValueError, match="omega"):
        DiscreteFlow(omega=-1.0)


def test_grids_end_exactly_at_noise_and_data():
    path = path_of("uniform")
    for grid in (Uniform(), Power(3), CosineGrid()):
        times = grid(path, 7)
        assert times[0] == 1
        assert times[-1] == 0
        assert (times.diff() < 0).all()
    with pytest.raises(ValueError, match="power"):
        Power(0.5)


def test_a_state_that_the_estimate_rules_out_stays():
    path = path_of("absorbing")
    graphs = nf.Graphs.collate([nf.Graphs.from_networkx(nx.empty_graph(3))] * 4)
    nodes = torch.zeros(graphs.num_nodes, dtype=torch.int64)
    state = nf.noise.Categories(nodes, torch.zeros(12, dtype=torch.int64))  # no edges, and none hidden

    def complete(state, t):
        pairs = torch.tensor([[0.0, 1.0, 0.0]], dtype=F64).expand(len(state.pairs), -1)
        return nf.noise.Categories(torch.ones(len(state.nodes), 1, dtype=F64), pairs)

    task = Task(complete, path, torch.tensor([0.5, 0.2]), graphs, Streams(0, range(4)), Types())
    after, _ = D3PM().step(task, state, torch.tensor(0.5), torch.tensor(0.2), None)
    assert torch.equal(after.pairs, state.pairs)
