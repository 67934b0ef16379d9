"""Tracks on the command line: blank places of a table are drawn, in the table's own columns."""

import csv

import numpy as np
import pytest
from typer.testing import CliRunner

from noisefold import cli
from noisefold.data import load
from noisefold.domains import Request
from noisefold.domains.sphere_functions import SphereFunctions
from noisefold.model import Model

pytestmark = pytest.mark.filterwarnings("ignore::noisefold.data.notice.DataNotice")

HEAD = "SID,SEASON,NAME,ISO_TIME,LAT,LON,NOTE\n ,Year, , ,degrees_north,degrees_east, \n"


def rows(sid, start, places):
    hours = [f"{sid},{start},X,{start}-08-0{1 + i // 4} {6 * (i % 4):02d}:00:00" for i in range(len(places))]
    return "".join(f"{when},{place},as it was\n" for when, place in zip(hours, places, strict=True))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A model that was hardly trained, and a table of three tracks, two with blank places."""
    monkeypatch.chdir(tmp_path)
    whole = [f"{10 + i:.1f},{178 + i:.1f}" for i in range(6)]
    tracks = [rows(f"T{k}", 2000 + k, whole) for k in range(4)]
    (tmp_path / "all.csv").write_text(HEAD + "".join(tracks), encoding="utf-8")
    data = load("all.csv")
    request = Request(for_completion=True, net={"width": 16, "blocks": 1, "heads": 2})
    model = Model.of_recipe(SphereFunctions().recipe(data, request))
    model.fit(data, steps=1, batch=2)
    model.save_pretrained("run")
    some = [*whole[:3], ",", ",", whole[5]]
    text = HEAD + rows("A", 2010, whole) + rows("B", 2011, some) + rows("C", 2012, ["5.0,-170.0", " , ", ","])
    (tmp_path / "gaps.csv").write_text(text, encoding="utf-8")
    return tmp_path


def run(*words):
    return CliRunner().invoke(cli.app, list(words))


def test_blank_places_are_drawn_and_all_else_stays(folder):
    result = run("complete", "run", "gaps.csv", "--out", "done.csv", "--draws", "3", "--steps", "2")
    assert result.exit_code == 0, result.stderr
    given = list(csv.reader((folder / "gaps.csv").open(encoding="utf-8")))
    made = list(csv.reader((folder / "done.csv").open(encoding="utf-8")))
    assert made[0] == [*given[0], "realization"]
    assert made[1] == [*given[1], ""]
    count = len(given) - 2
    assert [row[-1] for row in made[2:]] == [str(k) for k in range(3) for _ in range(count)]
    for i, row in enumerate(made[2:]):
        before = given[2 + i % count]
        if before[4].strip():
            assert row[:-1] == before
        else:
            assert row[:4] == before[:4]
            assert -90 <= float(row[4]) <= 90
    drawn = np.array([[float(c) for c in row[4:6]] for row in made[2:] if row[0] == "B"]).reshape(3, 6, 2)
    assert np.ptp(drawn[:, 3], axis=0).min() > 0
    assert (drawn[:, :, 1] >= 0).all()  # this track is written from 0 to 360 degrees
    again = load("done.csv")
    assert sorted(again.sizes.tolist()) == sorted([6, 6, 3])


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["gaps.csv", "--out", "gaps.csv"], "gaps.csv"),
        (["gaps.csv", "--out", "a.npz"], ".csv"),
        (["all.csv", "--out", "b.csv"], "all.csv"),
        (["gaps.csv", "--out", "b.csv", "--mask", "sea"], "--mask"),
    ],
)
def test_what_cannot_be_done_is_refused(folder, words, named):
    result = run("complete", "run", *words)
    assert result.exit_code == 2
    assert named in result.stderr
