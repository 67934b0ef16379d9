"""Maps of a field, gene by gene: samples beside real data, and a completion beside the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from noisefold.geometry.display import class_name, pick
from noisefold.geometry.graphs import Graphs
from noisefold.report.data.projection import Names, Numbers, Projection, at_one_time, numbers, projections
from noisefold.report.figures.panels import PanelGrid
from noisefold.report.figures.style import LIGHT, ColorScale, Paper
from noisefold.sample.completion import Completion

__all__ = ["completion_maps", "field_maps", "truth_of"]

_SPECK = 4.0  # how much larger a window may be than the largest field in it


def field_maps(
    sets: Mapping[str, Graphs],
    feature: int | str = 0,
    *,
    names: Names | None = None,
    count: int = 5,
    paper: Paper = LIGHT,
) -> Figure:
    """Draw one feature of some graphs of each set: a row for each set, all with one colour scale.

    Small patches of a large tissue are drawn about their own middles.

    Parameters
    ----------
    sets
        Graphs with features by name, such as ``{"generated": ..., "real": ...}``. The last set gives the
        colour scale, from the 1 % to the 99 % quantile of its graphs that are shown.
    feature
        Its index or name.
    names
        Names of features and axes.
    count
        Graphs of each set, at most; with classes, the first of every class in turn.
    paper
        Colours of the figure.

    Raises
    ------
    ValueError
        If there is nothing to draw, or no such feature.
    """
    names = names or Names()
    if not sets or any(len(g) == 0 or g.x is None for g in sets.values()):
        raise ValueError("sets must hold at least one set of at least one graph with features.")
    rows: list[tuple[str, list[list[Projection]], list[Numbers]]] = []
    heads: list[str] = []
    partner = list(sets.values())[-1]
    for name, graphs in sets.items():
        chosen = pick(graphs, count, partner)
        part = graphs[chosen]
        number = names.number(feature, part.features)
        assert part.x is not None
        values = [numbers(x[:, number]) for x in part.unpack(part.x)]
        rows.append((name, [projections(pos, names) for pos in part.unpack()], values))
        heads = heads or [class_name(graphs, i) for i in chosen]
    views = range(len(rows[0][1][0]))
    for v in views:
        together = _gathered([sides[v] for _, places, _ in rows for sides in places])
        moved = iter(together)
        for _, places, _ in rows:
            for sides in places:
                sides[v] = next(moved)
    windows = [Projection.together([sides[v] for _, places, _ in rows for sides in places])[0] for v in views]
    scale = ColorScale.values(
        np.concatenate(rows[-1][2]), np.concatenate([v for row in rows for v in row[2]])
    )
    most = max(len(values) for _, _, values in rows)
    if most == 1:  # such as one tissue: sets side by side
        grid = PanelGrid(windows, len(rows), [name for name, _, _ in rows], paper=paper)
    else:
        labels = [name if v == 0 else "" for name, _, _ in rows for v in views]
        grid = PanelGrid(windows * len(rows), most, heads, labels, paper=paper)
    for k, (_, places, values) in enumerate(rows):
        for column in range(most):
            for v in views:
                row, at = (v, k) if most == 1 else (k * len(views) + v, column)
                if column < len(values):
                    grid.fill(row, at, places[column][v], values[column], scale)
                else:
                    grid.axes[row][at].set_visible(False)
    panels = [axes for line in grid.axes for axes in line]
    grid.color_bar(panels, scale, names.values, "right")
    return grid.figure


def _gathered(sides: list[Projection]) -> list[Projection]:
    """Return fields as they are, or, where they would be specks in one window, each about its middle."""
    low, high = np.array([p.low for p in sides]), np.array([p.high for p in sides])
    own, all_ = (high - low).max(0), high.max(0) - low.min(0)
    if float(own.prod()) * _SPECK >= float(all_.prod()) or any(p.grid is not None for p in sides):
        return sides
    out = []
    for p, middle in zip(sides, (low + high) / 2, strict=True):
        wide, tall = ((b - a) / 2 for a, b in zip(p.low, p.high, strict=True))
        first, second = (f"{name}, from its middle" for name in p.labels)
        xy = p.xy - middle
        out.append(replace(p, xy=xy, labels=(first, second), low=(-wide, -tall), high=(wide, tall)))
    return out


def completion_maps(
    completion: Completion,
    feature: int | str = 0,
    *,
    graph: int = 0,
    truth: Tensor | None = None,
    names: Names | None = None,
    paper: Paper = LIGHT,
) -> Figure:
    """Draw one feature of a completed graph: given values, truth, posterior mean, spread and error.

    The first three share one colour scale, from the 1 % to the 99 % quantile of the truth. In the first,
    nodes whose value was hidden are blank; in the last two, nodes whose value was known. Over time and at
    least two dimensions of space, the time is shown at which most was hidden.

    Parameters
    ----------
    completion
        A completion of features, as `Model.complete` returns it.
    feature
        Its index or name.
    graph
        Index of the graph.
    truth
        All values, ``[n, f]``, NaN where unknown; default those of the completion's graphs. Without any
        truth, the panels that need it are left out.
    names
        Names of features and axes.
    paper
        Colours of the figure.

    Raises
    ------
    ValueError
        If there is no such feature or graph, the truth does not fit, or there are fewer than 2 draws.
    """
    names = names or Names()
    real = numbers(truth_of(completion, truth))
    number = names.number(feature, real.shape[1])
    if not 0 <= graph < len(completion.graphs):
        raise ValueError(f"graph must be from 0 to {len(completion.graphs) - 1}, got {graph}.")
    start, end = completion.graphs.ptr[graph : graph + 2].tolist()
    hidden = numbers(~completion.known[start:end, number])
    rows = start + at_one_time(completion.graphs.pos[start:end], names, hidden)
    known = completion.known[rows, number].cpu().numpy()
    real = real[rows, number]
    drawn = numbers(completion.values[:, rows, number])
    mean, spread = drawn.mean(0), drawn.std(0, ddof=1)
    told = bool(np.isfinite(real[~known]).any())
    given = np.where(known, real, np.nan)
    error = np.where(known, np.nan, mean - real)
    unsure = np.where(known, np.nan, spread)
    filled = np.where(known, real, mean)
    panels: list[tuple[str, Numbers, int]] = [("given", given, 0)]
    panels += [("truth", real, 0)] if told else []
    panels += [("posterior mean", filled, 0), ("posterior spread", unsure, 1)]
    panels += [("error: mean - truth", error, 2)] if told else []
    value = ColorScale.values(real if told else filled, np.concatenate([real, filled]))
    scales = [value, ColorScale.spread(unsure), ColorScale.error(error)]
    places = projections(completion.graphs.pos[rows], names)
    titles = [title for title, _, _ in panels]
    grid = PanelGrid(places, len(panels), titles, paper=paper, labelled=range(len(places)))
    for view, side in enumerate(places):
        for column, (_, values, kind) in enumerate(panels):
            grid.fill(view, column, side, values, scales[kind])
    if not known.any():
        grid.write(0, 0, "nothing of this\nfeature was given")
    labels = (names.values, "standard deviation", f"error of the {names.values}")
    for kind, label in enumerate(labels):
        columns = [c for c, panel in enumerate(panels) if panel[2] == kind]
        if columns:
            below = [line[c] for line in grid.axes for c in columns]
            grid.color_bar(below, scales[kind], label, "bottom")
    return grid.figure


def truth_of(completion: Completion, truth: Tensor | None = None) -> Tensor:
    """Return the truth of a completed field, ``[n, f]``: given, or else the graphs' own features.

    Raises
    ------
    ValueError
        If there are fewer than 2 draws, or the truth is not of the values that were completed.
    """
    if len(completion) < 2:
        raise ValueError(f"completion must have at least 2 draws to show a spread, got {len(completion)}.")
    real = completion.graphs.x if truth is None else truth
    wanted = list(completion.known.shape)
    if real is None or list(real.shape) != wanted:
        raise ValueError(f"truth must be {wanted}, got {'none' if real is None else list(real.shape)}.")
    given, known = completion.values[0].to(real), completion.known.to(real.device)
    if truth is None and not torch.equal(given[known], real[known]):
        raise ValueError("completion must be of the graphs' features x; its known values are others.")
    return torch.where(known, given, real)
