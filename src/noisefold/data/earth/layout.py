"""Where the nodes of graphs on the sphere lie in a data set: cells of its grid, times and levels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from noisefold.data.earth.axes import Space
from noisefold.data.earth.cells import Cells
from noisefold.data.earth.gridded import Gridded
from noisefold.data.earth.together import coordinates_of
from noisefold.data.functions.coordinates import Coordinates
from noisefold.geometry.geographic import latitude_longitude
from noisefold.geometry.graphs import Graphs

__all__ = ["Layout"]

_Floats = NDArray[np.float64]
_Integers = NDArray[np.int64]
_NEAR = 2e-6  # radians, 13 m: unit vectors in float32 are off by a tenth of it
_DECIMALS = 5  # of degrees that unit vectors in float32 hold
_Key = tuple[int, str]


@dataclass(frozen=True, eq=False)
class Layout:
    """Samples and cells of a data set.

    Parameters
    ----------
    coordinates
        Names and grid.
    vector
        Whether the values are one vector.
    space, cells
        Places.
    samples
        Time and class of each sample, in the order of `shape`; 0 and "" where there is none.
    dims, shape
        Dimensions of the samples.
    """

    coordinates: Coordinates
    vector: bool
    space: Space
    cells: Cells
    samples: tuple[_Key, ...]
    dims: tuple[str, ...]
    shape: tuple[int, ...]

    @classmethod
    def of_source(cls, source: Gridded) -> Layout:
        """Return the layout of a data set."""
        fields = source.samples()
        count = int(np.prod(source.shape, dtype=np.int64))
        keys = _keys(fields.get("time"), fields.get("label"), fields.get("classes", ()), count)
        what = source.what
        return cls(
            source.coordinates, what.vector, what.space, source.cells, tuple(keys), what.dims, source.shape
        )

    @classmethod
    def of_graphs(cls, graphs: Graphs) -> Layout:
        """Return the layout that graphs give to a data set: their times in order, and the levels they have.

        Raises
        ------
        ValueError
            If they were not read from latitudes and longitudes.
        """
        coordinates = coordinates_of(graphs)
        if coordinates is None:
            raise ValueError(
                "these graphs have no latitudes and longitudes; give them FunctionSamples(inputs='sphere', "
                "coordinates=Coordinates(...)) as modality."
            )
        if coordinates.axes:
            lat, lon = (np.asarray(a) for a in coordinates.axes)
            space = Space(
                coordinates.latitude,
                coordinates.longitude,
                coordinates.dims,
                (len(lat), len(lon)),
                np.repeat(lat, len(lon)),
                np.tile(lon, len(lat)),
                coordinates.axes,
            )
        else:
            there = np.unique(graphs.pos.numpy(), axis=0, return_index=True)[1]
            lat, lon = latitude_longitude(graphs.pos.double().numpy()[np.sort(there)])
            lat, lon = np.round(lat, _DECIMALS), np.round(lon, _DECIMALS)
            space = Space(
                coordinates.latitude, coordinates.longitude, coordinates.dims[:1], (len(lat),), lat, lon
            )
        keys = _keys(graphs.time, graphs.label, graphs.classes, len(graphs))
        times = sorted({t for t, _ in keys}) if graphs.time is not None else []
        known = [coordinates.level_name(v) for v in coordinates.levels] or list(graphs.classes)
        levels = [n for n in known if n in {name for _, name in keys}] if graphs.label is not None else []
        samples = tuple((t, n) for t in times or [0] for n in levels or [""])
        dims = (coordinates.time or "time",) * bool(times) + (coordinates.level or "level",) * bool(levels)
        shape = (len(times),) * bool(times) + (len(levels),) * bool(levels)
        vector = getattr(graphs.modality, "outputs", "") == "vector"
        return cls(coordinates, vector, space, Cells.of(space), samples, dims, shape)

    def places(self, graphs: Graphs) -> tuple[_Integers, _Integers]:
        """Return the sample of each graph ``[g]``, and how many graphs before it are of an equal one ``[g]``.

        Raises
        ------
        ValueError
            If the data set has no such time or level.
        """
        rows: dict[_Key, list[int]] = {}
        for row, key in enumerate(self.samples):
            rows.setdefault(key, []).append(row)
        met: dict[_Key, int] = {}
        sample, repeat = [], []
        for key in _keys(graphs.time, graphs.label, graphs.classes, len(graphs)):
            there = rows.get(key)
            if there is None:
                raise ValueError(f"a graph has the time or level {key}, which the data set does not have.")
            count = met[key] = met.get(key, -1) + 1
            sample.append(there[count % len(there)])
            repeat.append(count // len(there))
        return np.array(sample, dtype=np.int64), np.array(repeat, dtype=np.int64)

    def points(self, pos: Tensor) -> _Integers:
        """Return the point of each node ``[n]``.

        Raises
        ------
        ValueError
            If one lies at no place of the data set.
        """
        from scipy.spatial import KDTree

        place, own = pos.double().numpy(), self.cells.pos
        if len(place) == len(own) and bool((abs(place - own) < _NEAR).all()):
            return np.arange(len(own), dtype=np.int64)  # of places that coincide, each its own
        away, point = (np.asarray(v) for v in KDTree(own).query(place))
        if bool(np.any(away > _NEAR)):
            lat, lon = latitude_longitude(place[int(np.argmax(away))])
            raise ValueError(
                f"the node at latitude {float(lat):.4f}, longitude {float(lon):.4f} lies on no place of the "
                f"data set; give the data that were read."
            )
        return np.asarray(point, dtype=np.int64)

    def filled(self, graphs: Graphs, draws: Tensor) -> NDArray[np.float32]:
        """Return draws as an array ``[realizations, samples, cells, v]``, NaN where there is no node.

        Parameters
        ----------
        graphs
            On the places of the data set.
        draws
            Their values ``[m, n, f]``.
        """
        sample, repeat = self.places(graphs)
        count, repeats = draws.shape[0], int(repeat.max()) + 1
        variables = len(self.coordinates.variables)
        out = np.full((count, repeats, len(self.samples), len(self.cells.lat), variables), np.nan, np.float32)
        known: tuple[Tensor, _Integers] | None = None
        for i, (row, member) in enumerate(zip(sample, repeat, strict=True)):
            nodes = slice(int(graphs.ptr[i]), int(graphs.ptr[i + 1]))
            pos = graphs.pos[nodes]
            if known is None or not torch.equal(known[0], pos):
                known = pos, self.points(pos)
            values = np.full((count, len(self.cells.first), draws.shape[2]), np.nan)
            values[:, known[1]] = draws[:, nodes].double().numpy()
            out[:, member, row] = self.variables(values)
        return out.reshape(count * repeats, *out.shape[2:])

    def variables(self, values: _Floats) -> _Floats:
        """Return variables of cells ``[..., cells, v]`` from the values of points ``[..., points, f]``."""
        cells = self.cells
        if self.vector:
            return cells.components(cells.scattered(values))
        out = cells.scattered(values)
        for pair in self.coordinates.pairs if cells.repeated else ():
            vectors = cells.from_points(values[..., list(pair)])
            out[..., list(pair)] = cells.components(cells.scattered(vectors))
        return out

    def named(self, names: tuple[str, ...]) -> Layout:
        """Return the layout for other variables."""
        return replace(self, coordinates=replace(self.coordinates, variables=names))


def _keys(time: Tensor | None, label: Tensor | None, classes: tuple[str, ...], count: int) -> list[_Key]:
    times = [0] * count if time is None else time.tolist()
    names = [""] * count
    if label is not None:
        names = [classes[k] if classes else str(k) for k in label.tolist()]
    return list(zip(times, names, strict=True))
