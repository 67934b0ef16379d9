r"""What samplers of discrete paths do with an exact denoiser.

Two distributions have an exact denoiser. On three edges that are all absent or all present, with
probabilities 0.6 and 0.4, the distribution of a sampler's last state is computed without a draw, and its
total variation distance to the truth is the sampler's own error. On uniform random trees of 64 nodes, the
benchmark ``tree``, the denoiser is Kirchhoff's, and the share of samples that are trees is what a sampler
leaves of a perfect network.

Samplers are compared at equal numbers of evaluations of the denoiser, so that one that corrects each step
takes half as many.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial

import networkx as nx
import torch
from matplotlib.figure import Figure
from scipy.stats import binomtest

from noisefold.geometry.graphs import Graphs
from noisefold.noise import Discrete, Streams, Types, derive_seed
from noisefold.progress import progress
from noisefold.sample import (
    D3PM,
    CosineGrid,
    DiscreteFlow,
    Grid,
    Power,
    PredictorCorrector,
    Renoising,
    Task,
    Uniform,
)
from noisefold.sample.discrete import DiscreteSolver
from noisefold.studies.kit.experiment import Experiment, Result, Run, written
from noisefold.studies.kit.plots import log_ticks, marks, outer_legend, panels
from noisefold.studies.kit.tables import markdown
from noisefold.theory.graph_oracle import FiniteGraphs, SpanningTrees, propagated

__all__ = ["SAMPLERS", "STUDY", "figure", "measure", "table"]

_NODES = 64
SAMPLERS: dict[str, tuple[DiscreteSolver, Grid, str]] = {
    "flow, uniform grid": (DiscreteFlow(), Uniform(), "marginal"),
    "flow, power 2 (polydec)": (DiscreteFlow(), Power(2), "marginal"),
    "flow, power 3": (DiscreteFlow(), Power(3), "marginal"),
    "flow, power 4": (DiscreteFlow(), Power(4), "marginal"),
    "flow, power 2, eta 10": (DiscreteFlow(eta=10.0), Power(2), "marginal"),
    "flow, power 2, omega 0.1": (DiscreteFlow(omega=0.1), Power(2), "marginal"),
    "flow, power 2, corrected": (PredictorCorrector(DiscreteFlow()), Power(2), "marginal"),
    "flow, power 2, uniform noise": (DiscreteFlow(), Power(2), "uniform"),
    "flow, power 2, absorbing noise": (DiscreteFlow(), Power(2), "absorbing"),
    "flow, power 2, absorbing noise, corrected": (PredictorCorrector(DiscreteFlow()), Power(2), "absorbing"),
    "D3PM, cosine grid": (D3PM(), CosineGrid(), "marginal"),
    "D3PM, power 2": (D3PM(), Power(2), "marginal"),
    "D3PM, power 3": (D3PM(), Power(3), "marginal"),
    "D3PM reweighted, cosine grid": (D3PM(reweighted=True), CosineGrid(), "marginal"),
    "renoising, power 2": (Renoising(), Power(2), "marginal"),
}
"""Samplers by name: solver, grid and noise."""
_LOOKS = marks(
    dict(
        zip(
            SAMPLERS,
            (
                *("o #56B4E9", "o #0072B2", "s #0072B2", "^ #0072B2", "P #009E73", "X #CC79A7", "h #009E73"),
                *(
                    "v #E69F00",
                    "D #000000",
                    "d #000000",
                    "o #D55E00",
                    "s #D55E00",
                    "^ #D55E00",
                    "x #D55E00",
                    "* #999999",
                ),
            ),
            strict=True,
        )
    )
)


@dataclass(frozen=True)
class Scale:
    """Numbers of evaluations of the denoiser, and trees drawn for each."""

    steps: tuple[int, ...]
    trees: int


SCALES = {"smoke": Scale((25, 32), 4), "short": Scale((25, 50, 100, 200), 120)}


def measure(run: Run[Scale]) -> Result:
    """Return one of ``rows`` for every sampler and number ``steps`` of evaluations.

    A row has ``distance`` (total variation on three edges), and ``valid`` with ``low`` and ``high``, the
    share of samples that are trees and its 95 % interval.
    """
    size, rows = run.size, []
    cases = [(name, n) for name in SAMPLERS for n in size.steps]
    with progress(run.name, len(cases)) as advance:
        for name, steps in cases:
            solver, grid, noise = SAMPLERS[name]
            trees = run.cached(
                re.sub("[^a-z0-9]+", "-", f"{name} {steps}".lower()),
                partial(_trees, solver, grid, noise, steps, size.trees, run.seed),
            )
            low, high = binomtest(trees, size.trees).proportion_ci(0.95, "wilson")
            rows.append(
                {
                    "sampler": name,
                    "steps": steps,
                    "distance": _distance(solver, grid, noise, steps),
                    "valid": trees / size.trees,
                    "low": low,
                    "high": high,
                }
            )
            advance(1, name)
    return {"seed": run.seed, "trees": size.trees, "nodes": _NODES, "rows": rows}


def _distance(solver: DiscreteSolver, grid: Grid, noise: str, steps: int) -> float:
    both = [Graphs.from_networkx(g) for g in (nx.empty_graph(3), nx.complete_graph(3))]
    truth = (0.6, 0.4)
    path = Discrete((1.0,), truth, noise)
    times = grid(path, steps // solver.evaluations)
    found = propagated(FiniteGraphs(Graphs.collate(both), truth), path, solver, times)
    return float((found - found.new_tensor([*truth, 0.0])).abs().sum() / 2)


def _trees(solver: DiscreteSolver, grid: Grid, noise: str, steps: int, count: int, seed: int) -> int:
    """Draw graphs by the exact denoiser of trees, and count those that are trees."""
    trees = SpanningTrees(_NODES)
    path = Discrete((1.0,), trees.shares, noise)
    frame = Graphs(torch.zeros(count * _NODES, 0), ptr=_NODES * torch.arange(count + 1))
    times = grid(path, steps // solver.evaluations)
    random = Streams(derive_seed(seed, 0), range(count))
    task = Task(trees.denoiser(path), path, times, frame, random, Types())
    start = path.prior(frame, Types().read(frame), times[0], random)
    made = Types().write(frame, solver(task, start))
    return sum(nx.is_tree(g) for g in made.to_networkx())


# -- table and figure ----------------------------------------------------------------------------------------


def _cells(result: Result) -> dict[tuple[str, int], Result]:
    return {(row["sampler"], row["steps"]): row for row in result["rows"]}


def _steps(result: Result) -> list[int]:
    return sorted({row["steps"] for row in result["rows"]})


def table(result: Result) -> str:
    """Return two tables, samplers down and evaluations of the denoiser across."""
    cells, steps = _cells(result), _steps(result)
    head = ["evaluations", *steps]
    valid = [
        [
            name,
            *("{:.0f} [{:.0f}, {:.0f}]".format(*(100 * r[k] for k in ("valid", "low", "high"))) for r in row),
        ]
        for name, row in ((name, [cells[name, n] for n in steps]) for name in SAMPLERS)
    ]
    distance = [[name, *(f"{cells[name, n]['distance']:.4f}" for n in steps)] for name in SAMPLERS]
    return "\n".join(
        [
            f"Share of {result['trees']} samples that are trees of {result['nodes']} nodes, by the exact "
            "denoiser, in per cent with its 95 % interval.\n",
            markdown(head, valid),
            "\nTotal variation distance to a distribution of three dependent edges (000 with 0.6, 111 with "
            "0.4), computed without a draw.\n",
            markdown(head, distance),
        ]
    )


def _share(row: Result) -> str:
    return "{:.0f} [{:.0f}, {:.0f}]".format(*(100 * row[key] for key in ("valid", "low", "high")))


def figure(result: Result) -> Figure:
    """Draw both against the number of evaluations."""
    cells, steps = _cells(result), _steps(result)
    picture, (left, right) = panels(1, 2, 12, 4.6)
    for name, look in _LOOKS.items():
        rows = [cells[name, n] for n in steps]
        valid = [100 * r["valid"] for r in rows]
        below = [v - 100 * r["low"] for v, r in zip(valid, rows, strict=True)]
        above = [100 * r["high"] - v for v, r in zip(valid, rows, strict=True)]
        look = {**look, "linewidth": 1.2, "markersize": 5}
        left.errorbar(steps, valid, yerr=(below, above), capsize=2, label=name, **look)
        right.plot(steps, [r["distance"] for r in rows], **look)
    left.set(xscale="log", ylabel="samples that are trees [%]", title="Random trees of 64 nodes")
    right.set(xscale="log", yscale="log", ylabel="total variation distance", title="Three dependent edges")
    for panel in (left, right):
        panel.set_xlabel("evaluations of the denoiser")
        log_ticks(panel.xaxis, steps)
        panel.grid(color="0.92")
    outer_legend(picture, [left], "right upper", fontsize=8)
    return picture


STUDY = Experiment("graph-samplers", SCALES, written(measure, table, figure))
