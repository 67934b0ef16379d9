"""Graphs of cells or spots as spatial transcriptomics: how they are held out and cut into patches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noisefold.configuration import configurable
from noisefold.data.tissue.values import KINDS
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.patches import blocks, cut, take

__all__ = ["SpatialTranscriptomics"]


@configurable
@dataclass(frozen=True)
class SpatialTranscriptomics:
    """Expression of genes in the cells or spots of tissues, each a graph.

    Parameters
    ----------
    values
        What the features are, a key of `noisefold.data.tissue.values.KINDS`.
    time
        Whether the last coordinate is a time.
    patch
        Cells of the patches that models learn from, and most cells of the blocks that are held out.

    Raises
    ------
    ValueError
        If the kind of values is unknown, or a patch has fewer than two cells.
    """

    values: str
    time: bool = False
    patch: int = 200

    def __post_init__(self) -> None:
        if self.values not in KINDS:
            raise ValueError(f"values must be one of {', '.join(KINDS)}, got {self.values!r}.")
        if self.patch < 2:
            raise ValueError(f"patch must be at least 2, got {self.patch}.")

    def blocks(self, graphs: Graphs) -> list[NDArray[np.int64]]:
        """Return the nodes of each compact block of neighbouring cells, graph after graph."""
        pos, graph = _placed(graphs)
        return [rows for each in blocks(pos, graph, self.patch) for rows in each]

    def split(self, graphs: Graphs, fraction: float, seed: int = 0) -> tuple[Graphs, Graphs]:
        """Return two parts whose cells are neighbours at the rims of blocks alone.

        Parameters
        ----------
        graphs
            Tissues, a graph each.
        fraction
            Share of the blocks in the first part, in (0, 1); at least one block is in each.
        seed
            Of the draw of blocks.

        Returns
        -------
        tuple
            The cells that remain, one graph for each tissue that has any, and the blocks that are held out,
            one graph each.

        Raises
        ------
        ValueError
            If the fraction is out of its range, or there is only one block.
        """
        if not 0 < fraction < 1:
            raise ValueError(f"fraction must lie strictly between 0 and 1, got {fraction}.")
        there = self.blocks(graphs)
        if len(there) < 2:
            raise ValueError(
                f"a split needs at least 2 blocks of cells, got {graphs.num_nodes} cells and "
                f"patch={self.patch}; make patch smaller."
            )
        order = np.random.Generator(np.random.Philox(key=seed)).permutation(len(there))
        count = min(max(round(fraction * len(there)), 1), len(there) - 1)
        rows = np.sort(np.concatenate([there[i] for i in order[:count]]))
        ends = np.searchsorted(rows, graphs.ptr[1:-1].cpu().numpy())
        first = [part for part in np.split(rows, ends) if len(part)]
        return take(graphs, first), take(graphs, [there[i] for i in np.sort(order[count:])])

    def patches(self, graphs: Graphs, overlap: float = 0.25) -> Graphs:
        """Return overlapping patches, a graph each, which together cover every cell.

        Parameters
        ----------
        graphs
            Tissues, a graph each.
        overlap
            Least fraction of a patch's cells that it takes from around the part that is its own, in [0, 1).
        """
        return take(graphs, cut(*_placed(graphs), self.patch, overlap)[0])


def _placed(graphs: Graphs) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the positions in float64 and each node's graph."""
    return graphs.pos.double().cpu().numpy(), np.unique(graphs.batch.cpu().numpy(), return_inverse=True)[1]
