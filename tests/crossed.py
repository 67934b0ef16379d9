"""Combinations of parameters: all for `make check`, and a few with every value for the fast suite."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest


def crossed(*axes: Sequence[Any], every: int = 1) -> list[Any]:
    """Return all combinations of the values of some axes as parameter sets, most of them slow.

    Quick are as many as the longest axis has values: the k-th takes value k of every axis, and those of
    shorter axes again and again. Where one takes long, only each `every`-th of these is quick.
    """
    quick = {tuple(k % len(axis) for axis in axes) for k in range(0, max(map(len, axes)), every)}
    return [
        pytest.param(
            *(axis[i] for axis, i in zip(axes, at, strict=True)),
            marks=[] if at in quick else pytest.mark.slow,
        )
        for at in itertools.product(*(range(len(axis)) for axis in axes))
    ]
