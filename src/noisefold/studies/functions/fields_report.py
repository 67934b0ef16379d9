"""Tables and figure of the study of random vector fields."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.figure import Figure

from noisefold.studies.functions.training import LEVELS
from noisefold.studies.kit.experiment import Result
from noisefold.studies.kit.plots import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PINK,
    RED,
    SKY,
    log_ticks,
    outer_legend,
    panels,
)
from noisefold.studies.kit.tables import markdown

__all__ = ["PUBLISHED", "figure", "table"]

PUBLISHED = {
    "se": {"equivariant": 0.56, "attention": 0.55},
    "curl-free": {"equivariant": 0.65, "attention": 0.62},
    "div-free": {"equivariant": 0.66, "attention": 0.62},
}
"""Log-likelihoods a vector of the paper's networks, after training on a GPU."""
_COLORS = {
    "equivariant": BLUE,
    "attention": ORANGE,
    "bi-dimensional attention": RED,
    "12 senders": SKY,
    "48 senders": GREEN,
    "48 where noisy, else 12": PINK,
    "24, pooled where noisy": BLACK,
}


def _cell(value: dict[str, Any] | None, decimals: int = 3) -> str:
    if value is None:
        return "-"
    text = f"{value['mean']:.{decimals}f}"
    return text if math.isnan(value["error"]) else f"{text} ± {value['error']:.{decimals}f}"


def _about(row: Result) -> str:
    name = str(row["network"])
    return f"{name}, 24 senders" if name == "equivariant" else name


def table(result: Result) -> str:
    """Return a table of kinds of fields, one of graphs, and one of numbers of fields."""
    rows = result["rows"]
    kinds = [r for r in rows if r["fields"] is None and r["network"] in ("equivariant", "attention")]
    graphs = [r for r in rows if r["fields"] is None and r["kind"] == "div-free"]
    few = [r for r in rows if r["fields"] is not None]
    return "\n".join(
        [
            f"Path gap to the exact process in nats a vector, of {result['points']} points, after "
            f"{kinds[0]['seconds']:g} seconds of one core of training on ever new fields; log-likelihood of "
            "the vectors given 25 of them, the exact one, and what was published.\n",
            markdown(
                ("field", "network", "gap", "gap given 25", "log-likelihood", "exact", "published", "steps"),
                [
                    [
                        r["kind"],
                        _about(r),
                        _cell(r["gap"]),
                        _cell(r["gap given 25"]),
                        _cell(r.get("likelihood")),
                        _cell(r.get("exact")),
                        PUBLISHED[r["kind"]][r["network"]],
                        r["steps"],
                    ]
                    for r in kinds
                ],
            ),
            "\nFields without divergence: the graph of equivariant networks, and other networks.\n",
            markdown(
                ("network", "gap", "gap given 25", "parameters", "steps"),
                [
                    [_about(r), _cell(r["gap"]), _cell(r["gap given 25"]), r["parameters"], r["steps"]]
                    for r in graphs
                ],
            ),
            f"\nFields without divergence, few of them; {few[0]['seconds']:g} seconds each.\n",
            markdown(
                ("fields", "network", "gap", "gap given 25", "steps"),
                [
                    [r["fields"], _about(r), _cell(r["gap"]), _cell(r["gap given 25"]), r["steps"]]
                    for r in few
                ],
            ),
        ]
    )


def figure(result: Result) -> Figure:
    """Draw the gap by noise level, and by the number of fields."""
    picture, (left, right) = panels(1, 2, 11, 4.2)
    for r in result["rows"]:
        if r["fields"] is None and r["kind"] == "div-free":
            count = len(r["by level"])
            width = (LEVELS.high - LEVELS.low) / count
            at = [LEVELS.low + width * (k + 0.5) for k in range(count)]
            left.plot(at, [v / width for v in r["by level"]], color=_COLORS[r["network"]], label=_about(r))
    left.set(xlabel="log-SNR", ylabel="gap per unit of log-SNR [nats]", title="Fields without divergence")
    for network in ("equivariant", "attention"):
        some = [r for r in result["rows"] if r["fields"] is not None and r["network"] == network]
        right.plot(
            [r["fields"] for r in some],
            [r["gap"]["mean"] for r in some],
            marker="o",
            color=_COLORS[network],
        )
    right.set(xscale="log", yscale="log", xlabel="fields", ylabel="gap a vector [nats]", title="Few fields")
    log_ticks(right.xaxis, sorted({r["fields"] for r in result["rows"] if r["fields"] is not None}))
    log_ticks(right.yaxis)
    outer_legend(picture, [left], "right upper", fontsize=8)
    return picture
