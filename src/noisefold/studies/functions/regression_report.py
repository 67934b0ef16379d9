"""Table and figure of the study of regression on the line."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from noisefold.studies.kit.experiment import Result
from noisefold.studies.kit.plots import BLACK, BLUE, ORANGE, RED, outer_legend, panels
from noisefold.studies.kit.statistics import half_width
from noisefold.studies.kit.tables import markdown

__all__ = ["PUBLISHED", "figure", "table"]

PUBLISHED = {
    "se": {"NDP": "0.69 ± 0.02", "GNP": "0.70", "ConvNP": "-0.46"},
    "matern": {"NDP": "0.32 ± 0.02", "GNP": "0.30", "ConvNP": "-0.67"},
    "weakly periodic": {"NDP": "-0.51 ± 0.03", "GNP": "-0.47", "ConvNP": "-1.02"},
    "sawtooth": {"NDP": "3.39 ± 0.04", "GNP": "0.42", "ConvNP": "1.20"},
    "mixture": {"NDP": "0.41 ± 0.02", "GNP": "0.10", "ConvNP": "-0.50"},
}
"""Log-likelihoods of the paper, after training on a GPU; sawtooth and mixture there have 100 targets."""

_LIKELIHOODS = (
    *("data", "exact", "direct", "joint - context", "difference", "exact, each target alone"),
    *("NDP", "GNP", "ConvNP"),
)
_GAPS = (
    *("data", "gap, direct", "gap, joint - context", "path gap, direct", "path gap, joint - context"),
    *("in 50 %", "in 90 %", "moved", "steps"),
)


def _cell(value: dict[str, float] | None, decimals: int = 3, sign: str = "") -> str:
    return "-" if value is None else f"{value['mean']:{sign}.{decimals}f} ± {value['error']:.{decimals}f}"


def _gap(value: dict[str, float] | None, count: int) -> str:
    if value is None:
        return "-"
    half = value["error"] * half_width(count)
    return f"{value['mean']:.3f} [{value['mean'] - half:.3f}, {value['mean'] + half:.3f}]"


def _tasks(result: Result) -> int:
    return int(result.get("tasks", 110))


def table(result: Result) -> str:
    """Return the log-likelihoods, the gaps to the exact ones, and the coverage of intervals."""
    rows, count = result["rows"], _tasks(result)
    likelihood = [
        [
            r["data"],
            _cell(r.get("oracle")),
            _cell(r["direct"]),
            _cell(r["joint - context"]),
            _cell(r["inconsistency"], sign="+"),
            _cell(r.get("diagonal")),
            *(PUBLISHED[r["data"]][k] for k in ("NDP", "GNP", "ConvNP")),
        ]
        for r in rows
    ]
    gaps = [
        [
            r["data"],
            _gap(r.get("gap"), count),
            _gap(r.get("gap of joint - context"), count),
            *(_cell((r.get("path gap") or {}).get(k)) for k in ("direct", "joint - context")),
            *(
                f"{100 * r['coverage'][k]['mean']:.1f} ± {100 * r['coverage'][k]['error']:.1f}"
                for k in ("0.5", "0.9")
            ),
            f"{r['generalisation']['difference']:.0e}",
            r["steps"],
        ]
        for r in rows
    ]
    seconds = rows[0]["seconds"] if rows else 0
    high, low = result["log_snr"]
    return "\n".join(
        [
            "Log-likelihood in nats a target, 50 targets given 0 to 10 known values, with its standard error "
            f"over tasks; log-SNR {high:g} to {low:g}; {seconds:g} seconds of one core of training each. The "
            "last three columns are published.\n",
            markdown(_LIKELIHOODS, likelihood),
            "\nGaps to the exact log-likelihood, paired, with 95 % intervals; path gaps; shares of targets "
            "in central intervals of draws, in per cent; and the greatest change of a task's log-likelihood "
            "a target when its inputs are moved from (-2, 2) to (2, 6).\n",
            markdown(_GAPS, gaps),
        ]
    )


def figure(result: Result) -> Figure:
    """Draw log-likelihoods, and how they grow with the context."""
    rows = result["rows"]
    picture, (left, right) = panels(1, 2, 11, 4.2)
    looks: dict[str, Any] = {
        "oracle": {"color": BLACK, "marker": "_", "markersize": 16, "label": "exact"},
        "direct": {"color": BLUE, "marker": "o", "label": "direct"},
        "joint - context": {"color": ORANGE, "marker": "s", "label": "joint - context"},
    }
    for shift, (key, look) in zip((0.0, -0.12, 0.12), looks.items(), strict=True):
        found = [(i, r[key]) for i, r in enumerate(rows) if key in r]
        left.errorbar(
            [i + shift for i, _ in found],
            [v["mean"] for _, v in found],
            yerr=[v["error"] for _, v in found],
            linestyle="none",
            **look,
        )
    published = [float(PUBLISHED[r["data"]]["NDP"].split()[0]) for r in rows]
    left.plot(range(len(rows)), published, "x", color=RED, label="published NDP")
    left.set_xticks(range(len(rows)), [r["data"] for r in rows], rotation=20)
    left.set(ylabel="log-likelihood a target [nats]", title="Targets given 0 to 10 known values")
    for r in rows:
        known = sorted(map(int, r["contexts"]))
        right.plot(known, [r["contexts"][str(k)] for k in known], marker="o", label=r["data"])
    right.set(
        xlabel="known values", ylabel="log-likelihood a target [nats]", title="By number of known values"
    )
    outer_legend(picture, [left, right], "right upper", fontsize=8)
    return picture
