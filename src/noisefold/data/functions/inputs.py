"""Inputs of random functions: drawn anew for every sample, or the same for all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from noisefold.arguments import real, whole
from noisefold.configuration import configurable

__all__ = ["UniformInputs", "disc"]


@configurable
@dataclass(frozen=True)
class UniformInputs:
    """Inputs that are independent and uniform in a cube, for every sample its own.

    Parameters
    ----------
    points
        Inputs of a sample; or the least and the largest number, between which each sample draws its own.
    low, high
        Ends of the cube's sides.
    dim
        Dimension d of space.

    Raises
    ------
    ValueError
        If a number is out of its range.
    """

    points: int | tuple[int, int] = 60
    low: float = -2.0
    high: float = 2.0
    dim: int = 1

    def __post_init__(self) -> None:
        least, most = self._range
        whole("points", least, least=1)
        whole("points", most, least=least)
        whole("dim", self.dim, least=1)
        real("low", self.low)
        real("high", self.high, least=self.low)

    @property
    def _range(self) -> tuple[int, int]:
        return self.points if isinstance(self.points, tuple) else (self.points, self.points)

    def draw(self, rng: np.random.Generator) -> Tensor:
        """Return the inputs of one sample, ``[n, d]``, float32."""
        least, most = self._range
        count = least if least == most else int(rng.integers(least, most + 1))
        return torch.from_numpy(rng.uniform(self.low, self.high, (count, self.dim))).float()


def disc(side: int = 30, radius: float = 10.0) -> Tensor:
    """Return the points of a square grid within a circle, ``[n, 2]``.

    The grid has `side` points from -radius to radius along each axis, ends included. The defaults give the
    648 points of the published experiments on vector fields.

    Raises
    ------
    ValueError
        If the side is below 2 or the radius not positive.
    """
    side = whole("side", side, least=2)
    if not real("radius", radius) > 0:
        raise ValueError(f"radius must be positive, got {radius}.")
    axis = torch.linspace(-radius, radius, side, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)
    return points[points.square().sum(1) < radius**2].float()
