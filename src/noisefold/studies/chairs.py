r"""How good the default network gets at chairs in an hour, and how much of its work can follow the noise.

One training of `Latents` on ModelNet10's chairs, then samples in few and many steps. Its profile says what
it explains at each noise level beyond the best linear estimate. Leaving it out below some level needs no
training. From the weights of the first training shorter ones go on, equally long: as before, which is the
control; with the times placed by the profile; and with half of the network where it explains little. Scores
are against chairs that no training has seen, and beside each stands what sampling costs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from noisefold.configuration import encode
from noisefold.eval.cloud_scores import score_clouds
from noisefold.eval.score_table import Scores
from noisefold.geometry.graphs import Graphs
from noisefold.model import Model
from noisefold.nn.compute_budget import ComputeBudget
from noisefold.nn.latents import Latents
from noisefold.noise.levels import LevelDistribution
from noisefold.report.figures.clouds import contact_sheet
from noisefold.sample.grid import Grid, LevelGrid
from noisefold.sample.solver import DPMSolver
from noisefold.studies.cells import one_thread
from noisefold.studies.data import Sets, chairs, needed, procedural
from noisefold.studies.study import Study, keep
from noisefold.train.settings import Training
from noisefold.train.skill import SkillByLevel

__all__ = ["CHAIRS", "LARGE", "SHORT", "SMALL"]

_METRICS = ("1-NNA-CD", "COV-CD", "MMD-CD", "JSD", "paper-W")
_TEST = 50
_IDLE = (0.1, 0.2, 0.3, 0.4)


_Sampling = tuple[Model, int, Grid | None]


@dataclass(frozen=True)
class _Scale:
    training: Training
    more: int
    points: int
    draws: int
    steps: tuple[int, ...]
    net: Mapping[str, Any] = field(default_factory=dict)


_TINY = Training(steps=4, batch=4, nodes=64, warmup=1, ema=0.5, keep=1)
SHORT = Training(
    steps=7000,
    batch=64,
    nodes=400,
    lr=1.5e-3,
    warmup=100,
    precision="bfloat16",
    validate_every=500,
    checkpoint_every=250,
)
SMALL = {"width": 16, "latents": 4, "latent_width": 16, "blocks": 1, "heads": 2}
LARGE = {"width": 128, "latents": 128, "latent_width": 256, "rounds": 3}
_SCALES = {
    "smoke": _Scale(_TINY, 2, 64, 8, (1, 2, 3), SMALL),
    "short": _Scale(SHORT, 700, 400, 150, (5, 10, 25, 50)),
    "paper": _Scale(
        replace(SHORT, steps=100_000, batch=256),
        10_000,
        400,
        150,
        (5, 10, 25, 50),
        LARGE,
    ),
}


def _run(out: Path, scale: str, seed: int) -> list[Path]:
    size, folder = _SCALES[scale], out / scale
    sets = _sets(scale, size)
    with one_thread():
        base = Model.for_data(sets.train, seed=seed, **size.net)
        settings = replace(size.training, seed=seed)
        base.fit(sets.train, sets.test, out=folder / "base", resume=True, settings=settings)
        found = base.profile(sets.test, nodes=size.points)
        few = size.steps[-2]
        runs: dict[str, _Sampling] = {f"{steps} steps": (base, steps, None) for steps in size.steps}
        runs[f"{few} steps, placed by the profile"] = (base, few, LevelGrid(found.times()))
        onwards = LevelGrid(LevelDistribution((min(found.quiet(), 0.9), 1.0), (1.0,)))
        runs |= {
            f"{steps} steps, all above where little is explained": (base, steps, onwards)
            for steps in size.steps[:2]
        }
        for level in _IDLE:
            idle = _with(base, ComputeBudget((level,), depth=(0.0, 1.0)))
            runs[f"{few} steps, nothing below u = {level:g}"] = (idle, few, None)
        more: dict[str, tuple[ComputeBudget, LevelDistribution | None]] = {
            "the whole network": (ComputeBudget(), None),
            "times placed by the profile": (ComputeBudget(), found.times()),
            "half of it where little is explained": (found.effort(), None),
        }
        for i, (name, (effort, times)) in enumerate(more.items()):
            settings = replace(
                size.training, steps=size.more, lr=size.training.lr / 3, seed=seed + 1, times=times
            )
            tuned = _with(base, effort).fit(
                sets.train, out=folder / f"more-{i}", resume=True, settings=settings
            )
            runs[f"{few} steps, trained on, {name}"] = (tuned, few, None)
        clouds = {name: _sample(run, size) for name, run in runs.items()}
        costs = _costs(runs, size)
    scores = _score(clouds, sets.test[: size.draws], sets.train)
    test = sets.test[: min(_TEST, size.draws)]
    official = _score({f"{few} steps": clouds[f"{few} steps"]}, test, sets.train)
    result = {
        "name": "chairs",
        "scale": scale,
        "data": sets.about,
        "seed": seed,
        "training": {"steps": size.training.steps, "batch": size.training.batch, "more": size.more},
        "effort": encode(found.effort()),
        "profile": encode(found),
        "sampling_ms_per_cloud": costs,
        "scores": scores.to_dict(),
        "test_chairs_alone": official.to_dict(),
    }
    rows = ("5 steps", f"{few} steps", f"{few} steps, trained on, {list(more)[-1]}")
    shown = {name: clouds[name] for name in rows if name in clouds}
    return keep(folder, "chairs", scale, result, _table(scores, official, costs, found), _figure(shown))


def _sets(scale: str, size: _Scale) -> Sets:
    found = chairs()
    return found or procedural(24, 2 * size.draws) if scale == "smoke" else needed(found)


def _with(base: Model, effort: ComputeBudget) -> Model:
    """The same weights under another effort."""
    arguments: dict[str, Any] = {**vars(base.net)["arguments"], "effort": effort}
    net = Latents(**arguments)
    net.load_state_dict(base.net.state_dict())
    known: dict[str, Any] = {
        name: getattr(base, name) for name in ("scaling", "sizes", "classes", "class_weights")
    }
    return Model(net, **known)


def _sample(run: _Sampling, size: _Scale, count: int = 0, batch: int = 64) -> Graphs:
    model, steps, grid = run
    return model.sample(
        count or size.draws,
        nodes=size.points,
        steps=steps,
        solver=DPMSolver(),
        grid=grid,
        seed=0,
        batch=batch,
    )


def _costs(runs: Mapping[str, _Sampling], size: _Scale, rounds: int = 3) -> dict[str, float]:
    """Milliseconds of one core for one cloud, medians over interleaved rounds, bfloat16."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    with torch.autocast("cpu", torch.bfloat16):
        for _ in range(rounds):
            for name, run in runs.items():
                start = time.process_time()
                _sample(run, size, 32, 32)
                found[name].append((time.process_time() - start) / 32 * 1e3)
    return {name: statistics.median(times) for name, times in found.items()}


def _score(clouds: Mapping[str, Graphs], test: Graphs, train: Graphs) -> Scores:
    return score_clouds(clouds, test, train, metrics=_METRICS)


def _table(scores: Scores, official: Scores, costs: Mapping[str, float], found: SkillByLevel) -> str:
    lines = "\n".join(f"| {name} | {cost:.1f} |" for name, cost in costs.items())
    levels = "\n".join(
        f"| {low:.2f} to {high:.2f} | {100 * e:.2f} ± {100 * s:.2f} |"
        for (low, high), e, s in zip(pairwise(found.edges), found.explained, found.error, strict=True)
    )
    return f"""## All held-out chairs

{scores.markdown()}

## The test chairs alone

{official.markdown()}

## Cost of sampling

| | ms of one core for a cloud, bfloat16 |
|---|---|
{lines}

## What the network explains beyond the best linear estimate

| signal level | % of its squared error, with standard error |
|---|---|
{levels}
"""


def _figure(clouds: Mapping[str, Graphs]) -> Figure:
    return contact_sheet(Graphs.collate([made[:6] for made in clouds.values()]), columns=6)


CHAIRS = Study(
    "the default network on ModelNet10's chairs: quality, steps, and effort by noise level",
    tuple(_SCALES),
    _run,
)
