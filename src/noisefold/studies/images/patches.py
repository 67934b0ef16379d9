"""Experiment 3 of the NCGN paper: do patches that follow the noise pay for images?

Diffusion transformers on MNIST that differ in their patches by noise level, in what they predict, and in the
estimate that they start from, are compared under three controls of cost:

- equal operations of the whole network in training, counted (``flops``);
- equal operations an image: the same number of steps of a wider network of fixed patches (``image``);
- equal time, measured (``time``).

The paper claims "identical computational complexity" of its patches and of fixed ones. That holds for
attention alone; the operations of the whole network are in the table.

Source: Geometric Generative Modeling with Noise-Conditioned Graph Networks, section 5.3 and appendix C,
https://arxiv.org/abs/2507.09391.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch

from noisefold.eval.image_scores import score_images
from noisefold.geometry import Graphs
from noisefold.model import Model
from noisefold.nn import GaussianResidual, PatchSchedule
from noisefold.nn.adaptive import Exponential
from noisefold.noise import Gaussian, Target
from noisefold.progress import progress
from noisefold.studies.images.data import digits, image_summary
from noisefold.studies.images.models import (
    LEVELS,
    RANK,
    ImageModel,
    NoNetwork,
    level_losses,
    mean_flops,
    settings,
    trained,
)
from noisefold.studies.images.patches_report import figure, table
from noisefold.studies.kit.cache import slug
from noisefold.studies.kit.datasets import Sets
from noisefold.studies.kit.experiment import Experiment, Result, Run, written

__all__ = ["CONTROLS", "PATCHES", "SCALES", "STUDY", "Cell", "measure"]

_PAPER = {"sizes": (4, 2, 1), "windows": (0, 4, 4)}
PATCHES: dict[str, PatchSchedule] = {
    "fixed 4": PatchSchedule((4,)),
    "fixed 2": PatchSchedule((2,)),
    "late": PatchSchedule.late(),
    "exponential": PatchSchedule.graded(Exponential(), **_PAPER),
    "reversed": PatchSchedule.graded(Exponential(reverse=True), **_PAPER),
}
"""Patches by noise level: the paper's are "exponential"."""
CONTROLS = ("flops", "image", "time")
_REFERENCE = "fixed 4"


@dataclass(frozen=True)
class Cell:
    """One network of the table.

    Parameters
    ----------
    patches
        One of `PATCHES`.
    target, base
        What is predicted, "velocity" or "data", and what it is added to (`BASES`).
    control
        One of `CONTROLS`.
    """

    patches: str
    target: str = "velocity"
    base: str = "Gaussian"
    control: str = "flops"

    @property
    def name(self) -> str:
        """Name of the cell."""
        return f"{self.patches}, {self.target}, {self.base}, {self.control}"


_FEW = (
    *(Cell(patches) for patches in PATCHES),
    *(Cell(patches, control="time") for patches in ("late", "exponential")),
    Cell(_REFERENCE, control="image"),
    *(Cell(_REFERENCE, base=base) for base in ("none", "isotropic")),
    *(Cell(_REFERENCE, "data", base) for base in ("none", "Gaussian")),
)
_ALL = (
    *(
        Cell(p, t, b)
        for p in PATCHES
        for t in ("velocity", "data")
        for b in ("none", "isotropic", "Gaussian")
    ),
    *(Cell(patches, control="time") for patches in PATCHES if patches != _REFERENCE),
    Cell(_REFERENCE, control="image"),
)


@dataclass(frozen=True)
class Scale:
    """One size of the study.

    Parameters
    ----------
    cells
        Networks, and the seeds of each.
    teraflops
        Operations of the network in one training, forward and backward, in 10^12.
    looks, samples, sample_steps
        Test images of the losses, generated images, and solver steps for each.
    most
        Images to train on at most.
    net
        Arguments of the network.
    """

    cells: tuple[Cell, ...]
    seeds: int
    teraflops: float
    looks: int
    samples: int
    sample_steps: int = 30
    most: int | None = None
    net: dict[str, Any] = field(default_factory=dict)


SCALES = {
    "smoke": Scale(
        (Cell(_REFERENCE), Cell("late", control="time"), Cell(_REFERENCE, control="image")),
        1,
        1e-4,
        20,
        24,
        2,
        120,
        {"width": 8, "blocks": 1, "heads": 1},
    ),
    "short": Scale(_FEW, 1, 1.7, 256, 200, net={"width": 64, "blocks": 4, "heads": 2}),
    "paper": Scale(_ALL, 3, 20_000.0, 1000, 2000, net={"width": 384, "blocks": 12, "heads": 6}),
}


def measure(run: Run[Scale]) -> Result:
    """Return the trainings of all cells, and the losses of base estimates without a network."""
    size = run.size
    sets = digits(stand_in=run.scale == "smoke", most=size.most)
    costs = run.cached("costs", partial(_costs, size, sets))
    todo = [(cell, seed) for seed in run.seeds(size.seeds) for cell in size.cells]
    rows = []
    with progress(run.name, len(todo)) as advance:
        for cell, seed in todo:
            name = f"{slug(cell.name)}-{seed}"
            rows.append(run.cached(name, partial(_trial, run, sets, cell, seed, costs), cell=cell.name))
            advance(1, cell.name)
    return {
        "data": sets.about,
        "seeds": run.seeds(size.seeds),
        "teraflops": size.teraflops,
        "levels": LEVELS,
        "costs": costs,
        "bases": run.cached("bases", partial(_bases, size, sets)),
        "rows": rows,
    }


def _plan(size: Scale, cell: Cell, data: Graphs) -> ImageModel:
    plan = ImageModel(PATCHES[cell.patches], cell.target, cell.base, size.net)
    if cell.control != "image":
        return plan
    goal = mean_flops(replace(plan, patches=PATCHES["exponential"]), data)
    heads = size.net["heads"]
    widths = range(size.net["width"], 6 * size.net["width"], 4 * heads)
    # The narrowest network of at least the operations of the paper's patches.
    wide = (replace(plan, net={**size.net, "width": width}) for width in widths)
    return next(found for found in wide if mean_flops(found, data) >= goal)


def _steps(size: Scale, flops: float) -> int:
    # Backward takes twice the products of forward.
    return max(2, round(size.teraflops * 1e12 / (3 * flops * settings(1, 0).batch)))


def _costs(size: Scale, sets: Sets) -> dict[str, float]:
    """Return the CPU seconds of a training step by patches, measured in turns, with the Gaussian base."""
    names = dict.fromkeys([_REFERENCE, *(cell.patches for cell in size.cells)])
    times: dict[str, list[float]] = {name: [] for name in names}
    models = {name: _plan(size, Cell(name), sets.train).build(sets.train, 0) for name in names}
    some = sets.train[: min(len(sets.train), 512)]
    for _ in range(4):
        for name, model in models.items():
            marks: list[float] = []
            model.fit(some, settings=settings(4, 0), on_step=partial(_mark, marks))
            times[name] += [marks[2] - marks[1]]
    return {name: statistics.median(values) for name, values in times.items()}


def _mark(marks: list[float], step: int) -> None:
    marks.append(time.process_time())


def _trial(run: Run[Scale], sets: Sets, cell: Cell, seed: int, costs: Mapping[str, float]) -> Result:
    size, plan = run.size, _plan(run.size, cell, sets.train)
    flops = mean_flops(plan, sets.train)
    steps = _steps(size, flops)
    if cell.control == "image":
        steps = _steps(
            size, mean_flops(replace(plan, patches=PATCHES["exponential"], net=size.net), sets.train)
        )
    if cell.control == "time":
        reference = _steps(size, mean_flops(_plan(size, Cell(_REFERENCE), sets.train), sets.train))
        steps = max(2, round(reference * costs[_REFERENCE] / costs[cell.patches]))
    model = plan.build(sets.train, seed)
    seconds = trained(model, sets.train, settings(steps, seed))
    losses = level_losses(model, sets.test[: size.looks])
    start = time.process_time()
    labels = (torch.arange(size.samples) % 10).tolist()
    frame = sets.test[:1].replace(label=None)
    made = model.sample(size.samples, like=frame, labels=labels, steps=size.sample_steps, seed=seed)
    sampling = 1000 * (time.process_time() - start) / size.samples
    names = ("FD", "accuracy", "recall")
    scores = score_images(made, sets.test, metrics=names, seed=seed).to_dict()["rows"]
    gates = None
    if isinstance(model.net, GaussianResidual):
        levels = 2 * torch.logit(torch.tensor(LEVELS))
        gates = model.net.gates(levels).tolist()
    return {
        "cell": cell.name,
        "patches": cell.patches,
        "target": cell.target,
        "base": cell.base,
        "control": cell.control,
        "seed": seed,
        "width": plan.net["width"],
        "flops": flops,
        "steps": steps,
        "teraflops": 3e-12 * flops * steps * settings(1, 0).batch,
        "cpu_seconds": seconds,
        "losses": losses,
        "gates": gates,
        "sampling": sampling,
        "scores": scores["model"]["scores"],
        "real": scores["real"]["scores"],
    }


def _bases(size: Scale, sets: Sets) -> dict[str, list[float]]:
    """Return the losses of the estimates that networks start from, by name."""
    out = {}
    data = image_summary(sets.train)
    for name in ("isotropic", "Gaussian"):
        classes, nodes = len(sets.train.classes), int(sets.train.sizes[0])
        base = GaussianResidual(NoNetwork(), 1, nodes, rank=RANK, classes=classes)
        model = Model(base if name == "Gaussian" else NoNetwork(), Gaussian(), Target(), "x")
        model.summary = data
        if name == "Gaussian":
            base.learn(model.units.apply(sets.train))
            torch.nn.init.constant_(base.gate, 30.0)
        out[name] = level_losses(model, sets.test[: size.looks])
    return out


STUDY = Experiment("images", SCALES, written(measure, table, figure))
