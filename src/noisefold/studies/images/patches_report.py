"""Table and figure of the study of patches."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from noisefold.studies.kit.experiment import Result
from noisefold.studies.kit.plots import outer_legend, panels
from noisefold.studies.kit.statistics import mean_and_error
from noisefold.studies.kit.tables import markdown, with_error, with_interval

__all__ = ["figure", "mean_loss", "table"]

_CONTROLS = {
    "flops": "Equal operations of the whole network in training",
    "image": "Equal operations an image, and as many steps as the exponential patches",
    "time": "Equal time of training, that of fixed patches of 4",
}


def mean_loss(levels: Sequence[float], losses: Sequence[float]) -> float:
    """Return the integral of a loss over signal levels by the trapezoidal rule, constant beyond the ends."""
    points = [0.0, *levels, 1.0]
    values = [losses[0], *losses, losses[-1]]
    return sum(
        (b - a) * (v + w) / 2 for a, b, v, w in zip(points, points[1:], values, values[1:], strict=False)
    )


def table(result: Result) -> str:
    """Return one table for each control, and that of the base estimates."""
    levels = result["levels"]
    head = ["patches", "predicts", "base", "width", "MFLOP an image", "steps", "TFLOP", "CPU s"]
    head += [f"u={u:g}" for u in levels] + ["mean", "accuracy", "FD", "ms a sample"]
    blocks = [result["data"]]
    for control, words in _CONTROLS.items():
        rows = [_row(levels, cells) for cells in _cells(result, control)]
        if rows:
            blocks += [f"{words}.", markdown(head, rows)]
    real = [row["real"]["FD"] for row in result["rows"]]
    bases = [
        [name, *(f"{v:.3f}" for v in losses), f"{mean_loss(levels, losses):.4f}"]
        for name, losses in result["bases"].items()
    ]
    blocks += [
        "Base estimates without a network.",
        markdown(["base", *(f"u={u:g}" for u in levels), "mean"], bases),
        "Losses are mean squared errors of the velocity on test images. "
        f"FD of real images: {with_interval(real, 2)}.",
    ]
    return "\n\n".join(blocks)


def _cells(result: Result, control: str) -> list[list[Result]]:
    """Return the trainings of each cell under a control."""
    names = dict.fromkeys(row["cell"] for row in result["rows"] if row["control"] == control)
    return [[row for row in result["rows"] if row["cell"] == name] for name in names]


def _row(levels: Sequence[float], cells: Sequence[Result]) -> list[str]:
    first = cells[0]
    losses = [with_error([c["losses"][i] for c in cells], 3) for i in range(len(levels))]
    return [
        first["patches"],
        first["target"],
        first["base"],
        str(first["width"]),
        f"{first['flops'] / 1e6:.1f}",
        str(first["steps"]),
        f"{first['teraflops']:.2f}",
        f"{sum(c['cpu_seconds'] for c in cells) / len(cells):.0f}",
        *losses,
        with_error([mean_loss(levels, c["losses"]) for c in cells], 4),
        with_interval([c["scores"]["accuracy"] for c in cells], 2),
        with_interval([c["scores"]["FD"] for c in cells], 1),
        f"{sum(c['sampling'] for c in cells) / len(cells):.0f}",
    ]


def figure(result: Result) -> Figure:
    """Draw losses by signal level relative to fixed patches of 4, under equal operations and equal time."""
    levels = result["levels"]
    picture, (left, right) = panels(1, 2, 11, 4.2, sharey=True)
    own = [c for c in _cells(result, "flops") if c[0]["target"] == "velocity"]
    reference = next(c for c in own if c[0]["patches"] == "fixed 4" and c[0]["base"] == "Gaussian")
    base = [mean_and_error([c["losses"][i] for c in reference])[0] for i in range(len(levels))]
    # A kind of patches has one colour in both panels, whichever it holds.
    names = dict.fromkeys(c[0]["patches"] for c in own)
    colors = {name: f"C{k}" for k, name in enumerate(names)}
    for panel, control in ((left, "flops"), (right, "time")):
        for cells in _cells(result, control):
            first = cells[0]
            if first["target"] != "velocity" or first["base"] != "Gaussian":
                continue
            means = [mean_and_error([c["losses"][i] for c in cells])[0] for i in range(len(levels))]
            ratios = [m / b for m, b in zip(means, base, strict=True)]
            name = first["patches"]
            panel.plot(levels, ratios, "o-", color=colors[name], label=name)
        panel.axhline(1, color="0.6", linewidth=1)
        panel.set(xlabel="signal level u (1 = clean)", title=_CONTROLS[control])
        panel.grid(color="0.92")
    left.set_ylabel("loss / loss of fixed patches of 4")
    outer_legend(picture, [left, right], "right upper", fontsize=8)
    return picture
