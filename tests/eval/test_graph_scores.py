"""The table of scores of graphs: rows, what applies, copies and noise in their places, intervals, errors."""

import networkx as nx
import numpy as np
import pytest
import torch

import noisefold as nf
from noisefold import Graphs
from noisefold.eval import GRAPH_METRICS, STATISTICS, graph_mmd, score_graphs

PLAIN = tuple(m for m in GRAPH_METRICS if "types" not in m)


def trees(count, seed=0):
    return nf.data.tree(count, nodes=16, seed=seed)


def typed(graphs, seed=0):
    generator = torch.Generator().manual_seed(seed)
    edges = graphs.edge_index.shape[1]
    return graphs.replace(
        node_type=torch.randint(2, (graphs.num_nodes,), generator=generator),
        node_types=("a", "b"),
        edge_type=torch.zeros(edges, dtype=torch.int64),
        edge_types=("single", "double"),
    )


@pytest.fixture(scope="module")
def table():
    return score_graphs(
        trees(16, seed=1),
        trees(16, seed=2),
        trees(24),
        resamples=20,
        truth=lambda count, seed: trees(count, seed),
    )


def test_rows_metrics_and_intervals(table):
    assert table.rows == ("model", "train", "truth", "copied", "Erdos-Renyi")
    assert table.columns == PLAIN
    for row in table.rows:
        for name, score in table[row].items():
            assert score.low <= score.value <= score.high, (row, name)
    half_width = table["model", "degree"].high - table["model", "degree"].value
    assert half_width > 0


def test_references_are_in_their_places(table):
    assert table["train", "ratio"].value == pytest.approx(1.0)
    for row in ("train", "copied"):
        assert table[row, "novel"].value == table[row, "V.U.N."].value == 0
        assert table[row, "nearest"].value == pytest.approx(0.0, abs=1e-9)
    for row in ("model", "truth"):
        assert table[row, "valid"].value == 1
        assert table[row, "V.U.N."].value > 0.9
        assert table[row, "ratio"].value < 0.5 * table["Erdos-Renyi", "ratio"].value
        assert table[row, "nearest"].value == pytest.approx(1.0, abs=0.3)
    assert table["Erdos-Renyi", "valid"].value < 0.2
    # With all graphs valid, Wilson's interval of 16 starts at 16 / (16 + 1.96^2).
    assert table["model", "valid"].low == pytest.approx(16 / (16 + 1.96**2))


def test_values_are_those_of_the_metrics(table):
    for statistic in STATISTICS:
        expected = graph_mmd(trees(16, seed=1), trees(16, seed=2), statistic)
        assert table["model", statistic].value == pytest.approx(expected, abs=1e-12)


def test_ratio_names_what_it_leaves_out(table):
    assert "clustering" in table.note  # trees have no triangles
    kept = [s for s in STATISTICS if s not in table.note]
    expected = np.mean([table["model", s].value / table["train", s].value for s in kept])
    assert table["model", "ratio"].value == pytest.approx(expected)


def test_repeats_are_not_unique():
    one = trees(1, seed=5)
    made = Graphs.collate([one] * 6)
    scores = score_graphs(made, trees(8), trees(8, seed=3), metrics=("unique", "V.U.N."), resamples=0)
    assert scores["model", "unique"].value == pytest.approx(1 / 6)
    assert scores["model", "V.U.N."].value == pytest.approx(1 / 6)


def test_several_models_hold_equally_many_graphs():
    made = {"good": trees(9, seed=1), "few": trees(5, seed=2)}
    scores = score_graphs(made, trees(8), trees(8, seed=3), metrics=("valid",))
    assert scores.rows == ("good", "few", "train", "copied", "Erdos-Renyi")
    assert scores["good", "valid"].low == scores["few", "valid"].low == pytest.approx(5 / (5 + 1.96**2))


def test_same_seed_same_table():
    sets = trees(9, seed=1), trees(9, seed=2), trees(9, seed=3)
    a, b, c = (score_graphs(*sets, resamples=4, seed=s) for s in (1, 1, 2))
    assert a == b
    assert a["Erdos-Renyi"] != c["Erdos-Renyi"]


def test_types_are_compared():
    test = typed(trees(8))
    made = test.replace(node_type=torch.zeros_like(test.node_type), edge_types=("double", "single"))
    scores = score_graphs(made, test, typed(trees(8, seed=3)), resamples=4)
    share = float(test.node_type.double().mean())
    assert scores["model", "node-types"].value == pytest.approx(share)
    assert scores["model", "edge-types"].value == pytest.approx(1.0)
    assert scores["Erdos-Renyi", "edge-types"].value == pytest.approx(0.0)


def test_validity_may_be_a_function_or_a_name():
    sets = trees(6, seed=1), trees(8), trees(8, seed=3)
    small = score_graphs(*sets, metrics=("valid",), validity=lambda g: g.sizes < 16)
    assert small["model", "valid"].value == 0
    named = score_graphs(*sets, metrics=("valid",), validity="Planar")
    assert named["model", "valid"].value == 1
    with pytest.raises(ValueError, match="validity must return"):
        score_graphs(*sets, metrics=("valid",), validity=lambda g: torch.ones(2))


def test_without_training_graphs():
    scores = score_graphs(trees(6, seed=1), trees(8), resamples=4)
    assert scores.rows == ("model", "Erdos-Renyi")
    assert not {"V.U.N.", "novel", "ratio", "nearest"} & set(scores.columns)
    assert {"valid", "unique", "degree"} <= set(scores.columns)


def test_without_a_shared_property_there_is_no_validity():
    lonely = Graphs(torch.zeros(3, 0), edge_index=torch.tensor([[0, 1], [1, 0]]))
    train = Graphs.collate([trees(8), lonely])
    scores = score_graphs(trees(6, seed=1), trees(8), train, resamples=0)
    assert not {"V.U.N.", "valid"} & set(scores.columns)
    assert "novel" in scores.columns


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metrics": ("degre",)}, "'degree'"),
        ({"metrics": ("node-types",)}, "node-types"),
        ({"metrics": ()}, "metrics"),
        ({"validity": "plane"}, "validity"),
        ({"generated": {"train": trees(4)}}, "generated"),
        ({"generated": trees(3)}, "generated"),
        ({"generated": typed(trees(4))}, "node_type"),
        ({"test": trees(4).replace(edge_index=None)}, "edge_index"),
    ],
)
def test_errors(change, message):
    call = {"generated": trees(4), "test": trees(4), "train": trees(4)} | change
    with pytest.raises(ValueError, match=message):
        score_graphs(call.pop("generated"), call.pop("test"), call.pop("train"), **call)


def test_random_graphs_keep_nodes_edges_and_types():
    like = typed(nf.data.community(6))
    made = nf.eval.erdos_renyi_like(like, 5, torch.Generator().manual_seed(0))
    statistics, those = nf.eval.GraphStatistics(made), nf.eval.GraphStatistics(like)
    pairs = set(zip(those.sizes.tolist(), those.edges.tolist(), strict=True))
    assert set(zip(statistics.sizes.tolist(), statistics.edges.tolist(), strict=True)) <= pairs
    assert made.edge_index.shape[1] == 2 * statistics.edges.sum()  # no edge twice
    assert made.node_types == like.node_types
    assert made.edge_type.unique().tolist() == [0]


def test_random_graphs_without_a_list_of_pairs(monkeypatch):
    like = nf.data.community(6)
    monkeypatch.setattr(nf.eval.random_graphs, "_LISTED", 0)
    made = nf.eval.erdos_renyi_like(like, 300, torch.Generator().manual_seed(0))
    statistics, those = nf.eval.GraphStatistics(made), nf.eval.GraphStatistics(like)
    pairs = set(zip(those.sizes.tolist(), those.edges.tolist(), strict=True))
    assert set(zip(statistics.sizes.tolist(), statistics.edges.tolist(), strict=True)) == pairs
    sparse = nf.Graphs.collate([nf.Graphs.from_networkx(nx.path_graph(12))] * 2)
    made = nf.eval.erdos_renyi_like(sparse, 400, torch.Generator().manual_seed(0))
    matrix = torch.zeros(12, 12)
    local = made.edge_index - made.ptr[made.batch[made.edge_index[0]]]
    matrix.index_put_(tuple(local), torch.ones(local.shape[1]), accumulate=True)
    share = matrix[~torch.eye(12, dtype=torch.bool)] / 400
    # Every pair is an edge in 11 of 66 graphs; five standard errors.
    assert (share - 11 / 66).abs().max() < 5 * (11 / 66 * 55 / 66 / 400) ** 0.5


def test_large_graphs_are_compared_without_spectra():
    large = nf.data.tree(4, nodes=1001)
    scores = score_graphs(large, nf.data.tree(4, nodes=1001, seed=1), large, resamples=2)
    assert not {"spectrum", "wavelet", "nearest"} & set(scores.columns)
    assert {"valid", "novel", "orbit"} <= set(scores.columns)
    with pytest.raises(ValueError, match="wavelet"):
        score_graphs(large, large, large, metrics=("wavelet",))
