"""Files of graphs without positions: what is written is read back, and others' files are understood."""

import itertools
import re
import sys
import warnings
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import scipy.io
import scipy.sparse
import torch

sys.path.insert(0, str(Path(__file__).parent))

from discrete import CASES, RING, TYPED, content, graph

from noisefold.data import DataNotice, load, save
from noisefold.data.convert import convert
from noisefold.data.formats.graph6 import read_graph6, write_graph6, write_sparse6
from noisefold.data.formats.reader import ASK
from noisefold.data.save import check_target
from noisefold.geometry.graphs import Graphs

EDGES = (".graphml", ".gml", ".gexf", ".edgelist", ".s6", ".npz", ".graphml.gz")
ATTRIBUTED = (".graphml", ".gml", ".gexf", ".npz")


def through(graphs, path):
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataNotice)
        return load(save(graphs, path))


@pytest.mark.parametrize("ending", EDGES)
def test_edges_come_back(tmp_path, ending):
    for i, (name, graphs) in enumerate(CASES.items()):
        path = tmp_path / f"{i}{ending}"
        if name == "directed" and ending == ".s6":
            with pytest.raises(ValueError, match="directed"):
                save(graphs, path)
            continue
        assert content(through(graphs, path)) == content(graphs), name


@pytest.mark.parametrize("ending", ATTRIBUTED)
def test_types_features_weights_and_classes_come_back(tmp_path, ending):
    assert content(through(TYPED, tmp_path / f"a{ending}")) == content(TYPED)
    two = Graphs.collate([TYPED, TYPED.replace(x=TYPED.x * 0.1)])
    two = two.replace(label=torch.tensor([1, 0]), classes=("on", "off"))
    back = through(two, tmp_path / f"b{ending}")
    # Files of one graph stand in folders of classes, which are read by name.
    assert sorted(content(back), key=repr) == sorted(content(two), key=repr)
    bare = TYPED.replace(feature_names=(), node_types=(), edge_types=())
    back = through(bare, tmp_path / f"c{ending}")
    assert content(back) == content(bare)
    assert back.feature_names == ()


def test_class_of_one_graph_comes_back(tmp_path):
    labelled = TYPED.replace(label=torch.tensor([0]), classes=("ring",))
    for ending in (".graphml", ".gml", ".npz"):
        assert content(through(labelled, tmp_path / f"a{ending}")) == content(labelled)


@pytest.mark.parametrize("ending", ATTRIBUTED)
@pytest.mark.parametrize("dim", [2, 3])
def test_positions_come_back(tmp_path, ending, dim):
    pos = torch.randn(5, dim, generator=torch.Generator().manual_seed(0))
    graphs = TYPED.replace(pos=pos)
    assert content(through(graphs, tmp_path / f"a{ending}")) == content(graphs)


def test_types_of_edges_and_several_weights_in_a_list_of_edges(tmp_path):
    graphs = TYPED.replace(x=None, feature_names=(), node_type=None, node_types=())
    assert content(through(graphs, tmp_path / "a.edgelist")) == content(graphs)
    several = graphs.replace(edge_attr=graphs.edge_attr.repeat(1, 2) * torch.tensor([1.0, 2.0]))
    for ending in (".edgelist", *ATTRIBUTED):
        assert content(through(several, tmp_path / f"b{ending}")) == content(several)


@pytest.mark.parametrize(
    ("name", "like", "named"),
    [
        ("a.g6", TYPED, "edge_attr"),
        ("a.g6", RING.replace(node_type=torch.zeros(5, dtype=torch.int64)), "node_type"),
        ("a.s6", RING.replace(pos=torch.zeros(5, 2)), "positions"),
        ("a.g6", RING.replace(x=torch.zeros(5, 2)), "features"),
        ("a.g6", CASES["self-loops"], "self-loops"),
        ("a.g6", CASES["multi-edges"], "multi-edges"),
        ("a.g6", CASES["directed"], "directed"),
        ("a.edgelist", TYPED.replace(edge_attr=None), "node_type"),
        ("a.graphml", RING.replace(pos=torch.zeros(5, 4)), "4"),
        ("a.graphml", TYPED.replace(feature_names=("x", "load")), "'x'"),
        ("a.gml", TYPED.replace(feature_names=("heat, total", "load")), "'heat, total'"),
        ("a.gexf", TYPED.replace(edge_types=("a\nb", "c")), r"'a\\nb'"),
        ("a.gml", RING.replace(mask=torch.ones(5, dtype=torch.bool)), "mask"),
    ],
)
def test_what_a_format_cannot_hold_is_refused_before(tmp_path, name, like, named):
    for call in (lambda: check_target(tmp_path / name, like=like), lambda: save(like, tmp_path / name)):
        with pytest.raises(ValueError, match=rf"{name}.*{named}"):
            call()


def test_classes_that_a_format_does_not_hold_are_said(tmp_path):
    with pytest.warns(DataNotice, match="classes"):
        save(RING.replace(label=torch.tensor([0]), classes=("a",)), tmp_path / "a.g6")


# -- graph6 -------------------------------------------------------------------------------------------------


def test_graph6_is_that_of_networkx():
    sizes = [*range(2, 18), 32, 62, 63, 64]
    some = [nx.gnp_random_graph(n, (0.1, 0.5, 0.9)[n % 3], seed=n) for n in sizes]
    pairs = list(itertools.combinations(range(4), 2))
    for chosen in range(64):  # all graphs of 4 nodes, whose padding has an exception of its own
        some.append(nx.empty_graph(4))
        some[-1].add_edges_from(pair for k, pair in enumerate(pairs) if chosen >> k & 1)
    for made in some:
        graphs = Graphs.from_networkx(made)
        assert write_graph6(graphs) == nx.to_graph6_bytes(made, header=False)
        back = nx.from_sparse6_bytes(write_sparse6(graphs).strip())
        assert set(map(frozenset, back.edges)) == set(map(frozenset, made.edges))
        assert len(back) == len(made)
        for text in (nx.to_graph6_bytes(made), nx.to_sparse6_bytes(made)):
            assert content(read_graph6(text, ASK)) == content(graphs)


def test_lines_of_all_kinds_and_digraph6():
    # The examples of the specification: 5 nodes, edges 0-2 0-4 1-3 3-4; 7 nodes with 0-1 0-2 1-2 5-6.
    graphs = read_graph6(b">>graph6<<DQc\n\n:Fa@x^\n&DI?AO?\n", ASK)
    assert content(graphs) == content(
        Graphs.collate(
            [
                graph([(0, 2), (0, 4), (1, 3), (3, 4)], 5),
                graph([(0, 1), (0, 2), (1, 2), (5, 6)], 7),
                graph([(0, 2), (0, 4), (3, 1), (3, 4)], 5, directed=True),
            ]
        )
    )


@pytest.mark.slow
def test_large_graphs(tmp_path):
    pairs = torch.randint(10_000, (2, 4000), generator=torch.Generator().manual_seed(0)).sort(0).values
    pairs = torch.unique(pairs[:, pairs[0] != pairs[1]], dim=1)
    graphs = graph(pairs.T.tolist(), 10_000)
    for ending in (".s6", ".g6"):
        back = load(save(graphs, tmp_path / f"a{ending}"))
        assert back.num_nodes == 10_000
        assert torch.equal(torch.unique(back.edge_index, dim=1), torch.unique(graphs.edge_index, dim=1))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("A_\nDQ", "line 2"),
        ("DQc?", "line 1"),
        ("D\x7fc", "line 1"),
        ("~", "line 1"),
        (":~~~~~~~~", "line 1"),
        (">>graph6<<", "no graphs"),
        ("A`", "line 1"),
    ],
)
def test_damaged_graph6_is_refused_by_line(tmp_path, text, named):
    (tmp_path / "a.g6").write_text(text)
    with pytest.raises(ValueError, match=named):
        load(tmp_path / "a.g6")


# -- lists of edges -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 1\n1 2\n", graph([(0, 1), (1, 2)], 3)),
        ("# directed graph: a\n# Nodes: 4 Edges: 2\n0\t1\n1\t2\n", graph([(0, 1), (1, 2)], 4, directed=True)),
        ("a,b\nb,c\n", graph([(0, 1), (1, 2)], 3)),
        ("0 1\n1 0\n1 2\n2 1\n", graph([(0, 1), (1, 2)], 3)),
        ("10 20\n20 30\n10 20\n", graph([(0, 1), (1, 2), (0, 1)], 3)),
        ("source,target,weight\n0,1,0.5\n1,2,2\n", graph([(0, 1), (1, 2)], 3, edge_attr=[[0.5], [2.0]])),
        (
            "0 1 {'weight': 3, 'type': 'b'}\n2 1 {'weight': 1, 'type': 'a'}\n",
            graph(
                [(0, 1), (2, 1)],
                3,
                edge_attr=[[3.0], [1.0]],
                edge_type=[1, 0],
                edge_types=("a", "b"),
            ),
        ),
        ("0 1 road\n1 2 rail\n", graph([(0, 1), (1, 2)], 3, edge_type=[1, 0], edge_types=("rail", "road"))),
    ],
)
def test_lists_of_edges(tmp_path, text, expected):
    (tmp_path / "a.edgelist").write_text(text)
    assert content(load(tmp_path / "a.edgelist")) == content(expected)


@pytest.mark.parametrize("text", ["0 1\n2\n", "0 1 {'a': 1\n", "0 1 {'a': __import__('os')}\n", "0 1 a b\n"])
def test_lines_that_are_no_edges_are_refused(tmp_path, text):
    (tmp_path / "a.edgelist").write_text(text)
    with pytest.raises(ValueError, match="line"):
        load(tmp_path / "a.edgelist")


def test_files_of_networkx(tmp_path):
    made = nx.karate_club_graph()
    bare = nx.empty_graph(34)
    bare.add_edges_from(made.edges)
    made.graph.clear()
    expected = Graphs.from_networkx(made)
    for ending, write in ((".graphml", nx.write_graphml), (".gml", nx.write_gml), (".gexf", nx.write_gexf)):
        write(made, tmp_path / f"a{ending}")
        assert content(load(tmp_path / f"a{ending}")) == content(expected)
    nx.write_adjlist(made, tmp_path / "a.adjlist")
    nx.write_edgelist(made, tmp_path / "a.edgelist")
    assert content(load(tmp_path / "a.adjlist")) == content(Graphs.from_networkx(bare))
    assert content(load(tmp_path / "a.edgelist"))[0][4] == content(expected)[0][4]


def test_adjacency_matrices(tmp_path):
    path = tmp_path / "a.mtx"
    made = scipy.sparse.coo_array(([1, 1, 1], ([1, 2, 3], [0, 1, 3])), shape=(5, 5))
    scipy.io.mmwrite(path, made + scipy.sparse.tril(made, -1).T, symmetry="symmetric")
    assert content(load(path)) == content(graph([(0, 1), (1, 2), (3, 3)], 5))
    scipy.io.mmwrite(path, made)
    assert content(load(path)) == content(graph([(1, 0), (2, 1), (3, 3)], 5, directed=True))
    scipy.io.mmwrite(path, np.array([[0.0, 0.5], [0.5, 0.0]]))
    assert content(load(path)) == content(graph([(0, 1)], 2, edge_attr=[[0.5]]))
    rng = np.random.default_rng(0)
    for symmetry in ("general", "symmetric", "skew-symmetric"):
        dense = np.round(rng.normal(size=(6, 6)), 2) * (rng.random((6, 6)) < 0.5)
        dense = {"symmetric": dense + dense.T, "skew-symmetric": dense - dense.T}.get(symmetry, dense)
        for matrix in (dense, scipy.sparse.coo_array(dense)):
            scipy.io.mmwrite(path, matrix, symmetry=symmetry)
            graphs = load(path)
            back = np.zeros((6, 6))
            back[tuple(graphs.edge_index.numpy())] = graphs.edge_attr[:, 0]
            np.testing.assert_allclose(back, dense, rtol=1e-6)
    for text in (
        "%%MatrixMarket matrix coordinate pattern general\n2 3 1\n1 1\n",
        "%%MatrixMarket matrix coordinate complex general\n2 2 1\n1 1 1 1\n",
        "%%MatrixMarket matrix array real general\n900000 900000\n1\n",
        "%%MatrixMarket matrix coordinate real general\n2 2 1\n3 1 1\n",
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"a\.mtx"):
            load(path)


# -- XML and GML --------------------------------------------------------------------------------------------

GRAPHML = (
    '<?xml version="1.0" encoding="UTF-8"?>\n{}<graphml xmlns="http://graphml.graphdrawing.org/xmlns">'
    '<key id="k" for="node" attr.name="type" attr.type="string"><default>C</default></key>'
    '<graph edgedefault="undirected"><node id="a"/><node id="b"><data key="k">N</data></node>'
    '<edge source="a" target="{}"/></graph></graphml>'
)
BOMB = '<!DOCTYPE a [<!ENTITY b "bbbbbbbb"><!ENTITY c "&b;&b;&b;&b;">]>\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_refused_before_they_are_parsed(tmp_path, encoding, monkeypatch):
    monkeypatch.setattr("xml.etree.ElementTree.fromstring", None)
    for ending in (".graphml", ".gexf"):
        path = tmp_path / f"a{ending}"
        path.write_bytes(GRAPHML.format(BOMB, "b").encode(encoding))
        with pytest.raises(ValueError, match="DOCTYPE"):
            load(path)


def test_defaults_of_graphml_and_edges_of_nodes_that_are_not_there(tmp_path):
    path = tmp_path / "a.graphml"
    path.write_text(GRAPHML.format("", "b"))
    types = {"node_type": torch.tensor([0, 1]), "node_types": ("C", "N")}
    assert content(load(path)) == content(graph([(0, 1)], 2, **types))
    path.write_text(GRAPHML.format("", "c"))
    with pytest.raises(ValueError, match="'c'"):
        load(path)


def test_names_and_drawings_are_left_out_and_said(tmp_path):
    path = tmp_path / "a.gml"
    path.write_text(
        'graph [ node [ id 1 label "one" kind "a" graphics [ x 1 y 2 ] ] node [ id 2 label "two" kind "b" ]\n'
        "edge [ source 1 target 2 ] edge [ source 2 target 1 ] ]"
    )
    with pytest.warns(DataNotice, match="'label', 'graphics'"):
        graphs = load(path)
    types = {"node_type": torch.tensor([0, 1]), "node_types": ("a", "b")}
    assert content(graphs) == content(graph([(0, 1), (0, 1)], 2, **types))


@pytest.mark.parametrize("name", ["a.graphml", "a.gml", "a.gexf", "a.edgelist", "a.adjlist", "a.mtx", "a.g6"])
@pytest.mark.parametrize("text", ["", "\n \n", "<a>", "graph [ node [", "%", "graph [ ]"])
def test_empty_and_broken_files_are_refused(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    if name in ("a.edgelist", "a.adjlist") and text.strip(" \n%"):
        pytest.skip("any words may be nodes")
    with pytest.raises(ValueError, match=re.escape(str(tmp_path / name))):
        load(tmp_path / name)


# -- folders, shards ----------------------------------------------------------------------------------------


def test_a_folder_of_graphs_some_without_edges(tmp_path):
    lone = TYPED.replace(edge_index=torch.zeros(2, 0, dtype=torch.int64), edge_type=None, edge_attr=None)
    for i, one in enumerate((TYPED, lone.replace(edge_types=()))):
        save(one, tmp_path / f"{i}.graphml")
    back = load(tmp_path)
    assert content(back[:1]) == content(TYPED)
    assert back[1].edge_index.shape == (2, 0)
    assert back.edge_type.shape == (6,)


def test_convert_to_shards_and_to_files(tmp_path):
    source = save(CASES["several"], tmp_path / "a.s6")
    convert(source, tmp_path / "a.shards")
    assert content(load(tmp_path / "a.shards")) == content(CASES["several"])
    assert "3 graphs" in convert(source, tmp_path / "b.g6")
    assert content(load(tmp_path / "b.g6")) == content(CASES["several"])
    convert(source, tmp_path / "c.graphml")
    assert sorted(p.name for p in (tmp_path / "c").iterdir()) == [f"000{i}.graphml" for i in range(3)]
