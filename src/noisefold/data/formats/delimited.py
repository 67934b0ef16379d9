"""Text with columns: which delimiter, which decimal mark, which line is the header.

The delimiter is the one under which all lines have the same number of cells and most columns are numbers.
A comma is a decimal mark where another delimiter leaves cells such as ``0,25``. What could be read in two
ways is refused.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noisefold.data.formats.text import MISSING, is_number, numbers_of, whole_of, word
from noisefold.data.mesh import Array

__all__ = ["Cells", "Line", "Table", "table_of", "table_of_arrays"]

Line = tuple[int, str]
_Split = Callable[[str], list[str]]
_LINES, _LETTERS, _COLUMNS = 200, 100_000, 64  # how much decides on the delimiter
_EXACT = 2.0**53  # whole numbers beyond it are not exact in float64
_SEPARATOR = re.compile(r'"?sep=.?"?', re.IGNORECASE)  # a line for Excel
_MARKS = {"\t": "tab", ";": "semicolon", ",": "comma", "|": "bar"}


@dataclass(frozen=True)
class Cells:
    """One column.

    Parameters
    ----------
    name
        Its name in the header; empty if it has none.
    text
        Its cells as written, or None where only the numbers were kept.
    values
        Its numbers ``[n]``, or None where the cells were kept.
    numeric
        Whether most of its cells are numbers.
    whole, integral
        Whether every cell is written as a whole number, or is one.
    empty
        Whether no cell holds anything.
    """

    name: str
    text: tuple[str, ...] | None
    values: Array | None
    numeric: bool
    whole: bool
    integral: bool
    empty: bool = False

    def keys(self) -> list[str]:
        """Return each row's cell as a word that stands for it."""
        if self.text is not None:
            return [cell.strip() for cell in self.text]
        assert self.values is not None
        return [str(int(v)) if v.is_integer() else repr(v) for v in self.values.tolist()]


@dataclass(frozen=True)
class Table:
    """Columns of one length.

    Parameters
    ----------
    columns
        The columns.
    headed
        Whether their names are known.
    lines
        The line of each row, for messages.
    comma
        Whether the decimal mark is a comma.
    """

    columns: tuple[Cells, ...]
    headed: bool
    lines: Sequence[int]
    comma: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns; their numbers, from 1, where there is no header."""
        return tuple(c.name if self.headed else str(i) for i, c in enumerate(self.columns, 1))

    def numbers(self, i: int, missing: bool) -> Array:
        """Return a column's numbers ``[n]``.

        Raises
        ------
        ValueError
            If a cell is no number; the message names the line.
        """
        column = self.columns[i]
        if column.text is None:
            assert column.values is not None
            return column.values
        return numbers_of(column.text, self.lines, self.comma, missing)


def table_of(lines: Sequence[Line], comments: Sequence[Line] = (), first: str = ",") -> Table:
    """Return the table in lines of text.

    Parameters
    ----------
    lines
        Numbered lines that hold something.
    comments
        Comments; one before all lines may be the header.
    first
        The delimiter that the file's ending promises; it wins where several serve.

    Raises
    ------
    ValueError
        If the lines are no table, or could be read as different ones.
    """
    if not lines:
        raise ValueError("there are no points; write `x y z` on each line.")
    if len(lines) > 1 and _SEPARATOR.fullmatch(lines[0][1].strip()):
        lines = lines[1:]
    mark, split, comma = _delimiter(lines, first)
    counted = first in (",", "\t")
    fast = None if comma else _plain(lines, mark, split, counted)
    if fast is not None:
        return _named(fast, comments, lines[0][0])
    rows = _rows(lines, mark, split)
    headed = _headed(rows, comma, counted)
    names = rows.pop(0)[1] if headed else _commented(comments, len(rows[0][1]), lines[0][0])
    if not rows:
        raise ValueError("there are no points below the header; export the file again.")
    names, rows = _even(names, rows)
    if comma and any("." in c and is_number(c) for _, cells in rows for c in cells):
        raise ValueError("both commas and points are decimal marks here; write one of them.")
    numbers = [number for number, _ in rows]
    columns = [
        _cells("" if names is None else names[i].strip(), [cells[i] for _, cells in rows], comma)
        for i in range(len(rows[0][1]))
    ]
    return Table(tuple(columns), names is not None, numbers, comma)


# -- delimiter ----------------------------------------------------------------------------------------------


def _delimiter(lines: Sequence[Line], first: str) -> tuple[str, _Split, bool]:
    """The delimiter (" " for blanks, "" for any mixture), how it splits, and whether commas are decimal."""
    seen: list[str] = []
    letters = 0
    for _, line in lines[:_LINES]:
        letters += len(line)
        if letters > _LETTERS and len(seen) >= 3:
            break
        seen.append(line)
    order = dict.fromkeys([first, "\t", ";", "|", " ", ",", ""])
    serves = False  # whether a mixture of delimiters is out of the question
    best: tuple[tuple[bool, int, int], str, bool] | None = None
    for rank, mark in enumerate(order):
        split = _splitter(mark)
        rows = [split(line) for line in seen]
        body = rows[1:] or rows
        counts = Counter(len(r) for r in body)
        width = counts.most_common(1)[0][0]
        if width < 2:
            continue
        even = len(counts) == 1 and len(rows[0]) in (width, width - 1)
        if mark == "" and (not even or serves or len(rows[0]) != width):
            continue
        comma = mark != "" and any("," in c and is_number(c, True) for r in body for c in r[:_COLUMNS])
        full = [r for r in body if len(r) == width]
        numeric = sum(
            2 * sum(is_number(r[i], comma) for r in full) >= len(full) for i in range(min(width, _COLUMNS))
        )
        serves |= even and (comma or all(is_number(c) for r in body for c in r[:_COLUMNS]))
        score = (even, numeric, -rank)
        if best is None or score > best[0]:
            best = (score, mark, comma)
    if best is None:
        raise ValueError(
            f"line {lines[0][0]} holds {lines[0][1].strip()[:40]!r}, one column; write `x y z` on each line."
        )
    mark, comma = best[1], best[2]
    if mark == ",":
        _refuse_ambiguous(seen, comma)
    return mark, _splitter(mark), comma


def _splitter(mark: str) -> _Split:
    if mark == " ":
        return str.split
    if mark == "":
        return lambda line: re.split(r"[\s,;]+", line.strip(" \t,;"))
    if mark == "\t":
        return lambda line: line.split("\t")

    def split(line: str) -> list[str]:
        try:
            return next(csv.reader([line], delimiter=mark, skipinitialspace=True), [])
        except csv.Error:
            return [line]

    return split


def _refuse_ambiguous(lines: Sequence[str], comma: bool) -> None:
    """Refuse ``0,0012,0,2987``, whose decimal commas are the delimiters, too, and quoted thousands."""
    rows = [line.split(",") for line in lines]
    if all(len(r) % 2 == 0 and all(whole_of(c) is not None for c in r) for r in rows) and _halves(rows):
        raise ValueError("commas seem to be both delimiter and decimal mark; write decimal points.")
    quoted = [c for line in lines for c in re.findall(r'"([+-]?\d+,[\d,]*)"', line)]
    if comma and all(re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+", c) for c in quoted):
        raise ValueError("commas in quoted cells may separate thousands or be decimal; write decimal points.")


def _halves(rows: Sequence[Sequence[str]]) -> bool:
    """Whether pairs of whole cells look like the two halves of numbers: ``0,0012``, ``-0,27``, ``3,25``."""
    heads = [c.strip() for r in rows for c in r[::2]]
    tails = [c.strip() for r in rows for c in r[1::2]]
    if "-0" in heads or any(len(c) > 1 and c[0] == "0" for c in tails):
        return True
    digits = {len(c) if c.isdecimal() else 0 for c in tails}
    return len(rows) > 1 and len(digits) == 1 and min(digits) > 1


def _plain(lines: Sequence[Line], mark: str, split: _Split, counted: bool) -> Table | None:
    """The table by NumPy's fast parser, if no cell is quoted or missing; else None."""
    if mark == "" or any('"' in line for _, line in lines):
        return None
    head = split(lines[0][1])
    names = head if not any(is_number(c) for c in head) else None
    body = [line for _, line in lines[1 if names else 0 :]]
    start = split(body[0]) if body else []
    width = len(start)
    numeric = [i for i, c in enumerate(start) if is_number(c)]
    if width < 2 or not numeric or (names and len(names) != width):
        return None
    if names is None and counted and _counts(start):
        return None
    cut = str.split if mark == " " else lambda line: line.split(mark)
    if mark == " ":
        if any(len(line.split()) != width for line in body):
            return None
    elif any(line.count(mark) != width - 1 for line in body):
        return None
    try:
        values = np.loadtxt(
            body, delimiter=None if mark == " " else mark, comments=None, ndmin=2, usecols=numeric
        )
    except ValueError:
        return None
    if not (np.abs(values) < _EXACT).all():  # NaN among them
        return None
    columns: list[Cells] = []
    for i in range(width):
        name = names[i].strip() if names else ""
        if i in numeric:
            of = values[:, numeric.index(i)]
            integral = bool((of % 1 == 0).all())
            whole = integral and whole_of(start[i]) is not None
            columns.append(Cells(name, None, of, True, whole, integral))
        else:
            columns.append(_cells(name, [cut(line)[i] for line in body], False))
    return Table(tuple(columns), names is not None, [n for n, _ in lines[1 if names else 0 :]])


# -- rows ---------------------------------------------------------------------------------------------------


def _rows(lines: Sequence[Line], mark: str, split: _Split) -> list[tuple[int, list[str]]]:
    if mark not in (",", ";", "|"):
        return [(number, split(line)) for number, line in lines]
    # A quoted cell may run over several lines.
    reader = csv.reader(
        io.StringIO("\n".join(line for _, line in lines), newline=""), delimiter=mark, skipinitialspace=True
    )
    rows = []
    try:
        for cells in reader:
            if any(c.strip() for c in cells):
                rows.append((lines[min(reader.line_num, len(lines)) - 1][0], cells))
    except csv.Error as error:
        at = lines[min(reader.line_num, len(lines)) - 1][0]
        raise ValueError(f"line {at} is not {_MARKS[mark]}-separated text ({error}); correct it.") from error
    if not rows:
        raise ValueError("there are no points; write `x y z` on each line.")
    return rows


def _headed(rows: Sequence[tuple[int, list[str]]], comma: bool, counted: bool) -> bool:
    """Whether the first row names the columns; `counted` if their names may be 0, 1, 2, as of pandas.

    Raises
    ------
    ValueError
        If such a row may be a point as well.
    """
    number, cells = rows[0]
    if not any(is_number(c, comma) for c in cells):
        return any(c.strip() for c in cells)
    if not counted or not _counts(cells):
        return False
    if all(whole_of(c) is not None for _, row in rows[1:] for c in row if is_number(c, comma)):
        raise ValueError(
            f"line {number} holds {', '.join(cells)[:40]!r}, which may be a header or a point; give the "
            f"columns names, x and y among them."
        )
    return True


def _counts(cells: Sequence[str]) -> bool:
    """Whether the numbers among some cells are 0, 1, 2, ..."""
    numbers = [whole_of(c) for c in cells if is_number(c)]
    return bool(numbers) and numbers == list(range(len(numbers)))


def _even(
    names: list[str] | None, rows: list[tuple[int, list[str]]]
) -> tuple[list[str] | None, list[tuple[int, list[str]]]]:
    """Names and rows of one width, at least 2."""
    width = len(rows[0][1])
    if names is not None and len(names) == width - 1:
        if not any(row[-1].strip() for _, row in rows):  # a delimiter at the end of each line
            rows, width = [(number, row[:-1]) for number, row in rows], width - 1
        else:  # R leaves the names of rows without a header
            names = ["", *names]
    expected = width if names is None else len(names)
    for number, cells in rows:
        if len(cells) != expected or expected < 2:
            what = "the first" if names is None else "the header"
            raise ValueError(
                f"line {number} has {len(cells)} columns, {what} {expected}; write at least `x y` on each "
                f"line, and the same number of cells everywhere."
            )
    return names, rows


def _commented(comments: Sequence[Line], width: int, start: int) -> list[str] | None:
    """The header in the last comment before the first row, as NumPy and CloudCompare write it."""
    before = [text for number, text in comments if number < start]
    if not before:
        return None
    words = re.split(r"[\s,;]+", before[-1].strip())
    tabbed = [w.strip() for w in before[-1].split("\t")]
    for names in (tabbed, words):
        if len(names) == width and {"x", "y"} <= {n.lower() for n in names}:
            return names
    return None


def _named(table: Table, comments: Sequence[Line], start: int) -> Table:
    names = None if table.headed else _commented(comments, len(table.columns), start)
    if names is None:
        return table
    columns = [replace(c, name=n) for n, c in zip(names, table.columns, strict=True)]
    return replace(table, columns=tuple(columns), headed=True)


def _cells(name: str, text: list[str], comma: bool) -> Cells:
    there = [c.strip() for c in text if c.strip().lower() not in MISSING]
    numeric = sum(is_number(c, comma) or c.lower() in ("true", "false") for c in there)
    whole = bool(there) and all(whole_of(c) is not None for c in text)
    empty = not any(c.strip() for c in text)
    integral = whole or (bool(there) and all(re.fullmatch(r"[+-]?\d+(\.0*)?", c.strip()) for c in text))
    return Cells(name, tuple(text), None, bool(there) and 2 * numeric >= len(there), whole, integral, empty)


def table_of_arrays(arrays: Mapping[str, NDArray[Any]]) -> Table:
    """Return the table of named columns ``[n]``, such as those of a DataFrame or a structured array.

    Raises
    ------
    ValueError
        If there are no rows.
    """
    columns = [_column(name, values) for name, values in arrays.items()]
    n = len(next(iter(arrays.values()))) if arrays else 0
    if n == 0:
        raise ValueError("there are no rows; give at least two points.")
    return Table(tuple(columns), True, range(1, n + 1))


def _column(name: str, values: NDArray[Any]) -> Cells:
    kind = values.dtype.kind
    if kind == "b" or (kind in "iu" and (np.abs(values.astype(np.float64)) < _EXACT).all()):
        return Cells(name, None, values.astype(np.float64), True, True, True)
    if kind == "f":
        of = values.astype(np.float64)
        return Cells(name, None, of, bool(np.isfinite(of).any()), False, bool((of % 1 == 0).all()))
    return _cells(name, ["" if v is None else word(v) for v in values], False)
