"""Isomorphism against networkx, and on graphs that colours alone cannot tell apart."""

import networkx as nx
import numpy as np
import pytest
import torch

from noisefold import Graphs
from noisefold.eval import isomorphism_classes
from noisefold.eval.isomorphism import repeated


def batch(graphs):
    return Graphs.collate([Graphs.from_networkx(g) for g in graphs])


def renumbered(graph, seed=0):
    """The same graph, its nodes in another order."""
    order = np.random.default_rng(seed).permutation(len(graph)).tolist()
    out = nx.empty_graph(len(graph))
    out.add_edges_from((order[u], order[v]) for u, v in graph.edges)
    return out


def typed(nodes, kinds, edges):
    graph = nx.Graph()
    for i, kind in enumerate(nodes):
        graph.add_node(i, type=kind)
    for (u, v), kind in zip(edges, kinds, strict=True):
        graph.add_edge(u, v, type=kind)
    return graph


def test_classes_of_all_small_graphs():
    """The atlas lists every graph of up to 6 nodes once."""
    atlas = nx.graph_atlas_g()[1:140]
    (classes,) = isomorphism_classes(batch(atlas))
    assert len(set(classes)) == len(atlas)
    first, second = isomorphism_classes(batch(atlas), batch([renumbered(g, i) for i, g in enumerate(atlas)]))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (nx.cycle_graph(6), nx.disjoint_union(nx.cycle_graph(3), nx.cycle_graph(3))),
        (nx.line_graph(nx.complete_bipartite_graph(4, 4)), None),  # beside Shrikhande's graph
        (nx.circular_ladder_graph(10), nx.dodecahedral_graph()),
    ],
    ids=["regular", "strongly regular", "cubic"],
)
def test_graphs_with_equal_colours(a, b):
    if b is None:
        steps = ((0, 1), (1, 0), (1, 1))
        b = nx.Graph(
            (4 * i + j, 4 * ((i + s) % 4) + (j + t) % 4) for i in range(4) for j in range(4) for s, t in steps
        )
    a = nx.convert_node_labels_to_integers(a)
    assert len(a) == len(b)
    assert a.size() == b.size()
    (classes,) = isomorphism_classes(batch([a, b, renumbered(a, 1), renumbered(b, 2)]))
    assert classes.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("graph", [nx.empty_graph(30), nx.star_graph(40), nx.hypercube_graph(6)])
def test_symmetric_graphs_are_themselves(graph):
    graph = nx.convert_node_labels_to_integers(graph)
    (classes,) = isomorphism_classes(batch([graph, renumbered(graph, 3)]))
    assert classes.tolist() == [0, 0]


def test_every_image_of_a_node_is_tried():
    """All nodes have two neighbours, so that their colours are equal, but not all can be exchanged."""
    graph = nx.disjoint_union_all([nx.cycle_graph(6), nx.cycle_graph(3), nx.cycle_graph(3)])
    (classes,) = isomorphism_classes(batch([renumbered(graph, i) for i in range(6)]))
    assert classes.tolist() == [0] * 6


def test_types_are_matched_by_name():
    edges = [(0, 1), (1, 2)]
    alcohol = typed("CCO", ["single", "single"], edges)
    turned = typed("OCC", ["single", "single"], edges)
    ether = typed("COC", ["single", "single"], edges)
    aldehyde = typed("CCO", ["single", "double"], edges)
    first, second = isomorphism_classes(
        Graphs.collate([Graphs.from_networkx(g) for g in (alcohol, turned, ether)]),
        Graphs.collate([Graphs.from_networkx(g) for g in (aldehyde, turned)]),
    )
    assert first.tolist() == [0, 0, 1]
    assert second.tolist() == [2, 0]


def test_directions_loops_and_repeats_do_not_count():
    pos = torch.zeros(3, 0)
    simple = Graphs(pos, edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
    messy = Graphs(pos, edge_index=torch.tensor([[0, 0, 2, 2, 1], [2, 2, 2, 1, 2]]))
    assert [c.tolist() for c in isomorphism_classes(simple, messy)] == [[0], [0]]


def test_random_pairs_as_networkx():
    graphs = [nx.gnp_random_graph(5, 0.5, seed=i) for i in range(24)]
    (classes,) = isomorphism_classes(batch(graphs))
    for i, a in enumerate(graphs):
        for j in range(i):
            assert (classes[i] == classes[j]) == nx.is_isomorphic(a, graphs[j])


def test_repeated_marks_all_but_the_first():
    assert repeated([3, 1, 3, 1, 2]).tolist() == [False, False, True, True, False]


def test_sets_without_the_types_of_others_are_refused():
    plain = batch([nx.path_graph(3)])
    with pytest.raises(ValueError, match="node_type"):
        isomorphism_classes(plain, plain.replace(node_type=torch.zeros(3, dtype=torch.int64)))
