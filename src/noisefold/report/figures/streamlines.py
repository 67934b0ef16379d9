"""Streamlines of a vector field that is known at scattered places."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.tri import LinearTriInterpolator, Triangulation

from noisefold.geometry.gp import svd
from noisefold.report.data.projection import Numbers
from noisefold.report.figures.style import LIGHT, Paper

__all__ = ["draw_streamlines"]

_CELLS = 60  # of the regular grid that lines are followed on, along the longer side
_HOLE = 4.0  # how much longer than usual the edges of a triangle over a hole are
_FLAT = 1e-9  # spread of places across the line that they lie on
_LEAST = 3  # places of a triangle


def draw_streamlines(
    axes: Axes, places: Numbers, vectors: Numbers, *, sphere: bool = False, paper: Paper = LIGHT
) -> None:
    """Draw the lines that are everywhere along a vector field, from linear interpolation between places.

    Nothing is drawn outside their hull or over holes in it, such as land, nor where fewer than three places
    on a line are all there are.

    Parameters
    ----------
    axes
        The map.
    places
        Coordinates ``[n, 2]`` on it; on a sphere longitudes and latitudes in degrees.
    vectors
        Components ``[n, 2]``; on a sphere to the east and to the north.
    sphere
        Whether it is a map of a sphere, on which a degree of longitude is shorter than one of latitude.
    paper
        Colours of the figure.
    """
    flow = np.array(vectors, dtype=float)
    if sphere:
        flow[:, 0] /= np.cos(np.radians(places[:, 1])).clip(1e-3)
    some = np.isfinite(flow).all(1)
    xy, flow = places[some], flow[some]
    if len(xy) < _LEAST or _on_a_line(xy):
        return
    net = Triangulation(*xy.T)
    corners = xy[net.triangles]
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=-1).max(1)
    net.set_mask(longest > _HOLE * np.median(longest))
    width, height = np.ptp(xy, axis=0)
    step = max(width, height) / _CELLS
    x, y = (
        np.linspace(low, low + size, max(2, 1 + round(size / step)))
        for low, size in zip(xy.min(0), (width, height), strict=True)
    )
    u, v = (LinearTriInterpolator(net, part)(*np.meshgrid(x, y)) for part in flow.T)
    if not np.ma.count(u):
        return
    axes.streamplot(x, y, u, v, color=paper.ink, linewidth=0.7, arrowsize=0.7, zorder=3)


def _on_a_line(xy: Numbers) -> bool:
    """Whether places ``[n, 2]`` lie on one line, or all in one place."""
    spread = svd(torch.from_numpy(xy - xy.mean(0)))[1]
    return bool(spread[-1] <= _FLAT)
