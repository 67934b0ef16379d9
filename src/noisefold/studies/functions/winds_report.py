"""Table and figure of the study of currents from stations."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from noisefold.studies.kit.experiment import Result
from noisefold.studies.kit.plots import BLACK, BLUE, GREEN, ORANGE, PINK, RED, SKY, outer_legend, panels
from noisefold.studies.kit.tables import markdown

__all__ = ["figure", "table"]

_COLUMNS = ("RMSE", "CRPS", "energy", "cover 90 %", "width 90 %")
_COLORS = (BLACK, SKY, BLUE, GREEN, ORANGE, RED, PINK)


def _winner(rows: Result, names: list[str], score: str) -> str:
    return min(names, key=lambda n: rows[n][score][0])


def _said(result: Result) -> str:
    """Who wins, in words."""
    out = []
    for count, rows in result["scores"].items():
        processes = [n for n in rows if n.startswith("GP")]
        networks = [n for n in rows if n.startswith("network")]
        a, b = _winner(rows, processes, "CRPS"), _winner(rows, networks, "CRPS")
        best, other = (a, b) if rows[a]["CRPS"][0] <= rows[b]["CRPS"][0] else (b, a)
        ratio = rows[best]["CRPS"][0] / rows[other]["CRPS"][0]
        out.append(f"With {count} stations, {best!r} wins: its CRPS is {ratio:.2f} of that of {other!r}.")
    return " ".join(out)


def table(result: Result) -> str:
    """Return a table for each number of stations, in m/s, with 95 % intervals over days, and who wins."""
    out = [
        f"Currents at {result['targets']} places in each of {result['sets']} sets, on {result['days']} days "
        f"of the last fifth; anomalies there have the standard deviation {result['spread']:.3f} m/s.\n"
    ]
    for count, rows in result["scores"].items():
        cells = [
            [name, *("{:.3f} [{:.3f}, {:.3f}]".format(*row[c]) for c in _COLUMNS)]
            for name, row in rows.items()
        ]
        out += [f"\nGiven {count} stations:\n", markdown(["", *_COLUMNS], cells)]
    trainings = [
        [name, f"{r['steps']:,}", f"{r['seconds']:g}", f"{r['parameters']:,}"]
        for name, r in result["trainings"].items()
    ]
    fits = [
        [name, ", ".join(f"{v:.3g}" for v in fit["parameters"]), f"{fit['likelihood']:.3f}"]
        for name, fit in result["fits"].items()
    ]
    out += [
        f"\n{_said(result)}\n",
        "\nFits, lengths in 100 km, and log-likelihood of a vector that they were fitted to, in nats:\n",
        markdown(["", "parameters", "nats"], fits),
        "\nTrainings, on one core:\n",
        markdown(["", "steps", "seconds", "parameters"], trainings),
    ]
    return "\n".join(out)


def figure(result: Result) -> Figure:
    """Draw CRPS and the rank histogram for each number of stations."""
    counts = list(result["scores"])
    picture, axes = panels(2, len(counts), 5.2 * len(counts), 7.0, squeeze=False)
    for k, count in enumerate(counts):
        rows, above, below = result["scores"][count], axes[0][k], axes[1][k]
        for i, (name, row) in enumerate(rows.items()):
            value, low, high = row["CRPS"]
            color = _COLORS[i % len(_COLORS)]
            above.barh(i, value, xerr=[[value - low], [high - value]], color=color, label=name, capsize=3)
            bins = np.linspace(0, 1, len(row["ranks"]) + 1)
            if name != "climatology":
                below.stairs(np.array(row["ranks"]) * len(row["ranks"]), bins, color=color, linewidth=1.6)
        above.invert_yaxis()
        above.set(title=f"Given {count} stations", xlabel="CRPS [m/s]", yticks=[])
        below.axhline(1.0, color="0.6", linewidth=1)
        below.set(xlabel="rank of the truth among the draws", ylabel="density", xlim=(0, 1), ylim=(0, None))
    outer_legend(picture, [axes[0][0]], "right upper", fontsize=8)
    return picture
