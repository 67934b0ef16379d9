"""Folders of the TU collection of graph benchmarks."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from discrete import content, graph

from noisefold.data import DataNotice, load
from noisefold.data.convert import convert
from noisefold.geometry.graphs import Graphs

FILES = {
    "A": "1, 2\n2, 1\n3,4\n4,3\n1,5\n5,1\n",
    # Node 5 belongs to graph 1, and comes after those of graph 2.
    "graph_indicator": "1\n1\n2\n2\n1\n",
    "node_labels": "3\n0\n3\n7\n0\n",
    "edge_labels": "1\n1\n0\n0\n2\n2\n",
    "node_attributes": "0.5, 1\n1, 1\n2, 1\n3, 1\n4, -1e-3\n",
    "graph_labels": "-1\n1\n",
}
EXPECTED = Graphs.collate(
    [
        graph(
            [(0, 1), (0, 2)],
            3,
            x=torch.tensor([[0.5, 1], [1, 1], [4, -1e-3]]),
            node_type=torch.tensor([1, 0, 0]),
            node_types=("0", "3"),
            edge_type=[0, 1],
            edge_types=("1", "2"),
            label=torch.tensor([0]),
            classes=("-1",),
        ),
        graph(
            [(0, 1)],
            2,
            x=torch.tensor([[2.0, 1], [3, 1]]),
            node_type=torch.tensor([0, 1]),
            node_types=("3", "7"),
            edge_type=[0],
            edge_types=("0",),
            label=torch.tensor([0]),
            classes=("1",),
        ),
    ]
)


def written(folder, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (FILES | changes).items():
        if text is not None:
            (folder / f"DS_{name}.txt").write_text(text)
    (folder / "README.txt").write_text("1 2\n")
    return folder


def test_everything(tmp_path):
    for where in (tmp_path / "DS", tmp_path / "more" / "raw"):
        written(where)
    for folder in (tmp_path / "DS", tmp_path / "more"):
        assert content(load(folder)) == content(EXPECTED)
    convert(tmp_path / "DS", tmp_path / "a.shards")
    assert content(load(tmp_path / "a.shards")) == content(EXPECTED)


def test_edges_and_owners_alone(tmp_path):
    bare = dict.fromkeys(("node_labels", "edge_labels", "node_attributes", "graph_labels"))
    expected = [graph([(0, 1), (0, 2)], 3), graph([(0, 1)], 2)]
    assert content(load(written(tmp_path, **bare))) == content(Graphs.collate(expected))


def test_numbers_of_graphs_are_said_to_be_left_out(tmp_path):
    with pytest.warns(DataNotice, match=r"DS_graph_attributes\.txt"):
        load(written(tmp_path, graph_attributes="0.5\n1\n"))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"A": "1, 2\n2, 9\n"}, "DS_A"),
        ({"A": "1, 2\n2, 3\n", "edge_labels": None}, "DS_A.txt, line 2"),
        ({"A": "1, 2\n2, x\n"}, "DS_A"),
        ({"A": "1\n2\n"}, "DS_A"),
        ({"graph_indicator": "\n"}, "DS_graph_indicator"),
        ({"node_labels": "1\n"}, "DS_node_labels"),
        ({"node_labels": "1.5\n" * 5}, "DS_node_labels"),
        ({"edge_labels": "1\n"}, "DS_edge_labels"),
        ({"graph_labels": "1\n"}, "DS_graph_labels"),
        ({"node_attributes": "nan\n" * 5}, "features"),
    ],
)
def test_what_does_not_fit_is_refused_by_file(tmp_path, changes, named):
    with pytest.raises(ValueError, match=named):
        load(written(tmp_path / "DS", **changes))
