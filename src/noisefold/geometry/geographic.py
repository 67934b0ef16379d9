r"""Latitudes, longitudes and the directions to the east and to the north, as arrays of NumPy.

.. math:: e = (-\sin\lambda, \cos\lambda, 0), \quad
          n = (-\sin\phi\cos\lambda, -\sin\phi\sin\lambda, \cos\phi)

at latitude :math:`\phi` and longitude :math:`\lambda`. A wind (u, v) is the tangent vector u e + v n of R^3,
which is one and the same at a pole, whatever the longitude that its components were written for. So the
directions follow from both angles, and not from the unit vector (`noisefold.geometry.latitude`) alone.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from noisefold.geometry import latitude as places

__all__ = ["EARTH_RADIUS", "latitude_longitude", "local_frame", "unit_vectors"]

EARTH_RADIUS = 6371.0088
"""Mean radius of the Earth in km."""

_Floats = NDArray[np.float64]


def _tensor(values: ArrayLike) -> Tensor:
    return torch.as_tensor(np.asarray(values, dtype=np.float64))


def unit_vectors(latitude: ArrayLike, longitude: ArrayLike) -> _Floats:
    """Return `noisefold.geometry.latitude.unit_vectors` ``[n, 3]`` of places in degrees ``[n]``."""
    out: _Floats = places.unit_vectors(_tensor(latitude), _tensor(longitude)).numpy()
    return out


def latitude_longitude(pos: ArrayLike) -> tuple[_Floats, _Floats]:
    """Return latitudes in [-90, 90] and longitudes in [-180, 180) of points ``[n, 3]``, in degrees."""
    lat, lon = places.latitude_longitude(_tensor(pos))
    return lat.numpy(), lon.numpy()


def local_frame(latitude: ArrayLike, longitude: ArrayLike) -> tuple[_Floats, _Floats]:
    """Return the unit vectors to the east and to the north ``[n, 3]`` at places ``[n]`` in degrees."""
    phi, lam = np.radians(np.asarray(latitude, float)), np.radians(np.asarray(longitude, float))
    phi, lam = np.broadcast_arrays(phi, lam)
    east = np.stack([-np.sin(lam), np.cos(lam), np.zeros_like(lam)], axis=-1)
    north = np.stack([-np.sin(phi) * np.cos(lam), -np.sin(phi) * np.sin(lam), np.cos(phi)], axis=-1)
    return east, north
