"""Tables and figure of the study of molecules."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from noisefold.studies.kit.experiment import Result
from noisefold.studies.kit.plots import BLUE, ORANGE, panels
from noisefold.studies.kit.tables import markdown

__all__ = ["figure", "table"]

_SHARES = ("valid", "connected", "unique", "novel")
_COLORS = (BLUE, ORANGE)


def _cell(score: Sequence[float | None], percent: bool = True, digits: int = 1) -> str:
    value, low, high = (None if v is None else v * (100 if percent else 1) for v in score)
    if value is None:
        return "-"
    text = f"{value:.{digits}f}"
    return text if low is None or high is None else f"{text} [{low:.{digits}f}, {high:.{digits}f}]"


def table(result: Result) -> str:
    """Return the scores, the shares by way of drawing and training, and what trainings took."""
    scores = result["scores"]
    metrics = list(next(iter(scores.values())))
    rows = [
        [row, *(_cell(cells[m], m in _SHARES, 1 if m in _SHARES else 3) for m in metrics)]
        for row, cells in scores.items()
    ]
    names = list(result["ways"])
    ways = []
    for way in result["ways"][names[0]]:
        found = [result["ways"][name][way] for name in names]
        ways.append(
            [way, *(_cell(f[key]) for f in found for key in _SHARES[:3]), f"{found[0]['milliseconds']:.1f}"]
        )
    trainings = [
        [name, f"{r['seconds'] / 60:.1f}", f"{r['steps']:,}", r["batch"], f"{r['parameters']:,}"]
        for name, r in result["trainings"].items()
    ]
    chosen = "; ".join(f"{row}: {name}, {way}" for row, (name, way) in result["chosen"].items())
    return "\n".join(
        [
            f"{result['samples']} samples against {result['compared']} test molecules, as they are "
            f"generated; shares in per cent, 95 % intervals. {chosen}.\n",
            markdown(["", *metrics], rows),
            f"\nBy way of drawing, {result['tried']} samples each:\n",
            markdown(
                ["", *(f"{name}: {key} %" for name in names for key in _SHARES[:3]), "ms a sample"], ways
            ),
            "\nTrainings on one core, in minutes of computing time:\n",
            markdown(["", "minutes", "steps", "batch", "parameters"], trainings),
        ]
    )


def figure(result: Result) -> Figure:
    """Draw the share of valid and connected molecules by way of drawing, for each training."""
    names, first = list(result["ways"]), next(iter(result["ways"].values()))
    picture, panel = panels(1, 1, 7.5, 0.4 * len(first) + 1.2)
    for k, (name, color) in enumerate(zip(names, _COLORS, strict=True)):
        for i, way in enumerate(first):
            value, low, high = (100 * v for v in result["ways"][name][way]["connected"])
            place = i + 0.16 * (2 * k - 1)
            panel.plot([low, high], [place, place], color=color, linewidth=1.5)
            panel.plot(value, place, "o", color=color, label=name if i == 0 else None)
    panel.set_yticks(range(len(first)), list(first))
    panel.invert_yaxis()
    panel.set_xlabel("samples that are valid and connected [%]")
    panel.grid(axis="x", color="0.92")
    panel.legend(frameon=False, fontsize=8)
    return picture
