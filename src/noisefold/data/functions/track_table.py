"""Tables of tracks: rows of storm, time, latitude and longitude, as best-track archives write them."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from noisefold.data.notice import notify

__all__ = [
    "TrackTable",
    "first_fix",
    "is_track_table",
    "rows_of_text",
    "table_of_npz",
    "table_of_text",
    "track_columns",
]

_NAMES = {
    "track": ("sid", "track_id", "storm_id", "storm", "track", "id"),
    "time": ("iso_time", "time", "datetime", "date"),
    "lat": ("lat", "latitude", "usa_lat"),
    "lon": ("lon", "longitude", "long", "usa_lon"),
    "season": ("season", "year"),
    "wind": ("usa_wind", "wmo_wind", "wind", "wind_kt", "vmax"),
    "type": ("track_type",),
}
_NEEDED = ("track", "time", "lat", "lon")


@dataclass(frozen=True)
class TrackTable:
    """Fixes of tracks, one a row.

    Parameters
    ----------
    track
        Number of the track of each fix, ``[n]``.
    names
        Names of the tracks, ``[g]``.
    hours
        Hours since 1970-01-01 00:00 UTC, ``[n]``, float64.
    latitude, longitude
        Degrees, ``[n]``.
    season
        Year of each track, ``[g]``.
    wind
        Wind of each fix, NaN where missing, ``[n]``.
    row
        Row of each fix in the file, ``[n]``, counted from the header, which is 0; empty rows do not count.
    """

    track: NDArray[np.int64]
    names: tuple[str, ...]
    hours: NDArray[np.float64]
    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]
    season: NDArray[np.int64]
    wind: NDArray[np.float64]
    row: NDArray[np.int64]


def table_of_npz(path: Path) -> TrackTable:
    """Read arrays ``storm_id``, ``season``, ``offset`` by storm and ``lat``, ``lon``, ``time_s`` by fix.

    The time may be ``time_min`` instead, in minutes; ``wind_kt`` is -1 where missing.

    Raises
    ------
    ValueError
        If an array is missing.
    """
    with np.load(path, allow_pickle=False) as arrays:
        missing = [k for k in ("storm_id", "season", "offset", "lat", "lon") if k not in arrays]
        unit = next((k for k in ("time_s", "time_min") if k in arrays), None)
        if missing or unit is None:
            raise ValueError(f"{path} has no array {(missing or ['time_s'])[0]!r}, which tracks need.")
        offset = arrays["offset"]
        hours = arrays[unit].astype(np.float64) / (3600 if unit == "time_s" else 60)
        wind = arrays["wind_kt"].astype(np.float64) if "wind_kt" in arrays else np.full(len(hours), -1.0)
        return TrackTable(
            np.repeat(np.arange(len(offset) - 1), np.diff(offset)),
            tuple(str(v) for v in arrays["storm_id"]),
            hours,
            arrays["lat"].astype(np.float64),
            arrays["lon"].astype(np.float64),
            arrays["season"].astype(np.int64),
            np.where(wind < 0, np.nan, wind),
            np.arange(len(hours)),
        )


def is_track_table(header: str) -> bool:
    """Return whether the first line of a CSV table names a track, a time, a latitude and a longitude."""
    names = {cell.strip(' "\ufeff').lower() for cell in header.split(",")}
    return all(names.intersection(_NAMES[key]) for key in _NEEDED) and "id" not in names


def rows_of_text(text: str) -> list[list[str]]:
    """Return the cells of a CSV table by row, without rows that are empty."""
    rows = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
    return [row for row in rows if any(cell.strip() for cell in row)]


def table_of_text(text: str, path: str, missing: bool = False) -> TrackTable:
    """Read a CSV table with a header, such as IBTrACS distributes; the path is for messages.

    Columns are found by their names, of IBTrACS or the common words. Rows of units after the header, rows
    without a place or a time, and spur tracks are left out, and a notice says how many.

    Parameters
    ----------
    text, path
        The table, and its name.
    missing
        Whether rows without a place are kept, their latitude and longitude NaN.

    Raises
    ------
    ValueError
        If a column is missing, a number cannot be read or a latitude is beyond a pole, or no row is left.
    """
    rows = rows_of_text(text)
    if not rows:
        raise ValueError(f"{path} holds no rows.")
    place = track_columns(rows[0], path)
    first = first_fix(rows, place["lat"])
    tracks: dict[str, int] = {}
    kept: list[tuple[int, float, float, float, float, int]] = []
    seasons: list[int] = []
    dropped = spurs = 0
    for at, row in enumerate(rows[first:], first):
        if "spur" in _cell(row, place.get("type")).lower():
            spurs += 1
            continue
        name, when = _cell(row, place["track"]), _cell(row, place["time"])
        lat, lon = (_number(_cell(row, place[k]), k, path) for k in ("lat", "lon"))
        placeless = np.isnan(lat) or np.isnan(lon)
        if not name or not when or (placeless and not missing):
            dropped += 1
            continue
        if placeless:
            lat = lon = float("nan")
        if abs(lat) > 90 or abs(lon) > 540:
            raise ValueError(f"{path}: place {lat:g}, {lon:g} of {name} is not on the Earth in degrees.")
        if name not in tracks:
            tracks[name] = len(tracks)
            season = _number(_cell(row, place.get("season")), "season", path)
            seasons.append(int(when[:4]) if np.isnan(season) else int(season))
        wind = _number(_cell(row, place.get("wind")), "wind", path)
        kept.append((tracks[name], _hours(when, path), lat, lon, wind, at))
    if not kept:
        raise ValueError(f"{path} holds no fix with a track, a time and a place.")
    if dropped or spurs:
        notify(f"{path}: {dropped} rows without track, time or place and {spurs} of spurs are left out.")
    track, hours, latitude, longitude, winds, at_row = np.array(kept, dtype=np.float64).T
    return TrackTable(
        track.astype(np.int64),
        tuple(tracks),
        hours,
        latitude,
        longitude,
        np.array(seasons),
        winds,
        at_row.astype(np.int64),
    )


def track_columns(header: list[str], path: str) -> dict[str, int]:
    """Return the places of the columns "track", "time", "lat", "lon" and what else there is.

    Raises
    ------
    ValueError
        If one of the four is missing.
    """
    names = [cell.strip().lower() for cell in header]
    found: dict[str, int] = {}
    for key, words in _NAMES.items():
        here = next((word for word in words if word in names), None)
        if here is not None:
            found[key] = names.index(here)
        elif key in _NEEDED:
            raise ValueError(
                f"{path} has no column for {key}; call it one of {', '.join(words)}, "
                f"got {', '.join(header[:12])}."
            )
    return found


def first_fix(rows: list[list[str]], lat: int) -> int:
    """Return the first row below the header and rows of units, in which the latitude is a word."""
    return next((i for i in range(1, len(rows)) if not _is_words(_cell(rows[i], lat))), len(rows))


def _cell(row: list[str], place: int | None) -> str:
    return row[place].strip() if place is not None and place < len(row) else ""


def _is_words(cell: str) -> bool:
    return bool(cell) and _parsed(cell) is None


def _parsed(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _number(cell: str, name: str, path: str) -> float:
    """Return a number, NaN for none."""
    if not cell or cell.lower() in ("na", "nan", "null", "-", "-999", "-9999"):
        return float("nan")
    value = _parsed(cell)
    if value is None:
        raise ValueError(f"{path}: {name} must be a number, got {cell!r}.")
    return value


def _hours(cell: str, path: str) -> float:
    try:
        when = datetime.fromisoformat(cell)
    except ValueError as error:
        raise ValueError(f"{path}: time must be as 2005-08-28 18:00:00, got {cell!r}.") from error
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return when.timestamp() / 3600
