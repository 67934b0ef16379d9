"""Names that travel with data: of features, classes and types."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["columns_of", "in_any_case", "merged_codes", "nearest_name", "numbered", "renumbered"]

_LETTERS = 80


def nearest_name(name: str, known: Sequence[str]) -> str:
    """Return the end of a sentence that says which known name is nearest, or which there are."""
    # Names from a damaged file may be of any length, and the comparison is quadratic in it.
    close = difflib.get_close_matches(name[:_LETTERS], [k[:_LETTERS] for k in known], n=3)
    if close:
        return f"; did you mean {' or '.join(map(repr, close))}?"
    listed = ", ".join(repr(k) for k in list(known)[:8])
    return f"; known are {listed}{', ...' if len(known) > 8 else ''}." if listed else "; there are none."


def columns_of(known: Sequence[str], wanted: Sequence[str], noun: str) -> list[int]:
    """Return the columns of wanted names among the known ones.

    Parameters
    ----------
    known, wanted
        Names.
    noun
        What they name, for the message.

    Raises
    ------
    ValueError
        If a name is unknown, or stands for several columns.
    """
    place: dict[str, int] = {}
    twice = set()
    for i, name in enumerate(known):
        if place.setdefault(name, i) != i:
            twice.add(name)
    for name in wanted:
        if name not in place:
            lacking = sum(n not in place for n in wanted)
            more = f" (one of {lacking} that are missing)" if lacking > 1 else ""
            raise ValueError(f"{noun} {name!r} is not there{more}{nearest_name(name, known)}")
        if name in twice:
            raise ValueError(f"{noun} {name!r} occurs several times; names must differ.")
    return [place[name] for name in wanted]


def in_any_case(wanted: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return the known name that each wanted one is in another case; others, and what is unclear, stay."""
    exact = set(known)
    if all(name in exact for name in wanted):
        return list(wanted)
    folded: dict[str, list[str]] = {}
    for name in known:
        folded.setdefault(name.casefold(), []).append(name)
    same = {name: folded.get(name.casefold(), []) for name in wanted if name not in exact}
    return [same[name][0] if len(same.get(name, ())) == 1 else name for name in wanted]


def merged_codes(
    codes: Sequence[Tensor | None], names: Sequence[tuple[str, ...]], noun: str
) -> tuple[list[Tensor] | None, tuple[str, ...]]:
    """Return integer codes of several parts renumbered to one list of names, and that list.

    Parameters
    ----------
    codes
        Codes ``[k]`` of each part, or None in all of them; negative codes stay.
    names
        Names of the codes of each part; all are named, or none is.
    noun
        What they name, for the message.

    Raises
    ------
    ValueError
        If only some parts have names.
    """
    first = names[0]
    if any(bool(n) != bool(first) for n in names):
        raise ValueError(f"graphs to collate must all have {noun}, or none of them.")
    merged = tuple(dict.fromkeys(name for part in names for name in part))
    there = [c for c in codes if c is not None]
    if not there:
        return None, merged
    if merged == first and all(n == first for n in names):
        return there, first
    place = {name: i for i, name in enumerate(merged)}
    out = []
    for code, part in zip(there, names, strict=True):
        table = torch.tensor([place[name] for name in part], device=code.device)
        out.append(torch.where(code >= 0, table[code.clamp(min=0)], code))
    return out, merged


def renumbered(codes: Tensor, names: Sequence[str], wanted: Sequence[str], noun: str) -> Tensor:
    """Return integer codes that stand for the same names in another list; negative codes stay.

    Parameters
    ----------
    codes
        Codes ``[k]``.
    names, wanted
        What they stand for, and the list that they are to be numbers in.
    noun
        What they name, for the message.

    Raises
    ------
    ValueError
        If a name that occurs is not in the list.
    """
    if tuple(names) == tuple(wanted):
        return codes
    place = {name: i for i, name in enumerate(wanted)}
    present = {names[i] for i in codes.unique().tolist() if i >= 0}
    for name in sorted(present - place.keys()):
        raise ValueError(f"{noun} {name!r} is unknown to the model{nearest_name(name, wanted)}")
    if not len(names):
        return codes
    table = torch.tensor([place.get(name, -1) for name in names], device=codes.device)
    return torch.where(codes >= 0, table[codes.clamp(min=0)], codes)


def numbered(codes: Tensor | None) -> tuple[str, ...]:
    """Return "0", "1", ... as names of codes without names; none where there are no codes."""
    if codes is None:
        return ()
    return tuple(str(i) for i in range(int(codes.max()) + 1 if codes.numel() else 1))
