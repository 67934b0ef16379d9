"""Triangulated discs of several graphs side by side, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noisefold.geometry.planar_embedding import TriangulatedDisc

__all__ = ["TriangleMesh"]

Array = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True)
class TriangleMesh:
    """The triangles of several graphs of n nodes in all: t triangles, e inner edges, h boundary nodes.

    Attributes
    ----------
    sizes
        Nodes of each graph, ``[g]``.
    triangles
        Nodes of each triangle, counter-clockwise, ``[t, 3]``.
    rim
        Every boundary node between the one before and the one after it, counter-clockwise, ``[h, 3]``.
    angle
        Of each boundary node, if a graph's are spread evenly over a circle, ``[h]``.
    edge
        Number of the edge opposite to each corner, ``[3 t]``; inner edges come first.
    quads
        Both ends of each inner edge, and the two corners opposite to it, ``[e, 4]``.
    """

    sizes: Index
    triangles: Index
    rim: Index
    angle: Array
    edge: Index
    quads: Index

    @classmethod
    def of(cls, sizes: Sequence[int], discs: Sequence[TriangulatedDisc]) -> TriangleMesh:
        """Return the mesh of graphs of these sizes, with these faces."""
        starts = np.cumsum([0, *sizes[:-1]])
        triangles = np.concatenate(
            [np.array(d.triangles, dtype=np.int64) + s for d, s in zip(discs, starts, strict=True)]
        )
        boundaries = [np.array(d.boundary, dtype=np.int64) + s for d, s in zip(discs, starts, strict=True)]
        rim = np.concatenate([np.stack([np.roll(b, 1), b, np.roll(b, -1)], 1) for b in boundaries])
        angle = np.concatenate([2 * np.pi * np.arange(len(b)) / len(b) for b in boundaries])
        ends = np.sort(triangles[:, [[1, 2], [2, 0], [0, 1]]].reshape(-1, 2), axis=1)
        _, edge, count = np.unique(
            ends[:, 0] * sum(sizes) + ends[:, 1], return_inverse=True, return_counts=True
        )
        edge = edge.reshape(-1)
        inner_first = np.empty_like(count)
        inner_first[np.argsort(count == 1, kind="stable")] = np.arange(len(count))
        edge = inner_first[edge]
        # The two corners opposite to an inner edge stand next to each other once they are sorted by edge.
        corners = np.argsort(edge, kind="stable")[: 2 * int((count == 2).sum())].reshape(-1, 2)
        quads = np.concatenate([ends[corners[:, 0]], triangles.reshape(-1)[corners]], axis=1)
        return cls(np.array(sizes), triangles, rim, angle, edge, quads)

    @property
    def graph(self) -> Index:
        """Graph of each node, ``[n]``."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)
