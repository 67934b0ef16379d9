"""Options that commands share, and what can be named on a command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

import typer

from noisefold.sample.amortized import Amortized
from noisefold.sample.conditioning import Conditioning
from noisefold.sample.langevin import LangevinCorrection
from noisefold.sample.reconstruction import Reconstruction
from noisefold.sample.replacement import Repaint, Replacement
from noisefold.sample.solver import DDIM, Ancestral, DPMSolver, Euler, Heun, Solver, StochasticHeun

__all__ = [
    "METHODS",
    "SOLVERS",
    "Classes",
    "Data",
    "ForCompletion",
    "Genes",
    "Group",
    "Patch",
    "Points",
    "Pos",
    "Precision",
    "Run",
    "Seed",
    "Steps",
    "Time",
    "Values",
    "method_of",
    "solver_of",
]

_T = TypeVar("_T")
SOLVERS: dict[str, Solver] = {
    type(s).__name__.lower(): s for s in (Heun(), Euler(), DPMSolver(), DDIM(), Ancestral(), StochasticHeun())
}
"""Solvers by their names in small letters."""
METHODS: dict[str, Conditioning] = {
    type(m).__name__.lower(): m
    for m in (Amortized(), Reconstruction(), LangevinCorrection(), Repaint(), Replacement())
}
"""Ways of conditioning by their names in small letters."""

Data = Annotated[
    str, typer.Argument(help='File, folder or pattern ("shapes/*.ply"), or "shapes" for built-in ones.')
]
Run = Annotated[Path, typer.Argument(help='Run folder, saved model, or "noisefold/shapes".')]
Points = Annotated[int | None, typer.Option(help="Points sampled on each mesh and kept of each cloud.")]
Classes = Annotated[str | None, typer.Option(help="Keep these classes alone, separated by commas.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Steps = Annotated[int, typer.Option(help="Steps of the solver.")]
Precision = Annotated[str, typer.Option(help="float32, or bfloat16: faster, with rounded products.")]
Pos = Annotated[str | None, typer.Option(help="Of .h5ad: obsm/KEY, or obs/x,obs/y; default obsm/spatial.")]
Values = Annotated[str, typer.Option("--x", help="Of .h5ad: X, layers/NAME or raw/X.")]
Genes = Annotated[str | None, typer.Option(help="Of .h5ad: genes to keep, a,b,c or @file.")]
Group = Annotated[str | None, typer.Option(help="Of .h5ad: obs/COLUMN; a graph for each of its values.")]
Time = Annotated[str | None, typer.Option(help="Of .h5ad: obs/COLUMN of numbers, the time of each cell.")]
Patch = Annotated[int, typer.Option(help="Of .h5ad: cells of the patches that tissues are cut into.")]

ForCompletion = Annotated[
    bool, typer.Option("--for-completion", help="Learn from random masks, for `noisefold complete`.")
]


def solver_of(name: str | None) -> Solver | None:
    """A solver by its name in any case."""
    return _named("solver", name, SOLVERS)


def method_of(name: str | None) -> Conditioning | None:
    """A way of conditioning by its name in any case."""
    return _named("method", name, METHODS)


def _named(what: str, name: str | None, known: dict[str, _T]) -> _T | None:
    if name is not None and name.lower() not in known:
        raise ValueError(f"{what} {name!r} is unknown; known are {', '.join(known)}.")
    return None if name is None else known[name.lower()]
