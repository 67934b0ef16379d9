"""How noise becomes data: time grids, solvers, guidance."""

from noisefold.sample.completion import Completion, complete
from noisefold.sample.condition import Bound, Conditioning, Guided, Known
from noisefold.sample.generate import default_grid, generate
from noisefold.sample.grid import Grid, Karras, LogSNR, Placed, Uniform
from noisefold.sample.replacement import Repaint, Replaced, Replacement, Resampled
from noisefold.sample.solver import (
    DDIM,
    Ancestral,
    DPMSolver,
    Euler,
    Heun,
    Langevin,
    Solver,
    StochasticHeun,
    Task,
)

__all__ = [
    "DDIM",
    "Ancestral",
    "Bound",
    "Completion",
    "Conditioning",
    "DPMSolver",
    "Euler",
    "Grid",
    "Guided",
    "Heun",
    "Karras",
    "Known",
    "Langevin",
    "LogSNR",
    "Placed",
    "Repaint",
    "Replaced",
    "Replacement",
    "Resampled",
    "Solver",
    "StochasticHeun",
    "Task",
    "Uniform",
    "complete",
    "default_grid",
    "generate",
]
