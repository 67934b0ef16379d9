"""The study of couplings: its files, that it goes on where it was, and that its numbers are what they say."""

import json
import math
from dataclasses import replace

import pytest

from noisefold.configuration import decode, encode
from noisefold.noise import Independent, WithinCloud
from noisefold.studies import STUDIES, couplings, data
from noisefold.studies.couplings import ROWS, SCALES


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Procedural chairs, whatever data are here, so that every machine tests the same."""
    out = tmp_path_factory.mktemp("couplings")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOISEFOLD_DATA", str(out / "nothing"))
        return out, couplings.run(out, "smoke"), STUDIES["couplings"].run(out / "again", "smoke", 0)


@pytest.fixture(autouse=True)
def no_data(monkeypatch, ran):
    monkeypatch.setenv("NOISEFOLD_DATA", str(ran[0] / "nothing"))


def test_every_coupling_is_scored_with_few_steps_and_many(ran):
    _, result, _ = ran
    assert json.loads(json.dumps(result)) == result
    assert list(result["rows"]) == list(ROWS) == list(couplings._LOOKS)
    size = SCALES["smoke"]
    expected = [(name, n) for name, counts in size.counts.items() for n in counts]
    for cells in result["rows"].values():
        assert len(cells) == size.seeds
        for cell in cells:
            assert [(c["solver"], c["steps"]) for c in cell] == expected
            for c in cell:
                assert set(c["scores"]) == {*couplings.METRICS, "away"}
                assert all(math.isfinite(s["value"]) for s in c["scores"].values())
    assert {"real", "train", "noise", "collapsed"} == set(result["references"])
    assert all(decode(encode(c)) == c for c in ROWS.values())


def test_the_distance_to_many_steps_falls_with_the_steps(ran):
    for cells in ran[1]["rows"].values():
        few, more = (cells[0][i]["scores"]["away"]["value"] for i in (0, 1))
        assert 0 < more < few


def test_closer_couplings_are_closer_and_whole_clouds_nearly_as_far(ran):
    square = {row: cost["square"] for row, cost in ran[1]["costs"].items()}
    # Independent: 3 for the noise and 3 for standardised data.
    assert square["independent"] == pytest.approx(6, abs=0.7)
    assert square["mini-batch"] < square["independent"]
    assert square["within, exchange"] < square["within, order"] < square["within, order, blend .2"]
    assert square["within, order, blend .2"] < square["mini-batch"] / 2


def test_it_repeats_and_goes_on_where_it_was(ran):
    out, result, _ = ran
    cells = sorted((out / "cells").rglob("cell.json"))
    assert len(cells) == len(ROWS)
    assert not list(out.rglob("checkpoints"))
    stamps = [f.stat().st_mtime_ns for f in cells]
    again = couplings.run(out, "smoke")
    assert [f.stat().st_mtime_ns for f in cells] == stamps
    other = json.loads((out / "again" / "smoke.json").read_text())
    assert again["rows"] == result["rows"] == other["rows"]


def test_other_settings_are_not_mixed_in(ran, monkeypatch):
    out, _, _ = ran
    monkeypatch.setitem(SCALES, "smoke", replace(SCALES["smoke"], draws=7))
    with pytest.raises(ValueError, match="was made with other settings or data than this study has now"):
        couplings.run(out, "smoke")


def test_what_it_writes(ran):
    _, _, files = ran
    assert [f.name for f in files] == ["smoke.json", "smoke.md", "smoke.png"]
    text = files[1].read_text()
    assert text.startswith(f"ModelNet was not found in {data.data_folder()}")
    for row in ROWS:
        assert text.count(f"\n| {row} |") == 5
    assert files[2].stat().st_size > 10_000


def test_the_short_scale_compares_what_was_asked():
    size = SCALES["short"]
    assert size.counts["Euler"] == (2, 5, 10, 20, 50)
    assert size.seeds >= 2
    assert {Independent(), WithinCloud()} <= set(ROWS.values())


def test_an_unknown_scale_is_refused(tmp_path):
    with pytest.raises(ValueError, match="scale must be one of smoke, short, paper, got 'big'"):
        couplings.run(tmp_path, "big")
