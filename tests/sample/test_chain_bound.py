"""The bound of a discrete chain, with exact denoisers of known distributions."""

import math
from types import SimpleNamespace

import networkx as nx
import pytest
import torch

import noisefold as nf
from noisefold.noise import Discrete, Types
from noisefold.sample import ChainBound, log_prob
from noisefold.theory.graph_oracle import FiniteGraphs

GRAPHS = nf.Graphs.collate(
    [nf.Graphs.from_networkx(g) for g in (nx.empty_graph(3), nx.complete_graph(3), nx.path_graph(3))]
)


def exact(weights, noise="marginal"):
    """A denoiser that answers from a distribution of the three graphs."""
    path = Discrete((1.0,), (0.5, 0.5), noise)
    oracle = FiniteGraphs(GRAPHS, weights).denoiser(path)
    call = lambda graphs, state, t, label, known: oracle(state, t[0])  # noqa: E731
    denoiser = SimpleNamespace(path=path, variable=Types())
    return path, type("Exact", (), {**vars(denoiser), "__call__": lambda self, *a: call(*a)})()


def bound(weights, steps):
    """Bounds ``[copies, 3]`` of many copies of the three graphs."""
    path, denoiser = exact(weights)
    found = log_prob(
        path, denoiser, GRAPHS[[0, 1, 2] * 256], method=ChainBound(steps, repetitions=2), batch=768
    )
    assert found.kind == "bound"
    return found.value.view(256, 3)


def test_bound_approaches_the_log_probability_from_below():
    weights = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    # On average over the data it lies below; 30 steps leave less than a tenth of a nat.
    few, many = ((weights.log() - bound(tuple(weights.tolist()), n)) @ weights for n in (3, 30))
    errors = [float(gap.std()) / 16 for gap in (few, many)]
    assert float(few.mean() - many.mean()) > 3 * sum(errors)
    assert -3 * errors[1] < float(many.mean()) < 0.1 + 3 * errors[1]


def test_certain_graph_has_probability_one():
    value = bound((1.0, 1e-12, 1e-12), 4)
    assert value[:, 0].tolist() == pytest.approx([0.0] * 256, abs=1e-7)
    assert float(value[:, 1].mean()) < math.log(1e-6)


def test_value_does_not_depend_on_the_batch():
    path, denoiser = exact((0.5, 0.3, 0.2))
    method = ChainBound(steps=5, repetitions=2)
    together = log_prob(path, denoiser, GRAPHS, method=method).value
    apart = log_prob(path, denoiser, GRAPHS, method=method, batch=1).value
    assert torch.allclose(together, apart, atol=1e-12)


def test_methods_of_other_paths_are_refused():
    path, denoiser = exact((0.5, 0.3, 0.2))
    with pytest.raises(ValueError, match="ProbabilityFlow"):
        log_prob(path, denoiser, GRAPHS, method=nf.sample.ProbabilityFlow())
    with pytest.raises(ValueError, match="repetitions"):
        ChainBound(repetitions=1)
