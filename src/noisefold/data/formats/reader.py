"""What every reader is asked and answers.

A reader turns the bytes of one file into `Graphs` with positions in float64 and in the user's own frame, or
into a `Part`, which also says what became of the file's columns. `noisefold.data.load` joins the parts,
matches names, and centres coordinates far from zero.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from noisefold.data.mesh import Array, Mesh, sample_surface
from noisefold.geometry.graphs import Graphs

__all__ = ["ASK", "Ask", "Column", "Part", "Reader"]

_MESH_POINTS = 1024


@dataclass(frozen=True)
class Ask:
    """What `noisefold.load` was asked for.

    Parameters
    ----------
    points
        Points sampled on each mesh (None: 1024), and the most kept of each cloud.
    seed
        Seed of the points.
    pos, x
        Columns of positions and of features; None means that the reader finds them.
    group, label
        Columns that tell graphs apart and name their classes; None means that the reader finds them.
    missing
        Whether coordinates and features may be NaN.
    skip
        Whether molecules that cannot be read are left out instead of refused.
    hydrogens
        Whether the hydrogens of a molecule that its file writes out stay atoms.
    properties
        Columns of a table, or data items, of molecules that are numbers to keep; None for none.
    vector
        Of the earth: the variables of the components of a vector along east and north.
    level
        Of the earth: the levels to take; None for all.
    mask
        Of the earth: the variable that says where there is something, such as the sea.
    time
        Of tables with latitude and longitude: the column of the time.
    """

    points: int | None = None
    seed: int = 0
    pos: tuple[str, ...] | None = None
    x: tuple[str, ...] | None = None
    group: str | None = None
    label: str | None = None
    missing: bool = False
    skip: bool = False
    hydrogens: bool = False
    vector: tuple[str, ...] | None = None
    level: tuple[str, ...] | None = None
    mask: str | None = None
    time: str | None = None
    properties: tuple[str, ...] | None = None

    def random(self, content: bytes) -> np.random.Generator:
        """Return random numbers that are a function of the seed and a file's content alone."""
        key = np.array([self.seed, zlib.crc32(content)], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=key))

    def sample(self, mesh: Mesh, content: bytes) -> Array:
        """Return points on a mesh, uniform by area, ``[points, 3]``."""
        return sample_surface(mesh, self.points or _MESH_POINTS, self.random(content))


ASK = Ask()
"""What is asked where nothing was said."""


@dataclass(frozen=True)
class Column:
    """What became of a column of a file.

    Parameters
    ----------
    name
        Name in the file; the number of the column, from 1, where it has none.
    role
        ``"position"``, ``"feature"``, ``"graph"``, ``"label"`` or ``"left out"``.
    why
        Reason why it was left out.
    whole
        The one whole number that stands in every row of a feature's column, if so. Such a column is no
        feature unless another file holds another value.
    """

    name: str
    role: str
    why: str = ""
    whole: int | None = None


@dataclass(frozen=True)
class Part:
    """What one file holds.

    Parameters
    ----------
    graphs
        Its graphs, positions in float64 and in the user's own frame.
    columns
        What became of its columns, those of features in the order of ``graphs.x``; empty for files without.
    notes
        What else a user should know: sentences that do not name the file.
    """

    graphs: Graphs
    columns: tuple[Column, ...] = ()
    notes: tuple[str, ...] = ()


Reader = Callable[[bytes, Ask], "Graphs | Part"]
