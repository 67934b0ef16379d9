r"""One model for all ten classes of ModelNet10, with classifier-free guidance, scored class by class.

A class is a hard test of a conditional model: its clouds must be as varied as the real ones of the class, and
of no other. Guidance above 1 makes them more typical and less varied; coverage and 1-NNA measure that cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from noisefold.eval import score_clouds
from noisefold.geometry import Graphs
from noisefold.model import Model
from noisefold.report.figures.clouds import contact_sheet
from noisefold.sample import DPMSolver
from noisefold.studies.kit.datasets import modelnet, needed
from noisefold.studies.kit.experiment import Experiment, Result, Run
from noisefold.studies.kit.presets import LARGE_LATENTS, TINY
from noisefold.studies.kit.tables import markdown, with_error
from noisefold.studies.shapes.chairs import HOUR, SMALL
from noisefold.train import Training

__all__ = ["STUDY", "table"]

_METRICS = ("1-NNA-CD", "COV-CD", "MMD-CD")
_TEN = ("bathtub", "bed", "chair", "desk", "dresser", "monitor", "night_stand", "sofa", "table", "toilet")


@dataclass(frozen=True)
class Scale:
    """The training, points, weights of guidance, sampling steps, most clouds of a class, and the network."""

    training: Training
    points: int
    weights: tuple[float, ...]
    steps: int
    most: int
    net: Mapping[str, Any] = field(default_factory=dict)


_WEIGHTS = (1.0, 1.5, 2.5)
SCALES = {
    "smoke": Scale(replace(TINY, steps=4, nodes=64), 64, (1.0, 2.0), 2, 6, SMALL),
    "short": Scale(replace(HOUR, steps=2000), 400, _WEIGHTS, 25, 100),
    "paper": Scale(replace(HOUR, steps=200_000, batch=256), 400, _WEIGHTS, 25, 100, LARGE_LATENTS),
}


def _make(run: Run[Scale]) -> list[Path]:
    size, seed = run.size, run.seed
    train, test = (needed(modelnet(split, _TEN)) for split in ("train", "test"))
    model = Model.for_data(train, seed=seed, **size.net)
    model.fit(train, test, out=run.folder / "run", resume=True, settings=replace(size.training, seed=seed))
    rows = {name: _class(model, size, train, test, i) for i, name in enumerate(_TEN)}
    labels = [name for name in _TEN for _ in range(2)]
    sheet = model.sample(len(labels), nodes=1024, labels=labels, seed=seed)
    order = torch.arange(len(sheet)).view(-1, 2).T.flatten()
    result = {
        "seed": seed,
        "data": f"{len(train)} training and {len(test)} test clouds of ModelNet10.",
        "training": {"steps": size.training.steps, "batch": size.training.batch},
        "sample_steps": size.steps,
        "classes": rows,
    }
    return run.write(result, table(result), contact_sheet(sheet[order], columns=len(_TEN)), run.folder)


def _class(model: Model, size: Scale, train: Graphs, test: Graphs, label: int) -> Result:
    """Return the scores of one class, for every weight of guidance and the references."""
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
    real, learned = (graphs.replace(label=None, classes=()) for graphs in (test[own], train[other]))
    return {"test": len(own), **score_clouds(clouds, real, learned, metrics=_METRICS).to_dict()}


def table(result: Result) -> str:
    """Return 1-NNA of every class by guidance, and the means of all scores over the classes."""
    rows = result["classes"]
    kinds = [name for name in next(iter(rows.values()))["rows"] if name != "collapsed"]

    def mean(kind: str, metric: str) -> str:
        values = [row["rows"][kind]["scores"][metric]["value"] for row in rows.values()]
        return with_error(values, 3)

    by_class = [
        [name, row["test"], *(_interval(row["rows"][kind]["scores"]["1-NNA-CD"]) for kind in kinds)]
        for name, row in rows.items()
    ]
    means = [[kind, *(mean(kind, metric) for metric in _METRICS)] for kind in [*kinds, "collapsed"]]
    return (
        f"## 1-NNA-CD by class (near 0.5)\n\n{markdown(['class', 'test clouds', *kinds], by_class)}\n\n"
        f"## Means over the classes, with their standard error\n\n{markdown(['', *_METRICS], means)}"
    )


def _interval(score: Mapping[str, float]) -> str:
    return f"{score['value']:.2f} [{score['low']:.2f}, {score['high']:.2f}]"


STUDY = Experiment("classes", SCALES, _make)
