"""Tables of tracks with places missing, and draws of these written back into the rows of the table."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from noisefold.data.functions.track_table import (
    first_fix,
    is_track_table,
    rows_of_text,
    table_of_text,
    track_columns,
)
from noisefold.data.functions.tracks import Tracks, degrees_of, ordered_tracks
from noisefold.files import staged

__all__ = ["IncompleteTracks", "is_track_file"]

_NEW = "realization"


def is_track_file(path: Path) -> bool:
    """Return whether a file is a CSV table whose header names a track, a time, a latitude and a longitude."""
    if path.suffix.lower() != ".csv" or not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        return is_track_table(file.readline(1 << 16))


@dataclass(frozen=True, eq=False)
class IncompleteTracks:
    """Tracks of a table in which places are missing, and the rows that they stand in.

    Parameters
    ----------
    tracks
        The tracks; unit vectors are NaN where the table has no place.
    head
        The header and the rows of units below it.
    rows
        The row of each node, ``[n]`` lists of cells.
    lat, lon
        The columns of latitude and longitude.
    """

    tracks: Tracks
    head: list[list[str]]
    rows: list[list[str]]
    lat: int
    lon: int

    @classmethod
    def read(cls, path: Path) -> IncompleteTracks:
        """Read a CSV table of tracks; a row with a track and a time, but no place, is to be drawn.

        Raises
        ------
        ValueError
            If it holds no tracks, or something that cannot be read.
        """
        text = path.read_text(encoding="utf-8")
        table = table_of_text(text, path.name, missing=True)
        tracks, order = ordered_tracks(table, path.name)
        rows = rows_of_text(text)
        place = track_columns(rows[0], path.name)
        chosen: NDArray[np.int64] = table.row[order]
        head = rows[: first_fix(rows, place["lat"])]
        return cls(tracks, head, [rows[i] for i in chosen], place["lat"], place["lon"])

    def write(self, path: Path, draws: Tensor) -> Path:
        """Write draws into the rows of the table, whole or not at all, and return the path.

        Every realization has all rows of the tracks with all their cells, and its number, from 0, in a last
        column. Places that were known stay as they were written; others are degrees in the convention of
        longitudes of their track.

        Parameters
        ----------
        path
            The file.
        draws
            Unit vectors ``[m, n, 3]``.
        """
        graphs = self.tracks.graphs
        assert graphs.x is not None
        drawn = graphs.x.isnan().any(1).tolist()
        positive = self.tracks.positive[graphs.batch]
        width = max(len(row) for row in self.head + self.rows)
        with staged(path) as part, part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            for i, row in enumerate(self.head):
                writer.writerow([*_padded(row, width), "" if i else _NEW])
            for k, values in enumerate(draws):
                latitude, longitude = (v.tolist() for v in degrees_of(values, positive))
                for i, row in enumerate(self.rows):
                    cells = _padded(row, width)
                    if drawn[i]:
                        cells[self.lat], cells[self.lon] = f"{latitude[i]:.4f}", f"{longitude[i]:.4f}"
                    writer.writerow([*cells, k])
        return path


def _padded(row: list[str], width: int) -> list[str]:
    return [*row, *[""] * (width - len(row))]
