"""Layouts of triangulated graphs: Delaunay graphs are recovered from their edges alone."""

import networkx as nx
import numpy as np
import pytest
import torch

from noisefold.geometry import Graphs
from noisefold.geometry.delaunay import delaunay_edges, recovered
from noisefold.geometry.planar_embedding import triangulated_disc
from noisefold.geometry.planar_layout import Slope, discs, planar_layout, regular
from noisefold.geometry.planar_sampling import typical
from noisefold.geometry.triangle_mesh import TriangleMesh


def delaunay_graphs(sizes, seed=0):
    """Delaunay graphs of uniform points, without positions and with their nodes in random order."""
    rng = np.random.default_rng(seed)
    points = Graphs.ragged([torch.from_numpy(rng.random((n, 2))) for n in sizes])
    return points.replace(pos=torch.zeros(points.num_nodes, 0), edge_index=delaunay_edges(points))


def networkx_graphs(*graphs):
    return Graphs.collate([Graphs.from_networkx(g) for g in graphs])


@pytest.fixture(scope="module")
def graphs():
    return delaunay_graphs([3, 8, 20, 30, 20, 12])


def test_layout_recovers_delaunay_graphs_exactly(graphs):
    laid = graphs.replace(pos=planar_layout(graphs))
    assert laid.pos.dtype == torch.float64
    assert recovered(laid).tolist() == [1.0] * len(graphs)
    assert torch.equal(delaunay_edges(laid), graphs.edge_index)


def test_layout_is_centred_and_of_unit_scale(graphs):
    laid = graphs.replace(pos=planar_layout(graphs, steps=2, sweeps=1))
    for points in laid.unpack():
        assert points.mean(0).abs().max() < 1e-12
        assert abs(points.square().mean() - 1) < 1e-12


def test_layout_of_a_graph_does_not_depend_on_its_batch(graphs):
    together = graphs.replace(pos=planar_layout(graphs, steps=20, sweeps=5)).unpack()
    for graph, points in zip(graphs, together, strict=True):
        assert torch.allclose(planar_layout(graph, steps=20, sweeps=5), points, rtol=0, atol=1e-9)


def test_slope_is_the_gradient_of_the_objective(graphs):
    """Central differences of the objective, written out plainly, at positions where every term acts."""
    graph = graphs[2]
    mesh = TriangleMesh.of([graph.num_nodes], discs(graph))

    def terms(at):
        a, b, c = (at[mesh.triangles[:, k]] for k in range(3))
        twice = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
        opposite, around = {}, {}
        for (i, j, k), area in zip(mesh.triangles.tolist(), twice, strict=True):
            for corner, left, right in ((i, j, k), (j, k, i), (k, i, j)):
                dot = (at[left] - at[corner]) @ (at[right] - at[corner])
                angle = np.arctan2(area, dot)
                opposite.setdefault(frozenset((left, right)), []).append(angle)
                around[corner] = around.get(corner, 0.0) + angle
        edges = sum(max(0.0, sum(v) - np.pi + 0.1) for v in opposite.values() if len(v) == 2)
        hull = sum(max(0.0, around[i] - np.pi + 0.05) for i in mesh.rim[:, 1].tolist())
        logs = np.log(np.maximum(twice, 1e-6))
        return edges, hull, 0.05 * logs.var(), np.maximum(1e-3 - twice, 0).sum()

    def objective(at):
        return sum(terms(at))

    rng, start = np.random.default_rng(1), regular(mesh, 0)
    tried = (start + 0.4 * rng.normal(size=start.shape) for _ in range(50))
    pos = next(at for at in tried if min(terms(at)) > 0)
    found, step = Slope(mesh)(pos), 1e-6
    expected = np.zeros_like(pos)
    for place in np.ndindex(*pos.shape):
        ahead, behind = pos.copy(), pos.copy()
        ahead[place] += step
        behind[place] -= step
        expected[place] = (objective(ahead) - objective(behind)) / (2 * step)
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_parts_about_an_edge_are_turned_over():
    """Two fans share the edge 0 - 1. Whichever embedding is found first, the rim is the same."""
    left = [(0, 1), (0, 2), (1, 2), (0, 3), (2, 3), (1, 4), (2, 4)]
    right = [(0, 5), (1, 5), (0, 6), (5, 6), (1, 7), (5, 7)]
    for order in (left + right, right + left, [e[::-1] for e in left[::-1] + right]):
        disc = triangulated_disc(8, order)
        assert disc is not None
        assert set(disc.boundary) == {0, 1, 2, 3, 4, 5, 6, 7}
        assert len(disc.triangles) == 6


def test_faces_of_a_disc_run_in_the_sense_of_its_boundary(graphs):
    for graph, disc in zip(graphs, discs(graphs), strict=True):
        ahead = {(t[k], t[(k + 1) % 3]) for t in disc.triangles for k in range(3)}
        rim = {(a, b) for a, b in zip(disc.boundary, (*disc.boundary[1:], disc.boundary[0]), strict=True)}
        # Every edge is run along in both directions, but for the rim, of which the triangles have one.
        assert rim <= ahead
        assert ahead | {(b, a) for a, b in rim} == {tuple(e) for e in graph.edge_index.T.tolist()}


@pytest.mark.parametrize(
    "graph",
    [
        nx.path_graph(2),
        nx.star_graph(4),
        nx.cycle_graph(4),
        nx.complete_graph(5),
        nx.grid_2d_graph(3, 3),
        nx.disjoint_union(nx.complete_graph(3), nx.complete_graph(3)),
        nx.Graph([(0, 1), (1, 2), (2, 0), (0, 3), (3, 4), (4, 0)]),  # two triangles that share a node
    ],
    ids=["edge", "star", "square", "complete", "grid", "apart", "bow tie"],
)
def test_other_graphs_are_refused(graph):
    graphs = networkx_graphs(nx.complete_graph(3), nx.convert_node_labels_to_integers(graph))
    with pytest.raises(ValueError, match="graph 1 of"):
        planar_layout(graphs)


def test_self_loops_and_repeated_edges_are_ignored():
    graphs = delaunay_graphs([10])
    more = graphs.replace(
        edge_index=torch.cat([graphs.edge_index, graphs.edge_index, torch.tensor([[4], [4]])], 1)
    )
    assert torch.equal(planar_layout(more, steps=5, sweeps=2), planar_layout(graphs, steps=5, sweeps=2))


def test_typical_positions_are_uniform_among_those_of_a_triangulation():
    """Two triangles a c b and a b d: moments of the chain against points drawn until they are so."""
    graph = networkx_graphs(nx.Graph([(0, 1), (0, 2), (1, 2), (0, 3), (1, 3)]))

    def measures(pos):
        squared = [np.square(pos[..., i, :] - pos[..., j, :]).sum(-1) for i, j in ((0, 1), (2, 3), (0, 2))]
        return np.stack([*squared, np.square(pos).sum(-1).mean(-1)], -1)

    rng = np.random.default_rng(0)
    drawn = rng.uniform(-1, 1, size=(100_000, 4, 2)) * np.sqrt(4 / np.pi)
    drawn = drawn[(np.square(drawn).sum(-1) < 4 / np.pi).all(1)]
    sides = {(i, j): drawn[:, j] - drawn[:, i] for i in range(4) for j in range(4)}

    def angle(at, i, j):
        u, v = sides[at, i], sides[at, j]
        return np.arccos((u * v).sum(-1) / np.linalg.norm(u, axis=-1) / np.linalg.norm(v, axis=-1))

    def side(i):
        return np.sign(sides[0, 1][:, 0] * sides[0, i][:, 1] - sides[0, 1][:, 1] * sides[0, i][:, 0])

    opposite = angle(2, 0, 1) + angle(3, 0, 1)
    convex = [angle(0, 2, 1) + angle(0, 1, 3), angle(1, 2, 0) + angle(1, 0, 3)]
    fits = (side(2) != side(3)) & (opposite < np.pi) & (np.max(convex, axis=0) < np.pi)
    expected = measures(drawn[fits])

    copies = TriangleMesh.of([4] * 400, discs(graph) * 400)
    streams = [np.random.default_rng(i) for i in range(400)]
    found = measures(typical(copies, regular(copies, 50), 50, streams).reshape(-1, 4, 2))
    error = np.sqrt(found.var(0) / len(found) + expected.var(0) / len(expected))
    assert (np.abs(found.mean(0) - expected.mean(0)) < 4 * error).all()


def test_typical_positions_differ_from_regular_ones_and_keep_the_graph(graphs):
    rest = graphs.replace(pos=planar_layout(graphs, sweeps=0))
    moved = graphs.replace(pos=planar_layout(graphs, sweeps=30))
    assert recovered(moved).tolist() == [1.0] * len(graphs)
    apart = [
        torch.cdist(a, a) - torch.cdist(b, b) for a, b in zip(rest.unpack(), moved.unpack(), strict=True)
    ]
    assert all(float(d.abs().mean()) > 0.05 for d in apart)
