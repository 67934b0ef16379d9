"""The sections of a report: each a piece of HTML, with the data that its figures are drawn from.

Whatever came from outside (names of classes, facts, configurations) is escaped here or in `scenes`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import yaml
from matplotlib.figure import Figure

from noisefold.eval.score_table import Scores
from noisefold.geometry.graphs import Graphs
from noisefold.model import Model
from noisefold.report.clouds import Cloud, Scale, clouds_of, counted, pick
from noisefold.report.curves import History
from noisefold.report.journey import journey_of
from noisefold.report.parts import Section, png, section, terms
from noisefold.report.plots import draw_clouds, draw_journey, schedule_curves, training_curves
from noisefold.report.scenes import cloud_scene, journey_scene, level_views, loss_views, schedule_views
from noisefold.report.table import score_table
from noisefold.report.words import duration, introduction, listed, title, verdict

__all__ = [
    "COMMAND",
    "Section",
    "configuration",
    "gallery",
    "headline",
    "journey",
    "provenance",
    "reach",
    "scoring",
    "training",
]

COMMAND = "command"
_GALLERY, _SMALL_GALLERY, _CLOUD_POINTS, _FEW_POINTS = 10, 7, 1200, 200
_JOURNEY, _MOMENTS, _JOURNEY_POINTS = 7, 31, 400
_TURN = "Drag to turn them; arrow keys turn them too, + and - make them larger and smaller."
_MOST, _FIRST = 12, 3  # entries of a list that a page shows, whole or of longer ones


class _Set(NamedTuple):
    """Graphs to show: their heading, what one of them is called, and they."""

    head: str
    kind: str
    graphs: Graphs


def headline(model: Model, samples: Graphs, history: History, scores: Scores | None) -> Section:
    """What the model is, and what its scores say."""
    nodes = "points a cloud" if model.variable == "pos" else "nodes a field"
    tiles = {"parameters": f"{model.num_parameters:,}", nodes: _range(samples)}
    if len(model.classes) > 1:
        tiles["classes"] = str(len(model.classes))
    if history:
        tiles["training steps"] = f"{history.step[-1]:,}"
        if math.isfinite(history.total_seconds):
            tiles["training time"] = duration(history.total_seconds)
    return Section(
        f'<header><p class="eyebrow">noisefold report</p><h1>{escape(title(model, samples))}</h1>'
        f"<p>{escape(introduction(model))}</p>{terms(tiles, 'tiles')}"
        f'<p class="verdict">{escape(verdict(scores))}</p></header>'
    )


def gallery(samples: Graphs, real: Graphs | None, others: Mapping[str, Graphs]) -> Section:
    """Samples, those of other models, and real data, in the same order and at the same scale."""
    sets = {"samples": _Set("Samples of the model", "sample", samples)}
    for k, (name, graphs) in enumerate(others.items()):
        sets[f"other-{k}"] = _Set(f"Samples of {name}", "sample", graphs)
    if real is not None:
        sets["real"] = _Set("Real data", "real", real)
    most = _GALLERY if len(sets) < 3 else _SMALL_GALLERY
    partner = samples if real is None else real
    chosen = {k: pick(s.graphs, most, samples if k == "real" else partner) for k, s in sets.items()}
    drawn = [sets[name].graphs[indices] for name, indices in chosen.items()]
    scale = Scale.of(next((g for g in reversed(drawn) if bool(g.pos.isfinite().any())), samples))
    # As many points in all: a denser cloud looks better for no merit of its own.
    limit = min(_CLOUD_POINTS, max(_FEW_POINTS, min(int(g.sizes.max()) for g in drawn)))
    html, scenes, flat = "", {}, samples.dim < 3
    for name, (head, kind, graphs) in sets.items():
        clouds = clouds_of(graphs, chosen[name], scale, limit)
        scenes[name] = cloud_scene(clouds, kind, flat)
        still = draw_clouds(clouds, [c.name for c in clouds], 5, flat=flat)
        html += _figure("scene", name, head, _described(head, clouds), still, _shown(graphs, clouds))
    order = "The first of every class in turn" if samples.label is not None else "The first ones"
    lead = f"{order}, none picked by hand; all at one scale. {_colored(samples)}"
    hint = "" if flat else f'<p class="lead hint">{_TURN}</p>'
    heading = "Samples" if real is None else "Samples beside real data"
    wide = " three" if len(sets) > 2 else ""
    return Section(section(heading, lead, f'{hint}<div class="pair{wide}">{html}</div>'), scenes)


def journey(trajectory: Sequence[tuple[float, Graphs]]) -> Section:
    """The path from noise to data under a slider."""
    path = journey_of(trajectory, _JOURNEY, _MOMENTS, _JOURNEY_POINTS)
    last = len(path.signal) - 1
    controls = (
        '<button type="button">Play</button>'
        f'<input type="range" min="0" max="{last}" step="0.05" value="{last}" aria-label="Place on the path">'
        "<output></output>"
    )
    graphs = trajectory[-1][1]
    kept = f"{len(path.signal)} of {counted(len(trajectory), 'step')}"
    caption = f"{_shown(graphs, path.clouds)} Kept are {kept}; between them points move in straight lines."
    if path.shrunk:
        caption += " Where the noise is far larger than the data, the picture is made smaller to fit."
    alt = "Clouds on their way from noise, on the left, to data, on the right."
    figure = _figure("scene", "path", "", alt, draw_journey(path), caption, controls)
    lead = (
        "Generation starts from noise and removes it step by step. The signal level says how much of what is "
        "seen is data: 0 % is pure noise, 100 % the finished sample. "
    )
    lead += _colored(graphs) if graphs.features else "Every point keeps the colour of where it ends."
    return Section(section("From noise to shape", lead, figure), {"path": journey_scene(path)})


def training(history: History) -> Section:
    """Loss by step and time, and by signal level."""
    curves = {"loss": loss_views(history)}
    controls = ""
    if len(curves["loss"]) > 1:
        controls = "<span>Show by</span>" + "".join(
            f'<label><input type="radio" name="clock" value="{name}"{" checked" * (k == 0)}>{name}</label>'
            for k, name in enumerate(curves["loss"])
        )
    last = f"the last training loss is {history.smooth()[-1]:.4g}"
    if history.val_step:
        last += f", the last held-out loss {history.val_loss[-1]:.4g} at step {history.val_step[-1]:,}"
    alt = f"Curves of the loss over {history.step[-1]:,} steps; {last}."
    caption = f"Mean squared error of the network's prediction; {last}."
    still = training_curves(history, levels=False)
    html = _figure("curve", "loss", "Loss", alt, still, caption, controls)
    if history.snapshots():
        curves["levels"] = level_views(history)
        caption = (
            "Error on held-out graphs at each level of the signal. It never falls to zero: part of what is "
            "to be predicted is chance."
        )
        still = training_curves(history, loss=False)
        alt = "Curves of the held-out loss against the signal level, at several steps of the training."
        html += _figure("curve", "levels", "Held-out loss by signal level", alt, still, caption)
    return Section(section("Training", "", f'<div class="pair">{html}</div>'), curves=curves)


def reach(model: Model, samples: Graphs) -> Section:
    """How the network follows the noise."""
    arguments = getattr(model.net, "arguments", {})
    adaptive, heading = arguments.get("adaptive"), "How the network follows the noise"
    if adaptive is None:
        if "latents" not in arguments:
            return Section("")
        latents = counted(arguments["latents"], "latent vector")
        text = (
            f"This network gathers every cloud into {latents}, whatever the level of noise: its resolution "
            "is constant, and what it keeps at each level is learned."
        )
        return Section(section(heading, text, ""))
    nodes = int(samples.sizes.median())
    lead = (
        f"For clouds of {counted(nodes, 'point')}: into how many coarse nodes the network gathers them, and "
        "how many neighbours each of these listens to."
    )
    alt = "Curves of the resolution and the range of the network against the level of noise."
    figure = _figure("curve", "reach", "", alt, schedule_curves(adaptive, nodes), f"Schedule: {adaptive!r}.")
    return Section(section(heading, lead, figure), curves={"reach": schedule_views(adaptive, nodes)})


def scoring(scores: Scores) -> Section:
    """The table of scores."""
    lead = (
        "A score means little alone. Beside the model stand references, scored in the same way: they say "
        "what perfect samples, and what useless ones, would get."
    )
    return Section(section("Scores", lead, score_table(scores)))


def configuration(model: Model) -> Section:
    """The model's configuration as YAML; of long lists, measured on the data, only the beginning."""
    try:
        text = yaml.safe_dump(_shortened(model.config()), sort_keys=False, allow_unicode=True)
    except ValueError as error:
        text = f"# {error}\n{model!r}\n"
    body = f"<details><summary>The model as YAML</summary><pre><code>{escape(text)}</code></pre></details>"
    return Section(section("Configuration", "", body))


def _shortened(part: Any) -> Any:
    """A configuration on a page: a tissue has thousands of numbers."""
    if isinstance(part, Mapping):
        return {k: _shortened(v) for k, v in part.items()}
    if isinstance(part, list):
        rest = [] if len(part) <= _MOST else [f"... {len(part)} in all, in config.json"]
        return [_shortened(v) for v in part[: len(part) if not rest else _FIRST]] + rest
    return part


def provenance(facts: Mapping[str, str]) -> Section:
    """On what and for how long the model was trained, and how to do it again."""
    told = {k: v for k, v in facts.items() if k != COMMAND}
    html = section("How it was made", "", terms(told, "facts")) if told else ""
    if COMMAND in facts:
        body = f"<pre><code>{escape(facts[COMMAND])}</code></pre>"
        html += section("How to make it again", "", body)
    return Section(html)


# -- parts -----------------------------------------------------------------------------------------------


def _figure(
    kind: str, name: str, head: str, alt: str, still: Figure, caption: str, controls: str = ""
) -> str:
    """A figure that the script draws, with a still picture for where it cannot, and for paper."""
    heading = f"<h3>{escape(head)}</h3>" if head else ""
    bar = f'<div class="controls">{controls}</div>' if controls else ""
    return (
        f'<figure id="{name}" data-{kind}="{name}"><div class="frame">{heading}'
        f'<div class="plot" role="img" tabindex="0" aria-label="{escape(alt)}"></div>'
        f'<img class="still" alt="{escape(alt)}" src="data:image/png;base64,{png(still)}">{bar}</div>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _range(graphs: Graphs) -> str:
    low, high = int(graphs.sizes.min()), int(graphs.sizes.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _described(head: str, clouds: Sequence[Cloud]) -> str:
    names = listed(list(dict.fromkeys(c.name for c in clouds if c.name)))
    return f"{head}: {counted(len(clouds), 'point cloud')}" + (f" ({names})." if names else ".")


def _shown(graphs: Graphs, clouds: Sequence[Cloud]) -> str:
    """How many clouds there are, and how much of each is seen."""
    text = f"{len(clouds)} of {len(graphs)} clouds, {_range(graphs)} points each"
    most = max((len(c.points) + c.lost for c in clouds), default=0)
    lost = sum(c.lost for c in clouds)
    if any(c.total > most for c in clouds):
        text += f"; at most {most:,} of them, chosen at random, are drawn"
    text += f"; {counted(lost, 'point')} with coordinates that are not finite left out" if lost else ""
    return text + "."


def _colored(graphs: Graphs) -> str:
    return "Colour is the first feature." if graphs.features else "Colour is height."
