"""Images as data: files, arrays and data sets in, graphs on a lattice of pixels out."""

from noisefold.data.images.arrays import pictures
from noisefold.data.images.modality import Pictures
from noisefold.data.images.pixels import PixelGraphs, lattice

__all__ = ["Pictures", "PixelGraphs", "lattice", "pictures"]
