"""Sections of every report: training, the network's schedule, scores, configuration, provenance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import yaml

from noisefold.eval.score_table import Scores
from noisefold.geometry.graphs import Graphs
from noisefold.report.data.content import Content
from noisefold.report.data.history import History
from noisefold.report.data.reported import ReportedModel
from noisefold.report.data.summary import counted, duration, span
from noisefold.report.figures.curves import schedule_curves, training_curves
from noisefold.report.figures.interactive import curve_figure, loss_figure
from noisefold.report.figures.style import png
from noisefold.report.page.blocks import Code, Interactive, Section, Terms
from noisefold.report.page.score_table import ScoreTable

__all__ = [
    "ShownSet",
    "configuration",
    "drawn_samples",
    "provenance",
    "schedule",
    "scoring",
    "tiles",
    "training",
]

_COMMAND = "command"
_MOST, _FIRST = 12, 3  # entries of a list that a page shows, whole or of longer ones
_COLORS = 96


def tiles(model: ReportedModel, samples: Graphs, history: History, unit: str) -> Terms:
    """Return the figures in large print at the top of the page."""
    pairs = {"parameters": f"{model.num_parameters:,}", unit: span(samples)}
    if len(model.classes) > 1:
        pairs["classes"] = str(len(model.classes))
    if history:
        pairs["training steps"] = f"{history.step[-1]:,}"
        if math.isfinite(history.total_seconds):
            pairs["training time"] = duration(history.total_seconds)
    return Terms(pairs, "tiles")


def training(model: ReportedModel, history: History) -> list[Section]:
    """Return the loss by step and time, and by signal level; nothing without a log."""
    if not history:
        return []
    last = f"the last training loss is {history.smooth()[-1]:.4g}"
    if history.val_step:
        last += f", the last held-out loss {history.val_loss[-1]:.4g} at step {history.val_step[-1]:,}"
    alt = f"Curves of the loss over {history.step[-1]:,} steps; {last}."
    caption = f"{model.target.error_name} of the network's prediction; {last}."
    still = training_curves(history, levels=False)
    figure = loss_figure(history, still.axes[0])
    figures = [Interactive("loss", "Loss", alt, caption, figure, png(still, _COLORS))]
    if history.snapshots():
        caption = (
            "Error on held-out graphs at each level of the signal. It never falls to zero: part of the "
            "target is chance."
        )
        still = training_curves(history, loss=False)
        alt = "Curves of the held-out loss against the signal level, at several steps of the training."
        heading, figure = "Held-out loss by signal level", curve_figure(still.axes[0])
        figures.append(Interactive("levels", heading, alt, caption, figure, png(still, _COLORS)))
    return [Section("Training", "", figures, 2)]


def schedule(model: ReportedModel, samples: Graphs) -> list[Section]:
    """Return how the network's graph follows the noise; nothing for networks that have no word on it."""
    arguments = getattr(model.net, "arguments", {})
    adaptive, heading = arguments.get("adaptive"), "How the network follows the noise"
    if adaptive is not None:
        nodes = int(samples.sizes.median())
        lead = (
            f"For graphs of {counted(nodes, 'node')}: into how many coarse nodes the network gathers them, "
            "and how many neighbours each of these listens to."
        )
        alt = "Curves of the resolution and the range of the network against the level of noise."
        still = schedule_curves(adaptive, nodes)
        caption, figure = f"Schedule: {adaptive!r}.", curve_figure(still.axes[0])
        return [Section(heading, lead, [Interactive("reach", "", alt, caption, figure, png(still, _COLORS))])]
    if "latents" in arguments:
        latents = counted(arguments["latents"], "latent vector")
        return [
            Section(
                heading,
                f"This network gathers every graph into {latents}, whatever the level of noise: its "
                "resolution is constant, and what it keeps at each level is learned.",
            )
        ]
    return []


def scoring(scores: Scores | None) -> list[Section]:
    """Return the table of scores, if there is one."""
    lead = (
        "A score means little alone. Beside the model stand references, scored in the same way: they say "
        "what perfect samples, and what useless ones, would get."
    )
    return [] if scores is None else [Section("Scores", lead, [ScoreTable.of(scores)])]


def configuration(model: ReportedModel) -> Section:
    """Return the model's configuration as YAML; of long lists, measured on the data, only the beginning."""
    try:
        text = yaml.safe_dump(_shortened(model.config()), sort_keys=False, allow_unicode=True)
    except ValueError as error:
        text = f"# {error}\n{model!r}\n"
    return Section("Configuration", "", [Code(text, "The model as YAML")])


def provenance(facts: Mapping[str, str]) -> list[Section]:
    """Return on what and for how long the model was trained, and the command that repeats it."""
    told = {k: v for k, v in facts.items() if k != _COMMAND}
    made = [Section("How it was made", "", [Terms(told, "facts")])] if told else []
    again = [Section("How to make it again", "", [Code(facts[_COMMAND])])] if _COMMAND in facts else []
    return made + again


def _shortened(part: Any) -> Any:
    """Return a configuration for the page: a tissue has thousands of numbers."""
    if isinstance(part, Mapping):
        return {k: _shortened(v) for k, v in part.items()}
    if isinstance(part, list):
        rest = [] if len(part) <= _MOST else [f"... {len(part)} in all, in config.json"]
        return [_shortened(v) for v in part[: len(part) if not rest else _FIRST]] + rest
    return part


class ShownSet(NamedTuple):
    """Graphs to show: their heading, what one of them is called, and which of them."""

    heading: str
    noun: str
    graphs: Graphs
    chosen: list[int]


def drawn_samples(content: Content) -> Graphs:
    """Return the samples that are given, or else those that the model draws to match the test set."""
    if content.samples is not None:
        return content.samples
    model, steps, seed = content.model, content.steps, content.seed
    if content.test is None:
        return model.sample(min(content.draws, 16), steps=steps, seed=seed)
    return model.sample_for(content.test, content.draws, steps=steps, seed=seed)
