"""One model of handwritten digits, trained for ten minutes of two cores and scored.

Class-conditional, from the training images' own Gaussian. Samples with and without guidance stand beside real
images, copies, and Gaussians without a network.

Which digit an image shows is decided where noise is high, and so are the errors that Frechet distances see:
six steps in ten are taken there, below a signal level of one half. That is the density of a uniform level of
images in [-1, 1], whose standard deviation is 0.62, where here it is 1.
"""

from __future__ import annotations

import base64
import io
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from matplotlib.figure import Figure
from PIL import Image

from noisefold.eval.image_scores import score_images
from noisefold.eval.score_table import Scores
from noisefold.geometry import Graphs
from noisefold.model import Model
from noisefold.nn import PatchSchedule
from noisefold.noise import LevelDistribution
from noisefold.studies.images.data import digits
from noisefold.studies.images.models import (
    LEVELS,
    ImageModel,
    level_losses,
    mean_flops,
    pictures,
    settings,
    trained,
)
from noisefold.studies.kit.experiment import Experiment, Result, Run, written
from noisefold.studies.kit.plots import panels
from noisefold.studies.kit.tables import markdown

__all__ = ["STUDY", "figure", "measure", "table"]

_SHOWN = 10


@dataclass(frozen=True)
class Scale:
    """One size of the study.

    Parameters
    ----------
    steps
        Optimiser steps.
    samples
        Images generated for each way of sampling.
    looks
        Test images on which losses are measured.
    most
        Images to train on at most.
    ways
        Solver steps and weight of guidance, by name.
    net
        Arguments of the network.
    """

    steps: int
    samples: int
    looks: int
    most: int | None = None
    ways: dict[str, tuple[int, float]] = field(default_factory=dict)
    net: dict[str, Any] = field(default_factory=dict)


# Steps of Heun's method, of two evaluations each but for the last.
_WAYS = {"15 steps": (15, 1.0), "15 steps, guided": (15, 1.5), "30 steps, guided": (30, 1.5)}
_LEVELS = LevelDistribution((0.0, 0.25, 0.5, 0.75, 1.0), (0.35, 0.27, 0.21, 0.17))
SCALES = {
    "smoke": Scale(2, 24, 20, 120, {"2 steps": (2, 1.0)}, {"width": 8, "blocks": 1, "heads": 1}),
    "short": Scale(6400, 1000, 256, None, _WAYS, {"width": 64, "blocks": 4, "heads": 2}),
    "paper": Scale(100_000, 2000, 1000, None, _WAYS, {"width": 192, "blocks": 8, "heads": 6}),
}


def measure(run: Run[Scale]) -> Result:
    """Return cost, loss by level, scores and some images."""
    result: Result = run.cached("result", partial(_measure, run))
    return result


def _measure(run: Run[Scale]) -> Result:
    size = run.size
    sets = digits(stand_in=run.scale == "smoke", most=size.most)
    plan = ImageModel(PatchSchedule(), "velocity", "Gaussian", size.net)
    model = plan.build(sets.train, run.seed)
    seconds = trained(model, sets.train, settings(size.steps, run.seed, levels=_LEVELS), run.folder / "run")
    made, costs = {}, {}
    for name, (steps, guidance) in size.ways.items():
        start = time.process_time()
        made[name] = _sample(model, sets.test, size.samples, steps, guidance, run.seed)
        costs[name] = 1000 * (time.process_time() - start) / size.samples
    scores = score_images(made, sets.test, sets.train, seed=run.seed)
    return {
        "data": sets.about,
        "seed": run.seed,
        "steps": size.steps,
        "cpu_seconds": seconds,
        "parameters": model.num_parameters,
        "flops": mean_flops(plan, sets.train),
        "levels": LEVELS,
        "losses": level_losses(model, sets.test[: size.looks]),
        "milliseconds": costs,
        "scores": scores.to_dict(),
        "sheets": {name: _sheet(graphs) for name, graphs in made.items()},
    }


def _sample(model: Model, like: Graphs, count: int, steps: int, guidance: float, seed: int) -> Graphs:
    labels = (torch.arange(count) % len(like.classes)).tolist()
    frame = like[:1].replace(label=None)
    return model.sample(count, like=frame, labels=labels, steps=steps, guidance=guidance, seed=seed)


def _sheet(graphs: Graphs) -> str:
    """Return some images side by side, as a PNG in base 64: numbers in JSON would take ten times as much."""
    images = (255 * pictures(graphs[: _SHOWN * 10])).round().to(torch.uint8)
    rows = images[: len(images) // _SHOWN * _SHOWN]
    sheet = rows.view(-1, _SHOWN, *images.shape[1:]).transpose(1, 2).flatten(2).flatten(0, 1)
    png = io.BytesIO()
    Image.fromarray(sheet.numpy()).save(png, "PNG", optimize=True)
    return base64.b64encode(png.getvalue()).decode()


def table(result: Result) -> str:
    """Return the scores, the losses and what it cost."""
    cost = [
        ["training, CPU seconds of one thread", f"{result['cpu_seconds']:.0f}"],
        ["steps", result["steps"]],
        ["parameters", result["parameters"]],
        ["operations an image", f"{result['flops'] / 1e6:.1f} million"],
        *([f"sampling, {k}, ms an image", f"{v:.0f}"] for k, v in result["milliseconds"].items()),
    ]
    losses = [[f"{u:g}" for u in result["levels"]], [f"{v:.3f}" for v in result["losses"]]]
    return "\n\n".join(
        [
            result["data"],
            markdown(["", ""], cost),
            "Mean squared error of the velocity by signal level:",
            markdown(losses[0], losses[1:]),
            Scores.from_dict(result["scores"]).markdown(),
        ]
    )


def figure(result: Result) -> Figure:
    """Draw some images of each way of sampling."""
    names = list(result["sheets"])
    picture, grid = panels(1, len(names), 4 * len(names), 4.3, squeeze=False)
    for name, panel in zip(names, grid[0], strict=True):
        sheet = Image.open(io.BytesIO(base64.b64decode(result["sheets"][name])))
        panel.imshow(sheet, cmap="gray", vmin=0, vmax=255)
        panel.set(title=name, xticks=[], yticks=[])
    return picture


STUDY = Experiment("digits", SCALES, written(measure, table, figure))
