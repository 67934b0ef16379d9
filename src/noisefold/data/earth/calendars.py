"""Times of the CF conventions as seconds since 1970-01-01 in their calendar, and back.

Calendars without the leap days of the real one (noleap, 360_day, ...) need cftime.

Source: https://cfconventions.org/Data/cf-conventions/cf-conventions-1.11/cf-conventions.html#time-coordinate
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noisefold.data.earth.libraries import xarray_libraries

__all__ = ["STANDARD", "dates_of", "parsed_times", "seconds_of", "units_of_years"]

STANDARD = ("standard", "gregorian", "proleptic_gregorian")
"""Names of the calendar that is in use."""
_EPOCH = "seconds since 1970-01-01"
_LEAST = 8  # independent units that are worth being whole years or months
_Integers = NDArray[np.int64]


def seconds_of(times: Any) -> tuple[_Integers, str, str] | None:
    """Return seconds since 1970-01-01, the calendar and the units of a time, or None for plain numbers.

    Parameters
    ----------
    times
        A variable of xarray, as numbers with the attribute units, as dates of NumPy or of cftime.

    Raises
    ------
    ValueError
        If a time is missing, or its units or calendar are unknown.
    ImportError
        If its calendar needs cftime, which is not installed.
    """
    xarray, _ = xarray_libraries()
    known = {**times.encoding, **times.attrs}
    units, calendar = str(known.get("units", "")), str(known.get("calendar", "standard")).lower()
    if times.dtype.kind in "iuf":
        if " since " not in units:
            return None
        # The calendar's own name is kept; that of the variable decides on nothing else.
        plain = xarray.Variable(times.dims, times.values, {"units": units, "calendar": calendar})
        try:
            coder = xarray.coders.CFDatetimeCoder(use_cftime=None, time_unit="us")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of dates beyond those of NumPy, which cftime has
                times = coder.decode(plain)
                values = times.values
        except ModuleNotFoundError as error:
            raise ImportError(
                f"the calendar {calendar!r} needs cftime; run pip install 'noisefold[earth]'."
            ) from error
        except (ValueError, OverflowError) as error:
            first = str(error).splitlines()[0][:120].rstrip(".")
            raise ValueError(f"its times in {units!r} cannot be read ({first}); correct them.") from error
    else:
        values = times.values
    if values.dtype.kind == "M":
        if np.isnat(values).any():
            raise ValueError("a time is missing; remove or give it.")
        return values.astype("datetime64[s]").astype(np.int64), calendar, units or "seconds since 1970-01-01"
    if values.dtype.kind == "O" and values.size and hasattr(values.flat[0], "calendar"):
        import cftime

        calendar = str(values.flat[0].calendar)
        numbers = np.asarray(cftime.date2num(values, _EPOCH, calendar=calendar), dtype=np.float64)
        return np.round(numbers).astype(np.int64), calendar, units or _EPOCH
    return None


def dates_of(seconds: _Integers, calendar: str) -> NDArray[Any]:
    """Return dates of NumPy, or of cftime where the calendar is another, of seconds since 1970-01-01."""
    if calendar in STANDARD:
        return seconds.astype("datetime64[s]").astype("datetime64[ns]")
    import cftime

    return np.asarray(cftime.num2date(seconds, _EPOCH, calendar=calendar), dtype=object)


def units_of_years(seconds: _Integers, calendar: str) -> _Integers:
    """Return the independent unit of each time: its year, where there are eight, else its month or itself."""
    _, place = np.unique(seconds, return_inverse=True)
    if calendar in STANDARD:
        months = seconds.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)
        years = months // 12 + 1970
    else:
        dates = dates_of(seconds, calendar)
        years = np.array([d.year for d in dates], dtype=np.int64)
        months = np.array([d.year * 12 + d.month for d in dates], dtype=np.int64)
    rules: tuple[Callable[[], _Integers], ...] = (lambda: years, lambda: months)
    for rule in rules:
        if len(np.unique(rule())) >= _LEAST and len(np.unique(rule())) < len(np.unique(seconds)):
            return rule()
    return place.reshape(-1).astype(np.int64)


def parsed_times(words: Any) -> tuple[_Integers, str, str] | None:
    """Return what `seconds_of` does for a column of a table: dates as words, of NumPy, or seconds since 1970.

    Dates of ISO 8601 are read, others where pandas understands all of them in one way; others are None.
    """
    values = np.asarray(words)
    if values.dtype.kind == "M":
        return values.astype("datetime64[s]").astype(np.int64), "standard", _EPOCH
    if values.dtype.kind not in "OUS":
        return None
    try:
        iso = np.array([str(v).strip().removesuffix("Z").replace(" ", "T") for v in values])
        times = iso.astype("datetime64[s]")
    except ValueError:
        return None
    return None if np.isnat(times).any() else (times.astype(np.int64), "standard", _EPOCH)
