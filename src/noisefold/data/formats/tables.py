"""Graphs as lines of text: .xyz and .csv.

A plain .xyz file is one graph, ``x y z [features]`` (or ``x y``) on each line, `#` opens a comment. In
chemistry's XYZ a molecule is its number of atoms, a comment, and a line ``symbol x y z`` for each atom;
molecules follow one another, and the one feature is the atomic number. A .csv file has a header: x, y[, z]
are positions, ``graph`` (or ``id``) tells graphs apart, ``label`` (or ``class``) names the class of each,
and all further columns are features.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

import numpy as np
import torch

from noisefold.data.mesh import Array
from noisefold.geometry.graphs import Graphs

__all__ = ["read_csv", "read_xyz", "write_csv", "write_xyz"]

_AXES = ("x", "y", "z")
_SYMBOLS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb "
    "Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf "
    "Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh "
    "Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og"
)
_ATOMIC_NUMBER = {symbol: z for z, symbol in enumerate(_SYMBOLS.split(), start=1)}


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8 text; export the file as text.") from error


def _number(cell: str, line: int) -> float:
    try:
        return float(cell)
    except ValueError as error:
        raise ValueError(f"line {line} holds {cell.strip()[:40]!r}, not a number; correct it.") from error


# -- .xyz ---------------------------------------------------------------------------------------------------


def read_xyz(data: bytes) -> Graphs:
    """Graphs in the bytes of a .xyz file, plain or chemistry's."""
    text = _text(data)
    if re.match(r"\s*\d+[ \t]*(\r?\n|$)", text):
        return _molecules(text.splitlines())
    lines = [
        (i, re.split(r"[\s,;]+", s)) for i, line in enumerate(text.splitlines(), 1) if (s := _bare(line))
    ]
    if not lines:
        raise ValueError("there are no points; write `x y z` on each line.")
    width = len(lines[0][1])
    for i, cells in lines:
        if len(cells) != width or width < 2:
            first = f"; the first has {width}" if len(cells) != width else ""
            raise ValueError(f"line {i} has {len(cells)} columns{first}; write `x y z` on each line.")
    table = torch.tensor([[_number(c, i) for c in cells] for i, cells in lines], dtype=torch.float32)
    return Graphs(table[:, :3], table[:, 3:] if width > 3 else None)


def _bare(line: str) -> str:
    return line.split("#", 1)[0].strip(" \t\r,;")


def _molecules(lines: Sequence[str]) -> Graphs:
    pos: list[torch.Tensor] = []
    numbers: list[torch.Tensor] = []
    row = 0
    while row < len(lines):
        head = lines[row].strip()
        if not head:
            row += 1
            continue
        if not head.isdecimal():
            raise ValueError(f"line {row + 1} holds {head[:40]!r}, not a number of atoms; correct it.")
        atoms = lines[row + 2 : row + 2 + int(head)]
        if len(atoms) < int(head):
            raise ValueError(
                f"line {row + 1} announces {head} atoms, but {len(atoms)} follow; export the file again."
            )
        parsed = [_atom(atom, row + 3 + k) for k, atom in enumerate(atoms)]
        table = torch.tensor(parsed, dtype=torch.float32).reshape(-1, 4)
        pos.append(table[:, 1:])
        numbers.append(table[:, :1])
        row += 2 + int(head)
    return Graphs.ragged(pos, numbers)


def _atom(line: str, number: int) -> tuple[float, ...]:
    cells = line.split()
    if len(cells) < 4:
        raise ValueError(f"line {number} holds {line.strip()[:40]!r}; write `symbol x y z`.")
    z = _ATOMIC_NUMBER.get(cells[0].capitalize(), int(cells[0]) if cells[0].isdecimal() else 0)
    if not 0 < z <= len(_ATOMIC_NUMBER):
        raise ValueError(f"line {number} names the unknown element {cells[0][:40]!r}; correct it.")
    # QM9's files write 1.2*^-6 for 1.2e-6.
    return (float(z), *(_number(c.replace("*^", "e"), number) for c in cells[1:4]))


def write_xyz(graphs: Graphs) -> bytes:
    """One graph as lines ``x y z [features]``, the bytes of a .xyz file."""
    if graphs.dim != 3:
        raise ValueError(f"a .xyz file holds positions in 3 dimensions, got {graphs.dim}; save as .npz.")
    buffer = io.StringIO()
    np.savetxt(buffer, _rows(graphs), fmt=_precision(graphs))
    return buffer.getvalue().encode()


def _rows(graphs: Graphs) -> Array:
    """Positions and features side by side, ``[n, d + f]``."""
    parts = [graphs.pos] if graphs.x is None else [graphs.pos, graphs.x]
    return torch.cat([p.detach().cpu().double() for p in parts], dim=1).numpy()


def _precision(graphs: Graphs) -> str:
    """Digits that bring the same number back."""
    return "%.17g" if graphs.dtype == torch.float64 else "%.9g"


# -- .csv ---------------------------------------------------------------------------------------------------


def read_csv(data: bytes) -> Graphs:
    """Graphs in the bytes of a .csv file, in the order in which they first appear."""
    names, lines = _cells(_text(data))
    dim = 3 if "z" in names else 2
    special = {k: next((names.index(n) for n in v if n in names), None) for k, v in _SPECIAL.items()}
    axes = [names.index(a) for a in _AXES[:dim]]
    further = [i for i in range(len(names)) if i not in axes and i not in special.values()]
    table = torch.tensor(
        [[_number(cells[k], i) for k in axes + further] for i, cells in lines], dtype=torch.float32
    )
    group, label = special["graph"], special["label"]
    order, sizes = _grouped([cells[group] for _, cells in lines] if group is not None else None, len(lines))
    table = table[order]
    ptr = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    graphs = Graphs(table[:, :dim], table[:, dim:] if further else None, ptr)
    if label is None:
        return graphs
    return _labelled(graphs, [lines[i][1][label].strip() for i in order.tolist()])


_SPECIAL = {"graph": ("graph", "id"), "label": ("label", "class")}


def _cells(text: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Names of the columns, and the cells of each line with its number."""
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        names = [n.strip().lower() for n in next(reader, [])]
        lines = [(reader.line_num, cells) for cells in reader if any(c.strip() for c in cells)]
    except csv.Error as error:
        raise ValueError(
            f"line {reader.line_num} is not comma-separated text ({error}); correct it."
        ) from error
    if not {"x", "y"} <= set(names) or len(set(names)) < len(names):
        raise ValueError(
            f"the header must name different columns, x and y among them, got {names}; correct it."
        )
    if not lines:
        raise ValueError("there are no points below the header; export the file again.")
    for number, cells in lines:
        if len(cells) != len(names):
            raise ValueError(f"line {number} has {len(cells)} cells, the header {len(names)}; correct it.")
    return names, lines


def _grouped(keys: Sequence[str] | None, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows sorted by graph ``[n]``, and the number of rows of each graph ``[g]``."""
    if keys is None:
        return torch.arange(n), torch.tensor([n])
    number: dict[str, int] = {}
    graph = torch.tensor([number.setdefault(k.strip(), len(number)) for k in keys])
    return torch.argsort(graph, stable=True), torch.bincount(graph)


def _labelled(graphs: Graphs, values: list[str]) -> Graphs:
    first = [values[i] for i in graphs.ptr[:-1].tolist()]
    for value, i in zip(values, graphs.batch.tolist(), strict=True):
        if value != first[i]:
            raise ValueError(f"graph {i} has the labels {first[i]!r} and {value!r}; give it one.")
    if all(re.fullmatch(r"\d{1,9}", v) for v in first):
        return graphs.replace(label=torch.tensor([int(v) for v in first]))
    classes = tuple(sorted(set(first)))
    return graphs.replace(label=torch.tensor([classes.index(v) for v in first]), classes=classes)


def write_csv(graphs: Graphs) -> bytes:
    """All graphs as the bytes of a .csv file: graph, [label,] x, y[, z] and features f0, f1 ..."""
    if graphs.dim not in (2, 3):
        raise ValueError(f"a .csv file holds positions in 2 or 3 dimensions, got {graphs.dim}; save as .npz.")
    header = ["graph", *_AXES[: graphs.dim], *(f"f{i}" for i in range(graphs.features))]
    keys = [[str(i)] for i in range(len(graphs))]
    if graphs.label is not None:
        header.insert(1, "label")
        names = [graphs.classes[k] if graphs.classes else str(k) for k in graphs.label.tolist()]
        keys = [[*key, name] for key, name in zip(keys, names, strict=True)]
    number = _precision(graphs)
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    for i, row in zip(graphs.batch.tolist(), _rows(graphs).tolist(), strict=True):
        writer.writerow([*keys[i], *(number % v for v in row)])
    return buffer.getvalue().encode()
