r"""Benchmarks of discrete graphs: models trained for minutes of one core, beside what their scores can be.

Each model is the domain's own (`noisefold.domains`), trained for a number of seconds on the training graphs
of a published set, and judged by several sets of 40 graphs against its test graphs. Planar graphs and block
models have no test graphs here, and are judged against the validation graphs.

The time grid of a sampler is chosen beforehand: by the distance of other samples to the graphs that are not
judged against, relative to that of random graphs, over the share of them that are valid.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from noisefold.data import graph_sets
from noisefold.eval.graph_metrics import STATISTICS, Kernels
from noisefold.eval.graph_scores import score_graphs
from noisefold.eval.graph_statistics import GraphStatistics
from noisefold.eval.graph_validity import shared_validity, valid_graphs
from noisefold.eval.random_graphs import erdos_renyi_like
from noisefold.eval.score_table import share_score
from noisefold.geometry.graphs import Graphs
from noisefold.model import Model
from noisefold.noise import derive_seed
from noisefold.sample import CosineGrid, Grid, Power
from noisefold.studies.graphs.benchmarks_report import figure, table
from noisefold.studies.graphs.networks import compared
from noisefold.studies.graphs.training import trained
from noisefold.studies.kit.cache import slug
from noisefold.studies.kit.datasets import data_folder
from noisefold.studies.kit.experiment import Experiment, Result, Run, written
from noisefold.studies.kit.statistics import digits, half_width, mean_and_error

__all__ = ["BENCHMARKS", "GRIDS", "STUDY", "Benchmark", "Sets", "Way", "measure"]

GRIDS: dict[str, Grid] = {
    "cosine": CosineGrid(),
    "power 2": Power(2),
    "power 3": Power(3),
    "power 4": Power(4),
}
"""Time grids of discrete paths to choose from."""
_SHARES = ("V.U.N.", "valid", "unique", "novel")
_DRAWN = 2
_BATCH = 40
_HEUN = 15  # steps on paths of positions


@dataclass(frozen=True)
class Way:
    """A way to generate graphs.

    Parameters
    ----------
    variable
        "types", or "pos" for latent geometry.
    constraint
        Of the last step, or None.
    """

    variable: str = "types"
    constraint: str | None = None


@dataclass(frozen=True)
class Sets:
    """Graphs of a benchmark: to train on, for choices, judged against, and validation graphs beside these."""

    train: Graphs
    others: Graphs
    judged: Graphs
    about: str
    val: Graphs | None = None


@dataclass(frozen=True)
class Benchmark:
    """A published set of graphs.

    Parameters
    ----------
    file
        In the folder ``graphs`` of the data; without the ending.
    ways
        Ways to generate them, by the names of their rows.
    seconds
        Computing time of each training, by its variable.
    generator, stand_in
        The true generator, if there is one; and one of small graphs for the smallest scale.
    validity
        Name of the check; None: what the training graphs have in common.
    steps
        Of samplers on discrete paths.
    """

    file: str
    ways: Mapping[str, Way]
    seconds: Mapping[str, float]
    generator: Callable[..., Graphs] | None = None
    stand_in: Callable[..., Graphs] | None = None
    validity: str | None = None
    steps: int = 50

    def sets(self, small: bool) -> Sets:
        """Read the graphs; small ones of the stand-in if there is one and they are asked for.

        Raises
        ------
        FileNotFoundError
            If the file is not there.
        """
        if small and self.stand_in is not None:
            train, judged = self.stand_in(12, seed=1), self.stand_in(6, seed=2)
            return Sets(train, train, judged, "6 small graphs")
        path = data_folder() / "graphs" / f"{self.file}.npz"
        if not path.is_file():
            raise FileNotFoundError(
                f"{path}: this study needs the benchmarks of graphs (graphs/ in $NOISEFOLD_DATA, or in "
                f"../shared/data beside the checkout)."
            )
        train, val = (graph_sets.graph_set(path, part) for part in ("train", "val"))
        try:
            test = graph_sets.graph_set(path, "test")
        except ValueError:
            return Sets(train, train, val, f"{len(val)} validation graphs")
        return Sets(train, Graphs.collate([train, val]), test, f"{len(test)} test graphs", val)


_PLAIN: Mapping[str, Way] = {"discrete": Way()}
BENCHMARKS: dict[str, Benchmark] = {
    "tree": Benchmark(
        "tree",
        {**_PLAIN, "discrete, tree constraint": Way(constraint="tree")},
        {"types": 140.0},
        graph_sets.tree,
        partial(graph_sets.tree, nodes=10),
    ),
    "planar": Benchmark(
        "planar",
        {"latent geometry": Way("pos"), **_PLAIN},
        {"pos": 110.0, "types": 80.0},
        graph_sets.planar,
        partial(graph_sets.planar, nodes=12),
    ),
    "comm20": Benchmark("comm20", _PLAIN, {"types": 60.0}, None, graph_sets.community),
    "ego-small": Benchmark("ego_small", _PLAIN, {"types": 40.0}),
    "SBM": Benchmark("sbm", _PLAIN, {"types": 80.0}, graph_sets.sbm, validity="sbm", steps=25),
}
"""Sets by name."""


@dataclass(frozen=True)
class Scale:
    """One size of the study.

    Parameters
    ----------
    sets, graphs
        Sets that are judged, and graphs of each.
    factor
        Of the computing times of trainings.
    effort
        Factor of the steps of samplers.
    grids
        Names of the grids to choose from.
    benchmarks
        Names of the sets of graphs.
    small
        Whether small graphs stand in for them.
    tried
        Graphs by which a grid is chosen.
    networks, seconds, seeds
        Sets on which networks are compared at equal time, computing time of each training, and seeds.
    """

    sets: int = 5
    graphs: int = 40
    factor: float = 1.0
    effort: float = 1.0
    grids: tuple[str, ...] = tuple(GRIDS)
    benchmarks: tuple[str, ...] = tuple(BENCHMARKS)
    small: bool = False
    tried: int = 12
    networks: tuple[str, ...] = ("tree",)
    seconds: float = 30.0
    seeds: int = 3


SCALES = {
    "smoke": Scale(2, 4, 1e-6, 0.1, ("cosine", "power 2"), ("tree", "planar"), True, 4, ("tree",), 1e-3, 1),
    "short": Scale(),
    "paper": Scale(factor=40.0, effort=4.0, networks=("tree", "planar"), seconds=1800.0),
}


def measure(run: Run[Scale]) -> Result:
    """Return scores, trainings and grids of each benchmark, and networks compared at equal time."""
    found = {name: _judged(run, name, BENCHMARKS[name]) for name in run.size.benchmarks}
    return {
        "seed": run.seed,
        "sets": run.size.sets,
        "graphs": run.size.graphs,
        "benchmarks": found,
        "networks": compared(
            run, {n: BENCHMARKS[n].sets(run.size.small) for n in run.size.networks}, run.size.seconds
        ),
    }


# -- one benchmark -------------------------------------------------------------------------------------------


def _judged(run: Run[Scale], name: str, benchmark: Benchmark) -> Result:
    sets = benchmark.sets(run.size.small)
    models, trainings = {}, {}
    for variable, seconds in benchmark.seconds.items():
        models[variable] = Model.for_data(sets.train, seed=run.seed, variable=variable)
        file = f"{slug(name)}-{variable}"
        trainings[variable] = trained(run, file, models[variable], sets.train, run.size.factor * seconds)
    check = benchmark.validity or shared_validity(sets.train)
    steps = {v: max(2, round(run.size.effort * n)) for v, n in (("types", benchmark.steps), ("pos", _HEUN))}
    grids: dict[str, Result] = {}
    for row, way in benchmark.ways.items():
        if way.variable == "types":
            choice = partial(_grids, run, models[way.variable], way, sets, check, steps["types"])
            grids[row] = run.cached(f"{slug(name)}-{slug(row)}-grids", choice)
    scores = partial(_scored, run, benchmark, models, grids, sets, check, steps)
    made = run.cached(f"{slug(name)}-scores", scores, grids={k: _best(v) for k, v in grids.items()})
    return {
        "against": sets.about,
        "valid": check,
        "trainings": trainings,
        "grids": grids,
        "steps": steps,
        **made,
    }


def _best(values: Mapping[str, float]) -> str:
    return min(values, key=lambda name: values[name])


def _grids(run: Run[Scale], model: Model, way: Way, sets: Sets, check: str | None, steps: int) -> Result:
    """Return how far samples are from the graphs that are not judged against, by grid."""
    size, seed = run.size, derive_seed(run.seed, 1)
    others = GraphStatistics(sets.others)
    random = erdos_renyi_like(sets.others, size.tried, torch.Generator().manual_seed(run.seed))
    unit = _distances(GraphStatistics(random), others)
    found = {}
    for name in size.grids:
        made = GraphStatistics(_samples(model, way, steps, GRIDS[name], size.tried, seed))
        valid = float(valid_graphs(made, check).mean()) if check else 1.0
        distance = float((_distances(made, others) / unit).mean())
        found[name] = distance / max(valid, 0.5 / size.tried)
    return {k: digits(v) for k, v in found.items()}


def _distances(a: GraphStatistics, b: GraphStatistics) -> NDArray[np.float64]:
    found = np.array([Kernels.of(a, b, name).mmd() for name in STATISTICS])
    return np.asarray(np.maximum(found, 1e-6))


def _samples(model: Model, way: Way, steps: int, grid: Grid | None, count: int, seed: int) -> Graphs:
    """Generate graphs of the sizes of training graphs."""
    return model.sample(
        count, steps=steps, grid=grid, constraint=way.constraint, seed=seed, batch=min(_BATCH, count)
    )


def _scored(
    run: Run[Scale],
    benchmark: Benchmark,
    models: Mapping[str, Model],
    grids: Mapping[str, Result],
    sets: Sets,
    check: str | None,
    steps: Mapping[str, int],
) -> Result:
    """Return scores by row and metric, [mean, low, high], seconds of sampling, and some graphs' edges."""
    size = run.size
    made, seconds = {}, {}
    for row, way in benchmark.ways.items():
        grid, start = GRIDS[_best(grids[row])] if row in grids else None, time.process_time()
        count = size.sets * size.graphs
        made[row] = _samples(models[way.variable], way, steps[way.variable], grid, count, run.seed)
        seconds[row] = round((time.process_time() - start) / size.sets, 2)
        print(f"{run.name}, {benchmark.file}, {row}: sampled", file=sys.stderr, flush=True)
    truth = benchmark.stand_in if size.small else benchmark.generator
    values: dict[str, dict[str, list[float]]] = {}
    for k in range(size.sets):
        part = {row: graphs[k * size.graphs : (k + 1) * size.graphs] for row, graphs in made.items()}
        how = {"resamples": 0, "seed": derive_seed(run.seed, 2, k), "validity": check, "truth": truth}
        scores = score_graphs(part, sets.judged, sets.train, **how)  # type: ignore[arg-type]
        for row, cells in scores.table.items():
            for metric, score in cells.items():
                values.setdefault(row, {}).setdefault(metric, []).append(score.value)
        if sets.val is not None:
            other = score_graphs(part, sets.val, sets.train, metrics=("ratio",), **how)  # type: ignore[arg-type]
            for row, cells in other.table.items():
                values[row].setdefault("ratio, validation", []).append(cells["ratio"].value)
    rows = {
        row: {metric: _interval(metric, found, size.graphs) for metric, found in cells.items()}
        for row, cells in values.items()
    }
    drawn = {"data": _edges(sets.judged), **{row: _edges(graphs) for row, graphs in made.items()}}
    return {"rows": rows, "sampling": seconds, "drawn": drawn}


def _interval(metric: str, values: list[float], count: int) -> list[float | None]:
    """Return the mean over sets and its 95 % interval: Wilson's of shares, else Student's over the sets."""
    mean, error = mean_and_error(values)
    if metric in _SHARES:
        hits = round(mean * count * len(values))
        pooled = share_score(np.arange(count * len(values)) < hits)
        low, high = pooled.low or 0.0, 1.0 if pooled.high is None else pooled.high
    else:
        half = error * half_width(len(values))
        low, high = max(mean - half, 0.0), mean + half
    return [digits(v) for v in (mean, low, high)]


def _edges(graphs: Graphs) -> list[dict[str, Any]]:
    """Return the sizes and edges of the first graphs."""
    found = []
    for graph in graphs[:_DRAWN]:
        assert graph.edge_index is not None
        ends = graph.edge_index.T[graph.edge_index[0] < graph.edge_index[1]]
        found.append({"nodes": graph.num_nodes, "edges": ends.flatten().tolist()})
    return found


STUDY = Experiment("graphs", SCALES, written(measure, table, figure))
