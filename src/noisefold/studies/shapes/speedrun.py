"""Speed run: how little computing time it takes to learn chairs.

A race trains the default network on ModelNet's chairs with the settings of the library, and is over at the
first look at which samples of the averaged weights are as good as asked: 1-NNA-CD and MMD-CD against held-out
chairs, each the mean over three evaluations with draws of their own. Attempts change one setting at a time of
shorter trainings and are compared at equal computing time by the held-out loss, which is the same function
for all of them.

What a step costs is measured before, all settings in turn, and every training gets time over cost as its
number of steps, so that a result is reproduced by its numbers of steps.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from noisefold.eval import score_clouds
from noisefold.model import Model
from noisefold.report.figures.clouds import contact_sheet
from noisefold.sample import DPMSolver
from noisefold.studies.kit.datasets import Sets, chairs
from noisefold.studies.kit.experiment import Experiment, Result, Run
from noisefold.studies.kit.presets import TINY
from noisefold.studies.kit.statistics import paired
from noisefold.studies.kit.step_costs import interleaved_costs
from noisefold.studies.kit.tables import markdown, with_error
from noisefold.studies.shapes.chairs import HOUR, SMALL
from noisefold.tensor_files import read_tensors
from noisefold.train import Checkpoints, Training, read_log, validate
from noisefold.train.validation import repeated

__all__ = ["GOALS", "NOW", "STUDY"]

GOALS = {"1-NNA-CD": 0.58, "MMD-CD": 0.141}
"""Scores at which a race is over."""

_BEFORE = replace(HOUR, precision="float32")
NOW = Training(steps=1, batch=16, nodes=400, lr=1.5e-3, warmup=100, optimizer="muon")
"""The training of a race, but for its number of steps."""

_MEANS = 3
ATTEMPTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "before": ({"batch": 64, "optimizer": "adamw"}, {}),
    "AdamW, batch 16": ({"optimizer": "adamw"}, {}),
    "Muon, batch 16": ({}, {}),
    "Muon, batch 64": ({"batch": 64}, {}),
    "Muon, batch 8": ({"batch": 8}, {}),
    "Muon, twice the rate": ({"lr": 3e-3}, {}),
    "Muon, half the rate": ({"lr": 7.5e-4}, {}),
    "Muon, 200 points": ({"nodes": 200}, {}),
    "Muon, 32 latents": ({}, {"latents": 32}),
    "Muon, 128 latents": ({}, {"latents": 128}),
    "Muon, latents 192 wide": ({}, {"latent_width": 192}),
}
"""Changes of the training and of the network, by name; the third is what the others change."""
_BASE = "Muon, batch 16"


@dataclass(frozen=True)
class Scale:
    """One size of the study.

    Parameters
    ----------
    seconds, seeds
        Computing time of an attempt, and how many trainings each has.
    race, races
        Steps of a race, and how many.
    looks
        How often a race is looked at, in even parts.
    points, draws, steps
        Points and number of the chairs drawn, and evaluations for each.
    attempts
        Names of the attempts that are made.
    net, training
        Changes of the network and of all trainings.
    """

    seconds: float
    seeds: int
    race: int
    races: int
    looks: int
    points: int = 400
    draws: int = 150
    steps: int = 25
    attempts: tuple[str, ...] = tuple(ATTEMPTS)
    net: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)


_SHORT = (
    "before",
    "AdamW, batch 16",
    _BASE,
    "Muon, batch 8",
    "Muon, twice the rate",
    "Muon, half the rate",
    "Muon, 32 latents",
)
_TINY = {"batch": 4, "warmup": TINY.warmup, "ema": TINY.ema, "nodes": 32}
SCALES = {
    "smoke": Scale(0.05, 2, 2, 1, 2, 32, 8, 2, ("before", _BASE), SMALL, _TINY),
    "short": Scale(40.0, 3, 3000, 1, 4, attempts=_SHORT),
    "paper": Scale(600.0, 5, 3000, 3, 4),
}


def _make(run: Run[Scale]) -> list[Path]:
    size = run.size
    sets = chairs(stand_in=(24, 2 * size.draws) if run.scale == "smoke" else None)
    races = [_race(run, sets, seed) for seed in run.seeds(size.races)]
    costs: dict[str, float] = run.cached("costs", partial(_costs, size, sets))
    attempts = {
        name: [
            run.cached(f"attempt-{i}-seed-{seed}", partial(_attempt, size, sets, name, seed, costs[name]))
            for seed in run.seeds(size.seeds)
        ]
        for i, name in enumerate(size.attempts)
    }
    result = {
        "data": sets.about,
        "goals": GOALS,
        "step_seconds": costs,
        "attempts": attempts,
        "race_steps": size.race,
        "before_steps": HOUR.steps,
        "races": races,
    }
    shown = Model.from_pretrained(run.folder / f"race-{run.seed}")
    sheet = contact_sheet(_draw(shown, size, run.seed, 12), columns=6)
    return run.write(result, _table(result), sheet)


def _settings(size: Scale, name: str) -> tuple[Training, dict[str, Any]]:
    training, net = ATTEMPTS[name]
    base = _BEFORE if name == "before" else NOW
    return replace(base, **{**training, **size.training}), {**size.net, **net}


def _model(size: Scale, sets: Sets, training: Training, net: Mapping[str, Any], seed: int) -> Model:
    model = Model.for_data(sets.train, seed=seed, **{**size.net, **net})
    model.training = replace(training, seed=seed)
    return model


def _costs(size: Scale, sets: Sets) -> dict[str, float]:
    """Return the seconds of computing of a training step by attempt."""

    def train(name: str, steps: int, on_step: Callable[[int], None]) -> None:
        training, net = _settings(size, name)
        model = _model(size, sets, replace(training, steps=steps), net, 0)
        model.fit(sets.train, on_step=on_step)

    return interleaved_costs({name: partial(train, name) for name in size.attempts})


def _attempt(size: Scale, sets: Sets, name: str, seed: int, cost: float) -> Result:
    training, net = _settings(size, name)
    steps = max(1, round(size.seconds / cost))
    warmup = min(training.warmup, steps // 10)
    model = _model(size, sets, replace(training, steps=steps, warmup=warmup), net, seed)
    model.fit(sets.train)
    # One function for all: the same clouds, points, levels and noise.
    held = repeated(model.units.once(model.test_graphs(sets.test)))
    judge = replace(NOW, nodes=size.points, seed=0)
    found = validate(model.denoiser, held, judge, model.device, model.units)
    return {"steps": steps, "val_loss": found["val_loss"]}


def _draw(model: Model, size: Scale, seed: int, count: int) -> Any:
    return model.sample(count, nodes=size.points, steps=size.steps, solver=DPMSolver(), seed=seed)


def _scores(model: Model, size: Scale, sets: Sets, seed: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in GOALS}
    for i in range(_MEANS):
        clouds = _draw(model, size, _MEANS * seed + i, size.draws)
        row = score_clouds(clouds, sets.test, metrics=tuple(GOALS), resamples=50, seed=i).to_dict()
        for name in GOALS:
            found[name].append(float(row["rows"]["model"]["scores"][name]["value"]))
    return found


def _race(run: Run[Scale], sets: Sets, seed: int) -> Result:
    """Train once, and score the averaged weights at every look."""
    size, folder = run.size, run.folder / f"race-{seed}"
    every = max(1, size.race // size.looks)
    chores = {"checkpoint_every": every, "validate_every": every, "keep": size.looks}
    training = replace(NOW, steps=every * size.looks, **{**size.training, **chores})
    model = _model(size, sets, training, {}, seed)
    model.fit(sets.train, sets.test, out=folder, resume=True)
    looks: list[Result] = []
    for step in Checkpoints(folder / "checkpoints").steps():
        model.net.load_state_dict(read_tensors(folder / "checkpoints" / str(step) / "average.safetensors"))
        scores = run.cached(f"race-{seed}-step-{step}", partial(_scores, model, size, sets, seed))
        means = {name: statistics.fmean(values) for name, values in scores.items()}
        reached = all(means[name] <= goal for name, goal in GOALS.items())
        looks.append({"steps": step, "scores": scores, "reached": reached})
    losses = {
        entry["step"]: entry["val_loss"]
        for entry in read_log(folder / "metrics.jsonl")
        if "val_loss" in entry
    }
    return {"seed": seed, "looks": looks, "losses": losses}


def _table(result: Mapping[str, Any]) -> str:
    costs = result["step_seconds"]
    base = [r["val_loss"] for r in result["attempts"][_BASE]]
    rows = []
    for name, found in result["attempts"].items():
        losses = [r["val_loss"] for r in found]
        gain, half = paired(losses, base)
        step = f"{1000 * costs[name]:.0f}"
        rows.append([name, step, found[0]["steps"], with_error(losses, 4), f"{gain:+.4f} ± {half:.4f}"])
    attempts = markdown(["", "ms a step", "steps", "held-out loss", "less that of the base"], rows)
    looks = [
        [
            race["seed"],
            look["steps"],
            f"{look['steps'] * costs[_BASE] / 60:.1f}",
            *(with_error(look["scores"][name], 3) for name in GOALS),
            "yes" if look["reached"] else "no",
        ]
        for race in result["races"]
        for look in race["looks"]
    ]
    race = markdown(["seed", "steps", "minutes of a core", *GOALS, "reached"], looks)
    return f"{attempts}\n\n{race}"


STUDY = Experiment("speedrun", SCALES, _make)
