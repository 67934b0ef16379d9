"""Commands that read data anew take the same options, and hand all of them on."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.main
from typer.testing import CliRunner

from noisefold import cli
from noisefold.cli.reading import Reading
from noisefold.data.source import DataSource
from noisefold.geometry import Graphs

COMMANDS = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
NAMES = {f.name for f in dataclasses.fields(Reading)}


@pytest.mark.parametrize("name", ["train", "plan", "inspect"])
def test_commands_have_every_option(name: str) -> None:
    found = {option.name: option for option in COMMANDS[name].params}
    assert found.keys() >= NAMES
    assert found["patch"].default == 200
    assert found["x"].opts == ["--x"]
    assert found["pos"].multiple


def test_every_field_of_a_source_is_an_option() -> None:
    assert {f.name for f in dataclasses.fields(DataSource)} == {"source", *NAMES}


def test_every_option_reaches_the_source() -> None:
    given: dict[str, Any] = {
        "points": 7,
        "classes": ["a,b"],
        "pos": ["u", "v"],
        "x": ["w"],
        "group": "g",
        "patch": 50,
        "label": "kind",
        "skip": True,
        "hydrogens": True,
        "properties": ["gap"],
        "size": "32x48",
        "level": ["200", "850"],
        "vector": ["u10,v10"],
        "mask": "sea",
        "time": "t",
    }
    expected = {
        **given,
        "classes": ("a", "b"),
        "pos": ("u", "v"),
        "x": ("w",),
        "properties": ("gap",),
        "size": (32, 48),
        "level": ("200", "850"),
        "vector": ("u10", "v10"),
    }
    assert given.keys() == NAMES - {"genes"}  # which are of tissues, and those have other options
    assert Reading(**given).source("a.csv") == DataSource("a.csv", **expected)
    assert Reading(genes=["@@x"]).source("a.h5ad").genes == ("@x",)


def test_plan_reads_a_table_by_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "a.csv"
    values = np.random.default_rng(0).normal(size=(60, 2))
    lines = (f"{u},{v},{k % 6},{'ab'[k % 2]}" for k, (u, v) in enumerate(values))
    table.write_text("\n".join(["u,v,cloud,kind", *lines]))
    seen: list[Graphs] = []

    class FoundError(ValueError):
        pass

    def found(learned: Graphs, *_: Any, **__: Any) -> None:
        seen.append(learned)
        raise FoundError

    monkeypatch.setattr("noisefold.outlook.outlook", found)
    words = ["--budget", "1m", "--pos", "u,v", "--group", "cloud", "--label", "kind"]
    CliRunner().invoke(cli.app, ["plan", str(table), *words])
    (learned,) = seen
    assert (len(learned), learned.dim, learned.classes) == (5, 2, ("a", "b"))
