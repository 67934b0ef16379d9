"""Exact denoisers of graphs against enumeration of all that can be."""

import itertools

import networkx as nx
import pytest
import torch

import noisefold as nf
from noisefold.noise import Categories, Discrete, Streams, Types
from noisefold.theory.graph_oracle import FiniteGraphs, SpanningTrees, propagated


def all_trees(n):
    return [
        nf.Graphs.from_networkx(nx.from_prufer_sequence(list(code)))
        for code in itertools.product(range(n), repeat=n - 2)
    ]


@pytest.mark.parametrize("noise", ["marginal", "uniform"])
def test_trees_by_kirchhoff_are_those_by_enumeration(noise):
    law = SpanningTrees(5)
    path = Discrete((1.0,), law.shares, noise)
    trees = all_trees(5)
    finite = FiniteGraphs(nf.Graphs.collate([nf.Graphs.collate([t]) for t in trees]), (1 / 125,) * 125)
    frame = nf.Graphs(torch.zeros(30, 0), ptr=5 * torch.arange(7))
    for t in (1.0, 0.5, 0.1):
        clean = Types().read(nf.Graphs.collate([trees[i] for i in (0, 20, 40, 60, 80, 124)]))
        state = path.corrupt(clean, torch.tensor(t), frame, Streams(0, range(6)))
        at = torch.tensor(t, dtype=torch.float64)
        found, want = law.denoiser(path)(state, at), finite.denoiser(path)(state, at)
        # A 4 x 4 inverse whose weights span four decades loses four digits of sixteen; 1e-9 leaves a margin.
        assert (found.pairs - want.pairs).abs().max() < 1e-9


def test_marginals_of_trees_sum_to_their_edges():
    law = SpanningTrees(20)
    path = Discrete((1.0,), law.shares)
    state = Categories(torch.zeros(40, dtype=torch.int64), (torch.arange(380) % 3 == 0).long())
    edges = law.denoiser(path)(state, torch.tensor(0.3, dtype=torch.float64)).pairs[:, 1]
    assert edges.view(2, -1).sum(1) == pytest.approx([19, 19], abs=1e-8)


def test_too_many_states_are_refused():
    law = FiniteGraphs(nf.Graphs.from_networkx(nx.empty_graph(6)), (1.0,))
    path = Discrete((1.0,), (0.5, 0.5))
    with pytest.raises(ValueError, match="states"):
        propagated(law, path, nf.sample.DiscreteFlow(), torch.tensor([1.0, 0.0]))
    with pytest.raises(ValueError, match="weight"):
        FiniteGraphs(nf.Graphs.from_networkx(nx.empty_graph(6)), (0.5, 0.5))
