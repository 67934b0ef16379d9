"""Trials: one network trained with one seed, scored, and kept in a folder of its own.

Networks are compared at equal training time, but a clock must not decide how long each one learns: the cost
of a step is measured once, for all networks in turn, and every training then gets a *number of steps*, time
over cost. What is recorded reproduces the result, and nothing that runs beside it can change it.

A study that was killed continues where it was, and several processes may run the same study side by side.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from noisefold.configuration import encode
from noisefold.eval import Scores, score_clouds
from noisefold.files import atomic_text
from noisefold.geometry import Graphs, Transform
from noisefold.model import Model
from noisefold.noise import Gaussian, Target, seeded
from noisefold.sample import DPMSolver, Solver
from noisefold.studies.kit.cache import cached, claimed, read, slug
from noisefold.studies.kit.datasets import Sets
from noisefold.studies.kit.experiment import Result
from noisefold.train import Training, validate

__all__ = [
    "METRICS",
    "Bench",
    "Build",
    "Trial",
    "builds_of",
    "measure_costs",
    "relative_loss",
    "train_all",
    "work",
]

METRICS = ("1-NNA-CD", "COV-CD", "MMD-CD", "JSD", "paper-W")
S = TypeVar("S")
Build = Callable[[], nn.Module]
_COUNTED = 64  # graphs of the sampling step whose cost is given
_POLL = 2.0


def _score_clouds(made: Graphs, bench: Bench) -> Scores:
    return score_clouds(made, bench.sets.test, metrics=METRICS, resamples=bench.resamples)


@dataclass(frozen=True)
class Bench:
    """What the networks of a study share.

    Parameters
    ----------
    sets, training
        Data, and how each network is trained; steps and seed are replaced.
    sample_steps, draws
        Solver steps, and the number of graphs that each network generates.
    looks
        Held-out graphs at one noise level each, over which the loss is averaged.
    path, target, solver, variable, for_completion, transform
        As of `noisefold.Model`.
    resamples
        Random halves for the interval of a score.
    judge
        Returns scores of the generated graphs.
    ask
        Returns what else is measured of a trained model, given its row and seed.
    """

    sets: Sets
    training: Training
    sample_steps: int
    draws: int
    looks: int = 512
    path: Gaussian = Gaussian()  # noqa: RUF009 - frozen
    target: Target = Target()  # noqa: RUF009 - frozen
    solver: Solver = DPMSolver()  # noqa: RUF009 - frozen
    variable: str = "pos"
    for_completion: bool = False
    transform: Transform | None = None
    resamples: int = 200
    judge: Callable[[Graphs, Bench], Scores] = _score_clouds
    ask: Callable[[Model, str, int], dict[str, Any]] | None = None

    def model(self, build: Build, seed: int) -> Model:
        """Return a fresh model; its first weights follow from the seed."""
        with seeded(seed):
            return Model(
                build(),
                self.path,
                self.target,
                self.variable,
                for_completion=self.for_completion,
                transform=self.transform,
            )

    def sample(self, model: Model, count: int, seed: int) -> Graphs:
        """Generate the graphs that are judged."""
        pos = self.variable == "pos"
        return model.sample(
            count,
            nodes=self.training.nodes if pos else None,
            like=None if pos else self.sets.test,
            steps=self.sample_steps,
            solver=self.solver,
            seed=seed,
            batch=_COUNTED,
        )


@dataclass(frozen=True)
class Trial:
    """One network with one seed.

    Parameters
    ----------
    row, seed
        Which.
    build
        Makes the network.
    steps, cost
        Optimiser steps, and the measured seconds of each.
    folder
        Where it is kept.
    """

    row: str
    seed: int
    build: Build
    steps: int
    cost: float
    folder: Path

    @property
    def file(self) -> Path:
        """The result."""
        return self.folder / "trial.json"

    def done(self) -> bool:
        """Return whether it was trained and scored."""
        return self.file.is_file()

    def result(self, bench: Bench) -> Result:
        """Return what is kept of it, or else train, sample, score and keep the result and the model.

        Raises
        ------
        ValueError
            If it was made with another network or other settings.
        """
        model = bench.model(self.build, self.seed)
        settings = replace(bench.training, steps=self.steps, seed=self.seed)
        plan = {
            "net": encode(model.net),
            "training": encode(settings),
            "path": encode(bench.path),
            "target": encode(bench.target),
            "solver": encode(bench.solver),
            "sample_steps": bench.sample_steps,
            "draws": bench.draws,
            "data": bench.sets.about,
            "for_completion": bench.for_completion,
            "transform": encode(bench.transform),
        }
        result = cached(self.file, plan, partial(self._train, model, settings, bench))
        shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)
        return {"row": self.row, "seed": self.seed, "plan": read(self.file)["plan"], **result}

    def _train(self, model: Model, settings: Training, bench: Bench) -> Result:
        model.fit(bench.sets.train, settings=settings, out=self.folder, resume=True)
        clock = _clock(model)
        start = clock()
        made = bench.sample(model, bench.draws, self.seed)
        per_step = (clock() - start) / bench.sample_steps * _COUNTED / bench.draws
        scores = bench.judge(made, bench).to_dict()["rows"]["model"]["scores"]
        # Every trial is validated on the same graphs with the same noise, so that differences are paired.
        test = model.units.apply(bench.sets.test)
        looks = Graphs.collate([test] * max(1, bench.looks // len(test)))
        return {
            "steps": self.steps,
            "cost": self.cost,
            "parameters": model.num_parameters,
            **validate(model.denoiser, looks, replace(bench.training, seed=0), model.device),
            "sampling": per_step,
            "scores": scores,
            **({} if bench.ask is None else {"asked": bench.ask(model, self.row, self.seed)}),
        }


def builds_of(
    rows: Sequence[str] | None, known: Mapping[str, Callable[[S], nn.Module]], size: S
) -> dict[str, Build]:
    """Return the networks of some rows, or of all for None, at a scale.

    Raises
    ------
    ValueError
        If a row is unknown.
    """
    unknown = [row for row in rows or () if row not in known]
    if unknown:
        raise ValueError(f"rows has {unknown[0]!r}; known are {', '.join(known)}.")
    return {row: partial(known[row], size) for row in rows or known}


def train_all(
    folder: Path,
    builds: Mapping[str, Build],
    bench: Bench,
    seeds: Sequence[int],
    steps: Callable[[float], int],
    costs: Mapping[str, float] | None = None,
) -> dict[str, list[Result]]:
    """Train every network with every seed, or continue; return their results by row.

    Parameters
    ----------
    folder
        Of the trials; finished ones are not repeated.
    builds
        Networks by row.
    bench, seeds
        What they share.
    steps
        Length of a training whose steps cost so many seconds.
    costs
        Seconds of a step by row; measured if None.
    """
    known = measure_costs(folder / "costs", builds, bench) if costs is None else costs
    trials = [
        Trial(row, seed, build, steps(known[row]), known[row], folder / "trials" / slug(row) / f"seed-{seed}")
        for seed in seeds
        for row, build in builds.items()
    ]
    work(trials, bench)
    return {row: [t.result(bench) for t in trials if t.row == row] for row in builds}


def work(trials: Sequence[Trial], bench: Bench) -> None:
    """Run every trial that no other process runs, until all are done."""
    while missing := [trial for trial in trials if not trial.done()]:
        busy = True
        for trial in missing:
            with claimed(trial.folder) as mine:
                if mine and not trial.done():
                    result = trial.result(bench)
                    busy = False
                    name, score = next(iter(result["scores"].items()))
                    print(
                        f"{sum(t.done() for t in trials)}/{len(trials)}  {trial.row}, seed {trial.seed}: "
                        f"{trial.steps} steps, loss {result['val_loss']:.4f}, {name} {score['value']:.4f}",
                        file=sys.stderr,
                        flush=True,
                    )
        if busy:
            time.sleep(_POLL)


def measure_costs(
    folder: Path, builds: Mapping[str, Build], bench: Bench, rounds: int = 5, steps: int = 2
) -> dict[str, float]:
    """Measure the seconds of one training step of every network once, by one process, and keep them.

    In every round the networks take turns with the same batches, after a first step that does not count; the
    cost is the median over rounds and steps. On a CPU it is the time spent computing, not waiting. Rows added
    later are measured beside one that is known already, and scaled by it.
    """
    while True:
        with claimed(folder) as mine:
            if mine:
                return _measured(folder.with_suffix(".json"), builds, bench, rounds, steps)
        time.sleep(_POLL)


def _measured(
    file: Path, builds: Mapping[str, Build], bench: Bench, rounds: int, steps: int
) -> dict[str, float]:
    known: dict[str, float] = read(file) if file.is_file() else {}
    missing = [row for row in builds if row not in known]
    if not missing:
        return known
    reference = next((row for row in builds if row in known), None)
    turns = missing if reference is None else [reference, *missing]
    times: dict[str, list[float]] = {row: [] for row in turns}
    for _ in range(rounds):
        for row in turns:
            times[row] += _step_times(bench.model(builds[row], 0), bench, steps)
    costs = {row: statistics.median(values) for row, values in times.items()}
    factor = 1.0 if reference is None else known[reference] / costs[reference]
    known |= {row: costs[row] * factor for row in missing}
    atomic_text(file, json.dumps(known, indent=1))
    return known


def _step_times(model: Model, bench: Bench, steps: int) -> list[float]:
    clock, marks = _clock(model), []

    def mark(step: int) -> None:
        marks.append(clock())

    # The first step warms up; after the last one the training writes its files.
    model.fit(bench.sets.train, settings=replace(bench.training, steps=steps + 2, seed=0), on_step=mark)
    return [b - a for a, b in pairwise(marks[:-1])]


def _clock(model: Model) -> Callable[[], float]:
    """Return the seconds of computing: of this process where the model is on a CPU, else of the device."""

    def wall() -> float:
        torch.accelerator.synchronize()
        return time.perf_counter()

    return time.process_time if model.device.type == "cpu" else wall


def relative_loss(
    trials: Sequence[Mapping[str, Any]], base: Sequence[Mapping[str, Any]]
) -> list[tuple[float, list[float]]]:
    """Return signal levels, and the ratio of losses there by seed, where both were measured."""
    levels = len(base[0]["val_loss_by_signal"])
    out = []
    for i in range(levels):
        pairs = [[t["val_loss_by_signal"][i] for t in pair] for pair in zip(trials, base, strict=True)]
        if not any(v is None for pair in pairs for v in pair):
            out.append(((i + 0.5) / levels, [a / b for a, b in pairs]))
    return out
