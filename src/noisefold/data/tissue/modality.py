"""Graphs of cells or spots as spatial transcriptomics: how they are held out and cut into patches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noisefold.configuration import configurable
from noisefold.data.tissue.values import KINDS
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.patches import blocks, cut, hold_out, take

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
        rows, held = hold_out(*_placed(graphs), self.patch, fraction, seed)
        ends = np.searchsorted(rows, graphs.ptr[1:-1].cpu().numpy())
        return take(graphs, [part for part in np.split(rows, ends) if len(part)]), take(graphs, held)

    def patches(self, graphs: Graphs, overlap: float = 0.25) -> Graphs:
        """Return overlapping patches, a graph each, which together cover every cell.

        Parameters
        ----------
        graphs
            Tissues, a graph each.
        overlap
            Least fraction of a patch's cells that it takes from around the part that is its own, in [0, 1).
        """
        # Remembered with the graphs: a model is made for the same patches that it then learns from.
        known = vars(graphs).setdefault("_patches", {})
        key = (self.patch, overlap, graphs.pos._version)
        if key not in known:
            known[key] = cut(*_placed(graphs), self.patch, overlap)[0]
        return take(graphs, known[key])


def _placed(graphs: Graphs) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the positions in float64 and each node's graph."""
    return graphs.pos.double().cpu().numpy(), np.unique(graphs.batch.cpu().numpy(), return_inverse=True)[1]
