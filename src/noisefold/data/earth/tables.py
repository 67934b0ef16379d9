"""Draws at stations as tables: the columns that were read, and what was drawn beside them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from noisefold.data.earth.calendars import dates_of
from noisefold.data.earth.stations import Stations
from noisefold.data.earth.together import coordinates_of
from noisefold.data.formats.compressed import ending_of, gunzip
from noisefold.data.formats.delimited import Cells, Table, table_of
from noisefold.data.formats.reader import Ask
from noisefold.data.formats.text import decoded, lines_of
from noisefold.files import staged
from noisefold.geometry.geographic import latitude_longitude, local_frame
from noisefold.geometry.graphs import Graphs

__all__ = ["matching_rows", "write_table"]

_QUANTILES = (0.05, 0.95)
_Column = Sequence[Any] | NDArray[Any]


def write_table(target: Path, graphs: Graphs, draws: Tensor, like: Any = None) -> None:
    """Write a row for each node, or for each row of the table that was read.

    Parameters
    ----------
    target
        A .csv, .tsv or .parquet file.
    graphs, draws
        The nodes, and draws ``[m, n, f]`` of their values.
    like
        The table that was read, a file, whose columns and order of rows are kept; or None.

    Raises
    ------
    ValueError
        If the graphs are not those of that table.
    """
    coordinates = coordinates_of(graphs)
    assert coordinates is not None
    lat, lon = latitude_longitude(graphs.pos.double().numpy())
    values = draws.double().numpy()
    vector = getattr(graphs.modality, "outputs", "") == "vector"
    if vector:
        values = np.stack([(values * axis).sum(-1) for axis in local_frame(lat, lon)], axis=-1)
    columns: dict[str, _Column] = {}
    rows: NDArray[np.int64] | None = None
    if like is not None:
        table, rows = matching_rows(Path(like), graphs)
        columns = {c.name or f"column{i}": _texts(c) for i, c in enumerate(table.columns)}
    else:
        columns = _own(graphs, lat, lon, vector)
    count = len(next(iter(columns.values())))
    for k, name in enumerate(coordinates.variables):
        own = values[:, :, k]
        made = {
            f"{name}_mean": own.mean(0),
            f"{name}_std": own.std(0, ddof=1) if len(own) > 1 else own[0] * np.nan,
        }
        made |= {f"{name}_q{round(100 * q):02d}": np.quantile(own, q, axis=0) for q in _QUANTILES}
        made |= {f"{name}_draw{j}": draw for j, draw in enumerate(own)}
        for key, of in made.items():
            full = np.full(count, np.nan, dtype=np.float32)
            full[slice(None) if rows is None else rows] = of
            columns[key] = full
    with staged(target) as part:
        part.write_bytes(_bytes(target, columns))


def matching_rows(path: Path, graphs: Graphs) -> tuple[Table, NDArray[np.int64]]:
    """Return the table that was read, and its row of each node ``[n]``.

    Raises
    ------
    ValueError
        If the graphs are not those of the table.
    """
    ending, packed = ending_of(path)
    content = gunzip(path.read_bytes()) if packed else path.read_bytes()
    if ending == ".parquet":
        from noisefold.data.formats.parquet import parquet_table

        table = parquet_table(content)
    else:
        table = table_of(*lines_of(decoded(content), inline=False), first="\t" if ending == ".tsv" else ",")
    coordinates = coordinates_of(graphs)
    assert coordinates is not None
    names = coordinates.variables
    vector = names if getattr(graphs.modality, "outputs", "") == "vector" else None
    for missing in (True, False):
        time = coordinates.time or None
        stations = Stations.of(table, Ask(x=names, vector=vector, missing=missing, time=time))
        own = stations.part.graphs
        if own.num_nodes == graphs.num_nodes and bool((own.pos == graphs.pos).all()):
            return table, stations.rows
    raise ValueError(f"{path}: its rows are not the nodes of these graphs; give the table that was read.")


def _texts(column: Cells) -> _Column:
    if column.text is not None:
        return list(column.text)
    assert column.values is not None
    return column.values.astype(np.int64) if column.whole else column.values


def _own(graphs: Graphs, lat: Any, lon: Any, vector: bool) -> dict[str, _Column]:
    """The columns that graphs remember."""
    coordinates, graph = coordinates_of(graphs), graphs.batch.numpy()
    assert coordinates is not None
    columns: dict[str, _Column] = {}
    if graphs.time is not None:
        time = graphs.time.numpy()
        if coordinates.calendar:
            of: Any = [str(d)[:19] for d in dates_of(time, coordinates.calendar)]
        else:
            of = [coordinates.steps[t] if coordinates.steps else t for t in time.tolist()]
        columns[coordinates.time or "time"] = [of[i] for i in graph]
    if graphs.label is not None:
        names = graphs.classes or tuple(map(str, range(int(graphs.label.max()) + 1)))
        columns[coordinates.level or "level"] = [names[int(graphs.label[i])] for i in graph]
    columns[coordinates.latitude] = np.round(lat, 5)
    columns[coordinates.longitude] = np.round(lon, 5)
    if graphs.x is not None:
        x = graphs.x.double().numpy()
        if vector:
            x = np.stack([(x * axis).sum(-1) for axis in local_frame(lat, lon)], axis=-1)
        columns |= {n: x[:, k].astype(np.float32) for k, n in enumerate(coordinates.variables)}
    return columns


def _bytes(target: Path, columns: dict[str, _Column]) -> bytes:
    if target.suffix.lower() == ".parquet":
        from noisefold.data.formats.parquet import parquet_bytes

        return parquet_bytes(columns)
    buffer = io.StringIO(newline="")
    writer = csv.writer(
        buffer, delimiter="\t" if target.suffix.lower() == ".tsv" else ",", lineterminator="\n"
    )
    writer.writerow(columns)
    writer.writerows(zip(*(_cells(c) for c in columns.values()), strict=True))
    return buffer.getvalue().encode()


def _cells(column: _Column) -> list[str]:
    """Cells of a column; the shortest text that brings each number back, nothing where it is missing."""
    if isinstance(column, np.ndarray) and column.dtype.kind == "f":
        return ["" if np.isnan(v) else str(v) for v in column]
    return [str(v) for v in column]
