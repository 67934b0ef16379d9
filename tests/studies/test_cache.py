"""Parts that are made once: kept, given back, and refused where they were made otherwise."""

import json
import os
import signal
import subprocess
import sys
import textwrap

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
    script = """
        import sys, time
        from pathlib import Path
        from noisefold.studies.kit.cache import claimed
        with claimed(Path(sys.argv[1])) as mine:
            print(mine, flush=True)
            time.sleep(600)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "True\n"
        with claimed(tmp_path) as mine:
            assert not mine
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    with claimed(tmp_path) as mine:
        assert mine


def test_slugs_are_names_of_folders():
    assert slug("GCN below u = .3, GAT") == "gcn-below-u-3-gat"
