"""How noise becomes data: time grids, solvers, guidance."""

from noisefold.sample import masks
from noisefold.sample.amortized import Amortized
from noisefold.sample.completion import Completion, complete
from noisefold.sample.conditioning import Bound, Conditioning, Guided, Known
from noisefold.sample.draw import default_grid, generate
from noisefold.sample.grid import Grid, Karras, LevelGrid, LogSNR, Uniform
from noisefold.sample.langevin import LangevinCorrection, UnderdampedLangevin
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
    "Known",
    "Langevin",
    "LangevinCorrection",
    "LevelGrid",
    "LogSNR",
    "Reconstructed",
    "Reconstruction",
    "Repaint",
    "Replaced",
    "Replacement",
    "Resampled",
    "Solver",
    "StochasticHeun",
    "Task",
    "UnderdampedLangevin",
    "Uniform",
    "complete",
    "default_grid",
    "generate",
    "masks",
]
