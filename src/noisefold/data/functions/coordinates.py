"""What is needed to write functions on the sphere back as they were read: names, units, grid and calendar."""

from __future__ import annotations

from dataclasses import dataclass, replace

from noisefold.configuration import configurable
from noisefold.data.functions.components import pair_of

__all__ = ["Coordinates"]

_Attributes = tuple[tuple[str, str], ...]


@configurable
@dataclass(frozen=True)
class Coordinates:
    """How latitudes, longitudes, times and variables are called and written in the data that were read.

    Parameters
    ----------
    latitude, longitude
        Names of the coordinates in degrees, or of the columns of a table.
    dims
        Dimensions of space, such as ("lat", "lon"), or one for a list of places.
    axes
        Latitudes and longitudes of a grid, in the order and the convention of the file; empty where the
        places are no product of two axes.
    variables
        Names of the variables; a vector has two, of its components along east and north.
    attributes
        Name, then attributes as texts, of variables and coordinates: units, standard_name, ...
    time
        Name of the time, empty without.
    calendar
        Of the CF conventions, such as "standard" or "noleap"; empty where times are numbers, which
        `Graphs.time` counts in the order of `steps`.
    time_units
        Such as "days since 1900-01-01".
    steps
        The times that have no calendar.
    level
        Name of the level, whose values are the classes; empty without.
    levels
        Its values, in the order of the file.
    """

    latitude: str = "lat"
    longitude: str = "lon"
    dims: tuple[str, ...] = ("lat", "lon")
    axes: tuple[tuple[float, ...], ...] = ()
    variables: tuple[str, ...] = ()
    attributes: tuple[tuple[str, _Attributes], ...] = ()
    time: str = ""
    calendar: str = ""
    time_units: str = ""
    steps: tuple[float, ...] = ()
    level: str = ""
    levels: tuple[float, ...] = ()

    def attributes_of(self, name: str) -> dict[str, str]:
        """Return the attributes of a variable or a coordinate."""
        return dict(dict(self.attributes).get(name, ()))

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Places among the variables of the components (eastward, northward) of vectors."""
        standard = {name: self.attributes_of(name).get("standard_name", "") for name in self.variables}
        found = pair_of(self.variables, standard)
        return tuple((self.variables.index(u), self.variables.index(v)) for u, v in found)

    def level_name(self, value: float) -> str:
        """Return the class of a level, such as "850 hPa"."""
        return f"{value:g} {self.attributes_of(self.level).get('units', '')}".strip()

    def joined(self, other: Coordinates) -> Coordinates:
        """Return the coordinates of both together: those of this one, without a grid that is not common.

        Raises
        ------
        ValueError
            If they have other variables, or times that cannot be compared.
        """
        if self.variables != other.variables:
            raise ValueError(f"it has the variables {other.variables}, others {self.variables}; divide them.")
        if (self.calendar, self.steps) != (other.calendar, other.steps):
            raise ValueError(
                f"its times are of the calendar {other.calendar or 'none'!r}, those of others of "
                f"{self.calendar or 'none'!r}; divide them."
            )
        both = replace(self, levels=tuple(dict.fromkeys((*self.levels, *other.levels))))
        same = (self.axes, self.dims) == (other.axes, other.dims)
        return both if same else replace(both, axes=(), dims=("place",))
