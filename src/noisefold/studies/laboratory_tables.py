"""The laboratory's results as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from noisefold.studies.answers import FACTORS
from noisefold.studies.crossing import ORACLE
from noisefold.studies.measures import LEVELS, MEASURES, RATIOS, interval
from noisefold.studies.toys import EXACT

__all__ = ["table"]

_LABELS = {
    "posterior": "posterior",
    "ddim": "DDIM",
    "mean": "renoised mean",
    "draw": "renoised draw",
    "exact": "(oracle)",
}
Row = dict[str, Any]


def table(result: dict[str, Any]) -> str:
    """Markdown: schedules, the three answers, scores by step, and graphs."""
    seeds = len(result["seeds"])
    lines = [
        f"Data: {result['data']}; {seeds} seeds, {result['samples']} samples a cell, {result['epochs']} "
        "epochs. Brackets: 95 % intervals over seeds.",
        *_stand_in(result),
        *_schedules(result),
        "\n### Q1: noise that is not random\n",
        "Paired difference from random noise, mean over the crossing; equivalent if the interval lies within "
        "what seeds do to one cell.\n",
        _line(["noise", "measure", "difference", "margin", "equivalent"]),
        _rule(5),
    ]
    for r in result["noise"]:
        verdict = "yes" if r["equivalent"] else "no"
        lines.append(_line([r["noise"], r["measure"], _interval(r), _number(r["margin"]), verdict]))
    lines += ["\n### Q2: what the parts contribute\n", "Share of variance over the crossing, %.\n"]
    names = [*FACTORS, "target x sampler", "sampler x start", "other interactions", "seeds"]
    lines += [_line(["measure", *names]), _rule(1 + len(names))]
    for r in result["shares"]:
        lines.append(_line([r["measure"], *(_share(r[n]) for n in names)]))
    lines += ["\nRandom noise, cosine schedule.\n", *_samplers(result["samplers"], result["standard"])]
    lines += ["\n### Q3: how much network\n", *_needed(result["needed"])]
    exact = result["standard"] == EXACT
    told = "error of the score" if exact else f"difference from the score of the {result['standard']}"
    lines += [f"\n### Relative {told}, by step\n", *_scores(result["scores"])]
    if "graphs" in result:
        lines += ["\n### Graphs: all edges or none\n", *_samplers(result["graphs"]["samplers"], EXACT), ""]
        lines += _scores(result["graphs"]["scores"])
    return "\n".join(lines)


def _stand_in(result: dict[str, Any]) -> list[str]:
    """What stands for a law that nobody knows, and what that does to the measures."""
    if result["standard"] == EXACT:
        return []
    return [
        "",
        f"Nobody knows the exact answer for these data: a {result['standard']} that no network saw stands "
        "for the law, and its own denoiser beside the networks. It sees those points, not the law below the "
        "distance of neighbouring points, so the scores of the first steps mean little. mass: share of "
        "samples as near to the points as 99 % of new data are; corridor: share three times farther than "
        "that; balance, det and w2 are those of the whole.",
    ]


def _schedules(result: dict[str, Any]) -> list[str]:
    told = [f"{name} {'/'.join(map(str, found['steps']))}" for name, found in result["schedules"].items()]
    if not told:
        return []
    return ["", f"Steps that tell < .05 bits of the component, between, and > .95: {', '.join(told)}."]


def _samplers(rows: Sequence[Row], standard: str) -> list[str]:
    lines = [_line(["start", "estimate", "sampler", *MEASURES]), _rule(3 + len(MEASURES))]
    for r in rows:
        estimate = standard if r["target"] == ORACLE else r["target"]
        lines.append(
            _line([r["start"], estimate, _LABELS[r["sampler"]], *(_interval(r[m]) for m in MEASURES)])
        )
    return lines


def _needed(rows: Sequence[Row]) -> list[str]:
    shown = ("mass", "det", "w2")
    steps = [f"score error, t = {k - 1}" for k in LEVELS]
    lines = [_line(["network", "weights", *steps, *shown]), _rule(2 + len(LEVELS) + len(shown))]
    for r in rows:
        errors = [_interval(_over(e, ratio=True)) for e in r["error"]]
        lines.append(
            _line(
                [
                    r["network"],
                    str(r["parameters"]),
                    *errors,
                    *(_interval(_over(r[m], m in RATIOS)) for m in shown),
                ]
            )
        )
    return lines


def _scores(rows: Sequence[Row]) -> list[str]:
    lines = [
        _line(["target", "noise", "schedule", *(f"t = {k - 1}" for k in LEVELS)]),
        _rule(3 + len(LEVELS)),
    ]
    for r in rows:
        about = [r["target"], r["noise"], r["schedule"]]
        lines.append(_line([*about, *(_interval(_over(e, ratio=True)) for e in r["error"])]))
    return lines


def _over(values: Sequence[float | None], ratio: bool = False) -> dict[str, Any]:
    return interval([math.nan if v is None else v for v in values], ratio=ratio).plain()


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


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _rule(columns: int) -> str:
    return _line(["---"] * columns)
