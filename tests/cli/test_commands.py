"""The command line as its user meets it: what it does, and one sentence for whatever is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from noisefold import cli
from noisefold.data import load, save, shapes
from noisefold.train import Checkpoints

SMALL = ["-o", "net.width=16", "-o", "net.latents=4", "-o", "net.latent_width=16", "-o", "net.rounds=1"]
SMALL += ["-o", "net.blocks=1", "-o", "net.heads=2", "-o", "training.batch=4", "-o", "training.warmup=1"]


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli.app, [str(a) for a in arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def cubes(tmp_path_factory) -> Path:
    """A folder of .ply files as a user would have it, written by the library's own writer."""
    folder = tmp_path_factory.mktemp("data") / "clouds"
    for i, graph in enumerate(shapes(12, points=40)):
        save(graph.replace(label=None, classes=()), folder / f"{i:02}.ply")
    return folder


@pytest.fixture(scope="module")
def trained(cubes: Path, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "a"
    status, text, errors = run("train", cubes, "--out", out, "--steps", 4, *SMALL)
    assert status == 0, errors
    assert "4 steps done" in text
    return out


def test_inspect_says_what_it_understood_and_suggests(cubes: Path) -> None:
    status, text, _ = run("inspect", cubes)
    assert status == 0
    assert "12" in text
    assert "40" in text
    plan = yaml.safe_load(text[text.index("net:") :])
    assert plan["net"]["kind"] == "nn.Latents"


def test_train_leaves_a_run_folder(trained: Path) -> None:
    assert {p.name for p in trained.iterdir()} == {
        "checkpoints",
        "config.yaml",
        "data.json",
        "metrics.jsonl",
        "model",
    }
    assert yaml.safe_load((trained / "config.yaml").read_text())["training"]["steps"] == 4


def test_train_refuses_to_write_over_a_run_and_resumes(trained: Path, cubes: Path) -> None:
    before = (trained / "metrics.jsonl").read_bytes()
    status, _, errors = run("train", cubes, "--out", trained, "--steps", 4, *SMALL)
    assert status == 2
    assert "--resume" in errors
    assert (trained / "metrics.jsonl").read_bytes() == before
    assert run("train", cubes, "--out", trained, "--steps", 5, "--resume", *SMALL)[0] == 0
    assert json.loads((trained / "metrics.jsonl").read_text().splitlines()[-1])["step"] == 5


def test_resuming_with_other_data_is_refused_and_keeps_the_note(trained: Path, tmp_path: Path) -> None:
    before = (trained / "data.json").read_bytes()
    save(shapes(6, points=40), tmp_path / "other.npz")
    status, _, errors = run("train", tmp_path / "other.npz", "--out", trained, "--resume", *SMALL)
    assert status == 2, errors
    assert (trained / "data.json").read_bytes() == before


def test_a_training_that_explodes_leaves_a_sound_checkpoint(
    cubes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("noisefold.train.loop._rate", lambda step, settings: float(step >= 3))
    more = ["-o", "training.lr=1e30", "-o", "training.checkpoint_every=2"]
    status, _, errors = run("train", cubes, "--out", tmp_path / "r", "--steps", 8, *SMALL, *more)
    assert status == 1
    assert "checkpoint 2 is the last good one" in errors
    last = Checkpoints(tmp_path / "r" / "checkpoints").latest()
    assert last is not None
    assert last.step == 2
    assert last.finite
    assert not (tmp_path / "r" / "model").exists()


def test_config_of_a_run_trains_again(trained: Path, cubes: Path, tmp_path: Path) -> None:
    status, _, errors = run("train", cubes, "--out", tmp_path / "b", "--config", trained / "config.yaml")
    assert status == 0, errors


@pytest.mark.parametrize("ending", [".ply", ".npz", ".npy", ".xyz", ".csv"])
def test_sample_writes_every_format(trained: Path, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"made{ending}"
    status, text, errors = run("sample", trained, "-n", 3, "--out", out, "--steps", 2, "--nodes", 9)
    assert status == 0, errors
    path = out if out.exists() else tmp_path / "made"
    assert len(load(path)) == 3, text


def test_evaluate_and_report(trained: Path, cubes: Path, tmp_path: Path) -> None:
    status, text, errors = run("evaluate", trained, cubes, "--steps", 2, "--json", tmp_path / "s.json")
    assert status == 0, errors
    assert "collapsed" in text
    assert "model" in json.loads((tmp_path / "s.json").read_text())["rows"]
    status, _, errors = run(
        "report", trained, cubes, "--steps", 2, "--draws", 8, "--out", tmp_path / "r.html"
    )
    assert status == 0, errors
    assert (tmp_path / "r.html").stat().st_size > 10_000


@pytest.mark.slow
def test_demo_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from noisefold.model import PACKAGED

    # A shape costs the same whatever is done with it, and the demo makes 2,000.
    monkeypatch.setattr("noisefold.data.shapes", lambda count, **rest: shapes(min(count, 64), **rest))

    if not PACKAGED["noisefold/shapes"].is_dir():
        pytest.skip("the shipped model is not in this checkout")
    status, text, errors = run("demo", "--out", tmp_path / "demo", "--steps", 2, "--draws", 4)
    assert status == 0, errors
    assert (tmp_path / "demo" / "report.html").is_file()
    assert "shipped" in text


def test_study_list() -> None:
    status, text, _ = run("study", "list")
    assert status == 0
    assert "pretrained" in text


class _Pickled:
    pass


def _bad_files(folder: Path) -> dict[str, Path]:
    good = folder / "good.ply"
    save(shapes(1, points=50), good)
    files = {
        name: folder / name for name in ("empty.ply", "zero.npy", "cut.ply", "nan.npy", "flat.npy", "one.xyz")
    }
    files["empty.ply"].write_bytes(b"")
    files["zero.npy"].write_bytes(b"")
    files["cut.ply"].write_bytes(good.read_bytes()[:-100])
    np.save(files["nan.npy"], np.full((5, 3), np.nan))
    np.save(files["flat.npy"], np.zeros(7))
    files["one.xyz"].write_text("1 2 3\n")
    files["pickled.npz"] = folder / "pickled.npz"
    np.savez(files["pickled.npz"], points=np.array([{"a": 1}], dtype=object))
    files["words.csv"] = folder / "words.csv"
    files["words.csv"].write_text("x,y,z\none,two,three\n")
    files["unknown.foo"] = folder / "unknown.foo"
    files["unknown.foo"].write_text("?")
    files["absent.ply"] = folder / "absent.ply"
    return files


@pytest.mark.parametrize(
    "name",
    [
        *("empty.ply", "zero.npy", "cut.ply", "nan.npy", "flat.npy", "one.xyz"),
        *("pickled.npz", "words.csv", "unknown.foo", "absent.ply"),
    ],
)
@pytest.mark.parametrize("command", ["inspect", "train"])
def test_bad_files_are_refused_in_one_sentence(tmp_path: Path, name: str, command: str) -> None:
    path = _bad_files(tmp_path)[name]
    more = ["--out", tmp_path / "run"] if command == "train" else []
    status, _, errors = run(command, path, *more)
    assert status == 2, errors
    assert len(errors.strip().splitlines()) == 1
    assert name in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sample", "nowhere", "--out", "a.ply"], "nowhere"),
        (["sample", "{run}", "--out", "a.foo"], ".foo"),
        (["sample", "{run}", "--out", "a.ply", "-n", "0"], "give at least one"),
        (["sample", "{run}", "--out", "a.ply", "--solver", "magic"], "solver 'magic' is unknown"),
        (["sample", "{run}", "--out", "a.ply", "--precision", "half"], "precision"),
        (["sample", "{run}", "--out", "a.ply", "--label", "chair"], "without classes"),
        (["train", "{data}", "--out", "{new}", "-o", "net.widht=3"], "did you mean 'width'"),
        (["train", "{data}", "--out", "{new}", "--config", "no.yaml"], "no.yaml"),
        (
            ["train", "{data}", "--out", "{new}", "--steps", "-3"],
            "steps must be at least 1",
        ),
        (["train", "{data}", "--out", "{run}", "--devices", "2"], "already holds a run"),
        (["study", "nothing"], "study 'nothing' is unknown"),
        (["study", "pretrained", "--scale", "huge"], "no scale 'huge'"),
    ],
)
def test_misuse_exits_with_2(
    trained: Path, cubes: Path, tmp_path: Path, monkeypatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    names = {"run": trained, "data": cubes, "new": tmp_path / "new"}
    status, _, errors = run(*(a.format(**names) for a in arguments))
    assert status == 2
    assert words in errors
    assert len(errors.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_the_module_is_a_command_whose_exit_status_a_shell_sees() -> None:
    done = subprocess.run([sys.executable, "-m", "noisefold", "nothing"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "nothing" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_interrupt_outside_a_command_is_one_sentence_and_exits_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["noisefold.cli.app"], "say", interrupt)
    monkeypatch.setattr(sys, "argv", ["noisefold", "--version"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("noisefold: ")


def test_debug_shows_the_traceback_and_plain_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.modules["noisefold.cli.errors"], "_debug", Event())
    said = []
    for more in ([], ["--debug"]):
        monkeypatch.setattr(sys, "argv", ["noisefold", "inspect", str(tmp_path / "absent.ply"), *more])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 2
        said.append(capsys.readouterr().err)
    assert "Traceback" not in said[0]
    assert "Traceback" in said[1]


def test_a_full_disk_ends_with_1_and_loses_nothing(trained: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True
    ).returncode == 0  # fmt: skip
    if not mounted:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        words = ["sample", trained, "--steps", 1, "--out", disk / "a.npz"]
        first, _, _ = run(*words, "-n", 2, "--nodes", 100)
        kept = (disk / "a.npz").read_bytes()
        second, _, errors = run(*words, "-n", 64, "--nodes", 400)
        assert (first, second) == (0, 1)
        assert "Traceback" not in errors
        assert len(errors.strip().splitlines()) == 1
        assert (disk / "a.npz").read_bytes() == kept
        assert [p.name for p in disk.iterdir()] == ["a.npz"]
    finally:
        subprocess.run(["umount", disk], check=True)
