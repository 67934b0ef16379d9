"""Maps of a field, gene by gene: samples beside real data; what was hidden beside what a model made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from noisefold.geometry.graphs import Graphs
from noisefold.report.clouds import class_name, pick
from noisefold.report.fields import Names, Numbers, Places, moment_of, numbers, seen
from noisefold.report.sheet import LIGHT, Paper, Scale, Sheet
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
    """One feature of some graphs of each set: a row for each set, all with one colour scale.

    Small patches of a large tissue are all drawn about their own middles.

    Parameters
    ----------
    sets
        Graphs with features by what they are called, such as ``{"generated": ..., "real": ...}``. The last
        set gives the colour scale, from its 1 % to its 99 % quantile, over all of its graphs that are shown.
    feature
        Which, by number or name.
    names
        What features and axes are called.
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
    rows: list[tuple[str, list[list[Places]], list[Numbers]]] = []
    heads: list[str] = []
    partner = list(sets.values())[-1]
    for name, graphs in sets.items():
        chosen = pick(graphs, count, partner)
        part = graphs[chosen]
        number = names.number(feature, part.features)
        assert part.x is not None
        values = [numbers(x[:, number]) for x in part.unpack(part.x)]
        rows.append((name, [seen(pos, names) for pos in part.unpack()], values))
        heads = heads or [class_name(graphs, i) for i in chosen]
    views = range(len(rows[0][1][0]))
    for v in views:
        together = _gathered([sides[v] for _, places, _ in rows for sides in places])
        moved = iter(together)
        for _, places, _ in rows:
            for sides in places:
                sides[v] = next(moved)
    windows = [Places.together([sides[v] for _, places, _ in rows for sides in places])[0] for v in views]
    scale = Scale.of(np.concatenate(rows[-1][2]), np.concatenate([v for row in rows for v in row[2]]))
    most = max(len(values) for _, _, values in rows)
    if most == 1:  # such as one tissue: sets side by side
        sheet = Sheet(windows, len(rows), [name for name, _, _ in rows], paper=paper, beside=True)
    else:
        labels = [name if v == 0 else "" for name, _, _ in rows for v in views]
        sheet = Sheet(windows * len(rows), most, heads, labels, paper=paper, beside=True)
    for k, (_, places, values) in enumerate(rows):
        for column in range(most):
            for v in views:
                row, at = (v, k) if most == 1 else (k * len(views) + v, column)
                if column < len(values):
                    sheet.fill(row, at, places[column][v], values[column], scale)
                else:
                    sheet.axes[row][at].set_visible(False)
    sheet.bar_beside(0, len(sheet.rows) - 1, scale, names.values)
    return sheet.figure


def _gathered(sides: list[Places]) -> list[Places]:
    """Fields as they are, or, where they would be specks in the window of all, each about its middle."""
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
    """One feature of a completed graph: what was given, truth, posterior mean, spread and error.

    The first three share one colour scale, from the 1 % to the 99 % quantile of the truth. In the first,
    nodes whose value was hidden are blank; in the last two, those whose value was known. Of a field in two
    dimensions of space and in time, the time is shown at which most was hidden.

    Parameters
    ----------
    completion
        What `Model.complete` gave, of ``variable="x"``.
    feature
        Which, by number or name.
    graph
        Which of its graphs.
    truth
        All values, ``[n, f]``, NaN where they are not known; default those of the completion's graphs.
        Without any truth, the panels that need it are left out.
    names
        What features and axes are called.
    paper
        Colours of the figure.

    Raises
    ------
    ValueError
        If there is no such feature or graph, or the completion is of positions, or has fewer than 2 draws.
    """
    names = names or Names()
    real = numbers(truth_of(completion, truth))
    number = names.number(feature, real.shape[1])
    if not 0 <= graph < len(completion.graphs):
        raise ValueError(f"graph must be from 0 to {len(completion.graphs) - 1}, got {graph}.")
    start, end = completion.graphs.ptr[graph : graph + 2].tolist()
    hidden = numbers(~completion.known[start:end, number])
    rows = start + moment_of(completion.graphs.pos[start:end], names, hidden)
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
    value = Scale.of(real if told else filled, np.concatenate([real, filled]))
    scales = [value, Scale.spread(unsure), Scale.error(error)]
    places = seen(completion.graphs.pos[rows], names)
    titles = [title for title, _, _ in panels]
    sheet = Sheet(places, len(panels), titles, paper=paper, below=True, labelled=range(len(places)))
    for view, side in enumerate(places):
        for column, (_, values, kind) in enumerate(panels):
            sheet.fill(view, column, side, values, scales[kind])
    if not known.any():
        sheet.say(0, 0, "nothing of this\nfeature was given")
    labels = (names.values, "standard deviation", f"error of the {names.values}")
    for kind, label in enumerate(labels):
        columns = [c for c, panel in enumerate(panels) if panel[2] == kind]
        if columns:
            sheet.bar_below(columns[0], columns[-1], scales[kind], label)
    return sheet.figure


def truth_of(completion: Completion, truth: Tensor | None = None) -> Tensor:
    """The truth of a completed field, ``[n, f]``: what was given with it, or else the graphs' own features.

    Raises
    ------
    ValueError
        If the completion is not one of features with at least 2 draws, or the truth has another shape.
    """
    if completion.variable != "x":
        raise ValueError(
            f'completion must be of features (variable="x"), got variable={completion.variable!r}.'
        )
    if len(completion) < 2:
        raise ValueError(f"completion must have at least 2 draws to show a spread, got {len(completion)}.")
    real = completion.graphs.x if truth is None else truth
    wanted = list(completion.known.shape)
    if real is None or list(real.shape) != wanted:
        raise ValueError(f"truth must be {wanted}, got {'none' if real is None else list(real.shape)}.")
    given = completion.values[0].to(real)
    return torch.where(completion.known.to(real.device), given, real)
