"""What the study of a user's own range shows: variogram, reach, resolution and explained variance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from noisefold.configuration import decode
from noisefold.studies.own_range import ALONE, FIXED, OWN, PAPER, WIDE, interval_of

__all__ = ["figure"]

_LOOKS = {
    OWN: ("#0072B2", "o", "-"),
    PAPER: ("#D55E00", "s", "--"),
    FIXED: ("#009E73", "^", "-."),
    WIDE: ("#000000", "D", ":"),
    ALONE: ("#CC79A7", "x", (0, (1, 3))),
}


def figure(result: Mapping[str, Any]) -> Figure:
    """Variogram and fit; nodes in reach, resolution and explained variance by signal level."""
    picture = Figure(figsize=(10.5, 8.4), layout="constrained")
    (near, reach), (coarse, told) = picture.subplots(2, 2)
    _draw_variogram(near, result)
    levels, nodes = result["levels"], result["nodes"]
    signal = [row["signal"] for row in levels]
    for name, (colour, mark, style) in _LOOKS.items():
        look: dict[str, Any] = {"color": colour, "marker": mark, "linestyle": style, "label": name}
        look |= {"markersize": 5}
        told.plot(signal, [100 * row["explained"][name] for row in levels], **look)
        if name != ALONE:
            pairs = [row["levels"][name] for row in levels]
            reach.plot(signal, [r * nodes / s for r, s in pairs], **look)
            coarse.plot(signal, [s for _, s in pairs], **look)
    best = [row["neighbours"] for row in levels]
    ends = ([row[key] for row in levels] for key in ("low", "high"))
    reach.fill_between(signal, *ends, color=_LOOKS[OWN][0], alpha=0.2, linewidth=0)
    reach.plot(
        signal, best, color="0.35", linewidth=3, alpha=0.5, label="tells most (band: over the length's 95 %)"
    )
    reach.set(
        title="how far: nodes that messages reach",
        ylabel=f"nodes [of {nodes}]",
        yscale="log",
        ylim=(0.8, None),
    )
    coarse.set(title="how coarse: resolution", ylabel=f"coarse nodes [of {nodes}]", ylim=(0, 1.05 * nodes))
    told.set(
        title="what a sum over these nodes explains", ylabel="share of the clean variance [%]", ylim=(0, 103)
    )
    for panel in (reach, coarse, told):
        panel.set(xlabel="signal level u [1]: 0 noise, 1 data", xlim=(0, 1))
        panel.grid(color="0.92")
    handles = dict(zip(*reversed(told.get_legend_handles_labels()), strict=True))
    handles |= dict(zip(*reversed(reach.get_legend_handles_labels()), strict=True))
    picture.legend(
        list(handles.values()), list(handles), loc="outside lower center", ncol=3, frameon=False, fontsize=9
    )
    return picture


def _draw_variogram(panel: Axes, result: Mapping[str, Any]) -> None:
    seen, fit = result["variogram"], result["fit"]
    distance = torch.tensor(seen["distance"], dtype=torch.float64)
    spread = [
        [v - a for v, a in zip(seen["value"], seen["low"], strict=True)],
        [b - v for v, b in zip(seen["value"], seen["high"], strict=True)],
    ]
    panel.errorbar(seen["distance"], seen["value"], yerr=spread, fmt="o", color="#000000", markersize=4)
    line = torch.logspace(
        math.log10(float(distance[0])), math.log10(float(distance[-1])), 200, dtype=torch.float64
    )
    panel.plot(line, 1 - decode(fit["correlation"])(line), color="#0072B2", label=f"{fit['family']}, fitted")
    panel.axhline(1, color="0.6", linewidth=0.8, linestyle="--", label="unrelated")
    panel.set(
        title=f"variogram: length {interval_of(fit)}",
        xlabel="distance [unit of the positions]",
        ylabel="half squared difference over variance [1]",
        xscale="log",
        ylim=(0, max(1.1, 1.05 * max(seen["high"]))),
    )
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.grid(color="0.92")
    panel.legend(frameon=False, fontsize=9)
