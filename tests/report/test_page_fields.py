"""The page for fields: one file, its sections and numbers, and pictures for light and dark screens."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from test_field_maps import LIMB, completed, limb, tissue
from test_page import HOSTILE, Page, html_of, leave_unpainted, unpainted  # noqa: F401 (a fixture)

from noisefold.eval.posterior_scores import score_posterior
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.scaling import Scaling
from noisefold.geometry.summary import DataSummary
from noisefold.model import Model
from noisefold.nn.set_transformer import SetTransformer
from noisefold.noise.variable import Features
from noisefold.report import Names, hide_features, recover, write_report
from noisefold.report.page.sections import configuration

_SMALL = {"width": 16, "blocks": 1, "heads": 2}


def everything() -> dict[str, Any]:
    real = limb(4)
    path = [(u, limb(2, 9).replace(x=u * limb(2, 9).x)) for u in (0.1, 0.5, 1.0)]
    return {
        "model": Model.for_data(real, **_SMALL),
        "samples": limb(4, seed=1),
        "test": real,
        "trajectory": path,
        "names": LIMB,
        "completion": completed(real),
    }


@pytest.fixture(scope="module")
def html() -> str:
    with pytest.MonkeyPatch.context() as patch:
        leave_unpainted(patch)
        return html_of(**everything())


@pytest.fixture(scope="module")
def painted() -> str:
    """Maps and times with all their pictures; the others are painted in tests of their own."""
    left_out = ("trajectory", "completion")
    return html_of(**{name: value for name, value in everything().items() if name not in left_out})


def test_sections_come_in_their_order(html: str) -> None:
    assert re.findall(r"<h2>(.*?)</h2>", html)[:3] == [
        "Samples beside test data",
        "From noise to field",
        "Held-out recovery",
    ]
    heads = re.findall(r"<h3>(.*?)</h3>", html)
    assert sorted(set(heads)) == [
        "Calibration",
        "bmp",
        "bmp, time by time",
        "sox9",
        "sox9, time by time",
    ]


def test_page_is_one_file_with_words_for_every_picture(painted: str) -> None:
    page = Page(painted)
    for tag, attrs in page.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            assert attrs.get(name, "data:").startswith("data:"), (tag, name)
    pictures, sources = page.all("img"), page.all("source")
    assert len(pictures) == len(sources) == 4
    assert all(len(a["alt"]) > 20 for a in pictures)
    assert all(a["media"].startswith("screen and (prefers-color-scheme: dark)") for a in sources)


def test_light_and_dark_pictures_are_the_same_but_for_their_paper(painted: str) -> None:
    page = Page(painted)
    for light, dark in zip(page.all("img"), page.all("source"), strict=True):
        pair = [
            Image.open(io.BytesIO(base64.b64decode(text.split(",", 1)[1]))).convert("RGB")
            for text in (light["src"], dark["srcset"])
        ]
        # Faint pixels at an edge may count on one paper and not on the other.
        assert all(abs(a - b) <= 2 for a, b in zip(pair[0].size, pair[1].size, strict=True))
        assert pair[0].width <= 1270
        assert pair[0].getpixel((0, 0)) == (255, 255, 255)
        assert max(pair[1].getpixel((0, 0))) < 60  # type: ignore[arg-type, type-var]


def test_numbers_are_those_of_the_scores(html: str) -> None:
    done = completed(limb(4))
    assert done.graphs.x is not None
    scores = score_posterior(done.values, done.graphs.x, done.known, done.graphs)
    for k in range(2):
        assert f"CRPS {float(scores.features['CRPS'][k]):.3g}" in html
        held = 100 * float(scores.features["cover 90 %"][k])
        assert f"intervals of 90 % hold {held:.0f} %" in html
    assert f"{100 * float((~done.known).double().mean()):.0f} % of the values" in html


@pytest.mark.usefixtures("unpainted")
def test_named_features_are_shown_and_unknown_ones_refused() -> None:
    real = tissue().replace(x=torch.randn(200, 6))
    model = Model.for_data(real, **_SMALL)
    names = Names(tuple("abcdef"))
    heads = re.findall(r"<h3>(.*?)</h3>", html_of(model=model, samples=real, names=names, features=["e", 1]))
    assert heads[:2] == ["e", "b"]
    assert len(heads) == 3
    with pytest.raises(ValueError, match="'gene' is unknown"):
        html_of(model=model, samples=real, names=names, features=["gene"])


@pytest.mark.usefixtures("unpainted")
def test_names_of_the_model_are_used_and_hostile_ones_are_text() -> None:
    real = tissue()
    model = Model.for_data(real.replace(feature_names=HOSTILE[:2]), **_SMALL)
    html = html_of(model=model, samples=real)
    outside = re.sub(r"<(script|style)[^>]*>.*?</\1>", "", html, flags=re.S)
    assert "<img src=x" not in outside
    assert all(name in Page(html).text for name in HOSTILE[:2])


@pytest.mark.slow
@pytest.mark.usefixtures("unpainted")
def test_best_and_worst_recovered_features_are_chosen() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, 8, generator=generator)
    graphs = Graphs(torch.rand(60, 2, generator=generator), x)
    known = torch.rand(60, 8, generator=generator) < 0.5
    draws = x + (torch.arange(8.0) + 0.1) * torch.randn(20, 60, 8, generator=generator)
    done = completed(graphs)
    done = type(done)(graphs, Features(), known, torch.where(known, x, draws))
    model = Model.for_data(graphs, **_SMALL)
    html = html_of(model=model, samples=graphs, completion=done)
    held_out = html.split("<h2>Held-out recovery")[1]
    found = re.findall(r"<h3>feature (\d)</h3>", held_out)
    assert found[:2] == ["0", "1"]
    assert sorted(found[2:]) == ["6", "7"]  # their spreads are nearly the same


def test_what_is_hidden_is_a_share_of_genes_at_a_share_of_nodes() -> None:
    graphs = Graphs(torch.rand(100, 2), torch.rand(100, 10))
    known = hide_features(graphs, 0.2, 0.5, seed=3)
    assert (~known).any(0).sum() == 2
    assert sorted((~known).sum(0).tolist()) == [0] * 8 + [50, 50]
    assert torch.equal(known, hide_features(graphs, 0.2, 0.5, seed=3))
    assert not torch.equal(known, hide_features(graphs, 0.2, 0.5, seed=4))
    assert (~hide_features(limb())).any(0).sum() == 1
    with pytest.raises(ValueError, match=r"share must lie in \(0, 1\), got 1"):
        hide_features(graphs, 1)
    with pytest.raises(ValueError, match=r"^graphs must have features"):
        hide_features(graphs.replace(x=None))


@pytest.mark.usefixtures("unpainted")
def test_a_model_is_asked_for_what_was_hidden() -> None:
    train = limb(12)
    model = Model.for_data(train, **_SMALL)
    done, table = recover(model, limb(2, 1), train, draws=20, steps=2)
    assert table.rows == ("model", "mean", "neighbours", "regression")
    assert torch.equal(done.known, hide_features(limb(2, 1)))
    assert len(done) == 20
    html = html_of(model=model, samples=limb(2, 1), completion=done, recovered=table, names=LIMB)
    assert "neighbours" in Page(html).text
    with pytest.raises(ValueError, match="features"):
        recover(Model.for_data(train.replace(x=None), **_SMALL), train)


@pytest.mark.slow
@pytest.mark.usefixtures("unpainted")
def test_what_is_missing_is_computed(tmp_path: Path) -> None:
    train = limb(12)
    model = Model.for_data(train, **_SMALL)
    path = tmp_path / "report.html"
    html = write_report(path, model=model, test=limb(8, 1), train=train, draws=4, steps=2).read_text()
    heads = re.findall(r"<h2>(.*?)</h2>", html)
    assert heads[:4] == ["Samples beside test data", "From noise to field", "Held-out recovery", "Scores"]
    assert "nearest in training" in html  # all fields stand on the same positions
    alone = Page(write_report(path, model=model, train=train, draws=4, steps=2).read_text())
    assert "held out" in alone.text.split("How it was made")[1]
    with pytest.raises(ValueError, match=r"^test"):
        write_report(path, model=model)


def test_long_lists_are_shortened_on_the_page_and_short_ones_are_whole():
    scaling = Scaling((0.0, 0.0), 1.0, tuple(float(i) for i in range(40)), (1.0,) * 40)
    net = SetTransformer(2, 40, 40, width=8, heads=2, blocks=1)
    model = Model(net, variable="x", summary=DataSummary(scaling, (5,) * 12))
    shown = yaml.safe_load(configuration(model).blocks[0].text)  # type: ignore[attr-defined]
    assert shown["model"]["summary"]["scaling"]["x_mean"] == [0.0, 1.0, 2.0, "... 40 in all, in config.json"]
    assert shown["model"]["summary"]["sizes"] == [5] * 12
    assert shown["model"]["net"] == model.config()["model"]["net"]
