"""The studies of discrete graphs: what they count and compare, and that they run."""

import itertools
import json
import math

import networkx as nx
import numpy as np
import pytest
import torch

import noisefold as nf
from noisefold.data.molecules import from_rdkit
from noisefold.noise import Discrete
from noisefold.noise.categories import Categories
from noisefold.studies.graphs import benchmarks, benchmarks_report, choices, choices_report, molecules
from noisefold.studies.graphs.networks import NETWORKS, TwoDepths, cross_entropy
from noisefold.studies.graphs.small_networks import PairPerceptron
from noisefold.studies.graphs.training import step_costs, trained
from noisefold.studies.graphs.tree_classes import TreeShapes, shape_of, symmetries
from noisefold.studies.kit.datasets import data_folder
from noisefold.studies.kit.statistics import digits

QM9 = data_folder() / "graphs" / "qm9_graphs.npz"


# -- shapes of trees -----------------------------------------------------------------------------------------


def test_shapes_of_trees_have_the_probabilities_of_an_enumeration():
    counts = {}
    for code in itertools.product(range(5), repeat=3):
        shape = shape_of(nx.from_prufer_sequence(code))
        counts[shape] = counts.get(shape, 0) + 1
    assert TreeShapes(5).probabilities == pytest.approx({k: v / 125 for k, v in counts.items()}, abs=1e-15)


@pytest.mark.parametrize("size", [2, 7, 8])
def test_probabilities_of_shapes_sum_to_one(size):
    assert sum(TreeShapes(size).probabilities.values()) == pytest.approx(1, abs=1e-12)


def test_symmetries_and_names_of_trees():
    assert symmetries(nx.star_graph(5)) == math.factorial(5)
    assert symmetries(nx.path_graph(6)) == 2
    assert shape_of(nx.path_graph(5)) == shape_of(nx.relabel_nodes(nx.path_graph(5), {0: 4, 4: 0}))
    assert shape_of(nx.path_graph(5)) != shape_of(nx.star_graph(4))


def test_the_distance_of_shapes_counts_what_is_no_tree():
    shapes = TreeShapes(4)  # a path with 3 / 4, a star with 1 / 4
    path, star, ring = nx.path_graph(4), nx.star_graph(3), nx.cycle_graph(4)
    assert shapes.distance([path, path, path, star]) == 0
    assert shapes.distance([path, path, path, ring]) == pytest.approx(0.25)
    assert shapes.distance([star] * 4) == pytest.approx(0.75)


def test_true_trees_score_about_the_floor():
    found = TreeShapes(6).distance(nf.data.tree(400, nodes=6, seed=3).to_networkx())
    assert 0.3 < found / TreeShapes(6).floor(400) < 2.5


# -- trainings and networks ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data():
    return nf.data.tree(6, nodes=6, seed=1)


def small(data, **net):
    return nf.Model.for_data(data, width=8, pair_width=4, layers=2, heads=2, walks=2, **net)


def test_a_training_is_kept_and_its_length_is_a_number_of_steps(data, tmp_path):
    run = benchmarks.STUDY.begin(tmp_path, "smoke")
    model, again = small(data), small(data)
    found = trained(run, "a", model, data, seconds=0.05, cost=(0.0, 0.01))
    assert found["steps"] == 5
    assert trained(run, "a", again, data, seconds=0.05, cost=(9.0, 9.0)) == found
    assert all(torch.equal(a, b) for a, b in zip(model.net.parameters(), again.net.parameters(), strict=True))
    with pytest.raises(ValueError, match="other networks"):
        trained(run, "a", again, data, seconds=1.0)


def test_costs_are_of_all_and_leave_models_as_they_are(data):
    model = small(data)
    before = [p.clone() for p in model.net.parameters()]
    found = step_costs({"a": model, "b": small(data)}, data, steps=1)
    assert set(found) == {"a", "b"}
    assert all(cost > 0 for pair in found.values() for cost in pair)
    assert all(torch.equal(a, b) for a, b in zip(before, model.net.parameters(), strict=True))


def test_two_depths_answer_by_noise_level_and_in_order(data):
    graphs = nf.Graphs.collate([nf.data.tree(2, nodes=5), nf.data.tree(1, nodes=7)])
    nets = [small(data).net for _ in range(2)]
    for net in nets:
        torch.nn.init.normal_(net.head_pairs.weight)
    both = TwoDepths(nets[0], nets[1], 0.5)
    levels = torch.tensor([3.0, -3.0, 3.0])
    found = both(graphs, levels)
    noisy, clear = (net(graphs, levels) for net in nets)
    assert len(found.pairs) == 10 + 10 + 21
    torch.testing.assert_close(found.pairs[10:20], noisy.pairs[10:20])
    torch.testing.assert_close(found.pairs[20:], clear.pairs[20:])
    assert not torch.allclose(found.pairs[:10], noisy.pairs[:10])


def test_the_closed_form_is_all_there_is_below_its_level(data):
    for name, build in NETWORKS.items():
        net = build(small(data).net)
        for module in net.modules():
            if hasattr(module, "head_pairs"):
                torch.nn.init.normal_(module.head_pairs.weight)
        logits = net(data, torch.full((len(data),), -4.0)).pairs
        assert bool((logits == 0).all()) == (name != "plain")


def test_cross_entropy_of_a_coin(data):
    path = Discrete((1.0,), (0.5, 0.5))

    def coin(state, t, graphs):
        return Categories(torch.ones(len(state.nodes), 1), torch.full((len(state.pairs), 2), 0.5))

    assert cross_entropy(coin, path, data, 0.5) == pytest.approx(math.log(2))


def test_pairs_alone_see_no_further_than_their_features(data):
    net = PairPerceptron(2, walks=0)
    torch.nn.init.normal_(net.head.weight)
    order = torch.randperm(6)
    moved = nf.Graphs.from_networkx(
        nx.relabel_nodes(data[:1].to_networkx()[0], dict(enumerate(order.tolist())))
    )
    out = [net(g, torch.zeros(1)).pairs for g in (data[:1], moved)]
    torch.testing.assert_close(out[0].sort(0).values, out[1].sort(0).values)
    assert len({round(float(v), 5) for v in out[0][:, 1]}) > 1


# -- intervals -----------------------------------------------------------------------------------------------


def test_intervals_of_shares_are_of_all_graphs_and_of_others_over_sets():
    value, low, high = benchmarks._interval("valid", [1.0, 1.0], 20)
    assert (value, high) == (1.0, 1.0)
    assert low == pytest.approx(40 / (40 + 1.96**2), rel=1e-4)
    value, low, high = benchmarks._interval("ratio", [1.0, 2.0, 3.0], 20)
    assert value == 2.0
    assert high - value == pytest.approx(4.303 / math.sqrt(3), rel=1e-3)
    assert benchmarks._interval("ratio", [1.0], 20)[1] is None


def test_only_valid_molecules_of_one_piece_are_connected():
    chem = pytest.importorskip("rdkit.Chem")
    found = from_rdkit([chem.MolFromSmiles(s) for s in ("CCO", "CCO", "C.O")])
    assert molecules.shares(found)["connected"][0] == molecules.shares(found)["unique"][0] == digits(2 / 3)
    assert molecules.shares(found)["valid"][0] == 1


# -- the smallest scales -------------------------------------------------------------------------------------


def test_choices_run_and_compare_with_one_base(tmp_path):
    cells = choices.CELLS
    result = choices.measure(choices.STUDY.begin(tmp_path, "smoke"))
    assert json.loads(json.dumps(result)) == result
    assert len(result["rows"]) == sum(1 if c.previous else 3 for c in cells) + 9
    changed = {(e["factor"], e["choice"]) for e in choices_report.effects(result)}
    assert {("noise", "none"), ("prediction", "previous state"), ("network", "exact")} <= changed
    assert all(len(e["rows"]) == 1 for e in choices_report.effects(result))
    assert choices_report.table(result).count("| absorbing |") >= 2
    assert len(choices_report.figure(result).axes) == 1


@pytest.mark.slow
def test_benchmarks_run(tmp_path):
    files = benchmarks.STUDY.run(tmp_path, "smoke")
    result = json.loads((tmp_path / "smoke.json").read_text())
    assert [f.suffix for f in files] == [".json", ".md", ".png"]
    tree = result["benchmarks"]["tree"]["rows"]
    assert tree["discrete, tree constraint"]["valid"][0] == tree["truth"]["valid"][0] == 1
    assert tree["train"]["ratio"][0] == 1
    assert result["benchmarks"]["planar"]["rows"]["latent geometry"]["valid"][0] == 1
    losses = result["networks"]["sets"]["tree"]["beside"]
    assert np.all(np.array(losses["exact"]) < np.array(losses["independent edges"]))


@pytest.mark.slow
@pytest.mark.skipif(not QM9.is_file(), reason="needs ../shared/data/graphs")
def test_molecules_run(tmp_path):
    pytest.importorskip("rdkit")
    molecules.STUDY.run(tmp_path, "smoke")
    result = json.loads((tmp_path / "smoke.json").read_text())
    assert result["scores"]["train"]["valid"][0] == 1
    assert set(result["ways"]) == set(molecules.TRAININGS)


def test_table_and_figure_of_benchmarks_from_their_numbers():
    row = {"V.U.N.": [0.5, 0.4, 0.6], "valid": [0.5, 0.4, 0.6], "ratio": [2.0, None, None]}
    trial = {"steps": 10, "batch": 7, "seconds": 60.0, "parameters": 1000, "loss": [0.2, 0.1]}
    result = {
        "sets": 2,
        "graphs": 4,
        "benchmarks": {
            "tree": {
                "against": "6 test graphs",
                "rows": {"discrete": row},
                "sampling": {"discrete": 1.5},
                "trainings": {"types": trial},
                "grids": {"discrete": {"cosine": 2.0, "power 2": 1.0}},
                "drawn": {"data": [{"nodes": 3, "edges": [0, 1, 1, 2]}]},
            }
        },
        "networks": {
            "seconds": 1,
            "shares": [0.5, 0.9],
            "sets": {
                "tree": {"rows": {"plain": [trial], "other": [{**trial, "loss": [0.1, 0.1]}]}, "beside": {}}
            },
        },
    }
    assert "50 [40, 60]" in benchmarks_report.scores_table(result)
    assert "power 2" in benchmarks_report.trainings_table(result)
    assert "-50.0 %" in benchmarks_report.networks_table(result)
    assert len(benchmarks_report.figure(result).axes) == 1
