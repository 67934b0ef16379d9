"""Statistics of graphs against enumeration, networkx and direct formulas."""

from itertools import combinations

import networkx as nx
import numpy as np
import pytest
import torch

import noisefold as nf
from noisefold import Graphs
from noisefold.eval import GraphStatistics, adjacency, orbit_counts
from noisefold.eval.graph_statistics import wavelet_filters

# For each graphlet (edges, sorted degrees) the orbit of a node by its degree in it.
_ORBIT = {
    (1, (1, 1)): {1: 0},
    (2, (1, 1, 2)): {1: 1, 2: 2},
    (3, (2, 2, 2)): {2: 3},
    (3, (1, 1, 2, 2)): {1: 4, 2: 5},
    (3, (1, 1, 1, 3)): {1: 6, 3: 7},
    (4, (2, 2, 2, 2)): {2: 8},
    (4, (1, 2, 2, 3)): {1: 9, 2: 10, 3: 11},
    (5, (2, 2, 3, 3)): {2: 12, 3: 13},
    (6, (3, 3, 3, 3)): {3: 14},
}


def batch(graphs):
    return Graphs.collate([Graphs.from_networkx(g) for g in graphs])


def random_graphs(count, seed=0):
    rng = np.random.default_rng(seed)
    return [nx.gnp_random_graph(int(rng.integers(1, 10)), rng.uniform(0, 1), seed=i) for i in range(count)]


def enumerated(graph):
    """Orbit counts by looking at every set of 2, 3 and 4 nodes."""
    out = np.zeros((len(graph), 15), dtype=int)
    for size in (2, 3, 4):
        for nodes in combinations(graph, size):
            part = graph.subgraph(nodes)
            orbit = _ORBIT.get((part.size(), tuple(sorted(d for _, d in part.degree))))
            if orbit is not None and nx.is_connected(part):
                for node, degree in part.degree:
                    out[node, orbit[degree]] += 1
    return out


def test_orbits_are_those_of_enumeration():
    graphs = random_graphs(60)
    expected = np.concatenate([enumerated(g) for g in graphs])
    assert expected.any(0).all()  # every orbit occurs
    np.testing.assert_array_equal(orbit_counts(batch(graphs)), expected)


def test_adjacency_reads_simple_undirected_graphs():
    edges = torch.tensor([[0, 1, 0, 2, 2, 3], [1, 0, 1, 2, 1, 4]])
    graphs = Graphs(torch.zeros(6, 0), ptr=torch.tensor([0, 3, 6]), edge_index=edges)
    matrix = adjacency(graphs).toarray()
    expected = np.zeros((6, 6), dtype=int)
    for u, v in ((0, 1), (1, 2), (3, 4)):
        expected[u, v] = expected[v, u] = 1
    np.testing.assert_array_equal(matrix, expected)
    assert adjacency(Graphs(torch.zeros(3, 0))).nnz == 0


def test_degree_and_clustering_are_those_of_networkx():
    graphs = random_graphs(30, seed=1)
    found = GraphStatistics(batch(graphs))
    for i, graph in enumerate(graphs):
        degree = nx.degree_histogram(graph)
        np.testing.assert_array_equal(found.degree[i, : len(degree)], degree)
        assert found.degree[i].sum() == len(graph)
        values = list(nx.clustering(graph).values())
        np.testing.assert_array_equal(found.clustering[i], np.histogram(values, 100, (0.0, 1.0))[0])
        assert found.edges[i] == graph.size()


def test_spectrum_is_that_of_networkx():
    graphs = [*random_graphs(20, seed=2), nx.path_graph(7), nx.empty_graph(3)]
    found = GraphStatistics(batch(graphs))
    for values, graph, share in zip(found.eigenvalues, graphs, found.spectrum, strict=True):
        expected = np.linalg.eigvalsh(nx.normalized_laplacian_matrix(graph).toarray())
        np.testing.assert_allclose(values, expected.clip(0, 2), atol=1e-12)
        assert share.sum() == pytest.approx(1.0)  # eigenvalues that rounding lifts above 2 are counted


def test_wavelet_energies_are_rows_of_the_filters():
    graph = nx.gnp_random_graph(9, 0.4, seed=3)
    values, vectors = np.linalg.eigh(nx.normalized_laplacian_matrix(graph).toarray())
    top = wavelet_filters(np.arange(0, 2, 0.01)).max()
    expected = [
        np.histogram(np.square(vectors @ np.diag(g) @ vectors.T).sum(1), 100, (0, top))[0]
        for g in wavelet_filters(values.clip(0, 2))
    ]
    np.testing.assert_array_equal(GraphStatistics(batch([graph])).wavelet[0], np.concatenate(expected))


def test_wavelet_filters_are_smooth():
    x = np.linspace(0, 2, 20001)
    values = wavelet_filters(x)
    assert values.shape == (12, len(x))
    slopes = np.diff(values, axis=1) / np.diff(x)
    assert np.abs(np.diff(slopes, axis=1)).max() < 0.5  # a jump of the value would give a slope of 1e4
    np.testing.assert_allclose(values[1:, 0], 0.0, atol=1e-12)


def test_a_graph_does_not_depend_on_its_batch_or_numbering():
    graphs = nf.data.community(6, seed=2)
    together = GraphStatistics(graphs)
    order = np.random.default_rng(0).permutation(graphs[4].num_nodes)
    renumbered = graphs[4].replace(edge_index=torch.from_numpy(order)[graphs[4].edge_index])
    alone = GraphStatistics(renumbered)
    for name in ("clustering", "orbit", "spectrum", "wavelet"):
        np.testing.assert_allclose(getattr(together, name)[4], getattr(alone, name)[0], atol=1e-12)


def test_graphs_without_nodes_are_refused():
    with pytest.raises(ValueError, match="graphs must hold"):
        GraphStatistics(Graphs(torch.zeros(2, 0), ptr=torch.tensor([0, 2, 2])))
