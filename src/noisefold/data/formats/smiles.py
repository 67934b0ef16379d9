"""Molecules as lines of text: .smi and .smiles, and tables with a column of SMILES.

A line of a .smi file is a SMILES and, after a blank, a name. A table is one of molecules if a column is
called ``smiles``, ``canonical_smiles`` or the like; its column `split` (train, valid, test) divides the
molecules, and `label`, `class` or `category` is the class.

Source: http://opensmiles.org/opensmiles.html
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import torch

from noisefold.data.classes import coded
from noisefold.data.folders import PARTS, FolderSplit
from noisefold.data.formats.reader import Ask, Column, Part, Reader
from noisefold.data.formats.text import decoded
from noisefold.data.molecules import Table, chemistry, first_line, graphs_of, table_of, to_smiles
from noisefold.data.notice import notify
from noisefold.geometry.graphs import Graphs
from noisefold.progress import progress

__all__ = ["molecules_of", "or_molecules", "read_smiles", "write_smiles"]

_NAMES = {"smiles", "smile", "canonical_smiles", "canonicalsmiles", "isomeric_smiles", "isosmiles"}
_LABELS = ("label", "class", "category")
_LONGEST = 5000  # characters; proteins of a thousand atoms have them
_EVERY = 2000  # molecules between two signs of life
_NUMBERED = {"0": "train", "1": "val", "2": "test"}


def read_smiles(data: bytes, ask: Ask) -> Part:
    """Return the molecules in the bytes of a .smi file.

    Raises
    ------
    ValueError
        If a line is no molecule; the message says how many are, and names the first.
    ImportError
        If RDKit is not installed.
    """
    rows: list[tuple[int, str]] = []
    for number, line in enumerate(decoded(data).split("\n"), 1):
        cells = re.split(r"[\s,]+", line.strip(), maxsplit=1)
        if not cells[0] or line.startswith("#") or (not rows and _is_name(cells[0])):
            continue
        rows.append((number, cells[0]))
    graphs, _, notes = molecules_of([n for n, _ in rows], [text for _, text in rows], parsed, "line", ask)
    return Part(graphs, (), notes)


def or_molecules(reader: Reader) -> Reader:
    """Return a reader of tables that reads those with a column of SMILES as molecules."""

    def read(data: bytes, ask: Ask) -> Graphs | Part:
        start = data[:65536].split(b"\n", 1)[0]
        mark = _mark(decoded(start)) if b"mile" in start.lower() else None
        return reader(data, ask) if mark is None else _table(decoded(data), mark, ask)

    return read


def _mark(header: str) -> str | None:
    """The delimiter of a header with a column of SMILES, or None if it has no such column."""
    mark = max(",;\t", key=header.count)
    return mark if any(_is_name(cell) for cell in header.split(mark)) else None


def _is_name(cell: str) -> bool:
    return re.sub(r"[\s-]+", "_", cell.strip(' "\ufeff').lower()) in _NAMES


def _table(text: str, mark: str, ask: Ask) -> Part:
    """The molecules of a table."""
    try:
        reader = csv.reader(text.split("\n"), delimiter=mark)
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise ValueError(f"this is no table ({error}); export the file again.") from error
    names = [name.strip(' "\ufeff') for name in rows.pop(0)[1]]
    short = next((number for number, row in rows if len(row) != len(names)), None)
    if short is not None:
        raise ValueError(f"line {short} has not the header's {len(names)} columns; correct it.")
    other = next((n for n in ("pos", "x", "group") if getattr(ask, n) is not None), None)
    if other is not None:
        raise ValueError(f"{other} names columns of points, and this is a table of molecules; leave it out.")
    at = next(i for i, name in enumerate(names) if _is_name(name))
    lines = [number for number, _ in rows]
    graphs, kept, notes = molecules_of(lines, [row[at].strip() for _, row in rows], parsed, "line", ask)
    columns = {name: [rows[k][1][i].strip() for k in kept] for i, name in enumerate(names) if i != at}
    graphs, roles = with_columns(graphs, columns, ask)
    roles = (Column(names[at], "molecule"), *roles)
    notes = (*notes, *split_note(graphs))
    left = [c.name for c in roles if c.role == "property" and c.name not in graphs.property_names]
    if left:
        notes = (*notes, f"properties of molecules were left out: {', '.join(map(repr, left[:8]))}.")
    return Part(graphs, roles, notes)


def with_columns(
    graphs: Graphs, columns: dict[str, list[str]], ask: Ask
) -> tuple[Graphs, tuple[Column, ...]]:
    """Return molecules with the class and the split of their columns, and what became of each column.

    Raises
    ------
    ValueError
        If a column that was asked for is not there, or holds no classes.
    """
    if ask.label is not None and ask.label not in columns:
        raise ValueError(f"label names the column {ask.label!r}, which is not there; name another.")
    label = ask.label or next((n for n in columns if n.lower() in _LABELS and _classes(columns[n])), None)
    if label is not None:
        label_, classes = coded(columns[label])
        graphs = graphs.replace(label=label_, classes=classes)
    graphs = _with_properties(graphs, columns, ask.properties or ())
    split = next((n for n in columns if n.lower() == "split"), None)
    parts = [] if split is None else [_part(cell) for cell in columns[split]]
    if "train" in parts and all(parts) and len(set(parts)) > 1:
        graphs = graphs.replace(modality=FolderSplit.of(graphs, parts))
    else:
        split = None
    role = {label: "label", split: "split"}
    return graphs, tuple(Column(name, role.get(name, "property")) for name in columns)


def _with_properties(graphs: Graphs, columns: dict[str, list[str]], names: Sequence[str]) -> Graphs:
    """Molecules with the numbers of some columns; an empty cell is NaN."""
    for name in names:
        if name not in columns:
            raise ValueError(f"properties names the column {name!r}, which is not there; name another.")
    try:
        rows = [[float(cell or "nan") for cell in columns[name]] for name in names]
    except ValueError as error:
        raise ValueError(
            f"properties must be columns of numbers ({first_line(error)}); correct it."
        ) from error
    if not rows:
        return graphs
    values = torch.tensor(rows, dtype=torch.float32).T.contiguous()
    return graphs.replace(properties=values, property_names=tuple(names))


def split_note(graphs: Graphs) -> Iterable[str]:
    """Yield what should be said of molecules that their file divides."""
    if isinstance(graphs.modality, FolderSplit):
        yield "the column split divides the molecules; what is not in train is held out."


def _part(cell: str) -> str:
    """The part of a split that a cell says: of MOSES, test_scaffolds is held out as test is."""
    word = re.sub(r"[_\s].*", "", cell.lower())
    return PARTS.get(word) or _NUMBERED.get(word, "")


def _classes(cells: Sequence[str]) -> bool:
    """Whether cells may be classes: words, or few whole numbers."""
    try:
        coded(cells)
    except ValueError:
        return False
    return True


def parsed(chem: Any, text: str) -> Any:
    """Return the molecule of a SMILES, or None.

    Raises
    ------
    ValueError
        If it is too long to be one.
    """
    if len(text) > _LONGEST:
        raise ValueError(f"it has {len(text)} characters, more than {_LONGEST}")
    return chem.MolFromSmiles(text, _options(chem)) if text else None


@cache
def _options(chem: Any) -> Any:
    options = chem.SmilesParserParams()
    options.removeHs = False  # until it is known whether they are to stay
    return options


def molecules_of(
    lines: Sequence[int], texts: Sequence[str], parse: Any, noun: str, ask: Ask
) -> tuple[Graphs, list[int], tuple[str, ...]]:
    """Return the molecules of some texts, the places of those that were read, and what should be said.

    Parameters
    ----------
    lines
        The number of each text, for messages.
    texts
        What each molecule is read from.
    parse
        Function of RDKit's module and a text that gives a molecule or None.
    noun
        What the numbers count.
    ask
        Whether to skip what cannot be read, and to keep hydrogens.

    Raises
    ------
    ValueError
        If one cannot be read and is not to be skipped, or if none can.
    """
    chem = chemistry()
    from rdkit import rdBase

    tables: list[Table] = []
    kept: list[int] = []
    bad: list[str] = []
    lost: Counter[str] = Counter()
    with rdBase.BlockLogs(), progress("reading molecules", len(texts)) as advance:
        for i, (number, text) in enumerate(zip(lines, texts, strict=True)):
            try:
                molecule = parse(chem, text)
                if molecule is None:
                    raise ValueError("RDKit cannot read it")
                table = table_of(chem, molecule, ask.hydrogens)
            except (ValueError, RuntimeError) as error:
                shown = "" if "\n" in text else f" {text[:40]!r}"
                bad.append(f"{noun} {number}{shown}: {first_line(error)}")
            else:
                tables.append(table)
                kept.append(i)
                lost.update(table.lost)
                lost.update(["several fragments"] if len(chem.GetMolFrags(molecule)) > 1 else [])
            if i % _EVERY == _EVERY - 1:
                advance(_EVERY, "")
    count = f"{len(bad)} of {len(texts)} molecules cannot be read, the first is {bad[0]}" if bad else ""
    if bad and (not tables or not ask.skip):
        mend = "correct it" if not tables else "correct them, or leave them out with skip=True (--skip)"
        raise ValueError(f"{count}; {mend}.")
    return graphs_of(tables), kept, (*_notes(lost, len(tables), count), *_flat(tables))


def _flat(tables: Sequence[Table]) -> Iterable[str]:
    flat = sum(table.places is None for table in tables)
    if 0 < flat < len(tables):
        yield f"{flat} of {len(tables)} molecules have no positions in 3-D, so that none were kept."


def _notes(lost: Counter[str], total: int, unread: str) -> Iterable[str]:
    if unread:
        yield f"{unread}; they were left out."
    fragments = lost.pop("several fragments", 0)
    if lost:
        listed = ", ".join(f"{what} of {n}" for what, n in sorted(lost.items()))
        yield f"graphs of molecules do not hold {listed} of {total} molecules."
    if fragments:
        yield f"{fragments} of {total} molecules have several fragments, as salts do; all were kept."


def write_smiles(graphs: Graphs) -> bytes:
    """Return molecules as the bytes of a .smi file, canonical; those that are none are left out, and said.

    Raises
    ------
    ValueError
        If none is a molecule, or types are no atoms and bonds.
    ImportError
        If RDKit is not installed.
    """
    lines = [smiles for smiles in to_smiles(graphs) if smiles is not None]
    say_left_out(len(graphs) - len(lines), len(graphs))
    return "".join(f"{smiles}\n" for smiles in lines).encode()


def say_left_out(bad: int, total: int) -> None:
    """Say how many graphs are no molecules, and refuse if none is one."""
    if bad == total:
        raise ValueError(f"none of the {total} graphs is a molecule, by its valences; save them as .npz.")
    if bad:
        notify(f"{bad} of {total} graphs are no molecules, by their valences, and were not written.")
