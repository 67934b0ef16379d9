"""Constraints of the last step: the property always holds, and the edges are the likeliest that have it."""

import itertools

import networkx as nx
import numpy as np
import pytest
import torch

import noisefold as nf
from noisefold.noise import Categories, Discrete, Streams, Types
from noisefold.sample import Constrained, DiscreteFlow, Power, Sampling, Task
from noisefold.sample.constraint import CONSTRAINTS, Molecule, Valence


def graph(n, **fields):
    return nf.Graphs(torch.zeros(n, 0), **fields)


def edges(kept, n):
    i, j = np.triu_indices(n, 1)
    found = nx.empty_graph(n)
    found.add_edges_from(zip(i[kept].tolist(), j[kept].tolist(), strict=True))
    return found


def test_tree_is_the_heaviest_of_all_trees():
    rng = np.random.default_rng(0)
    for _ in range(5):
        weights = rng.normal(size=10)
        kept = CONSTRAINTS["tree"].keep(weights, np.zeros(10, int), graph(5))
        assert nx.is_tree(edges(kept, 5))
        best = max(
            weights[list(chosen)].sum()
            for chosen in itertools.combinations(range(10), 4)
            if nx.is_connected(edges(list(chosen), 5))
        )
        assert weights[kept].sum() == pytest.approx(best, abs=1e-12)


def test_connected_keeps_what_was_drawn_and_adds_the_fewest_edges():
    rng = np.random.default_rng(1)
    for _ in range(10):
        weights = rng.normal(-1.5, 1, size=28)
        kept = CONSTRAINTS["connected"].keep(weights, np.zeros(28, int), graph(8))
        drawn = edges(weights > 0, 8)
        assert nx.is_connected(edges(kept, 8))
        assert kept[weights > 0].all()
        assert kept.sum() - (weights > 0).sum() == nx.number_connected_components(drawn) - 1


def test_planar_keeps_planar_graphs_and_takes_nothing_that_was_not_drawn():
    rng = np.random.default_rng(2)
    weights = rng.normal(size=36)
    kept = CONSTRAINTS["planar"].keep(weights, np.zeros(36, int), graph(9))
    assert nx.check_planarity(edges(kept, 9))[0]
    assert not kept[weights <= 0].any()
    left_out = np.flatnonzero((weights > 0) & ~kept)
    assert len(left_out)
    for k in left_out:  # maximal
        more = kept.copy()
        more[k] = True
        assert not nx.check_planarity(edges(more, 9))[0]
    few = np.where(np.arange(36) < 6, 1.0, -1.0)
    assert (CONSTRAINTS["planar"].keep(few, np.zeros(36, int), graph(9)) == (few > 0)).all()


def test_valence_bounds_the_bonds_of_every_atom():
    names, bonds = ("C", "N+", "O", "O-", "C-", "F"), ("single", "double", "triple")
    rng = np.random.default_rng(3)
    atoms = torch.arange(12) % 6
    frame = graph(12, node_type=atoms, node_types=names, edge_types=bonds)
    kinds = rng.integers(0, 3, 66)
    kept = Valence().keep(rng.normal(2, 1, 66), kinds, frame)
    i, j = np.triu_indices(12, 1)
    used = np.zeros(12)
    np.add.at(used, i[kept], kinds[kept] + 1)
    np.add.at(used, j[kept], kinds[kept] + 1)
    allowed = np.array([4, 4, 2, 1, 3, 1])[atoms]
    assert (used <= allowed).all()
    assert used.sum() > 20


def test_a_molecule_is_of_one_piece_and_keeps_what_was_drawn_beside_it():
    frame = graph(6, node_type=torch.zeros(6, dtype=torch.int64), node_types=("C",), edge_types=("single",))
    i, j = np.triu_indices(6, 1)
    ring = (i < 3) & (j < 3)  # a ring of three atoms was drawn, and nothing joins the others
    kept = Molecule().keep(np.where(ring, 2.0, -1.0), np.zeros(15, int), frame)
    assert nx.is_connected(edges(kept, 6))
    assert kept[ring].all()
    assert kept.sum() == 3 + 3
    assert edges(Valence().keep(np.where(ring, 2.0, -1.0), np.zeros(15, int), frame), 6).size() == 3


def test_a_molecule_keeps_valences_even_where_it_cannot_be_of_one_piece():
    names = ("F", "C")
    frame = graph(4, node_type=torch.tensor([0, 0, 0, 1]), node_types=names, edge_types=("single", "triple"))
    kept = Molecule().keep(np.array([3.0, 1, 1, 1, 1, 1]), np.zeros(6, int), frame)
    assert edges(kept, 4).degree(0) == edges(kept, 4).degree(1) == 1
    assert not nx.is_connected(edges(kept, 4))
    both = Molecule().keep(np.array([-1.0, -1, 1, -1, 1, 1]), np.array([0, 0, 1, 0, 0, 0]), frame)
    assert both.tolist() == [False, False, False, False, True, True]


@pytest.mark.parametrize(("types", "bonds"), [(("Xx",), ("single",)), (("C",), ("ionic",))])
def test_valence_names_what_it_does_not_know(types, bonds):
    frame = graph(2, node_type=torch.zeros(2, dtype=torch.int64), node_types=types, edge_types=bonds)
    with pytest.raises(ValueError, match=r"Xx|ionic"):
        Valence().keep(np.ones(1), np.zeros(1, int), frame)


def test_every_sample_has_the_property_and_certain_edges_stay():
    path = Discrete((1.0,), (0.7, 0.3))
    frame = graph(30).replace(ptr=torch.tensor([0, 1, 3, 18, 30]))
    pairs = torch.full((1 + 105 + 66, 2), 0.5)
    pairs[1] = torch.tensor([0.0, 1.0])  # an edge that is known
    times = Power(2)(path, 3)
    estimate = Categories(torch.ones(30, 1), pairs)
    task = Task(lambda state, t: estimate, path, times, frame, Streams(0, range(4)), Types())
    start = path.prior(frame, Types().read(frame), times[0], task.random)
    made = Types().write(frame, Constrained(DiscreteFlow(), "tree")(task, start))
    assert all(nx.is_tree(g) for g in made.to_networkx())
    assert made[2].to_networkx()[0].has_edge(0, 1)


def test_a_constraint_is_refused_by_name_and_by_path():
    with pytest.raises(ValueError, match="constraint"):
        Constrained(DiscreteFlow(), "forest")
    with pytest.raises(ValueError, match="Gaussian"):
        Sampling(constraint="tree").resolved(nf.noise.Gaussian(), 10)
