"""Plans that were kept: the loss that short trainings foretell against the loss that the budget brought.

Every set of data, of clouds, fields, graphs and images, is planned by `noisefold.outlook` as a user
would, and then trained as the plan says. Forecasts are calibrated if nine of ten losses lie in their 90 %
intervals. Time is that of computing, so that nothing beside can change what is planned.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from matplotlib.figure import Figure

from noisefold import data as sets
from noisefold.domains import Request, recipe_for
from noisefold.geometry import Graphs
from noisefold.outlook import held_out_loss, outlook
from noisefold.studies.kit.experiment import Experiment, Result, Run, written
from noisefold.studies.kit.plots import BLUE, ORANGE, panels
from noisefold.studies.kit.tables import markdown

__all__ = ["STUDY", "SUBJECTS"]


def _families(*names: str) -> Callable[[], Graphs]:
    return lambda: sets.shapes(300, points=64, families=names, seed=0)


SUBJECTS: dict[str, Callable[[], Graphs]] = {
    "shapes": lambda: sets.shapes(600, points=64, seed=0),
    "chairs": _families("chair"),
    "vases": _families("vase"),
    "dense shapes": lambda: sets.shapes(200, points=256, seed=1),
    "limb buds": lambda: sets.limb_bud(400),
    "digits": lambda: sets.digits(),
    "communities": lambda: sets.community(200, seed=0),
    "trees": lambda: sets.tree(100, seed=0),
    "blocks": lambda: sets.sbm(60, seed=0),
    "grids": lambda: sets.grid(60, seed=0),
}
"""Data sets by name, none of which needs a file."""


@dataclass(frozen=True)
class Scale:
    """Computing seconds of a training and of its short ones, the sets planned, and the network's changes."""

    seconds: float
    pilot: float
    subjects: tuple[str, ...] = tuple(SUBJECTS)
    net: Mapping[str, Any] | None = None


_TINY = {"width": 16, "latents": 2, "latent_width": 16, "rounds": 1, "blocks": 1}
SCALES = {
    "smoke": Scale(8.0, 6.0, ("vases",), _TINY),
    "short": Scale(75.0, 40.0),
    "paper": Scale(3600.0, 180.0),
}


def measure(run: Run[Scale]) -> Result:
    """Return, for each set, what was foretold and what was found."""
    made = {
        name: run.cached(name.replace(" ", "-"), partial(_kept, run, SUBJECTS[name]))
        for name in run.size.subjects
    }
    plans = {name: plan for name, plan in made.items() if "found" in plan}
    refused = {name: plan["refused"] for name, plan in made.items() if "refused" in plan}
    inside = sum(plan["low"] <= plan["found"] <= plan["high"] for plan in plans.values())
    return {
        "seconds": run.size.seconds,
        "pilot": run.size.pilot,
        "inside": inside,
        "plans": plans,
        "refused": refused,
    }


def _kept(run: Run[Scale], load: Callable[[], Graphs]) -> Result:
    size = run.size
    train, val = load().split(0.8, seed=run.seed)
    request = Request(seed=run.seed, net=size.net or {})
    try:
        plan = outlook(train, val, size.seconds, pilot=size.pilot, request=request, clock=time.process_time)
    except ValueError as error:  # of a budget that is too short for these data
        return {"refused": str(error)}
    best = plan.best
    # Another seed: what is foretold is any training, not the one of the short trainings.
    changes = {"net": best.net, "training": {"batch": best.batch}}
    again = Request(seed=run.seed + 1, net=size.net or {}, changes=(changes,))
    start = time.process_time()
    found = held_out_loss(recipe_for(train, again), train, val, best.steps)
    spent = time.process_time() - start
    return {
        "network": best.net["kind"],
        "factor": best.factor,
        "parameters": best.parameters,
        "batch": best.batch,
        "pilots": best.pilots,
        "steps": best.steps,
        "median": best.loss.median,
        "low": best.loss.low,
        "high": best.loss.high,
        "found": found,
        "seconds": spent,
        "others": [asdict(other) for other in plan.sizes if other is not best],
    }


def table(result: Mapping[str, Any]) -> str:
    """Return what was foretold beside what was found, as Markdown."""
    rows = [
        [
            name,
            f"{plan['network']} x {plan['factor']:g}",
            plan["batch"],
            f"{plan['pilots'][-1][0]} to {plan['steps']}",
            f"{plan['pilots'][-1][1]:.4g}",
            f"{plan['median']:.4g} [{plan['low']:.4g}, {plan['high']:.4g}]",
            f"{plan['found']:.4g}",
            "yes" if plan["low"] <= plan["found"] <= plan["high"] else "no",
        ]
        for name, plan in result["plans"].items()
    ]
    head = ["data", "network", "batch", "steps", "longest pilot", "foretold", "found", "inside"]
    rows += [[name, *["-"] * (len(head) - 2), "not planned"] for name in result["refused"]]
    return markdown(head, rows)


def figure(result: Mapping[str, Any]) -> Figure:
    """Show the foretold intervals and what was found, over the loss of the longest pilot."""
    plans = result["plans"]
    whole, axes = panels(1, 1, width=6.0, height=0.45 * len(plans) + 1.2)
    for row, plan in enumerate(plans.values()):
        unit = plan["pilots"][-1][1]
        axes.plot([plan["low"] / unit, plan["high"] / unit], [row, row], color=BLUE, lw=3, alpha=0.5)
        axes.plot([plan["median"] / unit], [row], "|", color=BLUE, ms=12)
        axes.plot([plan["found"] / unit], [row], "o", color=ORANGE)
    axes.set_yticks(range(len(plans)), list(plans))
    axes.invert_yaxis()
    axes.set_xlabel("loss over that of the longest short training: bar foretold (90 %), dot found")
    return whole


STUDY = Experiment("plans", SCALES, written(measure, table, figure))
