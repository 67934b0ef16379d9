r"""Does a closer coupling of noise and data give the same clouds in fewer sampling steps?

The same network is trained equally long under every coupling, with the same batches, and samples with few
steps and with many. Three answers: set metrics against held-out clouds, beside those of real training clouds;
how far each cloud is from where many steps would have taken its noise,

.. math:: \Big( \mathrm{mean}\, |x^{(k\ \mathrm{steps})} - x^{(\mathrm{many})}|^2 / d \Big)^{1/2}

in standard deviations of the data, which is small where the paths are straight, whether or not they lead to
good clouds; and what the coupling costs in every training step.

Run again after it was killed, it goes on where it was.
"""

from __future__ import annotations

import json
import shutil
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, StrMethodFormatter

from noisefold.configuration import encode
from noisefold.eval.cloud_scores import score_clouds
from noisefold.geometry.graphs import Graphs
from noisefold.model import Model
from noisefold.noise.coupling import Coupling, Independent, MiniBatch
from noisefold.noise.point_coupling import WithinCloud
from noisefold.noise.source import Streams, White
from noisefold.sample.solver import DPMSolver, Euler, Heun, Solver
from noisefold.studies.cells import one_thread, read
from noisefold.studies.data import Sets, chairs, procedural
from noisefold.studies.study import Study, keep
from noisefold.studies.tables import mean_and_error
from noisefold.train.batches import Batches
from noisefold.train.checkpoint import atomic_text
from noisefold.train.settings import Training

__all__ = ["COUPLINGS", "ROWS", "SCALES", "Scale", "figure", "run", "table"]

NAME = "couplings"
METRICS = ("1-NNA-CD", "MMD-CD", "COV-CD")
ROWS: dict[str, Coupling] = {
    "independent": Independent(),
    "mini-batch": MiniBatch(),
    "within, order": WithinCloud(),
    "within, order, blend .2": WithinCloud(blend=0.2),
    "within, exchange": WithinCloud("exchange"),
}
_SOLVERS: dict[str, Solver] = {"Euler": Euler(), "DPMSolver": DPMSolver()}
_AWAY = "away"
_HEADS = {
    "1-NNA-CD": "1-NNA-CD (near .5)",
    "MMD-CD": "MMD-CD (lower)",
    "COV-CD": "COV-CD (higher)",
    _AWAY: "Distance to the end of many steps, standard deviations of the data (lower)",
}
_DECIMALS = {"1-NNA-CD": 3, "MMD-CD": 4, "COV-CD": 3, _AWAY: 3}
# Okabe and Ito's colours, told apart by every kind of sight, with a marker each for print.
_LOOKS = {
    "independent": ("#000000", "o"),
    "mini-batch": ("#E69F00", "v"),
    "within, order": ("#0072B2", "s"),
    "within, order, blend .2": ("#56B4E9", "D"),
    "within, exchange": ("#D55E00", "^"),
}


@dataclass(frozen=True)
class Scale:
    """A size of the study.

    Parameters
    ----------
    training
        How each is trained; seed and coupling are replaced.
    seeds
        Trainings under every coupling.
    draws
        Clouds sampled each time.
    counts
        For each solver, its numbers of steps.
    many
        Steps of Heun's method that stand for infinitely many.
    net
        Arguments of the network that shall differ from their defaults.
    """

    training: Training
    seeds: int
    draws: int
    counts: Mapping[str, Sequence[int]]
    many: int
    net: Mapping[str, Any] = field(default_factory=dict)


_SHORT = Training(
    steps=500,
    batch=32,
    nodes=400,
    lr=1.5e-3,
    warmup=50,
    ema=0.99,
    precision="bfloat16",
    validate_every=10**9,
    checkpoint_every=100,
    keep=1,
)
SCALES = {
    "smoke": Scale(
        Training(steps=5, batch=4, nodes=48, warmup=1, ema=0.5, keep=1),
        seeds=1,
        draws=6,
        counts={"Euler": (2, 4), "DPMSolver": (4,)},
        many=6,
        net={"width": 16, "latents": 4, "latent_width": 16, "rounds": 1, "blocks": 1, "heads": 2},
    ),
    "short": Scale(
        _SHORT, seeds=2, draws=64, counts={"Euler": (2, 5, 10, 20, 50), "DPMSolver": (5, 10, 20)}, many=25
    ),
    "paper": Scale(
        replace(_SHORT, steps=20_000, batch=128, warmup=200, ema=0.999, checkpoint_every=1000),
        seeds=3,
        draws=150,
        counts={"Euler": (2, 5, 10, 20, 50), "DPMSolver": (2, 5, 10, 20, 50)},
        many=100,
    ),
}


def run(out: Path, scale: str, seed: int = 0) -> dict[str, Any]:
    """Run the study, or go on with it.

    Parameters
    ----------
    out
        Folder of the trainings; finished ones are not repeated.
    scale
        "smoke", "short" or "paper".
    seed
        The first seed; the others follow it.

    Returns
    -------
    dict
        Plain data: settings, ``references`` (scores of real and trivial clouds), ``costs`` (seconds a step of
        each coupling and its mean squared distance of noise to data) and ``rows``: for every coupling and
        seed the scores by solver and number of steps.

    Raises
    ------
    ValueError
        If the scale is unknown, or `out` holds trainings made otherwise.
    """
    if scale not in SCALES:
        raise ValueError(f"scale must be one of {', '.join(SCALES)}, got {scale!r}.")
    size = SCALES[scale]
    sets = chairs() or procedural(24 if scale == "smoke" else 1000, 2 * size.draws)
    sets = replace(sets, train=sets.train.replace(label=None, classes=()))
    seeds = [seed + i for i in range(size.seeds)]
    with one_thread():
        rows = {
            row: [_cell(out / "cells" / f"{i}-{s}", row, coupling, s, size, sets) for s in seeds]
            for i, (row, coupling) in enumerate(ROWS.items())
        }
        costs = {row: _cost(coupling, size, sets.train) for row, coupling in ROWS.items()}
    first = next(iter(rows.values()))[0]
    return {
        "name": NAME,
        "scale": scale,
        "data": sets.about,
        "seeds": seeds,
        "draws": size.draws,
        "training": encode(size.training),
        "references": first["scores"],
        "costs": costs,
        "rows": {row: [cell["rows"] for cell in cells] for row, cells in rows.items()},
    }


def _cell(folder: Path, row: str, coupling: Coupling, seed: int, size: Scale, sets: Sets) -> dict[str, Any]:
    """Train under one coupling with one seed, or go on; sample; score."""
    file = folder / "cell.json"
    settings = replace(size.training, coupling=coupling, seed=seed)
    model = Model.for_data(sets.train, seed=seed, **size.net)
    counts = {name: list(steps) for name, steps in size.counts.items()}
    plan = {"training": encode(settings), "net": encode(model.net), "counts": counts, "draws": size.draws}
    plan = {**plan, "many": size.many, "data": sets.about}
    if file.is_file():
        kept = read(file)
        if kept["plan"] != json.loads(json.dumps(plan)):
            raise ValueError(
                f"{file} was made with other settings or data than this study has now; remove {folder} or "
                "choose another out."
            )
        return kept
    model.fit(sets.train, settings=settings, out=folder, resume=True)
    result = {"row": row, "plan": plan, **_scored(model, seed, size, sets)}
    atomic_text(file, json.dumps(result, indent=1))
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return read(file)


def _scored(model: Model, seed: int, size: Scale, sets: Sets) -> dict[str, Any]:
    """Scores by solver and steps, and of the reference clouds."""

    def sample(solver: Solver, steps: int) -> Graphs:
        nodes = size.training.nodes
        return model.sample(size.draws, nodes=nodes, steps=steps, solver=solver, seed=seed)

    assert model.scaling is not None
    end = sample(Heun(), size.many).pos / model.scaling.pos_scale
    cells = [(name, steps) for name, counts in size.counts.items() for steps in counts]
    made = {f"{name} {steps}": sample(_SOLVERS[name], steps) for name, steps in cells}
    found = score_clouds(made, sets.test, sets.train, metrics=METRICS).to_dict()["rows"]
    rows = []
    for (name, steps), (key, clouds) in zip(cells, made.items(), strict=True):
        away = float((clouds.pos / model.scaling.pos_scale - end).square().mean().sqrt())
        scores = {**found.pop(key)["scores"], _AWAY: {"value": away, "low": None, "high": None}}
        rows.append({"solver": name, "steps": steps, "scores": scores})
    return {"rows": rows, "scores": found}


def _cost(coupling: Coupling, size: Scale, train: Graphs, rounds: int = 5) -> dict[str, float]:
    """Seconds a training step spends on a coupling, and how near it brings noise and data."""
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


# -- what it says --------------------------------------------------------------------------------------------

_Result = Mapping[str, Any]


def _values(result: _Result, row: str, solver: str, steps: int, metric: str) -> list[_Result]:
    return [
        cell["scores"][metric]
        for cells in result["rows"][row]
        for cell in cells
        if (cell["solver"], cell["steps"]) == (solver, steps)
    ]


def _columns(result: _Result) -> list[tuple[str, int]]:
    return [(c["solver"], c["steps"]) for c in next(iter(result["rows"].values()))[0]]


def table(result: _Result) -> str:
    """Markdown: how it was made, what the couplings cost, one table a metric, and the references."""
    training = result["training"]
    columns = _columns(result)
    lines = [
        f"{result['data']} Every network was trained for {training['steps']} steps of {training['batch']} "
        f"clouds of {training['nodes']} points, {len(result['seeds'])} times; {result['draws']} clouds were "
        "sampled each time. mean ± standard error over seeds [mean of the 95 % intervals of single trainings "
        "from resampling clouds].",
        "\n### What a coupling costs\n",
        "| coupling | seconds a step | mean squared distance of noise and data |\n| --- | --- | --- |",
    ]
    lines += [f"| {row} | {c['seconds']:.4f} | {c['square']:.2f} |" for row, c in result["costs"].items()]
    for metric, head in _HEADS.items():
        lines += [
            f"\n### {head}\n",
            f"| coupling |{''.join(f' {solver}, {steps} |' for solver, steps in columns)}",
            f"| --- |{' --- |' * len(columns)}",
        ]
        for row in result["rows"]:
            cells = [_text(_values(result, row, *column, metric), metric) for column in columns]
            lines.append(f"| {' | '.join([row, *cells])} |")
    lines += [
        "\n### References\n",
        f"| clouds |{''.join(f' {_HEADS[m]} |' for m in METRICS)} |\n| --- |{' --- |' * len(METRICS)} --- |",
    ]
    for name, found in result["references"].items():
        cells = [_text([found["scores"][m]], m) for m in METRICS]
        lines.append(f"| {' | '.join([name, *cells, found['about']])} |")
    return "\n".join(lines)


def _text(scores: Sequence[Mapping[str, Any]], metric: str) -> str:
    digits = _DECIMALS[metric]
    mean, error = mean_and_error([float(s["value"]) for s in scores])
    text = f"{mean:.{digits}f}" if len(scores) < 2 else f"{mean:.{digits}f} ± {error:.{digits}f}"
    if any(s["low"] is None for s in scores):
        return text
    low, high = (statistics.fmean(float(s[end]) for s in scores) for end in ("low", "high"))
    return f"{text} [{low:.{digits}f}, {high:.{digits}f}]"


def figure(result: _Result) -> Figure:
    """1-NNA, MMD and the distance to the end of many steps, by steps; Euler through, DPM-Solver dashed."""
    picture = Figure(figsize=(12, 4.4), layout="constrained")
    panels = picture.subplots(1, 3)
    for panel, metric in zip(panels, ("1-NNA-CD", "MMD-CD", _AWAY), strict=True):
        _panel(panel, result, metric)
    panels[-1].set_yscale("log")
    panels[-1].yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    panels[-1].yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    panels[-1].yaxis.set_minor_formatter(NullFormatter())
    handles, labels = panels[0].get_legend_handles_labels()
    picture.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False, fontsize=9)
    picture.supxlabel("sampling steps (lines: Euler; dashed: DPM-Solver)", fontsize=10)
    return picture


def _panel(panel: Axes, result: _Result, metric: str) -> None:
    for row, (colour, marker) in _LOOKS.items():
        for solver, style in zip(_SOLVERS, ("-", "--"), strict=True):
            steps = [s for name, s in _columns(result) if name == solver]
            found = [[float(v["value"]) for v in _values(result, row, solver, s, metric)] for s in steps]
            means, errors = zip(*(mean_and_error(values) for values in found), strict=True)
            panel.errorbar(
                steps,
                means,
                yerr=errors if len(result["seeds"]) > 1 else None,
                label=row if solver == "Euler" else None,
                color=colour,
                marker=marker,
                linestyle=style,
                markersize=5,
                linewidth=1.4,
                capsize=2,
            )
    if metric in METRICS:
        floor = float(result["references"]["train"]["scores"][metric]["value"])
        panel.axhline(floor, color="0.5", linestyle=":", label="real training clouds")
    ticks = sorted({s for _, s in _columns(result)})
    panel.set(xscale="log", xticks=ticks, xticklabels=[str(s) for s in ticks])
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_title(_HEADS[metric].replace(", standard", ",\nstandard"), fontsize=9)
    panel.grid(color="0.9")


def _study(out: Path, scale: str, seed: int) -> list[Path]:
    result = run(out / scale, scale, seed)
    return keep(out, NAME, scale, result, table(result), figure(result))


COUPLINGS = Study("fewer sampling steps by coupling noise and data more closely", tuple(SCALES), _study)
