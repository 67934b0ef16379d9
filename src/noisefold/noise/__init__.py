"""How data becomes noise: schedules, sources, paths, targets and couplings."""

from noisefold.noise.coupling import Coupling, Independent, MiniBatch
from noisefold.noise.digits import Digits, decimals, digits
from noisefold.noise.gaussian import Gaussian, Transition
from noisefold.noise.kernels import Kernel, Nugget, Scaled, Stationary, Sum, cholesky
from noisefold.noise.process import Process
from noisefold.noise.quasi import QuasiRandom, quasi_normal
from noisefold.noise.schedule import VE, VP, Cosine, Linear, Localization, Schedule, signal_level
from noisefold.noise.source import Source, Streams, White, mix, seeded
from noisefold.noise.target import TARGETS, WEIGHTS, Target
from noisefold.noise.times import Times
from noisefold.noise.within import WithinCloud

__all__ = [
    "TARGETS",
    "VE",
    "VP",
    "WEIGHTS",
    "Cosine",
    "Coupling",
    "Digits",
    "Gaussian",
    "Independent",
    "Kernel",
    "Linear",
    "Localization",
    "MiniBatch",
    "Nugget",
    "Process",
    "QuasiRandom",
    "Scaled",
    "Schedule",
    "Source",
    "Stationary",
    "Streams",
    "Sum",
    "Target",
    "Times",
    "Transition",
    "White",
    "WithinCloud",
    "cholesky",
    "decimals",
    "digits",
    "mix",
    "quasi_normal",
    "seeded",
    "signal_level",
]
