"""Graphs of NetworkX: positions, features, types and classes from attributes, and back."""

import networkx as nx
import numpy as np
import pytest
import torch

from noisefold.geometry.graphs import Graphs


def test_bare_graph_has_0_dimensions_and_both_directions():
    graphs = Graphs.from_networkx(nx.cycle_graph(5))
    assert list(graphs.pos.shape) == [5, 0]
    assert graphs.x is graphs.node_type is graphs.label is graphs.edge_attr is None
    edges = {tuple(e) for e in graphs.edge_index.T.tolist()}
    assert edges == {(i, (i + k) % 5) for i in range(5) for k in (1, -1)}
    directed = Graphs.from_networkx(nx.DiGraph([("a", "b"), ("b", "c"), ("c", "c")]))
    assert directed.edge_index.tolist() == [[0, 1, 2], [1, 2, 2]]
    assert Graphs.from_networkx(nx.Graph([(0, 0), (0, 1)])).edge_index.shape[1] == 3
    assert Graphs.from_networkx(nx.empty_graph(3)).edge_index.shape == (2, 0)


@pytest.mark.parametrize(
    "attributes",
    [
        {"pos": [(0, 1), (2, 3)]},
        {"pos": [np.array([0, 1]), np.array([2, 3])]},
        {"pos": [torch.tensor([0, 1]), torch.tensor([2, 3])]},
        {"x": [0.0, 2.0], "y": [1, 3]},
    ],
)
def test_positions(attributes):
    graph = nx.Graph()
    for i in range(2):
        graph.add_node(i, **{name: values[i] for name, values in attributes.items()})
    graphs = Graphs.from_networkx(graph)
    assert graphs.pos.tolist() == [[0, 1], [2, 3]]
    assert graphs.x is None


def test_attributes_become_features_types_and_a_class():
    graph = nx.Graph(label="ring")
    for i, element in enumerate("CNC"):
        graph.add_node(f"n{i}", x=i, y=0, z=2, charge=i / 2, spin=(i, -i), element=element)
    graph.add_edge("n0", "n1", weight=2.5, type="single")
    graph.add_edge("n2", "n1", weight=0.5, type="double")
    graphs = Graphs.from_networkx(graph)
    assert graphs.pos.tolist() == [[0, 0, 2], [1, 0, 2], [2, 0, 2]]
    assert graphs.feature_names == ("charge", "spin_0", "spin_1")
    assert graphs.x.tolist() == [[0, 0, 0], [0.5, 1, -1], [1, 2, -2]]
    assert graphs.node_types == ("C", "N")
    assert graphs.node_type.tolist() == [0, 1, 0]
    ends = [tuple(e) for e in graphs.edge_index.T.tolist()]
    kinds = [graphs.edge_types[k] for k in graphs.edge_type.tolist()]
    assert dict(zip(ends, zip(kinds, graphs.edge_attr[:, 0].tolist(), strict=True), strict=True)) == {
        (0, 1): ("single", 2.5),
        (1, 0): ("single", 2.5),
        (1, 2): ("double", 0.5),
        (2, 1): ("double", 0.5),
    }
    assert graphs.classes == ("ring",)


@pytest.mark.parametrize(
    ("nodes", "named"),
    [
        ([{"heat": 1}, {}], "'heat'"),
        ([{"pos": (0, 1)}, {}], "'pos'"),
        ([{"pos": (0, 1)}, {"pos": (0,)}], "'pos'"),
        ([{"a": "b", "c": "d"}, {"a": "b", "c": "d"}], "'a', 'c'"),
        ([{"a": None}, {"a": None}], "'a'"),
        ([], "no nodes"),
    ],
)
def test_what_cannot_be_understood_is_refused_by_name(nodes, named):
    graph = nx.Graph()
    graph.add_nodes_from(enumerate(nodes))
    with pytest.raises(ValueError, match=named):
        Graphs.from_networkx(graph)


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("several", [False, True])
def test_both_ways(directed, several):
    ends = [[0, 1, 2], [1, 2, 0]] if not several else [[0, 1, 2, 2], [1, 2, 0, 0]]
    edges = torch.tensor(ends)
    attributes = torch.arange(edges.shape[1] * 2.0).reshape(-1, 2)
    types = torch.arange(edges.shape[1]) % 2
    if not directed:
        edges, attributes, types = (
            torch.cat([edges, edges.flip(0)], 1),
            attributes.repeat(2, 1),
            types.repeat(2),
        )
    graphs = Graphs(
        torch.rand(3, 2, dtype=torch.float64),
        torch.rand(3, 2),
        edge_index=edges,
        edge_attr=attributes,
        edge_type=types,
        edge_types=("a", "b"),
        node_type=torch.tensor([0, 1, 1]),
        node_types=("p", "q"),
        feature_names=("heat", "load"),
        label=torch.tensor([0]),
        classes=("ill",),
    )
    (made,) = graphs.to_networkx()
    assert made.is_directed() == directed
    assert made.is_multigraph() == several
    assert made.number_of_edges() == len(ends[0])
    back = Graphs.from_networkx(made)
    assert torch.equal(back.pos, graphs.pos)
    assert torch.equal(back.x, graphs.x)
    assert torch.equal(back.node_type, graphs.node_type)
    for name in ("classes", "node_types", "edge_types"):
        assert getattr(back, name) == getattr(graphs, name)

    def rows(g):
        attr = g.edge_attr.tolist()
        return sorted(
            (*e, *a, t) for e, a, t in zip(g.edge_index.T.tolist(), attr, g.edge_type.tolist(), strict=True)
        )

    assert rows(back) == rows(graphs)


def test_a_list_of_graphs_is_no_graph() -> None:
    with pytest.raises(TypeError, match="list"):
        Graphs.from_networkx([nx.path_graph(2)])
