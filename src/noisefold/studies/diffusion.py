r"""The laboratory: what schedule, target, sampler and noise each contribute, beside the exact answer.

Data are 10,000 points of a mixture of two Gaussians; the network is a perceptron with two layers of 20 on
(x, t), trained with Adam for 50 epochs on chains of T = 100 steps. The crossing has

- targets: noise, data, previous state, velocity - and, in the network's place, the exact oracle;
- samplers: posterior, ddim, mean renoised, posterior draw renoised (`noisefold.studies.sampling`);
- noise: random, digits of the data, quasi-random - in training and in sampling;
- schedules: linear betas, cosine;
- starts: N(0, I), and the paper's grid from -7 to 7.

All networks are trained at once (`noisefold.studies.networks`). The same is done for graphs of two kinds on
three nodes, and for a named toy or the points of a csv file.

Source: the notes on diffusion models on graphs (figures 3 to 11), with the corrections of the documentation.
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
from noisefold.studies.answers import noise_effects, sampler_effects, shares
from noisefold.studies.chain import SCHEDULES, chain
from noisefold.studies.crossing import Crossing, Trained, cross, learn, needed, score_rows
from noisefold.studies.laboratory_figures import gallery, summary
from noisefold.studies.laboratory_tables import table
from noisefold.studies.measures import cluster_bits, digits, schedule_steps
from noisefold.studies.networks import Recipe
from noisefold.studies.study import Study, keep
from noisefold.studies.toys import GRAPHS, MIXTURE, Toy, toy

__all__ = ["DESCRIPTION", "DIFFUSION", "NAME", "SCALES", "on", "run"]

NAME = "diffusion"
DESCRIPTION = "what schedule, target, sampler and noise contribute, beside the exact answer (figures 3 to 11)"
SCALES = ("smoke", "short")


@dataclass(frozen=True)
class _Scale:
    crossing: Crossing
    widths: tuple[int, ...]


_SIZES = {
    "smoke": _Scale(Crossing(Recipe(epochs=20), seeds=3, samples=300), (5, 20)),
    "short": _Scale(Crossing(Recipe(), seeds=8, samples=2000), (5, 10, 20, 40, 80, 200)),
}


def run(scale: str, seed: int = 0, data: Toy = MIXTURE) -> tuple[dict[str, Any], dict[str, Figure]]:
    """Run the study.

    Parameters
    ----------
    scale
        "smoke" or "short".
    seed
        The first seed; the others follow it.
    data
        What is learned.

    Returns
    -------
    tuple
        Plain data, and the figures by name. The data: ``standard`` (what networks are compared with);
        ``rows`` of the crossing with the values of every measure, one for each seed; ``scores`` (relative
        errors by step); ``schedules`` (steps without, with some and with all information on the component);
        ``noise``, ``shares`` and ``samplers`` (the answers to Q1 and Q2), ``needed`` (Q3), ``figures`` (the
        number beside each), ``graphs`` and ``seconds``.

    Raises
    ------
    ValueError
        If the scale is unknown.
    """
    if scale not in _SIZES:
        raise ValueError(f"scale must be one of {', '.join(SCALES)}, got {scale!r}.")
    size = replace(_SIZES[scale].crossing, first=seed)
    widths = _SIZES[scale].widths
    clock = _Clock()
    epochs, kinds = size.recipe.epochs, len(widths) + 2
    with progress(NAME, epochs + 120 + 6 * kinds) as advance:
        trained = learn(data, size, lambda n: advance(n, "training"))
        clock.lap("training")
        rows = cross(data, trained, size, lambda n: advance(n, "sampling"))
        clock.lap("sampling")
        scores = score_rows(data, trained, size)
        network = needed(data, size, widths, lambda n: advance(6 * n, "widths"))
        clock.lap("widths")
    figures, numbers = gallery(data, trained, size)
    result: dict[str, Any] = {
        "name": NAME,
        "data": data.name,
        "standard": data.standard,
        "scale": scale,
        "seeds": list(size.seed_range),
        "samples": size.samples,
        "points": size.recipe.points,
        "epochs": epochs,
        "steps": size.recipe.steps,
        "schedules": _schedules(data, size.recipe.steps),
        "noise": noise_effects(rows),
        "shares": shares(rows),
        "samplers": sampler_effects(rows),
        "needed": network,
        "figures": numbers,
        "scores": scores,
        "rows": rows,
    }
    if data is MIXTURE:
        result["graphs"] = _graphs(size)
    clock.lap("figures and graphs")
    result["seconds"] = {**clock.laps, "trainings": len(trained.cells)}
    return result, {"": summary(result), **figures}


def _schedules(data: Toy, steps: int) -> dict[str, Any]:
    if data.law is None:
        return {}
    bits = {name: cluster_bits(data.law, chain(name, steps)) for name in SCHEDULES}
    return {
        n: {"steps": schedule_steps(b), "bits": [digits(max(0.0, v), 4) for v in b]} for n, b in bits.items()
    }


def _graphs(size: Crossing) -> dict[str, Any]:
    """The same measures on graphs: random noise, cosine schedule."""
    small = replace(size, noises=("gaussian",), schedules=("cosine",), samples=min(1000, size.samples))
    trained: Trained = learn(GRAPHS, small)
    return {
        "samplers": sampler_effects(cross(GRAPHS, trained, small)),
        "scores": score_rows(GRAPHS, trained, small),
    }


class _Clock:
    """Seconds of computing, part by part."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.process_time()

    def lap(self, name: str) -> None:
        """The time since the last part belongs to this one."""
        now = time.process_time()
        self.laps[name], self._last = round(now - self._last, 1), now


def _study(out: Path, scale: str, seed: int, data: Toy = MIXTURE, asked: str = NAME) -> list[Path]:
    result, figures = run(scale, seed, data)
    paths = keep(out, asked, scale, _plain(result), table(result), figures.pop(""))
    for name, figure in figures.items():
        paths.append(out / f"{scale}-{name}.png")
        figure.savefig(paths[-1], dpi=110, bbox_inches="tight")
    return paths


def _plain(value: Any) -> Any:
    """Without NaN, which JSON has not."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def on(data: str) -> Study:
    """The study of a named toy or of the points of a csv file."""
    chosen = toy(data)
    asked = shlex.join((NAME, data))

    def study(out: Path, scale: str, seed: int) -> list[Path]:
        return _study(out / chosen.name, scale, seed, chosen, asked)

    return Study(DESCRIPTION, SCALES, study)


DIFFUSION = Study(DESCRIPTION, SCALES, _study, on=on)
