"""Places on the Earth: latitudes and longitudes in degrees, and unit vectors."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["EARTH_RADIUS", "latitude_longitude", "unit_vectors"]

EARTH_RADIUS = 6371.0088
"""Mean radius of the Earth in km."""


def unit_vectors(latitude: Tensor, longitude: Tensor) -> Tensor:
    """Return unit vectors ``[..., 3]`` of places in degrees, in any convention of longitudes; float64.

    The first axis leaves the Earth at longitude 0 on the equator, the third at the north pole.
    """
    phi, theta = torch.deg2rad(latitude.double()), torch.deg2rad(longitude.double())
    return torch.stack([phi.cos() * theta.cos(), phi.cos() * theta.sin(), phi.sin()], -1)


def latitude_longitude(x: Tensor, positive: bool | Tensor = False) -> tuple[Tensor, Tensor]:
    """Return latitudes and longitudes in degrees of vectors ``[..., 3]``, float64.

    Parameters
    ----------
    x
        Vectors of any length above 0.
    positive
        Whether longitudes are in [0, 360), or else in [-180, 180); broadcasts.
    """
    x = x.double()
    latitude = torch.rad2deg(torch.atan2(x[..., 2], x[..., :2].norm(dim=-1)))
    longitude = torch.rad2deg(torch.atan2(x[..., 1], x[..., 0]))
    lowest = torch.where(torch.as_tensor(positive, device=x.device), 0.0, -180.0)
    return latitude, (longitude - lowest) % 360.0 + lowest
