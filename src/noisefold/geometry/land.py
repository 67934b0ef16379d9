"""Land and sea, for coastlines of maps: a mask of cells of 0.1 degrees.

A cell is land where at least half of it is land in GLOBE, the elevations of the world at a kilometre. Lakes
are land, too.

Source: Global Land One-kilometer Base Elevation, NOAA, public domain,
https://www.ngdc.noaa.gov/mgg/topo/globe.html, by global-land-mask 1.0 (MIT licence),
https://github.com/toddkarin/global-land-mask, every twelfth of a cell.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["is_land"]


@cache
def _mask() -> NDArray[np.bool_]:
    """Cells from north to south and from 180 degrees west to east, ``[1800, 3600]``."""
    from PIL import Image

    with (files(__package__) / "land.png").open("rb") as stream, Image.open(stream) as image:
        return np.asarray(image.convert("1"), dtype=bool)


def is_land(latitude: ArrayLike, longitude: ArrayLike) -> NDArray[np.bool_]:
    """Return whether places are on land, to 0.1 degrees.

    Parameters
    ----------
    latitude, longitude
        Degrees, of shapes that go together; longitudes of any convention.
    """
    lat, lon = np.asarray(latitude, float), np.asarray(longitude, float)
    row = np.floor((90.0 - lat) * 10).astype(np.int64).clip(0, 1799)
    column = np.floor((lon + 180.0) % 360.0 * 10).astype(np.int64).clip(0, 3599)
    land: NDArray[np.bool_] = _mask()[row, column]
    return land
