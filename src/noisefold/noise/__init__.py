"""How data becomes noise: schedules, sources, paths, targets and couplings."""

from noisefold.noise.coupling import Coupling, Independent, MiniBatch
from noisefold.noise.digits import Digits, decimals, digits
from noisefold.noise.gaussian import Gaussian, Transition
from noisefold.noise.gp_noise import GPNoise
from noisefold.noise.kernels import Kernel, Nugget, Scaled, Stationary, Sum, cholesky
from noisefold.noise.levels import LevelDistribution
from noisefold.noise.point_coupling import WithinCloud
from noisefold.noise.quasi_random import QuasiRandom, quasi_normal
from noisefold.noise.schedule import VE, VP, Cosine, Linear, Localization, Schedule, signal_level
from noisefold.noise.source import Source, Streams, White, derive_seed, seeded
from noisefold.noise.target import TARGETS, WEIGHTS, Target

__all__ = [
    "TARGETS",
    "VE",
    "VP",
    "WEIGHTS",
    "Cosine",
    "Coupling",
    "Digits",
    "GPNoise",
    "Gaussian",
    "Independent",
    "Kernel",
    "LevelDistribution",
    "Linear",
    "Localization",
    "MiniBatch",
    "Nugget",
    "QuasiRandom",
    "Scaled",
    "Schedule",
    "Source",
    "Stationary",
    "Streams",
    "Sum",
    "Target",
    "Transition",
    "White",
    "WithinCloud",
    "cholesky",
    "decimals",
    "derive_seed",
    "digits",
    "quasi_normal",
    "seeded",
    "signal_level",
]
