r"""Tropical cyclones: tracks on the sphere completed from a part of them, beside Gaussian baselines.

Tracks of 25 six-hourly places; seasons before 2013 train, those from it on test. Interpolation knows the
first and last five places, extrapolation the first ten. Compared are

- the model, a `noisefold.nn.TrackTransformer` trained for completion on the sphere;
- Gaussians in the stereographic chart around what is known: with the empirical mean and covariance of
  training tracks, and a Gaussian process (constant, linear and Matérn-5/2) fitted to them;
- persistence: the last motion goes on, or the known places are joined, on great circles.

The likelihood of the unknown places given the known ones is by area, of places with a normal noise of
4e-4 radians (2.5 km), without which rounded places have no density.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from noisefold.data.functions import Tracks, read_tracks
from noisefold.domains import Request
from noisefold.domains.sphere_functions import SphereFunctions
from noisefold.eval import PlaceScores, StereographicGaussian, persisted, score_places
from noisefold.geometry import Graphs, Sphere
from noisefold.geometry.geographic import EARTH_RADIUS
from noisefold.model import Model
from noisefold.sample import GeodesicFlow
from noisefold.studies.kit.datasets import data_folder
from noisefold.studies.kit.experiment import Experiment, Result, Run, written
from noisefold.studies.kit.plots import marks, outer_legend, panels
from noisefold.studies.kit.presets import TINY
from noisefold.studies.kit.statistics import digits, mean_and_error
from noisefold.studies.kit.tables import markdown
from noisefold.train import Training

__all__ = ["SCALES", "STUDY", "TASKS", "figure", "measure", "table", "tracks", "trained"]


_FILES = ("ibtracs_6hourly.npz", "hurdat2_na_ep.npz")
_FIRST_OF_BOTH = 1980  # the season in which the first file begins
_TEST_FROM = 2013
_ROUNDED = 4e-4
_PLACES, _STEP = 25, 6
_LEADS = {"24 h": 3, "48 h": 7}  # unknown places so long after the last known one, in extrapolation
_LOOKS = marks(
    {
        "model": "o #0072B2",
        "empirical Gaussian": "s #D55E00",
        "Gaussian process": "^ #E69F00",
        "persistence": "x #333333",
    }
)


def _known(*ranges: range) -> Tensor:
    known = torch.zeros(_PLACES, dtype=torch.bool)
    for places in ranges:
        known[list(places)] = True
    return known


TASKS = {"interpolation": _known(range(5), range(20, 25)), "extrapolation": _known(range(10))}
"""Which places of a track each task knows."""


@dataclass(frozen=True)
class Scale:
    """Training, test tracks, draws and steps."""

    training: Training
    tests: int
    likelihoods: int
    draws: int
    steps: int
    flow_steps: int
    net: dict[str, Any]


_SHORT = Training(steps=6000, batch=64, lr=2e-3, ema=0.998, validate_every=1000, checkpoint_every=500, keep=1)
SCALES = {
    "smoke": Scale(replace(TINY, steps=4), 6, 2, 8, 3, 2, {"width": 16, "blocks": 1, "heads": 2}),
    "short": Scale(_SHORT, 128, 100, 64, 30, 40, {}),
    "paper": Scale(replace(_SHORT, steps=60_000, ema=0.9995), 475, 475, 128, 50, 50, {"width": 128}),
}


def tracks() -> tuple[Tracks, Tracks]:
    """Return tracks of 25 six-hourly places of seasons before 2013, and those from it on, dequantised.

    Training has IBTrACS from 1980 and HURDAT2 from 1950 to 1979, so that no storm occurs twice; test has
    IBTrACS alone.

    Raises
    ------
    ValueError
        If the files are not in the data folder.
    """
    folder = data_folder() / "cyclones"
    missing = [name for name in _FILES if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"this study needs {missing[0]} in {folder}; set NOISEFOLD_DATA to the data folder.")
    recent, old = (read_tracks(folder / name) for name in _FILES)
    old = old[(old.season >= 1950) & (old.season < _FIRST_OF_BOTH)]
    train, test = recent.resampled().before(_TEST_FROM)
    return train.joined(old.resampled()).dequantised(_ROUNDED), test.dequantised(_ROUNDED, seed=1)


def trained(run: Run[Scale], train: Tracks) -> tuple[Model, float]:
    """Return a model trained for completion, and the CPU seconds that it took."""
    request = Request(for_completion=True, seed=run.seed, net=run.size.net)
    model = Model.of_recipe(SphereFunctions().recipe(train.graphs, request))
    masks = model.training.masks
    begun = time.process_time()
    settings = replace(run.size.training, masks=masks, seed=run.seed)
    model.fit(train.graphs, out=run.folder / "model", resume=True, settings=settings)
    spent = run.cached("training", lambda: time.process_time() - begun)
    return model, float(spent)


def measure(run: Run[Scale]) -> Result:
    """Return scores of every method for both tasks.

    ``tasks`` has for each task and method the ``log_prob`` of each test track (nats), ``error`` by unknown
    place (mean over tracks, km), ``mean_error`` and ``median_error`` (km), ``energy`` (km) and ``coverage``.
    """
    size = run.size
    train, test = tracks()
    model, spent = trained(run, train)
    chosen = torch.randperm(len(test), generator=torch.Generator().manual_seed(0))[: size.tests]
    test = test[chosen.sort().values]
    tasks = {
        name: run.cached(f"scores-{name}", partial(_task, run, model, train, test, known))
        for name, known in TASKS.items()
    }
    how = GeodesicFlow(steps=size.flow_steps, probes=2, exact_below=0)
    whole = test.graphs[: size.likelihoods]
    joint = run.cached("joint", lambda: model.log_prob(whole, method=how, seed=run.seed).value.tolist())
    return {
        "seed": run.seed,
        "train": len(train),
        "test": len(test),
        "steps": size.training.steps,
        "training_cpu_s": spent,
        "draws": size.draws,
        "joint_log_prob": joint,
        "tasks": tasks,
    }


def _task(run: Run[Scale], model: Model, train: Tracks, test: Tracks, known: Tensor) -> Result:
    size, seen, y = run.size, _places(train.graphs), _places(test.graphs)
    times = train.graphs.pos[:_PLACES, 0]
    mask = known.repeat(len(test))
    begun = time.process_time()
    done = model.complete(test.graphs, mask, draws=size.draws, steps=size.steps, seed=run.seed, batch=256)
    cost = (time.process_time() - begun) / (size.draws * len(test))
    some = test.graphs[: size.likelihoods]
    how = GeodesicFlow(steps=size.flow_steps, probes=2, exact_below=0)
    found = model.log_prob(some, known=mask[: some.num_nodes], method=how, seed=run.seed)
    draws = done.values.unflatten(1, (len(test), _PLACES))
    out = {"model": _row(draws, y, known, found.value)}
    out["model"]["draw_ms"] = digits(1e3 * cost)
    fits: dict[str, Callable[[], StereographicGaussian]] = {
        "empirical Gaussian": lambda: StereographicGaussian.empirical(seen, known, _ROUNDED**2),
        "Gaussian process": lambda: StereographicGaussian.process(times, seen, known, _ROUNDED**2),
    }
    for name, fit in fits.items():
        fitted = fit()
        log_density = fitted.log_density(y)[: size.likelihoods]
        out[name] = _row(fitted.draw(y, size.draws, run.seed), y, known, log_density)
    carried = persisted(times, y, known)[:, ~known]
    apart = EARTH_RADIUS * Sphere().distance(carried.reshape(-1, 3), y[:, ~known].double().reshape(-1, 3))
    out["persistence"] = _errors(apart.reshape(len(test), -1))
    return out


def _places(graphs: Graphs) -> Tensor:
    assert graphs.x is not None
    places: Tensor = graphs.x.unflatten(0, (-1, _PLACES))
    return places


def _row(draws: Tensor, truth: Tensor, known: Tensor, log_prob: Tensor) -> Result:
    scores: PlaceScores = score_places(draws[:, :, ~known], truth[:, ~known])
    return {
        **_errors(scores.median_error),
        "energy": digits(float(scores.energy.mean())),
        "coverage": {str(level): digits(scores.coverage(level)) for level in (0.5, 0.9)},
        "log_prob": [digits(v, 7) for v in log_prob.tolist()],
    }


def _errors(km: Tensor) -> Result:
    """Return errors of ``[tracks, places]``: by place, of all, and of each track's mean."""
    return {
        "error": [digits(v) for v in km.mean(0).tolist()],
        "mean_error": digits(float(km.mean())),
        "median_error": digits(float(km.median())),
        "by_track": [digits(v) for v in km.mean(1).tolist()],
    }


# -- table and figure ----------------------------------------------------------------------------------------


def table(result: Result) -> str:
    """Return one table for each task."""
    parts = [
        f"{result['train']} training tracks of seasons before {_TEST_FROM}, {result['test']} test ones of it "
        f"and later; {result['steps']} training steps, {result['training_cpu_s']:.0f} CPU seconds; "
        f"{result['draws']} draws. Density of whole test tracks under the model: "
        f"{_with_error(result['joint_log_prob'])} nats. ± is a standard error over tracks, of differences "
        "too, which are paired.\n"
    ]
    for task, rows in result["tasks"].items():
        body = [_line(name, row, rows["model"], task) for name, row in rows.items()]
        leads = list(_LEADS) if task == "extrapolation" else []
        head = ["", "log-density of a track, nats", "model minus it", "error, mean / median km"]
        parts += [
            f"**{task.capitalize()}**, {int((~TASKS[task]).sum())} unknown places of a track\n",
            markdown(
                [*head, *(f"error after {v}, km" for v in leads), "energy score, km", "cover 50 / 90 %"], body
            ),
            "",
        ]
    return "\n".join(parts)


def _line(name: str, row: Result, model: Result, task: str) -> list[str]:
    own = row.get("log_prob")
    gain = "-"
    if own is not None and row is not model and len(own) > 1:
        apart = [a - b for a, b in zip(model["log_prob"], own, strict=True)]
        gain = "{:+.1f} ± {:.1f}".format(*mean_and_error(apart))
    leads = [f"{row['error'][i]:.0f}" for i in _LEADS.values()] if task == "extrapolation" else []
    covered = row.get("coverage")
    return [
        name,
        _with_error(own) if own is not None else "-",
        gain,
        f"{row['mean_error']:.0f} / {row['median_error']:.0f}",
        *leads,
        f"{row['energy']:.1f}" if "energy" in row else "-",
        " / ".join(f"{100 * v:.0f}" for v in covered.values()) if covered else "-",
    ]


def _with_error(values: list[float]) -> str:
    mean, error = mean_and_error(values) if len(values) > 1 else (statistics.fmean(values), math.nan)
    return f"{mean:.1f}" if math.isnan(error) else f"{mean:.1f} ± {error:.1f}"


def figure(result: Result) -> Figure:
    """Draw the error of every method by the time of the unknown places."""
    picture, axes = panels(1, 2, 11, 4.2)
    for panel, (task, rows) in zip(axes, result["tasks"].items(), strict=True):
        hours = _STEP * (~TASKS[task]).nonzero()[:, 0]
        if task == "extrapolation":
            hours = hours - _STEP * 9
        for name, row in rows.items():
            panel.plot(hours, row["error"], label=name, linewidth=1.2, markersize=5, **_LOOKS[name])
        since = "the last known place" if task == "extrapolation" else "the first place"
        panel.set(
            title=task.capitalize(), xlabel=f"hours after {since}", ylabel="mean error of the median, km"
        )
        panel.grid(color="0.92")
        panel.set_ylim(bottom=0)
    outer_legend(picture, [axes[0]], "right upper")
    return picture


STUDY = Experiment("cyclones", SCALES, written(measure, table, figure))
