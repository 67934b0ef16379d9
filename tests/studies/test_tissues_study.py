"""The study of tissues: what it holds out, what it asks, that it goes on, and that it leaves its files."""

import json
import math

import anndata
import numpy as np
import pandas as pd
import pytest
import torch

from noisefold.studies.transcriptomics import tissue_stages
from noisefold.studies.transcriptomics import tissues as tissue
from noisefold.studies.transcriptomics.tissue_blocks import QUESTIONS, SUBJECTS, held_out

SMALL = tissue.SCALES["smoke"]
ORDER = ("network", "its start", "mean", "nearest cells", "kriging", "k-NN in expression")
ORDER += ("regression on genes", "regression on genes and place")


def fly(path):
    """A made-up tissue of 300 nuclei with waves of seven genes."""
    rng = np.random.default_rng(0)
    pos = rng.uniform(0, 100, (300, 3))
    waves = np.sin(pos[:, [0]] / np.arange(8, 22, 2)) + 0.1 * rng.normal(size=(300, 7))
    genes = ["ftz", "eve", "twi", "hb", "Kr", "gt", "kni"]
    made = anndata.AnnData(waves.astype(np.float32), var=pd.DataFrame(index=genes))
    made.obs_names = [f"n{i}" for i in range(300)]
    made.obsm["spatial_3d"] = pos
    made.write_h5ad(path)


def chick(path):
    """Four made-up stages of 80 spots with fractions of three types that change with the day."""
    rng = np.random.default_rng(0)
    days = np.repeat([4.0, 7.0, 10.0, 14.0], 80)
    share = rng.dirichlet([2, 2, 2], 320) + np.stack([days, 20 - days, 0 * days], 1) / 10
    share /= share.sum(1, keepdims=True)
    made = anndata.AnnData(share.astype(np.float32), var=pd.DataFrame(index=["a", "b", "c"]))
    made.obs_names = [f"s{i}" for i in range(320)]
    made.obs["stage"] = [f"D{int(d)}" for d in days]
    made.obs["day"] = days
    made.obsm["spatial"] = rng.uniform(0, 1000, (320, 2))
    made.write_h5ad(path)


def measured(out, **options):
    return tissue.measure(tissue.STUDY.begin(out, "smoke"), **options)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Made-up tissues, whatever data are here, so that every machine tests the same."""
    root = tmp_path_factory.mktemp("tissue")
    folder = root / "data" / "spatial_omics"
    folder.mkdir(parents=True)
    fly(folder / SUBJECTS["fly"].file)
    chick(folder / tissue_stages.FILE)
    return root


@pytest.fixture(scope="module")
def ran(root):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOISEFOLD_DATA", str(root / "data"))
        return root, measured(root / "out")


@pytest.fixture(autouse=True)
def here(monkeypatch, root):
    monkeypatch.setenv("NOISEFOLD_DATA", str(root / "data"))


@pytest.mark.slow
def test_it_answers_what_it_has_data_for_and_names_the_rest(ran):
    result = ran[1]
    assert json.loads(json.dumps(result)) == result
    assert list(result["tissues"]) == ["fly", "chick"]
    assert result["missing"] == ["mouse", "cortex"]
    asked = result["tissues"]["fly"]["questions"]
    assert list(asked) == list(QUESTIONS)
    for found in asked.values():
        assert list(found["rows"]) == [*ORDER]
        assert list(found["moran"]) == [*found["rows"], "truth"]
        for row in found["rows"].values():
            assert row["draws"] == SMALL.tissues["fly"].draws
            assert all(math.isfinite(s["value"]) for s in row["scores"].values())
    stages = result["tissues"]["chick"]["scores"]
    assert {"network at day 10", "day 7", "day 14", "days 7 and 14, half each", "real", "mean"} <= set(stages)


@pytest.mark.slow
def test_differences_are_those_of_the_rows(ran):
    for found in ran[1]["tissues"]["fly"]["questions"].values():
        own = found["rows"]["network"]["scores"]
        for row, over in found["over"].items():
            for metric, score in over.items():
                gap = own[metric]["value"] - found["rows"][row]["scores"][metric]["value"]
                assert score["value"] == pytest.approx(gap, abs=1e-12)


def test_held_out_cells_are_in_no_patch_and_alone_are_hidden():
    blocks = held_out(SUBJECTS["fly"], cells=60, patches=30, held=3)
    seen = {tuple(p) for p in blocks.patches.pos.tolist()} | {
        tuple(p) for p in blocks.train.graphs().pos.tolist()
    }
    for pos, core in zip(blocks.test.pos.tolist(), blocks.core.tolist(), strict=True):
        assert (tuple(pos) in seen) != core
    for question in QUESTIONS:
        hidden = ~blocks.known(question)
        assert not hidden[~blocks.core].any()
        share = float(hidden[blocks.core].double().mean())
        expected = {"torn": 1.0, "genes": 1 / 7, "entries": 0.5}[question]
        # 72 cells x 7 values: a standard deviation of 0.022 for the entries, none for the others.
        assert share == pytest.approx(expected, abs=0.09 if question == "entries" else 1e-9)


def test_units_are_standard_deviations_of_the_training_cells():
    blocks = held_out(SUBJECTS["fly"], cells=60, patches=2, held=2)
    x = blocks.transform.apply(blocks.train.graphs()).x
    torch.testing.assert_close(x.mean(0), torch.zeros(7), atol=1e-4, rtol=0)
    torch.testing.assert_close(x.std(0, correction=0), torch.ones(7), atol=1e-4, rtol=0)
    back = blocks.data_units(blocks.unit(blocks.test.x)[None])[0]
    torch.testing.assert_close(back, blocks.test.x, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_day_10_is_in_no_training_patch(ran, monkeypatch):
    seen = []

    def stop(self, graphs, **options):
        seen.append(graphs)
        raise InterruptedError

    monkeypatch.setattr(tissue_stages.Model, "fit", stop)
    with pytest.raises(InterruptedError):
        tissue_stages.stages(tissue.STUDY.begin(ran[0] / "other", "smoke"), "chick", SMALL.stages)
    assert set(seen[0].pos[:, -1].tolist()) <= {4.0, 7.0, 14.0}
    middle = torch.stack([p[:, :-1].mean(0) for p in seen[0].unpack()])
    torch.testing.assert_close(middle, torch.zeros_like(middle), atol=1e-3, rtol=0)


@pytest.mark.slow
def test_equal_distributions_have_no_energy_distance_and_moved_ones_have(ran):
    torch.manual_seed(0)
    a, b = ([torch.randn(50, 2, dtype=torch.float64) for _ in range(6)] for _ in range(2))
    same = tissue_stages.spot_energy(a, a)
    assert same["value"] == pytest.approx(0, abs=1e-12)
    # E|X - Y| of unit normals in the plane is sqrt(pi) (over sqrt 2 of the columns); 2 E / m with m = 300.
    assert 0 <= tissue_stages.spot_energy(a, b)["value"] < 0.03
    assert tissue_stages.spot_energy(a, [x + 3 for x in b])["value"] > 2


@pytest.mark.slow
@pytest.mark.slow
def test_a_second_run_repeats_nothing_and_a_lost_answer_comes_back(ran, monkeypatch):
    root, result = ran
    file = root / "out" / "smoke" / "fly" / "torn.json"
    kept = json.loads(file.read_text())
    file.unlink()
    again = measured(root / "out")
    for part in ("rows", "over", "unknown", "genes"):
        assert json.loads(file.read_text())["result"][part] == kept["result"][part]
    assert again["tissues"]["chick"] == result["tissues"]["chick"]


@pytest.mark.slow
def test_the_files_of_a_study(ran, tmp_path):
    result = ran[1]
    run = tissue.STUDY.begin(tmp_path, "smoke")
    paths = run.write(result, tissue.table(result), tissue.figure(result))
    assert [p.name for p in paths] == ["smoke.json", "smoke.md", "smoke.png"]
    text = paths[1].read_text()
    for words in ("its start", "kriging", "days 7 and 14, half each", *QUESTIONS.values()):
        assert words in text
    assert all(p.stat().st_size > 1000 for p in paths)
    assert {p.name for p in (ran[0] / "out" / "smoke" / "fly").glob("torn-*.png")} == {
        "torn-ftz.png",
        "torn-eve.png",
        "torn-twi.png",
    }


def test_without_data_it_says_where_they_would_be(tmp_path, monkeypatch):
    monkeypatch.setenv("NOISEFOLD_DATA", str(tmp_path))
    with pytest.raises(ValueError, match="spatial_omics"):
        measured(tmp_path / "out")


def test_an_unknown_tissue_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'frog'"):
        measured(tmp_path, tissues=["frog"])


@pytest.mark.slow
def test_real_tissues(shared, tmp_path, monkeypatch):
    monkeypatch.setenv("NOISEFOLD_DATA", str(shared))
    result = measured(tmp_path)
    assert result["missing"] == []
    assert result["tissues"]["mouse"]["whole"]["genes"] == 351
