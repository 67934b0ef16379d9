"""The page as a file: valid, closed to the network, safe against hostile names, complete or not there."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from noisefold.data.shapes import shapes
from noisefold.eval.score_table import Metric, Score, Scores
from noisefold.geometry.display import pick
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.scene import STEPS, table_of
from noisefold.model import Model
from noisefold.report import write_report
from noisefold.report.figures.style import LIGHT, Paper
from noisefold.report.page.blocks import Picture
from noisefold.report.page.point_clouds import nearest

HOSTILE = (
    "</script><script>document.title='pwned'</script>",
    '"><img src=x onerror="document.title=1">',
    "<b>bold</b> &amp; <a href='http://evil.example/'>%{x}</a>",
    "é∂ 漢字 {{ 7 * 7 }} ${title}",
)
_VOID = {"meta", "img", "input", "link", "br", "hr", "source"}
_SMALL = {"width": 16, "latents": 4, "latent_width": 16, "rounds": 1, "blocks": 1, "heads": 2}


def hostile(count: int = 8, nodes: int = 40, dim: int = 3, seed: int = 0) -> Graphs:
    generator = torch.Generator().manual_seed(seed)
    label = torch.arange(count) % len(HOSTILE)
    return Graphs.dense(torch.randn(count, nodes, dim, generator=generator), label=label, classes=HOSTILE)


def everything() -> dict[str, Any]:
    """All arguments of a report, with names that try to break it."""
    data = hostile()
    cells = {"model": {"<i>M</i>": Score(0.6, 0.5, 0.7)}, "real": {"<i>M</i>": Score(0.5, 0.4, 0.6)}}
    log: list[dict[str, Any]] = [{"step": s, "loss": 1 / s, "seconds": s} for s in range(20, 400, 20)]
    log.append({"step": 200, "val_loss": 0.5, "val_loss_by_signal": [0.1] * 9 + [None]})
    return {
        "model": Model.for_data(data, **_SMALL),
        "samples": data,
        "test": hostile(seed=1),
        "train": hostile(seed=2),
        "log": log,
        "scores": Scores((Metric("<i>M</i>", 0.5, "<u>share</u>"),), cells, {"real": HOSTILE[0]}, HOSTILE[1]),
        "trajectory": [(u, data.replace(pos=data.pos * (2 - u))) for u in (0.0, 0.5, 1.0)],
        "facts": {"<b>device</b>": HOSTILE[1], "command": f"noisefold demo && echo '{HOSTILE[0]}'"},
    }


def html_of(**arguments: Any) -> str:
    """The page of what is given, and of nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        return write_report(Path(folder) / "report.html", **{"draws": 0, **arguments}).read_text()


class Page(HTMLParser):
    """Elements of a page; asserts that each is closed in its turn."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {k: v or "" for k, v in attrs}))
        if tag == "script":
            self.scripts.append("")
        if tag not in _VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {k: v or "" for k, v in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack, f"</{tag}> closes nothing"
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1] == "script":
            self.scripts[-1] += data
        elif not self.stack or self.stack[-1] != "style":
            self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attrs for name, attrs in self.elements if name == tag]


def figures(page: Page) -> dict[str, Any]:
    """The plotly figures of a page."""
    found: dict[str, Any] = json.loads(page.scripts[0])["figures"]
    return found


def leave_unpainted(patch: pytest.MonkeyPatch) -> None:
    """Still pictures are not painted, which takes most of the time of a page."""
    for module in ("blocks", "point_clouds", "sections"):
        patch.setattr(f"noisefold.report.page.{module}.png", lambda *_: "")
    patch.setattr("noisefold.report.page.point_clouds.draw_clouds", lambda *_, **__: None)

    def once(heading: str, alt: str, caption: str, draw: Callable[[Paper], Figure]) -> Picture:
        draw(LIGHT)
        return Picture(heading, alt, caption, "", "")

    patch.setattr(Picture, "of", once)


@pytest.fixture
def unpainted(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_unpainted(monkeypatch)


@pytest.fixture(scope="module")
def html() -> str:
    return html_of(**everything())


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_page_is_well_formed_with_one_id_each(html: str, page: Page) -> None:
    assert html.startswith("<!DOCTYPE html>")
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert sorted(ids) == ["levels", "loss", "nearest", "page-data", "path", "real", "samples"]


def test_sections_come_in_their_order(html: str) -> None:
    heads = re.findall(r"<h2>(.*?)</h2>", html)
    assert heads == [
        "Samples beside test data",
        "From noise to shape",
        "Training",
        "How the network follows the noise",
        "Scores",
        "Configuration",
        "How it was made",
        "How to make it again",
    ]


def test_nothing_is_loaded_from_anywhere(page: Page) -> None:
    for tag, attrs in page.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster", "xlink:href"):
            assert attrs.get(name, "data:").startswith("data:"), (tag, attrs)
    styles = re.findall(r"url\(|@import", " ".join(attrs.get("style", "") for _, attrs in page.elements))
    assert styles == []
    assert page.all("link") == page.all("iframe") == page.all("object") == []


def test_policy_allows_the_two_scripts_of_the_page_alone(page: Page) -> None:
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    data, *programs = page.scripts
    assert len(programs) == 2
    for program in programs:
        digest = base64.b64encode(hashlib.sha256(program.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert page.all("script")[0]["type"] == "application/json"
    assert "unsafe" not in policy.split("style-src")[0]
    json.loads(data)


def test_hostile_names_are_text(html: str, page: Page) -> None:
    outside = re.sub(r"<(script|style)[^>]*>.*?</\1>", "", html, flags=re.S)
    for text in ("<b>", "<u>", "<i>", "<a ", 'onerror="', "<img src=x"):
        assert text not in outside
    assert not any(name.startswith("on") for _, attrs in page.elements for name in attrs)
    assert all(name in page.text for name in HOSTILE)
    assert "<u>share</u>" in page.text
    assert len(page.scripts) == 3
    assert "<" not in page.scripts[0]
    # Plotly reads tags in texts, so that these are escaped once more.
    figure = figures(page)["samples"]
    labels = figure["layout"]["scene"]["annotations"]
    texts = [part["text"] for part in (*figure["data"], *labels)]
    assert len(texts) == 14
    assert not any("<" in text.replace("<br>", "") for text in texts)
    assert all(any(escape(name, quote=False) in text for text in texts) for name in HOSTILE)


def test_every_picture_has_words(page: Page) -> None:
    pictures = page.all("img")
    plots = [a for a in page.all("div") if a.get("class") == "plot"]
    assert len(pictures) == len(plots) == 6
    assert all(len(a["alt"]) > 20 for a in pictures)
    assert all(len(a["aria-label"]) > 20 and a["role"] == "img" for a in plots)


def numbers(spec: dict[str, str]) -> np.ndarray:
    """A typed array of plotly."""
    return np.frombuffer(base64.b64decode(spec["bdata"]), spec["dtype"])


def test_data_are_the_points_of_the_clouds(page: Page) -> None:
    arguments = everything()
    traces = figures(page)["samples"]["data"]
    assert len(traces) == 7
    test, table = arguments["test"], table_of(7, flat=False)
    shown = test[pick(test, 7, arguments["samples"])]
    centred = torch.cat([p - p.mean(0) for p in shown.unpack()])
    unit = float(torch.quantile(centred.norm(dim=1), 0.99))
    for k, trace in enumerate(traces):
        found = np.stack([numbers(trace[axis]) for axis in "xyz"], 1) / STEPS
        number = int(trace["text"].split("<br>")[0].removeprefix("sample "))
        pos = arguments["samples"][number].pos
        points = ((pos - pos.mean(0)) / unit).numpy()
        # Rounded to a step, in float32; turned about the vertical, which keeps heights and distances.
        np.testing.assert_allclose(found[:, 2], points[:, 2], atol=0.5 / STEPS + 1e-6)
        middle = np.append(table.centres[k], 0)
        radius = np.linalg.norm(found - middle, axis=1)
        np.testing.assert_allclose(radius, np.linalg.norm(points, axis=1), atol=1 / STEPS)
        assert numbers(trace["marker"]["color"]).dtype == np.uint8


def test_path_has_a_frame_and_a_place_on_the_slider_for_each_moment(page: Page) -> None:
    path = figures(page)["path"]
    assert [frame["name"] for frame in path["frames"]] == ["0", "1", "2"]
    (slider,) = path["layout"]["sliders"]
    assert [step["args"][0] for step in slider["steps"]] == [["0"], ["1"], ["2"]]
    assert [step["label"] for step in slider["steps"]] == ["0 %", "50 %", "100 %"]
    heights = [numbers(frame["data"][0]["z"]).astype(float) for frame in path["frames"]]
    np.testing.assert_allclose(heights[1], 1.5 * heights[2], atol=1.5)
    np.testing.assert_array_equal(heights[2], numbers(path["data"][0]["z"]))
    assert len(path["frames"][0]["data"]) == len(path["data"]) == 7


@pytest.mark.slow
def test_the_same_arguments_give_the_same_page(html: str) -> None:
    assert html_of(**everything()) == html
    assert len(html) < 6_500_000


@pytest.mark.usefixtures("unpainted")
@pytest.mark.parametrize(
    "left_out",
    [
        "test train log scores trajectory facts",
        *(
            pytest.param(some, marks=pytest.mark.slow)
            for some in ("test scores", "log facts", "trajectory train")
        ),
    ],
)
def test_pieces_may_be_missing(left_out: str) -> None:
    arguments = everything()
    for name in left_out.split():
        del arguments[name]
    page = Page(html_of(**arguments))
    shown = figures(page)
    assert ("real" in shown) == ("test" in arguments)
    assert ("nearest" in shown) == ("train" in arguments)
    assert ("path" in shown) == ("trajectory" in arguments)
    assert ("loss" in shown) == ("log" in arguments)
    tables, lists = page.all("table"), [a["class"] for a in page.all("dl")]
    assert bool(tables) == ("scores" in arguments)
    assert ("facts" in lists) == ("facts" in arguments)


@pytest.mark.usefixtures("unpainted")
def test_networks_that_follow_the_noise_show_how() -> None:
    from noisefold.nn.adaptive import Exponential

    data = hostile()
    model = Model.for_data(data, **_SMALL)
    model.net.arguments["adaptive"] = Exponential()  # type: ignore[operator, index]
    curves = [numbers(t["y"]) for t in figures(Page(html_of(model=model, samples=data)))["reach"]["data"]]
    assert [c[0] for c in curves] == [40, 4]  # on clean data: all nodes, the cube root of them
    assert [c[-1] for c in curves] == [13, 13]  # at pure noise: the root of 4 x 40, all neighbours


@pytest.mark.usefixtures("unpainted")
def test_other_models_stand_between_samples_and_real_data() -> None:
    data = hostile()
    others = {HOSTILE[1]: hostile(seed=2)}
    page = Page(html_of(model=Model.for_data(data, **_SMALL), samples=data, test=data, others=others))
    assert list(figures(page)) == ["samples", "other-0", "real"]
    assert [len(figure["data"]) for figure in figures(page).values()] == [7, 7, 7]
    assert f"Samples of {HOSTILE[1]}" in page.text


@pytest.mark.usefixtures("unpainted")
@pytest.mark.parametrize("dim", [1, *(pytest.param(d, marks=pytest.mark.slow) for d in (2, 4))])
def test_other_dimensions(dim: int) -> None:
    data = hostile(dim=dim)
    page = Page(html_of(model=Model.for_data(data, **_SMALL), samples=data, test=data, train=data))
    scene = figures(page)["samples"]["layout"]["scene"]
    assert scene["dragmode"] == ("pan" if dim < 3 else "turntable")


@pytest.mark.usefixtures("unpainted")
def test_large_clouds_are_thinned_and_the_caption_says_so() -> None:
    data = shapes(4, points=5000, families=("chair", "vase"))
    page = Page(html_of(model=Model.for_data(data, **_SMALL), samples=data))
    assert [len(numbers(t["x"])) for t in figures(page)["samples"]["data"]] == [1200] * 4
    assert "1,200" in page.text


# -- the file --------------------------------------------------------------------------------------------


def test_file_is_whole_or_untouched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = hostile()
    arguments = {"model": Model.for_data(data, **_SMALL), "samples": data, "draws": 0}
    path = tmp_path / "new" / "report.html"
    assert write_report(path, **arguments) == path
    before = path.read_bytes()
    assert before == html_of(**arguments).encode()

    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        write_report(path, **arguments, facts={"a": "b"})
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


@pytest.mark.usefixtures("unpainted")
def test_nothing_is_written_for_wrong_arguments(tmp_path: Path) -> None:
    data = hostile()
    model = Model.for_data(data, **_SMALL)
    path = tmp_path / "report.html"
    for argument, given in (
        ("test", {"samples": data, "test": hostile(dim=2)}),
        ("shipped", {"samples": data, "others": {"shipped": hostile(dim=2)}}),
        ("samples", {"samples": data[[]]}),
        ("samples", {"draws": 0}),
        ("draws", {"samples": data, "draws": -1}),
    ):
        with pytest.raises(ValueError, match=f"^{argument}"):
            write_report(path, model=model, **given)
    with pytest.raises(ValueError, match=r"^path"):
        write_report(tmp_path, model=model, samples=data)
    assert list(tmp_path.iterdir()) == []


# -- what the page computes by itself --------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("unpainted")
def test_what_is_missing_is_computed_and_what_is_given_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = hostile()
    model = Model.for_data(data, **_SMALL)
    path = tmp_path / "report.html"
    page = Page(
        write_report(path, model=model, test=hostile(seed=1), train=data, draws=4, steps=2).read_text()
    )
    assert list(figures(page)) == ["samples", "nearest", "real", "path"]
    assert {a["data-row"] for a in page.all("td") if "data-row" in a} >= {"model", "real", "train", "noise"}

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("given scores and samples were computed again")

    monkeypatch.setattr(Model, "sample", refuse)
    for name in ("score_clouds", "sample_trajectory"):
        monkeypatch.setattr(f"noisefold.report.page.point_clouds.{name}", refuse)
    given = everything()
    assert "<i>M</i>" in Page(write_report(path, **given).read_text()).text


def test_nearest_training_graphs_are_those_of_the_least_chamfer_distance() -> None:
    train, some = hostile(6, 30, seed=3), [4, 1, 1, 5]
    noise = 0.01 * torch.randn(120, 3, generator=torch.Generator().manual_seed(4))
    samples = train[some]
    assert nearest(samples.replace(pos=samples.pos + noise), train) == some
