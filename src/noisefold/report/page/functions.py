"""Sections of a report on a model of random functions: draws given what is known, and their calibration."""

from __future__ import annotations

from dataclasses import replace

import torch
from matplotlib.figure import Figure
from torch import Tensor

from noisefold.data.functions.modality import FunctionSamples
from noisefold.eval.posterior_scores import PosteriorScores, score_posterior, tabulate
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.selection import spread
from noisefold.report.data.calibration import Calibration
from noisefold.report.data.content import Content
from noisefold.report.data.recovery import interval_levels
from noisefold.report.data.summary import counted
from noisefold.report.figures.curves import calibration_plot
from noisefold.report.figures.functions import function_curves, function_maps
from noisefold.report.figures.style import Paper, png
from noisefold.report.figures.tracks import track_globe, track_maps
from noisefold.report.page.blocks import Block, Interactive, Picture, Section
from noisefold.report.page.score_table import ScoreTable
from noisefold.sample.completion import Completion

__all__ = ["FunctionPictures"]

_CONTEXT = (1, 3, 10, 5)  # known points of functions on the line, one after another
_STATIONS = 100  # of a field
_FIELDS, _LINES, _MAPS = 12, 32, 3
_MOST = 1500  # nodes of a field that are drawn


class FunctionPictures:
    """What a report shows of a model of functions on the line, the plane or the sphere."""

    unit = "points a function"

    def title(self, content: Content) -> str:
        """Return what the model generates."""
        kind = _kind(content)
        where = "the sphere" if kind.inputs == "sphere" else f"{content.shown.dim}-D space"
        what = {"vector": "vector fields", "sphere": "paths on the sphere"}.get(kind.outputs, "functions")
        return f"{what} on {where}"

    def completed(self, content: Content) -> Content:
        """Return the content with draws of held-out functions given some of their points.

        Raises
        ------
        ValueError
            If there are no functions.
        """
        like = content.train if content.test is None else content.test
        if like is None:
            raise ValueError(
                "test must be given for a model of functions: parts of them are what it is given."
            )
        facts, completion = dict(content.facts), content.completion
        if content.test is None:
            facts["held out"] = "nothing: the functions of this page are those the model learned from"
        if completion is None:
            some = _few(like)
            known = _context(some, content.seed)
            steps = min(content.steps, 20)
            how = {"draws": max(2, min(content.draws, 39)), "steps": steps, "seed": content.seed}
            completion = content.model.complete(some, known, **how)
        return replace(
            content, test=like, facts=facts, completion=completion, samples=content.samples or like[:1]
        )

    def sections(self, content: Content) -> list[Section]:
        """Return the sections of draws and of their calibration."""
        if content.completion is None:
            return []
        return [_draws(content, content.completion), _calibration(content.completion)]


def _kind(content: Content) -> FunctionSamples:
    graphs = next(g for g in (content.test, content.train, content.samples) if g is not None)
    return graphs.modality if isinstance(graphs.modality, FunctionSamples) else FunctionSamples()


def _few(graphs: Graphs) -> Graphs:
    """Return some functions, spread over all, none with very many points."""
    count = min(len(graphs), _LINES if graphs.dim == 1 else _FIELDS)
    chosen = spread(len(graphs), count).unique()
    some = graphs[chosen]
    keys = torch.rand(some.num_nodes, generator=torch.Generator().manual_seed(0))
    return some.thin(_MOST, keys)


def _context(graphs: Graphs, seed: int) -> Tensor:
    """Return which points are known, ``[n]``: random ones of each function."""
    generator = torch.Generator().manual_seed(seed)
    known = torch.zeros(graphs.num_nodes, dtype=torch.bool)
    for i, (start, size) in enumerate(zip(graphs.ptr.tolist(), graphs.sizes.tolist(), strict=False)):
        wanted = _CONTEXT[i % len(_CONTEXT)] if graphs.dim == 1 else _STATIONS
        order = torch.randperm(size, generator=generator)[: min(wanted, size // 2)]
        known[start + order] = True
    return known


def _draws(content: Content, completion: Completion) -> Section:
    kind, graphs = _kind(content), completion.graphs
    lead = (
        f"Held-out functions of which some points are known, drawn {len(completion)} times each. A draw is "
        "one function that fits what is known; their mean is smoother than any of them, and their spread is "
        "what is not known."
    )
    blocks: list[Block] = []
    if graphs.dim == 1 and kind.outputs == "sphere":
        return Section("Draws given what is known", lead, _tracks(completion))
    if graphs.dim == 1:
        blocks += [_curves(completion, k) for k in range(min(graphs.features, _MAPS))]
        return Section("Draws given what is known", lead, blocks)
    vector = kind.outputs == "vector"
    for i in range(min(len(graphs), _MAPS if vector or graphs.features == 1 else 1)):
        for feature in (None,) if vector else range(min(graphs.features, _MAPS)):
            name = _named(kind, completion, feature)
            blocks.append(_map(completion, i, feature, name))
            if feature is None:
                blocks.append(_map(completion, i, None, name, streamlines=True))
    return Section("Draws given what is known", lead, blocks)


def _curves(completion: Completion, feature: int) -> Block:
    name = completion.column(feature)
    alt = f"{name}: draws, intervals, known points and truth of some functions."

    def draw(paper: Paper) -> Figure:
        return function_curves(completion, feature, paper=paper)

    return Picture.of(name, alt, "Dots are known; the dashed line is the truth.", draw)


def _tracks(completion: Completion) -> list[Block]:
    alt = "Maps of some tracks: draws, their median, known places and truth."
    caption = "Dots are known; the dashed line is the truth."

    def draw(paper: Paper) -> Figure:
        return track_maps(completion, paper=paper)

    maps = Picture.of("", alt, caption, draw)
    alt = "A globe with one track: draws, known places and truth."
    still = png(track_maps(completion, count=1))
    globe = Interactive("globe", "", alt, "The first of these tracks.", track_globe(completion), still, 1.5)
    return [maps, globe]


def _named(kind: FunctionSamples, completion: Completion, feature: int | None) -> str:
    """Return the name of a variable with its unit."""
    own = kind.coordinates
    if own is None:
        return "length of the vector" if feature is None else completion.column(feature)
    names = own.variables if feature is None else own.variables[feature : feature + 1]
    unit = own.attributes_of(names[0]).get("units", "")
    return f"{', '.join(names)}{f' [{unit}]' if unit else ''}"


def _map(
    completion: Completion, graph: int, feature: int | None, name: str, streamlines: bool = False
) -> Picture:
    rows = slice(*completion.graphs.ptr[graph : graph + 2].tolist())
    known = int(completion.known[rows].all(1).sum())
    alt = f"Maps of {name}: truth, mean of the draws, two draws, spread and error."
    caption = f"Rings: the {counted(known, 'place')} where it is known."

    def draw(paper: Paper) -> Figure:
        return function_maps(
            completion, feature, graph=graph, name=name, streamlines=streamlines, paper=paper
        )

    lines = ", streamlines" if streamlines else ""
    return Picture.of(f"{name}, field {graph + 1}{lines}", alt, caption, draw)


def _calibration(completion: Completion) -> Section:
    graphs, known = completion.graphs, completion.known
    assert graphs.x is not None
    scored = ~known & graphs.x.isfinite()
    calibration = Calibration.of(completion.values, graphs.x, ~scored, graphs)
    levels = interval_levels(len(completion))
    scores: PosteriorScores = score_posterior(
        completion.values, graphs.x.nan_to_num(), ~scored, graphs, levels=levels
    )
    picture = Picture.of(
        "",
        "Observed against nominal coverage of intervals, and the rank histogram of the truth.",
        f"Left: the share of {calibration.values:,} truths inside intervals of each probability. Right: the "
        "rank of the truth among the draws; bars rise at both ends if the model is too sure.",
        lambda paper: calibration_plot(calibration, paper=paper),
    )
    lead = "Whether the spread of the draws is right: a truth should be one draw among others."
    return Section("Calibration", lead, [picture, ScoreTable.of(tabulate({"model": scores}))])
