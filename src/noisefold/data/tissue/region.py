"""Regions of a tissue, from text.

============================  =========================================================================
``x > 0.2 & y < 1``           coordinates x, y, z, compared with numbers; all of it must hold
``0.2:0.5, 0:1``              a box: from and to of each coordinate, either end may be left out
``obs/region = LV``           a column of ``obs`` equal to a word or a number (``!=``: unequal)
``obs/torn``                  a column of ``obs`` that is true or false
============================  =========================================================================

Comparisons with coordinates and columns may be joined by ``&``. What holds ``&`` or a sign of comparison
itself is put in double quotes: ``obs/type = "A & B"``.
"""

from __future__ import annotations

import operator
import os
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noisefold.data.formats.guard import guarded
from noisefold.data.formats.h5ad import opened

__all__ = ["region"]

_Flags = NDArray[np.bool_]
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
}
_AXES = "xyz"
_TERM = re.compile(r'(obs/(?:"[^"]+"|[^<>=!"]+)|[A-Za-z]\w*)\s*(?:(<=|>=|!=|==|<|>|=)\s*(.+))?')
_PART = re.compile(r'(?:[^&"]|"[^"]*"|")+')
_HOW = "write e.g. 'x > 0.2 & y < 1', a box '0.2:0.5, 0:1', or 'obs/COLUMN = VALUE'"


def region(text: str, pos: NDArray[np.float64], source: Any) -> _Flags:
    """Return which cells are in a region, ``[n]``.

    Parameters
    ----------
    text
        The region, as above.
    pos
        Positions ``[n, d]``.
    source
        The file or AnnData that was read, for columns of its ``obs``.

    Raises
    ------
    ValueError
        If the text is not understood, or names what is not there.
    """
    if ":" in text and "obs/" not in text:
        return _box(text, pos)
    inside = np.ones(len(pos), dtype=bool)
    for part in _PART.findall(text) if text.count("&") else [text]:
        found = _TERM.fullmatch(part.strip())
        if found is None:
            raise ValueError(f"region {text!r} is not understood at {part.strip()!r}; {_HOW}.")
        name, sign, value = found.groups()
        inside &= _holds(name, sign, value, pos, source)
    return inside


def _box(text: str, pos: NDArray[np.float64]) -> _Flags:
    sides = text.split(",")
    if len(sides) > pos.shape[1]:
        raise ValueError(f"region {text!r} has {len(sides)} sides, but positions are {pos.shape[1]}-D.")
    inside = np.ones(len(pos), dtype=bool)
    for side, place in zip(sides, pos.T, strict=False):
        low, colon, high = side.partition(":")
        if not colon:
            raise ValueError(f"region {text!r} is not understood at {side.strip()!r}; {_HOW}.")
        inside &= place >= (_number(low, text) if low.strip() else -np.inf)
        inside &= place <= (_number(high, text) if high.strip() else np.inf)
    return inside


def _holds(name: str, sign: str | None, value: str | None, pos: NDArray[np.float64], source: Any) -> _Flags:
    name = name.strip()
    if not name.startswith("obs/"):
        axes = _AXES[: pos.shape[1]]
        if name not in axes or sign is None or value is None:
            raise ValueError(f"region names {name!r}, which is no coordinate ({', '.join(axes)}); {_HOW}.")
        return np.asarray(_COMPARE[sign](pos[:, axes.index(name)], _number(value, name)))
    name = name.replace('"', "")
    value = None if value is None else value.strip().removeprefix('"').removesuffix('"')
    with guarded(source if isinstance(source, str | os.PathLike) else None), opened(source) as parts:
        column = parts.column(name, "region")
    if sign is None or value is None:
        if column.dtype.kind != "b":
            raise ValueError(f"region names {name!r}, which is not true or false; write '{name} = VALUE'.")
        return np.asarray(column.to_numpy(dtype=bool))
    if column.dtype.kind in "fiu":
        return np.asarray(_COMPARE[sign](column.to_numpy(), _number(value, name)))
    words = column.astype(str)
    if sign not in ("=", "==", "!="):
        raise ValueError(f"region compares {name!r}, which holds words, by {sign}; use = or !=.")
    found = words.to_numpy() == value
    if not found.any():
        known = ", ".join(sorted(set(words))[:10])
        raise ValueError(f"region: no cell has {name} = {value!r}; there is {known}.")
    return np.asarray(found if sign != "!=" else ~found)


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"region has {text.strip()!r} in {where!r}, not a number; {_HOW}.") from None
