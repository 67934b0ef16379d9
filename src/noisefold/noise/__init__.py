"""How data becomes noise: schedules, sources, paths, targets and couplings."""

from noisefold.noise.coupling import Coupling, Independent, MiniBatch
from noisefold.noise.gaussian import Gaussian, Transition
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
    "Gaussian",
    "Independent",
    "Linear",
    "Localization",
    "MiniBatch",
    "Schedule",
    "Source",
    "Streams",
    "Target",
    "Times",
    "Transition",
    "White",
    "WithinCloud",
    "mix",
    "seeded",
    "signal_level",
]
