r"""One model for all ten classes of ModelNet10, with classifier-free guidance, scored class by class.

A class is a hard test of a conditional model: its clouds must be as varied as the real ones of the class, and
of no other. Guidance above 1 makes them more typical and less varied; coverage and 1-NNA say what that costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from noisefold.eval.cloud_scores import score_clouds
from noisefold.geometry.graphs import Graphs
from noisefold.model import Model
from noisefold.report.figures.clouds import contact_sheet
from noisefold.sample.solver import DPMSolver
from noisefold.studies.cells import one_thread
from noisefold.studies.chairs import LARGE, SHORT, SMALL
from noisefold.studies.data import modelnet, needed
from noisefold.studies.study import Study, keep
from noisefold.studies.tables import mean_and_error
from noisefold.train.settings import Training

__all__ = ["CLASSES"]

_METRICS = ("1-NNA-CD", "COV-CD", "MMD-CD")
_TEN = (
    "bathtub",
    "bed",
    "chair",
    "desk",
    "dresser",
    "monitor",
    "night_stand",
    "sofa",
    "table",
    "toilet",
)


@dataclass(frozen=True)
class _Scale:
    training: Training
    points: int
    weights: tuple[float, ...]
    steps: int
    most: int
    net: Mapping[str, Any] = field(default_factory=dict)


_SCALES = {
    "smoke": _Scale(
        Training(steps=4, batch=4, nodes=64, warmup=1, ema=0.5, keep=1), 64, (1.0, 2.0), 2, 6, SMALL
    ),
    "short": _Scale(replace(SHORT, steps=2000), 400, (1.0, 1.5, 2.5), 25, 100),
    "paper": _Scale(
        replace(SHORT, steps=200_000, batch=256),
        400,
        (1.0, 1.5, 2.5),
        25,
        100,
        LARGE,
    ),
}


def _run(out: Path, scale: str, seed: int) -> list[Path]:
    size, folder = _SCALES[scale], out / scale
    train, test = (needed(modelnet(split, _TEN)) for split in ("train", "test"))
    with one_thread():
        model = Model.for_data(train, seed=seed, **size.net)
        model.fit(train, test, out=folder / "run", resume=True, settings=replace(size.training, seed=seed))
        rows = {name: _class(model, size, train, test, i) for i, name in enumerate(_TEN)}
        labels = [name for name in _TEN for _ in range(2)]
        sheet = model.sample(len(labels), nodes=1024, labels=labels, seed=seed)
    result = {
        "name": "classes",
        "scale": scale,
        "seed": seed,
        "data": f"{len(train)} training and {len(test)} test clouds of ModelNet10.",
        "training": {"steps": size.training.steps, "batch": size.training.batch},
        "sample_steps": size.steps,
        "classes": rows,
    }
    return keep(folder, "classes", scale, result, _table(rows), _figure(sheet))


def _class(model: Model, size: _Scale, train: Graphs, test: Graphs, label: int) -> dict[str, Any]:
    """Scores of one class, for every weight of guidance and the references."""
    assert train.label is not None
    assert test.label is not None
    own, other = (torch.eq(of, label).nonzero()[:, 0][: size.most] for of in (test.label, train.label))
    clouds = {
        f"guidance {weight:g}": model.sample(
            len(own),
            nodes=size.points,
            labels=label,
            guidance=weight,
            steps=size.steps,
            solver=DPMSolver(),
            seed=1000 * label,
        )
        for weight in size.weights
    }
    scores = score_clouds(clouds, _plain(test[own]), _plain(train[other]), metrics=_METRICS)
    return {"test": len(own), **scores.to_dict()}


def _plain(graphs: Graphs) -> Graphs:
    return graphs.replace(label=None, classes=())


def _table(rows: Mapping[str, Any]) -> str:
    """1-NNA of every class by guidance, and the means of all scores over the classes."""
    kinds = [name for name in next(iter(rows.values()))["rows"] if name != "collapsed"]
    lines = ["## 1-NNA-CD by class (near .5)", "", "| class | test clouds | " + " | ".join(kinds) + " |"]
    lines.append("|" + "---|" * (len(kinds) + 2))
    for name, row in rows.items():
        cells = " | ".join(_cell(row["rows"][kind]["scores"]["1-NNA-CD"]) for kind in kinds)
        lines.append(f"| {name} | {row['test']} | {cells} |")
    lines += ["", "## Means over the classes, with their standard error", ""]
    lines += ["| | " + " | ".join(_METRICS) + " |", "|" + "---|" * (len(_METRICS) + 1)]
    for kind in [*kinds, "collapsed"]:
        cells = " | ".join(
            "{:.3f} ± {:.3f}".format(
                *mean_and_error([row["rows"][kind]["scores"][metric]["value"] for row in rows.values()])
            )
            for metric in _METRICS
        )
        lines.append(f"| {kind} | {cells} |")
    return "\n".join(lines)


def _cell(score: Mapping[str, float]) -> str:
    return f"{score['value']:.2f} [{score['low']:.2f}, {score['high']:.2f}]"


def _figure(sheet: Graphs) -> Figure:
    order = torch.arange(len(sheet)).view(-1, 2).T.flatten()
    return contact_sheet(sheet[order], columns=len(_TEN))


CLASSES = Study("one model for ModelNet10's ten classes: scores by class, and guidance", tuple(_SCALES), _run)
