"""Compact blocks and overlapping patches of large graphs.

Each graph is split at medians into balanced cores, and each core grows by the nodes nearest to it until it
has the size that is asked for. So patches have one size, every node is in the core of exactly one of them,
and their margins overlap. Where patches meet, values are averaged, with weights that fall linearly with the
distance from the core, from 1 to nearly 0 at the rim, and are then scaled to sum to 1 for each node.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from noisefold.geometry.coarsen import Balanced
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.mapped import gather
from noisefold.geometry.selection import BY_GRAPH, BY_NODE

if TYPE_CHECKING:
    from scipy.spatial import KDTree

__all__ = ["blocks", "cut", "hold_out", "take"]

_Rows = NDArray[np.int64]
_Floats = NDArray[np.float64]
_RIM = 0.01
# Candidates for the margin of a patch, in patches: those nearest to the core are hardly ever farther off.
_AROUND = 4


def cut(
    pos: _Floats, group: _Rows, cells: int, overlap: float
) -> tuple[tuple[_Rows, ...], tuple[_Floats, ...]]:
    """Return rows and weights of the patches of nodes at ``pos [n, d]`` in groups ``[n]`` (0, 1, ...).

    Parameters
    ----------
    pos, group
        Positions and the group of each node; groups are numbered without gaps.
    cells
        Nodes of each patch, its core first; a smaller group is one patch.
    overlap
        Least fraction of a patch that it takes from around its core, in [0, 1).

    Raises
    ------
    ValueError
        If a number is out of range.
    """
    if cells < 2:
        raise ValueError(f"cells must be at least 2, got {cells}.")
    if not 0 <= overlap < 1:
        raise ValueError(f"overlap must lie in [0, 1), got {overlap}.")
    from scipy.spatial import KDTree

    sizes = np.bincount(group)
    rows: list[_Rows] = []
    weights: list[_Floats] = []
    for i, cores in enumerate(
        blocks(pos, group, np.where(sizes <= cells, cells, max(int(cells * (1 - overlap)), 1)))
    ):
        here = np.flatnonzero(group == i)
        places = pos[here]
        tree = KDTree(places)
        for core in cores:
            local, weight = _grown(places, tree, np.searchsorted(here, core), cells)
            rows.append(here[local])
            weights.append(weight)
    total = np.bincount(np.concatenate(rows), np.concatenate(weights), minlength=len(pos))
    return tuple(rows), tuple(w / total[r] for r, w in zip(rows, weights, strict=True))


def blocks(pos: _Floats, group: _Rows, most: _Rows | int) -> list[list[_Rows]]:
    """Return, for each group, rows of its compact parts of nearly equal size, of so many nodes at most.

    Parameters
    ----------
    pos, group
        As for `cut`.
    most
        Most nodes of a part, one number or ``[groups]``.
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


def hold_out(pos: _Floats, group: _Rows, most: int, fraction: float, seed: int) -> tuple[_Rows, list[_Rows]]:
    """Return the rows that remain, in their order, and the blocks that are held out, drawn at random.

    Parameters
    ----------
    pos, group
        As for `cut`.
    most
        Most nodes of a block.
    fraction
        Share of the blocks that remain, in (0, 1); at least one block is in each part.
    seed
        Of the draw.

    Raises
    ------
    ValueError
        If the fraction is out of its range, or there is only one block.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction must lie strictly between 0 and 1, got {fraction}.")
    there = [rows for each in blocks(pos, group, most) for rows in each]
    if len(there) < 2:
        raise ValueError(
            f"a split needs at least 2 blocks, got {len(pos)} nodes and patch={most}; make patch smaller."
        )
    order = np.random.Generator(np.random.Philox(key=seed)).permutation(len(there))
    count = min(max(round(fraction * len(there)), 1), len(there) - 1)
    kept = np.sort(np.concatenate([there[i] for i in order[:count]]))
    return kept, [there[i] for i in np.sort(order[count:])]


def take(graphs: Graphs, rows: Sequence[_Rows]) -> Graphs:
    """Return one graph for each set of nodes, all of one graph each; edges are left out.

    Parameters
    ----------
    graphs
        What the nodes are taken from.
    rows
        Rows of `Graphs.pos` for each graph that is returned; it has the class and the group of the graph they
        are of.
    """
    device = graphs.device
    chosen = torch.from_numpy(np.concatenate(rows)).to(device)
    ptr = torch.from_numpy(np.cumsum([0, *map(len, rows)])).to(device)
    kept = {name: None if (v := getattr(graphs, name)) is None else gather(v, chosen) for name in BY_NODE}
    owner = torch.searchsorted(graphs.ptr, chosen[ptr[:-1]], right=True) - 1
    kept |= {name: None if (v := getattr(graphs, name)) is None else v[owner] for name in BY_GRAPH}
    return graphs.replace(
        pos=gather(graphs.pos, chosen),
        ptr=ptr,
        edge_index=None,
        edge_attr=None,
        edge_type=None,
        **kept,
    )


def _grown(pos: _Floats, tree: KDTree, core: _Rows, cells: int) -> tuple[_Rows, _Floats]:
    """Return a core with the nodes nearest to it, and their weights."""
    from scipy.spatial import KDTree

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
