"""The ablation as a whole, at a size of seconds: complete, plain, repeatable, on any data."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.text import Text
from typer.testing import CliRunner

from noisefold import cli
from noisefold.studies import STUDIES, Study
from noisefold.studies.diffusion import ablation
from noisefold.studies.diffusion.distributions import GRAPHS, MIXTURE, named
from noisefold.studies.diffusion.effects import FACTORS
from noisefold.studies.diffusion.factorial import Design, sample_all, train_all
from noisefold.studies.diffusion.figures import score_gap, summary
from noisefold.studies.diffusion.measures import MEASURES
from noisefold.studies.diffusion.perceptrons import TARGETS, Recipe
from noisefold.studies.diffusion.samplers import SAMPLERS
from noisefold.studies.diffusion.tables import table

_TINY = ablation.Scale(
    Design(
        Recipe(points=300, epochs=1, steps=25),
        seeds=2,
        samples=36,
        noises=("gaussian", "digits"),
        schedules=("cosine",),
    ),
    widths=(4,),
)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(ablation.SCALES, "smoke", _TINY)


def measure(data=MIXTURE, seed=0):
    return ablation.measure(ablation.STUDY.begin(Path(), "smoke", seed), data)


def _complete(result, kinds, schedules):
    combinations = {tuple(r[k] for k in FACTORS) for r in result["rows"]}
    assert len(combinations) == len(result["rows"]) == 5 * 4 * kinds * schedules * 2
    assert all(len(r[m]) == 2 for r in result["rows"] for m in MEASURES)


@pytest.mark.slow
def test_every_part_is_there_and_repeats():
    result, figures = measure(seed=3)
    _complete(result, 2, 1)
    assert result["seeds"] == [3, 4]
    assert result["standard"] == "exact oracle"
    assert "oracle" in table(result)
    assert sorted(figures) == [f"figure-{i:02}" for i in range(3, 12)]
    assert {r["network"] for r in result["needed"]} == {"linear", "width 4", "width 20, time shuffled"}
    assert len(result["graphs"]["samplers"]) == 5 * 4 * 2
    size = replace(_TINY.design, first=3)
    assert sample_all(MIXTURE, train_all(MIXTURE, size), size) == result["rows"]
    text = table(result)
    for word in (*TARGETS, "renoised mean", "DDIM", "digits", "Graphs: all edges or none"):
        assert word in text


@pytest.mark.slow
def test_the_whole_crossing(monkeypatch):
    monkeypatch.undo()
    result, _ = measure()
    combinations = {tuple(r[k] for k in FACTORS) for r in result["rows"]}
    assert len(combinations) == len(result["rows"]) == 5 * 4 * 3 * 2 * 2
    assert {r["noise"] for r in result["noise"]} == {"digits", "quasi"}


@pytest.mark.slow
def test_files_of_a_users_points(tmp_path, monkeypatch):
    monkeypatch.setattr(ablation, "gallery", lambda *_: ({}, {}))  # drawn in the test above
    points = MIXTURE.draw(200, torch.Generator().manual_seed(0))
    file = tmp_path / "mine.csv"
    file.write_text("\n".join(f"{a},{b}" for a, b in points.tolist()))
    paths = STUDIES["diffusion"].run(tmp_path / "out", "smoke", 0, str(file))
    told = (tmp_path / "out" / "mine" / "smoke.md").read_text()
    assert "oracle" not in told
    assert "sample of 100 points" in told
    assert {p.parent for p in paths} == {tmp_path / "out" / "mine"}
    assert all(p.stat().st_size > 0 for p in paths)
    kept = json.loads(paths[0].read_text())
    assert kept["data"] == "mine"
    assert kept["standard"] == "sample of 100 points"
    assert kept["made"]["command"].startswith(f"noisefold study diffusion {file}")
    assert len(kept["rows"]) == (4 * 2 + 1) * 4 * 2  # the oracle of a sample with random noise alone
    assert "graphs" not in kept


@pytest.mark.slow
def test_without_a_mixture_nothing_is_blank_and_nothing_called_exact():
    result, figures = measure(named("moons"))
    figures["summary"] = summary(result)
    for name, picture in figures.items():
        panels = [panel for panel in picture.findobj(Axes) if panel.get_label() != "<colorbar>"]
        assert panels, name
        for panel in panels:
            assert panel.get_visible(), name
            assert panel.has_data() or panel.texts, name
        words = " ".join(text.get_text() for text in picture.findobj(Text))
        assert "exact" not in words, name
        assert "truth" not in words, name
        assert "oracle" not in words, name
    words = " ".join(text.get_text() for text in figures["summary"].findobj(Text))
    assert "sample of 2000 points" in words


@pytest.mark.slow
def test_graphs_have_no_pictures_of_the_plane():
    result, figures = measure(GRAPHS)
    assert not figures
    assert {r["sampler"] for r in result["samplers"]} == set(SAMPLERS)


def test_the_oracles_score_on_a_grid():
    """Figure 3: float64 against autograd; the issue asks for 1e-6."""
    assert score_gap(MIXTURE) < 1e-9


def test_unknown_scales_and_data_are_refused(tmp_path):
    with pytest.raises(ValueError, match="scale"):
        ablation.STUDY.begin(tmp_path, "paper")
    with pytest.raises(ValueError, match=r"nowhere\.csv"):
        ablation.STUDY.begin(tmp_path, "smoke", data="nowhere.csv")


def test_the_command_takes_data_where_a_study_does(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(Study, "run", lambda self, out, scale, seed, data: seen.append((out, data)) or [])
    for words in (["diffusion", "rings"], ["diffusion", "--data", "moons"], ["chairs"]):
        assert CliRunner().invoke(cli.app, ["study", *words, "--out", str(tmp_path)]).exit_code == 0
    assert CliRunner().invoke(cli.app, ["study", "chairs", "moons"]).exit_code == 2
    diffusion, chairs = tmp_path / "diffusion", tmp_path / "chairs"
    assert seen == [(diffusion, "rings"), (diffusion, "moons"), (chairs, None)]
