"""The study of couplings: its files, that it goes on where it was, and that its numbers are what they say."""

import json
import math
from dataclasses import replace

import pytest

from noisefold.configuration import decode, encode
from noisefold.studies.sampling import couplings
from noisefold.studies.sampling.couplings import COUPLINGS, SCALES, STUDY

pytestmark = pytest.mark.slow


def measured(out):
    return couplings.measure(STUDY.begin(out, "smoke"))


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Procedural chairs, whatever data are here, so that every machine tests the same."""
    out = tmp_path_factory.mktemp("couplings")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOISEFOLD_DATA", str(out / "nothing"))
        return out, measured(out), STUDY.run(out / "again", "smoke", 0)


@pytest.fixture(autouse=True)
def no_data(monkeypatch, ran):
    monkeypatch.setenv("NOISEFOLD_DATA", str(ran[0] / "nothing"))


def test_every_coupling_is_scored_with_few_steps_and_many(ran):
    _, result, _ = ran
    assert json.loads(json.dumps(result)) == result
    assert list(result["rows"]) == list(COUPLINGS)
    size = SCALES["smoke"]
    expected = [(name, n) for name, counts in size.counts.items() for n in counts]
    for trials in result["rows"].values():
        assert len(trials) == size.seeds
        for cell in trials:
            assert [(c["solver"], c["steps"]) for c in cell] == expected
            for c in cell:
                assert set(c["scores"]) == {*couplings.METRICS, "away"}
                assert all(math.isfinite(s["value"]) for s in c["scores"].values())
    assert {"real", "train", "noise", "collapsed"} == set(result["references"])
    assert all(decode(encode(c)) == c for c in COUPLINGS.values())


def test_the_distance_to_many_steps_falls_with_the_steps(ran):
    for trials in ran[1]["rows"].values():
        few, more = (trials[0][i]["scores"]["away"]["value"] for i in (0, 1))
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
    trials = sorted((out / "smoke").rglob("trial.json"))
    assert len(trials) == len(COUPLINGS)
    assert not list(out.rglob("checkpoints"))
    stamps = [f.stat().st_mtime_ns for f in trials]
    again = measured(out)
    assert [f.stat().st_mtime_ns for f in trials] == stamps
    other = json.loads((out / "again" / "smoke.json").read_text())
    assert again["rows"] == result["rows"] == other["rows"]


def test_other_settings_are_not_mixed_in(ran, monkeypatch):
    out, _, _ = ran
    monkeypatch.setitem(SCALES, "smoke", replace(SCALES["smoke"], draws=7))
    with pytest.raises(ValueError, match=r"trial\.json"):
        measured(out)


def test_what_it_writes(ran):
    _, _, files = ran
    assert [f.name for f in files] == ["smoke.json", "smoke.md", "smoke.png"]
    text = files[1].read_text()
    for row in COUPLINGS:
        assert text.count(f"\n| {row} |") == 5
    assert files[2].stat().st_size > 10_000
