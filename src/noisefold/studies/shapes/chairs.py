r"""How good the default network gets at chairs in an hour, and how much of its compute can follow the noise.

One training of `Latents` on ModelNet10's chairs, then samples in few and many steps. Its profile says what
it explains at each noise level beyond the best linear estimate. Skipping it below some level needs no
training. From the weights of the first training shorter ones continue, equally long: as before, which is the
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

from noisefold.configuration import encode
from noisefold.eval import Scores, score_clouds
from noisefold.geometry import Graphs
from noisefold.model import Model
from noisefold.nn import ComputeBudget, Latents
from noisefold.noise import LevelDistribution
from noisefold.report.figures.clouds import contact_sheet
from noisefold.sample import DPMSolver, Grid, LevelGrid
from noisefold.studies.kit.datasets import chairs
from noisefold.studies.kit.experiment import Experiment, Run
from noisefold.studies.kit.presets import LARGE_LATENTS, TINY
from noisefold.studies.kit.tables import markdown
from noisefold.studies.kit.trials import METRICS
from noisefold.train import SkillByLevel, Training
from noisefold.train.device import autocast, fast_precision

__all__ = ["HOUR", "SMALL", "STUDY"]

_TEST = 50
_SKIPPED = (0.1, 0.2, 0.3, 0.4)
_Sampler = tuple[Model, int, Grid | None]


@dataclass(frozen=True)
class Scale:
    """The training, steps of each further one, points, chairs drawn, sampling steps, and the network."""

    training: Training
    more: int
    points: int
    draws: int
    steps: tuple[int, ...]
    net: Mapping[str, Any] = field(default_factory=dict)


HOUR = Training(
    steps=7000,
    batch=64,
    nodes=400,
    lr=1.5e-3,
    warmup=100,
    precision=fast_precision(),
    validate_every=500,
    checkpoint_every=250,
)
"""The training of an hour on one core."""

SMALL = {"width": 16, "latents": 4, "latent_width": 16, "blocks": 1, "heads": 2}

_PAPER = replace(HOUR, steps=100_000, batch=256)
SCALES = {
    "smoke": Scale(replace(TINY, steps=4, nodes=64), 2, 64, 8, (1, 2, 3), SMALL),
    "short": Scale(HOUR, 700, 400, 150, (5, 10, 25, 50)),
    "paper": Scale(_PAPER, 10_000, 400, 150, (5, 10, 25, 50), LARGE_LATENTS),
}


def _make(run: Run[Scale]) -> list[Path]:
    size, folder, seed = run.size, run.folder, run.seed
    sets = chairs(stand_in=(24, 2 * size.draws) if run.scale == "smoke" else None)
    base = Model.for_data(sets.train, seed=seed, **size.net)
    settings = replace(size.training, seed=seed)
    base.fit(sets.train, sets.test, out=folder / "base", resume=True, settings=settings)
    found = base.skill(sets.test, nodes=size.points)
    few = size.steps[-2]
    samplers: dict[str, _Sampler] = {f"{steps} steps": (base, steps, None) for steps in size.steps}
    samplers[f"{few} steps, placed by the profile"] = (base, few, LevelGrid(found.levels()))
    onwards = LevelGrid(LevelDistribution((min(found.quiet(), 0.9), 1.0), (1.0,)))
    for steps in size.steps[:2]:
        samplers[f"{steps} steps, all above where little is explained"] = (base, steps, onwards)
    for level in _SKIPPED:
        skipping = _with(base, ComputeBudget((level,), depth=(0.0, 1.0)))
        samplers[f"{few} steps, nothing below u = {level:g}"] = (skipping, few, None)
    more: dict[str, tuple[ComputeBudget, LevelDistribution | None]] = {
        "the whole network": (ComputeBudget(), None),
        "times placed by the profile": (ComputeBudget(), found.levels()),
        "half of it where little is explained": (found.compute_budget(), None),
    }
    further = replace(size.training, steps=size.more, lr=size.training.lr / 3, seed=seed + 1)
    for i, (name, (budget, levels)) in enumerate(more.items()):
        tuned = _with(base, budget)
        tuned.fit(sets.train, out=folder / f"more-{i}", resume=True, settings=replace(further, levels=levels))
        samplers[f"{few} steps, trained on, {name}"] = (tuned, few, None)
    clouds = {name: _sample(sampler, size) for name, sampler in samplers.items()}
    costs = _costs(samplers, size)
    scores = _score(clouds, sets.test[: size.draws], sets.train)
    test = sets.test[: min(_TEST, size.draws)]
    official = _score({f"{few} steps": clouds[f"{few} steps"]}, test, sets.train)
    result = {
        "data": sets.about,
        "seed": seed,
        "training": {"steps": size.training.steps, "batch": size.training.batch, "more": size.more},
        "compute_budget": encode(found.compute_budget()),
        "profile": encode(found),
        "sampling_ms_per_cloud": costs,
        "scores": scores.to_dict(),
        "test_chairs_alone": official.to_dict(),
    }
    rows = ("5 steps", f"{few} steps", f"{few} steps, trained on, {list(more)[-1]}")
    shown = Graphs.collate([clouds[name][:6] for name in rows if name in clouds])
    table = _table(scores, official, costs, found)
    return run.write(result, table, contact_sheet(shown, columns=6), folder)


def _with(base: Model, budget: ComputeBudget) -> Model:
    """Return the same weights under another compute budget."""
    arguments: dict[str, Any] = {**vars(base.net)["arguments"], "compute_budget": budget}
    net = Latents(**arguments)
    net.load_state_dict(base.net.state_dict())
    return Model(net, base.path, base.target, base.variable, summary=base.summary, training=base.training)


def _sample(sampler: _Sampler, size: Scale, count: int = 0, batch: int = 64) -> Graphs:
    model, steps, grid = sampler
    return model.sample(
        count or size.draws,
        nodes=size.points,
        steps=steps,
        solver=DPMSolver(),
        grid=grid,
        seed=0,
        batch=batch,
    )


def _costs(samplers: Mapping[str, _Sampler], size: Scale, rounds: int = 3) -> dict[str, float]:
    """Return the milliseconds of one core for one cloud, medians over interleaved rounds."""
    found: dict[str, list[float]] = {name: [] for name in samplers}
    with autocast(fast_precision(), torch.device("cpu")):
        for _ in range(rounds):
            for name, sampler in samplers.items():
                start = time.process_time()
                _sample(sampler, size, 32, 32)
                found[name].append((time.process_time() - start) / 32 * 1e3)
    return {name: statistics.median(times) for name, times in found.items()}


def _score(clouds: Mapping[str, Graphs], test: Graphs, train: Graphs) -> Scores:
    return score_clouds(clouds, test, train, metrics=METRICS)


def _table(scores: Scores, official: Scores, costs: Mapping[str, float], found: SkillByLevel) -> str:
    spent = [[name, f"{cost:.1f}"] for name, cost in costs.items()]
    levels = [
        [f"{low:.2f} to {high:.2f}", f"{100 * e:.2f} ± {100 * s:.2f}"]
        for (low, high), e, s in zip(pairwise(found.edges), found.explained, found.error, strict=True)
    ]
    parts = {
        "All held-out chairs": scores.markdown(),
        "The test chairs alone": official.markdown(),
        "Cost of sampling": markdown(["", f"ms of one core for a cloud, {fast_precision()}"], spent),
        "What the network explains beyond the best linear estimate": markdown(
            ["signal level", "% of its squared error, with standard error"], levels
        ),
    }
    return "\n\n".join(f"## {title}\n\n{text}" for title, text in parts.items()) + "\n"


STUDY = Experiment("chairs", SCALES, _make)
