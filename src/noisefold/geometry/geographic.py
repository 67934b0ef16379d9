r"""Latitude and longitude: points of the unit sphere, and vectors along east and north.

.. math:: p = (\cos\phi\cos\lambda, \cos\phi\sin\lambda, \sin\phi), \quad
          e = (-\sin\lambda, \cos\lambda, 0), \quad
          n = (-\sin\phi\cos\lambda, -\sin\phi\sin\lambda, \cos\phi)

at latitude :math:`\phi` and longitude :math:`\lambda`. A wind (u, v) is the tangent vector u e + v n of R^3,
which is one and the same at a pole, whatever the longitude that its components were written for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["EARTH_RADIUS", "latitude_longitude", "local_frame", "unit_vectors"]

EARTH_RADIUS = 6371.0088
"""Mean radius of the Earth in km."""

_Floats = NDArray[np.float64]


def unit_vectors(latitude: ArrayLike, longitude: ArrayLike) -> _Floats:
    """Return the points ``[n, 3]`` of the unit sphere at latitudes and longitudes ``[n]`` in degrees."""
    phi, lam = np.radians(np.asarray(latitude, float)), np.radians(np.asarray(longitude, float))
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)


def latitude_longitude(pos: ArrayLike) -> tuple[_Floats, _Floats]:
    """Return latitudes in [-90, 90] and longitudes in [-180, 180] of points ``[n, 3]``, in degrees."""
    x, y, z = np.moveaxis(np.asarray(pos, float), -1, 0)
    return np.degrees(np.arctan2(z, np.hypot(x, y))), np.degrees(np.arctan2(y, x))


def local_frame(latitude: ArrayLike, longitude: ArrayLike) -> tuple[_Floats, _Floats]:
    """Return the unit vectors to the east and to the north ``[n, 3]`` at places ``[n]`` in degrees."""
    phi, lam = np.radians(np.asarray(latitude, float)), np.radians(np.asarray(longitude, float))
    phi, lam = np.broadcast_arrays(phi, lam)
    east = np.stack([-np.sin(lam), np.cos(lam), np.zeros_like(lam)], axis=-1)
    north = np.stack([-np.sin(phi) * np.cos(lam), -np.sin(phi) * np.sin(lam), np.cos(phi)], axis=-1)
    return east, north
