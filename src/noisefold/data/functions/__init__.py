"""Random functions on the line, the plane and the sphere."""

from noisefold.data.functions.coordinates import Coordinates
from noisefold.data.functions.gaussian_process import GaussianProcess, gaussian_process
from noisefold.data.functions.inputs import UniformInputs, disc
from noisefold.data.functions.mixture import Mixture, mixture
from noisefold.data.functions.modality import FunctionSamples
from noisefold.data.functions.process import RandomFunction, draw_functions
from noisefold.data.functions.sawtooth import Sawtooth, sawtooth
from noisefold.data.functions.tasks import REGRESSION_TASKS
from noisefold.data.functions.tracks import Tracks, read_tracks, write_tracks
from noisefold.data.functions.vector_fields import VECTOR_FIELDS

__all__ = [
    "REGRESSION_TASKS",
    "VECTOR_FIELDS",
    "Coordinates",
    "FunctionSamples",
    "GaussianProcess",
    "Mixture",
    "RandomFunction",
    "Sawtooth",
    "Tracks",
    "UniformInputs",
    "disc",
    "draw_functions",
    "gaussian_process",
    "mixture",
    "read_tracks",
    "sawtooth",
    "write_tracks",
]
