"""What a budget of computing time will bring: which network, how many steps, and what loss to expect.

Networks of a quarter, half, the usual and twice the width are trained on the user's own data and machine for
a short while, each in trainings of one, two and four times a length, since only the loss at the end of a
training, when its learning rate has fallen, says what a training of that length brings. Their losses are
continued to the number of steps that the budget pays for (`noisefold.theory.LearningCurve`). A budget that
pays for few steps gets smaller batches, which at equal time bring more (``noisefold study optimizers --scale
short``).
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from noisefold.configuration import Config, decode
from noisefold.domains import Recipe, Request, recipe_for
from noisefold.geometry.graphs import Graphs
from noisefold.model import Model
from noisefold.theory import Forecast, LearningCurve
from noisefold.train.settings import Training
from noisefold.train.validation import repeated, validate

__all__ = ["Outlook", "SizeOutlook", "held_out_loss", "outlook", "resized", "trained", "validation_loss"]

SIZES = (0.25, 0.5, 1.0, 2.0)
"""Factors of the width; small networks win short budgets (``noisefold study scaling --scale short``)."""

_PARTS = (1, 2, 4)
_FEWEST = 8
_MULTIPLE = 16
_TIMED = 3
_NOISE, _ONSET = 0.05, 300.0  # with which 24 of 28 trainings were foretold: docs/budget.md
_ENOUGH, _SMALLEST, _CHEAPER = 1000, 8, 0.8  # steps, graphs of a batch, and cost of half a batch
_NEVER = 10**9


@dataclass(frozen=True)
class SizeOutlook:
    """What a network of one size is foretold.

    Parameters
    ----------
    factor
        Its width over the usual one.
    net
        Its configuration.
    parameters
        Its number of parameters.
    batch
        Graphs of a training step.
    step_seconds
        Seconds of a training step on this machine.
    pilots
        Steps and held-out losses of the short trainings.
    steps
        Steps that the budget pays for.
    loss
        Held-out loss to expect after these.
    """

    factor: float
    net: Config
    parameters: int
    batch: int
    step_seconds: float
    pilots: tuple[tuple[int, float], ...]
    steps: int
    loss: Forecast


@dataclass(frozen=True)
class Outlook:
    """What a budget will bring, by size of the network.

    Parameters
    ----------
    seconds
        The budget.
    sizes
        The sizes that were tried, smallest first.
    training
        The settings that the recipe has, with the number of steps and the batch of the best size.
    """

    seconds: float
    sizes: tuple[SizeOutlook, ...]
    training: Training

    @property
    def best(self) -> SizeOutlook:
        """The size of the lowest median loss."""
        return min(self.sizes, key=lambda size: size.loss.median)

    def configuration(self) -> Config:
        """Return the part of a configuration that ``noisefold train --config`` needs."""
        return {"net": self.best.net, "training": {"steps": self.best.steps, "batch": self.best.batch}}


def outlook(
    data: Graphs,
    val: Graphs,
    seconds: float,
    *,
    pilot: float | None = None,
    request: Request | None = None,
    clock: Callable[[], float] = time.perf_counter,
    tell: Callable[[str], None] | None = None,
) -> Outlook:
    """Return what a budget of computing time will bring.

    Parameters
    ----------
    data, val
        Graphs to train on and to measure the loss on.
    seconds
        The budget.
    pilot
        Seconds that the short trainings may take together; default a tenth of the budget, three minutes at
        the most. A size whose shortest training would have less than 8 steps is left out.
    request
        As of the model's recipe.
    clock
        What is counted; default wall time.
    tell
        Called with a line about every size.

    Raises
    ------
    ValueError
        If the budget is not above 0, or too short to try any size.
    """
    for name, value in {"seconds": seconds, "pilot": pilot}.items():
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{name} must be a finite number above 0, got {value!r}.")
    pilot = min(seconds / 10, 180.0) if pilot is None else pilot
    recipe = recipe_for(data, request or Request())
    nets = {factor: resized(recipe.plan["net"], factor) for factor in SIZES}
    nets = {f: net for f, net in nets.items() if f == 1 or net != recipe.plan["net"]}
    found = []
    for factor, net in nets.items():
        sized, parameters, cost = _affordable(_changed(recipe, net=net), data, seconds, clock)
        shortest = int(pilot / len(nets) / sum(_PARTS) / cost)
        if shortest < _FEWEST:
            continue
        lengths = [part * shortest for part in _PARTS]
        pilots = tuple((length, held_out_loss(sized, data, val, length)) for length in lengths)
        steps = max(1, int(seconds / cost))
        curve = LearningCurve(
            [float(s) for s, _ in pilots], [loss for _, loss in pilots], noise=_NOISE, onset=_ONSET
        )
        batch = int(sized.plan["training"]["batch"])
        size = SizeOutlook(factor, net, parameters, batch, cost, pilots, steps, curve.at(steps))
        found.append(size)
        if tell is not None:
            loss = size.loss
            tell(
                f"width x {factor:g}: {parameters:,} parameters, {1000 * cost:.0f} ms a step of {batch} "
                f"graphs, {steps} steps, loss {loss.median:.4g} [{loss.low:.4g}, {loss.high:.4g}]"
            )
    if not found:
        raise ValueError(
            f"{pilot:g} s of short trainings are too few to try a network on these data; give a longer pilot "
            "or budget."
        )
    training: Training = decode(recipe.plan["training"])
    made = Outlook(seconds, tuple(found), training)
    return replace(made, training=replace(training, steps=made.best.steps, batch=made.best.batch))


def resized(net: Mapping[str, Any], factor: float) -> Config:
    """Return the configuration of a network with all its widths multiplied, to multiples of 16."""
    if factor == 1:
        return dict(net)
    out: Config = {}
    for name, value in net.items():
        if name.endswith("width") and isinstance(value, int) and not isinstance(value, bool):
            out[name] = max(_MULTIPLE, round(value * factor / _MULTIPLE) * _MULTIPLE)
        elif isinstance(value, Mapping) and str(value.get("kind", "")).startswith("nn."):
            out[name] = resized(value, factor)
        else:
            out[name] = value
    return out


def trained(recipe: Recipe, data: Graphs, steps: int, on_step: Callable[[int], None] | None = None) -> Model:
    """Return the model of a recipe after a training of so many steps; `on_step` as of `Model.fit`."""
    model = Model.of_recipe(recipe)
    return model.fit(data, settings=_lasting(model.training, steps), on_step=on_step)


def validation_loss(model: Model, val: Graphs) -> float:
    """Return the loss on held-out data, at the same graphs, levels and noise for any model of a recipe."""
    held = repeated(model.units.once(model.test_graphs(val)))
    settings = replace(model.training, seed=0)
    return float(validate(model.denoiser, held, settings, model.device, model.units)["val_loss"])


def held_out_loss(recipe: Recipe, data: Graphs, val: Graphs, steps: int) -> float:
    """Return the loss on held-out data after a training of so many steps."""
    return validation_loss(trained(recipe, data, steps), val)


def _changed(recipe: Recipe, **parts: Config) -> Recipe:
    return replace(recipe, plan={**recipe.plan, **parts})


def _affordable(
    recipe: Recipe, data: Graphs, seconds: float, clock: Callable[[], float]
) -> tuple[Recipe, int, float]:
    """Halve the batch while the budget pays for few steps; return the recipe, parameters, and cost of a step.

    A batch whose half costs nearly as much stays as it is.
    """
    parameters, cost = _cost(recipe, data, clock)
    while seconds < _ENOUGH * cost:
        training = recipe.plan["training"]
        half = _changed(recipe, training={**training, "batch": training["batch"] // 2})
        if half.plan["training"]["batch"] < _SMALLEST:
            break
        _, less = _cost(half, data, clock)
        if less > _CHEAPER * cost:
            break
        recipe, cost = half, less
    return recipe, parameters, cost


def _cost(recipe: Recipe, data: Graphs, clock: Callable[[], float]) -> tuple[int, float]:
    """Return the number of parameters, and the seconds of a training step: the median after a first one."""
    marks: list[float] = []
    model = trained(recipe, data, _TIMED + 2, lambda _: marks.append(clock()))
    return model.num_parameters, max(statistics.median(b - a for a, b in pairwise(marks[:-1])), 1e-6)


def _lasting(training: Training, steps: int) -> Training:
    """Return settings for so many steps, without validations and checkpoints on the way."""
    warmup = min(training.warmup, steps // 10)
    return replace(training, steps=steps, warmup=warmup, validate_every=_NEVER, checkpoint_every=_NEVER)
