"""How noise becomes data: time grids, solvers, guidance."""

from noisefold.sample import tasks
from noisefold.sample.amortized import Amortized
from noisefold.sample.completion import Completion, complete
from noisefold.sample.condition import Bound, Conditioning, Guided, Known
from noisefold.sample.generate import default_grid, generate
from noisefold.sample.grid import Grid, Karras, LogSNR, Placed, Uniform
from noisefold.sample.kinetic import Kinetic, LangevinCorrection
from noisefold.sample.reconstruction import Reconstructed, Reconstruction
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
    "Amortized",
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
    "Kinetic",
    "Known",
    "Langevin",
    "LangevinCorrection",
    "LogSNR",
    "Placed",
    "Reconstructed",
    "Reconstruction",
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
    "tasks",
]
