"""What sets of graphs have in common on paper: degrees, clustering, sizes, frequencies of types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from noisefold.eval.graph_metrics import edge_type_frequencies, node_type_frequencies
from noisefold.eval.graph_statistics import GraphStatistics
from noisefold.geometry.display import short_name
from noisefold.report.figures.style import LIGHT, Paper, dress, labels, new_figure

__all__ = ["structure_plots", "type_plots"]

_BINS = 20  # of local clustering coefficients
_MARKS = ("o", "s", "x", "^")


def structure_plots(sets: Mapping[str, GraphStatistics], paper: Paper = LIGHT) -> Figure:
    """Draw the degrees and the local clustering of all nodes, and the nodes and edges of all graphs.

    Parameters
    ----------
    sets
        Sets of graphs by name, of which the first is drawn on top.
    paper
        Colours.
    """
    figure = new_figure(8.9, 2.6, paper)
    degree, clustering, size = figure.subplots(1, 3)
    for k, (name, graphs) in reversed(list(enumerate(sets.items()))):
        look = _look(k, paper)
        shares = graphs.degree.sum(0) / graphs.degree.sum()
        degree.plot(np.arange(len(shares)), shares, label=name, **look)
        counts = graphs.clustering.sum(0).reshape(_BINS, -1).sum(1)
        edges = np.linspace(0, 1, _BINS + 1)
        clustering.stairs(counts / counts.sum(), edges, label=name, **_without_marker(look))
        size.scatter(
            graphs.sizes, graphs.edges, s=10, label=name, color=look["color"], marker=_MARKS[k % len(_MARKS)],
            alpha=0.6, linewidths=0.8,
        )  # fmt: skip
    for axes in (degree, clustering):
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_ylim(bottom=0)
    degree.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    for axes in (size.xaxis, size.yaxis):
        axes.set_major_locator(MaxNLocator(5, integer=True))
    dress(degree, paper, legend={"loc": "best"})
    dress(clustering, paper)
    dress(size, paper)
    labels(degree, paper, "degree", "nodes")
    labels(clustering, paper, "local clustering coefficient", "nodes")
    labels(size, paper, "nodes of a graph", "edges of a graph")
    return figure


def type_plots(sets: Mapping[str, GraphStatistics], paper: Paper = LIGHT) -> Figure:
    """Draw the frequencies of the types of nodes, and of edges, for those sets that have types."""
    first = next(iter(sets.values())).graphs
    kinds: list[tuple[str, Any, tuple[str, ...]]] = []
    if first.node_type is not None:
        kinds.append(("nodes", node_type_frequencies, first.node_types))
    if first.edge_type is not None:
        kinds.append(("edges", edge_type_frequencies, first.edge_types))
    figure = new_figure(8.9, 2.4, paper)
    for axes, (noun, count, names) in zip(
        figure.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True
    ):
        found = {name: count(first, graphs.graphs)[1].sum(0) for name, graphs in sets.items()}
        _bars(axes, {name: c / max(c.sum(), 1) for name, c in found.items()}, names, noun, paper)
    return figure


def _bars(
    axes: Axes, shares: Mapping[str, NDArray[np.float64]], names: tuple[str, ...], noun: str, paper: Paper
) -> None:
    columns, width = max(len(s) for s in shares.values()), 0.8 / len(shares)
    for k, (name, values) in enumerate(shares.items()):
        places = np.arange(len(values)) + (k - (len(shares) - 1) / 2) * width
        axes.bar(places, values, width, label=name, color=_look(k, paper)["color"])
    named = [short_name(names[k]) if k < len(names) else f"type {k}" for k in range(columns)]
    axes.set_xticks(np.arange(columns), named, parse_math=False)
    if columns > 8:
        axes.tick_params(axis="x", rotation=60)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    dress(axes, paper, legend={"loc": "best"})
    labels(axes, paper, f"types of {noun}", noun)


def _look(k: int, paper: Paper) -> dict[str, Any]:
    looks: list[dict[str, Any]] = [
        {"color": paper.first, "linewidth": 1.8, "marker": "o", "markersize": 2.5},
        {"color": paper.second, "linewidth": 1.3, "marker": "o", "markersize": 2},
        {"color": paper.faint, "linewidth": 1.1, "linestyle": "--"},
        {"color": "#009e73", "linewidth": 1.1, "linestyle": ":"},
    ]
    return looks[k % len(looks)]


def _without_marker(look: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in look.items() if not k.startswith("marker")}
