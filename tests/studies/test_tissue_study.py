"""The study of tissues: what it holds out, what it asks, that it goes on, and that it leaves its files."""

import json
import math

import anndata
import numpy as np
import pandas as pd
import pytest
import torch

from noisefold.studies import STUDIES, tissue, tissue_figures, tissue_ground, tissue_stages
from noisefold.studies.tissue_ground import QUESTIONS, SUBJECTS

SMALL = tissue.SCALES["smoke"]


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


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Made-up tissues, whatever data are here, so that every machine tests the same."""
    root = tmp_path_factory.mktemp("tissue")
    folder = root / "data" / "spatial_omics"
    folder.mkdir(parents=True)
    fly(folder / SUBJECTS["fly"].file)
    chick(folder / tissue_stages._FILE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOISEFOLD_DATA", str(root / "data"))
        return root, tissue.run(root / "out", "smoke")


@pytest.fixture(autouse=True)
def here(monkeypatch, ran):
    monkeypatch.setenv("NOISEFOLD_DATA", str(ran[0] / "data"))


def test_it_answers_what_it_has_data_for_and_names_the_rest(ran):
    result = ran[1]
    assert json.loads(json.dumps(result)) == result
    assert list(result["tissues"]) == ["fly", "chick"]
    assert result["missing"] == ["mouse", "cortex"]
    asked = result["tissues"]["fly"]["questions"]
    assert list(asked) == list(QUESTIONS)
    for found in asked.values():
        assert list(found["rows"]) == [tissue.NETWORK, "its start", *tissue._BASELINES]
        assert list(found["moran"]) == [*found["rows"], "truth"]
        for row in found["rows"].values():
            assert row["draws"] == SMALL["fly"].draws
            assert all(math.isfinite(s["value"]) for s in row["scores"].values())
    stages = result["tissues"]["chick"]["scores"]
    assert {"network at day 10", "day 7", "day 14", "days 7 and 14, half each", "real", "mean"} <= set(stages)


def test_differences_are_those_of_the_rows(ran):
    for found in ran[1]["tissues"]["fly"]["questions"].values():
        own = found["rows"][tissue.NETWORK]["scores"]
        for row, over in found["over"].items():
            for metric, score in over.items():
                gap = own[metric]["value"] - found["rows"][row]["scores"][metric]["value"]
                assert score["value"] == pytest.approx(gap, abs=1e-12)


def test_held_out_cells_are_in_no_patch_and_alone_are_hidden():
    land = tissue_ground.ground(SUBJECTS["fly"], cells=60, patches=30, held=3)
    seen = {tuple(p) for p in land.patches.pos.tolist()} | {
        tuple(p) for p in land.train.graphs().pos.tolist()
    }
    for pos, core in zip(land.test.pos.tolist(), land.core.tolist(), strict=True):
        assert (tuple(pos) in seen) != core
    for question in QUESTIONS:
        hidden = ~land.known(question)
        assert not hidden[~land.core].any()
        share = float(hidden[land.core].double().mean())
        expected = {"torn": 1.0, "genes": 1 / 7, "entries": 0.5}[question]
        # 72 cells x 7 values: a standard deviation of .022 for the entries, none for the others.
        assert share == pytest.approx(expected, abs=0.09 if question == "entries" else 1e-9)


def test_units_are_standard_deviations_of_the_training_cells():
    land = tissue_ground.ground(SUBJECTS["fly"], cells=60, patches=2, held=2)
    x = land.transform.apply(land.train.graphs()).x
    torch.testing.assert_close(x.mean(0), torch.zeros(7), atol=1e-4, rtol=0)
    torch.testing.assert_close(x.std(0, correction=0), torch.ones(7), atol=1e-4, rtol=0)
    back = tissue._back(land, land.unit(land.test.x)[None])[0]
    torch.testing.assert_close(back, land.test.x, atol=1e-5, rtol=1e-5)


def test_day_10_is_in_no_training_patch(ran, monkeypatch):
    seen = []

    def stop(self, graphs, **options):
        seen.append(graphs)
        raise InterruptedError

    monkeypatch.setattr(tissue_stages.Model, "fit", stop)
    with pytest.raises(InterruptedError):
        tissue_stages.stages(ran[0] / "other", SMALL["chick"], 0)
    assert set(seen[0].pos[:, -1].tolist()) <= {4.0, 7.0, 14.0}
    middle = torch.stack([p[:, :-1].mean(0) for p in seen[0].unpack()])
    torch.testing.assert_close(middle, torch.zeros_like(middle), atol=1e-3, rtol=0)


def test_equal_laws_have_no_energy_distance_and_moved_ones_have(ran):
    torch.manual_seed(0)
    a, b = ([torch.randn(50, 2, dtype=torch.float64) for _ in range(6)] for _ in range(2))
    same = tissue_stages._energy(a, a)
    assert same["value"] == pytest.approx(0, abs=1e-12)
    # E|X - Y| of unit normals in the plane is sqrt(pi) (over sqrt 2 of the columns); 2 E / m with m = 300.
    assert 0 <= tissue_stages._energy(a, b)["value"] < 0.03
    assert tissue_stages._energy(a, [x + 3 for x in b])["value"] > 2


def test_a_second_run_repeats_nothing_and_a_lost_answer_comes_back(ran, monkeypatch):
    root, result = ran
    file = root / "out" / "fly" / "torn.json"
    kept = json.loads(file.read_text())
    file.unlink()
    again = tissue.run(root / "out", "smoke")
    for part in ("rows", "over", "unknown", "genes"):
        assert json.loads(file.read_text())[part] == kept[part]
    assert again["tissues"]["chick"] == result["tissues"]["chick"]


def test_the_files_of_a_study(ran, tmp_path, monkeypatch):
    result = ran[1]
    monkeypatch.setattr(tissue, "run", lambda out, scale, seed: result)
    paths = STUDIES["tissue"].run(tmp_path, "smoke", 0)
    assert [p.name for p in paths] == ["smoke.json", "smoke.md", "smoke.png"]
    text = paths[1].read_text()
    for words in ("its start", "kriging", "days 7 and 14, half each", *QUESTIONS.values()):
        assert words in text
    assert all(p.stat().st_size > 1000 for p in paths)
    assert {p.name for p in (ran[0] / "out" / "fly").glob("torn-*.png")} == {
        "torn-ftz.png",
        "torn-eve.png",
        "torn-twi.png",
    }
    assert tissue_figures.table(result) == text.removesuffix("\n")


def test_without_data_it_says_where_they_would_be(tmp_path, monkeypatch):
    monkeypatch.setenv("NOISEFOLD_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=r"spatial_omics/ in \$NOISEFOLD_DATA"):
        tissue.run(tmp_path / "out", "smoke")


def test_refusals(tmp_path):
    with pytest.raises(ValueError, match="scale must be one of smoke, short, paper, got 'tiny'"):
        tissue.run(tmp_path, "tiny")
    with pytest.raises(ValueError, match="tissues has 'frog'; known are fly, mouse, cortex, chick"):
        tissue.run(tmp_path, "smoke", tissues=["frog"])


@pytest.mark.slow
def test_real_tissues(shared, tmp_path, monkeypatch):
    monkeypatch.setenv("NOISEFOLD_DATA", str(shared))
    result = tissue.run(tmp_path, "smoke")
    assert result["missing"] == []
    assert result["tissues"]["mouse"]["whole"]["genes"] == 351
