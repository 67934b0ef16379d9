"""Discrete graphs as a domain: what is taken, what is refused, and a model from end to end."""

import networkx as nx
import pytest
import torch

import noisefold as nf
from noisefold.data.notice import DataNotice
from noisefold.domains import DiscreteGraphs, Request, domain_of, recipe_for
from noisefold.noise import Categories, Classes, Discrete, Types

SMALL = {"width": 16, "pair_width": 8, "layers": 1, "heads": 2}


def graphs_of(*graphs):
    return nf.Graphs.collate([nf.Graphs.from_networkx(g) for g in graphs])


def edges(n, *ends):
    return nf.Graphs(torch.zeros(n, 0), edge_index=torch.tensor(ends).T.reshape(2, -1))


@pytest.fixture(scope="module")
def molecules():
    """Rings and chains of two elements with two kinds of bonds."""
    made = []
    for i in range(24):
        g = (nx.cycle_graph if i % 2 else nx.path_graph)(4 + i % 3)
        nx.set_node_attributes(g, {k: "CN"[k % 2] for k in g}, "type")
        nx.set_edge_attributes(g, {e: ("single", "double")[e == (0, 1)] for e in g.edges}, "type")
        g.graph["label"] = "ring" if i % 2 else "chain"
        made.append(g)
    return graphs_of(*made)


@pytest.fixture(scope="module")
def model(molecules):
    return nf.Model.for_data(molecules, **SMALL).fit(molecules, steps=20, batch=8)


def test_graphs_with_edges_and_no_positions_are_of_the_domain(molecules):
    assert isinstance(domain_of(molecules.replace(node_types=("a", "b"))), DiscreteGraphs)
    assert not isinstance(domain_of(nf.Graphs(torch.rand(5, 3))), DiscreteGraphs)
    placed = molecules.replace(pos=torch.rand(molecules.num_nodes, 3))
    assert not isinstance(domain_of(placed), DiscreteGraphs)
    assert domain_of(placed, Types()).fits(molecules, None)
    named = recipe_for(placed, Request(changes=({"variable": "types"},)))
    assert named.plan["variable"] == "types"


def test_recipe_is_of_the_discrete_path(molecules):
    parts = DiscreteGraphs().recipe(molecules, Request(net=SMALL)).build()
    assert isinstance(parts["path"], Discrete)
    assert isinstance(parts["target"], Classes)
    assert len(parts["path"].nodes) == 2
    assert len(parts["path"].pairs) == 3
    assert parts["summary"].edge_types == ("double", "single")


def test_self_loops_and_repeated_edges_are_said_and_dropped():
    loops = edges(3, (0, 0), (0, 1), (1, 0), (0, 1), (1, 0), (1, 2), (2, 1))
    with pytest.warns(DataNotice, match=r"1 self-loops .* 2 repeated"):
        plain = DiscreteGraphs().prepared(loops)
    assert sorted(plain.edge_index.T.tolist()) == [[0, 1], [1, 0], [1, 2], [2, 1]]


def test_edges_listed_once_are_undirected_and_directed_graphs_refused():
    once = DiscreteGraphs().prepared(edges(3, (0, 1), (1, 2)))
    assert once.edge_index.shape[1] == 4
    for directed in (edges(3, (0, 1), (1, 0), (1, 2)), edges(3, (2, 0), (0, 1))):
        with pytest.raises(ValueError, match="direction"):
            DiscreteGraphs().prepared(directed)


def test_graphs_without_edges_or_with_one_node_are_taken():
    sizes = graphs_of(nx.empty_graph(1), nx.empty_graph(4), nx.complete_graph(3))
    made = nf.Model.for_data(sizes, **SMALL).fit(sizes, steps=2, batch=2).sample(6, steps=3)
    assert set(made.sizes.tolist()) <= {1, 3, 4}


def test_samples_are_simple_typed_graphs_of_the_training_sizes(model, molecules):
    made = model.sample(8, steps=5)
    assert set(made.sizes.tolist()) <= set(molecules.sizes.tolist())
    assert made.node_types == ("C", "N")
    assert made.edge_types == ("double", "single")
    assert made.classes == molecules.classes
    assert not (made.edge_index[0] == made.edge_index[1]).any()
    assert Types().read(made).pairs.max() <= 2  # refuses self-loops and multi-edges


def test_a_sample_depends_on_its_seed_and_number_alone(model):
    together, apart = model.sample(6, steps=4, seed=3), model.sample(6, steps=4, seed=3, batch=1)
    assert torch.equal(together.edge_index, apart.edge_index)
    assert torch.equal(together.node_type, apart.node_type)
    assert torch.equal(model.sample(range(4, 6), steps=4, seed=3).edge_index, together[4:].edge_index)


def test_classes_guide(model):
    assert model.classes == ("chain", "ring")
    made = model.sample(4, labels="ring", guidance=2.0, steps=3)
    assert made.label.tolist() == [1] * 4


def test_saved_model_draws_the_same(model, tmp_path):
    model.save_pretrained(tmp_path)
    back = nf.Model.from_pretrained(tmp_path)
    assert back.path == model.path
    assert torch.equal(back.sample(3, steps=3).edge_index, model.sample(3, steps=3).edge_index)


def test_types_are_matched_by_name_and_unknown_ones_refused(model, molecules):
    other = molecules.replace(node_type=1 - molecules.node_type, node_types=("N", "C"))
    assert torch.equal(model.prepared(other).node_type, molecules.node_type)
    foreign = molecules.replace(node_types=("C", "Xe"))
    with pytest.raises(ValueError, match="node type 'Xe'"):
        model.prepared(foreign)


def test_likelihood_is_a_bound_of_each_graph(model, molecules):
    found = model.log_prob(molecules[:3], method=nf.sample.ChainBound(steps=3, repetitions=2))
    assert found.kind == "bound"
    assert found.value.shape == (3,)
    assert (found.value < 0).all()


@pytest.mark.parametrize("method", [None, nf.sample.Replacement()])
def test_completion_keeps_the_known_part_and_draws_the_rest(model, molecules, method):
    some = molecules[:2]
    known = torch.ones(some.num_nodes, dtype=torch.bool)
    known[[0, -1]] = False
    done = model.complete(some, known, draws=3, steps=3, method=method)
    want, mask = Types().read(model.prepared(some)), done.known
    for draw in done.draws:
        state = Types().read(draw)
        assert torch.equal(state.nodes[mask.nodes], want.nodes[mask.nodes])
        assert torch.equal(state.pairs[mask.pairs], want.pairs[mask.pairs])
    assert done.edge_probability[mask.pairs].unique().tolist() in ([0, 1], [0.0], [1.0])
    assert torch.allclose(done.probabilities.nodes.sum(1), torch.ones(some.num_nodes, dtype=torch.float64))
    again = model.complete(some[1:], known[some.ptr[1] :], draws=1, steps=3, method=method)
    assert len(again) == 1


def test_single_pairs_can_be_known(model, molecules):
    some = molecules[:1]
    n = some.num_nodes
    pairs = torch.zeros(n * (n - 1) // 2, dtype=torch.bool)
    pairs[0] = True
    known = Categories(torch.zeros(n, dtype=torch.bool), pairs)
    done = model.complete(some, known, draws=2, steps=3)
    assert all(Types().read(draw).pairs[0] == Types().read(some).pairs[0] for draw in done.draws)
    with pytest.raises(ValueError, match="known"):
        model.complete(some, torch.zeros(n + 1, dtype=torch.bool))


def test_scaffold_is_extended_to_the_size_asked_for(model, molecules):
    whole, known = nf.sample.extended(molecules[:2], 7)
    assert whole.sizes.tolist() == [7, 7]
    assert known.sum() == molecules[:2].num_nodes
    done = model.complete(whole, known, draws=1, steps=3)
    found, given = Types().read(done.draws[0]).nodes[known], Types().read(molecules[:2]).nodes
    assert torch.equal(found, given)
    with pytest.raises(ValueError, match="nodes"):
        nf.sample.extended(molecules[:2], 2)


def test_types_of_a_scaffold_are_those_of_the_model(model, molecules):
    some = molecules[:2].replace(node_type=None, node_types=())
    with pytest.raises(ValueError, match="node_type"):
        model.complete(some, torch.ones(some.num_nodes, dtype=torch.bool), draws=1, steps=2)
    some = molecules[:2].replace(edge_type=None, edge_types=())
    with pytest.raises(ValueError, match="edge_type"):
        model.complete(some, torch.ones(some.num_nodes, dtype=torch.bool), draws=1, steps=2)
    unknown = molecules[:2].replace(node_type=molecules[:2].node_type + 2, node_types=())
    with pytest.raises(ValueError, match="node type"):
        model.complete(unknown, torch.ones(unknown.num_nodes, dtype=torch.bool), draws=1, steps=2)
    nodes = graphs_of(nx.empty_graph(2)).replace(node_type=torch.tensor([0, 1]), node_types=("C", "N"))
    done = model.complete(*nf.sample.extended(nodes, 4), draws=1, steps=2)
    assert done.draws[0].edge_types == ("double", "single")


def test_model_for_completion_learns_from_masks_and_conditions_directly(molecules):
    model = nf.Model.for_data(molecules, for_completion=True, **SMALL).fit(molecules, steps=3, batch=4)
    known = torch.arange(molecules[:2].num_nodes) % 2 == 0
    done = model.complete(molecules[:2], known, draws=2, steps=3)
    assert len(done) == 2


def test_scores_stand_beside_the_baselines(model, molecules):
    scores = nf.eval.score_graphs(model.sample(8, steps=3), molecules[:8], molecules[8:], resamples=0)
    assert {"model", "train", "copied", "Erdos-Renyi"} == set(scores.table)


def test_named_atoms_and_bonds_make_molecules_and_scores_of_them(model, molecules):
    pytest.importorskip("rdkit")
    assert domain_of(molecules).name == "molecules"
    assert domain_of(molecules.replace(node_types=("a", "b"))).name == "graphs"
    scores = model.evaluate(molecules[:6], train=molecules[6:], draws=6, steps=3).table
    assert set(scores) == {"model", "independent", "train"}
    assert scores["train"]["valid"].value == 1


def test_scores_of_constrained_samples_say_so(model, molecules):
    bare = graphs_of(*(nx.path_graph(4 + i % 3) for i in range(8)))
    other = nf.Model.for_data(bare, **SMALL).fit(bare, steps=1, batch=8)
    kept = other.evaluate(bare, draws=4, steps=2, metrics=["valid"], constraint="tree")
    assert kept["model"]["valid"].value == 1
    assert "trees" in kept.note
    assert "trees" not in other.evaluate(bare, draws=4, steps=2, metrics=["valid"]).note
    pytest.importorskip("rdkit")
    kept = model.evaluate(molecules[:6], draws=4, steps=2, metrics=["valid"], constraint="valence")
    assert "valences" in kept.note


def test_constraints_are_for_discrete_graphs():
    clouds = nf.Graphs.dense(torch.rand(4, 8, 2))
    other = nf.Model.for_data(clouds, width=8, latents=2, latent_width=8, rounds=1, blocks=1, heads=2)
    with pytest.raises(ValueError, match="constraint"):
        other.sample(1, steps=2, constraint="tree")


def test_levels_near_the_data_are_trained_more_where_one_mistake_counts() -> None:
    chem = pytest.importorskip("rdkit.Chem")
    chains = nf.load([chem.MolFromSmiles(text) for text in ("CCO", "CC=O", "C1CO1", "CN")])

    def levels(graphs: nf.Graphs) -> object:
        return recipe_for(graphs, Request()).plan["training"]["levels"]

    assert levels(chains) == levels(nf.data.tree(4, nodes=40)) is not None
    assert levels(nf.data.community(4)) is None
