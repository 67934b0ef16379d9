"""Rows of the elements of .ply files, in text and in binary."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from noisefold.data.formats.text import decoded
from noisefold.data.formats.vertices import numbers
from noisefold.data.mesh import Array
from noisefold.data.polygons import Ints

__all__ = ["Binary", "Element", "Property", "Text", "Values"]


@dataclass(frozen=True)
class Property:
    """A property of an element: a number, or a list of numbers.

    Parameters
    ----------
    name
        Its name.
    kind
        NumPy's code of the type, such as ``f4``.
    length
        Of a list, the code of the type of its length.
    """

    name: str
    kind: str
    length: str = ""


@dataclass(frozen=True)
class Element:
    """A kind of thing of which a file has `count` rows."""

    name: str
    count: int
    properties: list[Property] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Values:
    """What an element's rows hold: a column for each scalar; all values, and the lengths, for each list."""

    scalars: dict[str, Array]
    lists: dict[str, tuple[Array, Ints]]


class Text:
    """Rows in a text, as one sequence of numbers."""

    def __init__(self, body: bytes) -> None:
        text = decoded(body)
        if "#" in text or "comment" in text:
            text = re.sub(r"#.*|^[ \t]*comment\b.*", "", text, flags=re.MULTILINE)
        self._numbers = numbers(text)
        self._at = 0

    def rows(self, element: Element) -> Values:
        """Return the next rows.

        Raises
        ------
        ValueError
            If there are fewer, or a list has no length.
        """
        if not element.properties or not element.count:
            return _nothing(element)
        left = self._numbers.values[self._at :]
        if element.count > len(left):
            raise self._lacking(element)
        columns = self._alike(left, element)
        return self._walk(left, element) if columns is None else _columns(element, columns)

    def end(self) -> None:
        """Refuse what follows the last row.

        Raises
        ------
        ValueError
            If there are more rows than the header announces.
        """
        more = len(self._numbers.values) - self._at
        if more:
            raise ValueError(f"{more} values follow the rows that the header announces; correct it.")

    def _lacking(self, element: Element) -> ValueError:
        return self._numbers.lacking(f"the {element.count} rows of {element.name!r}")

    def _length(self, value: float, element: Element) -> int:
        if not (0 <= value < 2**31 and value == int(value)):
            raise ValueError(f"{element.name!r} has a list of length {value:g}; export the file again.")
        return int(value)

    def _alike(self, left: Array, element: Element) -> list[Array] | None:
        """Return the properties' values, ``[count, length]`` each, if every list is as long as the first."""
        widths: list[int] = []
        for p in element.properties:
            at = sum(widths)
            if at >= len(left):
                raise self._lacking(element)
            widths.append(1 + self._length(left[at], element) if p.length else 1)
        total = sum(widths) * element.count
        if total > len(left):
            if any(p.length for p in element.properties):
                return None
            raise self._lacking(element)
        parts = np.split(left[:total].reshape(element.count, -1), np.cumsum(widths)[:-1], axis=1)
        for p, width, part in zip(element.properties, widths, parts, strict=True):
            if p.length and (part[:, 0] != width - 1).any():
                return None
        self._at += total
        return [part[:, 1:] if p.length else part for p, part in zip(element.properties, parts, strict=True)]

    def _walk(self, left: Array, element: Element) -> Values:
        values = left.tolist()
        begins: list[list[int]] = [[] for _ in element.properties]
        lengths: list[list[int]] = [[] for _ in element.properties]
        at = 0
        for _ in range(element.count):
            for p, begin, sizes in zip(element.properties, begins, lengths, strict=True):
                size = 1
                if p.length:
                    if at >= len(values):
                        raise self._lacking(element)
                    size = self._length(values[at], element)
                    at += 1
                begin.append(at)
                sizes.append(size)
                at += size
            if at > len(values):
                raise self._lacking(element)
        self._at += at
        taken = [
            (left[_places(begin, sizes, 1)], np.array(sizes, dtype=np.int64))
            for begin, sizes in zip(begins, lengths, strict=True)
        ]
        return _ragged(element, taken)


class Binary:
    """Rows in bytes of one byte order."""

    def __init__(self, data: bytes, start: int, order: str) -> None:
        self._data, self._at, self._order = data, start, order

    def end(self) -> None:
        """Pass over what follows the last row, as some writers fill their files up."""

    def rows(self, element: Element) -> Values:
        """Return the next rows.

        Raises
        ------
        ValueError
            If there are fewer, or a list has no length.
        """
        fixed = [Property(p.name, p.length or p.kind) for p in element.properties]
        least = sum(int(p.kind[1]) for p in fixed)
        if element.count * least > len(self._data) - self._at:
            raise _cut(element)
        if not element.properties or not element.count:
            return _nothing(element)
        table = self._alike(element)
        if table is None:
            return self._walk(element)
        columns = []
        for i, p in enumerate(element.properties):
            shape = (element.count, -1) if table[f"v{i}"].size else (element.count, 0)
            columns.append(np.asarray(table[f"v{i}"], dtype=np.float64).reshape(shape))
            if p.length and (table[f"n{i}"] != columns[-1].shape[1]).any():
                return self._walk(element)
        self._at += table.nbytes
        return _columns(element, columns)

    def _alike(self, element: Element) -> NDArray[np.void] | None:
        """Return a view of the rows as if every list were as long as the first; None if they are not."""
        at, fields = self._at, []
        for i, p in enumerate(element.properties):
            length = 1
            if p.length:
                length = self._integer(at, p.length)
                at += int(p.length[1])
                fields.append((f"n{i}", self._order + p.length))
            if not 0 <= length <= len(self._data) - at:
                return None
            at += length * int(p.kind[1])
            fields.append((f"v{i}", f"({length},){self._order}{p.kind}"))
        row = np.dtype(fields)
        if row.itemsize * element.count > len(self._data) - self._at:
            return None
        return np.frombuffer(self._data, row, element.count, self._at)

    def _integer(self, at: int, kind: str) -> int:
        piece = self._data[at : at + int(kind[1])]
        return int.from_bytes(piece, "big" if self._order == ">" else "little", signed=kind[0] == "i")

    def _walk(self, element: Element) -> Values:
        end, at, order = len(self._data), self._at, "big" if self._order == ">" else "little"
        plan = [(int(p.length[1:] or 0), p.length[:1] == "i", int(p.kind[1])) for p in element.properties]
        begins: list[list[int]] = [[] for _ in plan]
        lengths: list[list[int]] = [[] for _ in plan]
        for _ in range(element.count):
            for (prefix, signed, width), begin, sizes in zip(plan, begins, lengths, strict=True):
                size = 1
                if prefix:
                    size = int.from_bytes(self._data[at : at + prefix], order, signed=signed)  # type: ignore[arg-type]
                    if size < 0:
                        raise ValueError(f"{element.name!r} has a list of length {size}; export it again.")
                begin.append(at + prefix)
                sizes.append(size)
                at += prefix + size * width
            if at > end:
                raise _cut(element)
        self._at = at
        raw = np.frombuffer(self._data, np.uint8)
        taken = []
        for p, begin, sizes in zip(element.properties, begins, lengths, strict=True):
            width = int(p.kind[1])
            pieces = raw[_places(begin, sizes, width)[:, None] + np.arange(width)]
            values = np.ascontiguousarray(pieces).view(self._order + p.kind).astype(np.float64).ravel()
            taken.append((values, np.array(sizes, dtype=np.int64)))
        return _ragged(element, taken)


def _cut(element: Element) -> ValueError:
    return ValueError(
        f"the file is truncated, it ends within the {element.count} rows of {element.name!r}; copy it again."
    )


def _places(begins: list[int], sizes: list[int], width: int) -> Ints:
    """Return where the values of lists lie that begin at `begins`, each value `width` long."""
    counts = np.array(sizes, dtype=np.int64)
    inner = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.asarray(np.repeat(np.array(begins, dtype=np.int64), counts) + width * inner)


def _nothing(element: Element) -> Values:
    empty = np.zeros(0), np.zeros(0, dtype=np.int64)
    return Values(
        {p.name: np.zeros(0) for p in element.properties if not p.length},
        {p.name: empty for p in element.properties if p.length},
    )


def _columns(element: Element, columns: list[Array]) -> Values:
    return _ragged(element, [(c.ravel(), np.full(len(c), c.shape[1], dtype=np.int64)) for c in columns])


def _ragged(element: Element, taken: list[tuple[Array, Ints]]) -> Values:
    pairs = list(zip(element.properties, taken, strict=True))
    scalars = {p.name: values for p, (values, _) in pairs if not p.length}
    return Values(scalars, {p.name: both for p, both in pairs if p.length})
