"""Cells of a study: one network trained with one seed, scored, and kept in a folder of its own.

Networks are compared at equal training time, but a clock must not decide how long each one learns: the cost
of a step is measured once, for all networks in turn, and every training then gets a *number of steps*, time
over cost. What is recorded reproduces the result, and nothing that ran beside it can change it.

A study that was killed goes on where it was, and several processes may run the same study side by side.
"""

from __future__ import annotations

import json
import re
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn

from noisefold.configuration import encode
from noisefold.eval.cloud_scores import score_clouds
from noisefold.eval.score_table import Scores
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.transform import Transform
from noisefold.model import Model
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.source import seeded
from noisefold.noise.target import Target
from noisefold.sample.solver import Solver
from noisefold.studies.data import Sets
from noisefold.train.checkpoint import atomic_text
from noisefold.train.settings import Training
from noisefold.train.validation import validate

__all__ = ["METRICS", "Bench", "Cell", "claimed", "measure_costs", "one_thread", "read", "slug", "work"]

METRICS = ("1-NNA-CD", "COV-CD", "MMD-CD", "JSD", "paper-W")
_COUNTED = 64
_POLL = 2.0


def _score_clouds(made: Graphs, bench: Bench) -> Scores:
    return score_clouds(made, bench.sets.test, metrics=METRICS, resamples=bench.resamples)


@dataclass(frozen=True)
class Bench:
    """All that the networks of a study share.

    Parameters
    ----------
    sets
        Data.
    training
        How each is trained; steps and seed are replaced.
    path, target
        What is learned.
    solver, sample_steps, draws
        How many are generated, and how.
    resamples
        Random halves for the interval of a score.
    looks
        Held-out graphs at a noise level each, from which the loss is measured.
    noised, informed, transform
        As of `noisefold.Model`.
    judge
        Scores of the generated graphs.
    ask
        What else is found out about a trained model, given its row and seed.
    """

    sets: Sets
    training: Training
    path: Gaussian
    target: Target
    solver: Solver
    sample_steps: int
    draws: int
    resamples: int = 200
    looks: int = 512
    variable: str = "pos"
    for_completion: bool = False
    transform: Transform | None = None
    judge: Callable[[Graphs, Bench], Scores] = _score_clouds
    ask: Callable[[Model, str, int], dict[str, Any]] | None = None

    def model(self, build: Callable[[], nn.Module], seed: int) -> Model:
        """A fresh model; its first weights follow from the seed."""
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
        """Graphs to be judged."""
        return model.sample(
            count,
            nodes=self.training.nodes if self.variable == "pos" else None,
            like=None if self.variable == "pos" else self.sets.test,
            steps=self.sample_steps,
            solver=self.solver,
            seed=seed,
            batch=_COUNTED,
        )


@dataclass(frozen=True)
class Cell:
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
    build: Callable[[], nn.Module]
    steps: int
    cost: float
    folder: Path

    @property
    def file(self) -> Path:
        """The result."""
        return self.folder / "cell.json"

    def done(self) -> bool:
        """Whether it was trained and scored."""
        return self.file.is_file()

    def result(self, bench: Bench) -> dict[str, Any]:
        """What `run` left.

        Raises
        ------
        ValueError
            If it was made with another network or other settings.
        """
        kept = read(self.file)
        if kept["plan"] != self._plan(bench, bench.model(self.build, self.seed)):
            raise ValueError(
                f"{self.file} was made with another network, data or settings than this study has now; "
                f"remove {self.folder} or choose another out."
            )
        return kept

    def run(self, bench: Bench) -> None:
        """Train, or go on training; sample; score; keep the result and the model, drop the checkpoints."""
        model = bench.model(self.build, self.seed)
        settings = self._settings(bench)
        plan = self._plan(bench, model)
        model.fit(bench.sets.train, settings=settings, out=self.folder, resume=True)
        clock = _clock(model)
        start = clock()
        made = bench.sample(model, bench.draws, self.seed)
        per_step = (clock() - start) / bench.sample_steps * _COUNTED / bench.draws
        table = bench.judge(made, bench).to_dict()["rows"]["model"]["scores"]
        result = {
            "row": self.row,
            "seed": self.seed,
            "plan": plan,
            "steps": self.steps,
            "cost": self.cost,
            "parameters": model.num_parameters,
            **_validation(model, bench),
            "sampling": per_step,
            "scores": table,
            **({} if bench.ask is None else {"asked": bench.ask(model, self.row, self.seed)}),
        }
        atomic_text(self.file, json.dumps(result, indent=1))
        shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)

    def _settings(self, bench: Bench) -> Training:
        return replace(bench.training, steps=self.steps, seed=self.seed)

    def _plan(self, bench: Bench, model: Model) -> dict[str, Any]:
        # Through JSON, so that what is compared with a file has the file's types.
        plan: dict[str, Any] = json.loads(
            json.dumps(
                {
                    "net": encode(model.net),
                    "training": encode(self._settings(bench)),
                    "path": encode(bench.path),
                    "target": encode(bench.target),
                    "solver": encode(bench.solver),
                    "sample_steps": bench.sample_steps,
                    "draws": bench.draws,
                    "data": bench.sets.about,
                    "for_completion": bench.for_completion,
                    "transform": encode(bench.transform),
                }
            )
        )
        return plan


def read(file: Path) -> dict[str, Any]:
    """A JSON file."""
    out: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return out


def _validation(model: Model, bench: Bench) -> dict[str, Any]:
    """Loss on the held-out graphs, each seen at several noise levels, with the same noise for every cell."""
    test = model.units.apply(bench.sets.test)
    looks = Graphs.collate([test] * max(1, bench.looks // len(test)))
    return validate(model.denoiser, looks, replace(bench.training, seed=0), model.device)


# -- working side by side ------------------------------------------------------------------------------------


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Whether this process alone may work in a folder while the context lasts.

    The system lets go of the claim of a process that died, however it died; no claim can be left behind.
    """
    import fcntl  # of POSIX alone: the package can be imported where there is none

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "claim").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one core, so that costs are costs of a core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def slug(row: str) -> str:
    """Name of a row's folder."""
    return re.sub(r"[^a-z0-9]+", "-", row.lower()).strip("-")


def work(cells: Sequence[Cell], bench: Bench) -> None:
    """Do what nobody else does, until all is done."""
    while missing := [cell for cell in cells if not cell.done()]:
        busy = True
        for cell in missing:
            with claimed(cell.folder) as mine:
                if mine and not cell.done():
                    cell.run(bench)
                    busy = False
                    _say(cell, sum(c.done() for c in cells), len(cells))
        if busy:
            time.sleep(_POLL)


def _say(cell: Cell, done: int, of: int) -> None:
    kept = read(cell.file)
    name, score = next(iter(kept["scores"].items()))
    print(
        f"{done}/{of}  {cell.row}, seed {cell.seed}: {kept['steps']} steps, loss {kept['val_loss']:.4f}, "
        f"{name} {score['value']:.4f}",
        file=sys.stderr,
        flush=True,
    )


# -- what a step costs ---------------------------------------------------------------------------------------


def measure_costs(
    folder: Path, builds: Mapping[str, Callable[[], nn.Module]], bench: Bench, rounds: int = 5, steps: int = 2
) -> dict[str, float]:
    """Seconds of one training step of every network: measured once, by one process, and kept in a file.

    In every round the networks take turns with the same batches, after a first step that does not count; the
    cost is the median over rounds and steps. On a processor it is the time spent computing, not waiting. Rows
    added later are measured beside one that is known already, and scaled by it.
    """
    while True:
        with claimed(folder) as mine:
            if mine:
                return _measured(folder.with_suffix(".json"), builds, bench, rounds, steps)
        time.sleep(_POLL)


def _measured(
    file: Path, builds: Mapping[str, Callable[[], nn.Module]], bench: Bench, rounds: int, steps: int
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

    # The first step warms up, the last one ends with the chores of a training.
    model.fit(bench.sets.train, settings=replace(bench.training, steps=steps + 2, seed=0), on_step=mark)
    return [b - a for a, b in pairwise(marks[:-1])]


def _clock(model: Model) -> Callable[[], float]:
    """Seconds of computing: of this process where the model is on a processor, else of the device."""

    def wall() -> float:
        torch.accelerator.synchronize()
        return time.perf_counter()

    def clock() -> float:
        return time.process_time() if model.device.type == "cpu" else wall()

    return clock
