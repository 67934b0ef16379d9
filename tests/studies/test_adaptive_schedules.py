"""Schedules at equal training time: one budget for all, intervals that are Student's, and the study."""

import json
import math

import pytest
import torch
from scipy.stats import ttest_rel

from noisefold.data.shapes import shapes
from noisefold.nn.adaptive import Learned
from noisefold.studies.kit import trials
from noisefold.studies.kit.statistics import paired
from noisefold.studies.networks import schedules


@pytest.fixture(scope="module")
def rules():
    return schedules.rules(shapes(20, points=64), "pos", 64)


def test_all_have_one_budget(rules):
    for name, rule in rules.items():
        if rule is Learned:
            continue
        for u in torch.linspace(0, 1, 11).tolist():
            r, s = rule(u, 64)
            # Range and resolution are whole numbers: the product misses by half of the larger one.
            assert abs(r * s - 4 * 64) <= max(s / 2, 2 * r), (name, u)


def test_fixed_ones_are_fixed_and_end_where_the_others_do(rules):
    ends = rules["exponential"]
    assert rules["fixed, coarsest"](0.3, 64) == ends(0.0, 64)
    assert rules["fixed, one to one"](0.3, 64) == ends(1.0, 64)
    coarse, middle, fine = (rules[f"fixed, {k}"](0.9, 64)[1] for k in ("coarsest", "middle", "one to one"))
    assert middle == round(math.sqrt(coarse * fine))


def test_intervals_of_differences_are_those_of_the_paired_t_test():
    a, b = [1.0, 1.3, 0.9, 1.1], [0.8, 1.2, 0.95, 0.7]
    mean, half = paired(a, b)
    interval = ttest_rel(a, b).confidence_interval(0.95)
    assert (mean - half, mean + half) == pytest.approx((interval.low, interval.high), rel=1e-12)


def test_clouds_are_thinned_and_others_left():
    clouds = shapes(3, points=10)
    thin = schedules.thinned(clouds, 4)
    assert thin.sizes.tolist() == [4, 4, 4]
    assert torch.equal(thin.pos[4:8], clouds.pos[10:14])
    assert schedules.thinned(clouds, 10) is clouds


def trial(loss, **scores):
    by_level = [loss + 0.1 * i for i in range(9)] + [None]
    found = {name: {"value": v} for name, v in scores.items()}
    return {"cost": 0.1, "steps": 7, "val_loss": loss, "val_loss_by_signal": by_level, "scores": found}


def test_table_and_figure_say_what_was_measured(rules):
    losses = {name: 1.5 + 0.01 * i for i, name in enumerate(rules)}
    losses["fixed, middle"] = 1.2
    levels = {
        name: [[u, *rule(u, 64)] for u in (0.0, 0.5, 1.0)]
        for name, rule in rules.items()
        if rule is not Learned
    }
    data = {
        name: {
            "about": "Something.",
            "nodes": 64,
            "levels": levels,
            "rows": {
                row: [trial(v + d, **dict.fromkeys(schedules.METRICS[name], 0.3)) for d in (0, 0.02)]
                for row, v in losses.items()
            },
        }
        for name in schedules.DATA
    }
    result = {"seeds": [0, 1], "seconds": {"chairs": 1.0, "limb bud": 2.0}, "draws": 8, "data": data}
    assert schedules.best_fixed(data["chairs"]["rows"]) == "fixed, middle"
    text = schedules.table(result)
    assert "| information | 100 | 7 | 1.5100 ± 0.0100 | +0.3000 ± 0.0000 |" in text
    assert len(schedules.figure(result).axes) == 6


@pytest.mark.slow
def test_the_study_leaves_its_files_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setenv("NOISEFOLD_DATA", str(tmp_path / "nothing"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    files = schedules.STUDY.run(tmp_path, "smoke", 0)
    assert all(f.is_file() for f in files)
    result = json.loads(files[0].read_text())
    for name in schedules.DATA:
        assert len(result["data"][name]["rows"]) == 9
        assert all(len(found) == 2 for found in result["data"][name]["rows"].values())
    monkeypatch.setattr(trials, "validate", lambda *_: pytest.fail("trained again"))
    again = schedules.measure(schedules.STUDY.begin(tmp_path, "smoke"))
    assert json.loads(json.dumps(again)) == {k: result[k] for k in again}
