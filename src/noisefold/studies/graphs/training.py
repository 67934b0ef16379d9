"""Trainings of a given computing time, whose length is a number of steps that is kept.

A clock must not decide how a network is trained: the cost of a step is measured first, and the training gets
so many steps, with a learning rate that falls to 0 over them. Its own time is measured again.
"""

from __future__ import annotations

import copy
import statistics
import sys
import time
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from noisefold.geometry.graphs import Graphs
from noisefold.model import Model
from noisefold.studies.kit.experiment import Result, Run
from noisefold.tensor_files import atomic_tensors, read_tensors
from noisefold.train.settings import TrainingOptions

__all__ = ["step_costs", "trained"]

_WARM_UP = 2


def step_costs(
    models: Mapping[str, Model],
    data: Graphs,
    options: TrainingOptions | None = None,
    rounds: int = 1,
    steps: int = 10,
) -> dict[str, tuple[float, float]]:
    """Return the seconds before the first step and those of a step, by name; the models stay untrained.

    Models take turns in several rounds, so that what else the machine does harms all alike. Steps differ in
    cost where noise levels do: a round's cost is their mean, and the cost the median over rounds.
    """
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in models}
    for _ in range(rounds):
        for name, model in models.items():
            marks = [time.process_time()]
            # The last step writes the log, too, and does not count.
            copy.deepcopy(model).fit(
                data,
                settings=model.training.changed({**(options or {}), "steps": steps + _WARM_UP + 1}),
                on_step=lambda step, marks=marks: marks.append(time.process_time()),  # type: ignore[misc]
            )
            each = [b - a for a, b in pairwise(marks)]
            found[name].append((each[0], statistics.fmean(each[_WARM_UP:-1])))
    return {
        name: (statistics.median(v[0] for v in values), statistics.median(v[1] for v in values))
        for name, values in found.items()
    }


def trained(
    run: Run[Any],
    name: str,
    model: Model,
    data: Graphs,
    seconds: float,
    cost: tuple[float, float] | None = None,
    **options: Any,
) -> Result:
    """Train a model in place for about so many seconds, or load what an earlier call trained.

    Parameters
    ----------
    run, name
        Where the weights are kept, and under which name.
    model, data
        An untrained model, and its data.
    seconds
        Computing time of this process.
    cost
        As of `step_costs`; None measures it.
    **options
        Fields of `noisefold.Training`.

    Returns
    -------
    dict
        ``steps``, ``batch``, ``seconds`` that they took, and ``parameters``.
    """
    weights = run.folder / f"{name}.safetensors"

    def make() -> Result:
        before, each = cost or step_costs({name: model}, data, options)[name]  # type: ignore[arg-type]
        steps = max(1, int((seconds - before) / each))
        start = time.process_time()
        model.fit(data, steps=steps, **options)
        spent = time.process_time() - start
        run.folder.mkdir(parents=True, exist_ok=True)
        atomic_tensors(weights, model.net.state_dict())
        print(f"{run.name}, {name}: {steps} steps in {spent:.0f} s", file=sys.stderr, flush=True)
        return {
            "steps": steps,
            "batch": model.training.batch,
            "seconds": round(spent, 1),
            "parameters": model.num_parameters,
        }

    plan = {"seconds": seconds, "net": repr(model.net), "options": repr(options)}
    result: Result = run.cached(name, make, **plan)
    model.net.load_state_dict(read_tensors(weights))
    model.net.eval()
    return result
