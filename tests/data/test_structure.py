"""What is said of edges and types."""

import re
import sys
from pathlib import Path

import torch
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent))

from discrete import CASES, TYPED, graph

from noisefold.cli import app
from noisefold.data import load, save
from noisefold.data.describe import describe
from noisefold.data.structure import describe_structure
from noisefold.geometry.graphs import Graphs


def numbers(text):
    return [float(n) for n in re.findall(r"-?\d+\.?\d*", text)]


def test_counts_density_and_components():
    said = describe_structure(Graphs.collate([CASES["ring and an isolated node"], CASES["complete"]]))
    assert numbers(said["edges"]) == [4, 28, 16, 32]
    assert numbers(said["density"]) == [0.7, 0.4, 1]
    assert numbers(said["connected"]) == [1, 2, 50.0]
    assert numbers(said["besides"]) == [1]


def test_loops_multi_edges_and_directions():
    assert numbers(describe_structure(CASES["multi-edges"])["besides"]) == [2, 4, 1]
    assert numbers(describe_structure(CASES["directed"])["besides"]) == [2, 1]
    assert "besides" not in describe_structure(CASES["complete"])


def test_shares_of_types():
    said = describe_structure(TYPED)
    assert said["node types"].split(", ") == ["N & <co> 40.0%", "C\"' 40.0%", "Ö [1] 20.0%"]
    assert numbers(said["edge types"].replace("2 ", "")) == [66.7, 33.3]


def test_one_node_and_clouds():
    assert "density" not in describe_structure(graph([], 1))
    assert numbers(describe_structure(graph([], 1))["connected"]) == [1, 1, 100.0]
    assert describe_structure(Graphs(torch.zeros(3, 2))) == {}


def test_inspect_describes_graphs(tmp_path):
    path = save(CASES["several"], tmp_path / "a.s6")
    said = describe(load(path))
    done = CliRunner().invoke(app, ["inspect", str(path)])
    for name in ("edges", "density", "connected"):
        assert said[name] in " ".join(done.output.split())
