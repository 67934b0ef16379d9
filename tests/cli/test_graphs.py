"""Discrete graphs through the command line: from a file to a report; one sentence for what is wrong."""

from __future__ import annotations

from pathlib import Path

import networkx as nx
import pytest
import torch
from typer.testing import CliRunner

from noisefold import cli
from noisefold.data import community, load, save
from noisefold.geometry.graphs import Graphs
from noisefold.runs import Run

SMALL = [w for o in ("width=16", "pair_width=8", "layers=1", "heads=2") for w in ("-o", f"net.{o}")]


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli.app, [str(a) for a in arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("graphs")
    save(community(20, seed=0), folder / "a.npz")
    words = ["train", folder / "a.npz", "--out", folder / "run", "--steps", 2, "--hold-out", 0.4, *SMALL]
    assert run(*words)[0] == 0
    return folder


def test_data_are_understood(folder: Path) -> None:
    status, said, _ = run("inspect", folder / "a.npz")
    assert status == 0
    assert "nn.GraphTransformer" in said


@pytest.mark.slow
def test_samples_are_evaluated_and_reported(folder: Path) -> None:
    status, said, errors = run("evaluate", folder / "run", "--steps", 2, "--constraint", "connected")
    assert (status, errors) == (0, "")
    scores = Run(folder / "run").scores()
    assert scores is not None
    assert scores.note in said
    status, _, errors = run("report", folder / "run", "--draws", 2, "--steps", 2)
    assert (status, errors) == (0, "")
    assert scores.note.split(".")[0] in (folder / "run" / "report.html").read_text()


def test_samples_have_the_sizes_of_others(folder: Path, tmp_path: Path) -> None:
    save(load([nx.path_graph(n) for n in (3, 9, 5)]), tmp_path / "others.npz")
    words = ["sample", folder / "run", "--like", tmp_path / "others.npz", "--steps", 2]
    status, _, errors = run(*words, "--out", tmp_path / "made.npz")
    assert (status, errors) == (0, "")
    assert load(tmp_path / "made.npz").sizes.tolist() == [3, 9, 5]
    status, _, errors = run(*words, "--nodes", 4, "--out", tmp_path / "again.npz")
    assert status == 2
    assert "nodes" in errors
    assert "like" in errors


def test_scaffolds_are_kept_in_every_draw(folder: Path, tmp_path: Path) -> None:
    save(Graphs.from_networkx(nx.path_graph(4)), tmp_path / "part.npz")
    out = tmp_path / "whole.npz"
    words = ["complete", folder / "run", tmp_path / "part.npz", "--nodes", 7, "--out", out]
    status, _, errors = run(*words, "--draws", 2, "--steps", 2, "--constraint", "connected")
    assert (status, errors) == (0, "")
    for graph in load(out).to_networkx():
        assert len(graph) == 7
        assert nx.is_connected(graph)
        assert set(graph.subgraph(range(4)).edges) == set(nx.path_graph(4).edges)


WRONG = {
    "unknown constraint": (["sample", "{run}", "--out", "{out}", "--constraint", "star"], "star"),
    "constraint of molecules": (["sample", "{run}", "--out", "{out}", "--constraint", "valence"], "valence"),
    "unknown grid": (["sample", "{run}", "--out", "{out}", "--grid", "cubic"], "grid"),
    "solver of other paths": (["sample", "{run}", "--out", "{out}", "--solver", "heun"], "Heun"),
    "a format without edges": (["sample", "{run}", "--out", "{out}.ply"], ".ply"),
    "constraint of positions": (
        ["sample", "noisefold/shapes", "--out", "{out}", "--constraint", "tree"],
        "constraint",
    ),
    "solver of graphs": (["sample", "noisefold/shapes", "--out", "{out}", "--solver", "d3pm"], "D3PM"),
    "fewer nodes": (["complete", "{run}", "{data}", "--nodes", "3", "--out", "{out}"], "nodes"),
    "no nodes": (["complete", "{run}", "{data}", "--out", "{out}"], "--nodes"),
    "nodes of positions": (
        ["complete", "noisefold/shapes", "{data}", "--nodes", "9", "--out", "{out}"],
        "--nodes",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_in_one_sentence(folder: Path, tmp_path: Path, name: str) -> None:
    words, named = WRONG[name]
    out = tmp_path / "out.npz"
    places = {
        "{run}": folder / "run",
        "{data}": folder / "a.npz",
        "{out}": out,
        "{out}.ply": tmp_path / "out.ply",
    }
    how = ["--steps", 2] if words[0] == "sample" else ["--draws", 1, "--steps", 2]
    status, _, errors = run(*(places.get(w, w) for w in words), *how)
    assert status == 2, errors
    assert named in errors
    assert len(errors.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_nodes_of_another_type_are_refused(folder: Path, tmp_path: Path) -> None:
    part = Graphs.from_networkx(nx.path_graph(4)).replace(node_type=torch.tensor([0, 1, 0, 1]))
    save(part, tmp_path / "part.npz")
    words = ["complete", folder / "run", tmp_path / "part.npz", "--nodes", 7, "--out", tmp_path / "a.npz"]
    status, _, errors = run(*words)
    assert status == 2
    assert "node_type" in errors
