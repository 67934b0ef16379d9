"""Latent vectors of large graphs: which data, and a model from end to end."""

import networkx as nx
import pytest
import torch

import noisefold as nf
from noisefold.domains import DiscreteGraphs, LatentGraphs, Request, domain_of, latent_graphs, recipe_for
from noisefold.geometry import LatentPositions, latent_positions
from noisefold.geometry.pair_strata import simple_edges
from noisefold.nn import Latents
from noisefold.noise import Positions
from noisefold.sample import Replacement

SMALL = {"width": 16, "latents": 4, "latent_width": 16, "heads": 2, "rounds": 1}


@pytest.fixture(scope="module")
def data():
    return nf.data.community(10)


@pytest.fixture(scope="module")
def model(data):
    transform = LatentPositions.fit(data, 2, steps=30)
    made = nf.Model.for_data(data, variable="pos", transform=transform, **SMALL)
    return made.fit(data[:8], val=data[8:], steps=4, batch=4)


def test_positions_of_graphs_without_any_are_latent_vectors(data):
    assert isinstance(domain_of(data, Positions()), LatentGraphs)
    assert isinstance(domain_of(data), DiscreteGraphs)  # small graphs are generated pair by pair
    assert not isinstance(domain_of(data.replace(pos=torch.rand(data.num_nodes, 2))), LatentGraphs)


def test_large_graphs_are_of_the_domain_by_themselves(data, monkeypatch):
    monkeypatch.setattr(latent_graphs, "_LARGE", 15)
    assert isinstance(domain_of(data), LatentGraphs)
    typed = data.replace(node_type=torch.zeros(data.num_nodes, dtype=torch.int64))
    assert isinstance(domain_of(typed), DiscreteGraphs)


def test_recipe_tries_dimensions_and_sees_part_of_large_graphs(data, monkeypatch):
    monkeypatch.setattr(latent_positions, "DIMENSIONS", (1, 2))
    monkeypatch.setattr(latent_graphs, "_NODES", 12)
    monkeypatch.setattr(LatentPositions.fit.__func__, "__defaults__", ((1, 2), 5))
    recipe = recipe_for(data, Request(net=SMALL, changes=({"variable": "pos"},)))
    parts = recipe.build()
    assert isinstance(parts["net"], Latents)
    assert parts["training"].nodes == 12
    assert len(parts["transform"].decoder.scales) in (1, 2)
    assert parts["summary"].dim == parts["transform"].decoder.columns


@pytest.mark.parametrize("field", ["node_type", "edge_type", "x", "direction", "completion"])
def test_what_vectors_do_not_generate_is_refused(field, data):
    changed = {
        "node_type": data.replace(node_type=torch.zeros(data.num_nodes, dtype=torch.int64)),
        "edge_type": data.replace(edge_type=torch.zeros(data.edge_index.shape[1], dtype=torch.int64)),
        "x": data.replace(x=torch.zeros(data.num_nodes, 1)),
        "direction": data.replace(edge_index=data.edge_index[:, 1:]),
        "completion": data,
    }[field]
    with pytest.raises(ValueError, match='variable="types"'):
        LatentGraphs().recipe(changed, Request(for_completion=field == "completion"))


def test_edges_are_simple_and_undirected_whatever_they_were(data):
    loops = torch.arange(data.num_nodes).repeat(2, 1)
    messy = data.replace(edge_index=torch.cat([data.edge_index, data.edge_index[:, :8], loops], 1))
    with pytest.warns(nf.data.DataNotice, match="self-loops"):
        prepared = LatentGraphs().prepared(messy)
    assert torch.equal(simple_edges(prepared), simple_edges(data))
    assert prepared.edge_index.shape[1] == 2 * simple_edges(data).shape[1]


def test_samples_are_graphs_and_do_not_depend_on_their_batch(model, data):
    together, alone = model.sample(5, steps=2, batch=5, seed=1), model.sample(5, steps=2, batch=2, seed=1)
    assert together.dim == data.dim == 0
    assert torch.equal(together.edge_index, alone.edge_index)
    assert not torch.equal(together.edge_index, model.sample(5, steps=2, seed=2).edge_index)
    for graph in together.to_networkx():
        assert not graph.is_directed()
        assert nx.number_of_selfloops(graph) == 0
    ends = model.sample(3, nodes=[1, 2, 30], steps=2)
    assert ends.sizes.tolist() == [1, 2, 30]


def test_each_sample_has_edges_of_its_own(model):
    """The same vectors give other edges in another sample."""
    points = model.transform.apply(model.sample(1, nodes=20, steps=2))
    a, b = (model.transform.drawn(points, [seed]).edge_index for seed in (0, 1))
    assert a.shape != b.shape or not torch.equal(a, b)


def test_samples_have_whole_sizes_though_training_sees_parts(data):
    transform = LatentPositions.fit(data, 2, steps=5)
    made = nf.Model.for_data(data, variable="pos", transform=transform, **SMALL)
    made.fit(data, steps=1, batch=2, nodes=6)
    assert set(made.sample(20, steps=1).sizes.tolist()) <= set(data.sizes.tolist())


def test_numbers_of_edges_are_those_of_the_data(model, data):
    def per_node(graphs):
        return simple_edges(graphs).shape[1] / graphs.num_nodes

    # The expected number is kept to the range of the data, whatever four steps have learned.
    assert per_node(model.sample(30, steps=2)) == pytest.approx(per_node(data), rel=0.25)


def test_scores_read_edges_beside_random_graphs(model, data):
    scores = model.evaluate(data[4:], train=data[:4], steps=2, metrics=["degree"])
    assert {"model", "train", "Erdos-Renyi"} <= set(scores.rows)


def test_a_saved_model_samples_the_same(model, tmp_path):
    model.save_pretrained(tmp_path)
    again = nf.Model.from_pretrained(tmp_path)
    assert again.transform == model.transform
    assert torch.equal(model.sample(3, steps=2).edge_index, again.sample(3, steps=2).edge_index)


def test_neither_completes_nor_has_a_density(model, data):
    known = torch.ones(data.num_nodes, dtype=torch.bool)
    with pytest.raises(ValueError, match="positions"):
        model.complete(data, known, draws=1, method=Replacement())
    with pytest.raises(ValueError, match="LatentPositions"):
        model.log_prob(data)
