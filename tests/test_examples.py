"""The examples run and do what they say."""

from __future__ import annotations

import contextlib
import io
import re
import runpy
import sys
from pathlib import Path

import pytest

import noisefold as nf
from noisefold.model import PACKAGED

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
TESTED = {"completion", "shapes", "own_data", "pyg_conv", "oracle", "guidance", "solvers"}


def run(name: str, *arguments: object) -> str:
    """What an example prints."""
    words = [str(EXAMPLES / f"{name}.py"), "--small", *map(str, arguments)]
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.setattr(sys, "argv", words)
        runpy.run_path(words[0], run_name="__main__")
    return said.getvalue()


def test_no_example_goes_untested() -> None:
    assert {p.stem for p in EXAMPLES.glob("*.py")} == TESTED


@pytest.mark.slow
def test_shapes(tmp_path: Path) -> None:
    text = run("shapes", "--out", tmp_path)
    chairs = nf.load(tmp_path / "chairs.npz")
    assert {chairs.classes[i] for i in chairs.label.tolist()} == {"chair"}
    for row in ("model", "real", "train", "noise", "collapsed"):
        assert re.search(rf"^{row} +[\d.]+ \[", text, re.MULTILINE), text


@pytest.mark.slow
def test_own_data(tmp_path: Path) -> None:
    text = run("own_data", "--out", tmp_path)
    assert "2 classes" in text
    # The meshes are tens of units across, and so are the samples.
    assert nf.load(tmp_path / "samples.npz").pos.abs().max() > 10
    assert nf.Model.from_pretrained(tmp_path / "model").classes == ("box", "cylinder")


@pytest.mark.slow
def test_pyg_conv(tmp_path: Path) -> None:
    pytest.importorskip("torch_geometric")
    text = run("pyg_conv", "--out", tmp_path)
    assert "not saved" in text
    assert type(nf.Model.from_pretrained(tmp_path / "SAGEConv").net).__name__ == "DMP"


def test_oracle_shows_the_orders_of_the_solvers() -> None:
    rows = re.findall(r"^  (\w+)\(.*?\) +(\w+)\(.*?\) +([\d. ]+)$", run("oracle"), re.MULTILINE)
    errors = {(s, g): [float(v) for v in line.split()] for s, g, line in rows[:6]}
    assert len(errors) == 6
    # Twice the steps: half the error at order 1, a quarter at order 2.
    assert 1.7 < errors["Euler", "Uniform"][-2] / errors["Euler", "Uniform"][-1] < 2.3
    assert 3.4 < errors["Heun", "Uniform"][-2] / errors["Heun", "Uniform"][-1] < 4.6


shipped = pytest.mark.skipif(
    not (PACKAGED["noisefold/shapes"] / "config.json").is_file(),
    reason="the shipped model is not in the package",
)


@shipped
@pytest.mark.slow
def test_solvers() -> None:
    rows = re.findall(r"^  \w+\(.*?\) +\w+\(.*?\) +([\d.]+) +([\d.]+)$", run("solvers"), re.MULTILINE)
    assert len(rows) == 6
    assert all(float(more) < float(few) for few, more in rows)


@shipped
@pytest.mark.slow
def test_guidance() -> None:
    text = run("guidance")
    assert [line.split()[0] for line in text.splitlines()[3:]] == ["weight"] * 4 + ["real"]


@shipped
@pytest.mark.slow
def test_completion(tmp_path: Path) -> None:
    rows = re.findall(
        r"^  (\w[\w ]+?) +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+)$", run("completion", "--out", tmp_path), re.M
    )
    means = {name: sum(map(float, numbers)) for name, *numbers in rows}
    assert next(iter(means)) == "completions"
    assert means["the same shape again"] < means["completions"] < means["known half alone"]
    assert means["best of 3"] <= means["completions"]
    assert (tmp_path / "completion.png").stat().st_size > 10_000
