"""Which variables of a data set are taken, and what becomes of its dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from noisefold.data.earth.axes import LATITUDE, LEVEL, LONGITUDE, Space, level_of, spaces, time_of
from noisefold.data.formats.reader import Ask, Column
from noisefold.data.functions.components import pair_of
from noisefold.geometry.names import nearest_name

__all__ = ["Chosen", "chosen", "mask_of"]

_MASKS = ("land_binary_mask", "sea_binary_mask", "land_area_fraction", "sea_area_fraction")


@dataclass(frozen=True, eq=False)
class Chosen:
    """Variables that have the same dimensions.

    Parameters
    ----------
    names
        Of the variables: the features, or the components (eastward, northward) of the vector.
    vector
        Whether they are one vector.
    space
        Places.
    dims
        Dimensions besides those of space: each entry is a sample.
    time, level
        Those of `dims` that are the time, with the variable that holds it, and the level; or None.
    columns
        What became of every variable.
    notes
        Sentences about it.
    """

    names: tuple[str, ...]
    vector: bool
    space: Space
    dims: tuple[str, ...]
    time: tuple[str, str] | None
    level: str | None
    columns: tuple[Column, ...] = ()
    notes: tuple[str, ...] = field(default=())


def chosen(data: Any, ask: Ask) -> Chosen:
    """Return what is taken of a data set.

    Raises
    ------
    ValueError
        If there are no places or variables, or those that were asked for are not there or do not fit.
    """
    places = spaces(data)
    names = [str(n) for n in data.data_vars]
    asked = ask.vector or ask.x
    if asked is not None:
        for name in asked:
            if name not in names:
                raise ValueError(f"x names {name!r}, which is not there{nearest_name(name, names)}")
        if not asked:
            raise ValueError("x names no variable; name at least one.")
    left: dict[str, str] = {}
    fitting: dict[str, Space] = {}
    for name in asked or names:
        if asked is None and (why := _no_feature(data, name)):
            left[name] = why
            continue
        space = next((s for s in places if set(s.dims) <= set(map(str, data[name].dims))), None)
        if space is None or (not space.dims and data[name].ndim):
            left[name] = "not on the places of latitude and longitude"
        else:
            fitting[name] = space
    if asked and left:
        name, why = next(iter(left.items()))
        raise ValueError(f"x names {name!r}, which is {why}; name others.")
    if not fitting:
        said = ", ".join(f"{n!r} ({why})" for n, why in left.items()) or "none"
        raise ValueError(f"it has no variable of numbers on latitude and longitude, only {said}; check it.")
    space, dims = _common(data, fitting)
    for name in list(fitting):
        if fitting[name] is not space or _others(data, name, space) != dims:
            if asked:
                raise ValueError(
                    f"x names {name!r} of the dimensions {tuple(data[name].dims)}, and others of "
                    f"{(*dims, *space.dims)}; take one kind at a time."
                )
            left[name] = f"of other dimensions, {tuple(map(str, data[name].dims))}"
            del fitting[name]
    taken, vector, notes = _vector(data, list(fitting), ask)
    time = time_of(data, dims)
    level = level_of(data, [d for d in dims if time is None or d != time[0]])
    columns = _columns(space, time, level, dims, taken, left, data)
    return Chosen(tuple(taken), vector, space, dims, time, level, columns, notes)


def _no_feature(data: Any, name: str) -> str:
    """Why a variable is no feature, if so."""
    variable = data[name]
    if variable.dtype.kind not in "iuf":
        return "text" if variable.dtype.kind in "OUS" else f"of type {variable.dtype}"
    ends = {str(v.attrs.get(k)) for v in data.variables.values() for k in ("bounds", "climatology")}
    if name in ends or name.endswith(("_bnds", "_bounds")):
        return "ends of cells"
    if "flag_values" in variable.attrs or "flag_meanings" in variable.attrs:
        return "flags"
    if str(variable.attrs.get("standard_name", "")) in _MASKS:
        return "mask of land"
    if any(p.fullmatch(name) for p in (LATITUDE, LONGITUDE, LEVEL)) and variable.ndim < 2:
        return "coordinate"
    return ""


def _others(data: Any, name: str, space: Space) -> tuple[str, ...]:
    return tuple(str(d) for d in data[name].dims if d not in space.dims)


def _common(data: Any, fitting: dict[str, Space]) -> tuple[Space, tuple[str, ...]]:
    """Return the places and dimensions that most variables have; of as many, those of the first."""
    kinds = [(space, _others(data, name, space)) for name, space in fitting.items()]
    return max(
        kinds, key=lambda kind: (sum(k[0] is kind[0] and k[1] == kind[1] for k in kinds), len(kind[1]))
    )


def _vector(data: Any, names: list[str], ask: Ask) -> tuple[list[str], bool, tuple[str, ...]]:
    """Return the features in their order, whether they are one vector, and what there is to say."""
    standard = {n: str(data[n].attrs["standard_name"]) for n in names if "standard_name" in data[n].attrs}
    if ask.vector is not None:
        if len(ask.vector) != 2:
            raise ValueError(f"vector must name the eastward and the northward component, got {ask.vector}.")
        return list(ask.vector), True, ()
    pairs = pair_of(names, standard)
    if len(pairs) == 1 and len(names) == 2:
        return (
            list(pairs[0]),
            True,
            (f"{pairs[0][0]!r} and {pairs[0][1]!r} are one vector along the sphere.",),
        )
    if pairs:
        u, v = pairs[0]
        note = (
            f"{u!r} and {v!r} are features along east and north, as there are others; name these two alone "
            f"with x for a vector that turns with the sphere."
        )
        return names, False, (note,)
    return names, False, ()


def _columns(
    space: Space,
    time: tuple[str, str] | None,
    level: str | None,
    dims: Sequence[str],
    taken: Sequence[str],
    left: dict[str, str],
    data: Any,
) -> tuple[Column, ...]:
    roles = [(space.latitude, "position"), (space.longitude, "position")]
    roles += [(time[1], "time of the graphs")] if time else []
    roles += [(d, "label" if d == level else "graph") for d in dims if time is None or d != time[0]]
    out = [Column(n, r) for n, r in roles] + [Column(n, "feature") for n in taken]
    said = {c.name for c in out}
    out += [
        Column(str(n), "left out", left.get(str(n), "not asked for")) for n in data.data_vars if n not in said
    ]
    return tuple(out)


def mask_of(data: Any, space: Space, ask: Ask) -> Any | None:
    """Return where there is something to draw, ``[cells]``, bool, or None where nothing was asked.

    That is where the variable of this name is above one half; below it, of a mask or fraction of land.

    Raises
    ------
    ValueError
        If the variable is not there, or of other places.
    """
    name = ask.mask
    if name is None:
        return None
    if name not in data.variables:
        raise ValueError(f"mask names {name!r}, which is not there{nearest_name(name, list(data.variables))}")
    variable = data[name]
    extra = [d for d in variable.dims if d not in space.dims]
    variable = variable.isel(dict.fromkeys(extra, 0)) if extra else variable
    if set(variable.dims) != set(space.dims):
        raise ValueError(f"mask names {name!r}, which is not on latitude and longitude; name another.")
    values = variable.transpose(*space.dims).values.reshape(-1)
    standard = str(variable.attrs.get("standard_name", ""))
    return (values <= 0.5) if standard.startswith("land") else (values > 0.5)
