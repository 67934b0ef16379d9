"""What the columns of a table mean: positions, features, graphs, classes, or nothing for a model.

=============  ==========================================================================================
role           columns
=============  ==========================================================================================
position       x, y[, z], also with an affix or a unit (``x_centroid``, ``pos_y``, ``Z [um]``), or easting and
               northing; x alone beside a column ``graph``; the first three (or two) columns of numbers
               where there is no header
graph          graph, cloud, sample, shape, object, molecule, or id, where it groups rows
label          label, class, category
feature        any other column of numbers that varies, or of reals
left out       the index that pandas or R wrote, ids of points, text, empty ones, one whole number throughout
=============  ==========================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from noisefold.data.formats.delimited import Cells, Table
from noisefold.data.formats.reader import Ask, Column
from noisefold.geometry.names import nearest_name

__all__ = ["Roles", "position", "roles_of"]

_GRAPH = ("graph", "cloud", "sample", "shape", "object", "molecule", "mesh", "scene")
_LABEL = ("label", "class", "category", "classname", "labelname")
_POINT_ID = ("cell", "point", "spot", "node", "vertex", "atom", "row", "barcode", "barcodes", "uuid", "uid")
_INDEX = ("index", "idx", "level0", "rownames", "rowname", "key", "name", "fid", "nr", "no")
_UNNAMED = re.compile(r"(unnamed: *\d+(\.\d+)*)?", re.IGNORECASE)
_COUNTING = (
    "x",
    "v1",
    "n",
    "i",
    "num",
    "number",
    "rownumber",
    "rowid",
)  # where their values are 1, 2, 3, ...
_UNIT = re.compile(r"[\[(].*?[\])]")
_AFFIX = re.compile(
    r"pos(itions?)?|coord(inate)?s?|centroids?|cent(er|re)|loc(ation)?|spatial|global|point|p|c|"
    r"[uµμnmck]?m|microns?|px|pixels?"
)
_LONGEST = 80  # letters of a name that can be a position's
_PLACES = {"easting": 0, "northing": 1, "elevation": 2, "height": 2, "altitude": 2}


@dataclass
class Roles:
    """Columns by role, as numbers of the columns of a table.

    Parameters
    ----------
    pos, x
        Positions and features.
    group, label
        What tells graphs apart and what names their classes, or None.
    left
        Reasons why others are left out.
    """

    pos: list[int]
    x: list[int] = field(default_factory=list)
    group: int | None = None
    label: int | None = None
    left: dict[int, str] = field(default_factory=dict)

    def columns(self, table: Table) -> tuple[Column, ...]:
        """Return the roles in words, features in their order."""
        names = table.names
        role = dict.fromkeys(self.pos, "position")
        role |= {i: r for i, r in ((self.group, "graph"), (self.label, "label")) if i is not None}
        out = [Column(names[i], role[i]) for i in sorted(role)]
        out += [Column(names[i], "feature", whole=_constant(table.columns[i])) for i in self.x]
        return (*out, *(Column(names[i], "left out", why) for i, why in sorted(self.left.items())))


def position(name: str) -> int | None:
    """Return the axis, 0 to 2, that a name of a column stands for, or None.

    >>> [position(n) for n in ("x", "Y_centroid", "pos_z", "Z [um]", "heat", "max")]
    [0, 1, 2, 2, None, None]
    """
    if len(name) > _LONGEST:
        return None
    words = [w for w in re.split(r"[^a-z0-9µμ]+", _UNIT.sub("", name).lower()) if w]
    left = [w for w in words if not _AFFIX.fullmatch(w)]
    if len(left) == 1 and left[0] in _PLACES:
        return _PLACES[left[0]]
    word = "".join(left)
    if len(word) > 1:
        word = re.sub(
            r"^(pos|coord|center|centre|centroid|p)(?=[xyz]$)|(?<=^[xyz])(pos|coord|loc)$", "", word
        )
    return "xyz".index(word) if len(word) == 1 and word in "xyz" else None


def roles_of(table: Table, ask: Ask) -> Roles:
    """Return what each column of a table is, as was asked for or as its name says.

    Raises
    ------
    ValueError
        If a column that was asked for is not there, or there are no positions.
    """
    names = table.names
    if table.headed:
        _different(names, table.columns)
    named = {"pos": ask.pos, "x": ask.x}
    chosen = {k: [_find(names, n, k) for n in v] for k, v in named.items() if v is not None}
    single = {"group": ask.group, "label": ask.label}
    of = {k: _find(names, v, k) for k, v in single.items() if v is not None}
    taken = {i for v in chosen.values() for i in v} | set(of.values())
    left = {
        i: why for i, c in enumerate(table.columns) if i not in taken and (why := _index(c, table.headed))
    }
    if 0 not in taken and _counts_rows(table):
        left[0] = "index of the rows"
    free = [i for i in range(len(names)) if i not in left and i not in taken]
    pos = chosen.get("pos") or _positions(table, [i for i in free if i not in taken])
    roles = Roles(pos, chosen.get("x", []), of.get("group"), of.get("label"), left)
    free = [i for i in free if i not in pos]
    if table.headed:
        roles.group = _group(table, free, roles)
        if roles.label is None:
            roles.label = next((i for n in _LABEL for i in free if _plain(names[i]) == n), None)
    free = [i for i in free if i not in (roles.group, roles.label)]
    for i in free:
        why = _not_a_feature(table, i, roles)
        if why or "x" in chosen:
            roles.left[i] = why or "not asked for"
        else:
            roles.x.append(i)
    return roles


def _find(names: Sequence[str], wanted: str, argument: str) -> int:
    for same in (str, str.casefold):
        found = [i for i, n in enumerate(names) if same(n.strip()) == same(wanted.strip())]
        if len(found) == 1:
            return found[0]
    raise ValueError(
        f"{argument} names the column {wanted!r}, which is not there{nearest_name(wanted, names)}"
    )


def _different(names: Sequence[str], columns: Sequence[Cells]) -> None:
    seen = [n for n, c in zip(names, columns, strict=True) if not (c.empty and not n)]
    twice = next((n for n in seen if seen.count(n) > 1), None) if len(set(seen)) < len(seen) else None
    if twice is not None:
        raise ValueError(f"the header must name different columns, got {twice!r} twice; correct it.")


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _index(column: Cells, headed: bool) -> str:
    """Why a column is an index or empty, if so."""
    if column.empty:
        return "empty"
    if not headed or not _UNNAMED.fullmatch(column.name):
        return ""
    return "index of the rows" if column.whole or not column.numeric else ""


def _counting(column: Cells) -> bool:
    """Whether the cells are 0, 1, 2, ... or 1, 2, 3, ..., written as whole numbers."""
    if not column.whole:
        return False
    values = [float(c) for c in column.text] if column.text is not None else column.values
    assert values is not None
    first = int(values[0]) if abs(values[0]) < 2 else -1
    return first in (0, 1) and bool(np.array_equal(values, np.arange(first, first + len(values))))


def _counts_rows(table: Table) -> bool:
    """Whether the first column of a table without header is the index of its rows, not a position.

    There are three rows and two other columns of numbers at least, some of which are no whole numbers.
    """
    others = [c for c in table.columns[1:] if c.numeric]
    return (
        not table.headed
        and len(table.lines) > 2
        and len(others) > 1
        and not all(c.integral for c in others)
        and _counting(table.columns[0])
    )


def _positions(table: Table, free: Sequence[int]) -> list[int]:
    if not table.headed or not any(re.search("[a-z]", table.names[i], re.IGNORECASE) for i in free):
        numeric = [i for i in free if table.columns[i].numeric]
        if len(numeric) >= 2:
            return numeric[:3]
        raise ValueError("there are fewer than two columns of numbers; write `x y z` on each line.")
    exact: dict[str, int] = {}
    for i in free:
        name = table.names[i].strip()
        if name.lower() in ("x", "y", "z") and (name.lower() not in exact or name.islower()):
            exact[name.lower()] = i
    if {"x", "y"} <= set(exact):
        return [exact[n] for n in ("x", "y", "z") if n in exact]
    axes: dict[int, int] = {}
    for i in free:
        axis = position(table.names[i])
        if axis is not None and table.columns[i].numeric:
            if axis in axes:
                raise ValueError(
                    f"the columns {table.names[axes[axis]]!r} and {table.names[i]!r} could both be "
                    f"positions; say which with pos."
                )
            axes[axis] = i
    if set(axes) == {0} and "x" in exact and any(_plain(name) == "graph" for name in table.names):
        return [exact["x"]]  # functions on the line, as they are written
    if not {0, 1} <= set(axes):
        listed = ", ".join(map(repr, table.names[:8]))
        raise ValueError(
            f"the header must name different columns, x and y among them, got {listed}; correct it or say "
            f"which are positions with pos."
        )
    return [axes[a] for a in sorted(axes)]


def _group(table: Table, free: Sequence[int], roles: Roles) -> int | None:
    """The column that tells graphs apart; ids that all differ are of points."""
    if roles.group is not None:
        return roles.group
    names = [f"{stem}{end}" for stem in _GRAPH for end in ("", "id", "name", "index", "no")]
    for name in (*names, "id"):
        for i in free:
            column = table.columns[i]
            if _plain(table.names[i]) == name and (column.integral or not column.numeric):
                keys = column.keys()
                if len(set(keys)) < len(keys):
                    return i
    return None


def _not_a_feature(table: Table, i: int, roles: Roles) -> str:
    """Why a column is no feature, if so."""
    column = table.columns[i]
    if not column.numeric:
        return "text"
    if not table.headed or not column.whole:
        return ""
    name = _plain(table.names[i])
    stems = [f"{stem}{end}" for stem in (*_GRAPH, *_POINT_ID) for end in ("id", "index", "no", "name")]
    if name in stems or name in ("barcode", "barcodes", "uuid", "uid"):
        return "id"
    if name in _COUNTING and _counting(column):
        return "index of the rows"
    if name in (*_GRAPH, *_POINT_ID, *_INDEX, "id"):
        keys = column.keys()
        if roles.group is not None:
            groups = table.columns[roles.group].keys()
            keys = [f"{g}\0{k}" for g, k in zip(groups, keys, strict=True)]
        if len(set(keys)) == len(keys):
            return "id of the points"
    return ""


def _constant(column: Cells) -> int | None:
    """The whole number that stands in all rows, if so."""
    if column.text is not None:
        texts = set(column.text)
        return int(texts.pop()) if len(texts) == 1 and column.whole and len(column.text[0]) < 18 else None
    assert column.values is not None
    first = column.values[0]
    return int(first) if column.whole and bool((column.values == first).all()) else None
