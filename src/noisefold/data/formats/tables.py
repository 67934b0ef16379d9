"""Graphs as lines of text: .csv, .tsv, .txt, .xyz and .pts.

A line is a point. What the columns are is decided by `noisefold.data.formats.columns`; which delimiter and
decimal mark they have, by `noisefold.data.formats.delimited`. ``#`` opens a comment; the last comment before
the points may name the columns. A .xyz or .pts file may begin with the number of its points; a .xyz file
may hold molecules (`noisefold.data.formats.molecules`).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from noisefold.data.classes import coded
from noisefold.data.earth.stations import Stations, has_stations
from noisefold.data.formats.columns import Roles, roles_of
from noisefold.data.formats.delimited import Cells, Line, Table, table_of
from noisefold.data.formats.molecules import are_molecules, read_molecules, write_molecule
from noisefold.data.formats.reader import Ask, Part
from noisefold.data.formats.text import decoded, is_number, lines_of
from noisefold.data.molecules import is_molecular
from noisefold.geometry.graphs import Graphs

__all__ = [
    "holds_points",
    "named_columns",
    "part_of",
    "read_csv",
    "read_points",
    "read_pts",
    "read_tsv",
    "read_xyz",
    "write_csv",
    "write_points",
    "write_pts",
    "write_tsv",
    "write_xyz",
]

_AXES = ("x", "y", "z")
_SCAN = {7: ("intensity", "red", "green", "blue"), 6: ("red", "green", "blue"), 4: ("intensity",)}
_COUNT = re.compile(r"\s*\d{1,10}\s*(#.*)?")


# -- reading ------------------------------------------------------------------------------------------------


def read_csv(data: bytes, ask: Ask) -> Part:
    """Return the graphs in the bytes of a .csv file, in the order in which they first appear."""
    return part_of(table_of(*lines_of(decoded(data), inline=False), first=","), ask)


def read_tsv(data: bytes, ask: Ask) -> Part:
    """Return the graphs in the bytes of a .tsv file."""
    return part_of(table_of(*lines_of(decoded(data), inline=False), first="\t"), ask)


def read_points(data: bytes, ask: Ask) -> Part:
    """Return the graphs in the bytes of a .txt file."""
    return _points(decoded(data), ask)


def read_xyz(data: bytes, ask: Ask) -> Part:
    """Return the graphs in the bytes of a .xyz file: points, counted points or molecules."""
    text = decoded(data)
    lines = text.strip("\n").split("\n")
    if _COUNT.fullmatch(lines[0]) and are_molecules(lines):
        return read_molecules(lines, ask)
    return _points(text, ask)


def read_pts(data: bytes, ask: Ask) -> Part:
    """Return the points in the bytes of a .pts file: x y z [intensity] [r g b], or landmarks in braces."""
    text = decoded(data)
    if "{" in text[:200]:
        head, _, body = text.partition("{")
        counted = re.search(r"n_points\s*:\s*(\d+)", head)
        text = (f"{counted[1]}\n" if counted else "\n") + "\n" * head.count("\n") + body.split("}")[0]
    return _points(text, ask, _SCAN)


def _points(text: str, ask: Ask, scan: Mapping[int, tuple[str, ...]] | None = None) -> Part:
    lines, comments = lines_of(text, inline=True)
    points = _uncounted(lines)
    table = table_of(points, comments, first=" ")
    names = (scan or ({7: _SCAN[7]} if len(points) < len(lines) else {})).get(len(table.columns))
    if names is not None and not table.headed:
        names = (*_AXES, *names)
        columns = [replace(c, name=n) for c, n in zip(table.columns, names, strict=True)]
        table = replace(table, columns=tuple(columns), headed=True)
    return part_of(table, ask)


def _uncounted(lines: list[Line]) -> list[Line]:
    """Lines without the counts of points, which must be right."""
    if len(lines) < 2 or not _COUNT.fullmatch(lines[0][1]):
        return lines
    out: list[Line] = []
    at = 0
    while at < len(lines):
        number, head = lines[at]
        if not _COUNT.fullmatch(head):
            raise ValueError(f"line {number} holds {head.strip()[:40]!r}, not a count; correct it.")
        count = int(head.split("#")[0])
        # Chemistry's comment below the count, also where points have no symbols.
        at += len(lines) > at + 1 + count and not any(map(is_number, lines[at + 1][1].split()))
        part = lines[at + 1 : at + 1 + count]
        if len(part) < count:
            raise ValueError(f"line {number} announces {count} points, but {len(part)} follow; export again.")
        out += part
        at += 1 + count
    return out


def holds_points(data: bytes) -> bool:
    """Whether the beginning of a text has a line of at least two numbers, or a header with x and y."""
    try:
        lines, comments = lines_of(decoded(data[:4096]), inline=True)
    except ValueError:
        return False
    for _, line in [*lines, *comments]:
        cells = [c for c in re.split(r"[\s,;|]+", line.strip()) if c]
        if sum(is_number(c) for c in cells) >= 2 or {"x", "y"} <= {c.lower() for c in cells}:
            return True
    return False


# -- a table as graphs --------------------------------------------------------------------------------------


def part_of(table: Table, ask: Ask) -> Part:
    """Return the graphs of a table and what became of its columns.

    One with latitudes and longitudes is read by `noisefold.data.earth.stations`.

    Raises
    ------
    ValueError
        If there are no positions, or a cell of a position or a feature is no number.
    """
    if has_stations(table, ask):
        return Stations.of(table, ask).part
    roles = roles_of(table, ask)
    names = [table.names[i] for i in roles.x]
    if sorted(names) == sorted(f"f{k}" for k in range(len(names))):  # as graphs without names are written
        roles.x = [i for _, i in sorted(zip([int(n[1:]) for n in names], roles.x, strict=True))]
        names = []
    pos = _stacked(table, roles.pos, ask.missing)
    x = _stacked(table, roles.x, ask.missing) if roles.x else None
    order, ptr = _grouped(table, roles.group)
    words = None
    if roles.label is not None:
        words = table.columns[roles.label].keys()
        if roles.group is None and ask.label is None and len(set(words)) > 1:
            roles.left[roles.label], roles.label = "label of the points, not of a graph", None
    fields: dict[str, Any] = {"feature_names": tuple(names) if table.headed else ()}
    if roles.label is not None and words is not None:
        fields["label"], fields["classes"] = _labelled([words[i] for i in order.tolist()], ptr)
    graphs = Graphs(
        torch.from_numpy(pos[order]), None if x is None else torch.from_numpy(x[order]), torch.from_numpy(ptr)
    )
    return Part(graphs.replace(**fields), roles.columns(table))


def _stacked(table: Table, columns: Sequence[int], missing: bool) -> NDArray[np.float64]:
    return np.stack([table.numbers(i, missing) for i in columns], axis=1)


def _grouped(table: Table, group: int | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows sorted by graph ``[n]``, graphs in the order in which they appear, and their offsets."""
    if group is None:
        n = len(table.lines)
        return np.arange(n), np.array([0, n])
    number: dict[str, int] = {}
    keys = table.columns[group].keys()
    graph = np.array([number.setdefault(k, len(number)) for k in keys])
    sizes = np.bincount(graph)
    return np.argsort(graph, kind="stable"), np.concatenate([[0], np.cumsum(sizes)])


def _labelled(words: Sequence[str], ptr: NDArray[np.int64]) -> tuple[torch.Tensor, tuple[str, ...]]:
    first = [words[i] for i in ptr[:-1]]
    for i, (start, end) in enumerate(pairwise(ptr.tolist())):
        other = next((w for w in words[start:end] if w != first[i]), None)
        if other is not None:
            raise ValueError(f"graph {i} has the labels {first[i]!r} and {other!r}; give it one.")
    return coded(first)


# -- writing ------------------------------------------------------------------------------------------------


def write_csv(graphs: Graphs, mark: str = ",") -> bytes:
    """Return all graphs as the bytes of a .csv file: graph, [label,] x[, y[, z]] and features by name.

    Raises
    ------
    ValueError
        If positions have another dimension, or a feature's name would be read as something else.
    """
    _check_axes(graphs)
    header = ["graph", *_AXES[: graphs.dim], *_feature_names(graphs)]
    keys = [[str(i)] for i in range(len(graphs))]
    if graphs.label is not None:
        header.insert(1, "label")
        names = [graphs.classes[k] if graphs.classes else str(k) for k in graphs.label.tolist()]
        keys = [[*key, name] for key, name in zip(keys, names, strict=True)]
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=mark, lineterminator="\n")
    writer.writerow(header)
    for i, row in zip(graphs.batch.tolist(), _cells(graphs), strict=True):
        writer.writerow([*keys[i], *row])
    return buffer.getvalue().encode()


def named_columns(graphs: Graphs) -> dict[str, NDArray[Any]]:
    """Return the columns of a table of all graphs, as of `write_csv`."""
    _check_axes(graphs)
    graph = graphs.batch.cpu().numpy()
    columns: dict[str, NDArray[Any]] = {"graph": graph}
    if graphs.label is not None:
        names = [graphs.classes[k] if graphs.classes else str(k) for k in graphs.label.tolist()]
        columns["label"] = np.array(names, dtype=np.str_)[graph]
    pos, x = _numbers(graphs)
    columns |= dict(zip(_AXES, pos.T, strict=False))
    return columns | dict(zip(_feature_names(graphs), x.T, strict=True))


def _check_axes(graphs: Graphs) -> None:
    if not 1 <= graphs.dim <= len(_AXES):
        raise ValueError(f"a table holds positions in 1 to 3 dimensions, got {graphs.dim}; save as .npz.")


def write_tsv(graphs: Graphs) -> bytes:
    """Return all graphs as the bytes of a .tsv file."""
    return write_csv(graphs, "\t")


def write_points(graphs: Graphs) -> bytes:
    """Return one graph as lines ``x y z [features]``, the bytes of a .xyz or .txt file; a comment names them.

    Raises
    ------
    ValueError
        If positions are not in 3 dimensions, or a feature's name would be read as something else.
    """
    return _lines(graphs, bool(graphs.feature_names))


def write_xyz(graphs: Graphs) -> bytes:
    """Return one molecule in 3-D as chemistry's XYZ, whose bonds are lost, or other points as `write_points`.

    Raises
    ------
    ValueError
        If the graph has edges and is no molecule in 3-D, or as of `write_points`.
    """
    if graphs.node_type is not None and graphs.dim == 3 and is_molecular(graphs):
        return write_molecule(graphs)
    lost = next((n for n in ("edge_index", "node_type", "edge_type") if getattr(graphs, n) is not None), None)
    if lost is not None:
        raise ValueError(f".xyz files hold `{lost}` of molecules alone; save as .npz.")
    return write_points(graphs)


def write_pts(graphs: Graphs) -> bytes:
    """Return one graph as the bytes of a .pts file, which begins with the number of its points."""
    return f"{graphs.num_nodes}\n".encode() + _lines(graphs, graphs.features > 0)


def _lines(graphs: Graphs, headed: bool) -> bytes:
    if graphs.dim != 3:
        raise ValueError(f"this format holds positions in 3 dimensions, got {graphs.dim}; save as .npz.")
    head = ""
    if headed:
        names = _feature_names(graphs)
        mark = "\t" if any(re.search(r"[\s,;]", n) for n in names) else " "
        head = "# " + mark.join([*_AXES, *names]) + "\n"
    return (head + "".join(" ".join(row) + "\n" for row in _cells(graphs))).encode()


def _feature_names(graphs: Graphs) -> list[str]:
    """Names of the features, which must come back as what they are."""
    if not graphs.feature_names:
        return [f"f{i}" for i in range(graphs.features)]
    names = list(graphs.feature_names)
    cells = [Cells(n, None, np.ones(2), True, False, True) for n in (*_AXES, *names)]
    bad = next((n for n in names if n != n.strip() or not n or re.search(r"[\n\r\t]", n)), None)
    try:
        roles = roles_of(Table(tuple(cells), True, (1, 2)), Ask()) if bad is None else Roles([])
    except ValueError:
        bad = next((n for n in names if names.count(n) > 1 or n.lower() in _AXES), names[0])
    else:
        lost = [n for i, n in enumerate(names, len(_AXES)) if i not in roles.x]
        bad = bad or next(iter(lost), None)
    if bad is not None:
        raise ValueError(f"the feature {bad!r} would be read as something else; rename it or save as .npz.")
    return names


def _cells(graphs: Graphs) -> list[list[str]]:
    """Positions in the user's frame and features, the shortest text that brings each number back."""
    return [a + b for a, b in zip(*(_text(part) for part in _numbers(graphs)), strict=True)]


def _numbers(graphs: Graphs) -> tuple[NDArray[Any], NDArray[Any]]:
    """Positions in the user's frame ``[n, d]`` and features ``[n, f]``, in float32 or float64."""
    x = graphs.pos.new_zeros(graphs.num_nodes, 0) if graphs.x is None else graphs.x
    parts = (graphs.coordinates if any(graphs.origin) else graphs.pos, x)
    pos, x = (p if p.dtype == torch.float64 else p.float() for p in parts)
    return pos.detach().cpu().numpy(), x.detach().cpu().numpy()


def _text(array: NDArray[Any]) -> list[list[str]]:
    if array.dtype == np.float64:
        return [[repr(v) for v in row] for row in array.tolist()]
    return [row.tolist() for row in array.astype(str)]
