"""Coordinates far from zero: centred in float64 before they become float32."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["centred", "origin_of"]

_FAR = 8.0  # extents; float32 keeps 2^-24 of a coordinate, so that at most 5e-7 of the extent are lost


def origin_of(clouds: Sequence[NDArray[np.float64]]) -> tuple[float, ...]:
    """Return the origin that clouds of points ``[n_i, d]`` need, or () where float32 holds them as they are.

    Where the largest coordinate exceeds 8 times the largest extent of a cloud, it is the middle of all.
    """
    there = [points for points in clouds if points.size]
    if not there:
        return ()
    low = np.min([points.min(0) for points in there], axis=0)
    high = np.max([points.max(0) for points in there], axis=0)
    extent = max(float(np.ptp(points, axis=0).max()) for points in there)
    if max(abs(low).max(), abs(high).max()) <= _FAR * extent or not np.isfinite(low + high).all():
        return ()
    return tuple(float(v) for v in (low + high) / 2)


def centred(clouds: Sequence[NDArray[np.float64]]) -> tuple[list[Tensor], tuple[float, ...]]:
    """Return clouds of points in float32 relative to their common `origin_of`, and that origin."""
    origin = origin_of(clouds)
    shift = np.asarray(origin) if origin else 0.0
    return [torch.from_numpy(np.asarray(points - shift, dtype=np.float32)) for points in clouds], origin
