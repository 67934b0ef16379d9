"""Cells of a grid, and their points: all cells at a pole are one, and so are 0 and 360 degrees east."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noisefold.data.earth.axes import Space
from noisefold.geometry.geographic import local_frame, unit_vectors

__all__ = ["Cells"]

_Floats = NDArray[np.float64]
_Integers = NDArray[np.int64]
_EXACT = 6  # decimals of a degree, 0.1 m


@dataclass(frozen=True, eq=False)
class Cells:
    """Cells and their points.

    Parameters
    ----------
    lat, lon
        Degrees of each cell, ``[cells]``.
    point
        Point of each cell, ``[cells]``; -1 where it has no place.
    first
        First cell of each point, ``[points]``.
    """

    lat: _Floats
    lon: _Floats
    point: _Integers
    first: _Integers

    @classmethod
    def of(cls, space: Space) -> Cells:
        """Return the cells of a grid; places of a list are points of their own, even where two coincide."""
        there = np.isfinite(space.lat) & np.isfinite(space.lon)
        lon = np.round(np.mod(np.where(there, space.lon, 0.0), 360.0), _EXACT) % 360.0
        lat: _Floats = np.round(np.where(there, space.lat, 0.0), _EXACT).astype(np.float64)
        lon = np.where(abs(lat) >= 90.0, 0.0, lon)
        cells = np.flatnonzero(there)
        if len(space.dims) == 1 and not space.axes:
            number = np.arange(len(cells))
        else:
            _, start, inverse = np.unique(
                lat[cells] + 1j * lon[cells], return_index=True, return_inverse=True
            )
            rank = np.empty(len(start), dtype=np.int64)  # points in the order of their first cells
            rank[np.argsort(start)] = np.arange(len(start))
            number = rank[inverse.reshape(-1)]
        point = np.full(len(lat), -1, dtype=np.int64)
        point[cells] = number
        count = int(number.max()) + 1 if len(number) else 0
        first = np.empty(count, dtype=np.int64)
        first[number[::-1]] = cells[::-1]
        return cls(lat, np.where(there, space.lon, 0.0), point, first)

    @property
    def pos(self) -> _Floats:
        """Unit vectors of the points, ``[points, 3]``."""
        lon = np.where(abs(self.lat[self.first]) >= 90.0, 0.0, np.mod(self.lon[self.first], 360.0))
        return unit_vectors(self.lat[self.first], lon)

    @property
    def repeated(self) -> int:
        """How many cells are points of others."""
        return int((self.point >= 0).sum()) - len(self.first)

    def frames(self) -> tuple[_Floats, _Floats]:
        """Return the directions east and north of each cell, ``[cells, 3]``."""
        return local_frame(self.lat, self.lon)

    def gathered(self, values: _Floats) -> _Floats:
        """Return the values ``[..., points, c]`` of points: of several cells, the mean of what is not NaN.

        Parameters
        ----------
        values
            Of the cells, ``[..., cells, c]``.
        """
        out: _Floats = values[..., self.first, :]
        if self.repeated:
            counts = np.bincount(self.point[self.point >= 0], minlength=len(self.first))
            order = np.argsort(self.point, kind="stable")
            starts = np.searchsorted(self.point[order], np.flatnonzero(counts > 1))
            for point, start in zip(np.flatnonzero(counts > 1), starts, strict=True):
                some = values[..., order[start : start + counts[point]], :]
                known = np.isfinite(some)
                total = np.where(known, some, 0.0).sum(-2)
                number = known.sum(-2)
                out[..., point, :] = np.where(number > 0, total / np.maximum(number, 1), np.nan)
        return out

    def scattered(self, values: _Floats) -> _Floats:
        """Return the values ``[..., cells, c]`` of cells from those of points ``[..., points, c]``."""
        out = values[..., np.maximum(self.point, 0), :]
        out[..., self.point < 0, :] = np.nan
        return out

    def vectors(self, components: _Floats) -> _Floats:
        """Return tangent vectors ``[..., cells, 3]`` of components to east and north ``[..., cells, 2]``."""
        east, north = self.frames()
        return components[..., :1] * east + components[..., 1:] * north

    def at_points(self, vectors: _Floats) -> _Floats:
        """Return components ``[..., points, 2]`` of vectors of points, at a pole as for longitude 0."""
        lat, lon = self.lat[self.first], self.lon[self.first]
        axes = local_frame(lat, np.where(abs(lat) >= 90.0, 0.0, lon))
        return np.stack([np.sum(vectors * axis, axis=-1) for axis in axes], axis=-1)

    def from_points(self, components: _Floats) -> _Floats:
        """Return the vectors ``[..., points, 3]`` of such components."""
        lat, lon = self.lat[self.first], self.lon[self.first]
        east, north = local_frame(lat, np.where(abs(lat) >= 90.0, 0.0, lon))
        return components[..., :1] * east + components[..., 1:] * north

    def components(self, vectors: _Floats) -> _Floats:
        """Return components along east and north ``[..., cells, 2]`` of vectors ``[..., cells, 3]``."""
        return np.stack([np.sum(vectors * axis, axis=-1) for axis in self.frames()], axis=-1)
