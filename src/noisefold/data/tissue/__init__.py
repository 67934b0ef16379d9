"""Tissues: cells or spots in space with the expression of their genes."""

from noisefold.data.tissue.expression import Expression
from noisefold.data.tissue.layers import write_layers
from noisefold.data.tissue.modality import SpatialTranscriptomics
from noisefold.data.tissue.region import region
from noisefold.data.tissue.tissue import Tissue

__all__ = ["Expression", "SpatialTranscriptomics", "Tissue", "region", "write_layers"]
