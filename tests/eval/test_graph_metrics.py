"""MMDs of graphs against loops and published references; ratio, nearest graphs, types."""

from itertools import product

import numpy as np
import pytest
import torch

import noisefold as nf
from noisefold import Graphs
from noisefold.eval import STATISTICS, GraphStatistics, graph_mmd, mmd_ratio, nearest_spectra
from noisefold.eval.graph_metrics import (
    Kernels,
    descriptors,
    edge_type_frequencies,
    node_type_frequencies,
    total_variation,
)

SIGMA = {"degree": 1.0, "clustering": 0.1, "orbit": 30.0, "spectrum": 1.0, "wavelet": 1.0}
# Squared MMD of training against test or validation graphs, as the data's own notes give them.
REFERENCES = {
    ("planar", "val"): {"degree": 0.0003, "clustering": 0.0197, "spectrum": 0.0065},
    ("sbm", "val"): {"degree": 0.0015, "clustering": 0.0392, "spectrum": 0.0053},
    ("tree", "val"): {"degree": 0.0004, "clustering": 0.0},
    ("tree", "test"): {"degree": 0.0001, "clustering": 0.0, "orbit": 0.0, "wavelet": 0.0030},
}


@pytest.mark.parametrize("statistic", STATISTICS)
def test_mmd_is_a_mean_over_pairs(statistic):
    a, b = nf.data.community(5, seed=1), nf.data.community(4, seed=2)
    values = []
    for graphs in (a, b):
        x = getattr(GraphStatistics(graphs), statistic)
        values.append(x if statistic == "orbit" else [row / (row.sum() + 1e-6) for row in x])

    def kernel(x, y):
        width = max(len(x), len(y))
        x, y = np.pad(x, (0, width - len(x))), np.pad(y, (0, width - len(y)))
        return np.exp(-((np.abs(x - y).sum() / 2) ** 2) / (2 * SIGMA[statistic] ** 2))

    def mean(s, t):
        return np.mean([kernel(x, y) for x, y in product(s, t)])

    expected = abs(mean(values[0], values[0]) + mean(values[1], values[1]) - 2 * mean(*values))
    assert graph_mmd(a, b, statistic) == pytest.approx(expected, abs=1e-12)
    assert graph_mmd(a, a, statistic) == pytest.approx(0.0, abs=1e-12)


def test_mmd_of_some_graphs_is_that_of_a_smaller_set():
    a, b = nf.data.tree(6, nodes=12), nf.data.tree(5, nodes=12, seed=1)
    kernels = Kernels.of(GraphStatistics(a), GraphStatistics(b), "degree")
    rows = np.array([4, 0, 2])
    assert kernels.mmd(rows) == pytest.approx(graph_mmd(a[rows.tolist()], b, "degree"), abs=1e-12)


@pytest.mark.parametrize(("name", "part"), list(REFERENCES), ids="-".join)
def test_published_references(name, part, shared):
    file = shared / "graphs" / f"{name}.npz"
    train, other = (GraphStatistics(nf.data.graph_set(file, p)) for p in ("train", part))
    for statistic, expected in REFERENCES[name, part].items():
        assert Kernels.of(train, other, statistic).mmd() == pytest.approx(expected, abs=1e-4), statistic


@pytest.mark.parametrize(("part", "published"), [("val", 0.0081), ("test", 0.0075)])
def test_published_spectra_of_trees_depend_on_rounding(part, published, shared):
    """The published histogram drops those largest eigenvalues, exactly 2, that rounding lifts above 2."""
    sets = [
        GraphStatistics(nf.data.graph_set(shared / "graphs" / "tree.npz", p)).spectrum
        for p in ("train", part)
    ]

    def mmd(x, y):
        x, y = (v / v.sum(1, keepdims=True) for v in (x, y))

        def mean(s, t):
            return np.exp(-(np.abs(s[:, None] - t).sum(2) ** 2) / 8).mean()

        return mean(x, x) + mean(y, y) - 2 * mean(x, y)

    none_dropped = mmd(*sets)
    dropped = [s.copy() for s in sets]
    for s in dropped:
        s[:, -1] -= 1 / 64
    assert none_dropped - 1e-4 <= published <= mmd(*dropped) + 1e-4
    assert none_dropped < mmd(*dropped)


def test_ratio_leaves_out_references_that_round_to_nothing():
    reference = {"degree": 0.002, "orbit": 4e-5, "spectrum": 0.01}
    value, dropped = mmd_ratio({"degree": 0.004, "orbit": 1.0, "spectrum": 0.01}, reference)
    assert value == pytest.approx(1.5)
    assert dropped == ("orbit",)
    value, dropped = mmd_ratio({"orbit": 1.0}, reference)
    assert np.isnan(value)
    assert dropped == ("orbit",)


def test_nearest_spectra_see_copies_up_to_an_edge():
    train = nf.data.planar(10)
    fresh = GraphStatistics(nf.data.planar(10, seed=1))
    known = GraphStatistics(train)
    edges = train[3].edge_index
    kept = ~(edges.sort(dim=0).values == edges[:, :1].sort(dim=0).values).all(dim=0)
    near = train[3].replace(edge_index=edges[:, kept])  # without one edge
    distances = nearest_spectra(GraphStatistics(Graphs.collate([train[3], near])), known)
    assert distances[0] == pytest.approx(0.0, abs=1e-12)
    assert 0 < distances[1] < 0.8 * nearest_spectra(fresh, known).mean()
    a, b = known.eigenvalues[0], fresh.eigenvalues[0]
    single = nearest_spectra(GraphStatistics(nf.data.planar(1, seed=1)), GraphStatistics(train[0]))
    assert single[0] == pytest.approx(np.abs(a - b).mean(), abs=1e-12)  # 256 is a multiple of 64


def test_type_frequencies_are_matched_by_name():
    edges = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    pos, ptr = torch.zeros(4, 0), torch.tensor([0, 3, 4])
    kinds = torch.tensor([0, 0, 1, 1])
    a = Graphs(pos, ptr=ptr, edge_index=edges, node_type=kinds, node_types=("C", "N"), edge_type=kinds)
    b = a.replace(node_types=("N", "O"))
    own, other = node_type_frequencies(a, b)
    np.testing.assert_array_equal(own, [[2, 1, 0], [0, 1, 0]])
    np.testing.assert_array_equal(other, [[0, 2, 1], [0, 0, 1]])
    assert total_variation(own, other) == pytest.approx(0.5)
    own, _ = edge_type_frequencies(a, a)
    np.testing.assert_array_equal(own, [[2, 2], [0, 0]])
    with pytest.raises(ValueError, match="edge_type"):
        edge_type_frequencies(a, a.replace(edge_type=None))


def test_unknown_statistics_are_refused():
    with pytest.raises(ValueError, match="statistic"):
        descriptors(GraphStatistics(nf.data.tree(2)), "orbits of five")
