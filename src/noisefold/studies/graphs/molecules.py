r"""Molecules of QM9: what training, sampler and constraints give for minutes of one core.

Heavy atoms with their charges and bonds are generated, without positions. The same network is trained twice
for the same computing time, on noise levels that are uniform and on levels that are mostly near the data.
Samples of each are drawn in several ways and judged by the share of valid and connected molecules; the best
way and the default one are then scored on more samples against test molecules, beside training molecules.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from noisefold.data.graph_sets import graph_set
from noisefold.data.molecules import to_rdkit, to_smiles
from noisefold.eval.molecule_scores import score_molecules
from noisefold.eval.score_table import Score, share_score
from noisefold.geometry.graphs import Graphs
from noisefold.model import Model
from noisefold.noise import LevelDistribution, derive_seed
from noisefold.sample import D3PM, CosineGrid, DiscreteFlow, Power, Renoising, Sampling
from noisefold.studies.graphs.molecules_report import figure, table
from noisefold.studies.graphs.training import step_costs, trained
from noisefold.studies.kit.cache import slug
from noisefold.studies.kit.datasets import data_folder
from noisefold.studies.kit.experiment import Experiment, Result, Run, written
from noisefold.studies.kit.statistics import digits

__all__ = ["SAMPLERS", "STUDY", "TRAININGS", "measure", "shares"]

_FILE = "graphs/qm9_graphs.npz"
TRAININGS: dict[str, dict[str, Any]] = {
    "uniform levels": {"levels": None},
    "late levels": {"levels": LevelDistribution((0.0, 0.25, 0.5, 0.75, 1.0), (1, 2, 3, 4))},
}
"""Options of trainings, by name."""
SAMPLERS: dict[str, Sampling] = {
    "flow, power 2": Sampling(),
    "flow, power 3": Sampling(grid=Power(3)),
    "flow, power 4": Sampling(grid=Power(4)),
    "flow, cosine grid": Sampling(grid=CosineGrid()),
    "flow, eta 2": Sampling(solver=DiscreteFlow(eta=2.0)),
    "flow, eta 10": Sampling(solver=DiscreteFlow(eta=10.0)),
    "flow, omega 0.1": Sampling(solver=DiscreteFlow(omega=0.1)),
    "D3PM, power 2": Sampling(solver=D3PM()),
    "renoising, power 2": Sampling(solver=Renoising()),
    "flow, 25 steps": Sampling(steps=25),
    "flow, 100 steps": Sampling(steps=100),
    "flow, valence constraint": Sampling(constraint="valence"),
    "flow, molecule constraint": Sampling(constraint="molecule"),
}
"""Ways to draw, by name; 50 steps where none are named."""
_STEPS = 50


@dataclass(frozen=True)
class Scale:
    """One size of the study.

    Parameters
    ----------
    seconds
        Computing time of each training.
    tried, samples
        Samples of each way, and of those that are scored.
    compared
        Test and training molecules that are scored against, at most.
    samplers
        Names of the ways to draw.
    """

    seconds: float
    tried: int
    samples: int
    compared: int = 10_000
    samplers: tuple[str, ...] = field(default_factory=lambda: tuple(SAMPLERS))


SCALES = {
    "smoke": Scale(1e-3, 4, 8, 100, ("flow, power 2", "flow, valence constraint")),
    "short": Scale(215.0, 400, 2000),
    "paper": Scale(3600.0, 4000, 10_000),
}


def measure(run: Run[Scale]) -> Result:
    """Return ``trainings``, shares of ``ways`` to draw, and ``scores`` of the best and the default way."""
    train, test = (_read(part) for part in ("train", "test"))
    models: dict[str, Model] = {}
    trainings: dict[str, Result] = {}
    ways: dict[str, dict[str, Result]] = {}
    for name, options in TRAININGS.items():
        models[name] = Model.for_data(train, seed=run.seed)
        if not trainings:  # levels do not change the cost of a step
            cost = run.cached("cost", partial(_cost, models[name], train))
        made = trained(run, slug(name), models[name], train, run.size.seconds, tuple(cost), **options)
        trainings[name] = made
        ways[name] = {
            way: run.cached(f"{slug(name)}-{slug(way)}", partial(_tried, models[name], way, run))
            for way in run.size.samplers
        }
    default = run.size.samplers[0]
    first = max(TRAININGS, key=lambda name: ways[name][default]["connected"][0])
    # A constraint says nothing of what was learned, and is not the best of ways.
    free = [way for way in run.size.samplers if SAMPLERS[way].constraint is None]
    best = max(free, key=lambda way: ways[first][way]["connected"][0])
    constrained = max(
        (way for way in run.size.samplers if way not in free),
        key=lambda way: ways[first][way]["connected"][0],
    )
    chosen = {
        "model": (first, best),
        "model, default way": (first, default),
        "model, constrained": (first, constrained),
    }
    scores = run.cached("scores", partial(_scored, models, chosen, train, test, run), chosen=chosen)
    return {
        "seed": run.seed,
        "tried": run.size.tried,
        "samples": run.size.samples,
        "compared": min(run.size.compared, len(test)),
        "trainings": trainings,
        "ways": ways,
        "chosen": chosen,
        "scores": scores,
    }


def _read(part: str) -> Graphs:
    path = data_folder() / _FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: this study needs the molecules of QM9 ({_FILE} in $NOISEFOLD_DATA, or in "
            f"../shared/data beside the checkout)."
        )
    return graph_set(path, part)


def _cost(model: Model, train: Graphs) -> tuple[float, float]:
    return step_costs({"": model}, train)[""]


def _samples(model: Model, way: str, count: int, seed: int) -> Graphs:
    return model.sample(
        count, sampling=SAMPLERS[way], steps=SAMPLERS[way].steps or _STEPS, seed=seed, batch=250
    )


def shares(graphs: Graphs) -> dict[str, list[float | None]]:
    """Return the shares of valid, connected and unique molecules, [value, low, high], as they are generated.

    "connected" is of all graphs, "unique" of valid ones.
    """
    found = to_smiles(graphs)
    valid = [s for s in found if s is not None]
    first = {s: i for i, s in reversed(list(enumerate(valid)))}
    flags = {
        "valid": [s is not None for s in found],
        "connected": [s is not None and "." not in s for s in found],
        "unique": [first[s] == i for i, s in enumerate(valid)] or [False],
    }
    return {name: _plain(share_score(values)) for name, values in flags.items()}


def _plain(score: Score) -> list[float | None]:
    return [None if v is None else digits(v) for v in (score.value, score.low, score.high)]


def _tried(model: Model, way: str, run: Run[Scale]) -> Result:
    start = time.process_time()
    made = _samples(model, way, run.size.tried, derive_seed(run.seed, 1))
    seconds = time.process_time() - start
    found = shares(made)
    print(f"{run.name}, {way}: connected {found['connected'][0]}", file=sys.stderr, flush=True)
    return {**found, "milliseconds": round(1000 * seconds / run.size.tried, 2)}


def _scored(
    models: Mapping[str, Model],
    chosen: Mapping[str, tuple[str, str]],
    train: Graphs,
    test: Graphs,
    run: Run[Scale],
) -> Result:
    """Return scores by row and metric, [value, low, high]."""
    size = run.size
    rows = {
        row: to_rdkit(_samples(models[name], way, size.samples, run.seed))
        for row, (name, way) in chosen.items()
    }
    draw = torch.Generator().manual_seed(run.seed)
    some = test[torch.randperm(len(test), generator=draw)[: size.compared]]
    known = to_rdkit(train)
    scores = score_molecules(rows, to_rdkit(some), known, seed=run.seed)
    return {
        row: {name: _plain(score) for name, score in cells.items()} for row, cells in scores.table.items()
    }


STUDY = Experiment("molecules", SCALES, written(measure, table, figure))
