r"""Does a closer coupling of noise and data give the same clouds in fewer sampling steps?

The same network is trained equally long under every coupling, with the same batches, and samples with few
steps and with many. Three answers: set metrics against held-out clouds, beside those of real training clouds;
the distance of each cloud to the limit of many steps from the same noise,

.. math:: \Big( \mathrm{mean}\, |x^{(k\ \mathrm{steps})} - x^{(\mathrm{many})}|^2 / d \Big)^{1/2}

in standard deviations of the data, which is small where the paths are straight, whether or not they lead to
good clouds; and what the coupling costs in every training step.

A study that was killed continues where it was.
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from noisefold.configuration import encode
from noisefold.eval import score_clouds
from noisefold.geometry import Graphs
from noisefold.model import Model
from noisefold.noise import Coupling, Independent, MiniBatch, Streams, White, WithinCloud
from noisefold.sample import DPMSolver, Euler, Heun, Solver
from noisefold.studies.kit.datasets import Sets, chairs
from noisefold.studies.kit.experiment import Experiment, Result, Run, written
from noisefold.studies.kit.plots import log_ticks, marks, outer_legend, over_seeds, panels
from noisefold.studies.kit.presets import SHORT, SMALL_LATENTS, TINY
from noisefold.studies.kit.tables import markdown, with_interval
from noisefold.train import Training
from noisefold.train.batches import Batches

__all__ = ["COUPLINGS", "METRICS", "SCALES", "STUDY", "figure", "measure", "table"]

METRICS = ("1-NNA-CD", "MMD-CD", "COV-CD")
COUPLINGS: dict[str, Coupling] = {
    "independent": Independent(),
    "mini-batch": MiniBatch(),
    "within, order": WithinCloud(),
    "within, order, blend .2": WithinCloud(blend=0.2),
    "within, exchange": WithinCloud("exchange"),
}
_SOLVERS: dict[str, Solver] = {"Euler": Euler(), "DPMSolver": DPMSolver()}
_AWAY = "away"
# Heading and decimals of each score.
_SCORES = {
    "1-NNA-CD": ("1-NNA-CD (near 0.5)", 3),
    "MMD-CD": ("MMD-CD (lower)", 4),
    "COV-CD": ("COV-CD (higher)", 3),
    _AWAY: ("Distance to the limit of many steps, standard deviations of the data (lower)", 3),
}
_LOOKS = marks(
    {
        "independent": "o #000000",
        "mini-batch": "v #E69F00",
        "within, order": "s #0072B2",
        "within, order, blend .2": "D #56B4E9",
        "within, exchange": "^ #D55E00",
    }
)


@dataclass(frozen=True)
class Scale:
    """A size of the study.

    Parameters
    ----------
    training
        How each network is trained; seed and coupling are replaced.
    seeds, draws
        Trainings under every coupling, and clouds sampled each time.
    counts
        For each solver, its numbers of steps.
    many
        Steps of Heun's method that stand for the limit.
    net
        Arguments of the network that differ from their defaults.
    """

    training: Training
    seeds: int
    draws: int
    counts: Mapping[str, Sequence[int]]
    many: int
    net: Mapping[str, Any] = field(default_factory=dict)


_SHORT = replace(SHORT, steps=500, batch=32, nodes=400)
_PAPER = replace(_SHORT, steps=20_000, batch=128, warmup=200, ema=0.999, checkpoint_every=1000)
_STEPS = (2, 5, 10, 20, 50)
SCALES = {
    "smoke": Scale(
        replace(TINY, steps=5, nodes=48),
        seeds=1,
        draws=6,
        counts={"Euler": (2, 4), "DPMSolver": (4,)},
        many=6,
        net=SMALL_LATENTS,
    ),
    "short": Scale(_SHORT, 2, 64, {"Euler": _STEPS, "DPMSolver": (5, 10, 20)}, many=25),
    "paper": Scale(_PAPER, 3, 150, {"Euler": _STEPS, "DPMSolver": _STEPS}, many=100),
}


def measure(run: Run[Scale]) -> Result:
    """Return ``references``, ``costs`` of each coupling, and scores by coupling, seed, solver and steps."""
    size, seeds = run.size, run.seeds(run.size.seeds)
    sets = chairs(stand_in=(24 if run.scale == "smoke" else 1000, 2 * size.draws))
    sets = replace(sets, train=sets.train.replace(label=None, classes=()))
    trials = {
        row: [_trial(run, f"{i}-{seed}", coupling, seed, sets) for seed in seeds]
        for i, (row, coupling) in enumerate(COUPLINGS.items())
    }
    return {
        "data": sets.about,
        "seeds": seeds,
        "draws": size.draws,
        "training": encode(size.training),
        "references": next(iter(trials.values()))[0]["scores"],
        "costs": {row: _cost(coupling, size, sets.train) for row, coupling in COUPLINGS.items()},
        "rows": {row: [trial["rows"] for trial in found] for row, found in trials.items()},
    }


def _trial(run: Run[Scale], name: str, coupling: Coupling, seed: int, sets: Sets) -> Result:
    """Train under one coupling with one seed, or continue; sample; score."""
    settings = replace(run.size.training, coupling=coupling, seed=seed)
    model = Model.for_data(sets.train, seed=seed, **run.size.net)
    folder = f"trials/{name}"

    def make() -> Result:
        model.fit(sets.train, settings=settings, out=run.folder / folder, resume=True)
        return _scored(model, seed, run.size, sets)

    plan = {"training": encode(settings), "net": encode(model.net), "data": sets.about, "seed": seed}
    kept: Result = run.cached(f"{folder}/trial", make, **plan)
    shutil.rmtree(run.folder / folder / "checkpoints", ignore_errors=True)
    return kept


def _scored(model: Model, seed: int, size: Scale, sets: Sets) -> Result:
    """Return the scores by solver and steps, and of the reference clouds."""
    unit = model.data.scaling.pos_scale
    sample = partial(model.sample, size.draws, nodes=size.training.nodes, seed=seed)
    end = sample(steps=size.many, solver=Heun()).pos / unit
    cases = [(name, steps) for name, counts in size.counts.items() for steps in counts]
    made = {f"{name} {steps}": sample(steps=steps, solver=_SOLVERS[name]) for name, steps in cases}
    found = score_clouds(made, sets.test, sets.train, metrics=METRICS).to_dict()["rows"]
    rows = []
    for (name, steps), (key, clouds) in zip(cases, made.items(), strict=True):
        away = float((clouds.pos / unit - end).square().mean().sqrt())
        scores = {**found.pop(key)["scores"], _AWAY: {"value": away, "low": None, "high": None}}
        rows.append({"solver": name, "steps": steps, "scores": scores})
    return {"rows": rows, "scores": found}


def _cost(coupling: Coupling, size: Scale, train: Graphs, rounds: int = 5) -> dict[str, float]:
    """Return the seconds of a coupling in a step, and the mean squared distance of noise and data."""
    batches = Batches(train, size.training.batch, 0, size.training.nodes)
    unit = float((train.pos - train.pos.mean(0)).square().mean().sqrt())
    seconds, squares = [], []
    for step in range(rounds):
        graphs = batches(step).graphs
        data = (graphs.pos - train.pos.mean(0)) / unit
        streams = [Streams(0, range(len(graphs))) for _ in range(2)]
        eps = [White().draw(graphs, graphs.dim, s) for s in streams]
        start = time.process_time()
        coupled = coupling(graphs, data, lambda eps=eps: eps.pop())  # type: ignore[misc]
        seconds.append(time.process_time() - start)
        squares.append(float((coupled - data).square().sum(1).mean()))
    return {"seconds": statistics.median(seconds), "square": statistics.fmean(squares)}


# -- table and figure ----------------------------------------------------------------------------------------


def _values(result: Result, row: str, solver: str, steps: int, metric: str) -> list[Result]:
    return [
        found["scores"][metric]
        for trial in result["rows"][row]
        for found in trial
        if (found["solver"], found["steps"]) == (solver, steps)
    ]


def _columns(result: Result) -> list[tuple[str, int]]:
    return [(found["solver"], found["steps"]) for found in next(iter(result["rows"].values()))[0]]


def table(result: Result) -> str:
    """Return how it was made, what the couplings cost, one table for each metric, and the references."""
    training, columns = result["training"], _columns(result)
    costs = [[row, f"{c['seconds']:.4f}", f"{c['square']:.2f}"] for row, c in result["costs"].items()]
    parts = [
        f"{result['data']} Every network was trained for {training['steps']} steps of {training['batch']} "
        f"clouds of {training['nodes']} points, {len(result['seeds'])} times; {result['draws']} clouds were "
        "sampled each time. mean ± standard error over seeds [mean of the 95 % intervals of single trainings "
        "from resampling clouds].",
        "\n### What a coupling costs\n",
        markdown(["coupling", "seconds a step", "mean squared distance of noise and data"], costs),
    ]
    for metric, (head, decimals) in _SCORES.items():
        rows = [
            [row, *(with_interval(_values(result, row, *column, metric), decimals) for column in columns)]
            for row in result["rows"]
        ]
        parts += [f"\n### {head}\n", markdown(["coupling", *(f"{s}, {n}" for s, n in columns)], rows)]
    references = [
        [name, *(with_interval([found["scores"][m]], _SCORES[m][1]) for m in METRICS), found["about"]]
        for name, found in result["references"].items()
    ]
    heads = ["clouds", *(_SCORES[m][0] for m in METRICS), ""]
    return "\n".join([*parts, "\n### References\n", markdown(heads, references)])


def figure(result: Result) -> Figure:
    """Draw 1-NNA, MMD and the distance to the limit of many steps; Euler solid, DPM-Solver dashed."""
    picture, grid = panels(1, 3, 12, 4.4)
    for panel, metric in zip(grid, ("1-NNA-CD", "MMD-CD", _AWAY), strict=True):
        _draw(panel, result, metric)
    grid[-1].set_yscale("log")
    log_ticks(grid[-1].yaxis)
    outer_legend(picture, grid[:1], "upper center", ncols=len(_LOOKS) + 1, fontsize=9)
    picture.supxlabel("sampling steps (lines: Euler; dashed: DPM-Solver)", fontsize=10)
    return picture


def _draw(panel: Axes, result: Result, metric: str) -> None:
    for row, look in _LOOKS.items():
        for solver, style in zip(_SOLVERS, ("-", "--"), strict=True):
            steps = [s for name, s in _columns(result) if name == solver]
            found = [[float(v["value"]) for v in _values(result, row, solver, s, metric)] for s in steps]
            look = {**look, "linestyle": style, "markersize": 5, "linewidth": 1.4}
            over_seeds(panel, steps, found, label=row if solver == "Euler" else None, **look)
    if metric in METRICS:
        floor = float(result["references"]["train"]["scores"][metric]["value"])
        panel.axhline(floor, color="0.5", linestyle=":", label="real training clouds")
    panel.set_xscale("log")
    log_ticks(panel.xaxis, sorted({s for _, s in _columns(result)}))
    panel.set_title(_SCORES[metric][0].replace(", standard", ",\nstandard"), fontsize=9)
    panel.grid(color="0.9")


STUDY = Experiment("couplings", SCALES, written(measure, table, figure))
