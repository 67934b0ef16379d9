"""Fields of several files as one data set: common names, and the independent unit of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from noisefold.data.earth.calendars import STANDARD, dates_of, units_of_years
from noisefold.data.functions.coordinates import Coordinates
from noisefold.data.functions.modality import FunctionSamples
from noisefold.geometry.geographic import latitude_longitude
from noisefold.geometry.graphs import Graphs

__all__ = ["common_modality", "coordinates_of", "describe_earth", "on_earth", "together", "with_units"]


def coordinates_of(graphs: Graphs) -> Coordinates | None:
    """Return how graphs on the sphere were named and measured in the data that were read, if they were.

    Variables are in the order of the features that the graphs have now.
    """
    modality = graphs.modality
    if not isinstance(modality, FunctionSamples) or modality.coordinates is None:
        return None
    if modality.outputs == "vector" or not graphs.feature_names:
        return modality.coordinates
    return replace(modality.coordinates, variables=graphs.feature_names)


def on_earth(graphs: Graphs) -> bool:
    """Return whether graphs were read from latitudes and longitudes."""
    return coordinates_of(graphs) is not None


def together(parts: Sequence[tuple[str, Graphs]]) -> list[Graphs]:
    """Return graphs of several files, each with its name, with the coordinates of all.

    Raises
    ------
    ValueError
        If some are on the sphere and others are not, or they cannot be compared.
    """
    known = [coordinates_of(graphs) for _, graphs in parts]
    if not any(known):
        return [graphs for _, graphs in parts]
    first = known[0]
    kind = parts[0][1].modality
    for (where, graphs), own in zip(parts, known, strict=True):
        if first is None or own is None or graphs.modality != replace(_kind(kind), coordinates=own):
            raise ValueError(
                f"{where}: it and {parts[0][0]} are not of one kind on the sphere; separate them."
            )
        try:
            first = first.joined(own)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
    common = replace(_kind(kind), coordinates=first)
    return [graphs.replace(modality=common) for _, graphs in parts]


def common_modality(one: Any, other: Any) -> Any:
    """Return the modality of graphs of two kinds together: None unless they are equal, or of one earth.

    Raises
    ------
    ValueError
        If they are of the earth and cannot be compared.
    """
    if one == other:
        return one
    both = isinstance(one, FunctionSamples) and isinstance(other, FunctionSamples)
    if not both or one.coordinates is None or other.coordinates is None:
        return None
    joint = replace(one, coordinates=one.coordinates.joined(other.coordinates))
    return joint if replace(other, coordinates=joint.coordinates) == joint else None


def _kind(modality: object) -> FunctionSamples:
    assert isinstance(modality, FunctionSamples)
    return modality


def describe_earth(graphs: Graphs) -> dict[str, str]:
    """Return where and when graphs on the sphere were measured, in words."""
    coordinates = coordinates_of(graphs)
    assert coordinates is not None
    lat, lon = latitude_longitude(graphs.pos.double().cpu().numpy())
    grid = " x ".join(str(len(a)) for a in coordinates.axes)
    out = {
        "places": f"{f'on a grid of {grid}, ' if grid else ''}latitude {lat.min():.4g} to {lat.max():.4g}, "
        f"longitude {lon.min():.4g} to {lon.max():.4g}; unit vectors of the sphere"
    }
    if graphs.time is not None:
        seconds = graphs.time.cpu().numpy()
        if coordinates.calendar:
            ends = dates_of(np.array([seconds.min(), seconds.max()]), coordinates.calendar)
            first, last = (str(d)[:19].replace("T", " ") for d in ends)
            calendar = "" if coordinates.calendar in STANDARD else f", calendar {coordinates.calendar}"
            out["times"] = f"{len(np.unique(seconds))}, from {first} to {last}{calendar}"
        else:
            out["times"] = f"{len(np.unique(seconds))}, without a calendar"
    if graphs.group is not None:
        out["held out"] = f"the last of {len(graphs.group.unique())} units (years, months or times)"
    return out


def with_units(graphs: Graphs) -> Graphs:
    """Return graphs with the independent unit of each, by its time: equal times are of one unit."""
    coordinates = coordinates_of(graphs)
    if coordinates is None or graphs.time is None or graphs.group is not None:
        return graphs
    seconds = graphs.time.numpy()
    if coordinates.calendar:
        group = units_of_years(seconds, coordinates.calendar)
    else:
        group = np.unique(seconds, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return graphs.replace(group=torch.from_numpy(group))
