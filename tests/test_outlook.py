"""Plans of a budget: what is tried, what is chosen, and what is refused."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import noisefold as nf
from noisefold.cli.app import app
from noisefold.cli.plan import seconds_in
from noisefold.domains import Request
from noisefold.outlook import SIZES, outlook, resized

DATA = nf.data.shapes(24, points=16, seed=0)


@pytest.mark.slow
def test_a_budget_buys_the_steps_that_it_pays_for() -> None:
    ticks = count()
    # One second for every look at the clock, so that each step costs one, whatever the size.
    request = Request(net={"width": 32, "latents": 2, "latent_width": 32, "rounds": 1, "blocks": 1})
    how = {"pilot": len(SIZES) * 7.0 * 8, "request": request, "clock": lambda: float(next(ticks))}
    found = outlook(DATA[:20], DATA[20:], 400.0, **how)
    assert [size.factor for size in found.sizes] == list(SIZES)
    for size in found.sizes:
        assert (size.step_seconds, size.steps) == (1.0, 400)
        assert size.batch == found.training.batch == 16  # half of it costs as much
        assert [steps for steps, _ in size.pilots] == [8, 16, 32]
        assert size.loss.low < size.loss.median < size.loss.high
    assert found.best.loss.median == min(size.loss.median for size in found.sizes)
    assert found.training.steps == 400
    parameters = [size.parameters for size in found.sizes]
    assert parameters == sorted(parameters)


@pytest.mark.parametrize(("seconds", "batch"), [(16_000.0, 16), (15_999.0, 8), (10.0, 8)])
def test_a_small_budget_gets_small_batches(
    seconds: float, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "noisefold.outlook._cost", lambda recipe, *_: (1, float(recipe.plan["training"]["batch"]))
    )
    monkeypatch.setattr("noisefold.outlook.held_out_loss", lambda recipe, data, val, steps: 1 + 1 / steps)
    found = outlook(DATA[:20], DATA[20:], seconds, pilot=1e4)
    assert {size.batch for size in found.sizes} == {batch}
    assert found.training.batch == batch
    assert found.configuration()["training"] == {"batch": batch, "steps": max(1, int(seconds / batch))}


def test_widths_are_multiplied_at_every_depth() -> None:
    net = {"kind": "nn.KrigingResidual", "rank": 3, "net": {"kind": "nn.Latents", "width": 64, "heads": 4}}
    assert resized(net, 2.0)["net"] == {"kind": "nn.Latents", "width": 128, "heads": 4}
    assert resized(net, 2.0)["rank"] == 3
    assert resized({"kind": "nn.DMP", "width": 16}, 0.5)["width"] == 16


@pytest.mark.parametrize("budget", [0.0, -1.0, float("inf"), float("nan")])
def test_impossible_budgets_are_refused(budget: float) -> None:
    with pytest.raises(ValueError, match=r"seconds|pilot"):
        outlook(DATA[:20], DATA[20:], budget)


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("1.5h", 5400), (" 30 M", 1800)])
def test_times_are_read(text: str, seconds: float) -> None:
    assert seconds_in(text, "--budget") == seconds


@pytest.mark.parametrize("text", ["", "h", "2 weeks", "-3m", "0s", "1e3"])
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="--budget"):
        seconds_in(text, "--budget")


@pytest.mark.slow
def test_a_plan_is_a_configuration_that_trains(tmp_path: Path) -> None:
    nf.save(DATA, tmp_path / "clouds.npz")
    runner, plan = CliRunner(), tmp_path / "plan.yaml"
    asked = [str(tmp_path / "clouds.npz"), "--hold-out", "0.2"]
    done = runner.invoke(app, ["plan", *asked, "--budget", "1h", "--pilot", "30s", "--out", str(plan)])
    assert done.exit_code == 0, done.output
    net = yaml.safe_load(plan.read_text())["net"]
    run = ["train", *asked, "--config", str(plan), "--steps", "1", "--out", str(tmp_path / "run")]
    assert runner.invoke(app, run).exit_code == 0
    assert nf.Model.from_pretrained(tmp_path / "run").net.arguments["width"] == net["width"]
