"""The page in a browser: it draws, turns, plays and asks the network for nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import CHROMIUM, Browser
from test_report_page import HOSTILE, everything

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


def test_page_draws_and_turns_and_plays(browser: Browser, report: Path) -> None:
    browser.open(report, 1280, 1400)
    assert browser.value("document.body.dataset.ready") == "5"

    # Names are shown as they are, and did nothing.
    texts = "[...document.querySelectorAll('#samples .annotation-text')].map(e => e.textContent)"
    labels = browser.value(texts)
    assert len(labels) == 8
    assert all(any(name.startswith(label.rstrip("…")) for name in HOSTILE) for label in labels)
    assert browser.value("document.querySelectorAll('#samples a[href]').length") == 0

    # Dragging one scene turns both.
    before = browser.value(EYE.format("samples"))
    x, y, width, height = browser.value(BOX.format("#samples .plot"))
    browser.drag(x + width / 2, y + height / 2, (90, 0))
    browser.until(f"Math.abs({EYE.format('samples')}.x - {before['x']}) > 0.3")
    same = " && ".join(
        f"Math.abs({EYE.format('samples')}.{k} - {EYE.format('real')}.{k}) < 1e-6" for k in "xyz"
    )
    browser.until(same)

    # The slider moves the points: the middle moment of the path is 1.5 times the last.
    reach = "Math.max(...document.querySelector('#path .plot').data[0].z)"
    last = browser.value(reach)
    move = "(s => { s.value = 1; s.dispatchEvent(new Event('input')); })"
    browser.value(f"{move}(document.querySelector('#path .controls input'))")
    browser.until(f"Math.abs({reach} / {last} - 1.5) < 1e-3")
    assert browser.value("document.querySelector('#path output').textContent") == "signal 50 %, noise 50 %"
    browser.value("document.querySelector('#path .controls button').click()")
    browser.until("document.querySelector('#path output').textContent == 'signal 100 %, noise 0 %'")
    browser.until("document.querySelector('#path .controls button').textContent == 'Play'")

    # The loss by minutes: 380 seconds in all.
    browser.value("document.querySelector('input[value=minutes]').click()")
    browser.until("Math.abs(document.querySelector('#loss .plot').data[0].x.at(-1) - 380 / 60) < 1e-3")

    assert browser.requests() == [report.as_uri()]
    assert browser.complaints() == []
    assert browser.value("document.body.dataset.errors") is None


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
    browser.until("document.querySelector('#path .plot')._fullLayout.width > 600")
    time.sleep(0.2)
    assert browser.value("document.documentElement.scrollWidth") == 800
    assert browser.value("document.body.dataset.errors") is None
