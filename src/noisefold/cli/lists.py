"""Lists of names on a command line: options that are repeated, and files of names.

A name may hold commas, blanks and ``@``. An option that is given several times is taken as it stands; one
that is given once may be a list separated by commas. What is a known name as a whole is that name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

__all__ = ["names_of"]

_CELL = re.compile(r'\s*(?:"((?:[^"]|"")+)"|([^",]+))\s*(?:,|$)')
_LIST = re.compile(r'(?:(?:[^",]*|\s*"(?:[^"]|"")+"\s*)(?:,|$))*')


def names_of(
    values: Sequence[str] | None, known: Sequence[str] = (), option: str = "names"
) -> tuple[str, ...] | None:
    r"""Return the names that an option was given.

    =============================  ==========================================================================
    value                          names
    =============================  ==========================================================================
    a known name                   this name, whatever is in it
    ``@genes.txt``                 the lines of the file; a single line, or one in quotes, may be a list
    ``\@x`` or ``@@x``             the name ``@x``
    ``"A,B",C``                    ``A,B`` and ``C``, as in a .csv file
    ``A,B`` given once             ``A`` and ``B``
    ``A,B`` beside other values    ``A,B``
    =============================  ==========================================================================

    Parameters
    ----------
    values
        What stood behind the option, each time that it was given; None if it never was.
    known
        Names that there are, if they are known.
    option
        Name of the option, for messages.

    Raises
    ------
    ValueError
        If no name is left, a file is no text, or a name stands there twice.
    FileNotFoundError
        If a file is not there.
    """
    if values is None:
        return None
    exact = set(known)
    names: list[str] = []
    for value in values:
        if value in exact:
            names.append(value)
        elif value.startswith(("@@", "\\@")):
            names.append(value[1:])
        elif value.startswith("@"):
            names += _in_file(Path(value[1:]).expanduser(), exact, option)
        elif len(values) == 1 or value.lstrip().startswith('"'):
            names += _cells(value, option)
        elif value.strip():
            names.append(value.strip())
    if not names:
        raise ValueError(f"{option}: no names are left in {', '.join(map(repr, values))}; give at least one.")
    twice = next((n for n in names if names.count(n) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise ValueError(f"{option}: {twice!r} is named twice; name it once.")
    return tuple(names)


def _in_file(path: Path, known: set[str], option: str) -> list[str]:
    """Names by lines; a single line, or one with quotes, that is no known name may hold several."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: {option} is to be read from this file, which is not there; write @@ for a name with @."
        )
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: this is no list of names in UTF-8 text; save it as such.") from error
    lines = [line.strip() for line in lines if line.strip()]
    names: list[str] = []
    for line in lines:
        whole = line in known or (len(lines) > 1 and not line.startswith('"'))
        names += [line] if whole else _cells(line, option)
    return names


def _cells(line: str, option: str) -> list[str]:
    if not _LIST.fullmatch(line):
        raise ValueError(f"{option}: {line[:60]!r} is no list of names; close its quotes.")
    cells = (quoted.replace('""', '"') or bare.strip() for quoted, bare in _CELL.findall(line))
    return [cell for cell in cells if cell]
