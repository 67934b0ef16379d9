"""Generators of graphs, and sets of graphs in .npz files: layout, split, molecules, damage."""

import networkx as nx
import numpy as np
import pytest
import torch

import noisefold as nf
from noisefold.data.formats.edge_lists import undirected
from noisefold.data.notice import DataNotice
from noisefold.eval import shared_validity

GENERATORS = {
    "planar": lambda count, seed: nf.data.planar(count, nodes=20, seed=seed),
    "tree": lambda count, seed: nf.data.tree(count, nodes=20, seed=seed),
    "sbm": nf.data.sbm,
    "community": nf.data.community,
    "grid": lambda count, seed: nf.data.grid(count, least=2, most=4, seed=seed),
}


def layout(**changes):
    """Three graphs: a path of 3, one node, a triangle with a pendant."""
    arrays = {
        "num_nodes": np.array([3, 1, 4], np.int16),
        "edge_offsets": np.array([0, 2, 2, 6], np.int32),
        "edges": np.array([[0, 1], [1, 2], [0, 1], [0, 2], [1, 2], [2, 3]], np.uint8),
    }
    return {k: v for k, v in (arrays | changes).items() if v is not None}


@pytest.mark.parametrize("name", GENERATORS)
def test_generators(name):
    graphs = GENERATORS[name](5, 3)
    assert graphs.dim == 0
    made = graphs.to_networkx()
    for graph in made:
        assert not graph.is_directed()  # both directions of each edge
        assert nx.number_of_selfloops(graph) == 0
    # Graph i is a function of (seed, i).
    for a, b in zip(GENERATORS[name](3, 3), graphs, strict=False):
        assert torch.equal(a.edge_index, b.edge_index)
    other = GENERATORS[name](5, 4)
    assert not torch.equal(other.edge_index[:, :20], graphs.edge_index[:, :20])


def test_generators_have_the_property_of_their_class():
    assert shared_validity(nf.data.planar(6, nodes=20)) == "planar"
    assert shared_validity(nf.data.planar(3, nodes=3)) == "planar"
    assert shared_validity(nf.data.tree(6, nodes=20)) == "tree"
    assert shared_validity(nf.data.tree(2, nodes=2)) == "tree"
    assert shared_validity(nf.data.community(40)) == "connected"
    sizes = nf.data.community(40).sizes
    assert int(sizes.min()) == 12
    assert int(sizes.max()) == 20
    grid = nf.data.grid(1, least=3, most=3).to_networkx()[0]
    assert nx.is_isomorphic(grid, nx.convert_node_labels_to_integers(nx.grid_2d_graph(3, 3)))


def test_communities_are_joined_by_one_edge_or_more():
    """With n nodes each there are 0.1 n edges between them on average, one at least: most are bridges."""
    bridges = [nx.has_bridges(g) for g in nf.data.community(60, seed=1).to_networkx()]
    assert 0.5 < np.mean(bridges) < 0.95


def test_trees_are_uniform():
    """All 16 labelled trees of 4 nodes, equally often: chi-squared with 15 degrees of freedom."""
    graphs = nf.data.tree(1600, nodes=4, seed=7)
    local = graphs.edge_index.T.reshape(1600, 6, 2) - graphs.ptr[:-1, None, None]
    keys = (1 << (4 * local[..., 0] + local[..., 1])).sum(1)
    counts = keys.unique(return_counts=True)[1]
    assert len(counts) == 16
    assert float(((counts - 100) ** 2 / 100).sum()) < 37.7  # exceeded once in a thousand


def test_blocks_have_their_densities():
    graphs = nf.data.sbm(20, seed=2)
    assert int(graphs.sizes.min()) >= 40
    assert int(graphs.sizes.max()) <= 200
    # Of a node's 19 to 39 neighbours within its community 0.3 are joined, of others 0.005.
    degree = graphs.edge_index.shape[1] / graphs.num_nodes
    assert 8 < degree < 11


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nf.data.planar(0), "count"),
        (lambda: nf.data.planar(1, nodes=2), "nodes"),
        (lambda: nf.data.tree(1, nodes=1), "nodes"),
        (lambda: nf.data.grid(1, least=5, most=4), "most"),
        (lambda: nf.data.sbm(1, seed=-1), "seed"),
    ],
)
def test_generators_refuse_what_is_out_of_range(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# -- files --------------------------------------------------------------------------------------------------


def test_edge_lists_are_read(tmp_path):
    np.savez(tmp_path / "graphs.npz", **layout(center=np.array([0, 0, 2])))
    graphs = nf.load(tmp_path / "graphs.npz")
    assert graphs.sizes.tolist() == [3, 1, 4]
    found = [sorted(map(tuple, g.edge_index.T.tolist())) for g in graphs]
    assert found[0] == [(0, 1), (1, 0), (1, 2), (2, 1)]
    assert found[1] == []
    assert found[2] == sorted([(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1), (2, 3), (3, 2)])


def test_offsets_of_nodes_stand_for_their_numbers():
    sizes = nf.load(layout(num_nodes=None, node_offsets=np.array([0, 3, 4, 8]))).sizes
    assert sizes.tolist() == [3, 1, 4]


def test_split_of_a_file(tmp_path):
    path = tmp_path / "graphs.npz"
    np.savez(path, **layout(split=np.array([0, 2, 1])))
    with pytest.warns(DataNotice, match="1 train, 1 val, 1 test"):
        graphs = nf.load(path)
    train, rest = graphs[[2, 0, 1]].split(0.5)
    assert train.sizes.tolist() == [3]
    assert rest.sizes.tolist() == [4, 1]
    assert [nf.data.graph_set(path, p).sizes.tolist() for p in ("train", "val", "test")] == [[3], [4], [1]]
    with pytest.raises(ValueError, match="part"):
        nf.data.graph_set(path, "holdout")


def test_files_without_a_split_have_no_parts(tmp_path):
    np.savez(tmp_path / "graphs.npz", **layout())
    with pytest.raises(ValueError, match="path"):
        nf.data.graph_set(tmp_path / "graphs.npz")


def test_molecules():
    """Formamide's anion and methanol with a charged nitrogen: classes are element and charge."""
    arrays = layout(
        num_nodes=np.array([3, 2]),
        edge_offsets=np.array([0, 2, 3]),
        edges=np.array([[0, 1], [1, 2], [0, 1]]),
        atom=np.array([2, 0, 1, 0, 1], np.uint8),
        charge=np.array([-1, 0, 1, 0, 0], np.int8),
        bond=np.array([1, 2, 3], np.uint8),
        num_h=np.zeros(5, np.uint8),
    )
    graphs = nf.load(arrays)
    assert [graphs.node_types[k] for k in graphs.node_type] == ["O-", "C", "N+", "C", "N"]
    assert graphs.node_types == ("C", "N", "N+", "O-")
    for source, target, kind in zip(*graphs.edge_index.tolist(), graphs.edge_type.tolist(), strict=True):
        expected = {(0, 1): "single", (1, 2): "double", (3, 4): "triple"}
        assert graphs.edge_types[kind] == expected[min(source, target), max(source, target)]


def test_types_by_name():
    graphs = nf.load(
        layout(
            node_type=np.array([0, 1, 0, 1, 0, 0, 1, 1]),
            node_types=np.array(["a", "b"]),
            edge_type=np.array([0, 1, 0, 0, 0, 1]),
            edge_types=np.array(["x", "y"]),
        )
    )
    assert graphs.node_types == ("a", "b")
    last = graphs[2]
    pairs = dict(zip(map(tuple, last.edge_index.T.tolist()), last.edge_type.tolist(), strict=True))
    assert pairs[2, 3] == pairs[3, 2] == 1
    assert pairs[0, 1] == pairs[1, 0] == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"edges": np.array([[0, 1], [1, 3], [0, 1], [0, 2], [1, 2], [2, 3]])},
            r"`edges`.*3 nodes of graph 0",
        ),
        ({"edges": np.zeros((6, 3), int)}, "`edges`"),
        ({"edges": np.zeros((6, 2))}, "`edges`"),
        ({"edge_offsets": np.array([0, 2, 2, 5])}, "`edge_offsets`"),
        ({"edge_offsets": np.array([0, 2, 6])}, "`edge_offsets`"),
        ({"num_nodes": np.array([3, -1, 4])}, "`num_nodes`"),
        ({"num_nodes": np.array([3, 0, 4])}, "graph 1"),
        ({"split": np.array([0, 1, 3])}, "`split`"),
        ({"split": np.array([0, 1])}, "`split`"),
        ({"atom": np.array([0, 1, 2, 3, 4, 0, 0, 0])}, "`atom`"),
        ({"atom": np.zeros(7, int)}, "`atom`"),
        ({"bond": np.array([1, 1, 1, 1, 1, 4])}, "`bond`"),
        ({"node_type": np.arange(8), "node_types": np.array(["a"])}, "`node_type`"),
    ],
)
def test_damaged_layouts_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        nf.load(layout(**changes))


def test_graphs_without_positions_survive_saving(tmp_path):
    graphs = nf.data.community(4)
    nf.save(graphs, tmp_path / "made.npz")
    again = nf.load(tmp_path / "made.npz")
    assert torch.equal(again.edge_index, graphs.edge_index)
    assert torch.equal(again.ptr, graphs.ptr)
    assert again.dim == 0


def test_self_loops_stay_one():
    graphs = undirected([2], [2], np.array([[0, 0], [0, 1]]))
    assert sorted(map(tuple, graphs.edge_index.T.tolist())) == [(0, 0), (0, 1), (1, 0)]


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("planar", (128, 32, 0)),
        ("tree", (128, 32, 40)),
        ("comm20", (64, 16, 20)),
        ("ego_small", (128, 32, 40)),
    ],
)
def test_benchmark_files(shared, name, counts):
    path = shared / "graphs" / f"{name}.npz"
    for part, count in zip(("train", "val", "test"), counts, strict=True):
        if count:
            assert len(nf.data.graph_set(path, part)) == count
    expected = {"planar": "planar", "tree": "tree", "comm20": "connected"}.get(name)
    if expected in ("tree", "connected"):
        assert shared_validity(nf.data.graph_set(path)) == expected


@pytest.mark.slow
def test_qm9(shared):
    graphs = nf.data.graph_set(shared / "graphs" / "qm9_graphs.npz", "test")
    assert len(graphs) == 13055
    assert set(graphs.node_types) == {"C", "C-", "N", "N+", "N-", "O", "O-", "F"}
    assert graphs.edge_types == ("single", "double", "triple")
