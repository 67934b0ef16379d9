"""Which variables are the two components of a vector along east and north."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

__all__ = ["pair_of"]

_STANDARD = (("eastward_", "northward_"), ("zonal_", "meridional_"), ("x_wind", "y_wind"))
_NAMES = re.compile(
    r"(?P<head>|.*_)u(?P<tail>|a|as|o|os|g|gos|gosa|wnd|gr?d|vel|cur|wind|_?component.*|_?comp|[-_.]?\d+.*|_.*)",
    re.IGNORECASE,
)


def pair_of(names: Sequence[str], standard: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the pairs (eastward, northward) among variables, by standard_name, else by name.

    Parameters
    ----------
    names
        Variables.
    standard
        Their attributes standard_name, of those that have one.

    Examples
    --------
    >>> pair_of(["z", "u10", "v10"], {})
    [('u10', 'v10')]
    >>> pair_of(["vx", "vy"], {"vx": "eastward_wind", "vy": "northward_wind"})
    [('vx', 'vy')]
    """
    pairs: list[tuple[str, str]] = []
    for name in names:
        for east, north in _STANDARD:
            if east in (own := standard.get(name, "")):
                other = own.replace(east, north)
                pairs += [(name, n) for n in names if standard.get(n) == other][:1]
    known = {n for pair in pairs for n in pair}
    for name in names:
        if name in known or not _NAMES.fullmatch(name):
            continue
        other = _northward(name)
        if other in names and other not in known:
            pairs.append((name, other))
            known |= {name, other}
    return pairs


def _northward(name: str) -> str:
    """Return the name with the letter u of its first or last word as v."""
    match = _NAMES.fullmatch(name)
    assert match is not None
    place = len(match["head"])
    return f"{name[:place]}{'V' if name[place] == 'U' else 'v'}{name[place + 1 :]}"
