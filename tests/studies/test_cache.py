"""Parts that are made once: kept, given back, and refused where they were made otherwise."""

import json
import multiprocessing
import time

import pytest

from noisefold.studies.kit.cache import cached, claimed, slug


def test_it_is_made_once_and_kept(tmp_path):
    calls = []

    def make():
        calls.append(1)
        return {"value": [1.5, 2]}

    file = tmp_path / "deep" / "er" / "trial.json"
    plan = {"steps": 3, "ranges": (1, 2)}
    first = cached(file, plan, make)
    assert first == cached(file, plan, make) == {"value": [1.5, 2]}
    assert len(calls) == 1
    assert json.loads(file.read_text())["plan"] == {"steps": 3, "ranges": [1, 2]}


def test_another_plan_is_refused(tmp_path):
    file = tmp_path / "trial.json"
    cached(file, {"steps": 3}, lambda: 1)
    with pytest.raises(ValueError, match=r"trial\.json"):
        cached(file, {"steps": 4}, lambda: 1)


def test_what_fails_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError):
        cached(tmp_path / "trial.json", {}, lambda: 1 / 0)
    assert cached(tmp_path / "trial.json", {}, lambda: 2) == 2


def test_a_claim_holds_against_others_and_dies_with_its_process(tmp_path):
    with claimed(tmp_path) as mine:
        assert mine
        with claimed(tmp_path) as second:
            assert not second
        with claimed(tmp_path / "other") as other:
            assert other
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=hold, args=(tmp_path, ready), daemon=True)
    process.start()
    assert ready.wait(60)
    with claimed(tmp_path) as mine:
        assert not mine
    process.kill()
    process.join()
    with claimed(tmp_path) as mine:
        assert mine


def hold(folder, ready):
    with claimed(folder) as mine:
        if mine:
            ready.set()
        time.sleep(600)


def test_slugs_are_names_of_folders():
    assert slug("GCN below u = .3, GAT") == "gcn-below-u-3-gat"
