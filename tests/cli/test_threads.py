"""How threads wait, by the load."""

import os
import subprocess
import sys

import pytest

from noisefold.cli import threads

CORES = os.cpu_count() or 1


@pytest.mark.parametrize(
    ("load", "before", "after"),
    [
        (0.5 * CORES, None, None),
        (CORES, None, "passive"),
        (9.0 * CORES, None, "passive"),
        (9.0 * CORES, "active", "active"),
    ],
)
def test_policy_follows_the_load_and_the_user(monkeypatch, load, before, after):
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if before is not None:
        monkeypatch.setenv("OMP_WAIT_POLICY", before)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    threads.choose_waiting()
    assert os.environ.get("OMP_WAIT_POLICY") == after


def test_nothing_is_set_once_torch_is_loaded(monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setitem(sys.modules, "torch", object())
    monkeypatch.setattr(os, "getloadavg", lambda: (99.0 * CORES, 0.0, 0.0))
    threads.choose_waiting()
    assert "OMP_WAIT_POLICY" not in os.environ


def test_the_command_line_chooses_before_torch_is_loaded():
    code = (
        "import os, sys; os.getloadavg = lambda: (1e6, 0, 0); os.environ.pop('OMP_WAIT_POLICY', None)\n"
        "sys.argv = ['noisefold', '--version']\n"
        "from noisefold.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split()[-2:] == ["passive", "False"]
