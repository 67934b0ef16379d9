"""Options that commands share, and what can be named on a command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from noisefold.sample import Conditioning, Grid, Solver

__all__ = [
    "GRIDS",
    "METHODS",
    "SOLVERS",
    "Classes",
    "Constraint",
    "Data",
    "Device",
    "ForCompletion",
    "Genes",
    "GridName",
    "Group",
    "Label",
    "Level",
    "Mask",
    "Patch",
    "Points",
    "Pos",
    "Precision",
    "RunFolder",
    "Seed",
    "Size",
    "Skip",
    "Steps",
    "Time",
    "Values",
    "Vector",
    "grid_of",
    "interval_of",
    "method_of",
    "size_of",
    "solver_of",
]

SOLVERS = (
    "heun", "euler", "dpmsolver", "ddim", "ancestral", "stochasticheun", "discreteflow", "d3pm", "renoising",
)  # fmt: skip
"""Solvers by the names of their classes in small letters; the last three are for discrete graphs."""
GRIDS = ("uniform", "logsnr", "karras", "levelgrid", "power", "cosinegrid")
"""Time grids by the names of their classes in small letters."""
METHODS = ("amortized", "reconstruction", "langevincorrection", "repaint", "replacement")
"""Ways of conditioning by the names of their classes in small letters."""

_LISTED = "repeat the option, separate by commas, or @file with one a line"
Data = Annotated[
    str, typer.Argument(help='File, folder or pattern ("shapes/*.ply"), or "shapes" or "digits", built in.')
]
RunFolder = Annotated[Path, typer.Argument(help='Run folder, saved model, or "noisefold/shapes".')]
Points = Annotated[int | None, typer.Option(help="Points sampled on each mesh and kept of each cloud.")]
Classes = Annotated[list[str] | None, typer.Option(help=f"Keep these classes alone: {_LISTED}.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Steps = Annotated[
    int | None,
    typer.Option(help="Steps of the solver; default 50, or those that a model was distilled for."),
]
GridName = Annotated[str | None, typer.Option("--grid", help=f"Time grid: {', '.join(GRIDS)}.")]
Constraint = Annotated[
    str | None,
    typer.Option(help="Of discrete graphs: tree, connected, planar or valence, which every sample then is."),
]
Precision = Annotated[str, typer.Option(help="float32, or bfloat16: faster, with rounded products.")]
Device = Annotated[
    str, typer.Option(help='"auto" for the accelerator if there is one, "cpu", "cuda:1", "mps", ...')
]
Pos = Annotated[
    list[str] | None, typer.Option(help="Of .h5ad: obsm/KEY, or obs/x,obs/y; of tables: columns.")
]
Values = Annotated[
    list[str] | None,
    typer.Option("--x", help="Of .h5ad: X, layers/NAME or raw/X; of tables and NetCDF: features."),
]
Genes = Annotated[list[str] | None, typer.Option(help=f"Of .h5ad: genes to keep: {_LISTED}.")]
Group = Annotated[
    str | None, typer.Option(help="Of .h5ad: obs/COLUMN, of tables: column; a graph for each of its values.")
]
Time = Annotated[str | None, typer.Option(help="Of .h5ad: obs/COLUMN of numbers; of stations: column.")]
Label = Annotated[str | None, typer.Option(help="Of tables: column of classes.")]
Level = Annotated[list[str] | None, typer.Option(help="Of NetCDF and zarr: levels to take, as 200,850.")]
Vector = Annotated[
    list[str] | None, typer.Option(help="Of the earth: components of a vector to east and north, as u10,v10.")
]
Mask = Annotated[
    str | None,
    typer.Option(help="Of NetCDF and zarr: variable that is 1 where values can be, as at sea."),
]
Skip = Annotated[
    bool,
    typer.Option("--skip", help="Leave out molecules that cannot be read, instead of refusing the file."),
]
Hydrogens = Annotated[
    bool,
    typer.Option("--hydrogens", help="Keep the hydrogens that a file of molecules writes out as atoms."),
]
PropertyNames = Annotated[
    list[str] | None,
    typer.Option("--properties", help=f"Of molecules: columns of numbers to condition on: {_LISTED}."),
]
Size = Annotated[
    str | None,
    typer.Option(help="Of pictures: pixels a side, 32, or height x width, 32x48; others are resized."),
]
Patch = Annotated[int, typer.Option(help="Of .h5ad: cells of the patches that tissues are cut into.")]
ForCompletion = Annotated[
    bool,
    typer.Option("--for-completion", help="Learn to condition on observed values, for `noisefold complete`."),
]


def solver_of(name: str | None) -> Solver | None:
    """Return a solver by its name in any case."""
    found: Solver | None = _named("solver", name, SOLVERS)
    return found


def grid_of(name: str | None) -> Grid | None:
    """Return a time grid by its name in any case."""
    found: Grid | None = _named("grid", name, GRIDS)
    return found


def size_of(text: str | None) -> int | tuple[int, int] | None:
    """Return pixels a side, or height and width, from ``32`` or ``32x48``."""
    if text is None:
        return None
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.strip().isdecimal() for side in sides):
        raise ValueError(f"--size must be pixels a side, 32, or height x width, 32x48, got {text!r}.")
    numbers = [int(side) for side in sides]
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


def interval_of(text: str | None) -> tuple[float, float] | None:
    """Return two numbers from ``-4:3``."""
    if text is None:
        return None
    try:
        low, high = (float(end) for end in text.split(":"))
    except ValueError:
        raise ValueError(f"--guidance-interval must be two log-SNR, such as -4:3, got {text!r}.") from None
    return low, high


def numbers_of(named: list[str] | None) -> dict[str, float] | None:
    """Return numbers by name from ``NAME=NUMBER``."""
    if not named:
        return None
    try:
        pairs = [text.rsplit("=", 1) for text in named]
        return {name.strip(): float(value) for name, value in pairs}
    except ValueError:
        raise ValueError(f"--property must be NAME=NUMBER, such as gap=0.2, got {named}.") from None


def method_of(name: str | None) -> Conditioning | None:
    """Return a way of conditioning by its name in any case."""
    found: Conditioning | None = _named("method", name, METHODS)
    return found


def _named(what: str, name: str | None, known: tuple[str, ...]) -> Any:
    if name is None:
        return None
    plain = name.lower().replace("-", "")
    if plain not in known:
        raise ValueError(f"{what} {name!r} is unknown; known are {', '.join(known)}.")
    from noisefold import sample

    classes = {member.lower(): getattr(sample, member) for member in sample.__all__}
    return classes[plain]()
