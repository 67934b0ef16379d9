"""Sections of a report on fields: maps, the way from noise to data, times, and what was held out.

A picture is drawn twice, for light and for dark screens; paper gets the light one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from html import escape

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from noisefold.eval.posterior_scores import PosteriorScores, score_posterior, tabulate
from noisefold.eval.score_table import Scores
from noisefold.eval.spatial_statistics import morans_i
from noisefold.geometry.graphs import Graphs
from noisefold.report.calibration import Calibration, calibration_plot
from noisefold.report.clouds import counted
from noisefold.report.fields import Names, Numbers, numbers, times_of
from noisefold.report.maps import completion_maps, field_maps, truth_of
from noisefold.report.parts import Section, png, section
from noisefold.report.sheet import DARK, LIGHT, Paper
from noisefold.report.strip import film_strip, time_strip
from noisefold.report.table import score_table
from noisefold.report.words import listed
from noisefold.sample.completion import Completion

__all__ = ["film", "maps", "patterned", "recovery"]

_PATTERNED, _EACH, _MAPS, _COLORS, _LOOKED_AT = 3, 2, 5, 256, 16


def patterned(graphs: Graphs, names: Names, wanted: Sequence[int | str] = ()) -> list[int]:
    """Features to show: those that were named, and then those with the clearest pattern (Moran's I)."""
    named = [names.number(feature, graphs.features) for feature in wanted]
    order = np.argsort(-_pattern(graphs), kind="stable")
    rest = [int(k) for k in order if k not in named]
    return [*named, *rest[: max(0, _PATTERNED - len(named))]]


def maps(samples: Graphs, real: Graphs | None, names: Names, features: Sequence[int]) -> Section:
    """Samples beside real data, feature by feature."""
    sets = {"generated": samples} if real is None else {"generated": samples, "real": real}
    autocorrelation = {name: _pattern(graphs) for name, graphs in sets.items()}
    over_time = names.time is not None and samples.dim > 2
    body = ""
    for k in features:
        told = ", ".join(f"{v[k]:.2f} {name}" for name, v in autocorrelation.items())
        alt = f"Maps of {names.feature(k)}: {listed(list(sets))}."
        caption = f"Moran's I: {told}."
        if not over_time:
            body += _picture(names.feature(k), alt, caption, partial(_field, sets, k, names))
        body += _times(samples, real, names, k) if names.time is not None else ""
    lead = (
        "The same positions, new values. Colours of all maps of a feature mean the same, from the 1 % to the "
        f"99 % quantile of {'the samples' if real is None else 'what is real'}. A sample need not look like "
        "the real field beside it, but like one of its kind. Moran's I says how much a node resembles its "
        "nearest neighbours: 0 not at all, near 1 a smooth pattern."
    )
    return Section(section("Samples" if real is None else "Samples beside real data", lead, body))


def film(trajectory: Sequence[tuple[float, Graphs]], names: Names, features: Sequence[int]) -> Section:
    """One field on its way from noise to data."""
    shown = listed([names.feature(k) for k in features])
    body = _picture(
        "",
        f"Maps of {shown} at several moments from noise, on the left, to data, on the right.",
        f"One sample, {counted(len(trajectory), 'step')}; rows are {shown}.",
        lambda p: film_strip(trajectory, features, names=names, paper=p),
    )
    lead = (
        "Generation starts from noise and removes it step by step. The signal level says how much of what is "
        "seen is data: 0 % is pure noise, 100 % the finished sample."
    )
    return Section(section("From noise to field", lead, body))


def recovery(
    completion: Completion, names: Names, wanted: Sequence[int | str] = (), table: Scores | None = None
) -> Section:
    """What was held out: truth, posterior and error, feature by feature, and whether the spread is right.

    Without a table of scores, one of the completion alone is made where the truth is known.
    """
    truth, known = truth_of(completion), completion.known
    hidden = ~known
    scored = hidden & truth.isfinite()
    told = bool(scored.any())
    scores = _scored(completion, names) if told else None
    features = _extremes(completion, scores, names, wanted)
    body = ""
    for k in features:
        graph = int(completion.graphs.batch[hidden[:, k]][0])
        caption = f"{counted(int(hidden[:, k].sum()), 'held-out value')}"
        if scores is not None:
            caption += f"; {_told(scores, k)}"
        body += _picture(
            names.feature(k),
            f"Maps of {names.feature(k)}: what was given, truth, posterior mean, spread and error.",
            f"{caption}.",
            partial(_completed, completion, k, graph, names),
        )
    if names.time is not None and features:
        body += _posterior_times(completion, names, features[0])
    if scores is not None:
        body += _spread(Calibration.of(completion.values, truth, known | ~scored, completion.graphs))
        body += score_table(table or tabulate({"model": scores}))
    share = f"{100 * float(hidden.double().mean()):.0f} %"
    lead = (
        f"{share} of the values were hidden from the model, which then drew them {len(completion)} times, "
        "given the others. Their mean is its best guess, their spread what it does not know. Pale or hatched "
        "under “given” is what was hidden; under spread and error, what was known."
    )
    return Section(section("Held out and recovered", lead, body))


# -- parts -----------------------------------------------------------------------------------------------


def _pattern(graphs: Graphs) -> Numbers:
    """Moran's I of each feature, the mean over some graphs, ``[f]``."""
    some = graphs[graphs.sizes > 1][:_LOOKED_AT]
    return numbers(morans_i(some).mean(0)) if len(some) else np.zeros(graphs.features)


def _picture(head: str, alt: str, caption: str, draw: Callable[[Paper], Figure]) -> str:
    heading = f"<h3>{escape(head)}</h3>" if head else ""
    light, dark = (f"data:image/png;base64,{png(draw(paper), _COLORS)}" for paper in (LIGHT, DARK))
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return (
        f'<figure class="map"><div class="frame">{heading}'
        f'<div class="wide" role="region" tabindex="0" aria-label="{escape(alt)}"><picture>'
        f'<source media="screen and (prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img class="still" alt="{escape(alt)}" src="{light}"></picture></div></div>{below}</figure>'
    )


def _field(sets: Mapping[str, Graphs], feature: int, names: Names, paper: Paper) -> Figure:
    return field_maps(sets, feature, names=names, paper=paper)


def _completed(completion: Completion, feature: int, graph: int, names: Names, paper: Paper) -> Figure:
    return completion_maps(completion, feature, graph=graph, names=names, paper=paper)


def _times(samples: Graphs, real: Graphs | None, names: Names, feature: int) -> str:
    """Real and generated values, time by time, if the real graphs are those that the samples stand on."""
    if real is None or samples.x is None or real.x is None:
        return ""
    count = min(4, len(samples), len(real))
    made, true = samples[:count], real[:count]
    first = true.pos[: int(true.ptr[1])]
    if not all(_alike(pos, first) for pos in [*made.unpack(), *true.unpack()]):
        made, true = samples[:1], real[:1]
        if not _alike(made.pos, true.pos):
            return ""
    assert made.x is not None
    assert true.x is not None
    values, truths = (g.unflatten(0, (-1, len(true.pos) // len(true))) for g in (made.x, true.x))
    pos = true.pos[: int(true.ptr[1])]
    name = names.feature(feature)
    alt = f"{name} at several points in time, real and generated."
    caption = f"{name} time by time, {counted(len(truths), 'real field')} and as many generated ones."
    return _picture(
        f"{name}, time by time",
        alt,
        caption,
        lambda p: time_strip(pos, truths, values, feature, names=names, paper=p),
    )


def _alike(a: Tensor, b: Tensor) -> bool:
    """Whether positions are the same, but for the rounding of a standardisation and back."""
    return a.shape == b.shape and bool(torch.allclose(a, b, rtol=1e-4, atol=1e-4 * float(b.abs().max())))


def _posterior_times(completion: Completion, names: Names, feature: int) -> str:
    truth, graphs = truth_of(completion), completion.graphs
    graph = int(graphs.batch[~completion.known[:, feature]][0])
    start, end = graphs.ptr[graph : graph + 2].tolist()
    rows, name = slice(start, end), names.feature(feature)
    if len(times_of(graphs.pos[rows], names, 2)) < 2:
        return ""

    def draw(paper: Paper) -> Figure:
        known, values = completion.known[rows], completion.values[:, rows]
        return time_strip(
            graphs.pos[rows], truth[rows], values, feature, names=names, known=known, paper=paper
        )

    alt = f"{name} at several points in time: truth and posterior."
    return _picture(f"{name}, time by time", alt, "The same field as above.", draw)


def _spread(calibration: Calibration) -> str:
    level = dict(zip(np.round(calibration.nominal, 6), calibration.observed, strict=True))
    caption = (
        f"Left: intervals of probability 50 % hold {100 * level[0.5]:.0f} % of {calibration.values:,} "
        f"held-out values, those of 90 % hold {100 * level[0.9]:.0f} %. Below the line the model is too sure "
        "of itself. Right: where the truth lies among the draws; bars rise at both ends if the model is too "
        "sure, in the middle if it is not sure enough. The 95 % intervals leave out a graph, or a region, at "
        "a time."
    )
    alt = "Observed against nominal coverage of posterior intervals, and the rank histogram of the truth."
    return _picture("Is the spread right?", alt, caption, lambda p: calibration_plot(calibration, paper=p))


def _scored(completion: Completion, names: Names) -> PosteriorScores:
    truth = truth_of(completion)
    counts = completion.known | ~truth.isfinite()
    # An interval can be told from draws only if one of them is expected beyond each of its ends.
    levels = [level for level in (0.5, 0.9) if (len(completion) + 1) * (1 - level) > 2 - 1e-9]
    whole = [names.feature(k) for k in range(truth.shape[1])]
    filled = truth.nan_to_num()
    return score_posterior(completion.values, filled, counts, completion.graphs, levels=levels, names=whole)


def _extremes(
    completion: Completion, scores: PosteriorScores | None, names: Names, wanted: Sequence[int | str]
) -> list[int]:
    """Features to show: those that were named, then those best and worst recovered for their own spread."""
    some = [int(k) for k in (~completion.known).any(0).nonzero()]
    named = [names.number(feature, completion.known.shape[1]) for feature in wanted]
    named = [k for k in named if k in some]
    rest = [k for k in some if k not in named]
    if scores is not None:
        truth = truth_of(completion)
        scale = truth.nan_to_num().double().std(0).clamp(min=1e-12)
        rest.sort(key=lambda k: float(scores.features["CRPS"][k].nan_to_num(np.inf) / scale[k]))
    if len(rest) > 2 * _EACH:
        rest = rest[:_EACH] + rest[-_EACH:]
    return [*named, *rest][: max(_MAPS, len(named))]


def _told(scores: PosteriorScores, feature: int) -> str:
    text = f"CRPS {float(scores.features['CRPS'][feature]):.3g}"
    text += f", root mean square error {float(scores.features['RMSE'][feature]):.3g}"
    held = scores.features.get("cover 90 %")
    return text if held is None else f"{text}; intervals of 90 % hold {100 * float(held[feature]):.0f} %"
