"""Optimisers at equal computing time, on one data set of each kind.

The default network of each data set is trained as its recipe says, but for the optimiser and the batch, for
the same computing time, and compared by the held-out loss, which is the same function for all trainings. What
a step costs is measured before, all settings in turn; time over cost is the number of steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from matplotlib.figure import Figure

from noisefold import data as sets
from noisefold.data.graph_sets import graph_set
from noisefold.domains import Recipe, Request, recipe_for
from noisefold.geometry import Graphs
from noisefold.outlook import trained, validation_loss
from noisefold.studies.kit.cache import slug
from noisefold.studies.kit.datasets import data_folder
from noisefold.studies.kit.experiment import Experiment, Result, Run, written
from noisefold.studies.kit.plots import BLUE, GREEN, ORANGE, RED, panels
from noisefold.studies.kit.statistics import mean_and_error, paired
from noisefold.studies.kit.step_costs import interleaved_costs
from noisefold.studies.kit.tables import markdown, with_error

__all__ = ["ROWS", "STUDY", "SUBJECTS"]

_MOLECULES = "graphs/qm9_graphs.npz"


def _molecules() -> Graphs | None:
    path = data_folder() / _MOLECULES
    return graph_set(path, "train") if path.is_file() else None


SUBJECTS: dict[str, Callable[[], Graphs | None]] = {
    "clouds": lambda: sets.shapes(600, points=128, seed=0),
    "fields": lambda: sets.limb_bud(500),
    "functions": lambda: sets.sawtooth(2000),
    "images": lambda: sets.digits(),
    "graphs": lambda: sets.tree(120, seed=0),
    "molecules": _molecules,
}
"""Data by kind; None if their file is not there."""

ROWS: dict[str, tuple[str, float]] = {
    "AdamW": ("adamw", 1.0),
    "AdamW, half the batch": ("adamw", 0.5),
    "Muon": ("muon", 1.0),
    "Muon, half the batch": ("muon", 0.5),
}
"""Optimiser and factor of the batch, by name; the first is what the others are compared with."""
_BASE = "AdamW"


@dataclass(frozen=True)
class Scale:
    """Computing seconds and seeds of trainings, the data sets, and changes of networks and trainings."""

    seconds: float
    seeds: int
    subjects: tuple[str, ...] = tuple(SUBJECTS)
    net: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)


_TINY = {"width": 16, "blocks": 1}
SCALES = {
    "smoke": Scale(0.1, 2, ("fields",), _TINY, {"batch": 8}),
    "short": Scale(30.0, 2),
    "paper": Scale(600.0, 5),
}


def measure(run: Run[Scale]) -> Result:
    """Return the cost of a step and the held-out losses by data set and row."""
    found = {}
    for name in run.size.subjects:
        data = SUBJECTS[name]()
        if data is not None:
            found[name] = _subject(run, name, data)
    return {"seconds": run.size.seconds, "subjects": found}


def _subject(run: Run[Scale], name: str, data: Graphs) -> Result:
    train, val = data.split(0.9, seed=0)
    trainings = {row: partial(trained, _recipe(run, train, row, 0), train) for row in ROWS}
    costs = run.cached(f"{name}-costs", partial(interleaved_costs, trainings))
    losses: dict[str, list[Result]] = {row: [] for row in ROWS}
    for seed in run.seeds(run.size.seeds):
        for row in ROWS:
            steps = max(1, round(run.size.seconds / costs[row]))
            part = f"{name}-{slug(row)}-{seed}"
            losses[row].append(run.cached(part, partial(_training, run, train, val, row, seed, steps)))
    return {"step_seconds": costs, "trainings": losses}


def _recipe(run: Run[Scale], train: Graphs, row: str, seed: int) -> Recipe:
    optimizer, factor = ROWS[row]
    usual = {**recipe_for(train, Request()).plan["training"], **run.size.training}
    batch = max(1, round(usual["batch"] * factor))
    changes = {**run.size.training, "optimizer": optimizer, "batch": batch}
    return recipe_for(train, Request(seed=seed, net=run.size.net, changes=({"training": changes},)))


def _training(run: Run[Scale], train: Graphs, val: Graphs, row: str, seed: int, steps: int) -> Result:
    model = trained(_recipe(run, train, row, seed), train, steps)
    return {"steps": steps, "loss": validation_loss(model, val)}


def _losses(trainings: Mapping[str, list[Result]], row: str) -> list[float]:
    return [training["loss"] for training in trainings[row]]


def table(result: Mapping[str, Any]) -> str:
    """Return losses, and their differences to those of the first row, as Markdown."""
    rows = []
    for name, found in result["subjects"].items():
        trainings = found["trainings"]
        base = _losses(trainings, _BASE)
        for row in ROWS:
            losses = _losses(trainings, row)
            gain, half = paired(losses, base)
            rows.append(
                [
                    name,
                    row,
                    f"{1000 * found['step_seconds'][row]:.0f}",
                    trainings[row][0]["steps"],
                    with_error(losses, 4),
                    "" if row == _BASE else f"{gain:+.4f} ± {half:.4f}",
                ]
            )
    return markdown(
        ["data", "optimiser", "ms a step", "steps", "held-out loss", f"less that of {_BASE}"], rows
    )


def figure(result: Mapping[str, Any]) -> Figure:
    """Show the losses over those of the first row."""
    subjects = result["subjects"]
    whole, axes = panels(1, 1, width=1.2 * len(subjects) + 2.5, height=3.2)
    for place, (row, color) in enumerate(zip(ROWS, (BLUE, GREEN, ORANGE, RED), strict=True)):
        for at, found in enumerate(subjects.values()):
            unit, _ = mean_and_error(_losses(found["trainings"], _BASE))
            values = [loss / unit for loss in _losses(found["trainings"], row)]
            label = row if at == 0 else None
            axes.plot([at + 0.15 * (place - 1.5)] * len(values), values, "o", color=color, label=label)
    axes.set_xticks(range(len(subjects)), list(subjects))
    axes.set_ylabel(f"held-out loss over that of {_BASE}")
    axes.legend(frameon=False, fontsize=8)
    return whole


STUDY = Experiment("optimizers", SCALES, written(measure, table, figure))
