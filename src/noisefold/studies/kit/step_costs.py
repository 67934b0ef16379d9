"""What a training step costs: measured for all settings of a comparison in turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, TypeVar

__all__ = ["interleaved_costs"]

K = TypeVar("K")
Train = Callable[[int, Callable[[int], None]], Any]


def interleaved_costs(trainings: Mapping[K, Train], rounds: int = 3, steps: int = 3) -> dict[K, float]:
    """Return the seconds of computing of a training step by name, medians over interleaved rounds.

    Trainings take turns, so that what else the machine does harms all alike. The first step warms up, and
    after the last one the training writes its files; neither counts.

    Parameters
    ----------
    trainings
        ``train(steps, on_step)`` by name: a new training of so many steps, with `on_step` as of `Model.fit`.
    rounds, steps
        How often each has its turn, and the steps that count in it.
    """
    found: dict[K, list[float]] = {name: [] for name in trainings}
    for _ in range(rounds):
        for name, train in trainings.items():
            marks: list[float] = []

            def mark(step: int, marks: list[float] = marks) -> None:
                marks.append(time.process_time())

            train(steps + 2, mark)
            found[name] += [b - a for a, b in pairwise(marks[:-1])]
    return {name: statistics.median(times) for name, times in found.items()}
