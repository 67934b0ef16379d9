r"""What schedule, target, sampler and noise each contribute to diffusion, beside the exact answer.

Data are 10,000 points of a mixture of two Gaussians; the network is a perceptron with two layers of 20 on
(x, t), trained with Adam for 50 epochs on chains of T = 100 steps. The factorial design has

- targets: noise, data, previous state, velocity - and, in the network's place, the exact oracle;
- samplers: posterior, ddim, mean renoised, posterior draw renoised (`noisefold.studies.diffusion.samplers`);
- noise: random, digits of the data, quasi-random - in training and in sampling;
- schedules: linear betas, cosine;
- starts: N(0, I), and the paper's grid from -7 to 7.

All networks are trained at once (`noisefold.studies.diffusion.perceptrons`). The same is done for graphs of
two kinds on three nodes, and for named toy data or the points of a csv file.

Source: Towards understanding diffusion models (on graphs), figures 3 to 11, with the corrections of the
documentation (``docs/diffusion.md``).
"""

from __future__ import annotations

import math
import shlex
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from noisefold.progress import progress
from noisefold.studies.diffusion.chains import SCHEDULES, chain
from noisefold.studies.diffusion.distributions import GRAPHS, MIXTURE, Distribution, named
from noisefold.studies.diffusion.effects import noise_effects, sampler_effects, shares
from noisefold.studies.diffusion.factorial import Design, capacity_rows, sample_all, score_rows, train_all
from noisefold.studies.diffusion.figures import gallery, summary
from noisefold.studies.diffusion.measures import cluster_bits, schedule_steps
from noisefold.studies.diffusion.perceptrons import Recipe
from noisefold.studies.diffusion.tables import table
from noisefold.studies.kit.experiment import Experiment, Result, Run
from noisefold.studies.kit.statistics import digits

__all__ = ["SCALES", "STUDY", "Scale", "measure"]


@dataclass(frozen=True)
class Scale:
    """The factorial design, and the widths of networks that are compared."""

    design: Design
    widths: tuple[int, ...]


SCALES = {
    "smoke": Scale(Design(Recipe(epochs=20), seeds=3, samples=300), (5, 20)),
    "short": Scale(Design(Recipe(), seeds=8, samples=2000), (5, 10, 20, 40, 80, 200)),
}


def measure(run: Run[Scale], data: Distribution = MIXTURE) -> tuple[Result, dict[str, Figure]]:
    """Return plain data, and the paper's figures by name.

    The data: ``standard`` (what networks are compared with); ``rows`` of the design with the values of every
    measure, one for each seed; ``scores`` (relative errors by step); ``schedules`` (steps without, with some
    and with all information on the component); ``noise``, ``shares`` and ``samplers`` (effect sizes, Q1 and
    Q2), ``needed`` (networks by capacity, Q3), ``figures`` (the number beside each), ``graphs`` and
    ``seconds``.
    """
    size, widths = replace(run.size.design, first=run.seed), run.size.widths
    clock = _Clock()
    epochs, kinds = size.recipe.epochs, len(widths) + 2
    with progress(run.name, epochs + 120 + 6 * kinds) as advance:
        trained = train_all(data, size, lambda n: advance(n, "training"))
        clock.lap("training")
        rows = sample_all(data, trained, size, lambda n: advance(n, "sampling"))
        clock.lap("sampling")
        scores = score_rows(data, trained, size)
        capacity = capacity_rows(data, size, widths, lambda n: advance(6 * n, "widths"))
        clock.lap("widths")
    figures, numbers = gallery(data, trained, size)
    result: Result = {
        "data": data.name,
        "standard": data.standard,
        "seeds": list(size.seed_range),
        "samples": size.samples,
        "points": size.recipe.points,
        "epochs": epochs,
        "steps": size.recipe.steps,
        "schedules": _schedules(data, size.recipe.steps),
        "noise": noise_effects(rows),
        "shares": shares(rows),
        "samplers": sampler_effects(rows),
        "needed": capacity,
        "figures": numbers,
        "scores": scores,
        "rows": rows,
    }
    if data is MIXTURE:
        result["graphs"] = _graphs(size)
    clock.lap("figures and graphs")
    result["seconds"] = {**clock.laps, "trainings": len(trained.trials)}
    return result, figures


def _schedules(data: Distribution, steps: int) -> Result:
    if data.mixture is None:
        return {}
    bits = {name: cluster_bits(data.mixture, chain(name, steps)) for name in SCHEDULES}
    return {
        n: {"steps": schedule_steps(b), "bits": [digits(max(0.0, v), 4) for v in b]} for n, b in bits.items()
    }


def _graphs(size: Design) -> Result:
    """Return the same measures on graphs: random noise, cosine schedule."""
    small = replace(size, noises=("gaussian",), schedules=("cosine",), samples=min(1000, size.samples))
    trained = train_all(GRAPHS, small)
    return {
        "samplers": sampler_effects(sample_all(GRAPHS, trained, small)),
        "scores": score_rows(GRAPHS, trained, small),
    }


class _Clock:
    """Seconds of computing, part by part."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.process_time()

    def lap(self, name: str) -> None:
        """Assign the time since the last part to this one."""
        now = time.process_time()
        self.laps[name], self._last = round(now - self._last, 1), now


def _make(run: Run[Scale]) -> list[Path]:
    result, figures = measure(run, MIXTURE if run.data is None else named(run.data))
    for name, figure in figures.items():
        run.save(name, figure)
    return run.write(_plain(result), table(result), summary(result))


def _plain(value: Any) -> Any:
    """Return a value without NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _place(data: str) -> tuple[str, str]:
    return shlex.join(("diffusion", data)), named(data).name


STUDY = Experiment("diffusion", SCALES, _make, _place, one_core=False)
