"""Scaling: what more compute, a larger network or more data buys, over two decades of each.

The default network of a data set, at several widths, is trained for computing times in even ratios, each
training with a learning rate that falls to zero. A scaling law is fitted to their held-out losses
(`noisefold.theory.ScalingLaw`); its exponents, the best size for a budget and the loss to expect follow. It
is also fitted to the trainings of at most a tenth of the longest time, and what it foretells for the longest
is held against what was found. The same network is trained equally long on fewer and fewer graphs.

What a step costs is measured before, all widths in turn; time over cost is the number of steps, so that a
result is reproduced by its numbers of steps. The held-out loss is the same function throughout: the same
graphs, noise levels and noise.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from matplotlib.figure import Figure

from noisefold import data as sets
from noisefold.domains import Recipe, Request, recipe_for
from noisefold.geometry import Graphs
from noisefold.model import Model
from noisefold.nn.flops import count_flops
from noisefold.outlook import resized, trained, validation_loss
from noisefold.sample import DPMSolver
from noisefold.studies.kit.datasets import Sets, chairs
from noisefold.studies.kit.experiment import Experiment, Result, Run, written
from noisefold.studies.kit.plots import BLACK, BLUE, GREEN, ORANGE, RED, log_ticks, panels
from noisefold.studies.kit.statistics import digits
from noisefold.studies.kit.step_costs import interleaved_costs
from noisefold.studies.kit.tables import markdown
from noisefold.theory import LearningCurve, ScalingLaw
from noisefold.train.batches import Batches

__all__ = ["STUDY", "SUBJECTS"]

T = TypeVar("T")


@dataclass(frozen=True)
class Subject:
    """Data by whether they may be small, changes of their training, and the scores that are followed."""

    load: Callable[[bool], Sets]
    training: Mapping[str, Any]
    metrics: tuple[str, ...]


def _chairs(small: bool) -> Sets:
    return chairs(stand_in=(24, 24) if small else None)


def _limb_buds(small: bool) -> Sets:
    train, test = sets.limb_bud(60 if small else 500).split(0.8, seed=0)
    return Sets(train, test, f"{len(train)} simulated limb buds; {len(test)} held out.")


SUBJECTS = {
    "chairs": Subject(_chairs, {"batch": 16, "nodes": 64}, ("1-NNA-CD", "MMD-CD")),
    "limb buds": Subject(_limb_buds, {"batch": 16}, ("energy", "spectrum")),
}
"""Data sets by name."""


@dataclass(frozen=True)
class Scale:
    """One size of the study.

    Parameters
    ----------
    seconds, factors
        Computing times of trainings, shortest first, and factors of the usual width.
    repeats
        Trainings of the second shortest time at the last factor, whose losses give the noise over seeds.
    counts, count_seconds
        Numbers of training graphs, and the time of a training on each.
    draws, steps
        Graphs generated for the scores, and evaluations for each.
    net, training
        Changes of the networks and of all trainings.
    small
        Whether procedural chairs stand in for chairs that are not there.
    """

    seconds: tuple[float, ...] = (1.2, 3.8, 12.0, 38.0, 120.0)
    factors: tuple[float, ...] = (0.25, 0.5, 1.0)
    repeats: int = 4
    counts: tuple[int, ...] = (4, 13, 40, 126, 400)
    count_seconds: float = 20.0
    draws: int = 100
    steps: int = 10
    net: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    small: bool = False


_TINY = {"width": 32, "latents": 2, "latent_width": 32, "rounds": 1, "blocks": 1}
SCALES = {
    "smoke": Scale(
        (0.05, 0.1, 0.15, 1.5),
        (0.5, 1.0),
        2,
        (4, 12),
        0.05,
        12,
        2,
        {"chairs": _TINY, "limb buds": {"width": 32, "blocks": 1}},
        {"batch": 4, "nodes": 24},
        True,
    ),
    "short": Scale(),
    "paper": Scale((36.0, 114.0, 360.0, 1140.0, 3600.0), (0.25, 0.5, 1.0, 2.0), count_seconds=600.0),
}


def measure(run: Run[Scale]) -> Result:
    """Return trainings, laws and forecasts of each data set."""
    return {"subjects": {name: _subject(run, name) for name in SUBJECTS}}


def _subject(run: Run[Scale], name: str) -> Result:
    size, subject = run.size, SUBJECTS[name]
    data = subject.load(size.small)
    recipes = {factor: _recipe(run, name, data, factor) for factor in size.factors}
    part = name.replace(" ", "-")
    costs = run.cached(f"{part}-costs", partial(_costs, recipes, data))
    usual = recipes[size.factors[-1]]

    def loss(recipe: Recipe, factor: float, seconds: float, **how: Any) -> Result:
        steps = max(2, round(seconds / costs[str(factor)]["step_seconds"]))
        label = "-".join(str(v) for v in (part, factor, seconds, *how.values()))
        return dict(run.cached(label, partial(_training, recipe, data, steps, subject, size, **how)))

    trainings = [
        {"factor": f, "seconds": s, **loss(recipe, f, s, scored=True)}
        for s in size.seconds
        for f, recipe in recipes.items()
    ]
    repeats = [loss(usual, size.factors[-1], size.seconds[1], seed=k)["loss"] for k in range(size.repeats)]
    noise = max(statistics.stdev(repeats) / statistics.fmean(repeats), 1e-3)
    fewer = [
        {"count": n, **loss(usual, size.factors[-1], size.count_seconds, count=n)}
        for n in size.counts
        if n <= len(data.train)
    ]
    curve = LearningCurve([r["count"] for r in fewer], [r["loss"] for r in fewer], noise)
    return {
        "data": data.about,
        "sizes": costs,
        "noise": digits(noise),
        "trainings": trainings,
        "law": _or_none(_law, trainings, costs, noise),
        "foretold": _or_none(_foretold, trainings, costs, noise),
        "fewer": fewer,
        "fewer_exponent": asdict(curve.exponent()),
    }


def _recipe(run: Run[Scale], name: str, data: Sets, factor: float) -> Recipe:
    size = run.size
    training = {**SUBJECTS[name].training, **size.training}
    if name == "limb buds":
        training.pop("nodes", None)  # values of a field are not drawn by place
    request = Request(seed=run.seed, net=size.net.get(name, {}), changes=({"training": training},))
    recipe = recipe_for(data.train, request)
    return replace(recipe, plan={**recipe.plan, "net": resized(recipe.plan["net"], factor)})


def _costs(recipes: Mapping[float, Recipe], data: Sets) -> Result:
    """Return parameters, operations and seconds of a training step by factor."""
    trainings = {factor: partial(trained, recipe, data.train) for factor, recipe in recipes.items()}
    seconds = interleaved_costs(trainings, steps=4)
    models = {factor: Model.of_recipe(recipe) for factor, recipe in recipes.items()}
    return {
        str(factor): {
            "parameters": model.num_parameters,
            "flops": _flops(model, data),
            "step_seconds": seconds[factor],
        }
        for factor, model in models.items()
    }


def _flops(model: Model, data: Sets) -> int:
    """Return the operations of a training step: three times those of a forward pass."""
    count, nodes = model.training.batch, model.training.nodes
    some = _thinned(model.units.apply(data.train[[i % len(data.train) for i in range(count)]]), nodes)
    return 3 * count_flops(model.net, some, torch.zeros(count))


def _thinned(graphs: Graphs, nodes: int | None) -> Graphs:
    """Return graphs of so many of their nodes, drawn as in training."""
    return Batches(graphs, len(graphs), 0, nodes).part(0, range(len(graphs))).graphs


def _training(
    recipe: Recipe,
    data: Sets,
    steps: int,
    subject: Subject,
    size: Scale,
    *,
    seed: int | None = None,
    count: int | None = None,
    scored: bool = False,
) -> Result:
    """Return the number of steps, the held-out loss and, if asked for, the scores of one training."""
    if seed is not None:
        plan = {**recipe.plan, "training": {**recipe.plan["training"], "seed": seed}}
        recipe = replace(recipe, plan=plan)
    train = data.train
    if count is not None:
        train = train[torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:count]]
    model = trained(recipe, train, steps)
    result: Result = {"steps": steps, "loss": validation_loss(model, data.test)}
    if count is not None:
        result["training_loss"] = validation_loss(model, train)
    if scored:
        test = _thinned(data.test, recipe.plan["training"]["nodes"])
        scores = model.evaluate(
            test, draws=size.draws, metrics=subject.metrics, steps=size.steps, solver=DPMSolver(), seed=0
        )
        result["scores"] = scores.to_dict()["rows"]["model"]["scores"]
    return result


# -- laws ----------------------------------------------------------------------------------------------------


def _fit(trainings: Sequence[Result], costs: Result, noise: float) -> ScalingLaw:
    sizes = [costs[str(t["factor"])]["parameters"] for t in trainings]
    return ScalingLaw(sizes, [t["steps"] for t in trainings], [t["loss"] for t in trainings], noise)


def _or_none(make: Callable[..., T], *given: Any) -> T | None:
    """Return what a law says, or None if the losses have none."""
    try:
        return make(*given)
    except ValueError:
        return None


def _cost_law(costs: Result) -> tuple[float, float]:
    """Return k and rho of the seconds k N^rho of a step."""
    sizes, seconds = (np.log([c[name] for c in costs.values()]) for name in ("parameters", "step_seconds"))
    rho, k = np.polyfit(sizes, seconds, 1)
    return math.exp(k), float(rho)


def _law(trainings: Sequence[Result], costs: Result, noise: float) -> Result:
    """Return exponents, the irreducible loss, and the best size and its loss for growing budgets."""
    law, (k, rho) = _fit(trainings, costs, noise), _cost_law(costs)
    longest = max(t["seconds"] for t in trainings)
    best = []
    for budget in (longest / 100, longest / 10, longest, longest * 10):
        size = law.best_size(budget, k, rho)
        loss = law.at(size.median, max(1.0, budget / (k * size.median**rho)))
        best.append({"seconds": budget, "parameters": asdict(size), "loss": asdict(loss)})
    names = ("alpha", "beta", "irreducible")
    return {**{name: asdict(getattr(law, name)) for name in names}, "cost_exponent": rho, "best": best}


def _foretold(trainings: Sequence[Result], costs: Result, noise: float) -> list[Result]:
    """Return what trainings of at most a tenth of the longest time foretell, and what was found."""
    longest = max(t["seconds"] for t in trainings)
    short = [t for t in trainings if t["seconds"] <= longest / 10]
    law = _fit(short, costs, noise)
    out = []
    for t in trainings:
        if t["seconds"] == longest:
            forecast = law.at(costs[str(t["factor"])]["parameters"], t["steps"])
            out.append({"factor": t["factor"], **asdict(forecast), "found": t["loss"]})
    return out


# -- table and figure ----------------------------------------------------------------------------------------


def _range(found: Mapping[str, float], form: str = ".3g") -> str:
    return f"{found['median']:{form}} [{found['low']:{form}}, {found['high']:{form}}]"


def table(result: Mapping[str, Any]) -> str:
    """Return trainings, exponents, best sizes, forecasts and fewer graphs of each data set, as Markdown."""
    return "\n\n".join(
        f"## {name}\n\n{found['data']}\n\n{_tables(found)}" for name, found in result["subjects"].items()
    )


def _tables(found: Mapping[str, Any]) -> str:
    sizes = found["sizes"]
    metrics = list(found["trainings"][0]["scores"])
    rows = [
        [
            f"{t['seconds']:g}",
            f"{t['factor']:g}",
            f"{sizes[str(t['factor'])]['parameters']:,}",
            t["steps"],
            f"{t['steps'] * sizes[str(t['factor'])]['flops'] / 1e12:.3g}",
            f"{t['loss']:.4f}",
            *(_score(t["scores"][m]) for m in metrics),
        ]
        for t in found["trainings"]
    ]
    head = ["seconds", "width x", "parameters", "steps", "Tflop", "held-out loss", *metrics]
    law = found["law"]
    if law is None:
        return f"{markdown(head, rows)}\n\nNo scaling law that falls fits these losses.\n\n{_fewer(found)}"
    names = {"alpha": "alpha (parameters)", "beta": "beta (steps)", "irreducible": "irreducible loss"}
    exponents = [[text, _range(law[name])] for name, text in names.items()]
    exponents.append(["gamma (training graphs)", _range(found["fewer_exponent"])])
    best = [[f"{b['seconds']:g}", _range(b["parameters"]), _range(b["loss"], ".4f")] for b in law["best"]]
    foretold = [
        [
            f"{f['factor']:g}",
            _range(f, ".4f"),
            f"{f['found']:.4f}",
            "yes" if f["low"] <= f["found"] <= f["high"] else "no",
        ]
        for f in found["foretold"] or ()
    ]
    return "\n\n".join(
        [
            markdown(head, rows),
            markdown(["", "median [90 % interval]"], exponents),
            markdown(["seconds", "best number of parameters", "loss to expect"], best),
            markdown(["width x", "foretold for the longest", "found", "inside"], foretold),
            _fewer(found),
        ]
    )


def _fewer(found: Mapping[str, Any]) -> str:
    rows = [[f["count"], f["steps"], f"{f['training_loss']:.4f}", f"{f['loss']:.4f}"] for f in found["fewer"]]
    return markdown(["training graphs", "steps", "loss on them", "held-out loss"], rows)


def _score(score: Mapping[str, Any]) -> str:
    if score["low"] is None:
        return f"{score['value']:.3f}"
    return f"{score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"


def figure(result: Mapping[str, Any]) -> Figure:
    """Show, for each data set, held-out loss by computing time and size, and by the number of graphs."""
    subjects = result["subjects"]
    whole, axes = panels(len(subjects), 2, width=8.0, height=3.2 * len(subjects), squeeze=False)
    for (name, found), (left, right) in zip(subjects.items(), axes, strict=True):
        for color, (factor, size) in zip((GREEN, BLUE, ORANGE, RED), found["sizes"].items(), strict=False):
            mine = [t for t in found["trainings"] if t["factor"] == float(factor)]
            label = f"{size['parameters']:,} parameters"
            left.plot([t["seconds"] for t in mine], [t["loss"] for t in mine], "o-", color=color, label=label)
        if found["law"] is not None:
            best = found["law"]["best"]
            times, losses = [b["seconds"] for b in best], [b["loss"] for b in best]
            ends = [[loss[end] for loss in losses] for end in ("low", "high")]
            left.fill_between(times, *ends, color=BLACK, alpha=0.1)
            left.plot(times, [loss["median"] for loss in losses], "--", color=BLACK, label="law, best size")
        left.set(xscale="log", xlabel="seconds of one core", ylabel="held-out loss", title=name)
        left.legend(frameon=False, fontsize=7)
        counts = [f["count"] for f in found["fewer"]]
        right.plot(counts, [f["loss"] for f in found["fewer"]], "o-", color=BLUE, label="held out")
        right.plot(
            counts, [f["training_loss"] for f in found["fewer"]], "s--", color=ORANGE, label="trained on"
        )
        right.set(xscale="log", xlabel="training graphs", ylabel="loss", title=f"{name}, equally long")
        right.legend(frameon=False, fontsize=7)
        log_ticks(right.xaxis, counts)
    return whole


STUDY = Experiment("scaling", SCALES, written(measure, table, figure))
