"""Table and figure of what noise, prediction, sampler and network contribute on graphs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from noisefold.studies.kit.experiment import Result
from noisefold.studies.kit.plots import BLUE, GREEN, ORANGE, PINK, panels
from noisefold.studies.kit.statistics import interval, paired
from noisefold.studies.kit.tables import markdown, with_error

__all__ = ["BASE", "chosen", "effects", "figure", "table"]

BASE = {
    "noise": "marginal",
    "network": "graph transformer",
    "prediction": "clean graph",
    "sampler": "reverse chain",
}
"""What one choice at a time is changed from."""
_COLORS = {"noise": BLUE, "prediction": GREEN, "sampler": ORANGE, "network": PINK}


def chosen(result: Result, **wanted: str) -> list[Result]:
    """Return the rows of one cell by seed; what is not named is as in `BASE`."""
    wanted = {**BASE, **wanted}
    if wanted["prediction"] != BASE["prediction"]:
        wanted["sampler"] = wanted["prediction"]
    return [r for r in result["rows"] if all(r[key] == value for key, value in wanted.items())]


def _options(result: Result, factor: str) -> list[str]:
    """Return what there is of a factor beside its base, the exact denoiser last."""
    found = dict.fromkeys(r[factor] for r in result["rows"])
    skipped = {BASE[factor], "previous state"} if factor == "sampler" else {BASE[factor]}
    return [name for name in found if name not in skipped and chosen(result, **{factor: name})]


def effects(result: Result) -> list[dict[str, Any]]:
    """Return the change of distance and validity by each choice, paired by seed, with 95 % intervals."""
    out, base = [], chosen(result)
    for factor in BASE:
        for name in _options(result, factor):
            rows = chosen(result, **{factor: name})
            change = {
                key: paired([r[key] for r in rows], [r[key] for r in base]) for key in ("distance", "valid")
            }
            out.append({"factor": factor, "choice": name, "rows": rows, **change})
    return out


def _values(rows: Sequence[Result], key: str, decimals: int, factor: float = 1.0) -> str:
    found = [factor * r[key] for r in rows if r.get(key) is not None]
    return with_error(found, decimals) if found else "-"


def _shown(rows: Sequence[Result]) -> list[str]:
    return [_values(rows, "distance", 3), _values(rows, "valid", 1, 100), _values(rows, "gap", 5)]


def _change(effect: tuple[float, float], decimals: int, factor: float = 1.0) -> str:
    mean, half = effect
    return f"{factor * mean:+.{decimals}f} ± {factor * half:.{decimals}f}"


def table(result: Result) -> str:
    """Return every choice with its scores and its effect, and all predictions and samplers by noise."""
    lines = [["all as in the base", ", ".join(BASE.values()), *_shown(chosen(result)), "-", "-"]]
    for e in effects(result):
        change = [_change(e["distance"], 3), _change(e["valid"], 1, 100)]
        lines.append([e["factor"], e["choice"], *_shown(e["rows"]), *change])
    head = ["", "", "distance", "trees %", "gap, nats", "change of distance", "of trees %"]
    noises = dict.fromkeys(r["noise"] for r in result["rows"])
    cells = []
    for noise in noises:
        for network, prediction, sampler in dict.fromkeys(
            (r["network"], r["prediction"], r["sampler"]) for r in result["rows"] if r["noise"] == noise
        ):
            how = {"noise": noise, "network": network, "prediction": prediction, "sampler": sampler}
            cells.append([noise, network, prediction, sampler, *_shown(chosen(result, **how))])
    seeds = len(chosen(result))
    return "\n".join(
        [
            f"Trees of {result['nodes']} nodes, {result['samples']} samples in {result['steps']} steps, "
            f"means over {seeds} seeds with standard errors. Distance: total variation to the true "
            "probabilities of shapes, what is no tree counting as one more; true trees score "
            f"{result['floor']:.3f}. Changes are paired by seed, with 95 % intervals.\n",
            markdown(head, lines),
            "\nEverything:\n",
            markdown(["noise", "network", "prediction", "sampler", "distance", "trees %", "gap"], cells),
            f"\n{_said(result)}",
        ]
    )


def _said(result: Result) -> str:
    """Which change of each factor matters most, in numbers."""
    out = []
    for factor in BASE:
        found = [e for e in effects(result) if e["factor"] == factor]
        if found:
            e = max(found, key=lambda e: abs(e["distance"][0]))
            out.append(
                f"{factor.capitalize()}: {e['choice']!r} changes the distance most, by "
                f"{_change(e['distance'], 3)}."
            )
    return " ".join(out)


def figure(result: Result) -> Figure:
    """Draw the distance of every choice with its interval over seeds, and the exact denoiser's."""
    picture, panel = panels(1, 1, 7.5, 5.0)
    rows = [("base", "", chosen(result))]
    rows += [(e["factor"], e["choice"], e["rows"]) for e in effects(result)]
    for i, (factor, _, found) in enumerate(rows):
        values = [r["distance"] for r in found]
        over = interval(values)
        color = _COLORS.get(factor, "0.2")
        panel.plot(values, [i] * len(values), "o", color=color, markersize=4, alpha=0.5)
        panel.plot([over.low, over.high], [i, i], color=color, linewidth=1.5)
        panel.plot(statistics.fmean(values), i, "s", color=color, markersize=7)
    labels = ["base: " + ", ".join(BASE.values())] + [f"{factor}: {name}" for factor, name, _ in rows[1:]]
    panel.set_yticks(range(len(rows)), labels)
    panel.axvline(result["floor"], color="0.6", linestyle="--", linewidth=1)
    panel.text(result["floor"], -0.6, " true trees", color="0.4", fontsize=8, va="bottom")
    panel.invert_yaxis()
    panel.set(xlabel="total variation distance to the true shapes", xlim=(0, None))
    panel.grid(axis="x", color="0.92")
    return picture
