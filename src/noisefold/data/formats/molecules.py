"""Chemistry's XYZ: a number of atoms, a comment, and a line for each atom; frames follow one another.

In extended XYZ the comment says what the columns are, ``Properties=species:S:1:pos:R:3:forces:R:3``
(https://github.com/libAtoms/extxyz). Without it an atom is ``symbol x y z`` and the one feature is its
atomic number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile

import numpy as np
import torch

from noisefold.data.formats.reader import Ask, Column, Part
from noisefold.data.formats.text import is_number, number_of, numbers_of
from noisefold.data.mesh import Array
from noisefold.geometry.graphs import Graphs

__all__ = ["are_molecules", "read_molecules", "write_molecule"]

_SYMBOLS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb "
    "Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf "
    "Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh "
    "Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og"
)
_ATOMIC_NUMBER = {symbol: z for z, symbol in enumerate(_SYMBOLS.split(), start=1)}
_PROPERTIES = re.compile(r"""properties\s*=\s*(?:"([^"]*)"|'([^']*)'|(\S+))""", re.IGNORECASE)
_POSITIONS = ("pos", "positions", "position", "coords", "coordinates")
_SPECIES = ("species", "element", "symbol", "type")
_NUMBER_OF_ATOMS = ("atomic_number", "numbers", "z")
_IDS = ("id", "index", "idx")
_NAME = "atomic_number"


def are_molecules(lines: Sequence[str]) -> bool:
    """Whether lines that begin with a count are molecules, not a count and as many points."""
    if len(lines) > 1 and _PROPERTIES.search(lines[1]):
        return True
    third = lines[2].split() if len(lines) > 2 else []
    if len(third) < 4:
        return len(lines) <= 2
    if not is_number(third[0]):
        return _element(third[0]) > 0
    comment = lines[1].split()
    return _element(third[0]) > 0 and not any(map(is_number, comment))


def read_molecules(lines: Sequence[str], ask: Ask) -> Part:
    """Return the molecules in the lines of a file.

    Raises
    ------
    ValueError
        If lines are missing or no atoms; the message names the line.
    """
    frames: list[Graphs] = []
    columns: tuple[Column, ...] = ()
    row = 0
    while row < len(lines):
        head = lines[row].strip()
        if not head:
            row += 1
            continue
        if not head.isdecimal() or len(head) > 9:
            raise ValueError(f"line {row + 1} holds {head[:40]!r}, not a number of atoms; correct it.")
        count = int(head)
        atoms = lines[row + 2 : row + 2 + count]
        if len(atoms) < count:
            raise ValueError(
                f"line {row + 1} announces {head} atoms, but {len(atoms)} follow; export the file again."
            )
        declared = _PROPERTIES.search(lines[row + 1]) if row + 1 < len(lines) else None
        if declared is not None:
            text = next(g for g in declared.groups() if g is not None)
            frame, columns = _extended(text, atoms, row + 3, ask)
        else:
            frame = _plain(atoms, row + 3)
        frames.append(frame)
        row += 2 + count
    if not frames:
        raise ValueError("there are no atoms; export the file again.")
    return Part(_collated(frames), columns)


def write_molecule(graph: Graphs) -> bytes:
    """Return one molecule, atoms by name in `node_types`, as ``symbol x y z`` after the number of atoms.

    Charges are lost, and bonds, which the format does not hold.
    """
    assert graph.node_type is not None
    symbols = [re.sub(r"[+\-\d]+$", "", name) for name in graph.node_types]
    rows = zip(graph.node_type.tolist(), graph.coordinates.tolist(), strict=True)
    atoms = [f"{symbols[k]} {' '.join(f'{v:.6f}' for v in place)}\n" for k, place in rows]
    return f"{graph.num_nodes}\n\n{''.join(atoms)}".encode()


def _collated(frames: Sequence[Graphs]) -> Graphs:
    first = frames[0]
    for i, frame in enumerate(frames):
        if set(frame.feature_names) != set(first.feature_names):
            raise ValueError(f"molecule {i} has other properties than the first; separate them.")
    return Graphs.collate(frames)


def _plain(atoms: Sequence[str], start: int) -> Graphs:
    """One molecule whose columns are symbol, x, y, z, and numbers without names."""
    rows = [_atom(line, start + k) for k, line in enumerate(atoms)]
    width = min((len(row) for row in rows), default=4)
    table = torch.tensor([row[:width] for row in rows], dtype=torch.float64).reshape(-1, width)
    names = (_NAME, *(f"column_{k}" for k in range(5, width + 1)))
    return Graphs(table[:, 1:4], torch.cat([table[:, :1], table[:, 4:]], dim=1), feature_names=names)


def _atom(line: str, number: int) -> tuple[float, ...]:
    cells = [c.replace("*^", "e") for c in line.split()]  # QM9's files write 1.2*^-6 for 1.2e-6
    if len(cells) < 4:
        raise ValueError(f"line {number} holds {line.strip()[:40]!r}; write `symbol x y z`.")
    z = _atomic_number(cells[0], number)
    more = takewhile(is_number, cells[4:])
    return (float(z), *(number_of(c, number) for c in (*cells[1:4], *more)))


def _atomic_number(cell: str, number: int) -> int:
    z = _element(cell)
    if z == 0:
        raise ValueError(f"line {number} names the unknown element {cell[:40]!r}; correct it.")
    return z


def _element(cell: str) -> int:
    """Return the atomic number of a symbol or a number, 0 of what is none; atoms may be counted, ``C12``."""
    if cell.isdecimal() and len(cell) < 4:
        return int(cell) if int(cell) <= len(_ATOMIC_NUMBER) else 0
    bare = re.sub(r"(?<=[A-Za-z])\d{1,5}$", "", cell).capitalize()
    return _ATOMIC_NUMBER.get({"D": "H", "T": "H"}.get(bare, bare), 0)


def _extended(text: str, atoms: Sequence[str], start: int, ask: Ask) -> tuple[Graphs, tuple[Column, ...]]:
    """One molecule whose columns are declared."""
    fields = _fields(text, start - 1)
    width = sum(count for _, _, count in fields)
    rows = [line.split() for line in atoms]
    numbers = range(start, start + len(rows))
    for number, cells in zip(numbers, rows, strict=True):
        if len(cells) != width:
            raise ValueError(f"line {number} has {len(cells)} cells, its Properties {width}; correct it.")
    pos: Array | None = None
    x: dict[str, Array] = {}
    columns: list[Column] = []
    at = 0
    for name, kind, count in fields:
        block = [[row[at + k] for row in rows] for k in range(count)]
        at += count
        if kind == "S" and name.lower() in _SPECIES and count == 1:
            z = [_atomic_number(c, i) for c, i in zip(block[0], numbers, strict=True)]
            x[_NAME] = np.array(z, dtype=np.float64)
        elif kind == "S":
            columns.append(Column(name, "left out", "text"))
        elif kind == "I" and count == 1 and name.lower() in _IDS and len(set(block[0])) == len(rows):
            columns.append(Column(name, "left out", "id of the points"))
        else:
            values = [_property(c, numbers, kind, ask.missing) for c in block]
            if name.lower() in _POSITIONS and count in (2, 3):
                pos = np.stack(values, axis=1)
            else:
                x |= dict(zip(_names(name, count), values, strict=True))
    if pos is None:
        raise ValueError(f"line {start - 1} declares no `pos:R:3` in its Properties; add it.")
    if _NAME in x:  # said twice, as symbol and as number
        x = {k: v for k, v in x.items() if k.lower() not in _NUMBER_OF_ATOMS or k == _NAME}
    if not all(np.isfinite(v).all() for v in x.values()) and not ask.missing:
        bad = next(k for k, v in x.items() if not np.isfinite(v).all())
        raise ValueError(f"the property {bad!r} is NaN or infinite from line {start}; remove or repair it.")
    columns = [Column("pos", "position"), *(Column(k, "feature") for k in x), *columns]
    features = torch.from_numpy(np.stack(list(x.values()), axis=1)) if x else None
    return Graphs(torch.from_numpy(pos), features, feature_names=tuple(x)), tuple(columns)


def _fields(text: str, line: int) -> list[tuple[str, str, int]]:
    words = text.strip().strip(":").split(":")
    triples = list(zip(words[::3], words[1::3], words[2::3], strict=False))
    known = all(kind.upper() in ("S", "R", "I", "L") and count.isdecimal() for _, kind, count in triples)
    if len(words) % 3 or not known:
        raise ValueError(f"line {line} declares Properties={text[:60]!r}; write name:type:count of each.")
    counts = [int(c) if len(c) < 4 else 1000 for _, _, c in triples]
    return [(name, kind.upper(), count) for (name, kind, _), count in zip(triples, counts, strict=True)]


def _property(cells: Sequence[str], lines: Sequence[int], kind: str, missing: bool) -> Array:
    if kind == "L":
        truth = {"t": "1", "f": "0"}
        cells = [truth.get(c.lower(), c) for c in cells]
    return numbers_of(cells, lines, False, missing)


def _names(name: str, count: int) -> list[str]:
    if count == 1:
        return [name]
    return [f"{name}_{'xyz'[k] if count == 3 else k}" for k in range(count)]
