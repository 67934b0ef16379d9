"""The bar: rate and time left on a terminal, nothing elsewhere."""

from __future__ import annotations

import io
import re
import time

import pytest

from noisefold.progress import progress


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def _terminal(monkeypatch: pytest.MonkeyPatch) -> _Terminal:
    for name in ("NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "JUPYTER_COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    out = _Terminal()
    monkeypatch.setattr("sys.stderr", out)
    return out


def test_a_terminal_sees_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _terminal(monkeypatch)
    with progress("training", 1000, 10) as advance:
        for _ in range(4):
            time.sleep(0.005)
            advance(2, "loss 0.1234")
    last = _plain(terminal.getvalue()).replace("\r", "\n").strip().splitlines()[-1]
    assert "training" in last
    assert "18/1000" in last
    assert "loss 0.1234" in last
    assert re.search(r"\d+\.\d/s", last)
    assert re.search(r"\d:\d\d:\d\d", last)


def test_slow_work_shows_seconds_each(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _terminal(monkeypatch)
    with progress("reading", 3) as advance:
        advance(1, "")
        time.sleep(1.05)
        advance(1, "")
    assert re.search(r"\d\.\d s each", _plain(terminal.getvalue()))


def test_what_was_done_before_does_not_count_as_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _terminal(monkeypatch)
    with progress("training", 10_000_000, 9_000_000) as advance:
        for _ in range(3):
            time.sleep(0.01)
            advance(1, "")
    rate = re.findall(r"(\d+\.\d)/s", _plain(terminal.getvalue()))
    assert rate
    assert max(map(float, rate)) < 1000


@pytest.mark.parametrize("show", [True, False])
def test_nothing_is_written_elsewhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], show: bool
) -> None:
    out = io.StringIO() if show else _Terminal()
    monkeypatch.setattr("sys.stderr", out)
    with progress("training", 3, show=show) as advance:
        advance(1, "note")
    assert out.getvalue() == ""
    assert capsys.readouterr().out == ""
