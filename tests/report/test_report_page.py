"""The page as a file: valid, closed to the network, safe against hostile names, complete or not there."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from noisefold.data.shapes import shapes
from noisefold.eval.score_table import Metric, Score, Scores
from noisefold.geometry.graphs import Graphs
from noisefold.model import Model
from noisefold.report import report_html, write_report

HOSTILE = (
    '</script><script>document.body.dataset.errors="a"</script>',
    '"><img src=x onerror="document.body.dataset.errors=1">',
    "<b>bold</b> &amp; <a href='http://evil.example/'>%{x}</a>",
    "é∂ 漢字",
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
        "real": hostile(seed=1),
        "log": log,
        "scores": Scores((Metric("<i>M</i>", 0.5, "<u>share</u>"),), cells, {"real": HOSTILE[0]}, HOSTILE[1]),
        "trajectory": [(u, data.replace(pos=data.pos * (2 - u))) for u in (0.0, 0.5, 1.0)],
        "facts": {"<b>device</b>": HOSTILE[1], "command": f"noisefold demo && echo '{HOSTILE[0]}'"},
    }


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


@pytest.fixture(scope="module")
def html() -> str:
    return report_html(**everything())


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_page_is_well_formed_with_one_id_each(html: str, page: Page) -> None:
    assert html.startswith("<!DOCTYPE html>")
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert sorted(ids) == ["levels", "loss", "page-data", "path", "real", "samples"]


def test_sections_come_in_their_order(html: str) -> None:
    heads = re.findall(r"<h2>(.*?)</h2>", html)
    assert heads == [
        "Samples beside real data",
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
    names = [c["name"] for c in json.loads(page.scripts[0])["scenes"]["samples"]["clouds"]]
    assert sorted(set(names)) == sorted(HOSTILE)


def test_every_picture_has_words(page: Page) -> None:
    pictures = page.all("img")
    plots = [a for a in page.all("div") if a.get("class") == "plot"]
    assert len(pictures) == len(plots) == 5
    assert all(len(a["alt"]) > 20 for a in pictures)
    assert all(len(a["aria-label"]) > 20 and a["role"] == "img" for a in plots)
    assert all("aria-label" in a for a in page.all("input") if a["type"] == "range")


def test_data_are_the_points_of_the_clouds(page: Page) -> None:
    arguments = everything()
    scene = json.loads(page.scripts[0])["scenes"]["samples"]
    assert len(scene["clouds"]) == 8
    real = arguments["real"]
    centred = torch.cat([p - p.mean(0) for p in real.unpack()])
    unit = float(torch.quantile(centred.norm(dim=1), 0.99))
    for cloud in scene["clouds"]:
        steps = np.frombuffer(base64.b64decode(cloud["points"]), "<i2").reshape(-1, 3)
        number = int(cloud["about"][0].removeprefix("sample "))
        pos = arguments["samples"][number].pos
        expected = ((pos - pos.mean(0)) / unit).numpy()
        # Rounded to a step of 1/6000, in float32.
        np.testing.assert_allclose(steps / scene["unit"], expected, atol=0.5 / 6000 + 1e-6)
        assert len(base64.b64decode(cloud["colors"])) == cloud["count"] == 40


def test_the_same_arguments_give_the_same_page(html: str) -> None:
    assert report_html(**everything()) == html
    assert len(html) < 6_500_000


@pytest.mark.parametrize(
    "left_out", ["real scores", "log facts", "trajectory", "real log scores trajectory facts"]
)
def test_pieces_may_be_missing(left_out: str) -> None:
    arguments = everything()
    for name in left_out.split():
        del arguments[name]
    page = Page(report_html(**arguments))
    data = json.loads(page.scripts[0])
    assert ("real" in data["scenes"]) == ("real" in arguments)
    assert ("path" in data["scenes"]) == ("trajectory" in arguments)
    assert ("loss" in data["curves"]) == ("log" in arguments)
    assert ("not been scored" in page.text) == ("scores" not in arguments)
    assert ("How it was made" in page.text) == ("facts" in arguments)


def test_networks_that_follow_the_noise_show_how() -> None:
    from noisefold.nn.adaptive import Exponential

    data = hostile()
    model = Model.for_data(data, **_SMALL)
    model.net.arguments["adaptive"] = Exponential()  # type: ignore[operator, index]
    page = Page(report_html(model=model, samples=data))
    curves = json.loads(page.scripts[0])["curves"]["reach"]["noise"]["data"]
    assert [c["y"][0] for c in curves] == [40, 4]  # on clean data: all nodes, the cube root of them
    assert [c["y"][-1] for c in curves] == [13, 13]  # at pure noise: the root of 4 x 40, all neighbours
    latents = Page(report_html(model=Model.for_data(data, **_SMALL), samples=data)).text
    assert "4 latent vectors, whatever the level of noise" in latents


def test_other_models_stand_between_samples_and_real_data() -> None:
    data = hostile()
    others = {HOSTILE[1]: hostile(seed=2), "none": data[[]]}
    page = Page(report_html(model=Model.for_data(data, **_SMALL), samples=data, real=data, others=others))
    scenes = json.loads(page.scripts[0])["scenes"]
    assert list(scenes) == ["samples", "other-0", "real"]
    assert [len(scene["clouds"]) for scene in scenes.values()] == [7, 7, 7]
    assert f"Samples of {HOSTILE[1]}" in page.text


@pytest.mark.parametrize("dim", [1, 2, 4])
def test_other_dimensions(dim: int) -> None:
    data = hostile(dim=dim)
    page = Page(report_html(model=Model.for_data(data, **_SMALL), samples=data, real=data))
    assert json.loads(page.scripts[0])["scenes"]["samples"]["flat"] is (dim < 3)


def test_large_clouds_are_thinned_and_the_caption_says_so() -> None:
    data = shapes(4, points=5000, families=("chair", "vase"))
    page = Page(report_html(model=Model.for_data(data, **_SMALL), samples=data))
    clouds = json.loads(page.scripts[0])["scenes"]["samples"]["clouds"]
    assert [c["count"] for c in clouds] == [1200] * 4
    assert "at most 1,200 of them, chosen at random, are drawn" in page.text


# -- the file --------------------------------------------------------------------------------------------


def test_file_is_whole_or_untouched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = hostile()
    arguments = {"model": Model.for_data(data, **_SMALL), "samples": data}
    path = tmp_path / "new" / "report.html"
    assert write_report(path, **arguments) == path
    before = path.read_bytes()
    assert before == report_html(**arguments).encode()

    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        write_report(path, **arguments, facts={"a": "b"})
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_nothing_is_written_for_wrong_arguments(tmp_path: Path) -> None:
    data = hostile()
    model = Model.for_data(data, **_SMALL)
    path = tmp_path / "report.html"
    with pytest.raises(ValueError, match="3 dimensions of samples, got 2"):
        write_report(path, model=model, samples=data, real=hostile(dim=2))
    with pytest.raises(ValueError, match="shipped must have the 3 dimensions of samples, got 2"):
        write_report(path, model=model, samples=data, others={"shipped": hostile(dim=2)})
    with pytest.raises(ValueError, match="at least one graph"):
        write_report(path, model=model, samples=data[[]])
    with pytest.raises(ValueError, match="is a folder"):
        write_report(tmp_path, model=model, samples=data)
    assert list(tmp_path.iterdir()) == []
