"""Random functions on the line, the plane and the sphere."""

from noisefold.data.functions.modality import FunctionSamples
from noisefold.data.functions.tracks import Tracks, read_tracks, write_tracks

__all__ = ["FunctionSamples", "Tracks", "read_tracks", "write_tracks"]
