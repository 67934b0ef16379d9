"""Images as data: files, arrays and data sets in, graphs on a lattice of pixels out."""

from noisefold.data.images.arrays import pictures
from noisefold.data.images.canvas import Canvas
from noisefold.data.images.digits import digits
from noisefold.data.images.masks import (
    enlarged,
    known_channels,
    known_outside,
    known_pixels,
    with_margin,
)
from noisefold.data.images.modality import Pictures
from noisefold.data.images.pixels import PixelGraphs

__all__ = [
    "Canvas",
    "Pictures",
    "PixelGraphs",
    "digits",
    "enlarged",
    "known_channels",
    "known_outside",
    "known_pixels",
    "pictures",
    "with_margin",
]
