"""What classes show of themselves in a notebook: escaped, small, with the numbers they hold."""

from __future__ import annotations

import math
import subprocess
import sys
from xml.etree import ElementTree

import pytest
import torch

from noisefold.eval.score_table import Metric, Score, Scores
from noisefold.geometry.display import pick
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.scene import STEPS, table_of
from noisefold.model import Model
from noisefold.noise.variable import Features
from noisefold.sample.completion import Completion

HOSTILE = ("<script>document.title='pwned'</script>", '"><img src=x onerror=alert(1)>', "é & 漢字")
TINY = {"width": 16, "latents": 4, "latent_width": 16, "rounds": 1, "blocks": 1, "heads": 2}


def hostile(nodes: int = 50) -> Graphs:
    generator = torch.Generator().manual_seed(0)
    label = torch.arange(6) % 3
    return Graphs.dense(torch.randn(6, nodes, 3, generator=generator), label=label, classes=HOSTILE)


def completed(m: int = 40) -> Completion:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(20, 3, generator=generator)
    ptr = torch.tensor([0, 8, 20])
    graphs = Graphs(torch.rand(20, 2, generator=generator), x, ptr, feature_names=HOSTILE)
    known = torch.rand(20, 3, generator=generator) < 0.5
    return Completion(
        graphs, Features(), known, torch.where(known, x, torch.randn(m, 20, 3, generator=generator))
    )


def scores() -> Scores:
    metrics = (Metric(HOSTILE[0], 0.5, HOSTILE[1], bounds=(0.0, 1.0)), Metric("MMD", "lower", "Distance."))
    rows = {
        "model": {HOSTILE[0]: Score(0.6, 0.5, 0.7), "MMD": Score(0.25)},
        HOSTILE[2]: {HOSTILE[0]: Score(0.5)},
    }
    return Scores(metrics, rows, {"model": HOSTILE[1]}, HOSTILE[0])


def parsed(html: str) -> ElementTree.Element:
    """The elements of well-formed HTML; a name that is not escaped would add one, or break it."""
    root = ElementTree.fromstring(f"<div>{html}</div>")
    assert {e.tag for e in root.iter()} <= {
        *("div", "svg", "path", "text", "table", "thead", "tbody", "tr", "th", "td", "small")
    }
    assert not any(name.startswith("on") for e in root.iter() for name in e.attrib)
    return root


def texts(html: str) -> str:
    return "".join(parsed(html).itertext())


def test_everything_shows_itself_escaped() -> None:
    shown = {
        "graphs": hostile()._repr_html_(),
        "scores": scores()._repr_html_(),
        "completion": completed()._repr_html_(),
        "model": Model.for_data(hostile(), **TINY)._repr_html_(),  # type: ignore[arg-type]
    }
    for name, html in shown.items():
        assert HOSTILE[0][:10] in texts(html), name
        assert len(html) < 40_000, name
    assert all(name in texts(shown["scores"]) for name in HOSTILE)


@pytest.mark.parametrize("dim", [0, 1, 2, 3, 4])
def test_graphs_are_drawn_point_by_point(dim: int) -> None:
    graphs = Graphs(torch.rand(30, dim), ptr=torch.tensor([0, 10, 30]))
    paths = [e.attrib["d"] for e in parsed(graphs._repr_html_()).iter("path")]
    assert sum(d.count("M") for d in paths) == 30


def test_graphs_without_nodes_say_so() -> None:
    empty = Graphs(torch.zeros(0, 3), ptr=torch.tensor([0]))
    assert parsed(empty._repr_html_()).find("svg") is None
    with pytest.raises(ValueError, match=r"^graphs"):
        empty.show()
    with pytest.raises(ValueError, match=r"^count"):
        hostile().show(0)


def test_graphs_turn_in_one_scene_with_their_distances_kept() -> None:
    graphs = hostile()
    figure, table = graphs.show(3), table_of(3, flat=False)
    assert len(figure.data) == 3
    assert figure.layout.scene.dragmode == "turntable"
    for k, (trace, pos) in enumerate(zip(figure.data, graphs[pick(graphs, 3)].unpack(), strict=True)):
        found = torch.stack([torch.as_tensor(trace[axis].astype("f8")) for axis in "xyz"], 1) / STEPS
        found = found - torch.tensor([*table.centres[k], 0.0])
        pos = (pos - pos.mean(0)).double()
        ratio = found.norm(dim=1) / pos.norm(dim=1)
        assert float(ratio.std() / ratio.mean()) < 0.01  # rounded to a step of 1/3000
    assert not any("<" in note.text for note in figure.layout.scene.annotations)


def test_scores_are_exported() -> None:
    pytest.importorskip("pandas")
    frame = scores().to_pandas()
    assert list(frame.index) == ["model", HOSTILE[2]]
    assert frame.loc["model", (HOSTILE[0], "low")] == 0.5
    assert frame.loc["model", ("MMD", "value")] == 0.25
    assert math.isnan(frame.loc[HOSTILE[2], ("MMD", "value")])
    assert frame.shape == (2, 6)


def test_completions_are_exported_value_by_value() -> None:
    pytest.importorskip("pandas")
    done = completed()
    frame = done.to_pandas(0.8)
    assert len(frame) == int((~done.known).sum())
    low, high = done.interval(0.8)
    for line in frame.itertuples():
        node, k = line.node + 8 * line.graph, HOSTILE.index(line.column)
        assert not done.known[node, k]
        for name, values in (("mean", done.mean), ("std", done.std), ("low", low), ("high", high)):
            assert getattr(line, name) == pytest.approx(float(values[node, k]))
    few = completed(3).to_pandas()
    assert few["low"].isna().all()
    assert few["mean"].notna().all()


def test_completions_without_their_draws_show_and_export_mean_and_spread() -> None:
    pytest.importorskip("pandas")
    done = completed()
    lean = Completion(done.graphs, done.variable, done.known, None, (len(done), done.mean, done.std))
    assert HOSTILE[0][:10] in texts(lean._repr_html_())
    frame, whole = lean.to_pandas(), done.to_pandas()
    assert frame["low"].isna().all()
    assert (frame[["mean", "std"]] == whole[["mean", "std"]]).all(axis=None)


def test_pandas_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pandas"):
        scores().to_pandas()


@pytest.mark.slow
def test_neither_plotly_nor_matplotlib_nor_pandas_is_loaded_with_the_classes() -> None:
    line = "import sys, noisefold.geometry.graphs, noisefold.sample.completion, noisefold.eval.score_table; "
    line += "assert not {'plotly', 'matplotlib', 'pandas'} & sys.modules.keys(), sys.modules.keys()"
    subprocess.run([sys.executable, "-c", line], check=True)
