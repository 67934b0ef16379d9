"""Parts that are made once: kept, given back, and refused where they were made otherwise."""

import json

import pytest

from noisefold.studies.once import once


def test_it_is_made_once_and_kept(tmp_path):
    calls = []

    def make():
        calls.append(1)
        return {"value": [1.5, 2]}

    file = tmp_path / "deep" / "er" / "cell.json"
    plan = {"steps": 3, "ranges": (1, 2)}
    first = once(file, plan, make)
    assert first == once(file, plan, make) == {"value": [1.5, 2]}
    assert len(calls) == 1
    assert json.loads(file.read_text())["plan"] == {"steps": 3, "ranges": [1, 2]}


def test_another_plan_is_refused(tmp_path):
    file = tmp_path / "cell.json"
    once(file, {"steps": 3}, lambda: 1)
    with pytest.raises(ValueError, match=r"cell\.json was made with other data or settings"):
        once(file, {"steps": 4}, lambda: 1)


def test_what_fails_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError):
        once(tmp_path / "cell.json", {}, lambda: 1 / 0)
    assert once(tmp_path / "cell.json", {}, lambda: 2) == 2
