"""Data sets of xarray as graphs on the sphere: one for each time and level.

=============================  ============================================================================
in the data                    becomes
=============================  ============================================================================
latitude and longitude         unit vectors; any order and convention, in degrees or radians; one point for
                               all cells at a pole, and for cells at 0 and 360 degrees east
time                           a graph for each; `noisefold.Graphs.time` in seconds since 1970-01-01 of its
                               calendar, `noisefold.Graphs.group` its year, month or itself
level                          a graph for each, of a class such as "850 hPa"
any other dimension            a graph for each entry
two components of a vector     one vector in R^3, tangent to the sphere, if nothing else is taken
any other variable             a feature
missing values                 nodes that are left out; kept as NaN if asked for
scale_factor, add_offset       applied; the default fill value of NetCDF is missing, too
=============================  ============================================================================
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from noisefold.data.earth.axes import TIME, found
from noisefold.data.earth.calendars import seconds_of
from noisefold.data.earth.cells import Cells
from noisefold.data.earth.variables import Chosen, chosen, mask_of
from noisefold.data.formats.reader import Ask, Part
from noisefold.data.functions.coordinates import Coordinates
from noisefold.data.functions.modality import FunctionSamples
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.mapped import spilled

__all__ = ["Gridded"]

_Floats = NDArray[np.float64]
_VALUES = 1 << 22  # numbers that are read together
_FILL = float(np.float32(9.969209968386869e36))  # what NetCDF writes where nothing was
_LARGEST = float(np.finfo(np.float32).max)
_TEXTS = (str, int, float, np.integer, np.floating)


@dataclass(frozen=True, eq=False)
class Gridded:
    """What is taken of a data set, before its values are read.

    Parameters
    ----------
    data
        The data set of xarray, scaled but with times as they are written.
    what
        Variables and dimensions.
    ask
        What was asked for.
    """

    data: Any
    what: Chosen
    ask: Ask

    @classmethod
    def of(cls, data: Any, ask: Ask) -> Gridded:
        """Choose from a data set.

        Raises
        ------
        ValueError
            If there are no places, variables or levels such as were asked for.
        """
        other = next((n for n in ("pos", "group", "label", "time") if getattr(ask, n) is not None), None)
        if other is not None:
            raise ValueError(f"{other} names a column of a table or a part of a tissue; leave it out here.")
        what = chosen(data, ask)
        along = [n for n in found(data, "time", TIME) if tuple(data[n].dims) == what.space.dims]
        if along and not what.space.axes:
            raise ValueError(
                f"its places and its time {along[0]!r} lie along one dimension, as those of a ship; save it "
                f"as a table, such as with to_dataframe().to_csv()."
            )
        if ask.level is not None:
            if what.level is None:
                raise ValueError(
                    f"level names {ask.level[0]}, but there is no dimension of levels; leave it out."
                )
            known = np.asarray(data[what.level].values if what.level in data.variables else [], dtype=float)
            rows = [int(np.argmin(abs(known - float(v)))) for v in ask.level] if len(known) else []
            for value, row in zip(ask.level, rows, strict=False):
                if abs(known[row] - float(value)) > 1e-6 * max(1.0, abs(float(value))):
                    listed = ", ".join(f"{v:g}" for v in known[:12])
                    raise ValueError(f"level names {value}, which is not there; known are {listed}.")
            data = data.isel({what.level: rows})
        return cls(data, what, ask)

    @cached_property
    def cells(self) -> Cells:
        """Cells and their points."""
        return Cells.of(self.what.space)

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the dimensions besides those of space."""
        return tuple(int(self.data.sizes[d]) for d in self.what.dims)

    @cached_property
    def clock(self) -> tuple[NDArray[np.int64], str, str] | None:
        """Times in seconds with calendar and units, or None where they are numbers."""
        if self.what.time is None or self.what.time[1] not in self.data.variables:
            return None
        return seconds_of(self.data[self.what.time[1]].variable)

    @cached_property
    def coordinates(self) -> Coordinates:
        """How this is written back."""
        what, space = self.what, self.what.space
        time, level = what.time, what.level
        steps: tuple[float, ...] = ()
        if time is not None and self.clock is None:
            steps = tuple(self._numbers(time[1]).tolist())
        names = dict.fromkeys((*what.names, space.latitude, space.longitude, *(time or ())[1:], level or ""))
        return Coordinates(
            space.latitude,
            space.longitude,
            space.dims if space.axes or len(space.dims) == 1 else ("place",),
            space.axes,
            what.names,
            tuple((n, self._attributes(n)) for n in names if n in self.data.variables),
            time[0] if time else "",
            self.clock[1] if self.clock else "",
            self.clock[2] if self.clock else "",
            steps,
            level or "",
            tuple(self._numbers(level).tolist()) if level else (),
        )

    def _attributes(self, name: str) -> tuple[tuple[str, str], ...]:
        held = self.data[name].attrs
        # What packing and times said is no longer so, or said elsewhere.
        passed = ("units", "calendar") if self.clock and name == (self.what.time or ("", ""))[1] else ()
        kept = {str(k): str(v) for k, v in held.items() if isinstance(v, _TEXTS) and k not in passed}
        return tuple((k, v) for k, v in kept.items() if len(v) < 1000 and k not in ("bounds", "valid_range"))

    def _numbers(self, name: str) -> _Floats:
        """Return a coordinate's numbers, or 0, 1, ... where there are none."""
        if name in self.data.variables and self.data[name].dtype.kind in "iuf":
            return np.asarray(self.data[name].values, dtype=np.float64).reshape(-1)
        return np.arange(self.data.sizes[name], dtype=np.float64)

    def samples(self) -> dict[str, Any]:
        """Return time and class of each sample, as fields of `Graphs`, in the order of the dimensions."""
        what, places = self.what, np.indices(self.shape or (1,)).reshape(max(len(self.shape), 1), -1)
        fields: dict[str, Any] = {}
        if what.time is not None:
            row = places[what.dims.index(what.time[0])]
            fields["time"] = torch.from_numpy(self.clock[0][row] if self.clock else row.astype(np.int64))
        if what.level is not None and len(self.coordinates.levels) > 1:
            row = places[what.dims.index(what.level)]
            fields["classes"] = tuple(self.coordinates.level_name(v) for v in self.coordinates.levels)
            fields["label"] = torch.from_numpy(row.astype(np.int64))
        return fields

    def blocks(self) -> Iterator[_Floats]:
        """Yield values ``[samples, points, f]``, NaN if missing, of some samples after others."""
        for values in self.raw():
            yield self.gathered(values)

    def raw(self) -> Iterator[_Floats]:
        """Yield the variables of cells of some samples after others, ``[samples, cells, v]``."""
        space, cells = self.what.space, max(1, len(self.cells.lat))
        first = self.what.dims[0] if self.what.dims else None
        inner = int(np.prod(self.shape[1:])) if first else 1
        step = max(1, _VALUES // (cells * inner * len(self.what.names)))
        for start in range(0, self.shape[0] if first else 1, step):
            part = self.data if first is None else self.data.isel({first: slice(start, start + step)})
            arrays = [
                np.asarray(part[n].transpose(*self.what.dims, *space.dims).values, dtype=np.float64)
                for n in self.what.names
            ]
            values = np.stack([a.reshape(-1, cells) for a in arrays], axis=-1)
            values[values == _FILL] = np.nan
            if (abs(values) > _LARGEST).any():
                raise ValueError("a value is infinite in float32; mark what is missing by NaN.")
            yield values

    def gathered(self, values: _Floats) -> _Floats:
        """Return values of points ``[..., points, f]`` from the variables of cells ``[..., cells, v]``."""
        cells = self.cells
        if self.what.vector:
            return cells.gathered(cells.vectors(values))
        out = cells.gathered(values)
        for pair in self.coordinates.pairs if cells.repeated else ():
            # Components at a pole differ from cell to cell, and the vector does not.
            vectors = cells.gathered(cells.vectors(values[..., list(pair)]))
            out[..., list(pair)] = cells.at_points(vectors)
        return out

    def mask(self) -> NDArray[np.bool_] | None:
        """Return the points that were asked for, ``[points]``, or None for all."""
        mask = mask_of(self.data, self.what.space, self.ask)
        return None if mask is None else np.asarray(mask, dtype=bool)[self.cells.first]

    def part(self) -> Part:
        """Read everything: graphs in float32, what became of variables, and what was left out."""
        points, wanted = len(self.cells.first), self.mask()
        sizes: list[int] = []
        kept: list[NDArray[np.int64]] = []
        missing = 0

        def pieces() -> Iterator[Tensor]:
            nonlocal missing
            for block in self.blocks():
                there: NDArray[np.bool_] = np.ones(block.shape[:2], dtype=bool)
                if not self.ask.missing:
                    there &= np.isfinite(block).all(-1)
                if wanted is not None:
                    there &= wanted
                missing += int(there.size - there.sum())
                for some in there:
                    rows = np.flatnonzero(some)
                    sizes.append(len(rows))
                    kept.append(rows if len(rows) < points else np.arange(points))
                yield torch.from_numpy(block[there].astype(np.float32))

        width = 3 if self.what.vector else len(self.what.names)
        count = int(np.prod(self.shape, dtype=np.int64)) * points
        like = torch.empty(1, width)
        x = (
            spilled(pieces(), count, like)
            if self.ask.missing and wanted is None
            else torch.cat(list(pieces()))
        )
        if not len(x):
            raise ValueError("every value is missing; check the fill value of the file.")
        place = torch.from_numpy(self.cells.pos.astype(np.float32))
        fields = self.samples()
        full = torch.tensor(sizes) > 0
        pos = spilled((place[torch.from_numpy(r)] for r in kept if len(r)), len(x), place)
        names = () if self.what.vector else self.what.names
        if self.what.vector:
            u, v = self.what.names
            names = tuple(f"{u}/{v} {axis}" for axis in "xyz")
        chosen: dict[str, Any] = {k: v[full] if isinstance(v, Tensor) else v for k, v in fields.items()}
        graphs = Graphs(
            pos,
            x,
            torch.tensor([0, *(n for n in sizes if n)]).cumsum(0),
            feature_names=names,
            modality=FunctionSamples("sphere", "vector" if self.what.vector else "scalars", self.coordinates),
            **chosen,
        )
        return Part(graphs, self.what.columns, self._notes(missing, count, int((~full).sum())))

    def _notes(self, missing: int, count: int, empty: int) -> tuple[str, ...]:
        notes = list(self.what.notes)
        if missing:
            notes.append(f"{missing:,} of {count:,} values are missing (as on land) and left out as nodes.")
        if empty:
            notes.append(f"{empty} times or levels without any value are left out.")
        if self.cells.repeated:
            notes.append(
                f"{self.cells.repeated:,} cells are the points of others (poles, 0 and 360 degrees east)."
            )
        return tuple(notes)
