"""QM9: 130,831 molecules of up to nine heavy atoms with their geometry, from a folder of plain arrays.

Source: Ramakrishnan et al., Quantum chemistry structures and properties of 134 kilo molecules (2014),
https://doi.org/10.1038/sdata.2014.22; the division of Vignac et al., DiGress (2023),
https://arxiv.org/abs/2209.14734.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from noisefold.arguments import one_of
from noisefold.data.folders import FolderSplit
from noisefold.data.formats.arrays import archived
from noisefold.data.molecules import BONDS
from noisefold.data.notice import notify
from noisefold.geometry.graphs import Graphs

__all__ = ["qm9"]

_PARTS = ("train", "val", "test")
_SYMBOLS = ("C", "N", "O", "F", "H")
_HYDROGEN = 4  # its place among the symbols
_FILES = ("qm9_graphs.npz", "qm9_geometry.npz")
_Array = NDArray[Any]


def qm9(
    folder: str | os.PathLike[str],
    part: str | None = None,
    *,
    positions: bool = True,
    hydrogens: bool = True,
    properties: Sequence[str] = (),
) -> Graphs:
    """Return the molecules of QM9 as graphs of atoms and bonds, with positions in angstrom.

    A type of atom is its element and charge, such as "N+"; bonds are single, double or triple, kekulised.
    Heavy atoms come first, then hydrogens, each bound to its nearest heavy atom. Molecules in which these are
    not the hydrogens that the bonds say are left out.

    Parameters
    ----------
    folder
        Where the files are: ``qm9_graphs.npz`` (``index``, ``split`` 0, 1 or 2, ``node_offsets``, ``atom`` 0
        C, 1 N, 2 O, 3 F, ``charge``, ``num_h``, ``edge_offsets``, ``edges``, ``bond``), and
        ``qm9_geometry.npz`` (``index``, ``atom_offsets``, ``z``, ``pos_milliangstrom``), of the same
        molecules in the same order.
    part
        ``"train"``, ``"val"`` or ``"test"``; None returns all molecules, which `Graphs.split` divides so.
    positions
        Whether positions are kept; without them graphs are ``[n, 0]``.
    hydrogens
        Whether hydrogens are atoms.
    properties
        Names among the file's ``property_names``, such as "HOMO_au", whose values a model is then conditioned
        on.

    Raises
    ------
    FileNotFoundError
        If a file is not there.
    ValueError
        If a part or a property is unknown, or the files do not fit together.
    """
    part = None if part is None else one_of("part", part, _PARTS)
    graphs, geometry = (_arrays(Path(folder) / name) for name in _FILES)
    if not np.array_equal(graphs["index"], geometry["index"]):
        raise ValueError(f"{folder}: {' and '.join(_FILES)} are not of the same molecules; copy both again.")
    kept = np.arange(len(graphs["index"]))
    if part is not None:
        kept = kept[graphs["split"] == _PARTS.index(part)]
    table = _Molecules(graphs, geometry)
    fits = table.fits(kept)
    if not fits.all():
        notify(f"{int((~fits).sum())} of {len(fits)} molecules have other hydrogens than bonds; left out.")
    made = table.graphs(kept[fits], positions, hydrogens)
    if properties:
        names = geometry["property_names"].astype(str).tolist()
        columns = [names.index(one_of("properties", name, names)) for name in properties]
        values = torch.from_numpy(geometry["properties"][kept[fits]][:, columns])
        made = made.replace(properties=values, property_names=tuple(properties))
    if part is None:
        parts = [_PARTS[k] for k in graphs["split"][kept[fits]].tolist()]
        made = made.replace(modality=FolderSplit.of(made, parts))
    return made


def _arrays(path: Path) -> dict[str, _Array]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file; name the folder that holds {_FILES}.")
    with path.open("rb") as file:
        return archived(file.read())


class _Molecules:
    """Heavy atoms with their bonds, and the hydrogens next to them."""

    def __init__(self, graphs: dict[str, _Array], geometry: dict[str, _Array]) -> None:
        self.of = graphs
        z, ends = geometry["z"], geometry["atom_offsets"].astype(np.int64)
        owner = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
        light = z == 1
        place = geometry["pos_milliangstrom"].astype(np.float32) / 1000
        self.heavy, self.light = place[~light], place[light]
        self.ends = graphs["node_offsets"].astype(np.int64)
        self.light_ends = np.concatenate([[0], np.bincount(owner[light], minlength=len(ends) - 1).cumsum()])
        elements = np.array([6, 7, 8, 9])[graphs["atom"]]
        same = len(elements) == len(self.heavy) and len(self.ends) == len(ends)
        if not same:
            raise ValueError("the geometry has other heavy atoms than the graphs; copy both files again.")
        self.element_fits = elements == z[~light]
        self.carrier = self._nearest()

    def _nearest(self) -> _Array:
        """Return the nearest heavy atom of each hydrogen, a row of all heavy atoms."""
        count = np.diff(self.ends)
        padded = np.full((len(count), int(count.max()), 3), np.inf, np.float32)
        owner = np.repeat(np.arange(len(count)), count)
        padded[owner, np.arange(len(owner)) - self.ends[owner]] = self.heavy
        of_light = np.repeat(np.arange(len(count)), np.diff(self.light_ends))
        found = np.empty(len(of_light), np.int64)
        for start in range(0, len(of_light), 1 << 17):
            rows = slice(start, start + (1 << 17))
            step = padded[of_light[rows]] - self.light[rows, None]
            found[rows] = self.ends[of_light[rows]] + (step**2).sum(2).argmin(1)
        return found

    def fits(self, kept: _Array) -> _Array:
        """Return whether molecules have the elements and hydrogens that their bonds say, bool."""
        counted = np.bincount(self.carrier, minlength=self.ends[-1])
        wrong = (counted != self.of["num_h"]) | ~self.element_fits
        bad: _Array = np.add.reduceat(wrong.astype(np.int64), self.ends[:-1]) == 0
        return bad[kept]

    def graphs(self, kept: _Array, positions: bool, hydrogens: bool) -> Graphs:
        """Return some molecules."""
        heavy, lights = _rows(self.ends, kept), _rows(self.light_ends, kept)
        if not hydrogens:
            lights = lights[:0]
        sizes = np.diff(self.ends)[kept]
        extra: _Array = np.diff(self.light_ends)[kept] * int(hydrogens)
        ptr = np.concatenate([[0], (sizes + extra).cumsum()])
        graph, light_graph = (np.repeat(np.arange(len(kept)), n) for n in (sizes, extra))
        first = ptr[:-1]
        # Where heavy atoms and hydrogens go: within a molecule one after the other.
        at = first[graph] + np.arange(len(heavy)) - (sizes.cumsum() - sizes)[graph]
        light_at = (
            (first + sizes)[light_graph] + np.arange(len(lights)) - (extra.cumsum() - extra)[light_graph]
        )
        new = np.full(self.ends[-1], -1, np.int64)
        new[heavy] = at
        codes = np.full(ptr[-1], _HYDROGEN * 16 + 8, np.int64)
        codes[at] = self.of["atom"][heavy].astype(np.int64) * 16 + 8 + self.of["charge"][heavy]
        place = np.zeros((ptr[-1], 3), np.float32)
        place[at], place[light_at] = self.heavy[heavy], self.light[lights]
        bond_rows = _rows(self.of["edge_offsets"].astype(np.int64), kept)
        bonds: _Array = np.diff(self.of["edge_offsets"].astype(np.int64))
        offsets = np.repeat(self.ends[:-1], bonds)[bond_rows]
        ends = new[self.of["edges"][bond_rows].astype(np.int64) + offsets[:, None]]
        ends = np.concatenate([ends, np.stack([new[self.carrier[lights]], light_at], 1)])
        kinds = np.concatenate(
            [self.of["bond"][bond_rows].astype(np.int64) - 1, np.zeros(len(lights), np.int64)]
        )
        order = np.argsort(np.searchsorted(ptr, ends[:, 0], side="right"), kind="stable")
        ends, kinds = ends[order], kinds[order]
        both = np.stack([ends, ends[:, ::-1]], 1).reshape(-1, 2)
        values, node_type, counts = np.unique(codes, return_inverse=True, return_counts=True)
        rank = np.argsort(-counts, kind="stable")
        names = tuple(_name(int(values[k])) for k in rank)
        pos = torch.from_numpy(place) if positions else torch.zeros(int(ptr[-1]), 0)
        return Graphs(
            pos,
            ptr=torch.from_numpy(ptr),
            edge_index=torch.from_numpy(both.T.copy()),
            node_type=torch.from_numpy(np.argsort(rank)[node_type]),
            edge_type=torch.from_numpy(kinds.repeat(2)),
            node_types=names,
            edge_types=BONDS,
        )


def _rows(ends: _Array, kept: _Array) -> _Array:
    """Return the rows of some molecules, one after the other."""
    sizes = np.diff(ends)[kept]
    begin = np.repeat(ends[:-1][kept] - (sizes.cumsum() - sizes), sizes)
    rows: _Array = begin + np.arange(len(begin))
    return rows


def _name(code: int) -> str:
    charge = code % 16 - 8
    sign = "+" if charge > 0 else "-"
    size = str(abs(charge)) if abs(charge) > 1 else ""
    return _SYMBOLS[code // 16] + (f"{sign}{size}" if charge else "")
