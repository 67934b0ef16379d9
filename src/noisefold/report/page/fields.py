"""Sections of a report on a model of features: maps, the path from noise, times, and held-out recovery."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from noisefold.eval.field_metrics import aligned, distances, vectors
from noisefold.eval.field_scores import score_fields
from noisefold.eval.posterior_scores import PosteriorScores, score_posterior, tabulate
from noisefold.eval.spatial_statistics import morans_i
from noisefold.geometry.graphs import Graphs
from noisefold.report.data.calibration import Calibration
from noisefold.report.data.content import Content
from noisefold.report.data.projection import Names, Numbers, numbers, time_points
from noisefold.report.data.recovery import interval_levels, recover
from noisefold.report.data.summary import counted, listed
from noisefold.report.data.trajectory import sample_trajectory
from noisefold.report.figures.curves import calibration_plot
from noisefold.report.figures.field_maps import completion_maps, field_maps, truth_of
from noisefold.report.figures.field_series import field_trajectory, time_series
from noisefold.report.figures.style import Paper
from noisefold.report.page.blocks import Block, Picture, Section
from noisefold.report.page.score_table import ScoreTable
from noisefold.sample.completion import Completion
from noisefold.sample.defaults import completes

__all__ = ["FieldPictures"]

_PATTERNED, _EACH, _MAPS, _LOOKED_AT = 3, 2, 5, 16
_SCORED = 8  # test fields that scores need


class FieldPictures:
    """What a report shows of a model of features on given positions."""

    unit = "nodes a field"

    def title(self, content: Content) -> str:
        """Return what the model generates."""
        return f"{counted(content.shown.features, 'feature')} on {content.shown.dim}-D positions"

    def completed(self, content: Content) -> Content:
        """Return the content with samples, their path from noise, scores, and, if possible, recovery.

        Samples are generated on the positions of every other test field, which leaves the rest for the
        scores; on all of them where fewer than 8 are too few to score. Without test fields, the training
        fields are shown, and a fact says so.
        """
        model, test, train = content.model, content.test, content.train
        how = {"steps": content.steps, "seed": content.seed}
        like = train if test is None else test
        if like is None:
            raise ValueError(
                "test must be given for a model of features: they are generated on its positions."
            )
        facts, samples, scores = dict(content.facts), content.samples, content.scores
        if test is None:
            facts["held out"] = "nothing: the fields of this page are those the model learned from"
        shown, scored = _shown(like, content.draws), test is not None and len(test) >= _SCORED
        samples = model.sample_for(shown, like=shown, **how) if samples is None else samples
        if scores is None and scored:
            scores = score_fields({"model": samples, **content.others}, like, train, seed=content.seed)
        trajectory = content.trajectory
        if trajectory is None:
            trajectory = sample_trajectory(model, like, seed=content.seed)
        completion, recovered = content.completion, content.recovered
        if completion is None and completes(model.path, model.variable, model.for_completion):
            completion, recovered = recover(
                model, like, train, steps=min(content.steps, 20), seed=content.seed
            )
        return replace(
            content,
            test=like,
            facts=facts,
            samples=samples,
            scores=scores,
            trajectory=trajectory,
            completion=completion,
            recovered=recovered,
        )

    def sections(self, content: Content) -> list[Section]:
        """Return the sections of maps, of the path from noise, and of held-out recovery."""
        names = content.names if content.names.features else replace(content.names, features=_named(content))
        content = replace(content, names=names)
        real = None if content.test is None else _shown(content.test, max(content.draws, 1))
        chosen = _patterned(content.shown if real is None else real, names, content.features)
        return [
            _maps(content, real, chosen),
            *([_path(content, chosen)] if content.trajectory else []),
            *([] if content.completion is None else [_recovery(content, content.completion)]),
        ]


def _named(content: Content) -> tuple[str, ...]:
    return content.model.feature_names or content.shown.feature_names


def _shown(fields: Graphs, most: int) -> Graphs:
    return (fields[::2] if len(fields) >= _SCORED else fields)[:most]


def _patterned(graphs: Graphs, names: Names, wanted: Sequence[int | str]) -> list[int]:
    """Return features to show: the wanted ones, then those with the clearest pattern (Moran's I)."""
    named = [names.number(feature, graphs.features) for feature in wanted]
    order = np.argsort(-_pattern(graphs), kind="stable")
    rest = [int(k) for k in order if k not in named]
    return [*named, *rest[: max(0, _PATTERNED - len(named))]]


def _pattern(graphs: Graphs) -> Numbers:
    """Return Moran's I of each feature, the mean over some graphs, ``[f]``."""
    some = graphs[graphs.sizes > 1][:_LOOKED_AT]
    return numbers(morans_i(some).mean(0)) if len(some) else np.zeros(graphs.features)


# -- samples -----------------------------------------------------------------------------------------------


def _maps(content: Content, real: Graphs | None, features: Sequence[int]) -> Section:
    """Samples beside test data and the nearest training data, feature by feature."""
    samples, names = content.shown, content.names
    sets: dict[str, Graphs] = {"generated": samples, **content.others}
    if real is not None and content.train is not None and aligned(samples, content.train):
        near = distances(vectors(samples), vectors(content.train)).argmin(1)
        sets["nearest in training"] = content.train[near.tolist()]
    sets |= {} if real is None else {"test data": real}
    autocorrelation = {name: _pattern(graphs) for name, graphs in sets.items()}
    blocks: list[Block] = []
    for k in features:
        told = ", ".join(f"{v[k]:.2f} {name}" for name, v in autocorrelation.items())
        alt, caption = f"Maps of {names.feature(k)}: {listed(list(sets))}.", f"Moran's I: {told}."
        if names.time is None or samples.dim < 3:
            blocks.append(Picture.of(names.feature(k), alt, caption, _map_of(sets, k, names)))
        blocks += _times(samples, real, names, k)
    lead = (
        "The same positions, new values. Colours of all maps of a feature mean the same, from the 1 % to the "
        f"99 % quantile of the {'samples' if real is None else 'test data'}. A sample need not look like the "
        "test field beside it, but like one of its kind. Moran's I says how much a node resembles its "
        "nearest neighbours: 0 not at all, near 1 a smooth pattern."
    )
    return Section("Samples" if real is None else "Samples beside test data", lead, blocks)


def _map_of(sets: Mapping[str, Graphs], feature: int, names: Names) -> Callable[[Paper], Figure]:
    return lambda paper: field_maps(sets, feature, names=names, paper=paper)


def _times(samples: Graphs, real: Graphs | None, names: Names, feature: int) -> list[Block]:
    """Real and generated values, time by time, if samples and real graphs have the same positions."""
    if names.time is None or real is None or samples.x is None or real.x is None:
        return []
    count = min(4, len(samples), len(real))
    made, true = samples[:count], real[:count]
    if not aligned(made, true):
        made, true = samples[:1], real[:1]
        if not aligned(made, true):
            return []
    assert made.x is not None
    assert true.x is not None
    first = true.pos[: int(true.ptr[1])]
    values, truths = (x.unflatten(0, (-1, len(first))) for x in (made.x, true.x))
    name = names.feature(feature)
    alt = f"{name} at several points in time, real and generated."
    caption = f"{name} time by time, {counted(len(truths), 'real field')} and as many generated ones."

    def draw(paper: Paper) -> Figure:
        return time_series(first, truths, values, feature, names=names, paper=paper)

    return [Picture.of(f"{name}, time by time", alt, caption, draw)]


def _path(content: Content, features: Sequence[int]) -> Section:
    """One field on its way from noise to data."""
    trajectory, names = content.trajectory or (), content.names
    shown = listed([names.feature(k) for k in features])
    picture = Picture.of(
        "",
        f"Maps of {shown} at several moments from noise, on the left, to data, on the right.",
        f"One sample, {counted(len(trajectory), 'step')}; rows are {shown}.",
        lambda paper: field_trajectory(trajectory, features, names=names, paper=paper),
    )
    lead = (
        "Generation starts from noise and removes it step by step. The signal level is the share of data in "
        "what is seen: 0 % is pure noise, 100 % the finished sample."
    )
    return Section("From noise to field", lead, [picture])


# -- held-out recovery -------------------------------------------------------------------------------------


def _recovery(content: Content, completion: Completion) -> Section:
    """Truth, posterior and error of hidden values, feature by feature, and the calibration of the spread.

    Without a table of scores, one of the completion alone is made where the truth is known.
    """
    names, truth, hidden = content.names, truth_of(completion), ~completion.known
    scored = hidden & truth.isfinite()
    scores = _scored(completion, truth, names) if bool(scored.any()) else None
    features = _extremes(completion, truth, scores, names, content.features)
    blocks: list[Block] = [_completed(completion, k, scores, names) for k in features]
    if names.time is not None and features:
        blocks += _posterior_times(completion, truth, names, features[0])
    if scores is not None:
        blocks.append(_spread(Calibration.of(completion.values, truth, ~scored, completion.graphs)))
        blocks.append(ScoreTable.of(content.recovered or tabulate({"model": scores})))
    lead = (
        f"{100 * float(hidden.double().mean()):.0f} % of the values were hidden from the model, which then "
        f"drew them {len(completion)} times, given the others. The mean of the draws is its best guess, "
        "their spread its uncertainty. Pale or hatched are hidden values under “given”, and known ones under "
        "spread and error."
    )
    return Section("Held-out recovery", lead, blocks)


def _completed(completion: Completion, feature: int, scores: PosteriorScores | None, names: Names) -> Picture:
    hidden = ~completion.known[:, feature]
    graph = int(completion.graphs.batch[hidden][0])
    caption = counted(int(hidden.sum()), "held-out value")
    if scores is not None:
        caption += f"; {_told(scores, feature)}"
    return Picture.of(
        names.feature(feature),
        f"Maps of {names.feature(feature)}: given values, truth, posterior mean, spread and error.",
        f"{caption}.",
        lambda paper: completion_maps(completion, feature, graph=graph, names=names, paper=paper),
    )


def _posterior_times(completion: Completion, truth: Tensor, names: Names, feature: int) -> list[Block]:
    graphs = completion.graphs
    graph = int(graphs.batch[~completion.known[:, feature]][0])
    rows, name = slice(*graphs.ptr[graph : graph + 2].tolist()), names.feature(feature)
    if len(time_points(graphs.pos[rows], names, 2)) < 2:
        return []

    def draw(paper: Paper) -> Figure:
        known, values = completion.known[rows], completion.values[:, rows]
        return time_series(
            graphs.pos[rows], truth[rows], values, feature, names=names, known=known, paper=paper
        )

    alt = f"{name} at several points in time: truth and posterior."
    return [Picture.of(f"{name}, time by time", alt, "The same field as above.", draw)]


def _spread(calibration: Calibration) -> Picture:
    level = dict(zip(np.round(calibration.nominal, 6), calibration.observed, strict=True))
    caption = (
        f"Left: intervals of probability 50 % hold {100 * level[0.5]:.0f} % of {calibration.values:,} "
        f"held-out values, those of 90 % hold {100 * level[0.9]:.0f} %. Below the line the model is too sure "
        "of itself. Right: the rank of the truth among the draws; bars rise at both ends if the model is too "
        "sure, in the middle if it is not sure enough. The 95 % intervals leave out a graph, or a region, at "
        "a time."
    )
    alt = "Observed against nominal coverage of posterior intervals, and the rank histogram of the truth."
    return Picture.of("Calibration", alt, caption, lambda paper: calibration_plot(calibration, paper=paper))


def _scored(completion: Completion, truth: Tensor, names: Names) -> PosteriorScores:
    known = completion.known | ~truth.isfinite()
    whole = [names.feature(k) for k in range(truth.shape[1])]
    levels = interval_levels(len(completion))
    return score_posterior(
        completion.values, truth.nan_to_num(), known, completion.graphs, levels=levels, names=whole
    )


def _extremes(
    completion: Completion,
    truth: Tensor,
    scores: PosteriorScores | None,
    names: Names,
    wanted: Sequence[int | str],
) -> list[int]:
    """Return features to show: the wanted ones, then those best and worst recovered for their own spread."""
    some = [int(k) for k in (~completion.known).any(0).nonzero()]
    named = [names.number(feature, completion.known.shape[1]) for feature in wanted]
    named = [k for k in named if k in some]
    rest = [k for k in some if k not in named]
    if scores is not None:
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
