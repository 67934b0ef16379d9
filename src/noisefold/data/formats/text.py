"""Bytes as lines of text: encodings, line ends, comments and numbers as people write them."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from noisefold.data.mesh import Array

__all__ = ["MISSING", "decoded", "is_number", "lines_of", "number_of", "numbers_of", "whole_of", "word"]

_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f]")
_NUMBER = re.compile(
    r"[+-]?(\d+(\.\d*)?|\.\d+)([ed][+-]?\d+)?|[+-]?(nan|inf(inity)?)", re.IGNORECASE | re.ASCII
)
_MINUS = re.compile("\u2212(?=[0-9.])")  # as some languages of Excel and LibreOffice write it
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_COMMENT = re.compile(r"\s*(#|//|%|!)")
_TRUTH = {"true": 1.0, "false": 0.0}

MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", "-", ".", "?"})
"""Cells that stand for a missing value, in lower case."""


def decoded(data: bytes) -> str:
    r"""Return bytes as text with the line end ``\n``.

    They are UTF-8 or UTF-16 by their mark, else UTF-8, else Windows-1252, else Latin-1.

    Raises
    ------
    ValueError
        If the bytes are no text.
    """
    encoding = next((name for mark, name in _BOMS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise ValueError(f"byte {error.start} is not {encoding} text; export the file again.") from error
        try:
            text = data.decode("cp1252")  # which has letters where Latin-1 has control characters
        except UnicodeDecodeError:
            text = data.decode("latin-1")
    text = text.removesuffix("\x1a")  # how DOS ends a file
    control = _CONTROL.search(text)
    if control is not None:
        raise ValueError(
            f"character {control.start()} is {control[0]!r}, which no text holds; check the file's ending."
        )
    text = _MINUS.sub("-", text)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def lines_of(text: str, inline: bool) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """Return the lines that hold something, and the comments, each with its number from 1.

    Parameters
    ----------
    text
        With the line end of `decoded`.
    inline
        Whether ``#`` opens a comment within a line, too.
    """
    lines: list[tuple[int, str]] = []
    comments: list[tuple[int, str]] = []
    for number, line in enumerate(text.split("\n"), 1):
        mark = _COMMENT.match(line)
        if mark is not None:
            comments.append((number, line[mark.end() :].lstrip("#/%! ").strip()))
            continue
        bare = line.split("#", 1)[0] if inline else line
        if bare.strip(" \t,;"):
            lines.append((number, bare))
    return lines, comments


def word(value: Any) -> str:
    """Return a value as text, bytes as UTF-8."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def is_number(cell: str, comma: bool = False) -> bool:
    """Whether a cell is a number, with a decimal comma if that is so."""
    return _NUMBER.fullmatch(_pointed(cell.strip(), comma)) is not None


def whole_of(cell: str) -> int | None:
    """Return the number of a cell that is written as a whole one, or None."""
    return int(cell) if _WHOLE.fullmatch(cell.strip()) and len(cell) < 40 else None


def number_of(cell: str, line: int, comma: bool = False) -> float:
    """Return the number in a cell.

    Raises
    ------
    ValueError
        If it is none; the message names the line.
    """
    bare = _pointed(cell.strip(), comma)
    if _NUMBER.fullmatch(bare) is None:
        truth = _TRUTH.get(bare.lower())
        if truth is not None:
            return truth
        raise ValueError(f"line {line} holds {cell.strip()[:40]!r}, not a number; correct it.")
    return float(bare.replace("d", "e").replace("D", "e"))


def numbers_of(cells: Iterable[str], lines: Iterable[int], comma: bool, missing: bool) -> Array:
    """Return the numbers of a column, NaN where a cell says that one is missing and it may be.

    Raises
    ------
    ValueError
        If a cell is no number; the message names the line.
    """
    values = [
        np.nan if missing and cell.strip().lower() in MISSING else number_of(cell, line, comma)
        for cell, line in zip(cells, lines, strict=True)
    ]
    return np.array(values, dtype=np.float64)


def _pointed(cell: str, comma: bool) -> str:
    """A cell with a decimal point; nothing if it has one already where commas are decimal."""
    if not comma:
        return cell
    return "" if "." in cell else cell.replace(",", ".", 1)
