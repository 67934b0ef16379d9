"""Few evaluations: what a distilled model gains over better solvers and grids at the same number.

One teacher is trained on chairs and one on limb buds, and each is distilled to four steps, these to two, and
these to one (`noisefold.distill`). Beside the students stand solvers and grids that need no training, at one
to five evaluations of the teacher, and the teacher at 25. All start from the same noise, so that the distance
to the teacher's own sample of the same seed says how well each integrates the teacher's flow; the scores say
what that costs in quality.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from noisefold.data import RangeByTime, limb_bud
from noisefold.distillation import distill
from noisefold.eval import Scores, score_clouds, score_fields
from noisefold.geometry import Graphs
from noisefold.model import Model
from noisefold.report.figures.clouds import contact_sheet
from noisefold.sample import DDIM, DPMSolver, Grid, Heun, LogSNR, Solver
from noisefold.studies.kit.cache import slug
from noisefold.studies.kit.datasets import chairs
from noisefold.studies.kit.experiment import Experiment, Result, Run
from noisefold.studies.kit.presets import SMALL_LATENTS, TINY
from noisefold.studies.kit.tables import markdown
from noisefold.studies.shapes.speedrun import NOW
from noisefold.train import Training, read_log

__all__ = ["STUDY"]

_CHAIN = (4, 2, 1)
_FIELD_METRICS = ("energy", "SW2", "Moran-W1", "spectrum")
_CLOUD_METRICS = ("1-NNA-CD", "COV-CD", "MMD-CD")
_Way = tuple[int, int, Solver, Grid | None]
WAYS: dict[str, _Way] = {
    "Heun": (25, 13, Heun(), None),
    "DPM-Solver": (25, 25, DPMSolver(), None),
    **{f"DDIM, {n}": (n, n, DDIM(), None) for n in _CHAIN},
    # In one and two steps it is DDIM.
    "DPM-Solver, 4": (4, 4, DPMSolver(), None),
    "DPM-Solver, 4, even in log-SNR": (4, 4, DPMSolver(), LogSNR()),
    "Heun, 3": (3, 2, Heun(), None),
    "Heun, 5": (5, 3, Heun(), None),
}
"""Evaluations, steps, solver and grid of the ways that need no training; the first is the reference."""


@dataclass(frozen=True)
class Scale:
    """One size of the study.

    Parameters
    ----------
    draws
        Graphs drawn in every way.
    points
        Points of each chair.
    clouds, fields
        Training of the teachers.
    cloud_student, field_student
        Steps of every distillation.
    simulations
        Limb buds to learn from.
    net, field_net
        Arguments of the networks.
    """

    draws: int
    points: int
    clouds: Training
    fields: Training
    cloud_student: int
    field_student: int
    simulations: int
    net: Mapping[str, Any] = field(default_factory=dict)
    field_net: Mapping[str, Any] = field(default_factory=dict)


_FIELDS = Training(steps=600, batch=32, lr=1.5e-3, warmup=50, ema=0.99, optimizer="muon")
SCALES = {
    "smoke": Scale(
        8,
        32,
        replace(TINY, steps=3, nodes=32),
        replace(TINY, steps=3),
        2,
        2,
        24,
        SMALL_LATENTS,
        {"width": 16, "blocks": 1},
    ),
    "short": Scale(150, 400, replace(NOW, steps=3000), _FIELDS, 250, 150, 2000),
    "paper": Scale(150, 400, replace(NOW, steps=6000), replace(_FIELDS, steps=10_000), 2000, 2000, 10_000),
}


@dataclass(frozen=True)
class _Subject:
    """Data, the teacher's training, and how samples are drawn and scored."""

    name: str
    train: Graphs
    model: Callable[[], Model]
    training: Training
    student: int
    draw: Callable[..., Graphs]
    score: Callable[[dict[str, Graphs]], Scores]


def _make(run: Run[Scale]) -> list[Path]:
    found = {subject.name: _measured(run, subject) for subject in (_clouds(run), _fields(run))}
    results = {name: result for name, (result, _) in found.items()}
    shown = found["chairs"][1]
    rows = ("Heun, 25", "student, 4", "student, 1", "DPM-Solver, 4")
    sheet = contact_sheet(Graphs.collate([shown[row][:6] for row in rows]), columns=6)
    return run.write({"seed": run.seed, "subjects": results}, _table(results), sheet)


def _clouds(run: Run[Scale]) -> _Subject:
    size = run.size
    sets = chairs(stand_in=(24, 2 * size.draws) if run.scale == "smoke" else None)

    def score(rows: dict[str, Graphs]) -> Scores:
        return score_clouds(rows, sets.test, sets.train, metrics=_CLOUD_METRICS)

    def draw(model: Model, **how: Any) -> Graphs:
        return model.sample(size.draws, nodes=size.points, seed=0, **how)

    build = partial(Model.for_data, sets.train, seed=run.seed, **size.net)
    return _Subject("chairs", sets.train, build, size.clouds, size.cloud_student, draw, score)


def _fields(run: Run[Scale]) -> _Subject:
    size = run.size
    ranges = RangeByTime.fit(limb_bud(min(size.simulations, 500), times=81))
    train = limb_bud(size.simulations)
    test = limb_bud(2 * size.draws, times=10, positions=10, split="test")

    def score(rows: dict[str, Graphs]) -> Scores:
        unit = {name: ranges.apply(made) for name, made in rows.items()}
        return score_fields(unit, ranges.apply(test), metrics=_FIELD_METRICS)

    def draw(model: Model, **how: Any) -> Graphs:
        return model.sample(size.draws, like=test[: size.draws], seed=0, **how)

    def build() -> Model:
        return Model.for_data(train, seed=run.seed, transform=ranges, **size.field_net)

    return _Subject("limb buds", train, build, size.fields, size.field_student, draw, score)


def _measured(run: Run[Scale], subject: _Subject) -> tuple[Result, dict[str, Graphs]]:
    """Train the teacher and its students, or go on; draw and score every way."""
    folder = run.folder / slug(subject.name)
    settings = replace(subject.training, seed=run.seed)
    teacher = subject.model().fit(subject.train, settings=settings, out=folder / "teacher", resume=True)
    minutes = {"teacher": _minutes(folder / "teacher")}
    how = replace(settings, steps=subject.student, lr=settings.lr / 2, warmup=min(20, subject.student // 10))
    models = {0: teacher}
    last = teacher
    for steps in _CHAIN:
        out = folder / f"student-{steps}"
        last = distill(last, subject.train, steps=steps, out=out, resume=True, settings=how)
        models[steps], minutes[f"student of {steps}"] = last, _minutes(out)
    made: dict[str, Graphs] = {}
    evaluations: dict[str, int] = {}
    for name, (count, steps, solver, grid) in WAYS.items():
        row = name if "," in name else f"{name}, {count}"
        made[row] = subject.draw(teacher, steps=steps, solver=solver, grid=grid)
        evaluations[row] = count
    for steps in _CHAIN:
        made[f"student, {steps}"] = subject.draw(models[steps])
        evaluations[f"student, {steps}"] = steps
    reference = next(iter(made))
    distances = {row: _distance(graphs, made[reference], teacher) for row, graphs in made.items()}
    table = run.cached(f"scores-{slug(subject.name)}", lambda: subject.score(made).to_dict())
    result = {
        "training": {"teacher": settings.steps, "student": how.steps, "minutes": minutes},
        "evaluations": evaluations,
        "distance": distances,
        "scores": table,
    }
    return result, made


def _minutes(folder: Path) -> float:
    """Return how long a training took, by its log."""
    log = read_log(folder / "metrics.jsonl")
    return float(max(entry.get("seconds", 0.0) for entry in log)) / 60


def _distance(made: Graphs, reference: Graphs, teacher: Model) -> float:
    """Return the root mean squared distance of samples of the same seeds, in standard units."""
    ours, theirs = (teacher.variable.read(teacher.units.apply(graphs)) for graphs in (made, reference))
    return float((ours - theirs).square().mean().sqrt())


def _table(results: Mapping[str, Result]) -> str:
    parts = []
    for name, result in results.items():
        scores = Scores.from_dict(result["scores"])
        rows = [
            [row, result["evaluations"][row], f"{distance:.3f}"]
            for row, distance in result["distance"].items()
        ]
        spent = ", ".join(f"{k} {v:.1f}" for k, v in result["training"]["minutes"].items())
        near = markdown(["", "evaluations", "distance to the reference"], rows)
        parts.append(
            f"## {name}\n\nMinutes of training, one thread: {spent}.\n\n{near}\n\n{scores.markdown()}"
        )
    return "\n\n".join(parts)


STUDY = Experiment("few-steps", SCALES, _make)
