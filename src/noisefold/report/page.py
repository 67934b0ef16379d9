"""A report as one HTML page that needs nothing else: no network, no server, no other file.

Clouds share few WebGL scenes, one for each set, since browsers keep few of them alive; fields are still
pictures, for light and for dark screens. A content security policy forbids every request, and every script
but the page's own two; every figure has a still picture for paper and for browsers without WebGL.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

from noisefold.configuration import __version__
from noisefold.eval.score_table import Scores
from noisefold.geometry.graphs import Graphs
from noisefold.model import Model
from noisefold.report import sections, tissue
from noisefold.report.curves import History
from noisefold.report.fields import Names
from noisefold.report.scenes import palettes
from noisefold.report.words import title
from noisefold.sample.completion import Completion
from noisefold.train.checkpoint import atomic_text

__all__ = ["report_html", "write_report"]


def write_report(
    path: str | Path,
    *,
    model: Model,
    samples: Graphs,
    real: Graphs | None = None,
    others: Mapping[str, Graphs] | None = None,
    log: Sequence[Mapping[str, Any]] = (),
    scores: Scores | None = None,
    trajectory: Sequence[tuple[float, Graphs]] | None = None,
    facts: Mapping[str, str] | None = None,
    names: Names | None = None,
    features: Sequence[int | str] = (),
    completion: Completion | None = None,
    recovered: Scores | None = None,
) -> Path:
    """Write the report of a model, whole or not at all; about 5 MB, most of it plotly.

    Parameters
    ----------
    path
        The HTML file; its folder is made if it is missing.
    model
        The model.
    samples
        What it generated, in the data's units; up to ten are shown.
    real
        Real data to stand beside them.
    others
        Samples of other models by name, to stand between the two.
    log
        Entries of ``metrics.jsonl``.
    scores
        What `Model.evaluate` gave.
    trajectory
        Pairs (signal level u, graphs) from noise to data, as `Model.sample` hands them to `callback`.
    facts
        Named lines on how the model was made (device, steps, date, ...); the one named "command" is shown as
        the command that makes it again.
    names
        Of a model of features: what they, and the axes, are called, and which coordinate is time; default the
        names the model knows.
    features
        Those to be shown in any case, by number or name. Others are chosen: those with the clearest pattern
        in space and, of a completion, those best and worst recovered.
    completion
        What `Model.complete` made of graphs that hold the truth also where it was not told.
    recovered
        A table with the scores of that completion, beside those of others; default it alone.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If there are no samples, sets have different dimensions, a trajectory changes its graphs, or there is
        no feature of a name.
    OSError
        If the file cannot be written.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"path must be a file, but {path} is a folder; name a file in it: report.html.")
    text = report_html(
        model=model,
        samples=samples,
        real=real,
        others=others,
        log=log,
        scores=scores,
        trajectory=trajectory,
        facts=facts,
        names=names,
        features=features,
        completion=completion,
        recovered=recovered,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_text(path, text)
    return path


def report_html(
    *,
    model: Model,
    samples: Graphs,
    real: Graphs | None = None,
    others: Mapping[str, Graphs] | None = None,
    log: Sequence[Mapping[str, Any]] = (),
    scores: Scores | None = None,
    trajectory: Sequence[tuple[float, Graphs]] | None = None,
    facts: Mapping[str, str] | None = None,
    names: Names | None = None,
    features: Sequence[int | str] = (),
    completion: Completion | None = None,
    recovered: Scores | None = None,
) -> str:
    """The page that `write_report` writes; the same arguments give the same text."""
    if len(samples) == 0:
        raise ValueError("samples must hold at least one graph, got none.")
    others = {name: graphs for name, graphs in (others or {}).items() if len(graphs)}
    real = None if real is None or len(real) == 0 else real
    for name, graphs in (*others.items(), ("real", real)):
        if graphs is not None and graphs.dim != samples.dim:
            raise ValueError(f"{name} must have the {samples.dim} dimensions of samples, got {graphs.dim}.")
    history = History.of(log)
    shown: list[sections.Section] = []
    if model.variable == "x":
        names = names or Names(model.feature_names)
        chosen = tissue.patterned(samples if real is None else real, names, features)
        shown.append(tissue.maps(samples, real, names, chosen))
        shown += [tissue.film(trajectory, names, chosen)] if trajectory else []
        shown += [tissue.recovery(completion, names, features, recovered)] if completion is not None else []
    else:
        shown.append(sections.gallery(samples, real, others))
        shown += [sections.journey(trajectory)] if trajectory else []
    parts = [
        sections.headline(model, samples, history, scores),
        *shown,
        *([sections.training(history)] if history else []),
        sections.reach(model, samples),
        *([sections.scoring(scores)] if scores is not None else []),
        sections.configuration(model),
        sections.provenance(facts or {}),
    ]
    return _assembled(title(model, samples), parts)


def _assembled(heading: str, parts: Sequence[sections.Section]) -> str:
    data = {
        "palettes": palettes(),
        "scenes": {name: scene for part in parts for name, scene in part.scenes.items()},
        "curves": {name: views for part in parts for name, views in part.curves.items()},
    }
    folder = files("noisefold.report")
    style, script = ((folder / f"page.{end}").read_text(encoding="utf-8") for end in ("css", "js"))
    scripts = [_closed(get_plotlyjs()), _closed(script)]
    policy = f"default-src 'none'; script-src {' '.join(_hash(s) for s in scripts)}; "
    policy += "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
    # Within a script element "<" could end it; as an escape it means the same to JSON.
    payload = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta name="generator" content="noisefold {__version__}">',
            f"<title>{escape(heading)} - noisefold</title>\n<style>{style}</style>\n</head>\n<body>\n<main>",
            *(part.html for part in parts if part.html),
            f"<footer>Written by noisefold {__version__}. This page is complete in itself and asks the "
            "network for nothing.</footer>\n</main>",
            f'<script type="application/json" id="page-data">{payload}</script>',
            *(f"<script>{text}</script>" for text in scripts),
            "</body>\n</html>\n",
        ]
    )


def _closed(script: str) -> str:
    """A script without the one text that would end its element early, and with the line ends HTML keeps."""
    return script.replace("</script", "<\\/script").replace("\r\n", "\n")


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
