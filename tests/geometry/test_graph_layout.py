"""Layouts of graphs without positions, and their drawings in notebooks."""

from __future__ import annotations

from xml.etree import ElementTree

import networkx as nx
import numpy as np
import pytest
import torch

from noisefold.geometry.graph_drawing import drawings_of
from noisefold.geometry.graph_layout import breadth_first, graph_layout
from noisefold.geometry.graphs import Graphs

HOSTILE = "<script>alert(1)</script> & %{x}"


def ends(graph: nx.Graph) -> np.ndarray:
    return np.array(graph.edges, dtype=np.int64).reshape(-1, 2)


def typed() -> Graphs:
    made = []
    for n in (5, 8):
        g = nx.cycle_graph(n)
        nx.set_node_attributes(g, {k: ("C", HOSTILE)[k % 2] for k in g}, "type")
        nx.set_edge_attributes(g, {e: ("single", "double")[sum(e) % 2] for e in g.edges}, "type")
        g.graph["label"] = HOSTILE
        made.append(g)
    return Graphs.collate([Graphs.from_networkx(g) for g in made])


def test_distances_are_those_of_shortest_paths() -> None:
    graph = nx.grid_2d_graph(4, 6)
    graph = nx.convert_node_labels_to_integers(graph)
    places = graph_layout(ends(graph), 24)
    found = np.linalg.norm(places[:, None] - places, axis=2)[np.triu_indices(24, 1)]
    wanted = np.asarray(nx.floyd_warshall_numpy(graph))[np.triu_indices(24, 1)]
    assert np.corrcoef(found, wanted)[0, 1] > 0.95
    path = graph_layout(ends(nx.path_graph(7)), 7)
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    assert steps == pytest.approx(np.full(6, 1 / 3), abs=0.01)  # a line of length 2


@pytest.mark.parametrize("n", [0, 1, 2, 3, 30])
def test_any_graph_fills_the_square_and_no_two_nodes_coincide(n: int) -> None:
    for graph in (nx.empty_graph(n), nx.complete_graph(n), nx.star_graph(max(n - 1, 0))):
        places = graph_layout(ends(graph), len(graph))
        assert np.isfinite(places).all()
        assert np.abs(places).max(initial=0) <= 1 + 1e-9
        if len(graph) > 1:
            assert np.abs(places).max() == pytest.approx(1)
            apart = np.linalg.norm(places[:, None] - places, axis=2)[np.triu_indices(len(graph), 1)]
            assert apart.min() > 0.01


def test_components_stand_apart_the_largest_first() -> None:
    graph = nx.disjoint_union_all([nx.path_graph(2), nx.cycle_graph(9), nx.path_graph(3)])
    places = graph_layout(ends(graph), 14)
    parts = [places[:2], places[2:11], places[11:]]
    assert min(p[:, 0].min() for p in parts) == parts[1][:, 0].min()
    assert parts[1][:, 1].max() == pytest.approx(places[:, 1].max())
    for i, a in enumerate(parts):
        for b in parts[:i]:
            apart = (a.min(0) > b.max(0)) | (b.min(0) > a.max(0))
            assert apart.any()


def test_a_layout_is_a_function_of_the_graph_alone() -> None:
    graph = nx.gnp_random_graph(12, 0.3, seed=1)
    listed = ends(graph)
    doubled = np.concatenate([listed[::-1], listed[:, ::-1], [[0, 0]]])
    assert graph_layout(listed, 12) == pytest.approx(graph_layout(doubled, 12))


def test_large_graphs_are_cut_around_the_node_of_most_edges() -> None:
    graph = nx.disjoint_union(nx.star_graph(5), nx.path_graph(50))
    assert breadth_first(ends(graph), 56, 6).tolist() == [0, 1, 2, 3, 4, 5]
    drawing = drawings_of(Graphs.from_networkx(graph), [0], 6)[0]
    assert drawing.nodes.tolist() == [0, 1, 2, 3, 4, 5]
    assert drawing.edges.tolist() == [[0, k] for k in range(1, 6)]
    assert (drawing.total, drawing.total_edges) == (56, 54)


def test_notebooks_show_edges_and_types() -> None:
    graphs = typed()
    root = ElementTree.fromstring(f"<div>{graphs._repr_html_()}</div>")
    paths = [e.attrib["d"] for e in root.iter("path")]
    assert sum(d.count("L") for d in paths) == 5 + 8
    assert sum(d.count("h0") for d in paths) == 5 + 8
    assert len({e.attrib["stroke"] for e in root.iter("path")}) == 4
    assert len(root.findall(".//text")) == 2


def test_shown_graphs_are_flat_with_a_legend_of_types() -> None:
    figure = typed().show()
    lines = [t for t in figure.data if t.mode == "lines"]
    dots = [t for t in figure.data if t.mode == "markers"]
    assert {t.name for t in lines} == {"single", "double"}
    assert sum(np.isnan(t.x).sum() for t in lines) == 5 + 8  # a gap after each edge
    assert sum(len(t.x) for t in dots) == 5 + 8
    assert all("<script" not in t.name and "%{x}" not in t.hovertemplate for t in dots)
    assert not any("<" in note.text for note in figure.layout.annotations)
    bare = Graphs(torch.zeros(3, 0), edge_index=torch.zeros(2, 0, dtype=torch.int64)).show()
    assert [len(t.x) for t in bare.data] == [3]
