"""Tables and figure of the benchmarks of discrete graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from noisefold.geometry.graph_layout import graph_layout
from noisefold.studies.kit.experiment import Result
from noisefold.studies.kit.plots import BLUE, INK, panels
from noisefold.studies.kit.statistics import interval, paired
from noisefold.studies.kit.tables import markdown

__all__ = ["figure", "networks_table", "scores_table", "table", "trainings_table"]

_COLUMNS = ("V.U.N.", "valid", "unique", "novel", "ratio", "ratio, validation", "nearest", "PGD-LR")
_SHARES = ("V.U.N.", "valid", "unique", "novel")


def _cell(row: Mapping[str, Sequence[float | None]], metric: str) -> str:
    value, low, high = row.get(metric, (None, None, None))
    if value is None:
        return "-"
    unit = 100 if metric in _SHARES else 1
    digits = 0 if metric in _SHARES else 2 if value < 10 else 1 if value < 100 else 0
    text = f"{unit * value:.{digits}f}"
    if low is None or high is None:
        return text
    return f"{text} [{unit * low:.{digits}f}, {unit * high:.{digits}f}]"


def scores_table(result: Result) -> str:
    """Return the scores of each set, models first, then what they stand beside."""
    lines = []
    for name, found in result["benchmarks"].items():
        rows = found["rows"]
        for row in rows:
            lines.append([name, row, *(_cell(rows[row], c) for c in _COLUMNS)])
    head = ["set", "", "V.U.N. %", "valid %", "unique %", "novel %", *_COLUMNS[4:]]
    return markdown(head, lines)


def trainings_table(result: Result) -> str:
    """Return what each training took, and which grid was chosen."""
    lines = []
    for name, found in result["benchmarks"].items():
        for row, seconds in found["sampling"].items():
            variable = "pos" if row.startswith("latent") else "types"
            made, grids = found["trainings"][variable], found["grids"].get(row)
            chosen = "-" if grids is None else min(grids, key=grids.get)
            steps, batch, size = (f"{made[k]:,}" for k in ("steps", "batch", "parameters"))
            minutes = f"{made['seconds'] / 60:.1f}"
            lines.append([name, row, minutes, steps, batch, size, chosen, f"{seconds:.1f}"])
    head = ["set", "", "minutes", "steps", "batch", "parameters", "grid"]
    return markdown([*head, f"seconds for {result['graphs']} samples"], lines)


def networks_table(result: Result) -> str:
    """Return cross-entropies by share, relative to the plain network where they are of networks."""
    found, lines = result["networks"], []
    for name, part in found["sets"].items():
        plain = next(iter(part["rows"].values()))
        base = np.array([r["loss"] for r in plain])
        for row, trials in part["rows"].items():
            loss = np.array([r["loss"] for r in trials])
            steps = f"{np.mean([r['steps'] for r in trials]):,.0f}"
            if row == next(iter(part["rows"])):
                cells = [f"{v:.5f}" for v in base.mean(0)]
            else:
                cells = [_change(loss[:, i], base[:, i]) for i in range(loss.shape[1])]
            lines.append([name, row, steps, *cells])
        for row, loss in part["beside"].items():
            lines.append([name, row, "-", *(f"{v:.5f}" for v in loss)])
    return markdown(["set", "", "steps", *(f"{s:g}" for s in found["shares"])], lines)


def _change(values: Any, base: Any) -> str:
    mean, half = paired((values / base).tolist(), [1.0] * len(base))
    return f"{100 * mean:+.1f} %" if np.isnan(half) else f"{100 * mean:+.1f} ± {100 * half:.1f} %"


def _said(result: Result) -> str:
    """Whether following the noise pays, in numbers."""
    out = []
    for name, part in result["networks"]["sets"].items():
        first, *others = part["rows"]
        base = [np.mean(r["loss"]) for r in part["rows"][first]]
        for row in others:
            ratios = [np.mean(r["loss"]) / b for r, b in zip(part["rows"][row], base, strict=True)]
            found = interval([float(r) for r in ratios], ratio=True)
            out.append(
                f"On {name}, {row!r} has {found.mean:.3f} [{found.low:.3f}, {found.high:.3f}] times the mean "
                f"cross-entropy of the plain network."
            )
    return " ".join(out)


def table(result: Result) -> str:
    """Return the scores, what they cost, and the networks at equal time."""
    against = "; ".join(f"{name}: {found['against']}" for name, found in result["benchmarks"].items())
    seconds = result["networks"]["seconds"]
    return "\n".join(
        [
            f"Means over {result['sets']} sets of {result['graphs']} graphs with 95 % intervals (shares: "
            f"Wilson's of all graphs). Judged against {against}.\n",
            scores_table(result),
            "\nTrainings on one core, in minutes of computing time:\n",
            trainings_table(result),
            f"\nCross-entropy of pairs after {seconds:g} seconds of training, by the share of entries that "
            "are data; below the plain network the relative change, with 95 % intervals over seeds:\n",
            networks_table(result),
            f"\n{_said(result)}",
        ]
    )


def figure(result: Result) -> Figure:
    """Draw real graphs of each set, and graphs of each model beside them."""
    rows = [
        (name, row, graphs)
        for name, found in result["benchmarks"].items()
        for row, graphs in found["drawn"].items()
    ]
    names = list(result["benchmarks"])
    across = max(len(result["benchmarks"][n]["drawn"]) for n in names)
    count = max(len(graphs) for _, _, graphs in rows)
    picture, axes = panels(len(names), across * count, 2.0 * across * count, 2.3 * len(names), squeeze=False)
    for panel in axes.flat:
        panel.set_axis_off()
    for i, name in enumerate(names):
        for j, (row, graphs) in enumerate(result["benchmarks"][name]["drawn"].items()):
            for k, graph in enumerate(graphs):
                panel = axes[i][j * count + k]
                _draw(panel, graph)
                if k == 0:
                    panel.set_title(f"{name}, {row}", fontsize=9, loc="left")
    return picture


def _draw(panel: Axes, graph: Mapping[str, Any]) -> None:
    ends = np.array(graph["edges"], dtype=np.int64).reshape(-1, 2)
    places = graph_layout(ends, graph["nodes"])
    many = len(ends) > 400
    for a, b in ends:
        panel.plot(*places[[a, b]].T, color=INK, linewidth=0.25 if many else 0.7, alpha=0.5, zorder=1)
    panel.scatter(places[:, 0], places[:, 1], s=5 if len(places) > 40 else 16, color=BLUE, zorder=2)
    panel.set_aspect("equal")
