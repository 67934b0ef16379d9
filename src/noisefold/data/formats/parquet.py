"""Tables in .parquet files, if pyarrow is installed."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from noisefold.data.formats.arrays import parsing
from noisefold.data.formats.delimited import Table, table_of_arrays
from noisefold.data.formats.reader import Ask, Part
from noisefold.data.formats.tables import named_columns, part_of
from noisefold.geometry.graphs import Graphs

__all__ = ["parquet_bytes", "parquet_table", "read_parquet", "write_parquet"]

_LARGEST = 2**30


def read_parquet(data: bytes, ask: Ask) -> Part:
    """Return the graphs in the bytes of a .parquet file, whose columns mean what those of a .csv file do.

    Raises
    ------
    ImportError, ValueError
        As `parquet_table`, and as any table.
    """
    return part_of(parquet_table(data), ask)


def parquet_table(data: bytes) -> Table:
    """Return the columns in the bytes of a .parquet file.

    Raises
    ------
    ImportError
        If pyarrow is not installed.
    ValueError
        If the file is damaged, or would take more than 1 GiB.
    """
    arrow, parquet = _libraries()
    with parsing():
        file = parquet.ParquetFile(arrow.BufferReader(data))
        groups = range(file.metadata.num_row_groups)
        size = sum(file.metadata.row_group(i).total_byte_size for i in groups)
        rows, columns = file.metadata.num_rows, file.metadata.num_columns
    if max(size, 8 * rows * columns) > _LARGEST:
        raise ValueError(f"its {rows} rows of {columns} columns need more than 1 GiB; divide it into files.")
    with parsing():
        table = file.read()
        arrays = {
            str(name): np.asarray(table.column(i).to_numpy()) for i, name in enumerate(table.column_names)
        }
    if len(arrays) < columns:
        raise ValueError("two columns have the same name, or one holds lists; give each number a column.")
    return table_of_arrays(arrays)


def write_parquet(graphs: Graphs) -> bytes:
    """Return all graphs as the bytes of a .parquet file, with the columns of a .csv file."""
    return parquet_bytes(named_columns(graphs))


def parquet_bytes(columns: Mapping[str, Any]) -> bytes:
    """Return named columns as the bytes of a .parquet file."""
    arrow, parquet = _libraries()
    buffer = io.BytesIO()
    parquet.write_table(arrow.table(dict(columns)), buffer)
    return buffer.getvalue()


def _libraries() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(".parquet files need pyarrow; install it, or save the table as .csv.") from error
    return pyarrow, pyarrow.parquet
