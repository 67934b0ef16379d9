"""Tables of tracks: fixes with a track, a time, a latitude and a longitude, such as IBTrACS distributes.

Each track is a graph of times and unit vectors (`noisefold.data.Tracks`, which keeps names and dates).
"""

from __future__ import annotations

from noisefold.data.formats.reader import Ask, Column, Part, Reader
from noisefold.data.formats.text import decoded
from noisefold.data.functions.track_table import is_track_table, table_of_text
from noisefold.data.functions.tracks import tracks_of
from noisefold.geometry.graphs import Graphs

__all__ = ["or_tracks"]

_TAKEN = {"time": "position", "latitude": "feature", "longitude": "feature", "track": "graph"}


def or_tracks(reader: Reader) -> Reader:
    """Return a reader of tables that reads those of tracks as such, unless columns are named."""

    def read(data: bytes, ask: Ask) -> Graphs | Part:
        start = data[:65536].split(b"\n", 1)[0]
        named = ask.pos is not None or ask.x is not None or ask.group is not None
        if named or not is_track_table(start.decode("utf-8", "replace")):
            return reader(data, ask)
        found = tracks_of(table_of_text(decoded(data), "the table"), "the table")
        return Part(found.graphs, tuple(Column(name, role) for name, role in _TAKEN.items()))

    return read
