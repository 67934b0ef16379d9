r"""Error of the sampled distribution against evaluations, for every solver, where the truth is known.

The data are the diffusion study's mixture of two Gaussians, standardised; its denoiser is exact, so that
every error of the samples is the solver's. Per component, in its own units :math:`z = C_k^{-1/2} (x - m_k)`,
the samples should be standard normal; their error is the sliced Wasserstein distance

.. math:: \Big( \mathrm{mean}_\theta \int_0^1 \big( F_\theta^{-1}(p) - \Phi^{-1}(p) \big)^2 dp \Big)^{1/2}

over directions :math:`\theta`, averaged over the components. Exact draws of the same number have an error
too: the floor, below which solvers cannot be told apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import torch
from matplotlib.figure import Figure
from torch import Tensor

from noisefold.configuration import encode
from noisefold.geometry.gp import factor
from noisefold.noise import VE, VP, Cosine, Gaussian, Linear, Localization, Schedule, derive_seed
from noisefold.progress import progress
from noisefold.sample import (
    DDIM,
    Ancestral,
    DPMSolver,
    Euler,
    GaussianTask,
    Grid,
    Heun,
    Karras,
    Langevin,
    LogSNR,
    Solver,
    StochasticHeun,
    Uniform,
)
from noisefold.studies.kit.experiment import Experiment, Result, Run, written
from noisefold.studies.kit.plots import marks, panels
from noisefold.studies.kit.tables import markdown
from noisefold.theory import GaussianMixture

__all__ = ["MIXTURE", "STUDY", "errors", "figure", "measure", "recommended", "table"]

_UNIT = 4.02  # standard deviation of the mixture of the diffusion study
MIXTURE = GaussianMixture(
    weights=(0.5, 0.5),
    means=torch.tensor([[-4.0, -4.0], [4.0, 4.0]], dtype=torch.float64) / _UNIT,
    covariances=torch.diag_embed(torch.tensor([[0.3, 0.1], [0.2, 0.2]], dtype=torch.float64)) / _UNIT**2,
)
_SCHEDULES: tuple[Schedule, ...] = (Linear(), VP(), Cosine(), VE(), Localization())
_GRIDS: tuple[Grid, ...] = (Uniform(), LogSNR(), Karras())
_SOLVERS: tuple[Solver, ...] = (
    Euler(),
    Heun(),
    DDIM(),
    DPMSolver(),
    Ancestral(),
    StochasticHeun(),
    Langevin(DDIM()),
)
_LOOKS = marks(
    {
        "Euler": "o #E69F00",
        "Heun": "s #0072B2",
        "DDIM": "v #56B4E9",
        "DPMSolver": "^ #000000",
        "Ancestral": "D #009E73",
        "StochasticHeun": "P #D55E00",
        "Langevin": "X #CC79A7",
    }
)


@dataclass(frozen=True)
class Scale:
    """Budgets of evaluations, samples, and replicates."""

    budgets: tuple[int, ...]
    samples: int
    replicates: int


SCALES = {"smoke": Scale((8, 32), 500, 3), "short": Scale((5, 10, 20, 40, 80, 160), 8000, 3)}


def measure(run: Run[Scale]) -> Result:
    """Return ``floor``, and one of ``rows`` for every schedule, grid, solver and budget.

    A row has ``error`` (in standard deviations of a component), ``determinant`` (of the components'
    covariances over the truth) and ``mass`` (absolute error of the components' shares), each with its
    ``_spread`` over the replicates.
    """
    size, seeds = run.size, run.seeds(run.size.replicates)
    exact = [errors(MIXTURE.sample(size.samples, _generator(s, 0))) for s in seeds]
    cases = list(product(_SCHEDULES, _GRIDS, _SOLVERS, size.budgets))
    rows = []
    with progress(run.name, len(cases)) as advance:
        for schedule, grid, solver, budget in cases:
            rows.append(_row(Gaussian(schedule), grid, solver, budget, size.samples, seeds))
            advance(1, type(schedule).__name__)
    return {
        "seeds": seeds,
        "samples": size.samples,
        "law": encode(MIXTURE),
        "floor": _summary(exact),
        "rows": rows,
    }


def _generator(seed: int, purpose: int) -> torch.Generator:
    return torch.Generator().manual_seed(derive_seed(seed, purpose))


def _row(path: Gaussian, grid: Grid, solver: Solver, budget: int, n: int, seeds: list[int]) -> Result:
    steps = _steps(solver, budget)
    times = grid(path, steps)
    start = MIXTURE.marginal(times[0], path)
    x = torch.cat([start.sample(n, _generator(s, 1)) for s in seeds])
    generators = [_generator(s, 2) for s in seeds]
    denoise, calls = _counted(path)

    def noise() -> Tensor:
        return torch.cat([torch.randn(n, 2, generator=g, dtype=torch.float64) for g in generators])

    out = solver(GaussianTask.of(denoise, path, times, noise), x)
    return {
        "schedule": type(path.schedule).__name__,
        "grid": type(grid).__name__,
        "solver": type(solver).__name__,
        "budget": budget,
        "steps": steps,
        "evaluations": calls(),
        **_summary([errors(part) for part in out.split(n)]),
    }


def _counted(path: Gaussian) -> tuple[Callable[[Tensor, Tensor], Tensor], Callable[[], int]]:
    count = 0

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        nonlocal count
        count += 1
        return MIXTURE.denoise(x, t, path)

    return denoise, lambda: count


def _steps(solver: Solver, budget: int) -> int:
    """Return the most steps within a budget of evaluations, at least one."""

    def evaluations(steps: int) -> int:
        path = Gaussian()
        denoise, calls = _counted(path)
        x = torch.zeros(1, 2, dtype=torch.float64)
        solver(GaussianTask.of(denoise, path, Uniform()(path, steps), lambda: torch.zeros_like(x)), x)
        return calls()

    one, two = evaluations(1), evaluations(2)
    return 1 + max(0, (budget - one) // (two - one))


def errors(x: Tensor) -> dict[str, float]:
    """Return error, determinant ratio and error of the shares of samples ``[n, 2]``."""
    n = len(x)
    which = torch.cdist(x, torch.tensor(MIXTURE.means, dtype=torch.float64)).argmin(1)
    angles = torch.arange(16, dtype=torch.float64) * (math.pi / 16)
    directions = torch.stack([angles.cos(), angles.sin()])
    distances, determinants, masses = [], [], []
    for k, weight in enumerate(MIXTURE.weights):
        mean, covariance = (
            torch.tensor(v[k], dtype=torch.float64) for v in (MIXTURE.means, MIXTURE.covariances)
        )
        part = x[which == k]
        masses.append(abs(len(part) / n - float(weight)))
        # A component without samples is judged by all of them: a large error, but a number.
        part = part if len(part) > 2 else x
        unit = factor(covariance).whiten((part - mean).T).T
        ranks = (torch.arange(len(part), dtype=torch.float64) + 0.5) / len(part)
        gaps = (unit @ directions).sort(0).values - torch.special.ndtri(ranks)[:, None]
        distances.append(float(gaps.square().mean().sqrt()))
        determinants.append(float(torch.linalg.det(torch.cov(unit.T))))
    return {
        "error": sum(distances) / len(distances),
        "determinant": sum(determinants) / len(determinants),
        "mass": max(masses),
    }


def _summary(measured: list[dict[str, float]]) -> dict[str, float]:
    out = {}
    for name in measured[0]:
        values = torch.tensor([m[name] for m in measured], dtype=torch.float64)
        out[name], out[f"{name}_spread"] = float(values.mean()), float(values.std())
    return out


# -- table and figure ----------------------------------------------------------------------------------------


def best_grids(result: Result) -> dict[tuple[str, str, int], Result]:
    """Return the row of the grid with the least error, for every schedule, solver and budget."""
    best: dict[tuple[str, str, int], Result] = {}
    for row in result["rows"]:
        key = (row["schedule"], row["solver"], row["budget"])
        if key not in best or row["error"] < best[key]["error"]:
            best[key] = row
    return best


def recommended(result: Result) -> dict[str, dict[int, tuple[str, str, float]]]:
    """Return solver, grid and error of the least error, for every schedule and budget."""
    out: dict[str, dict[int, tuple[str, str, float]]] = {}
    for (schedule, solver, budget), row in best_grids(result).items():
        chosen = out.setdefault(schedule, {})
        if budget not in chosen or row["error"] < chosen[budget][2]:
            chosen[budget] = (solver, row["grid"], row["error"])
    return out


def _budgets(result: Result) -> list[int]:
    return sorted({row["budget"] for row in result["rows"]})


def table(result: Result) -> str:
    """Return the least errors, then a table for every schedule, solvers down and budgets across."""
    best, least, budgets = best_grids(result), recommended(result), _budgets(result)
    floor, head = result["floor"], ["evaluations", *_budgets(result)]
    choices = [[name, *("{} {} {:.3f}".format(*found[b]) for b in budgets)] for name, found in least.items()]
    parts = [
        "Error of the distribution in standard deviations of a component (mean ± spread over "
        f"{len(result['seeds'])} seeds), determinant of its covariance over the truth, and the grid of least "
        f"error. Exact draws err by {floor['error']:.3f} ± {floor['error_spread']:.3f}.",
        "\n### Least error\n",
        markdown(head, choices),
    ]
    for name in least:
        rows = [[solver, *(_entry(best[name, solver, b]) for b in budgets)] for solver in _LOOKS]
        parts += [f"\n### {name}\n", markdown(head, rows)]
    return "\n".join(parts)


def _entry(row: Result) -> str:
    return f"{row['error']:.3f} ± {row['error_spread']:.3f}, det {row['determinant']:.2g}, {row['grid']}"


def figure(result: Result) -> Figure:
    """Draw error against evaluations, one panel for every schedule, each solver with its best grid."""
    best, names, budgets = best_grids(result), list(recommended(result)), _budgets(result)
    floor = result["floor"]["error"]
    picture, grid = panels(2, 3, 11, 6.5, sharex=True, sharey=True)
    for panel, name in zip(grid.flat, names, strict=False):
        for solver, look in _LOOKS.items():
            rows = [best[name, solver, budget] for budget in budgets]
            x, y, spread = ([row[key] for row in rows] for key in ("evaluations", "error", "error_spread"))
            panel.errorbar(x, y, yerr=spread, label=solver, markersize=5, linewidth=1.4, capsize=2, **look)
        panel.axhline(floor, color="0.5", linestyle=":", label="exact draws")
        panel.set(title=name, xscale="log", yscale="log", ylim=(floor / 1.5, 5))
        panel.set_xticks(budgets, [str(b) for b in budgets], minor=False)
        panel.set_xticks([], minor=True)
        panel.tick_params(labelbottom=True)
        panel.grid(which="major", color="0.9")
    for panel in grid.flat[len(names) :]:
        panel.set_axis_off()
    title = "each with its best grid;\nerrors above 5 are cut off"
    handles = grid[0, 0].get_legend_handles_labels()
    grid.flat[-1].legend(*handles, loc="center", frameon=False, title=title)
    picture.supxlabel("evaluations of the denoiser")
    picture.supylabel("error of the distribution [standard deviations of a component]")
    return picture


STUDY = Experiment("solvers", SCALES, written(measure, table, figure), one_core=False)
