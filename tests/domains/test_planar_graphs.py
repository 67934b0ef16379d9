"""Latent geometry of planar graphs: which data, and a model from end to end."""

import networkx as nx
import pytest
import torch

import noisefold as nf
from noisefold.domains import (
    DiscreteGraphs,
    LatentGraphs,
    PlanarGraphs,
    Request,
    domain_of,
    planar_graphs,
    recipe_for,
)
from noisefold.geometry import DelaunayLayout, delaunay
from noisefold.nn import EGNN
from noisefold.noise import Positions, WithinCloud
from noisefold.sample import Replacement

SMALL = {"width": 16, "layers": 1, "neighbors": 6, "radial": 8, "vectors": 4}


def graphs_of(*graphs):
    return nf.Graphs.collate([nf.Graphs.from_networkx(nx.convert_node_labels_to_integers(g)) for g in graphs])


def stacked(nodes):
    """A triangle, into which one node after another is put and joined to its three corners: no Delaunay graph
    of any points, as soon as the angles about the first nodes are used up."""
    graph = nx.complete_graph(3)
    for i in range(3, nodes):
        graph.add_edges_from((i, j) for j in (0, 1, i - 1))
    return graph


@pytest.fixture(scope="module")
def data():
    return nf.data.planar(10, nodes=12)


@pytest.fixture(scope="module")
def model(data):
    return nf.Model.for_data(data, **SMALL).fit(data[:8], val=data[8:], steps=4, batch=4)


def test_triangulations_are_of_the_domain(data):
    assert isinstance(domain_of(data), PlanarGraphs)
    assert isinstance(domain_of(data, Positions()), PlanarGraphs)
    assert recipe_for(data, Request(net=SMALL)).plan["variable"] == "pos"
    other = recipe_for(data, Request(changes=({"variable": "types"},)))
    assert other.plan["variable"] == "types"


@pytest.mark.parametrize(
    "graph",
    [nx.random_labeled_tree(12, seed=0), nx.grid_2d_graph(3, 4), nx.complete_graph(6), nx.empty_graph(5)],
    ids=["tree", "grid", "complete", "no edges"],
)
def test_other_graphs_are_not(graph, data):
    mixed = nf.Graphs.collate([data, graphs_of(graph)])
    assert isinstance(domain_of(mixed), DiscreteGraphs)
    assert isinstance(domain_of(mixed, Positions()), LatentGraphs)
    with pytest.raises(ValueError, match='variable="types"'):
        PlanarGraphs().recipe(mixed, Request())


def test_triangulations_that_are_no_delaunay_graphs_are_not():
    graphs = graphs_of(*[stacked(14)] * 4)
    assert nx.check_planarity(stacked(14))[0]
    assert isinstance(domain_of(graphs), DiscreteGraphs)
    with pytest.raises(ValueError, match=r"only .*%"):
        PlanarGraphs().recipe(graphs, Request())


def test_graphs_with_types_or_positions_are_not(data):
    typed = data.replace(node_type=torch.zeros(data.num_nodes, dtype=torch.int64))
    assert isinstance(domain_of(typed), DiscreteGraphs)
    assert not isinstance(domain_of(data.replace(pos=torch.rand(data.num_nodes, 2))), PlanarGraphs)


def test_recipe_is_a_flow_of_paired_points(data, monkeypatch):
    parts = PlanarGraphs().recipe(data, Request(net=SMALL)).build()
    assert isinstance(parts["net"], EGNN)
    assert parts["net"].arguments["pos_dim"] == 2
    assert parts["training"].coupling == WithinCloud("exact")
    assert isinstance(parts["transform"], DelaunayLayout)
    monkeypatch.setattr(planar_graphs, "_ASSIGNED", 11)
    large = PlanarGraphs().recipe(data, Request(net=SMALL)).build()
    assert large["training"].coupling == WithinCloud("order")
    with pytest.raises(ValueError, match="for_completion"):
        PlanarGraphs().recipe(data, Request(for_completion=True))


def test_graphs_are_laid_out_once_for_a_training(data, monkeypatch):
    calls = []
    laid_out = delaunay.planar_layout
    monkeypatch.setattr(
        delaunay, "planar_layout", lambda graphs: calls.append(len(graphs)) or laid_out(graphs)
    )
    model = nf.Model.for_data(data, **SMALL)
    calls.clear()
    model.fit(data[:8], val=data[8:], steps=6, batch=4, validate_every=2)
    assert calls == [8, 2]


def test_samples_are_planar_and_connected_by_construction(model, data):
    made = model.sample(6, steps=2, seed=3)
    assert made.dim == data.dim == 0
    assert made.x is made.edge_type is None
    for graph in made.to_networkx():
        assert graph.number_of_nodes() == 12
        assert nx.check_planarity(graph)[0]
        assert nx.is_connected(graph)
    assert not made.to_networkx()[0].is_directed()


def test_samples_do_not_depend_on_their_batch(model):
    together = model.sample(5, steps=2, batch=5)
    alone = model.sample(5, steps=2, batch=2)
    assert torch.equal(together.edge_index, alone.edge_index)


def test_other_sizes_are_asked_for(model):
    made = model.sample(3, nodes=[1, 5, 30], steps=2)
    assert made.sizes.tolist() == [1, 5, 30]


def test_scores_read_edges(model, data):
    scores = model.evaluate(data[4:], train=data[:4], steps=2)
    assert scores["model", "valid"].value == 1


def test_a_saved_model_samples_the_same(model, tmp_path):
    model.save_pretrained(tmp_path)
    again = nf.Model.from_pretrained(tmp_path)
    assert again.transform == DelaunayLayout()
    assert torch.equal(model.sample(3, steps=2).edge_index, again.sample(3, steps=2).edge_index)


def test_neither_completes_nor_has_a_density(model, data):
    known = torch.ones(data.num_nodes, dtype=torch.bool)
    with pytest.raises(ValueError, match="positions"):
        model.complete(data, known, draws=1, method=Replacement())
    with pytest.raises(ValueError, match="DelaunayLayout"):
        model.log_prob(data)


def test_report_shows_graphs(model, data, tmp_path):
    page = model.report(tmp_path / "report.html", test=data[7:], train=data[:6], draws=3, steps=2)
    assert "point cloud" not in page.read_text(encoding="utf-8")
