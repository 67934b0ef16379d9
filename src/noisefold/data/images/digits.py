"""Handwritten digits that come with the package: 1,797 images of 8 x 8 pixels in ten classes.

Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits (1998), test part,
https://doi.org/10.24432/C50P49, as `sklearn.datasets.load_digits` gives it.
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np

from noisefold.data.formats.arrays import archived
from noisefold.data.images.arrays import pictures
from noisefold.data.images.modality import MOST
from noisefold.data.images.pixels import PixelGraphs

__all__ = ["digits"]

_LEVELS = 16


def digits() -> PixelGraphs:
    """Return 1,797 handwritten digits of 8 x 8 pixels, with their classes.

    Each pixel counts the ink of 4 x 4 finer ones, so that there are 17 levels of grey; they are spread over
    [0, 255]. 13 people wrote the digits, each many of them.
    """
    folder = files("noisefold") / "assets" / "images"
    arrays = archived((folder / "digits.npz").read_bytes())
    values = (arrays["images"] * (MOST / _LEVELS)).round().astype(np.uint8)
    return pictures(values, arrays["labels"])
