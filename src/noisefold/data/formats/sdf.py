"""Molecules of .sdf files, MDL's format of tables of atoms and bonds, versions V2000 and V3000.

Positions in 3-D are kept, in angstrom; those of drawings are not. The data items `label` (or `class`,
`category`) and `split`, and those asked for as properties, mean what such columns of a table of SMILES do.

Source: https://en.wikipedia.org/wiki/Chemical_table_file
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from noisefold.data.formats.reader import Ask, Part
from noisefold.data.formats.smiles import molecules_of, say_left_out, split_note, with_columns
from noisefold.data.formats.text import decoded
from noisefold.data.molecules import chemistry, to_rdkit
from noisefold.geometry.graphs import Graphs

__all__ = ["read_sdf", "write_sdf"]

_END = re.compile(r"^\$\$\$\$[^\n]*\n?", re.MULTILINE)
_ITEM = re.compile(r"^>[^<\n]*<([^>\n]+)>[^\n]*\n([^\n]*)", re.MULTILINE)
_LAST = "M  END"
_LARGEST = 1 << 20  # characters of one molecule
_KNOWN = ("label", "class", "category", "split")


def read_sdf(data: bytes, ask: Ask) -> Part:
    """Return the molecules in the bytes of an .sdf file.

    Raises
    ------
    ValueError
        If one cannot be read, the message says how many and names the first; or if only some are in 3-D.
    ImportError
        If RDKit is not installed.
    """
    records = [r for r in _END.split(decoded(data)) if r.strip()]
    graphs, kept, notes = molecules_of(range(1, len(records) + 1), records, _parsed, "molecule", ask)
    items = [{k.strip(): v.strip() for k, v in _ITEM.findall(_tail(records[i]))} for i in kept]
    names = dict.fromkeys(n for row in items for n in row if n.lower() in _KNOWN or n == ask.label)
    columns = {n: [row[n] for row in items] for n in names if all(n in row for row in items)}
    wanted = [n for n in ask.properties or () if any(n in row for row in items)]
    columns |= {n: [row.get(n, "") for row in items] for n in wanted}
    graphs, roles = with_columns(graphs, columns, ask)
    return Part(graphs, roles, (*notes, *split_note(graphs)))


def _tail(record: str) -> str:
    return record.partition(_LAST)[2]


def _parsed(chem: Any, record: str) -> Any:
    if len(record) > _LARGEST:
        raise ValueError(f"it has {len(record)} characters, more than {_LARGEST}")
    head, end, _ = record.partition(_LAST)
    if not end:
        raise ValueError(f"it has no line {_LAST!r}, so that it is cut short")
    return chem.MolFromMolBlock(f"{head}{end}\n", sanitize=True, removeHs=False)


def write_sdf(graphs: Graphs) -> bytes:
    """Return molecules as the bytes of an .sdf file, with classes and properties; those that are none
    are left out.

    Coordinates have four digits after the point, as the format has.

    Raises
    ------
    ValueError
        If none is a molecule, or types are no atoms and bonds.
    ImportError
        If RDKit is not installed.
    """
    chem = chemistry()
    molecules = to_rdkit(graphs)
    say_left_out(molecules.count(None), len(graphs))
    records = [
        f"{chem.MolToMolBlock(molecule, kekulize=True)}{item}$$$$\n"
        for molecule, item in zip(molecules, _items(graphs), strict=True)
        if molecule is not None
    ]
    return "".join(records).encode()


def _items(graphs: Graphs) -> Sequence[str]:
    items = [""] * len(graphs)
    if graphs.label is not None:
        names = [graphs.classes[k] if graphs.classes else str(k) for k in graphs.label.tolist()]
        items = [f"> <label>\n{name}\n\n" for name in names]
    if graphs.properties is not None:
        for k, row in enumerate(graphs.properties.tolist()):
            named = zip(graphs.property_names or map(str, range(len(row))), row, strict=True)
            items[k] += "".join(f"> <{name}>\n{value:.7g}\n\n" for name, value in named if value == value)
    return items
