"""Validity against networkx, and the block model's check on the graphs it is made for."""

import networkx as nx
import numpy as np
import pytest
import torch

import noisefold as nf
from noisefold import Graphs
from noisefold.eval import erdos_renyi_like, shared_validity, valid_graphs


def batch(graphs):
    return Graphs.collate([Graphs.from_networkx(g) for g in graphs])


@pytest.mark.parametrize("count", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_planarity_is_that_of_networkx(count):
    """Delaunay graphs, and as many with up to three chords that may break planarity."""
    rng = np.random.default_rng(0)
    graphs = nf.data.planar(count, nodes=12, seed=3).to_networkx()
    for i in range(count):
        chorded = graphs[i].copy()
        for _ in range(int(rng.integers(1, 4))):
            chorded.add_edge(*rng.choice(12, 2, replace=False).tolist())
        graphs.append(chorded)
    expected = np.array([nx.check_planarity(g)[0] for g in graphs])
    assert count < expected.sum() < 2 * count
    np.testing.assert_array_equal(valid_graphs(batch(graphs), "planar"), expected)


def test_planar_graphs_with_as_many_edges_as_there_can_be():
    graphs = [nx.complete_graph(4), nx.icosahedral_graph(), nx.complete_graph(2), nx.complete_graph(5)]
    assert valid_graphs(batch(graphs), "planar").tolist() == [True, True, True, False]


def test_connected_and_tree():
    graphs = [
        nx.path_graph(5),
        nx.cycle_graph(5),
        nx.empty_graph(1),
        nx.empty_graph(2),
        nx.disjoint_union(nx.path_graph(3), nx.cycle_graph(3)),  # n - 1 edges, but no tree
    ]
    assert valid_graphs(batch(graphs), "connected").tolist() == [True, True, True, False, False]
    assert valid_graphs(batch(graphs), "tree").tolist() == [True, False, True, False, False]


@pytest.mark.parametrize(
    ("graphs", "check"),
    [
        (nf.data.tree(8, nodes=12), "tree"),
        (nf.data.planar(8, nodes=12), "planar"),
        (nf.data.grid(4, least=2, most=4), "planar"),
        (Graphs.collate([nf.data.community(8), nf.data.tree(2)]), "connected"),
    ],
    ids=["tree", "planar", "grid", "connected"],
)
def test_the_narrowest_shared_property_is_found(graphs, check):
    assert shared_validity(graphs) == check
    lonely = Graphs(torch.zeros(3, 0), edge_index=torch.tensor([[0, 1], [1, 0]]))
    assert shared_validity(Graphs.collate([graphs, lonely])) is None


def test_block_model():
    graphs = nf.data.sbm(8, seed=4)
    assert valid_graphs(graphs, "sbm").mean() > 0.7
    random = erdos_renyi_like(graphs, 4, torch.Generator().manual_seed(0))
    assert not valid_graphs(random, "sbm").any()
    small = nf.data.community(3)
    assert not valid_graphs(small, "sbm").any()


def test_unknown_checks_are_refused():
    with pytest.raises(ValueError, match="check"):
        valid_graphs(nf.data.tree(2), "planer")
