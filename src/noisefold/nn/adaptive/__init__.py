"""Adaptive schedules: range and resolution of a graph as functions of the noise level."""

from noisefold.nn.adaptive.schedules import (
    Adaptive,
    Exponential,
    Fixed,
    Information,
    Learned,
    Linear,
    Logarithmic,
    ReLU,
    clean_range,
)
from noisefold.nn.adaptive.stepwise import Stepwise

__all__ = [
    "Adaptive",
    "Exponential",
    "Fixed",
    "Information",
    "Learned",
    "Linear",
    "Logarithmic",
    "ReLU",
    "Stepwise",
    "clean_range",
]
