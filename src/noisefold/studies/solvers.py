r"""The study behind "how to choose a solver": error of the law against evaluations, where the truth is known.

The data are the laboratory's mixture of two Gaussians, standardised; its denoiser is exact, so that whatever
is wrong with the samples is the solver's doing. Per component, in its own units
:math:`z = C_k^{-1/2} (x - m_k)`, the samples should be standard normal; their error is the sliced Wasserstein
distance

.. math:: \Big( \mathrm{mean}_\theta \int_0^1 \big( F_\theta^{-1}(p) - \Phi^{-1}(p) \big)^2 dp \Big)^{1/2}

over directions :math:`\theta`, averaged over the components. Exact draws of the same number have an error
too: the floor, below which nothing can be told apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

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
    Grid,
    Heun,
    Karras,
    Langevin,
    LogSNR,
    Solver,
    StochasticHeun,
    Uniform,
)
from noisefold.studies.study import Study, keep
from noisefold.theory import GaussianMixture

__all__ = ["DESCRIPTION", "NAME", "SCALES", "SOLVERS", "figure", "recommended", "run", "table"]

NAME = "solvers"
DESCRIPTION = (
    "error of the sampled law against evaluations, for every solver, grid and schedule, on an oracle"
)
SCALES = ("smoke", "short")

_UNIT = 4.02  # standard deviation of the laboratory's mixture
_LAW = GaussianMixture(
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
# Okabe and Ito's colours, told apart by every kind of sight, with a marker each for print.
_LOOKS = {
    "Euler": ("#E69F00", "o"),
    "Heun": ("#0072B2", "s"),
    "DDIM": ("#56B4E9", "v"),
    "DPMSolver": ("#000000", "^"),
    "Ancestral": ("#009E73", "D"),
    "StochasticHeun": ("#D55E00", "P"),
    "Langevin": ("#CC79A7", "X"),
}


@dataclass(frozen=True)
class _Scale:
    budgets: tuple[int, ...]
    samples: int
    replicates: int


_SIZES = {"smoke": _Scale((8, 32), 500, 3), "short": _Scale((5, 10, 20, 40, 80, 160), 8000, 3)}


def run(scale: str, seed: int = 0) -> dict[str, Any]:
    """Run the study.

    Parameters
    ----------
    scale
        "smoke" or "short".
    seed
        The seed of the first replicate; the others follow it.

    Returns
    -------
    dict
        Plain data: settings, ``floor`` and one of ``rows`` for every schedule, grid, solver and budget, with
        ``error`` (in standard deviations of a component), ``determinant`` (of the components' covariances
        over the truth) and ``mass`` (absolute error of the components' shares), each with its ``_spread``
        over the replicates.

    Raises
    ------
    ValueError
        If the scale is unknown.
    """
    if scale not in _SIZES:
        raise ValueError(f"scale must be one of {', '.join(SCALES)}, got {scale!r}.")
    size = _SIZES[scale]
    seeds = range(seed, seed + size.replicates)
    exact = [_measures(_LAW.sample(size.samples, _generator(s, 0))) for s in seeds]
    cells = list(product(_SCHEDULES, _GRIDS, _SOLVERS, size.budgets))
    rows = []
    with progress(NAME, len(cells)) as advance:
        for schedule, grid, solver, budget in cells:
            rows.append(_row(Gaussian(schedule), grid, solver, budget, size.samples, seeds))
            advance(1, type(schedule).__name__)
    return {
        "name": NAME,
        "scale": scale,
        "seeds": list(seeds),
        "samples": size.samples,
        "law": encode(_LAW),
        "floor": _summary(exact),
        "rows": rows,
    }


def _generator(seed: int, purpose: int) -> torch.Generator:
    return torch.Generator().manual_seed(derive_seed(seed, purpose))


def _row(path: Gaussian, grid: Grid, solver: Solver, budget: int, n: int, seeds: range) -> dict[str, Any]:
    steps = _steps(solver, budget)
    times = grid(path, steps)
    start = _LAW.marginal(times[0], path)
    x = torch.cat([start.sample(n, _generator(s, 1)) for s in seeds])
    generators = [_generator(s, 2) for s in seeds]
    denoise, calls = _counted(path)

    def noise() -> Tensor:
        return torch.cat([torch.randn(n, 2, generator=g, dtype=torch.float64) for g in generators])

    out = solver(denoise, x, times, path, noise)
    return {
        "schedule": type(path.schedule).__name__,
        "grid": type(grid).__name__,
        "solver": type(solver).__name__,
        "budget": budget,
        "steps": steps,
        "evaluations": calls(),
        **_summary([_measures(part) for part in out.split(n)]),
    }


def _counted(path: Gaussian) -> tuple[Callable[[Tensor, Tensor], Tensor], Callable[[], int]]:
    count = 0

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        nonlocal count
        count += 1
        return _LAW.denoise(x, t, path)

    return denoise, lambda: count


def _steps(solver: Solver, budget: int) -> int:
    """The most steps within a budget of evaluations, at least one; evaluations are linear in the steps."""

    def evaluations(steps: int) -> int:
        path = Gaussian()
        denoise, calls = _counted(path)
        x = torch.zeros(1, 2, dtype=torch.float64)
        solver(denoise, x, Uniform()(path, steps), path, lambda: torch.zeros_like(x))
        return calls()

    one, two = evaluations(1), evaluations(2)
    return 1 + max(0, (budget - one) // (two - one))


def _measures(x: Tensor) -> dict[str, float]:
    """Error of the law, determinant ratio and error of the shares of samples ``[n, 2]``."""
    n = len(x)
    which = torch.cdist(x, torch.tensor(_LAW.means, dtype=torch.float64)).argmin(1)
    angles = torch.arange(16, dtype=torch.float64) * (math.pi / 16)
    directions = torch.stack([angles.cos(), angles.sin()])
    errors, determinants, masses = [], [], []
    for k, weight in enumerate(_LAW.weights):
        mean, covariance = (torch.tensor(v[k], dtype=torch.float64) for v in (_LAW.means, _LAW.covariances))
        part = x[which == k]
        masses.append(abs(len(part) / n - float(weight)))
        # A component without samples is judged by all of them: a large error, but a number.
        part = part if len(part) > 2 else x
        unit = factor(covariance).whiten((part - mean).T).T
        ranks = (torch.arange(len(part), dtype=torch.float64) + 0.5) / len(part)
        gaps = (unit @ directions).sort(0).values - torch.special.ndtri(ranks)[:, None]
        errors.append(float(gaps.square().mean().sqrt()))
        determinants.append(float(torch.linalg.det(torch.cov(unit.T))))
    return {
        "error": sum(errors) / len(errors),
        "determinant": sum(determinants) / len(determinants),
        "mass": max(masses),
    }


def _summary(measures: list[dict[str, float]]) -> dict[str, float]:
    out = {}
    for name in measures[0]:
        values = torch.tensor([m[name] for m in measures], dtype=torch.float64)
        out[name] = float(values.mean())
        out[f"{name}_spread"] = float(values.std())
    return out


# -- what it says --------------------------------------------------------------------------------------------


def _best_grids(result: dict[str, Any]) -> dict[tuple[str, str, int], dict[str, Any]]:
    """For every schedule, solver and budget the row of the grid with the least error."""
    best: dict[tuple[str, str, int], dict[str, Any]] = {}
    for row in result["rows"]:
        key = (row["schedule"], row["solver"], row["budget"])
        if key not in best or row["error"] < best[key]["error"]:
            best[key] = row
    return best


def recommended(result: dict[str, Any]) -> dict[str, dict[int, tuple[str, str, float]]]:
    """Solver, grid and error of the least error, for every schedule and budget."""
    out: dict[str, dict[int, tuple[str, str, float]]] = {}
    for row in result["rows"]:
        chosen = out.setdefault(row["schedule"], {})
        if row["budget"] not in chosen or row["error"] < chosen[row["budget"]][2]:
            chosen[row["budget"]] = (row["solver"], row["grid"], row["error"])
    return out


def table(result: dict[str, Any]) -> str:
    """Markdown: what errs least, then a table for every schedule, solvers down and budgets across."""
    best, least = _best_grids(result), recommended(result)
    budgets = sorted({row["budget"] for row in result["rows"]})
    floor = result["floor"]
    head = f"| evaluations |{''.join(f' {b} |' for b in budgets)}\n| --- |{' --- |' * len(budgets)}"
    lines = [
        "Error of the law in standard deviations of a component (mean ± spread over "
        f"{len(result['seeds'])} seeds), determinant of its covariance over the truth, and the grid of least "
        f"error. Exact draws err by {floor['error']:.3f} ± {floor['error_spread']:.3f}.",
        "\n### Least error\n",
        head,
    ]
    for name, choices in least.items():
        lines.append(_line(name, [f"{choices[b][0]} {choices[b][1]} {choices[b][2]:.3f}" for b in budgets]))
    for name in least:
        lines += [f"\n### {name}\n", head]
        for solver in _LOOKS:
            lines.append(_line(solver, [_cell(best[name, solver, b]) for b in budgets]))
    return "\n".join(lines)


def _line(name: str, cells: list[str]) -> str:
    return f"| {' | '.join([name, *cells])} |"


def _cell(row: dict[str, Any]) -> str:
    return f"{row['error']:.3f} ± {row['error_spread']:.3f}, det {row['determinant']:.2g}, {row['grid']}"


def figure(result: dict[str, Any]) -> Figure:
    """Error against evaluations, one panel for every schedule, each solver with its best grid."""
    best = _best_grids(result)
    names = list(recommended(result))
    budgets = sorted({row["budget"] for row in result["rows"]})
    floor = result["floor"]["error"]
    picture = Figure(figsize=(11, 6.5), layout="constrained")
    panels = picture.subplots(2, 3, sharex=True, sharey=True).flatten()
    for panel, name in zip(panels, names, strict=False):
        for solver, (colour, marker) in _LOOKS.items():
            rows = [best[name, solver, budget] for budget in budgets]
            x, y, spread = ([row[key] for row in rows] for key in ("evaluations", "error", "error_spread"))
            look = {"color": colour, "marker": marker, "markersize": 5, "linewidth": 1.4, "capsize": 2}
            panel.errorbar(x, y, yerr=spread, label=solver, **look)
        panel.axhline(floor, color="0.5", linestyle=":", label="exact draws")
        panel.set(title=name, xscale="log", yscale="log", ylim=(floor / 1.5, 5))
        panel.set_xticks(budgets, [str(b) for b in budgets], minor=False)
        panel.set_xticks([], minor=True)
        panel.tick_params(labelbottom=True)
        panel.grid(which="major", color="0.9")
    for panel in panels[len(names) :]:
        panel.set_axis_off()
    title = "each with its best grid;\nerrors above 5 are cut off"
    panels[-1].legend(*panels[0].get_legend_handles_labels(), loc="center", frameon=False, title=title)
    picture.supxlabel("evaluations of the denoiser")
    picture.supylabel("error of the law [standard deviations of a component]")
    return picture


def _study(out: Path, scale: str, seed: int) -> list[Path]:
    result = run(scale, seed)
    return keep(out, NAME, scale, result, table(result), figure(result))


SOLVERS = Study(DESCRIPTION, SCALES, _study)
