"""Sections of a report on a model of positions: turning clouds, and their path from noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from noisefold.eval.cloud_metrics import chamfer_matrix
from noisefold.eval.cloud_scores import score_clouds
from noisefold.geometry.display import Cloud, ViewScale, clouds_of, pick
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.scene import MOST, table_of, turning_figure
from noisefold.report.data.content import Content
from noisefold.report.data.summary import counted, listed, span
from noisefold.report.data.trajectory import cloud_trajectory, sample_trajectory
from noisefold.report.figures.clouds import draw_clouds, draw_trajectory
from noisefold.report.figures.interactive import trajectory_figure
from noisefold.report.figures.style import png
from noisefold.report.page.blocks import Interactive, Section
from noisefold.report.page.sections import ShownSet, drawn_samples

__all__ = ["PointCloudPictures"]

_FEWER, _POINTS, _FEW_POINTS, _COLORS = 7, 1200, 200, 96
_MOMENTS, _MOMENT_POINTS = 31, 400
_NEAREST, _NEAREST_POINTS = 2000, 128  # training graphs that are searched, and points of each


class PointCloudPictures:
    """What a report shows of a model of positions."""

    unit = "points a cloud"

    def title(self, content: Content) -> str:
        """Return what the model generates."""
        return f"{content.shown.dim}-D point clouds"

    def completed(self, content: Content) -> Content:
        """Return the content with samples, their path from noise, and scores against the test set."""
        model, test, seed = content.model, content.test, content.seed
        samples, scores, trajectory = drawn_samples(content), content.scores, content.trajectory
        if scores is None and test is not None and min(len(test), len(samples)) > 1:
            scores = score_clouds({"model": samples, **content.others}, test, content.train, seed=seed)
        if trajectory is None:
            trajectory = sample_trajectory(model, seed=seed)
        return replace(content, samples=samples, scores=scores, trajectory=trajectory)

    def sections(self, content: Content) -> list[Section]:
        """Return the sections of samples and of their path."""
        return [_gallery(content), *([_path(content)] if content.trajectory else [])]


def _gallery(content: Content) -> Section:
    """Samples, those of other models, their nearest training graphs, and test graphs, at one scale."""
    samples, test, train = content.shown, content.test, content.train
    count = 1 + len(content.others) + (test is not None) + (train is not None)
    most, partner = MOST if count < 3 else _FEWER, samples if test is None else test
    picked = pick(samples, most, partner)
    sets = {"samples": ShownSet("Samples of the model", "sample", samples, picked)}
    for k, (name, graphs) in enumerate(content.others.items()):
        sets[f"other-{k}"] = ShownSet(f"Samples of {name}", "sample", graphs, pick(graphs, most, partner))
    if train is not None:
        near = nearest(samples[picked], train)
        sets["nearest"] = ShownSet("Nearest training data", "training graph", train, near)
    if test is not None:
        sets["real"] = ShownSet("Test data", "test graph", test, pick(test, most, samples))
    drawn = [s.graphs[s.chosen] for s in sets.values()]
    scale = ViewScale.of(next((g for g in reversed(drawn) if bool(g.pos.isfinite().any())), samples))
    # As many points in all: a denser cloud looks better for no merit of its own.
    limit = min(_POINTS, max(_FEW_POINTS, min(int(g.sizes.max()) for g in drawn)))
    flat, figures = samples.dim < 3, []
    for name, (heading, noun, graphs, chosen) in sets.items():
        clouds = clouds_of(graphs, chosen, scale, limit)
        classes = listed(list(dict.fromkeys(c.name for c in clouds if c.name)))
        alt = f"{heading}: {counted(len(clouds), 'point cloud')}" + (f" ({classes})." if classes else ".")
        still = png(draw_clouds(clouds, [c.name for c in clouds], 5, flat=flat), _COLORS)
        figure, ratio = turning_figure(clouds, flat, noun), table_of(len(clouds), flat).ratio
        figures.append(
            Interactive(name, heading, alt, _shown(graphs, clouds), figure, still, ratio, "gallery")
        )
    order = "The first of every class in turn" if samples.label is not None else "The first ones"
    lead = f"{order}, none picked by hand; all at one scale. {_colored(samples)}"
    lead += (
        "" if train is None else " Training graphs stand in the places of the samples they are nearest to."
    )
    hint = "" if flat else "Drag to turn them, or press arrow keys; + and - make them larger and smaller."
    heading = "Samples" if test is None else "Samples beside test data"
    return Section(heading, lead, figures, 3 if len(sets) == 3 else 2, hint)


def nearest(samples: Graphs, train: Graphs) -> list[int]:
    """Return for each sample the index of the training graph at the least Chamfer distance.

    At most 2,000 training graphs, evenly chosen, and 128 random points of each graph are compared.
    """
    some = torch.arange(0, len(train), -(-len(train) // _NEAREST)).tolist()

    def thin(graphs: Graphs) -> Graphs:
        finite = graphs.replace(pos=graphs.pos.nan_to_num(0, 0, 0)).to("cpu")
        keys = torch.rand(finite.num_nodes, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        return finite.thin(_NEAREST_POINTS, keys)

    found = chamfer_matrix(thin(samples), thin(train[some])).argmin(1)
    return [some[int(k)] for k in found]


def _path(content: Content) -> Section:
    """The path from noise to data under a slider."""
    trajectory = content.trajectory or ()
    path = cloud_trajectory(trajectory, _FEWER, _MOMENTS, _MOMENT_POINTS)
    graphs = trajectory[-1][1]
    kept = f"{len(path.signal)} of {counted(len(trajectory), 'step')}"
    caption = f"{_shown(graphs, path.clouds)} Kept are {kept}."
    if path.shrunk:
        caption += " Where the noise is far larger than the data, the picture is made smaller to fit."
    figure = Interactive(
        "path",
        "",
        "Clouds on their way from noise, on the left, to data, on the right.",
        caption,
        trajectory_figure(path),
        png(draw_trajectory(path), _COLORS),
        table_of(len(path.clouds), path.flat).ratio / 1.25,  # room for the slider
    )
    lead = (
        "Generation starts from noise and removes it step by step. The signal level is the share of data in "
        "what is seen: 0 % is pure noise, 100 % the finished sample. "
    )
    lead += _colored(graphs) if graphs.features else "Every point keeps the colour of where it ends."
    return Section("From noise to shape", lead, [figure])


def _shown(graphs: Graphs, clouds: Sequence[Cloud]) -> str:
    """How many clouds there are, and how much of each is seen."""
    text = f"{len(clouds)} of {len(graphs)} clouds, {span(graphs)} points each"
    most = max((len(c.points) + c.lost for c in clouds), default=0)
    lost = sum(c.lost for c in clouds)
    if any(c.total > most for c in clouds):
        text += f"; at most {most:,} of them, chosen at random, are drawn"
    text += f"; {counted(lost, 'point')} with coordinates that are not finite left out" if lost else ""
    return text + "."


def _colored(graphs: Graphs) -> str:
    return "Colour is the first feature." if graphs.features else "Colour is height."
