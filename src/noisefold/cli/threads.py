"""How threads wait for each other, chosen by the load of the machine."""

from __future__ import annotations

import os
import sys

__all__ = ["choose_waiting"]

_POLICY = "OMP_WAIT_POLICY"


def choose_waiting() -> None:
    """Let threads of OpenMP sleep while they wait, where other processes want the cores.

    By default they spin, which is fast on a quiet machine, and takes the time of those that they wait for on
    a crowded one. OpenMP reads the policy once, so that this must be called before PyTorch is loaded; a
    policy that the user has set is kept.
    """
    if _POLICY in os.environ or "torch" in sys.modules or not hasattr(os, "getloadavg"):
        return
    if os.getloadavg()[0] >= (os.cpu_count() or 1):
        os.environ[_POLICY] = "passive"
