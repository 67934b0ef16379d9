"""The page in a browser: it draws, turns, plays and asks the network for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import CHROMIUM, Browser
from test_field_maps import tissue
from test_page import HOSTILE, everything

from noisefold.model import Model
from noisefold.report import write_report

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

EYE = "document.querySelector('#{} .plot')._fullLayout.scene._scene.getCamera().eye"
BOX = "(r => [r.x, r.y, r.width, r.height])(document.querySelector('{}').getBoundingClientRect())"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(tmp_path_factory.mktemp("report") / "report.html", **everything())


SLIDER = "document.querySelector('#path .plot')._fullLayout.sliders[0].active"


def press(browser: Browser, figure: str, label: str) -> None:
    """Click on a button of a plotly figure."""
    buttons = f"[...document.querySelectorAll('#{figure} .updatemenu-button')]"
    button = f"{buttons}.find(b => b.textContent == '{label}')"
    browser.value(f"{button}.scrollIntoView()")
    box = f"(r => [r.x + r.width / 2, r.y + r.height / 2])({button}.getBoundingClientRect())"
    browser.drag(*browser.value(box), (0, 0))


def test_page_draws_and_turns_and_plays(browser: Browser, report: Path) -> None:
    browser.open(report, 1280, 1600)
    assert browser.value("document.body.dataset.ready") == "6"

    # Dragging one scene turns all of its group, and no other.
    before, path = (browser.value(EYE.format(name)) for name in ("samples", "path"))
    x, y, width, height = browser.value(BOX.format("#samples .plot"))
    browser.drag(x + width / 2, y + height / 2, (90, 0))
    browser.until(f"Math.abs({EYE.format('samples')}.x - {before['x']}) > 0.3")
    for other in ("nearest", "real"):
        same = " && ".join(
            f"Math.abs({EYE.format('samples')}.{k} - {EYE.format(other)}.{k}) < 1e-6" for k in "xyz"
        )
        browser.until(same)
    assert browser.value(EYE.format("path")) == pytest.approx(path)
    event = "new KeyboardEvent('keydown', {key: 'ArrowUp'})"
    height_of = f"{EYE.format('samples')}.z"
    lower = browser.value(height_of)
    browser.value(f"document.querySelector('#real .plot').dispatchEvent({event})")
    browser.until(f"{height_of} > {lower} + 0.1")

    # The slider moves the points: the middle moment of the path is 1.5 times the last.
    reach = "Math.max(...document.querySelector('#path .plot')._fullData[0].z)"
    last = browser.value(reach)
    browser.value("Plotly.animate(document.querySelector('#path .plot'), ['1'], {mode: 'immediate'})")
    browser.until(f"Math.abs({reach} / {last} - 1.5) < 1e-2")
    browser.until(f"{SLIDER} == 1")
    press(browser, "path", "Play")
    browser.until(f"{SLIDER} == 2 && Math.abs({reach} / {last} - 1) < 1e-3")

    # The loss by minutes: 380 seconds in all.
    press(browser, "loss", "minutes")
    browser.until("Math.abs(document.querySelector('#loss .plot')._fullData[0].x.at(-1) - 380 / 60) < 1e-3")

    assert browser.requests() == [report.as_uri()]
    assert browser.complaints() == []
    assert browser.value("document.body.dataset.errors") is None


def test_names_from_files_do_nothing_and_are_shown(browser: Browser, report: Path) -> None:
    browser.open(report, 1280, 1400)
    title = browser.value("document.title")
    x, y, width, height = browser.value(BOX.format("#samples .plot"))
    for dx in (-0.2, 0.0, 0.2):  # over points, whose names are shown beside the mouse
        browser.drag(x + (0.5 + dx) * width, y + 0.5 * height, (0, 0))
    texts = "[...document.querySelectorAll('#samples .annotation-text')].map(e => e.textContent)"
    labels = browser.value(texts)
    assert len(labels) == 7
    assert all(any(name.startswith(label.rstrip("…")) for name in HOSTILE) for label in labels)
    text = browser.value("document.body.textContent")
    assert all(name in text for name in HOSTILE)
    assert browser.value("document.querySelectorAll('a[href], img[src=x], b, i, u').length") == 0
    assert browser.value("document.scripts.length") == 3
    assert browser.value("document.title") == title
    assert browser.value("document.body.dataset.errors") is None
    assert browser.complaints() == []


def test_genes_and_files_do_nothing_and_are_shown(browser: Browser, tmp_path: Path) -> None:
    real = tissue()
    model = Model.for_data(real.replace(feature_names=HOSTILE[:2]), width=16, blocks=1, heads=2)
    facts = {"file": f"{HOSTILE[0]}.h5ad", "command": f"noisefold report '{HOSTILE[1]}'"}
    page = write_report(tmp_path / "report.html", model=model, samples=real, facts=facts, draws=0)
    browser.open(page)
    title = browser.value("document.title")
    heads = browser.value("[...document.querySelectorAll('h3')].map(e => e.textContent)")
    assert sorted(heads) == sorted(HOSTILE[:2])
    assert browser.value("document.querySelector('dl.facts dd').textContent") == facts["file"]
    assert browser.value("document.querySelectorAll('img[src=x]').length") == 0
    assert browser.value("document.scripts.length") == 3
    assert browser.value("document.title") == title
    assert title not in ("pwned", "1")


@pytest.mark.slow
def test_page_fits_a_telephone_and_the_dark(browser: Browser, report: Path) -> None:
    browser.open(report, 360, 800, "dark")
    assert browser.value("document.documentElement.scrollWidth") == 360
    for figure in ("samples", "path", "loss"):
        x, _, width, _ = browser.value(BOX.format(f"#{figure} .plot > div"))
        assert x >= 0
        assert x + width <= 360
    colour = "getComputedStyle(document.body).backgroundColor"
    assert browser.value(colour) == "rgb(16, 21, 28)"
    ink = "document.querySelector('#loss .plot')._fullLayout.font.color"
    dark = browser.value(ink)
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}])
    browser.until(f"{ink} != '{dark}'")
    assert browser.value(colour) == "rgb(255, 255, 255)"

    # Turned on its side, it is drawn anew.
    size = {"width": 800, "height": 360, "deviceScaleFactor": 1, "mobile": False}
    browser.call("Emulation.setDeviceMetricsOverride", **size)
    browser.until("document.querySelector('#path .plot')._fullLayout.width > 500")
    assert browser.value("document.documentElement.scrollWidth") == 800
    assert browser.value("document.body.dataset.errors") is None


@pytest.mark.slow
def test_paper_has_the_still_pictures(browser: Browser, report: Path) -> None:
    browser.open(report, 1000, 800)
    browser.call("Emulation.setEmulatedMedia", media="print")
    shown = "[...document.querySelectorAll('{}')].map(e => getComputedStyle(e).display != 'none')"
    assert browser.value(shown.format("figure .plot")) == [False] * 6
    assert browser.value(shown.format("figure .still")) == [True] * 6
    browser.call("Emulation.setEmulatedMedia", media="")


@pytest.mark.slow
def test_without_webgl_curves_are_drawn_and_clouds_stay_still(
    browser: Browser, report: Path, tmp_path: Path
) -> None:
    script = "HTMLCanvasElement.prototype.getContext = () => null"
    added = browser.call("Page.addScriptToEvaluateOnNewDocument", source=script)["identifier"]
    try:
        browser.open(report, 1000, 800)
        live = browser.value("[...document.querySelectorAll('figure.live')].map(f => f.id)")
        assert live == ["loss", "levels"]
    finally:
        browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=added)
