"""Generate geometric graphs by diffusion and flow matching, with networks whose graph follows the noise."""

from noisefold import data, eval, nn, noise, sample, theory
from noisefold.configuration import __version__
from noisefold.data import load, save
from noisefold.geometry import Graphs
from noisefold.model import Model
from noisefold.nn import adaptive
from noisefold.train import Training

__all__ = [
    "Graphs",
    "Model",
    "Training",
    "__version__",
    "adaptive",
    "data",
    "eval",
    "load",
    "nn",
    "noise",
    "sample",
    "save",
    "theory",
]
