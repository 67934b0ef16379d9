r"""How good the default network gets at chairs in an hour, and how much of its work can follow the noise.

One training of `Latents` on ModelNet10's chairs, then samples in few and many steps. From its weights several
shorter trainings go on, equally long: one with the whole network at every noise level, which is the control,
and others with an `Effort` that leaves some of it out where noise is high. Scores are against chairs that no
training has seen, and beside each stands what sampling costs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from noisefold.eval.comparison import score_clouds
from noisefold.eval.scores import Scores
from noisefold.geometry.graphs import Graphs
from noisefold.model import Model
from noisefold.nn.effort import Effort
from noisefold.report.plots import contact_sheet
from noisefold.sample.solver import DPMSolver
from noisefold.studies.cells import one_thread
from noisefold.studies.data import Sets, chairs, procedural
from noisefold.studies.study import Study, keep
from noisefold.train.settings import Training

__all__ = ["CHAIRS"]

_METRICS = ("1-NNA-CD", "COV-CD", "MMD-CD", "JSD", "paper-W")
_TEST = 50
_EFFORTS = {
    "whole network at every level": Effort(),
    "nothing below u = .15": Effort((0.15,), depth=(0.0, 1.0)),
    "nothing below u = .15, half to .4": Effort(
        (0.15, 0.4), depth=(0.0, 0.5, 1.0), latents=(0.0, 1.0, 1.0), width=(0.0, 0.5, 1.0)
    ),
    "nothing below u = .3": Effort((0.3,), depth=(0.0, 1.0)),
}


@dataclass(frozen=True)
class _Scale:
    training: Training
    more: int
    points: int
    draws: int
    steps: tuple[int, ...]
    net: Mapping[str, Any] = field(default_factory=dict)


_TINY = Training(steps=4, batch=4, nodes=64, warmup=1, ema=0.5, keep=1)
_SHORT = Training(
    steps=7000,
    batch=64,
    nodes=400,
    lr=1.5e-3,
    warmup=100,
    precision="bfloat16",
    validate_every=500,
    checkpoint_every=250,
)
_SMALL = {"width": 16, "latents": 4, "latent_width": 16, "blocks": 1, "heads": 2}
_SCALES = {
    "smoke": _Scale(_TINY, 2, 64, 8, (1, 2), _SMALL),
    "short": _Scale(_SHORT, 1000, 400, 150, (5, 10, 25, 50)),
    "paper": _Scale(
        replace(_SHORT, steps=100_000, batch=256),
        10_000,
        400,
        150,
        (5, 10, 25, 50),
        {"width": 128, "latents": 128, "latent_width": 256, "rounds": 3},
    ),
}


def _run(out: Path, scale: str, seed: int) -> list[Path]:
    size, folder = _SCALES[scale], out / scale
    sets = _sets(scale, size)
    with one_thread():
        model = Model.for_data(sets.train, seed=seed, **size.net)
        settings = replace(size.training, seed=seed)
        model.fit(sets.train, sets.test, out=folder / "base", resume=True, settings=settings)
        clouds = {f"{steps} steps": _sample(model, size, steps) for steps in size.steps}
        few = max(1, size.steps[-1] // 2)
        tuned = {name: _tune(name, model, sets, size, folder, seed) for name in _EFFORTS}
        clouds |= {name: _sample(other, size, few) for name, other in tuned.items()}
        costs = _costs({**{f"{s} steps": (model, s) for s in size.steps}, **_at(tuned, few)})
    scores = _score(clouds, sets.test[: size.draws], sets.train)
    official = _score(
        {f"{few} steps": clouds[f"{few} steps"]} if f"{few} steps" in clouds else clouds,
        sets.test[: min(_TEST, size.draws)],
        sets.train,
    )
    result = {
        "name": "chairs",
        "scale": scale,
        "data": sets.about,
        "seed": seed,
        "training": {"steps": size.training.steps, "batch": size.training.batch, "more": size.more},
        "tuned_steps": few,
        "sampling_ms_per_cloud": costs,
        "scores": scores.to_dict(),
        "test_chairs_alone": official.to_dict(),
    }
    return keep(folder, "chairs", scale, result, _table(scores, official, costs, few), _figure(clouds))


def _sets(scale: str, size: _Scale) -> Sets:
    found = chairs()
    if found is not None:
        return found
    if scale != "smoke":
        raise ValueError(
            f"scale {scale!r} needs ModelNet10 (modelnet40/ in $NOISEFOLD_DATA, or in ../shared/data beside "
            f"the checkout), which is not there."
        )
    return procedural(24, 2 * size.draws)


def _sample(model: Model, size: _Scale, steps: int) -> Graphs:
    return model.sample(size.draws, nodes=size.points, steps=steps, solver=DPMSolver(), seed=0)


def _tune(name: str, base: Model, sets: Sets, size: _Scale, folder: Path, seed: int) -> Model:
    """The network of the base, trained further with an effort."""
    effort = _EFFORTS[name]
    model = Model.for_data(sets.train, seed=seed, **size.net, effort=effort)
    model.net.load_state_dict(base.net.state_dict())
    settings = replace(size.training, steps=size.more, lr=size.training.lr / 3, seed=seed + 1, keep=1)
    place = folder / f"tuned-{list(_EFFORTS).index(name)}"
    return model.fit(sets.train, out=place, resume=True, settings=settings)


def _at(models: Mapping[str, Model], steps: int) -> dict[str, tuple[Model, int]]:
    return {name: (model, steps) for name, model in models.items()}


def _costs(runs: Mapping[str, tuple[Model, int]], rounds: int = 3) -> dict[str, float]:
    """Milliseconds of one core for one cloud of 400 points, medians over interleaved rounds, bfloat16."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    with torch.autocast("cpu", torch.bfloat16):
        for _ in range(rounds):
            for name, (model, steps) in runs.items():
                start = time.process_time()
                model.sample(32, nodes=400, steps=steps, solver=DPMSolver(), batch=32)
                found[name].append((time.process_time() - start) / 32 * 1e3)
    return {name: statistics.median(times) for name, times in found.items()}


def _score(clouds: Mapping[str, Graphs], test: Graphs, train: Graphs) -> Scores:
    return score_clouds(clouds, test, train, metrics=_METRICS)


def _table(scores: Scores, official: Scores, costs: Mapping[str, float], steps: int) -> str:
    lines = "\n".join(f"| {name} | {cost:.1f} |" for name, cost in costs.items())
    return f"""## All held-out chairs

Named rows went on from the first training, each equally long, and are sampled in {steps} steps.

{scores.markdown()}

## The test chairs alone

{official.markdown()}

## Cost of sampling

| | ms of one core for a cloud of 400 points, bfloat16 |
|---|---|
{lines}
"""


def _figure(clouds: Mapping[str, Graphs]) -> Figure:
    rows = list(clouds)[:4]
    return contact_sheet(Graphs.collate([clouds[row][:6] for row in rows]), columns=6)


CHAIRS = Study(
    "the default network on ModelNet10's chairs: quality, steps, and effort by noise level",
    tuple(_SCALES),
    _run,
)
