r"""Delaunay triangulation: from positions in the plane to edges, and back by a layout.

Two points are joined if some circle through both has no other point inside. The edges form a planar,
connected graph for any points at all, of which at most :math:`3 n - 6` of n. They do not change if the points
are moved as a whole, turned, reflected or scaled.

Source: Delaunay, Sur la sphère vide (1934); computed by Qhull, Barber, Dobkin and Huhdanpaa (1996),
https://doi.org/10.1145/235815.235821.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.planar_layout import planar_layout
from noisefold.geometry.transform import Transform

__all__ = ["DelaunayLayout", "delaunay_edges", "recovered"]

_Array = NDArray[np.float64]
_Index = NDArray[np.int64]


@configurable
@dataclass(frozen=True)
class DelaunayLayout(Transform):
    """From graphs without positions to points in the plane, whose Delaunay triangulation they are.

    `apply` lays graphs out by `noisefold.geometry.planar_layout`, `undo` takes the edges of points. In
    between there are points alone, which a model of point clouds generates.

    Graphs that have positions in the plane keep these and lose their edges, so that a data set is laid out
    once, before it is learned from (`once`), and not in each batch.
    """

    def apply(self, graphs: Graphs) -> Graphs:
        """Return points ``[n, 2]`` without edges.

        Raises
        ------
        ValueError
            If the faces of a graph without positions do not triangulate a disc.
        """
        if graphs.dim == 0 and graphs.num_nodes:
            graphs = self.laid_out(graphs)
        return graphs.replace(edge_index=None, edge_attr=None, edge_type=None)

    def once(self, graphs: Graphs) -> Graphs:
        """Return points ``[n, 2]`` without edges, and warn if they do not give all edges back.

        Raises
        ------
        ValueError
            If the faces of a graph without positions do not triangulate a disc.
        """
        laid = self.laid_out(graphs)
        shares = recovered(laid)
        if bool((shares < 1).any()):
            warnings.warn(
                f"{int((shares < 1).sum())} of {len(graphs)} graphs are not exactly the Delaunay "
                f"triangulations of their layouts, which have {float(shares.mean()):.1%} of the edges.",
                stacklevel=2,
            )
        return self.apply(laid)

    def laid_out(self, graphs: Graphs) -> Graphs:
        """Return the graphs with positions in the plane, ``[n, 2]``; those that have some keep them.

        Raises
        ------
        ValueError
            If the faces of a graph without positions do not triangulate a disc.
        """
        if graphs.dim == 2:
            return graphs
        return graphs.replace(pos=planar_layout(graphs).to(graphs.dtype))

    def undo(self, graphs: Graphs) -> Graphs:
        """Return graphs without positions, ``[n, 0]``, with the edges of the points."""
        return graphs.replace(
            pos=graphs.pos.new_zeros(graphs.num_nodes, 0), edge_index=delaunay_edges(graphs), edge_attr=None
        )

    def entries(self, known: Tensor) -> Tensor:
        """Return the same entries of features, ``[n, f]``."""
        return known


def delaunay_edges(graphs: Graphs) -> Tensor:
    """Return the edges of the Delaunay triangulation of each graph's points, ``[2, e]``, in both directions.

    The edges of each graph are in the order of their ends. Points on one line are joined in their order on
    it; a point that coincides with others, up to rounding, has one edge, to one of these.

    Raises
    ------
    ValueError
        If the positions are not in the plane, or not finite.
    """
    if graphs.dim != 2:
        raise ValueError(f"pos must be [n, 2] for a Delaunay triangulation, got {list(graphs.pos.shape)}.")
    pos = graphs.pos.detach().double().cpu().numpy()
    if not np.isfinite(pos).all():
        raise ValueError("pos holds NaN or infinite values, which have no Delaunay triangulation.")
    parts = [_edges(pos[a:b]) + a for a, b in pairwise(graphs.ptr.tolist())]
    ends = np.concatenate(parts, axis=1) if parts else np.empty((2, 0), dtype=np.int64)
    return torch.from_numpy(ends).to(graphs.device)


def recovered(graphs: Graphs) -> Tensor:
    """Return how much of each graph its positions give back, ``[g]``, float64.

    It is the Jaccard index of the graph's edges and those of the Delaunay triangulation, 1 if they are equal.
    """
    codes = []
    for edges in (graphs.edge_index, delaunay_edges(graphs)):
        ends = torch.empty(2, 0, dtype=torch.int64) if edges is None else edges.cpu().sort(0).values
        codes.append((ends[0] * graphs.num_nodes + ends[1]).unique())
    every, count = torch.cat(codes).unique(return_counts=True)
    owner = graphs.batch.cpu()[every // max(graphs.num_nodes, 1)]
    both = torch.bincount(owner[count == 2], minlength=len(graphs)).double()
    either = torch.bincount(owner, minlength=len(graphs)).double()
    return torch.where(either > 0, both / either, 1.0)


def _edges(pos: _Array) -> _Index:
    """Return the edges of points ``[n, 2]``, ``[2, e]``, in both directions and sorted."""
    from scipy.spatial import Delaunay, QhullError

    try:
        found = Delaunay(pos) if len(pos) > 3 else None
    except QhullError:  # all points lie on one line, or nearly
        found = None
    pairs = (
        _few(pos)
        if found is None
        else _of_triangles(found.simplices.astype(np.int64), found.coplanar.astype(np.int64))
    )
    ends = np.unique(np.concatenate([pairs, pairs[:, ::-1]]), axis=0).T
    return np.ascontiguousarray(ends, dtype=np.int64)


def _of_triangles(triangles: _Index, left_out: _Index) -> _Index:
    sides = triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    # Columns of what Qhull left out: the point, its nearest triangle, its nearest vertex.
    return np.concatenate([sides, left_out[:, [0, 2]]])


def _few(pos: _Array) -> _Index:
    """Return the edges of three points, of fewer, or of points on a line."""
    order = np.arange(len(pos))
    if len(pos) > 2:
        centred = pos - pos.mean(0)
        far = centred[np.square(centred).sum(1).argmax()]
        across = centred[:, 0] * far[1] - centred[:, 1] * far[0]
        if len(pos) == 3 and np.abs(across).max() > 1e-12 * np.square(far).sum():
            return np.array([[0, 1], [1, 2], [2, 0]])
        order = np.argsort(centred @ far, kind="stable")
    return np.stack([order[:-1], order[1:]], 1)
