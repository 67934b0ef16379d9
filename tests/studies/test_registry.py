"""The registry: what it says is so, and nothing is imported before it is needed."""

import importlib
import subprocess
import sys

import pytest

from noisefold.studies import STUDIES
from noisefold.studies.kit.experiment import Experiment

HEAVY = ("matplotlib", "plotly", "ot", "trimesh", "networkx", "noisefold.studies.kit")


@pytest.mark.parametrize("name", STUDIES)
def test_it_says_what_the_module_has(name):
    study = STUDIES[name]
    found = importlib.import_module(f"noisefold.studies.{study.module}").STUDY
    assert isinstance(found, Experiment)
    assert found.name == study.name == name
    assert tuple(found.scales) == study.scales
    assert (found.place is not None) == study.takes_data
    assert study.description


def test_nothing_heavy_is_imported():
    script = f"import sys, noisefold.studies; print(*[name for name in {HEAVY} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not found.stdout.split()


def test_scales_and_data_are_checked_once_for_all(tmp_path):
    for study in STUDIES.values():
        with pytest.raises(ValueError, match=r"'tiny'; .*smoke"):
            study.run(tmp_path, "tiny")
        if not study.takes_data:
            with pytest.raises(ValueError, match=r"'mine\.npz'"):
                study.run(tmp_path, "smoke", data="mine.npz")
    assert not list(tmp_path.iterdir())
