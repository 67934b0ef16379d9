"""Directed graphs as a domain, their classes of pairs, and their scores."""

import networkx as nx
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import noisefold as nf
from noisefold.cli import app
from noisefold.data.notice import DataNotice
from noisefold.domains import DirectedGraphs, DiscreteGraphs, domain_of
from noisefold.eval import score_directed_graphs, triad_census
from noisefold.geometry.directed import directed_edges, directed_pairs, reversed_class
from noisefold.noise import Categories, DirectedTypes, Discrete

SMALL = {"width": 16, "pair_width": 8, "layers": 1, "heads": 2, "walks": 2}


def trees(count=24):
    """Trees whose edges point to the root, numbered from it."""
    return nf.Graphs.collate([nf.Graphs.from_networkx(nx.gn_graph(5 + i % 3, seed=i)) for i in range(count)])


def edges(n, *ends):
    return nf.Graphs(torch.zeros(n, 0), edge_index=torch.tensor(ends, dtype=torch.int64).reshape(-1, 2).T)


@pytest.fixture(scope="module")
def model():
    return nf.Model.for_data(trees(), **SMALL).fit(trees(), steps=12, batch=8)


def test_classes_of_pairs_by_hand():
    graph = edges(3, (0, 1), (1, 0), (2, 0))
    types = torch.tensor([0, 1, 1])
    pairs = directed_pairs(graph.edge_index, types, graph.ptr, 2)
    assert pairs.tolist() == [1 * 3 + 2, 0 * 3 + 2, 0]
    back, kinds = directed_edges(pairs, graph.ptr, 2)
    assert back.T.tolist() == [[1, 0], [2, 0], [0, 1]]
    assert kinds.tolist() == [1, 1, 0]
    turned = directed_pairs(2 - graph.edge_index, types, graph.ptr, 2)
    assert turned.tolist() == [0, int(reversed_class(2)[2]), int(reversed_class(2)[5])]


def test_random_graphs_come_back_from_their_classes():
    generator = torch.Generator().manual_seed(0)
    made = []
    for n in (1, 2, 6):
        places = torch.rand(n, n, generator=generator) < 0.5
        made.append(edges(n, *(~torch.eye(n, dtype=torch.bool) & places).nonzero().tolist()))
    graphs = nf.Graphs.collate(made)
    back = DirectedTypes().write(graphs, DirectedTypes().read(graphs))
    assert {tuple(e) for e in back.edge_index.T.tolist()} == {tuple(e) for e in graphs.edge_index.T.tolist()}


def test_domain_is_that_of_edges_that_go_one_way(model):
    assert isinstance(domain_of(trees()), DirectedGraphs)
    assert model.variable == DirectedTypes()
    assert isinstance(model.path, Discrete)
    assert model.path.pairs[1] == model.path.pairs[2]  # a numbering says nothing of directions
    assert not isinstance(domain_of(edges(3, (0, 1), (1, 2))), DirectedGraphs)  # each listed once
    assert not isinstance(domain_of(edges(2, (0, 1), (1, 0))), DirectedGraphs)
    assert isinstance(domain_of(edges(3, (0, 1)), DirectedTypes()), DirectedGraphs)


def test_samples_are_directed_graphs_that_depend_on_their_seed_alone(model):
    together, apart = model.sample(6, steps=4, seed=1), model.sample(6, steps=4, seed=1, batch=1)
    assert torch.equal(together.edge_index, apart.edge_index)
    assert set(together.sizes.tolist()) <= {5, 6, 7}
    DirectedTypes().read(together)  # refuses self-loops and edges listed twice
    assert any(g.is_directed() for g in together.to_networkx())


def test_saved_model_draws_the_same(model, tmp_path):
    model.save_pretrained(tmp_path)
    back = nf.Model.from_pretrained(tmp_path)
    assert torch.equal(back.sample(3, steps=3).edge_index, model.sample(3, steps=3).edge_index)


def test_self_loops_and_repeated_edges_are_said_and_dropped():
    with pytest.warns(DataNotice, match=r"1 self-loops .* 1 repeated"):
        plain = DirectedGraphs().prepared(edges(3, (0, 0), (2, 1), (2, 1)))
    assert plain.edge_index.T.tolist() == [[2, 1]]


def test_triads_are_those_of_networkx():
    names = {}
    for seed in range(4):
        graph = nx.gnp_random_graph(9, 0.3, seed=seed, directed=True)
        found = triad_census(nx.to_numpy_array(graph))
        wanted = nx.triadic_census(graph)
        assert sorted(found.tolist()) == sorted(wanted.values())
        assert found[0] == wanted["003"]
        names[seed] = found
    assert not np.array_equal(names[0], names[1])
    large = triad_census(nx.to_numpy_array(nx.gnp_random_graph(80, 0.1, seed=0, directed=True)))
    assert large.sum() == 40_000
    assert large[0] / 40_000 == pytest.approx(0.9**6, abs=0.03)


def test_scores_tell_directions_apart():
    test, train = trees(40)[:20], trees(40)[20:]
    turned = test.replace(edge_index=test.edge_index.flip(0))
    scores = score_directed_graphs({"same": test, "turned": turned}, test, train, resamples=10)
    assert scores.rows == ("same", "turned", "train", "random")
    assert scores["same", "in-degree"].value == pytest.approx(0, abs=1e-9)
    assert scores["turned", "in-degree"].value > 0.1
    assert scores["turned", "triads"].value > 10 * scores["train", "triads"].value
    assert scores["random", "reciprocity"].value > scores["turned", "reciprocity"].value == 0


def test_model_is_scored_beside_reference_rows(model):
    scores = model.evaluate(trees()[:8], train=trees()[8:], steps=3)
    assert scores.rows == ("model", "train", "random")
    assert scores.columns == ("in-degree", "out-degree", "reciprocity", "triads")


def test_what_does_not_fit_is_refused(model):
    with pytest.raises(ValueError, match="direct"):
        nf.Model.for_data(trees(), variable="types")
    undirected = nf.Graphs.collate([nf.Graphs.from_networkx(nx.path_graph(5))] * 4)
    plain = nf.Model.for_data(undirected, width=16, pair_width=8, layers=1, heads=2)
    with pytest.raises(ValueError, match="direct"):
        plain.fit(trees(), steps=1)
    assert isinstance(domain_of(undirected), DiscreteGraphs)
    with pytest.raises(ValueError, match="for_completion"):
        nf.Model.for_data(trees(), for_completion=True)
    with pytest.raises(ValueError, match="complete"):
        model.complete(trees()[:1], torch.ones(5, dtype=torch.bool))
    with pytest.raises(ValueError, match="absorbing"):
        DirectedTypes().write(edges(2, (0, 1)), Categories(torch.zeros(2).long(), torch.tensor([4])))
    with pytest.raises(ValueError, match="twice"):
        DirectedTypes().read(edges(2, (0, 1), (0, 1)))


def test_from_files_to_files_on_the_command_line(tmp_path):
    nf.data.save(trees(6), tmp_path / "graphs.graphml")
    run, out = tmp_path / "run", tmp_path / "made.gml"
    changes = [x for k, v in SMALL.items() for x in ("-o", f"net.{k}={v}")]
    asked = ["train", str(tmp_path / "graphs"), "--out", str(run), "--steps", "2", *changes]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(app, ["sample", str(run), "-n", "3", "--steps", "3", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert any(nx.read_gml(file).is_directed() for file in (tmp_path / "made").iterdir())


@pytest.mark.parametrize("ending", [".graphml", ".gml", ".edgelist", ".npz"])
def test_directions_are_kept_in_files(tmp_path, ending):
    graph = edges(4, (1, 0), (2, 1), (1, 2), (3, 0))
    back = nf.load(nf.data.save(graph, tmp_path / f"a{ending}"))
    assert isinstance(domain_of(back), DirectedGraphs)
    assert {tuple(e) for e in back.edge_index.T.tolist()} == {tuple(e) for e in graph.edge_index.T.tolist()}
