"""How noise becomes data: time grids, solvers, guidance."""

from noisefold.sample.condition import Bound, Guided
from noisefold.sample.generate import default_grid, generate
from noisefold.sample.grid import Grid, Karras, LogSNR, Uniform
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
    "DPMSolver",
    "Euler",
    "Grid",
    "Guided",
    "Heun",
    "Karras",
    "Langevin",
    "LogSNR",
    "Solver",
    "StochasticHeun",
    "Task",
    "Uniform",
    "default_grid",
    "generate",
]
