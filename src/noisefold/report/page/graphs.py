"""Sections of a report on a model of discrete graphs: samples, structure, and the path from noise."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.spatial.distance import cdist

from noisefold.data.molecules import is_molecular, to_rdkit
from noisefold.eval.graph_scores import score_graphs
from noisefold.eval.graph_statistics import GraphStatistics
from noisefold.eval.molecule_scores import score_molecules
from noisefold.eval.score_table import Scores
from noisefold.geometry.display import pick
from noisefold.geometry.graph_drawing import GraphDrawing, drawings_of
from noisefold.geometry.graph_figure import columns_of, graph_figure
from noisefold.geometry.graphs import Graphs
from noisefold.report.data.content import Content
from noisefold.report.data.graph_path import graph_path
from noisefold.report.data.summary import counted, listed, span
from noisefold.report.data.trajectory import sample_trajectory
from noisefold.report.figures.graph_panels import draw_graph_path, draw_graphs
from noisefold.report.figures.graph_path import graph_path_figure
from noisefold.report.figures.graph_structure import structure_plots, type_plots
from noisefold.report.figures.style import Paper, png
from noisefold.report.page.blocks import Interactive, Picture, Section
from noisefold.report.page.sections import ShownSet, drawn_samples

__all__ = ["GraphPictures"]

_SHOWN, _FOLLOWED, _MOMENTS = 9, 3, 26
_SEARCHED = 2000  # training graphs among which the nearest are found, and graphs of a plot
_SCORED = 4  # graphs of each set that scores need
_COLORS = 96


@dataclass(frozen=True)
class GraphPictures:
    """What a report shows of a model of discrete graphs.

    Parameters
    ----------
    score
        Scores of graphs that are no molecules, where none were handed in; called as
        `noisefold.eval.score_graphs` is.
    """

    score: Callable[..., Scores] = score_graphs
    unit = "nodes a graph"

    def title(self, content: Content) -> str:
        """Return what the model generates."""
        shown = content.shown
        typed = [
            f"{counted(len(names), 'type')} of {noun}"
            for noun, names in (("nodes", shown.node_types), ("edges", shown.edge_types))
            if len(names) > 1
        ]
        return "graphs" + (f" with {' and '.join(typed)}" if typed else "")

    def completed(self, content: Content) -> Content:
        """Return the content with samples, their path from noise, and scores against the test set."""
        model, test, steps, seed = content.model, content.test, content.steps, content.seed
        samples, scores, trajectory = drawn_samples(content), content.scores, content.trajectory
        if scores is None and test is not None:
            scores = self._scored({"model": samples, **content.others}, test, content.train, seed)
        if trajectory is None:
            trajectory = sample_trajectory(model, steps=min(steps, 25), seed=seed)
        return replace(content, samples=samples, scores=scores, trajectory=trajectory)

    def sections(self, content: Content) -> list[Section]:
        """Return the sections of samples, of their structure and of their path."""
        return [
            _gallery(content),
            _structure(content),
            *([_path(content)] if content.trajectory else []),
        ]

    def _scored(
        self, models: Mapping[str, Graphs], test: Graphs, train: Graphs | None, seed: int
    ) -> Scores | None:
        """Return scores of molecules where RDKit is there, or else of graphs; None of too few."""
        sets = [*models.values(), test, *([] if train is None else [train])]
        if min(len(graphs) for graphs in sets) < _SCORED:
            return None
        if is_molecular(test) and importlib.util.find_spec("rdkit"):
            made = {name: to_rdkit(graphs) for name, graphs in models.items()}
            return score_molecules(
                made, to_rdkit(test), None if train is None else to_rdkit(train), seed=seed
            )
        return self.score(models, test, train, seed=seed)


def _gallery(content: Content) -> Section:
    """Samples, those of other models, their nearest training graphs, and test graphs."""
    samples, test, train = content.shown, content.test, content.train
    partner = samples if test is None else test
    picked = pick(samples, _SHOWN, partner)
    sets = {"samples": ShownSet("Samples of the model", "sample", samples, picked)}
    for k, (name, graphs) in enumerate(content.others.items()):
        sets[f"other-{k}"] = ShownSet(f"Samples of {name}", "sample", graphs, pick(graphs, _SHOWN, partner))
    if train is not None:
        near = nearest_graphs(samples[picked], train)
        sets["nearest"] = ShownSet("Nearest training data", "training graph", train, near)
    if test is not None:
        sets["real"] = ShownSet("Test data", "test graph", test, pick(test, _SHOWN, samples))
    figures = []
    for name, (heading, noun, graphs, chosen) in sets.items():
        drawn = drawings_of(graphs, chosen)
        classes = listed(list(dict.fromkeys(d.name for d in drawn if d.name)))
        alt = f"{heading}: {counted(len(drawn), 'graph')}" + (f" ({classes})." if classes else ".")
        columns = columns_of(len(drawn))
        still = png(draw_graphs(drawn, [d.name for d in drawn], graphs, columns), _COLORS)
        figure = graph_figure(drawn, graphs, noun)
        figures.append(Interactive(name, heading, alt, _shown(graphs, drawn), figure, still))
    order = "The first of every class in turn" if samples.label is not None else "The first ones"
    places = "Nodes have no positions" if samples.dim == 0 else "Positions are left out"
    lead = f"{order}, none picked by hand. {places}: each graph is laid out so that nodes stand "
    lead += "as far apart as the shortest path between them is long."
    if train is not None:
        lead += " Training graphs stand in the places of the samples whose spectra they are nearest to."
    heading = "Samples" if test is None else "Samples beside test data"
    hint = "Drag a rectangle to look closer, and click twice to return."
    return Section(heading, lead, figures, 3 if len(sets) == 3 else 2, hint)


def nearest_graphs(samples: Graphs, train: Graphs) -> list[int]:
    """Return for each sample the index of the training graph whose spectrum is nearest.

    At most 2,000 training graphs, evenly chosen, are compared, by the earth mover's distance between the
    eigenvalues of their normalised Laplacians. A graph of no nodes is a ValueError.
    """
    some = torch.arange(0, len(train), -(-len(train) // _SEARCHED)).tolist()
    own, known = (GraphStatistics(g).spectrum.cumsum(1) for g in (samples, train[some]))
    return [some[int(k)] for k in cdist(own, known, "cityblock").argmin(1)]


def _structure(content: Content) -> Section:
    """Degrees, clustering and sizes of samples, test and training graphs, and their types."""
    sets = {"samples": content.shown, **content.others}
    sets |= {} if content.test is None else {"test": content.test}
    sets |= {} if content.train is None else {"train": content.train}
    known = {name: GraphStatistics(_some(graphs)) for name, graphs in sets.items()}

    def structure(paper: Paper) -> Figure:
        return structure_plots(known, paper)

    names = listed(list(sets))
    alt = f"Degrees, local clustering coefficients, and nodes and edges of {names}."
    caption = (
        "Shares of all nodes by degree and by local clustering coefficient (of the pairs of neighbours of a "
        "node, how many are joined), and the numbers of nodes and edges of every graph."
    )
    blocks = [Picture.of("Degrees, clustering and sizes", alt, caption, structure)]
    first = content.shown
    if first.node_type is not None or first.edge_type is not None:
        alike = {
            name: graphs
            for name, graphs in known.items()
            if all(
                getattr(graphs.graphs, noun) is not None or getattr(first, noun) is None
                for noun in ("node_type", "edge_type")
            )
        }

        def types(paper: Paper) -> Figure:
            return type_plots(alike, paper)

        alt = f"Frequencies of the types of nodes and edges of {listed(list(alike))}."
        blocks.append(Picture.of("Types", alt, "Shares of all nodes, or edges, of each type.", types))
    return Section("Structure", "", blocks)


def _path(content: Content) -> Section:
    """The path from noise to data under a slider."""
    trajectory = content.trajectory or ()
    path = graph_path(trajectory, _FOLLOWED, _MOMENTS)
    graphs = trajectory[-1][1]
    kept = f"{len(path.signal)} of {counted(len(trajectory), 'step')}"
    figure = Interactive(
        "path",
        "",
        "Graphs on their way from noise to data.",
        f"{_shown(graphs, path.ends)} Kept are {kept}.",
        graph_path_figure(path),
        png(draw_graph_path(path), _COLORS),
    )
    lead = (
        "Generation starts from noise and replaces it step by step. The signal level is the share of nodes "
        "and pairs that are data: 0 % is pure noise, 100 % the finished sample. Every node has the place "
        "that it has in the finished graph; edges that are not in the finished graph are faint."
    )
    return Section("From noise to graph", lead, [figure])


def _shown(graphs: Graphs, drawn: Sequence[GraphDrawing]) -> str:
    """How many graphs there are, and how much of each is seen."""
    edges = [d.total_edges for d in drawn]
    text = f"{len(drawn)} of {counted(len(graphs), 'graph')}, {span(graphs)} nodes each"
    text += f"; those shown have {min(edges):,} to {max(edges):,} edges" if edges else ""
    if any(d.total > len(d.nodes) for d in drawn):
        most = max(len(d.nodes) for d in drawn)
        text += f"; of larger ones the {most:,} nodes nearest to the node of the most edges are drawn"
    return text + "."


def _some(graphs: Graphs) -> Graphs:
    chosen = np.unique(np.linspace(0, len(graphs) - 1, min(len(graphs), _SEARCHED)).round().astype(int))
    return graphs if len(chosen) == len(graphs) else graphs[chosen.tolist()]
