"""Random functions on the line, the plane and the sphere."""

from noisefold.data.functions.coordinates import Coordinates
from noisefold.data.functions.modality import FunctionSamples

__all__ = ["Coordinates", "FunctionSamples"]
