"""The studies of images at their smallest scale, and what they count."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from noisefold.nn import PatchSchedule
from noisefold.studies.images import classifier, digits, patches
from noisefold.studies.images.data import digits as load_digits
from noisefold.studies.images.models import ImageModel, level_losses, mean_flops
from noisefold.studies.images.patches_report import mean_loss

NET = {"width": 8, "blocks": 1, "heads": 1}


@pytest.fixture(autouse=True)
def _no_files(monkeypatch, tmp_path):
    monkeypatch.setenv("NOISEFOLD_DATA", str(tmp_path / "none"))


def _sets(most=120):
    return load_digits(stand_in=True, most=most)


@pytest.mark.slow
def test_patches(tmp_path, monkeypatch):
    small = replace(patches.SCALES["smoke"], cells=patches.SCALES["smoke"].cells[:2])
    monkeypatch.setattr(patches, "STUDY", replace(patches.STUDY, scales={"smoke": small}))
    files = patches.STUDY.run(tmp_path, "smoke")
    result = json.loads(files[0].read_text())
    assert [row["cell"] for row in result["rows"]] == [cell.name for cell in small.cells]
    first = result["rows"][0]
    assert first["steps"] == round(1e-4 * 1e12 / (3 * first["flops"] * 64))
    assert all(path.stat().st_size > 0 for path in files)
    # Without a network, white data's best estimate is worse than the Gaussian's where noise is high.
    assert result["bases"]["Gaussian"][0] < result["bases"]["isotropic"][0]


def test_finer_patches_cost_what_the_paper_does_not_count():
    data = _sets(20).train
    plans = {name: ImageModel(p, "velocity", "none", NET) for name, p in patches.PATCHES.items()}
    flops = {name: mean_flops(plan, data) for name, plan in plans.items()}
    assert flops["fixed 2"] > 3 * flops["fixed 4"]
    assert flops["exponential"] > 1.5 * flops["fixed 4"]
    both = ImageModel(PatchSchedule((4, 2), (0.95,)), "velocity", "none", NET)
    assert mean_flops(both, data) == pytest.approx(
        0.95 * flops["fixed 4"] + 0.05 * flops["fixed 2"], rel=0.01
    )
    wide = patches._plan(patches.SCALES["smoke"], patches.Cell("fixed 4", base="none", control="image"), data)
    assert flops["exponential"] <= mean_flops(wide, data) < 2.5 * flops["exponential"]


def test_loss_of_an_untrained_network_is_that_of_the_linear_estimate():
    data = _sets(40).train
    model = ImageModel(PatchSchedule(), "velocity", "isotropic", NET).build(data, 0)
    unit = model.units.apply(data).x
    (loss,) = level_losses(model, data, (0.5,))
    # E |x - a y|^2 / s^2 at a = s = 1/2 unit variance: the data's share and the noise's are a half each.
    noise = torch.ones(()) * 0.25
    expected = (0.25 * unit.square().mean() + noise) / 0.25
    assert loss == pytest.approx(float(expected), rel=0.05)
    assert mean_loss((0.25, 0.75), (1.0, 2.0)) == pytest.approx(0.25 + 0.75 + 0.5)


def test_digits(tmp_path):
    files = digits.STUDY.run(tmp_path, "smoke")
    result = json.loads(files[0].read_text())
    assert result["cpu_seconds"] > 0
    assert "Gaussian" in result["scores"]["rows"]
    assert len(result["losses"]) == len(result["levels"])


def test_classifier(tmp_path):
    files = classifier.STUDY.run(tmp_path, "smoke")
    result = json.loads(files[0].read_text())
    assert 0 <= result["low"] <= result["accuracy"] <= result["high"] <= 1
    assert files[-1].suffix == ".safetensors"
    assert sum(map(sum, result["confusion"])) == 64


def test_studies_need_their_images():
    with pytest.raises(ValueError, match="NOISEFOLD_DATA"):
        load_digits()
