"""Table, figure, advice and lines to copy for the range of a user's own data."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from noisefold.configuration import Config, decode
from noisefold.studies.kit.plots import log_ticks, outer_legend, panels
from noisefold.studies.kit.tables import markdown

__all__ = ["ALONE", "FIXED", "OWN", "PAPER", "WIDE", "figure", "flat", "lines_to_use", "net_of", "table"]

OWN, PAPER, FIXED, WIDE, ALONE = (
    "from the data",
    "exponential, the paper's",
    "fixed, one to one",
    "fixed, coarsest",
    "a node alone",
)
_LOOKS: dict[str, dict[str, Any]] = {
    OWN: {"color": "#0072B2", "marker": "o", "linestyle": "-"},
    PAPER: {"color": "#D55E00", "marker": "s", "linestyle": "--"},
    FIXED: {"color": "#009E73", "marker": "^", "linestyle": "-."},
    WIDE: {"color": "#000000", "marker": "D", "linestyle": ":"},
    ALONE: {"color": "#CC79A7", "marker": "x", "linestyle": (0, (1, 3))},
}
_FLAT = """**No range to follow.** Neighbours share {:.0f} % of the variance by their distance, too little
to ask for more than the range of clean data at any level. If that is a surprise: do graphs, groups or
stages overlap in one space? The fitted length means nothing then."""
_OPEN = """**The length is not determined**: its interval is open, since the data do not extend far enough,
or are not dense enough. The schedule is one of many that fit as well."""
_PLACES = """**Positions are noised, and there the theory does not hold**: half the mean squared difference
of two positions is a parabola of their distance whatever the shapes, no correlation of a field. The narrow
interval says only that all shapes agree on the parabola. On chairs such a schedule lost to the coarsest
fixed one by 0.016 ± 0.004 of a loss of 1.47 (study schedules)."""
_START = """**It is a start, not a promise.** On the limb bud such a schedule tied the best fixed one
(+0.014 ± 0.026 of a loss of 0.89) and beat every other by 0.09 to 0.18 (study schedules); on chairs, where
positions are noised, it lost by 0.016."""
_NEEDS = """**It needs `nn.DMP`**, the network that follows a schedule, in the place of the default of
`noisefold train`. Train the fixed one beside it, with `-o net.kind=nn.DMP -o
net.adaptive.kind=adaptive.Fixed`, and compare the held-out losses. The theory is of plain sums; a network
weighs its neighbours."""
_COLUMNS = """For graphs of {} nodes. Neighbours: the number, with the node itself, of the greatest
information (in brackets the fewest and the most over the interval of the length). Range and resolution:
what follows, on the budget of all schedules; messages reach range x nodes / resolution."""
_EXPLAINS = """Explains: share of the clean variance that the plain sum over the nodes in reach explains.
Where a node alone explains more, its neighbours are of no use to a sum; a network, which also sees the node
itself, need not lose by them."""


def net_of(result: Mapping[str, Any]) -> Config:
    """Return the part of a configuration that makes a network follow the schedule."""
    return {"kind": "nn.DMP", "adaptive": result["schedule"]}


def flat(result: Mapping[str, Any]) -> bool:
    """Return whether the schedule is constant, as neighbours hold too little information."""
    return len({tuple(row["levels"][OWN]) for row in result["levels"]}) == 1


def lines_to_use(result: Mapping[str, Any], source: str, config: Path) -> tuple[str, str, str]:
    """Return the schedule as Python, as a command with the file, and as a command alone; a line each."""
    given, schedule = result["dimensions"], decode(result["schedule"])
    out = given["features"] if result["variable"] == "x" else given["pos_dim"]
    sizes = ", ".join(f"{k}={v}" for k, v in {**given, "out_dim": out}.items())
    table = f"{tuple(schedule.log_snr)}, {tuple(schedule.share)}"
    python = f"net = nf.nn.DMP({sizes}, adaptive=nf.adaptive.Information({table}))"
    train = shlex.join(["noisefold", "train", source, "--out", f"runs/{config.parent.name}"])
    part = yaml.safe_dump(net_of(result), default_flow_style=True, width=10**9).strip()
    return (
        python,
        f"{train} --config {shlex.quote(str(config))}",
        f"{train} -o {shlex.quote(f'net={part}')}",
    )


def warnings(result: Mapping[str, Any]) -> list[str]:
    """Return what to know before following the schedule, a paragraph each."""
    fit, said = result["fit"], []
    if flat(result):
        said.append(_FLAT.format(100 * fit["shared"]))
    elif fit["low"] is None or fit["high"] is None:
        said.append(_OPEN)
    said += [_PLACES if result["variable"] == "pos" else _START, _NEEDS]
    return [_line(text) for text in said]


def _line(text: str) -> str:
    return " ".join(text.split())


def table(result: Mapping[str, Any], source: str, config: Path) -> str:
    """Return correlation, ranges by level, comparisons, warnings, and the lines to use."""
    fit, levels = result["fit"], result["levels"]
    what = "positions" if result["variable"] == "pos" else "features"
    rows = [
        [
            f"{row['signal']:g}",
            f"{row['snr']:.2g}",
            f"{row['neighbours']:.0f} [{row['low']:.0f}, {row['high']:.0f}]",
            *row["levels"][OWN],
            *(f"{100 * row['explained'][name]:.1f} %" for name in _LOOKS),
        ]
        for row in levels
    ]
    means = [sum(row["explained"][name] for row in levels) / len(levels) for name in _LOOKS]
    rows.append(["mean", "", "", "", "", *(f"{100 * m:.1f} %" for m in means)])
    head = ["signal", "SNR", "neighbours", "range", "resolution", *(f"{n}: explains" for n in _LOOKS)]
    python, filed, alone = lines_to_use(result, source, config)
    return "\n".join(
        [
            f"Data: {source}, {result['data']}; {what} are noised.\n",
            f"Correlation: {fit['family']}, length {_interval(fit)} (95 %) in the unit of the positions; "
            f"shared by distance {fit['shared']:.2f}, each node's own {fit['own']:.2f}, common to a graph "
            f"{fit['floor']:.2f}; residual {fit['residual']:.3f} of the variance.\n",
            f"{_line(_COLUMNS.format(result['nodes']))}\n",
            markdown(head, rows),
            f"\n{_line(_EXPLAINS)}\n",
            *(f"- {warning}" for warning in warnings(result)),
            f"\nTo train with it:\n\n```console\n$ {filed}\n```\n\nor without the file:\n",
            f"```console\n$ {alone}\n```\n\nor in Python:\n\n```python\n{python}\n```",
        ]
    )


def _interval(fit: Mapping[str, Any]) -> str:
    """Return the length with its interval, open ends as 0 and inf."""
    low = "0" if fit["low"] is None else f"{fit['low']:.3g}"
    high = "inf" if fit["high"] is None else f"{fit['high']:.3g}"
    return f"{fit['length']:.3g} [{low}, {high}]"


def figure(result: Mapping[str, Any]) -> Figure:
    """Draw variogram and fit; nodes in reach, resolution and explained variance by signal level."""
    picture, ((near, reach), (coarse, told)) = panels(2, 2, 10.5, 8.4)
    _draw_variogram(near, result)
    levels, nodes = result["levels"], result["nodes"]
    signal = [row["signal"] for row in levels]
    for name, look in _LOOKS.items():
        look = {**look, "label": name, "markersize": 5}
        told.plot(signal, [100 * row["explained"][name] for row in levels], **look)
        if name != ALONE:
            pairs = [row["levels"][name] for row in levels]
            reach.plot(signal, [r * nodes / s for r, s in pairs], **look)
            coarse.plot(signal, [s for _, s in pairs], **look)
    best, low, high = ([row[key] for row in levels] for key in ("neighbours", "low", "high"))
    reach.fill_between(signal, low, high, color=_LOOKS[OWN]["color"], alpha=0.2, linewidth=0)
    band = "most information (band: over the length's 95 %)"
    reach.plot(signal, best, color="0.35", linewidth=3, alpha=0.5, label=band)
    reach.set(title="range: nodes that messages reach", ylabel=f"nodes [of {nodes}]", yscale="log")
    reach.set_ylim(0.8, None)
    coarse.set(title="resolution", ylabel=f"coarse nodes [of {nodes}]", ylim=(0, 1.05 * nodes))
    told.set(title="what a sum over these nodes explains", ylim=(0, 103))
    told.set_ylabel("share of the clean variance [%]")
    for panel in (reach, coarse, told):
        panel.set(xlabel="signal level u [1]: 0 noise, 1 data", xlim=(0, 1))
        panel.grid(color="0.92")
    outer_legend(picture, (told, reach), "lower center", ncol=3, fontsize=9)
    return picture


def _draw_variogram(panel: Axes, result: Mapping[str, Any]) -> None:
    seen, fit = result["variogram"], result["fit"]
    distance, value, low, high = (
        torch.tensor(seen[key], dtype=torch.float64) for key in ("distance", "value", "low", "high")
    )
    spread = torch.stack([value - low, high - value])
    panel.errorbar(distance, value, yerr=spread, fmt="o", color="#000000", markersize=4)
    first, last = (float(distance[i].log10()) for i in (0, -1))
    line = torch.logspace(first, last, 200, dtype=torch.float64)
    panel.plot(line, 1 - decode(fit["correlation"])(line), color="#0072B2", label=f"{fit['family']}, fitted")
    panel.axhline(1, color="0.6", linewidth=0.8, linestyle="--", label="unrelated")
    panel.set(
        title=f"variogram: length {_interval(fit)}",
        xlabel="distance [unit of the positions]",
        ylabel="half squared difference over variance [1]",
        xscale="log",
        ylim=(0, max(1.1, 1.05 * max(seen["high"]))),
    )
    log_ticks(panel.xaxis)
    panel.grid(color="0.92")
    panel.legend(frameon=False, fontsize=9)
