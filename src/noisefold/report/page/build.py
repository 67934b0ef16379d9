"""A report as one HTML page that needs nothing else: no network, no server, no other file.

A content security policy forbids every request, and every script but the page's own two. Every figure has a
still picture for paper and for browsers without WebGL. The template escapes whatever is not its own.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

from jinja2 import Environment, StrictUndefined
from plotly.offline import get_plotlyjs

from noisefold.configuration import __version__
from noisefold.data.functions.modality import FunctionSamples
from noisefold.data.images.canvas import Canvas
from noisefold.data.images.modality import Pictures as Images
from noisefold.eval.directed_scores import score_directed_graphs
from noisefold.eval.score_table import Scores
from noisefold.files import atomic_text
from noisefold.geometry.graphs import Graphs
from noisefold.report.data.content import Content
from noisefold.report.data.history import History
from noisefold.report.data.projection import Names
from noisefold.report.data.reported import ReportedModel
from noisefold.report.data.summary import introduction, verdict
from noisefold.report.figures.interactive import templates
from noisefold.report.page import sections
from noisefold.report.page.blocks import Interactive, Section
from noisefold.report.page.fields import FieldPictures
from noisefold.report.page.functions import FunctionPictures
from noisefold.report.page.graphs import GraphPictures
from noisefold.report.page.images import ImagePictures
from noisefold.report.page.point_clouds import PointCloudPictures
from noisefold.sample.completion import Completion
from noisefold.sample.defaults import default_steps

__all__ = ["Pictures", "write_report"]


class Pictures(Protocol):
    """What a report shows of one kind of data."""

    unit: str

    def title(self, content: Content) -> str:
        """Return what the model generates."""
        ...

    def completed(self, content: Content) -> Content:
        """Return the content with what is missing and the model can give: samples, scores, and so on."""
        ...

    def sections(self, content: Content) -> list[Section]:
        """Return the sections that only this kind of data has."""
        ...


_PICTURES: dict[str, Pictures] = {
    "pos": PointCloudPictures(),
    "x": FieldPictures(),
    "types": GraphPictures(),
    "pos+types": GraphPictures(),
    "directed": GraphPictures(score_directed_graphs),
    "functions": FunctionPictures(),
    "images": ImagePictures(),
}
"""The one place where the room asks which variable a model generates."""


def _pictures_of(content: Content) -> Pictures:
    """Return what is shown: images as such, and of a model whose positions stand for edges, its graphs."""
    own = _PICTURES[content.model.variable.name]
    known = next((g for g in (content.samples, content.test, content.train) if g is not None), None)
    canvas = getattr(getattr(content.model, "summary", None), "frames", None)
    if isinstance(canvas, Canvas) or (known is not None and isinstance(known.modality, Images)):
        return _PICTURES["images"]
    if known is not None and isinstance(known.modality, FunctionSamples) and known.features:
        return _PICTURES["functions"]
    if known is None and content.draws and not content.model.variable.positions_given:
        known = content.model.sample(1, steps=default_steps(content.model.path, 1), seed=content.seed)
    if known is None or known.dim or known.edge_index is None or isinstance(own, GraphPictures):
        return own
    return _PICTURES["types"]


def write_report(
    path: str | Path,
    *,
    model: ReportedModel,
    test: Graphs | None = None,
    train: Graphs | None = None,
    samples: Graphs | None = None,
    others: Mapping[str, Graphs] | None = None,
    scores: Scores | None = None,
    trajectory: Sequence[tuple[float, Graphs]] | None = None,
    completion: Completion | None = None,
    recovered: Scores | None = None,
    log: Sequence[Mapping[str, Any]] = (),
    facts: Mapping[str, str] | None = None,
    names: Names | None = None,
    features: Sequence[int | str] = (),
    draws: int = 100,
    steps: int = 50,
    seed: int = 0,
) -> Path:
    """Write the report of a model as one HTML page of about 5 MB, whole or not at all.

    What is given is shown as it is and never computed again. What is missing is computed from the model and
    the data that are there; with ``draws=0`` nothing is, and sections without data are left out.

    Parameters
    ----------
    path
        The HTML file; its folder is made if it is missing.
    model
        The model.
    test
        Held-out graphs in the data's own units: shown beside the samples, and what scores compare them with.
        A model of features needs them, or `train`, for their positions.
    train
        Graphs the model learned from: a reference row of the scores, and the nearest one to each sample.
    samples
        Graphs that the model generated; up to ten are shown.
    others
        Samples of other models by name, shown beside them.
    scores
        Scores of the samples, such as `Model.evaluate` returns.
    trajectory
        Pairs (signal level u, graphs) from noise to data, as `Model.sample` hands them to `callback`.
    completion, recovered
        Of a model of features: a completion of graphs that hold the truth also where it was hidden, and the
        scores of that completion, beside those of baselines; default the completion's alone.
    log
        Entries of ``metrics.jsonl``.
    facts
        Named lines on how the model was made; the one named "command" is shown as code.
    names
        Names of features and axes, and which axis is time; default the feature names of the model.
    features
        Features that are shown in any case, by index or name. Others are chosen: those with the clearest
        pattern in space and, of a completion, those best and worst recovered.
    draws
        Most graphs to generate.
    steps
        Steps of the solver.
    seed
        The seed, of everything random.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If sets are empty or do not fit each other or the model, a trajectory changes its graphs, or there is
        no feature of a name.
    OSError
        If the file cannot be written.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"path must be a file, but {path} is a folder; name a file in it: report.html.")
    content = Content(
        model=model,
        test=test,
        train=train,
        samples=samples,
        others=others or {},
        scores=scores,
        trajectory=trajectory,
        completion=completion,
        recovered=recovered,
        log=log,
        facts=facts or {},
        names=names or Names(),
        features=features,
        draws=draws,
        steps=default_steps(model.path, steps),
        seed=seed,
    )
    pictures = _pictures_of(content)
    text = _page(pictures.completed(content) if draws else content, pictures)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_text(path, text)
    return path


def _page(content: Content, pictures: Pictures) -> str:
    model, history = content.model, History.of(content.log)
    shown = [
        *pictures.sections(content),
        *sections.training(model, history),
        *sections.schedule(model, content.shown),
        *sections.scoring(content.scores),
        sections.configuration(model),
        *sections.provenance(content.facts),
    ]
    figures = {b.name: b.data for s in shown for b in s.blocks if isinstance(b, Interactive)}
    folder = files(__package__)
    template, style, script = (
        (folder / f"page.{end}").read_text(encoding="utf-8") for end in ("html", "css", "js")
    )
    scripts = [_closed(get_plotlyjs()), _closed(script)]
    policy = f"default-src 'none'; script-src {' '.join(_hash(s) for s in scripts)}; "
    policy += "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    classes = f" in {len(model.classes)} classes" if len(model.classes) > 1 else ""
    return environment.from_string(template).render(
        title=f"A model of {pictures.title(content)}{classes}",
        introduction=introduction(model),
        tiles=sections.tiles(model, content.shown, history, pictures.unit),
        verdict=verdict(content.scores),
        sections=shown,
        data={"templates": templates(), "figures": figures},
        style=style,
        policy=policy,
        scripts=scripts,
        version=__version__,
    )


def _closed(script: str) -> str:
    """Return a script without the text that would end its element, and with the line ends HTML keeps."""
    return script.replace("</script", "<\\/script").replace("\r\n", "\n")


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
