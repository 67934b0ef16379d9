"""Every command refuses a target that cannot be written before it begins its work."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from noisefold import cli
from noisefold.data.source import DataSource
from noisefold.model import Model
from noisefold.train.lock import run_lock


class BegunError(Exception):
    """The work has begun."""


COMMANDS = {
    "train": (["train", "{data}", "--out", "{target}"], ""),
    "sample": (["sample", "noisefold/shapes", "--out", "{target}"], ".npz"),
    "complete": (["complete", "noisefold/shapes", "{data}", "--out", "{target}"], ".npz"),
    "convert": (["convert", "{data}", "{target}"], ""),
    "evaluate": (["evaluate", "noisefold/shapes", "{data}", "--json", "{target}"], ".json"),
    "report": (["report", "noisefold/shapes", "--out", "{target}"], ".html"),
    "study": (["study", "pretrained", "--out", "{target}"], ""),
    "demo": (["demo", "--out", "{target}"], ""),
}


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a model or data, or training, is an error."""

    def work(*_: Any, **__: Any) -> None:
        raise BegunError

    for owner, name in (
        (Model, "sample"),
        (Model, "complete"),
        (Model, "evaluate"),
        (Model, "report"),
        (Model, "fit"),
        (Model, "for_data"),
        (DataSource, "divided"),
        (DataSource, "load"),
    ):
        monkeypatch.setattr(owner, name, work)
    monkeypatch.setattr("noisefold.data.convert.load", work)


def _run(tmp_path: Path, name: str, target: Path) -> Any:
    data = tmp_path / "data.npz"
    pos = np.random.default_rng(0).normal(size=(2, 8, 3)).astype(np.float32)
    pos[:, 0] = np.nan if name == "complete" else 0
    np.savez(data, pos=pos)
    words = [w.format(data=data, target=target) for w in COMMANDS[name][0]]
    return CliRunner().invoke(cli.app, words)


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("name", COMMANDS)
def test_below_a_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("mine")
    result = _run(tmp_path, name, tmp_path / "file" / f"out{COMMANDS[name][1]}")
    assert result.exit_code == 2, result.exception
    assert len(result.stderr.strip().splitlines()) == 1
    assert {p.name for p in tmp_path.iterdir()} == {"data.npz", "file"}


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_folder_for_a_file_and_a_file_for_a_folder(tmp_path: Path, name: str) -> None:
    target = tmp_path / f"out{COMMANDS[name][1]}"
    if COMMANDS[name][1]:
        target.mkdir()
    else:
        target.write_text("mine")
    result = _run(tmp_path, name, target)
    assert result.exit_code == 2, result.exception
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("name", COMMANDS)
def test_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 100}))
    result = _run(tmp_path, name, tmp_path / f"out{COMMANDS[name][1]}")
    assert result.exit_code == 1, result.exception
    assert len(result.stderr.strip().splitlines()) == 1
    assert {p.name for p in tmp_path.iterdir()} == {"data.npz"}


@pytest.mark.slow
@pytest.mark.usefixtures("idle")
def test_the_checks_let_others_pass(tmp_path: Path) -> None:
    for name in COMMANDS:
        result = _run(tmp_path, name, tmp_path / f"out{COMMANDS[name][1]}")
        assert isinstance(result.exception, BegunError), (name, result.exception, result.stderr)


@pytest.mark.skipif(os.name != "posix", reason="needs fork")
def test_a_second_training_in_a_folder_is_misuse(tmp_path: Path) -> None:
    there, here = os.pipe()
    child = os.fork()
    if child == 0:
        with run_lock(tmp_path / "run"):
            os.write(here, b"x")
            signal.pause()
    os.read(there, 1)
    try:
        before = [(p.name, p.stat().st_mtime_ns) for p in (tmp_path / "run").iterdir()]
        np.savez(tmp_path / "data.npz", pos=np.random.default_rng(0).normal(size=(8, 8, 3)))
        words = [
            "train",
            str(tmp_path / "data.npz"),
            "--out",
            str(tmp_path / "run"),
            "--resume",
            "--steps",
            "1",
        ]
        for more in ([], ["--devices", "2"]):
            result = CliRunner().invoke(cli.app, [*words, "-o", "net.width=8", *more])
            assert result.exit_code == 2, result.output
            assert str(child) in result.stderr
            assert str(tmp_path / "run") in result.stderr
            assert len(result.stderr.strip().splitlines()) == 1
            assert [(p.name, p.stat().st_mtime_ns) for p in (tmp_path / "run").iterdir()] == before
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(there)
        os.close(here)
