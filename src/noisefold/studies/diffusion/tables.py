"""Results of the diffusion study as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from noisefold.studies.diffusion.distributions import EXACT
from noisefold.studies.diffusion.factorial import ORACLE, Row
from noisefold.studies.diffusion.measures import LEVELS, MEASURES, RATIOS
from noisefold.studies.kit.experiment import Result
from noisefold.studies.kit.statistics import interval
from noisefold.studies.kit.tables import markdown

__all__ = ["table"]

_LABELS = {"ddim": "DDIM", "mean": "renoised mean", "draw": "renoised draw"}


def table(result: Result) -> str:
    """Return schedules, the three answers, scores by step, and graphs."""
    standard, names = result["standard"], list(result["shares"][0])[1:]
    noise = [
        [r["noise"], r["measure"], _interval(r), _number(r["margin"]), "yes" if r["equivalent"] else "no"]
        for r in result["noise"]
    ]
    shares = [[r["measure"], *(_share(r[n]) for n in names)] for r in result["shares"]]
    told = "error of the score" if standard == EXACT else f"difference from the score of the {standard}"
    parts = [
        f"Data: {result['data']}; {len(result['seeds'])} seeds, {result['samples']} samples a trial, "
        f"{result['epochs']} epochs. Brackets: 95 % intervals over seeds.",
        *_stand_in(standard),
        *_schedules(result),
        "\n### Q1: noise that is not random\n",
        "Paired difference from random noise, mean over the design; equivalent if the interval lies within "
        "the variation of one trial by seeds.\n",
        markdown(["noise", "measure", "difference", "margin", "equivalent"], noise),
        "\n### Q2: what the parts contribute\n",
        "Share of variance over the design, %.\n",
        markdown(["measure", *names], shares),
        "\nRandom noise, cosine schedule.\n",
        _samplers(result["samplers"], standard),
        "\n### Q3: how much network\n",
        _capacity(result["needed"]),
        f"\n### Relative {told}, by step\n",
        _scores(result["scores"]),
    ]
    if "graphs" in result:
        graphs = result["graphs"]
        parts += ["\n### Graphs: all edges or none\n", _samplers(graphs["samplers"], EXACT), ""]
        parts += [_scores(graphs["scores"])]
    return "\n".join(parts)


def _stand_in(standard: str) -> list[str]:
    """Return what stands for an unknown distribution, and what that does to the measures."""
    if standard == EXACT:
        return []
    return [
        "",
        f"The exact answer is unknown for these data: a {standard} that no network saw stands for the "
        "distribution, and its own denoiser beside the networks. It is that of those points, not of the "
        "distribution, below the distance of neighbouring points, so the scores of the first steps mean "
        "little. mass: share of samples as near to the points as 99 % of new data are; corridor: share three "
        "times farther than that; balance, det and w2 are those of the whole.",
    ]


def _schedules(result: Result) -> list[str]:
    told = [f"{name} {'/'.join(map(str, found['steps']))}" for name, found in result["schedules"].items()]
    if not told:
        return []
    intro = "Steps with < 0.05 bits on the component, in between, and > 0.95"
    return ["", f"{intro}: {', '.join(told)}."]


def _samplers(rows: Sequence[Row], standard: str) -> str:
    lines = [
        [
            r["start"],
            standard if r["target"] == ORACLE else r["target"],
            _LABELS.get(r["sampler"], r["sampler"]),
            *(_interval(r[m]) for m in MEASURES),
        ]
        for r in rows
    ]
    return markdown(["start", "estimate", "sampler", *MEASURES], lines)


def _capacity(rows: Sequence[Row]) -> str:
    shown = ("mass", "det", "w2")
    lines = [
        [
            *(r["network"], r["parameters"]),
            *(_over(e, ratio=True) for e in r["error"]),
            *(_over(r[m], m in RATIOS) for m in shown),
        ]
        for r in rows
    ]
    return markdown(["network", "weights", *(f"score error, t = {k - 1}" for k in LEVELS), *shown], lines)


def _scores(rows: Sequence[Row]) -> str:
    lines = [
        [*(r[k] for k in ("target", "noise", "schedule")), *(_over(e, ratio=True) for e in r["error"])]
        for r in rows
    ]
    return markdown(["target", "noise", "schedule", *(f"t = {k - 1}" for k in LEVELS)], lines)


def _over(values: Sequence[float | None], ratio: bool = False) -> str:
    return _interval(interval(values, ratio=ratio).plain())


def _interval(told: dict[str, Any]) -> str:
    if told["mean"] is None:
        return "-"
    if told["low"] is None:
        return _number(told["mean"])
    high = "inf" if told["high"] is None else _number(told["high"])
    return f"{_number(told['mean'])} [{_number(told['low'])}, {high}]"


def _number(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "-"
    if abs(value) >= 1000:
        return f"{value:.1e}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2g}" if abs(value) < 0.1 else f"{value:.3g}"


def _share(entry: dict[str, float | None]) -> str:
    share, error = entry["share"], entry.get("error")
    told = f"{100 * (share or 0):.0f}"
    return told if error is None else f"{told} ± {100 * error:.0f}"
