"""Overlapping patches of large tissues, and values on them put together again.

Each group of cells is split at medians into balanced cores, and each core grows by the cells nearest to it
until it has the size that is asked for. So patches have one size, every cell is in the core of exactly one of
them, and their margins overlap. Where patches meet, values are averaged, with weights that fall linearly with
the distance from the core, from 1 to nearly 0 at the rim, and are then scaled to sum to 1 for each cell.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import KDTree
from torch import Tensor

from noisefold.geometry.coarsen import Balanced
from noisefold.geometry.graphs import Graphs

__all__ = ["Patches", "Takes", "blocks", "cut"]

_Rows = NDArray[np.int64]
_Floats = NDArray[np.float64]
_RIM = 0.01
# Candidates for the margin of a patch, in patches: those nearest to the core are hardly ever farther off.
_AROUND = 4


class Takes(Protocol):
    """What patches are cut from."""

    @abstractmethod
    def take(self, parts: Sequence[_Rows]) -> Graphs:
        """One graph of each set of rows."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of rows."""


@dataclass(frozen=True, eq=False, repr=False)
class Patches:
    """Patches of a tissue; graphs are made, and sparse values become dense, only when they are taken.

    Parameters
    ----------
    tissue
        What they were cut from.
    rows
        Rows of the tissue in each patch, its core first.
    weights
        Weight of each of these rows; those of a cell sum to 1 over all patches.
    """

    tissue: Takes
    rows: tuple[_Rows, ...]
    weights: tuple[_Floats, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        sizes = [len(rows) for rows in self.rows]
        return f"Patches({len(self)} of {min(sizes)} to {max(sizes)} cells, out of {len(self.tissue)})"

    def __getitem__(self, index: int | slice) -> Graphs:
        """One patch, or a slice of them, as graphs."""
        chosen = self.rows[index]
        return self.tissue.take([chosen] if isinstance(chosen, np.ndarray) else chosen)

    def __iter__(self) -> Iterator[Graphs]:
        return (self[i] for i in range(len(self)))

    def graphs(self) -> Graphs:
        """All patches, one graph each."""
        return self[:]

    def stitch(self, values: Sequence[Tensor] | Tensor) -> Tensor:
        """Values on patches, averaged over the patches that hold a cell, in the order of the tissue's rows.

        The mean over patches of standard deviations is an upper bound of that of the averaged values.

        Parameters
        ----------
        values
            ``[n_i, c]`` of each patch, or all of them in one ``[sum of n_i, c]``, as in `graphs`.

        Returns
        -------
        Tensor
            ``[n, c]``, of the type of the values.

        Raises
        ------
        ValueError
            If the values are not of these patches.
        """
        flat = values if isinstance(values, Tensor) else torch.cat(list(values))
        rows, weights = np.concatenate(self.rows), np.concatenate(self.weights)
        if flat.ndim != 2 or len(flat) != len(rows):
            raise ValueError(
                f"values must have a row for each of the {len(rows)} cells of the patches, "
                f"got shape {list(flat.shape)}."
            )
        out = flat.new_zeros(len(self.tissue), flat.shape[1], dtype=torch.float64)
        weighted = flat.double() * torch.from_numpy(weights).to(flat.device)[:, None]
        return out.index_add_(0, torch.from_numpy(rows).to(flat.device), weighted).to(flat.dtype)


def cut(
    pos: _Floats, group: _Rows, cells: int, overlap: float
) -> tuple[tuple[_Rows, ...], tuple[_Floats, ...]]:
    """Rows and weights of the patches of cells at ``pos [n, d]`` in groups ``[n]`` (0, 1, ...).

    Raises
    ------
    ValueError
        If a number is out of range.
    """
    if cells < 2:
        raise ValueError(f"cells must be at least 2, got {cells}.")
    if not 0 <= overlap < 1:
        raise ValueError(f"overlap must lie in [0, 1), got {overlap}.")
    sizes = np.bincount(group)
    rows: list[_Rows] = []
    weights: list[_Floats] = []
    for i, cores in enumerate(
        blocks(pos, group, np.where(sizes <= cells, cells, max(int(cells * (1 - overlap)), 1)))
    ):
        here = np.flatnonzero(group == i)
        tree = KDTree(pos[here])
        for core in cores:
            local, weight = _grown(pos[here], tree, np.searchsorted(here, core), cells)
            rows.append(here[local])
            weights.append(weight)
    total = np.bincount(np.concatenate(rows), np.concatenate(weights), minlength=len(pos))
    return tuple(rows), tuple(w / total[r] for r, w in zip(rows, weights, strict=True))


def blocks(pos: _Floats, group: _Rows, most: _Rows | int) -> list[list[_Rows]]:
    """For each group, rows of its compact parts of nearly equal size, of so many cells at most.

    Parameters
    ----------
    pos, group
        As for `cut`.
    most
        Most cells of a part, one number or ``[groups]``.
    """
    order = np.argsort(group, kind="stable")
    sizes = np.bincount(group)
    ptr = np.cumsum([0, *sizes])
    counts = -(-sizes // most)
    split = Balanced()(torch.from_numpy(pos[order]), torch.from_numpy(ptr), torch.from_numpy(counts))
    cell = split.assignment.numpy()
    out = []
    for i in range(len(sizes)):
        inside = cell[ptr[i] : ptr[i + 1]]
        ends = np.cumsum(np.bincount(inside - inside.min()))[:-1]
        out.append(np.split(order[ptr[i] : ptr[i + 1]][np.argsort(inside, kind="stable")], ends))
    return out


def _grown(pos: _Floats, tree: KDTree, core: _Rows, cells: int) -> tuple[_Rows, _Floats]:
    """A core with the cells nearest to it, and their weights."""
    more = min(cells, len(pos)) - len(core)
    if more <= 0:
        return core, np.ones(len(core))
    count = min(len(core) + _AROUND * cells, len(pos))
    around = np.setdiff1d(tree.query(pos[core].mean(0), count)[1], core)
    distance = np.asarray(KDTree(pos[core]).query(pos[around])[0])
    nearest = np.argsort(distance, kind="stable")[:more]
    distance = distance[nearest]
    reach = distance[-1]
    weight = 1 - (1 - _RIM) * distance / reach if reach > 0 else np.ones(more)
    return np.concatenate([core, around[nearest]]), np.concatenate([np.ones(len(core)), weight])
