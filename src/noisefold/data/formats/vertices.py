"""What files of points and faces hold, and how it becomes graphs."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote, unquote

import numpy as np
import torch

from noisefold.data.mesh import Array, Mesh
from noisefold.data.polygons import Ints, triangulated
from noisefold.geometry.graphs import Graphs

__all__ = [
    "Numbers",
    "Sampler",
    "Vertices",
    "as_graphs",
    "guarded",
    "header_names",
    "numbers",
    "polygons",
    "position_columns",
]

Sampler = Callable[[Mesh], Array]
_SHOWN = 40  # characters of a damaged word in a message


@dataclass(frozen=True, eq=False)
class Vertices:
    """Points with features and what connects them.

    Parameters
    ----------
    pos
        Coordinates, ``[v, 3]``, float64.
    triangles
        Rows of `pos`, ``[t, 3]``; if there are any, the surface is meant.
    features
        Further values, ``[v, f]``, or None.
    names
        Names of the features.
    edges
        Rows of `pos`, ``[2, e]``, or None.
    """

    pos: Array
    triangles: Ints
    features: Array | None = None
    names: tuple[str, ...] = ()
    edges: Ints | None = None


def as_graphs(content: Vertices, sampler: Sampler) -> Graphs:
    """Return one graph in float64: points on the surface if there is one, else the vertices as they are.

    Raises
    ------
    ValueError
        If there are no points.
    """
    if len(content.triangles):
        return Graphs(torch.from_numpy(sampler(Mesh(content.pos, content.triangles))))
    if not len(content.pos):
        raise ValueError("there are neither points nor faces; export the file again.")
    features = None if content.features is None else torch.from_numpy(content.features)
    edges = None if content.edges is None else torch.from_numpy(content.edges)
    names = tuple(unquote(name) for name in content.names)
    if names == tuple(f"f{i}" for i in range(len(names))):  # as features without names are written
        names = ()
    pos = torch.from_numpy(content.pos)
    return Graphs(pos, features, edge_index=edges, feature_names=names)


def header_names(graphs: Graphs, taken: Sequence[str]) -> list[str]:
    """Return a word for each feature that can stand in a header, from which `as_graphs` takes the name back.

    Blanks, control characters, # and % become %20 and the like, and so does the first letter of a name that
    is taken; features without names become f0, f1 ...

    Raises
    ------
    ValueError
        If a feature's name is empty.
    """
    words = []
    for name in graphs.feature_names or [f"f{i}" for i in range(graphs.features)]:
        if not name:
            raise ValueError("a feature has an empty name; rename it, or save as .npz.")
        word = re.sub(r"[\s%#\x00-\x1f]", lambda m: quote(m[0]), name)
        words.append(f"%{ord(name[0]):02X}{name[1:]}" if name.lower() in taken else word)
    return words


@contextmanager
def guarded() -> Iterator[None]:
    """Turn whatever a reader trips over in damaged bytes into a ValueError."""
    try:
        yield
    except (ValueError, ImportError):
        raise
    except (ArithmeticError, LookupError, TypeError) as error:
        raise ValueError(
            f"the file is damaged ({type(error).__name__}: {str(error)[:_SHOWN]}); copy it again."
        ) from error


@dataclass(frozen=True, eq=False)
class Numbers:
    """Numbers in a text, up to the first word that is none.

    Parameters
    ----------
    values
        The numbers, ``[k]``, float64.
    counts
        How many there are in each line that has any, ``[l]``.
    stop
        The word that is no number, or empty.
    """

    values: Array
    counts: Ints
    stop: str = ""

    def lacking(self, noun: str) -> ValueError:
        """Return the error that says that more numbers were needed for what `noun` names."""
        if self.stop:
            return ValueError(f"{noun} hold {self.stop[:_SHOWN]!r}, which is no number; correct it.")
        return ValueError(f"the file is truncated, it ends within {noun}; copy it again.")


def numbers(text: str) -> Numbers:
    """Return the numbers in a text."""
    raw = np.frombuffer(b"\n" + text.encode("ascii", "replace") + b"\n", np.uint8)
    blank = raw <= ord(" ")
    begins = np.flatnonzero(blank[:-1] & ~blank[1:])
    if not len(begins):
        return Numbers(np.zeros(0), np.zeros(0, dtype=np.int64))
    stop = ""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            values = np.fromstring(text, dtype=np.float64, sep=" ")
        except (DeprecationWarning, ValueError):  # a word that is no number
            values = np.zeros(0)
    if len(values) != len(begins):
        values, stop = _one_by_one(text.split())
    counts = np.diff(np.searchsorted(begins[: len(values)], np.flatnonzero(raw == ord("\n"))))
    return Numbers(values, counts[counts > 0].astype(np.int64), stop)


def _one_by_one(words: Sequence[str]) -> tuple[Array, str]:
    values: list[float] = []
    for word in words:
        try:
            values.append(float(word))
        except ValueError:
            return np.array(values, dtype=np.float64), word
    return np.array(values, dtype=np.float64), ""


def polygons(pos: Array, corners: Ints, sizes: Ints) -> Ints:
    """Return the triangles ``[t, 3]`` of faces, after a check of the vertices that they name.

    Parameters
    ----------
    pos
        Coordinates, ``[v, 3]``.
    corners
        Corners of one face after another, ``[c]``.
    sizes
        Number of corners of each face, ``[p]``.

    Raises
    ------
    ValueError
        If a face names a vertex that is not there, or a vertex is not finite.
    """
    if not len(corners):
        return np.zeros((0, 3), dtype=np.int64)
    if corners.min() < 0 or corners.max() >= len(pos):
        place = int(((corners < 0) | (corners >= len(pos))).argmax())
        face = int(np.searchsorted(np.cumsum(sizes), place, side="right"))
        raise ValueError(
            f"face {face} names vertex {corners[place]}, a vertex outside of 0 to {len(pos) - 1}; "
            f"export the file again."
        )
    bad = ~np.isfinite(pos).all(axis=1)
    if bad.any():
        raise ValueError(
            f"the coordinates of vertex {int(bad.argmax())} are NaN or infinite; repair the mesh."
        )
    return triangulated(pos, corners, sizes)


def position_columns(names: Sequence[str]) -> list[int]:
    """Return the columns of x, y and z among the names of properties.

    Raises
    ------
    ValueError
        If one is missing, or a name occurs twice.
    """
    lower = [name.lower() for name in names]
    missing = next((axis for axis in "xyz" if axis not in lower), None)
    if missing is not None:
        raise ValueError(f"the points have no property {missing}, only {', '.join(names) or 'none'}; add it.")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"the points have the property {twice!r} twice; names must differ.")
    return [names.index(axis) if axis in names else lower.index(axis) for axis in "xyz"]
