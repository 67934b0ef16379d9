"""How noise becomes data: time grids, solvers, guidance, conditioning."""

from noisefold.sample import masks
from noisefold.sample.amortized import Amortized
from noisefold.sample.chain_bound import ChainBound
from noisefold.sample.completion import Completion, complete
from noisefold.sample.conditional_likelihood import conditional_log_prob, consistency_gap
from noisefold.sample.conditioning import Bound, Conditioning, Guided
from noisefold.sample.constraint import Constrained
from noisefold.sample.defaults import (
    completes,
    default_conditioning,
    default_grid,
    default_solver,
    default_steps,
)
from noisefold.sample.densities import LikelihoodMethod
from noisefold.sample.discrete import D3PM, DiscreteFlow, Renoising
from noisefold.sample.draw import generate
from noisefold.sample.evidence_bound import EvidenceBound
from noisefold.sample.flow_map import DistilledGrid, FlowMapSteps
from noisefold.sample.geodesic import GeodesicHeun, GeodesicRandomWalk
from noisefold.sample.graph_completion import GraphCompletion, extended
from noisefold.sample.grid import CosineGrid, Grid, Karras, LevelGrid, LogSNR, Power, Uniform
from noisefold.sample.joint import JointSolver
from noisefold.sample.langevin import LangevinCorrection, UnderdampedLangevin
from noisefold.sample.likelihood import LogProb, log_det, log_prob
from noisefold.sample.predictor_corrector import PredictorCorrector
from noisefold.sample.probability_flow import ProbabilityFlow
from noisefold.sample.reconstruction import Reconstructed, Reconstruction
from noisefold.sample.replacement import Kriged, Repaint, Replaced, Replacement, Resampled
from noisefold.sample.riemannian_likelihood import GeodesicFlow
from noisefold.sample.sampling import Sampling, SamplingOptions
from noisefold.sample.solver import (
    DDIM,
    Ancestral,
    DPMSolver,
    Euler,
    GaussianTask,
    Heun,
    Langevin,
    Solver,
    StochasticHeun,
    Task,
)

__all__ = [
    "D3PM",
    "DDIM",
    "Amortized",
    "Ancestral",
    "Bound",
    "ChainBound",
    "Completion",
    "Conditioning",
    "Constrained",
    "CosineGrid",
    "DPMSolver",
    "DiscreteFlow",
    "DistilledGrid",
    "Euler",
    "EvidenceBound",
    "FlowMapSteps",
    "GaussianTask",
    "GeodesicFlow",
    "GeodesicHeun",
    "GeodesicRandomWalk",
    "GraphCompletion",
    "Grid",
    "Guided",
    "Heun",
    "JointSolver",
    "Karras",
    "Kriged",
    "Langevin",
    "LangevinCorrection",
    "LevelGrid",
    "LikelihoodMethod",
    "LogProb",
    "LogSNR",
    "Power",
    "PredictorCorrector",
    "ProbabilityFlow",
    "Reconstructed",
    "Reconstruction",
    "Renoising",
    "Repaint",
    "Replaced",
    "Replacement",
    "Resampled",
    "Sampling",
    "SamplingOptions",
    "Solver",
    "StochasticHeun",
    "Task",
    "UnderdampedLangevin",
    "Uniform",
    "complete",
    "completes",
    "conditional_log_prob",
    "consistency_gap",
    "default_conditioning",
    "default_grid",
    "default_solver",
    "default_steps",
    "extended",
    "generate",
    "log_det",
    "log_prob",
    "masks",
]
