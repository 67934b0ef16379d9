"""Which dimensions and coordinates of a data set are latitude, longitude, time and level.

Attributes of the CF conventions decide (units, standard_name, axis), found by cf-xarray; where there are
none, names do. A latitude is one of degrees in [-90, 90], or of radians.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noisefold.data.earth.libraries import xarray_libraries

__all__ = ["LATITUDE", "LEVEL", "LONGITUDE", "TIME", "Space", "found", "level_of", "spaces", "time_of"]

LATITUDE = re.compile(
    r"(nav_?)?lat(itudes?)?([_. ]?(deg(rees)?(_?n(orth)?)?|dd|y|rho|t))?|g?phit", re.IGNORECASE
)
"""Names of latitudes."""
LONGITUDE = re.compile(
    r"(nav_?)?(lon(gitudes?)?|long|lng)([_. ]?(deg(rees)?(_?e(ast)?)?|dd|x|rho|t))?|g?lamt", re.IGNORECASE
)
"""Names of longitudes."""
TIME = re.compile(
    r"(valid_?|obs_?|iso_?)?(date_?)?time(_?utc|_?stamp|_?counter)?|t|dates?|dt|utc", re.IGNORECASE
)
"""Names of times."""
LEVEL = re.compile(
    r"p?lev(els?)?|plevs?|(pressure|model|hybrid)_?(level)?s?|isobaric.*|depth[tuvw]?|heights?|alt(itude)?",
    re.IGNORECASE,
)
"""Names of levels."""
_PARTS_OF_YEARS = re.compile(r"year|month|season|week|day(ofyear)?|hour|date", re.IGNORECASE)
_RADIANS = re.compile(r"rad(ians?)?$", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Space:
    """Places of a data set.

    Parameters
    ----------
    latitude, longitude
        Names of the coordinates.
    dims
        Dimensions of space, in the order of `shape`.
    shape
        Their sizes.
    lat, lon
        Degrees of each cell, ``[cells]``, NaN where there is none.
    axes
        Latitudes and longitudes of a grid that is the product of two axes, as in the file; else empty.
    """

    latitude: str
    longitude: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    axes: tuple[tuple[float, ...], ...] = ()


def found(data: Any, key: str, names: re.Pattern[str]) -> list[str]:
    """Return the variables that are a latitude, longitude, time or level: by attributes, else by name."""
    xarray_libraries()
    by_attributes = [str(n) for n in data.cf.coordinates.get(key, [])]
    by_attributes += [str(n) for n in data.cf.standard_names.get(key, [])]
    ends = {str(v.attrs.get(k)) for v in data.variables.values() for k in ("bounds", "climatology")}
    named = [str(n) for n in data.variables if names.fullmatch(str(n))]
    listed = dict.fromkeys(n for n in (*by_attributes, *named) if n in data.variables and n not in ends)
    numeric = [n for n in listed if data[n].dtype.kind in "iufMO"]
    return [n for n in numeric if n in by_attributes] or numeric


def spaces(data: Any) -> list[Space]:
    """Return the places of a data set: of several grids, as staggered models have, each.

    Raises
    ------
    ValueError
        If there are none, or they are no degrees.
    """
    lats, lons = found(data, "latitude", LATITUDE), found(data, "longitude", LONGITUDE)
    out: list[Space] = []
    for lat in lats:
        for lon in lons:
            a, b = data[lat], data[lon]
            paired = a.dims == b.dims or (a.ndim <= 1 and b.ndim <= 1)
            if paired and a.ndim <= 2:
                out.append(_space(data, lat, lon))
    if not out:
        listed = ", ".join(map(repr, list(data.variables)[:12]))
        raise ValueError(
            f"it has no latitude and longitude among {listed}; give these the units degrees_north and "
            f"degrees_east."
        )
    return out


def _space(data: Any, latitude: str, longitude: str) -> Space:
    a, b = data[latitude], data[longitude]
    grid = a.dims != b.dims
    dims = tuple(dict.fromkeys((*map(str, a.dims), *map(str, b.dims))))
    lat, lon = (_degrees(data[n], n) for n in (latitude, longitude))
    if bool((abs(lat[np.isfinite(lat)]) > 90 + 1e-3).any()):
        raise ValueError(f"its latitude {latitude!r} leaves [-90, 90]; correct it.")
    axes: tuple[tuple[float, ...], ...] = ()
    if grid or not dims:
        lat, lon = np.atleast_1d(lat), np.atleast_1d(lon)
        axes = tuple(lat.tolist()), tuple(lon.tolist())
        lat, lon = np.repeat(lat, len(lon)), np.tile(lon, len(lat))
    shape = tuple(int(data.sizes[d]) for d in dims)
    return Space(latitude, longitude, dims, shape, lat.clip(-90, 90).ravel(), lon.ravel(), axes)


def _degrees(variable: Any, name: str) -> NDArray[np.float64]:
    if variable.dtype.kind not in "iuf":
        raise ValueError(f"its coordinate {name!r} holds {variable.dtype}, not degrees; correct it.")
    values = np.asarray(variable.values, dtype=np.float64)
    values = np.where(np.isfinite(values) & (abs(values) < 1e10), values, np.nan)
    return np.degrees(values) if _RADIANS.match(str(variable.attrs.get("units", ""))) else values


def time_of(data: Any, dims: Sequence[str]) -> tuple[str, str] | None:
    """Return the dimension of time and the variable that holds it, or None.

    Parameters
    ----------
    data
        The data set.
    dims
        Dimensions that may be it.
    """
    for name in found(data, "time", TIME):
        if data[name].ndim == 1 and data[name].dims[0] in dims:
            return str(data[name].dims[0]), name
    for dim in dims:
        if dim in data.variables and _PARTS_OF_YEARS.fullmatch(dim):
            return dim, dim
    return next(((d, d) for d in dims if TIME.fullmatch(d)), None)


def level_of(data: Any, dims: Iterable[str]) -> str | None:
    """Return the dimension of levels among some, or None."""
    names = found(data, "vertical", LEVEL)
    return next((d for d in dims if d in names or LEVEL.fullmatch(d)), None)
