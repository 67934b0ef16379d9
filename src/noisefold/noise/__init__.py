"""How data becomes noise: schedules, sources, paths, targets and couplings."""

from noisefold.geometry.correlation import Stationary as Stationary
from noisefold.geometry.gp import cholesky as cholesky
from noisefold.geometry.kernels import Kernel as Kernel
from noisefold.geometry.kernels import Nugget as Nugget
from noisefold.geometry.kernels import Product as Product
from noisefold.geometry.kernels import Scaled as Scaled
from noisefold.geometry.kernels import Sum as Sum
from noisefold.noise.categories import Categories
from noisefold.noise.classes import Classes
from noisefold.noise.conditional_noise import ConditionalNoise
from noisefold.noise.coupling import Coupling, Independent, MiniBatch
from noisefold.noise.digits import Digits, decimals, digits
from noisefold.noise.directed_types import DirectedTypes
from noisefold.noise.discrete import Discrete
from noisefold.noise.few_steps import FewSteps
from noisefold.noise.flow_map import FlowMap
from noisefold.noise.gaussian import Gaussian, Transition
from noisefold.noise.gp_noise import GPNoise
from noisefold.noise.joint import Joint, JointPath
from noisefold.noise.joint_prediction import JointPrediction
from noisefold.noise.joint_variable import JointVariable
from noisefold.noise.levels import LevelDistribution, Levels, LogSNRUniform
from noisefold.noise.path import ProbabilityPath
from noisefold.noise.point_coupling import WithinCloud
from noisefold.noise.prediction import Prediction
from noisefold.noise.quasi_random import QuasiRandom, quasi_normal
from noisefold.noise.riemannian import Riemannian
from noisefold.noise.schedule import VE, VP, Cosine, Linear, Localization, Schedule, signal_level
from noisefold.noise.source import Centred, Source, Streams, White, derive_seed, seeded
from noisefold.noise.tangent_score import TangentScore
from noisefold.noise.target import TARGETS, WEIGHTS, Target
from noisefold.noise.variable import VARIABLES, Features, Known, Positions, Types, Variable, variable_of

__all__ = [
    "TARGETS",
    "VARIABLES",
    "VE",
    "VP",
    "WEIGHTS",
    "Categories",
    "Centred",
    "Classes",
    "ConditionalNoise",
    "Cosine",
    "Coupling",
    "Digits",
    "DirectedTypes",
    "Discrete",
    "Features",
    "FewSteps",
    "FlowMap",
    "GPNoise",
    "Gaussian",
    "Independent",
    "Joint",
    "JointPath",
    "JointPrediction",
    "JointVariable",
    "Known",
    "LevelDistribution",
    "Levels",
    "Linear",
    "Localization",
    "LogSNRUniform",
    "MiniBatch",
    "Positions",
    "Prediction",
    "ProbabilityPath",
    "QuasiRandom",
    "Riemannian",
    "Schedule",
    "Source",
    "Streams",
    "TangentScore",
    "Target",
    "Transition",
    "Types",
    "Variable",
    "White",
    "WithinCloud",
    "decimals",
    "derive_seed",
    "digits",
    "quasi_normal",
    "seeded",
    "signal_level",
    "variable_of",
]
