"""Tables with latitudes and longitudes as graphs on the sphere: one for each time.

=============================  ============================================================================
column                         becomes
=============================  ============================================================================
latitude, longitude            unit vectors; by name (``lat``, ``Latitude``, ``lon``, ``lng``, ...)
time, date, valid_time, ...    a graph for each, in their order; dates of ISO 8601, or numbers
level, plev                    a graph for each, of this class
two components of a vector     one vector in R^3, tangent to the sphere, if nothing else is taken
any other column of numbers    a feature
elevation, altitude, height    left out: of the place, and not measured; so are ids and texts
=============================  ============================================================================

A table with columns x and y, or one of which positions were named, is read as any other table is. Rows
without a value are left out unless what is missing may be NaN; rows that are equal throughout count once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from noisefold.data.earth.axes import LATITUDE, LONGITUDE, TIME
from noisefold.data.earth.calendars import parsed_times
from noisefold.data.formats.delimited import Cells, Table
from noisefold.data.formats.reader import Ask, Column, Part
from noisefold.data.functions.components import pair_of
from noisefold.data.functions.coordinates import Coordinates
from noisefold.data.functions.modality import FunctionSamples
from noisefold.geometry.geographic import local_frame, unit_vectors
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.names import nearest_name

__all__ = ["Stations", "has_stations"]

_LEVEL = re.compile(r"p?lev(els?)?|plevs?|(pressure|model)_?levels?|isobaric.*", re.IGNORECASE)
_PLACE = re.compile(r"(elev(ation)?|alt(itude)?|height|hgt|z)([_ (\[].*)?", re.IGNORECASE)
_ID = re.compile(
    r"(station|stn|site|buoy|platform|wmo|usaf|wban|id|index|number|row)([_ ]?(id|no|nr|number|code))?",
    re.IGNORECASE,
)

_TRACK = re.compile(r"sid|(storm|track|cyclone)_?(id)?")  # places of one thing that moves, no stations


def has_stations(table: Table, ask: Ask) -> bool:
    """Return whether a table holds latitudes and longitudes, and neither x and y nor named positions."""
    if not table.headed or ask.pos is not None:
        return False
    names = {n.strip().lower() for n in table.names}
    if {"x", "y"} <= names or any(_TRACK.fullmatch(n) for n in names):
        return False
    places = [_named(table, pattern) for pattern in (LATITUDE, LONGITUDE)]
    if any(p is None for p in places):
        return False
    for place, most in zip(places, (90.0, 360.0), strict=True):
        assert place is not None
        try:
            values = table.numbers(place, True)
        except ValueError:
            return False
        if not (abs(values[np.isfinite(values)]) <= most).all():
            return False
    return True


def _named(table: Table, pattern: re.Pattern[str]) -> int | None:
    """The one column of numbers of such a name; of several, the shortest name."""
    there = [i for i, c in enumerate(table.columns) if pattern.fullmatch(c.name.strip()) and c.numeric]
    return min(there, key=lambda i: len(table.columns[i].name)) if there else None


@dataclass
class _Roles:
    lat: int
    lon: int
    time: int | None = None
    group: int | None = None
    level: int | None = None
    x: list[int] = field(default_factory=list)
    vector: bool = False
    left: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Stations:
    """What is taken of a table.

    Parameters
    ----------
    part
        Its graphs, and what became of its columns.
    rows
        Row of the table of each node, ``[n]``.
    """

    part: Part
    rows: NDArray[np.int64]

    @classmethod
    def of(cls, table: Table, ask: Ask) -> Stations:
        """Read a table that `has_stations`.

        Raises
        ------
        ValueError
            If a column that was asked for is not there, or a time or a value cannot be read.
        """
        roles = _roles(table, ask)
        names = [table.names[i].strip() for i in roles.x]
        lat, lon = (table.numbers(i, True) for i in (roles.lat, roles.lon))
        values = np.stack([table.numbers(i, True) for i in roles.x], axis=1)
        clock, steps, time = _times(table, roles)
        keys = [k for k in (_keys(table, roles.group), time, _keys(table, roles.level)) if k is not None]
        there = np.isfinite(lat) & np.isfinite(lon)
        placed = int((~there).sum())
        if not ask.missing:
            there &= np.isfinite(values).all(1)
        valued = int((~there).sum()) - placed
        rows = np.flatnonzero(there)
        columns = np.column_stack([lat, lon, *keys, values])[rows]
        different = np.sort(np.unique(columns, axis=0, return_index=True, equal_nan=True)[1])
        twice, rows = len(rows) - len(different), rows[different]
        if not len(rows):
            raise ValueError("every row lacks a place or a value; check the columns.")
        samples = np.stack([k[rows] for k in keys], axis=1) if keys else np.zeros((len(rows), 1))
        graph = np.unique(samples, axis=0, return_inverse=True)[1].reshape(-1)
        rows = rows[np.argsort(graph, kind="stable")]
        x = values[rows]
        if roles.vector:
            east, north = local_frame(lat[rows], lon[rows])
            x = x[:, :1] * east + x[:, 1:] * north
        if not (np.abs(x[np.isfinite(x)]) <= np.finfo(np.float32).max).all():
            raise ValueError("a value is infinite in float32; mark what is missing by NaN.")
        coordinates = Coordinates(
            table.names[roles.lat],
            table.names[roles.lon],
            ("place",),
            variables=tuple(names),
            time="" if roles.time is None else table.names[roles.time],
            calendar="" if clock is None else clock[1],
            time_units="" if clock is None else clock[2],
            steps=steps,
            level="" if roles.level is None else table.names[roles.level],
        )
        first = rows[np.concatenate([[0], np.cumsum(np.bincount(graph))[:-1]])]
        fields = _fields(table, roles, first, time, clock)
        if roles.level is not None:
            levels = tuple(float(v) for v in fields["classes"])
            coordinates = replace(coordinates, levels=levels)
        graphs = Graphs(
            torch.from_numpy(unit_vectors(lat[rows], lon[rows]).astype(np.float32)),
            torch.from_numpy(x.astype(np.float32)),
            torch.from_numpy(np.concatenate([[0], np.cumsum(np.bincount(graph))])),
            feature_names=tuple(f"{names[0]}/{names[1]} {a}" for a in "xyz")
            if roles.vector
            else tuple(names),
            modality=FunctionSamples("sphere", "vector" if roles.vector else "scalars", coordinates),
            **fields,
        )
        return cls(Part(graphs, _columns(table, roles), _notes(graphs, placed, valued, twice)), rows)


def _roles(table: Table, ask: Ask) -> _Roles:
    lat, lon = _named(table, LATITUDE), _named(table, LONGITUDE)
    assert lat is not None
    assert lon is not None
    roles = _Roles(lat, lon)
    names = [n.strip() for n in table.names]
    asked = ask.vector or ask.x
    chosen = None if asked is None else [_find(names, n, "x") for n in asked]
    for key in ("time", "group"):
        if (name := getattr(ask, key)) is not None:
            setattr(roles, key, _find(names, name, key))
    free = [i for i in range(len(names)) if i not in (lat, lon, *(chosen or ()))]
    if roles.group is None and roles.time is None:
        found = [i for i in free if TIME.fullmatch(names[i]) and not table.columns[i].empty]
        roles.time = min(found, key=lambda i: len(names[i])) if found else None
    level = next((i for i in free if _LEVEL.fullmatch(names[i]) and table.columns[i].numeric), None)
    roles.level = level if level is not None and len(set(table.columns[level].keys())) > 1 else None
    taken = (roles.time, roles.group, roles.level, lat, lon)
    for i in range(len(names)):
        if i in taken:
            continue
        why = "" if chosen and i in chosen else _no_feature(table.columns[i], chosen is not None)
        if why:
            roles.left[i] = why
        elif chosen is None:
            roles.x.append(i)
    roles.x = chosen if chosen is not None else roles.x
    if not roles.x:
        raise ValueError(
            "it has latitudes and longitudes, but no column of numbers beside them; name one with x."
        )
    pairs = pair_of([names[i] for i in roles.x], {})
    roles.vector = ask.vector is not None or (len(pairs) == 1 and len(roles.x) == 2)
    if roles.vector and ask.vector is None:
        roles.x = [names.index(n) for n in pairs[0]]
    return roles


def _no_feature(column: Cells, asked: bool) -> str:
    name = column.name.strip()
    if column.empty:
        return "empty"
    if not column.numeric:
        return "text"
    if asked:
        return "not asked for"
    if _PLACE.fullmatch(name):
        return "of the place, and not measured"
    if LATITUDE.fullmatch(name) or LONGITUDE.fullmatch(name):
        return "another coordinate"
    return "id" if not name or (column.integral and _ID.fullmatch(name)) else ""


def _find(names: Sequence[str], wanted: str, argument: str) -> int:
    if wanted.strip() not in names:
        raise ValueError(
            f"{argument} names the column {wanted!r}, which is not there{nearest_name(wanted, names)}"
        )
    return names.index(wanted.strip())


def _keys(table: Table, column: int | None) -> NDArray[np.float64] | None:
    """A number for each value of a column, in their order."""
    if column is None:
        return None
    if table.columns[column].numeric:
        return table.numbers(column, True)
    return np.unique(table.columns[column].keys(), return_inverse=True)[1].reshape(-1).astype(np.float64)


def _times(
    table: Table, roles: _Roles
) -> tuple[tuple[Any, str, str] | None, tuple[float, ...], NDArray[np.float64] | None]:
    """Seconds with calendar and units, or the times that have no calendar; and a number for each row."""
    if roles.time is None:
        return None, (), None
    column = table.columns[roles.time]
    clock = None if column.text is None else parsed_times(column.text)
    if clock is not None:
        return clock, (), clock[0].astype(np.float64)
    if not column.numeric:
        words = [w for w in column.text or () if parsed_times([w]) is None]
        raise ValueError(
            f"the time {column.name!r} holds {words[0] if words else ''!r}, which is no date; write it as "
            f"2002-01-31 12:00, or name other columns with time and group."
        )
    values = table.numbers(roles.time, False)
    steps, row = np.unique(values, return_inverse=True)
    return None, tuple(steps.tolist()), row.reshape(-1).astype(np.float64)


def _fields(
    table: Table, roles: _Roles, first: NDArray[np.int64], time: NDArray[np.float64] | None, clock: Any
) -> dict[str, Any]:
    """Time and class of each graph, of its first row."""
    fields: dict[str, Any] = {}
    if time is not None:
        exact = clock[0] if clock is not None else time.astype(np.int64)
        fields["time"] = torch.from_numpy(exact[first])
    if roles.level is not None:
        values = table.numbers(roles.level, False)
        levels, label = np.unique(values[first], return_inverse=True)
        fields["classes"] = tuple(f"{v:g}" for v in levels)
        fields["label"] = torch.from_numpy(label.reshape(-1).astype(np.int64))
    return fields


def _columns(table: Table, roles: _Roles) -> tuple[Column, ...]:
    names = table.names
    said = {roles.lat: "position", roles.lon: "position"}
    said |= {i: r for i, r in ((roles.time, "time of the graphs"), (roles.group, "graph")) if i is not None}
    said |= {roles.level: "label"} if roles.level is not None else {}
    out = [Column(names[i], role) for i, role in said.items()]
    out += [Column(names[i], "feature") for i in roles.x]
    return (*out, *(Column(names[i], "left out", why) for i, why in sorted(roles.left.items())))


def _notes(graphs: Graphs, placed: int, valued: int, twice: int) -> tuple[str, ...]:
    notes = []
    if placed:
        notes.append(f"{placed:,} rows without latitude or longitude are left out.")
    if valued:
        notes.append(f"{valued:,} rows without a value are left out.")
    if twice:
        notes.append(f"{twice:,} rows are there twice and count once.")
    if len(graphs) > 1 and float(graphs.sizes.double().median()) < 2:
        notes.append(
            "most times have one place alone; round the time column, such as to hours, for graphs of several."
        )
    return tuple(notes)
