"""Draws on the sphere, written in the names, units, grid and calendar of the data that were read.

=================  ==================================================================================
ending             what is written
=================  ==================================================================================
.nc                each variable with the dimensions realization, time, level and those of space
.csv .tsv          a row for each node: its columns, then, of each variable, mean, std, the quantiles
.parquet           0.05 and 0.95 of the draws, and the draws
=================  ==================================================================================
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from noisefold.data.earth.calendars import dates_of
from noisefold.data.earth.gridded import Gridded
from noisefold.data.earth.layout import Layout
from noisefold.data.earth.libraries import is_xarray, xarray_libraries
from noisefold.data.earth.netcdf import ENDINGS, decoded, is_gridded, opened_grid
from noisefold.data.earth.tables import matching_rows, write_table
from noisefold.data.earth.together import coordinates_of
from noisefold.data.formats.compressed import ending_of, gunzip
from noisefold.data.formats.guard import guarded
from noisefold.data.formats.reader import Ask
from noisefold.files import check_out, staged
from noisefold.geometry.graphs import Graphs

__all__ = ["DRAWS", "check_draws", "write_draws", "write_netcdf"]

DRAWS = (*ENDINGS[:1], ".csv", ".tsv", ".parquet")
"""Endings that `write_draws` knows."""
_BYTES = 4


def check_draws(
    path: str | os.PathLike[str], graphs: Graphs, count: int, source: Path | None = None, like: Any = None
) -> Path:
    """Return where draws are to be written, after all checks that need no draw.

    Parameters
    ----------
    path
        The file to write.
    graphs, count
        What is drawn, and how many times.
    source
        What is read for it and must not be written over.
    like
        As of `write_draws`.

    Raises
    ------
    ValueError
        If the ending is none of `DRAWS`, the graphs have no latitudes and longitudes, or they are not of the
        data that they are to be like.
    ImportError
        If a library is missing.
    OSError
        If nothing can be written there, or the disk has too little room.
    """
    target = Path(path)
    if ending_of(target)[0] not in DRAWS or ending_of(target)[1]:
        raise ValueError(
            f"{path}: draws on the sphere are written as {' '.join(DRAWS)}; choose one of these."
        )
    if coordinates_of(graphs) is None:
        raise ValueError(
            f"{path}: these graphs have no latitudes and longitudes; save them in another format."
        )
    if target.suffix.lower() in ENDINGS:
        xarray_libraries()
    check_out(target, endings=DRAWS, source=source, room=count * graphs.num_nodes * graphs.features // 2)
    if like is not None and target.suffix.lower() not in ENDINGS:
        matching_rows(Path(like), graphs)
    elif like is not None:
        with _source(graphs, like) as data:
            assert data is not None
            layout = Layout.of_source(data)
            layout.places(graphs)
            layout.points(graphs.pos[: int(graphs.ptr[1])])
    return target


def write_draws(
    path: str | os.PathLike[str], graphs: Graphs, draws: Tensor, *, like: Any = None, missing: bool = True
) -> Path:
    """Write draws of values on the sphere in the names, units and order of the data that were read.

    Parameters
    ----------
    path
        The file to write, .nc, .csv, .tsv or .parquet.
    graphs
        The graphs that were read, or some of them.
    draws
        Draws of their values, ``[m, n, f]``, such as `noisefold.sample.Completion.values`.
    like
        The file or the object of xarray that was read: grids with curved axes come back, and all attributes,
        other coordinates and columns; without it, what `noisefold.data.Coordinates` remembers.
    missing
        With `like`: whether what the file holds stays, digit by digit, and draws fill what it lacks.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If the ending is another, or the graphs do not lie on places, times and levels of the data.
    """
    target = check_draws(path, graphs, 0)
    if draws.ndim != 3 or tuple(draws.shape[1:]) != (graphs.num_nodes, graphs.features):
        raise ValueError(
            f"draws must be [m, {graphs.num_nodes}, {graphs.features}], got shape {list(draws.shape)}."
        )
    graphs, draws = graphs.to("cpu"), draws.detach().cpu()
    if target.suffix.lower() not in ENDINGS:
        write_table(target, graphs, draws, like)
        return target
    with _source(graphs, like) as source:
        layout = Layout.of_graphs(graphs) if source is None else Layout.of_source(source)
        values = layout.filled(graphs, draws)
        if source is not None and missing:
            held = np.concatenate(list(source.raw()))
            values = np.where(np.isfinite(held), held.astype(np.float32), values)
        data = _data_set(layout, graphs, values, source)
        with staged(target) as part:
            part.write_bytes(_bytes(data))
    return target


def write_netcdf(graphs: Graphs) -> bytes:
    """Return graphs on the sphere as the bytes of a NetCDF file; of one time and level, as realizations.

    Raises
    ------
    ValueError
        If they have no latitudes and longitudes, or no values.
    ImportError
        If xarray is not installed.
    """
    if graphs.x is None:
        raise ValueError("a .nc file holds values at places; save positions alone as .npz.")
    xarray_libraries()
    graphs = graphs.to("cpu")
    assert graphs.x is not None
    layout = Layout.of_graphs(graphs)
    return _bytes(_data_set(layout, graphs, layout.filled(graphs, graphs.x[None]), None))


@contextmanager
def _source(graphs: Graphs, like: Any) -> Iterator[Gridded | None]:
    """Open what was read, with the variables of the graphs."""
    coordinates = coordinates_of(graphs)
    assert coordinates is not None
    if like is None:
        yield None
        return
    vector = getattr(graphs.modality, "outputs", "") == "vector"
    names = coordinates.variables
    ask = Ask(x=names, vector=names if vector else None, missing=True)
    if is_xarray(like):
        yield Gridded.of(decoded(like), _levels(ask, coordinates.levels, decoded(like)))
        return
    path = Path(like)
    if not is_gridded(path) and ending_of(path)[0] not in ENDINGS:
        raise ValueError(f"{path}: like must be what was read, a NetCDF file or a folder of zarr.")
    with guarded(path), opened_grid(gunzip(path.read_bytes()) if ending_of(path)[1] else path) as data:
        yield Gridded.of(data, _levels(ask, coordinates.levels, data))


def _levels(ask: Ask, levels: tuple[float, ...], data: Any) -> Ask:
    """Ask for the levels that the graphs have, where there are others."""
    from dataclasses import replace

    plain = Gridded.of(data, ask)
    if plain.coordinates.levels == levels:
        return ask
    return replace(ask, level=tuple(repr(v) for v in levels))


def _data_set(layout: Layout, graphs: Graphs, values: NDArray[np.float32], source: Gridded | None) -> Any:
    xarray, _ = xarray_libraries()
    own, space = layout.coordinates, layout.space
    dims = ("realization", *layout.dims, *space.dims)
    arrays = values.reshape(len(values), *layout.shape, *space.shape, values.shape[-1])
    held = {} if source is None else {n: source.data[n].attrs for n in own.variables}
    data = {
        name: (dims, arrays[..., k], {**own.attributes_of(name), **_clean(held.get(name, {}))})
        for k, name in enumerate(own.variables)
    }
    coords = _coordinates(layout, graphs) if source is None else _kept(source)
    coords["realization"] = (
        "realization",
        np.arange(len(values), dtype=np.int32),
        {"standard_name": "realization"},
    )
    about = {} if source is None else dict(source.data.attrs)
    return xarray.Dataset(data, coords, {"Conventions": "CF-1.8", **about, "source": "noisefold"})


def _clean(attributes: Any) -> dict[str, Any]:
    gone = ("valid_range", "valid_min", "valid_max", "missing_value", "cell_methods")
    return {k: v for k, v in attributes.items() if k not in gone}


def _kept(source: Gridded) -> dict[str, Any]:
    """The coordinates of the data that were read."""
    data = source.data[list(source.what.names)]
    held = {str(n): v.variable for n, v in data.coords.items()}
    for name in (source.what.space.latitude, source.what.space.longitude, *(source.what.time or ())[1:]):
        if name in source.data.variables:
            held.setdefault(name, source.data[name].variable)
    return {n: v for n, v in held.items() if n not in source.what.names}


def _coordinates(layout: Layout, graphs: Graphs) -> dict[str, Any]:
    """The coordinates that graphs remember."""
    own, space = layout.coordinates, layout.space
    degrees = {"units": "degrees_north", "standard_name": "latitude"}
    east = {"units": "degrees_east", "standard_name": "longitude"}
    lat, lon = (np.asarray(a) for a in (space.axes or (space.lat, space.lon)))
    first, last = (space.dims[0], space.dims[-1]) if space.dims else ((), ())
    coords: dict[str, Any] = {
        own.latitude: (first, lat if space.dims else lat[0], {**degrees, **own.attributes_of(own.latitude)}),
        own.longitude: (last, lon if space.dims else lon[0], {**east, **own.attributes_of(own.longitude)}),
    }
    time, level = own.time or "time", own.level or "level"
    if time in layout.dims:
        seconds = np.array(sorted({t for t, _ in layout.samples}), dtype=np.int64)
        about = own.attributes_of(time)
        if own.calendar:
            coding = {"units": own.time_units, "calendar": own.calendar, "dtype": "float64"}
            coords[time] = ((time,), dates_of(seconds, own.calendar), about, coding)
        else:
            steps = np.asarray(own.steps)[seconds] if own.steps else seconds
            coords[time] = ((time,), steps, about)
    if level in layout.dims:
        names = list(dict.fromkeys(name for _, name in layout.samples))
        numbers = {own.level_name(v): v for v in own.levels}
        values = np.array([numbers.get(n, k) for k, n in enumerate(names)])
        coords[level] = ((level,), values, own.attributes_of(level))
    return coords


def _bytes(data: Any) -> bytes:
    """Return a data set as the bytes of a NetCDF 4 file."""
    for name, variable in data.variables.items():
        if name in data.data_vars:
            variable.encoding = {"dtype": "float32", "_FillValue": np.float32(np.nan), "zlib": True}
        else:
            kept = ("units", "calendar", "dtype") if variable.dtype.kind in "MO" else ()
            variable.encoding = {k: v for k, v in variable.encoding.items() if k in kept} | {
                "_FillValue": None
            }
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = Path(folder) / "draws.nc"
        data.to_netcdf(file, engine="h5netcdf")
        return file.read_bytes()
