"""Delaunay triangulation: the empty circle, degenerate points, and the way to positions and back."""

from itertools import combinations

import networkx as nx
import numpy as np
import pytest
import torch

from noisefold.configuration import decode, encode
from noisefold.geometry import Graphs
from noisefold.geometry.delaunay import DelaunayLayout, delaunay_edges, recovered


def edges_of(points):
    return {tuple(e) for e in delaunay_edges(Graphs(torch.as_tensor(points))).T.tolist()}


def by_empty_circles(points):
    """Sides of all triangles whose circumcircle holds no other point, by brute force."""
    found = set()
    for triple in combinations(range(len(points)), 3):
        a, b, c = (points[i] for i in triple)
        lifted = [[2 * (b - a)[0], 2 * (b - a)[1]], [2 * (c - a)[0], 2 * (c - a)[1]]]
        centre = np.linalg.solve(lifted, [b @ b - a @ a, c @ c - a @ a])
        others = [p for i, p in enumerate(points) if i not in triple]
        if all(np.linalg.norm(p - centre) > np.linalg.norm(a - centre) for p in others):
            found |= {(i, j) for i in triple for j in triple if i != j}
    return found


@pytest.mark.parametrize("count", [3, 4, 5, 16])
def test_edges_are_those_of_empty_circles(count):
    points = np.random.default_rng(count).normal(size=(count, 2))
    assert edges_of(points) == by_empty_circles(points)


def test_edges_are_sorted_in_both_directions_and_apart_by_graph():
    rng = np.random.default_rng(0)
    clouds = [torch.from_numpy(rng.normal(size=(n, 2))) for n in (5, 1, 9)]
    graphs = Graphs.ragged(clouds)
    edges = delaunay_edges(graphs)
    code = edges[0] * graphs.num_nodes + edges[1]
    assert bool((code.diff() > 0).all())
    together = Graphs(torch.empty(15, 0), ptr=graphs.ptr, edge_index=edges)
    for graph, cloud in zip(together, clouds, strict=True):
        assert {tuple(e) for e in graph.edge_index.T.tolist()} == edges_of(cloud)


LINE = np.array([[0.0, 0], [3, 3], [1, 1], [2, 2]])
GRID = np.stack(np.meshgrid(np.arange(5.0), np.arange(5.0)), -1).reshape(-1, 2)
DEGENERATE = {
    "none": np.empty((0, 2)),
    "one": np.zeros((1, 2)),
    "two": np.array([[0.0, 1], [2, 3]]),
    "two the same": np.ones((2, 2)),
    "three on a line": LINE[:3],
    "line": LINE,
    "all the same": np.ones((6, 2)),
    "grid": GRID,
    "repeated": np.concatenate([GRID[:7], GRID[:7], GRID[3:4]]),
    "circle": np.stack([np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)], 1),
    "far apart": np.array([[0, 0], [1e-9, 0], [0, 1e9], [1e9, 1e9], [1, 1]]),
    "nearly a line": np.array([[0, 0], [1, 1e-17], [2, 0], [3, 1e-17], [4, 0]]),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_any_points_give_a_connected_planar_simple_graph(name):
    points = DEGENERATE[name]
    edges = edges_of(points)
    graph = nx.Graph(edges)
    graph.add_nodes_from(range(len(points)))
    assert all(a != b and (b, a) in edges for a, b in edges)
    assert nx.check_planarity(graph)[0]
    assert len(points) == 0 or nx.is_connected(graph)


def test_points_on_a_line_are_joined_in_their_order():
    assert {e for e in edges_of(LINE) if e[0] < e[1]} == {(0, 2), (2, 3), (1, 3)}


@pytest.mark.parametrize("bad", [torch.full((4, 2), torch.nan), torch.zeros(4, 3)])
def test_positions_that_have_no_triangulation_are_refused(bad):
    with pytest.raises(ValueError, match=r"^pos "):
        delaunay_edges(Graphs(bad))


def test_recovered_is_the_share_of_common_edges():
    square = torch.tensor([[0.0, 0], [1, 0], [0, 1], [1.1, 1.1]])
    whole = delaunay_edges(Graphs(square))
    assert whole.shape[1] == 10
    other = Graphs.collate(
        [
            Graphs(square, edge_index=whole),
            Graphs(square, edge_index=whole[:, whole.sum(0) != 1]),
            Graphs(square, edge_index=torch.cat([whole, torch.tensor([[0, 3], [3, 0]])], 1).unique(dim=1)),
            Graphs(torch.zeros(1, 2)).replace(edge_index=torch.empty(2, 0, dtype=torch.int64)),
        ]
    )
    diagonal = 1.0 if (whole == torch.tensor([[0], [3]])).all(0).any() else 5 / 6
    assert recovered(other).tolist() == pytest.approx([1, 4 / 5, diagonal, 1])


def test_graphs_come_back_from_their_layout():
    rng = np.random.default_rng(3)
    points = Graphs.ragged([torch.from_numpy(rng.random((n, 2))).float() for n in (12, 7)])
    transform = DelaunayLayout()
    graphs = transform.undo(points)
    assert graphs.dim == 0
    assert graphs.pos.dtype == torch.float32
    laid = transform.apply(graphs)
    assert (laid.dim, laid.edge_index, laid.dtype) == (2, None, torch.float32)
    assert torch.equal(transform.undo(laid).edge_index, graphs.edge_index)


def test_graphs_that_are_laid_out_stay_where_they_are():
    points = Graphs(torch.randn(9, 2))
    graphs = points.replace(edge_index=delaunay_edges(points))
    transform = DelaunayLayout()
    assert transform.laid_out(graphs) is graphs
    assert transform.apply(graphs).pos is graphs.pos
    assert transform.apply(graphs).edge_index is None
    known = torch.ones(9, 3, dtype=torch.bool)
    assert transform.entries(known) is known
    assert decode(encode(transform)) == transform


def test_graphs_that_a_layout_gives_back_in_part_are_named():
    """A triangle in which every further node stands in the same corner is no Delaunay graph of any points."""
    graph = nx.complete_graph(3)
    for i in range(3, 14):
        graph.add_edges_from((i, j) for j in (0, 1, i - 1))
    graphs = Graphs.collate([Graphs.from_networkx(g) for g in (graph, nx.complete_graph(3))])
    with pytest.warns(UserWarning, match=r"1 of 2 graphs"):
        points = DelaunayLayout().once(graphs)
    assert (points.dim, points.edge_index) == (2, None)
    assert DelaunayLayout().apply(points).pos is points.pos
