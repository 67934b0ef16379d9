r"""Projections of the nodes of a field onto paper, and the names of what it holds.

A field in the plane is seen as it lies; one in space is projected along two of its axes, near nodes before
far ones. A node is a rectangle where the positions form a grid (all pairs of some columns and rows), else a
dot as wide as the median distance of nearest neighbours. Both axes have one unit of length, unless one of
them is time.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = [
    "Grid",
    "Names",
    "Numbers",
    "Projection",
    "at_one_time",
    "color_limits",
    "numbers",
    "projections",
    "time_points",
]

Numbers = NDArray[np.float64]
_LETTERS = "xyz"
_EDGE = 0.01  # of the values at either end that a colour scale may cut off


@dataclass(frozen=True)
class Names:
    """Names of a field's features and coordinates.

    Parameters
    ----------
    features
        Name of each feature (gene); default "feature 0", "feature 1" and so on.
    axes
        Name of each coordinate, with its unit: ``("x (µm)", "y (µm)")``; default x, y, z.
    time
        Index of the coordinate that is time, or None.
    values
        Label of the colour scale: the quantity and its unit.

    Raises
    ------
    ValueError
        If a feature's name occurs twice.
    """

    features: tuple[str, ...] = ()
    axes: tuple[str, ...] = ()
    time: int | None = None
    values: str = "value"

    def __post_init__(self) -> None:
        if len(set(self.features)) < len(self.features):
            twice = next(name for name in self.features if self.features.count(name) > 1)
            raise ValueError(f"features must have different names, but {twice!r} occurs twice; rename one.")

    def feature(self, number: int) -> str:
        """Return the name of a feature."""
        return self.features[number] if number < len(self.features) else f"feature {number}"

    def axis(self, number: int) -> str:
        """Return the name of a coordinate."""
        if number < len(self.axes):
            return self.axes[number]
        if number == self.time:
            return "time"
        return _LETTERS[number] if number < len(_LETTERS) else f"coordinate {number}"

    def number(self, feature: int | str, count: int) -> int:
        """Return the index of one of `count` features, given by index or name.

        Raises
        ------
        ValueError
            If there is none.
        """
        if isinstance(feature, int) and 0 <= feature < count:
            return feature
        known = [self.feature(k) for k in range(count)]
        if feature in known:
            return known.index(str(feature))
        close = difflib.get_close_matches(str(feature), known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {count}: {', '.join(known[:8])}."
        raise ValueError(f"feature {feature!r} is unknown; {hint}")


@dataclass(frozen=True)
class Grid:
    """Positions that are all pairs of some columns and rows.

    Parameters
    ----------
    columns, rows
        Edges of the columns ``[c + 1]`` and rows ``[r + 1]``, half-way between the positions.
    node
        Which node is in each rectangle, ``[r, c]``.
    """

    columns: Numbers
    rows: Numbers
    node: NDArray[np.int64]


@dataclass(frozen=True)
class Projection:
    """The nodes of one graph, projected onto two axes.

    Parameters
    ----------
    xy
        Places on paper, in the positions' unit, ``[n, 2]``.
    order
        Order of drawing, far nodes first, ``[n]``.
    labels
        Names of both axes.
    low, high
        Corners of the window.
    equal
        Whether a unit is as long along both axes.
    dot
        Diameter of a dot, in the positions' unit.
    grid
        The grid of the nodes, if they form one.
    """

    xy: Numbers
    order: NDArray[np.int64]
    labels: tuple[str, str]
    low: tuple[float, float]
    high: tuple[float, float]
    equal: bool
    dot: float
    grid: Grid | None = None

    @classmethod
    def together(cls, several: Sequence[Projection]) -> list[Projection]:
        """Return the same with one common window."""
        lows, highs = np.array([p.low for p in several]), np.array([p.high for p in several])
        low, high = (tuple(float(v) for v in end) for end in (lows.min(0), highs.max(0)))
        return [replace(p, low=(low[0], low[1]), high=(high[0], high[1])) for p in several]


def numbers(values: Tensor | Numbers) -> Numbers:
    """Return a tensor, or an array, as float64."""
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else values
    return np.asarray(array, dtype=np.float64)


def projections(pos: Tensor, names: Names) -> list[Projection]:
    """Return the nodes at ``pos [n, d]`` from one side, or from two in three dimensions of space.

    Raises
    ------
    ValueError
        If there is no node, or a position is not finite.
    """
    where = numbers(pos)
    if len(where) == 0 or not np.isfinite(where).all():
        raise ValueError(f"pos must hold finite positions of at least one node, got {len(where)} nodes.")
    space = [k for k in range(where.shape[1]) if k != names.time]
    if len(space) < 2 and names.time is not None:
        space = [*space, names.time]
    if len(space) < 3:
        return [_side(where, space, names)]
    extent = np.ptp(where[:, space[:3]], axis=0)
    long, middle, short = (space[k] for k in np.argsort(-extent, kind="stable"))
    return [_side(where, [long, middle, short], names), _side(where, [long, short, middle], names)]


def color_limits(values: Numbers) -> tuple[float, float]:
    """Return the ends of a colour scale: 1 % and 99 % quantiles of the finite values, never equal."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = (float(v) for v in np.quantile(finite, [_EDGE, 1 - _EDGE]))
    if low == high:  # nearly all values are one, such as zero counts
        low, high = float(finite.min()), float(finite.max())
    return (low, high) if low < high else (low - 0.5, low + 0.5)


def at_one_time(pos: Tensor, names: Names, weight: Numbers) -> NDArray[np.int64]:
    """Return the nodes of one map: all, or, over time and at least two dimensions of space, those at the time
    with the greatest sum of weights ``[n]``.
    """
    everything = np.arange(pos.shape[0])
    if names.time is None or pos.shape[1] < 3:
        return everything
    times = time_points(pos, names, len(everything))
    return times[int(np.argmax([weight[rows].sum() for _, rows in times]))][1]


def time_points(pos: Tensor, names: Names, most: int) -> list[tuple[float, NDArray[np.int64]]]:
    """Return at most so many points in time, evenly chosen, with the nodes at each.

    Raises
    ------
    ValueError
        If no coordinate is time, or there is none of this number.
    """
    if names.time is None or not 0 <= names.time < pos.shape[1]:
        raise ValueError(
            f"time must be the number of a coordinate, from 0 to {pos.shape[1] - 1}, got {names.time}."
        )
    when = torch.as_tensor(pos)[:, names.time].double().cpu().numpy()
    points, member = np.unique(np.round(when, 9), return_inverse=True)
    chosen = np.unique(np.linspace(0, len(points) - 1, min(most, len(points))).round().astype(int))
    return [(float(points[k]), np.flatnonzero(member == k)) for k in chosen]


def _side(where: Numbers, columns: Sequence[int], names: Names) -> Projection:
    """Return the nodes along the first two of these columns, projected along the third, if any."""
    from scipy.spatial import cKDTree

    across = where[:, columns[0]]
    up = where[:, columns[1]] if len(columns) > 1 else np.zeros(len(where))
    xy = np.column_stack([across, up])
    order = np.argsort(where[:, columns[2]], kind="stable") if len(columns) > 2 else np.arange(len(where))
    equal = names.time not in columns[:2]
    grid = _grid(xy) if len(columns) == 2 else None
    size = max(float(np.ptp(xy, axis=0).max()), 1e-9)
    dot = 0.06 * size
    if len(where) > 1:
        scaled = where[:, columns] if equal else xy / np.maximum(np.ptp(xy, axis=0), 1e-9)
        near = np.asarray(cKDTree(scaled).query(scaled, 2)[0])[:, 1]
        dot = float(np.clip(np.median(near) * (1 if equal else size), 0.005 * size, 0.06 * size))
    if grid is not None:
        low, high = (grid.columns[0], grid.rows[0]), (grid.columns[-1], grid.rows[-1])
    else:
        margin = np.maximum(dot, 0.02 * np.ptp(xy, axis=0))
        low, high = xy.min(0) - margin, xy.max(0) + margin
    labels = (names.axis(columns[0]), names.axis(columns[1]) if len(columns) > 1 else "")
    ends = ((float(low[0]), float(low[1])), (float(high[0]), float(high[1])))
    return Projection(xy, order, labels, *ends, equal, dot, grid)


def _grid(xy: Numbers) -> Grid | None:
    columns, column = np.unique(np.round(xy[:, 0], 9), return_inverse=True)
    rows, row = np.unique(np.round(xy[:, 1], 9), return_inverse=True)
    shape = (len(rows), len(columns))
    if min(shape) < 2 or len(xy) != shape[0] * shape[1]:
        return None
    node = np.full(shape, -1, dtype=np.int64)
    node[row, column] = np.arange(len(xy))
    return Grid(_edges(columns), _edges(rows), node) if (node >= 0).all() else None


def _edges(middles: Numbers) -> Numbers:
    between = (middles[1:] + middles[:-1]) / 2
    first, last = middles[0] - (between[0] - middles[0]), middles[-1] + (middles[-1] - between[-1])
    return np.concatenate([[first], between, [last]])
