r"""Positions of triangulated graphs in the plane, from the edges alone, of which they are the Delaunay graph.

**Regular positions.** The start is Tutte's embedding: the boundary on a circle, every other node at the mean
of its neighbours. Then Adam lowers, over all graphs at once,

.. math::

    \sum_e [\theta_e + \theta'_e - (\pi - \delta)]_+ \; + \sum_{i \in \mathrm{hull}}
    [\phi_i - (\pi - \delta_h)]_+ \; + \; w \operatorname{Var}_t \log A_t \; + \sum_t [A_0 - A_t]_+ .

A triangulation is Delaunay if and only if the two angles opposite each inner edge add up to
:math:`\theta_e + \theta'_e \le \pi`, and its hull is convex, :math:`\phi_i < \pi` the angle at a boundary
node. The variance of the areas :math:`A_t` keeps triangles of one size, the last term unfolded.

**Typical positions.** `noisefold.geometry.planar_sampling` then moves them at random among all positions that
have the same Delaunay graph.

All of it is a function of one graph alone, in float64.

Source: Tutte, How to Draw a Graph (1963), https://doi.org/10.1112/plms/s3-13.1.743; Rivin, Euclidean
Structures on Simplicial Surfaces and Hyperbolic Volume (1994), https://doi.org/10.2307/2118572.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from noisefold.geometry.graphs import Graphs
from noisefold.geometry.planar_embedding import TriangulatedDisc, triangulated_disc
from noisefold.geometry.planar_sampling import typical
from noisefold.geometry.triangle_mesh import Array, TriangleMesh
from noisefold.progress import progress

__all__ = ["discs", "planar_layout"]

_STEPS, _SWEEPS = 300, 100
_RATE = 0.02  # of Adam, where neighbours are about 1 apart
_MARGIN, _HULL_MARGIN = 0.1, 0.05  # radians
_EVEN = 0.05  # weight of the variance of log areas
_LEAST_AREA = 1e-3
_NODES = 1 << 13  # laid out together: what stays in a processor's cache


def discs(graphs: Graphs) -> list[TriangulatedDisc]:
    """Return the faces of every graph.

    Raises
    ------
    ValueError
        If the faces of a graph do not triangulate a disc, as those of a Delaunay triangulation do.
    """
    found = []
    for i, graph in enumerate(graphs):
        ends = torch.empty(2, 0, dtype=torch.int64) if graph.edge_index is None else graph.edge_index
        disc = triangulated_disc(graph.num_nodes, [(u, v) for u, v in ends.T.tolist() if u != v])
        if disc is None:
            raise ValueError(
                f"graph {i} of {graph.num_nodes} nodes has no planar embedding in which all faces but the "
                'outer one are triangles, so that no layout has it as Delaunay graph; use variable="types", '
                "which generates any graph."
            )
        found.append(disc)
    return found


def planar_layout(graphs: Graphs, steps: int = _STEPS, sweeps: int = _SWEEPS) -> Tensor:
    """Return positions ``[n, 2]``, float64, each graph centred and of mean square coordinate 1.

    Parameters
    ----------
    graphs
        Graphs whose faces triangulate a disc; positions that they have are not looked at.
    steps
        Steps of Adam.
    sweeps
        Random moves of every node afterwards.

    Raises
    ------
    ValueError
        If the faces of a graph do not triangulate a disc.
    """
    faces, sizes = discs(graphs), graphs.sizes.tolist()
    parts: list[Array] = []
    with progress("laying out", len(sizes)) as advance:
        first = 0
        while first < len(sizes):
            last, nodes = first + 1, sizes[first]
            while last < len(sizes) and nodes + sizes[last] <= _NODES:
                nodes, last = nodes + sizes[last], last + 1
            mesh = TriangleMesh.of(sizes[first:last], faces[first:last])
            pos = regular(mesh, steps)
            if sweeps:
                pos = typical(mesh, pos, sweeps, [np.random.default_rng(n) for n in sizes[first:last]])
            parts.append(_normalised(pos, mesh))
            advance(last - first, "")
            first = last
    laid = np.concatenate(parts) if parts else np.empty((0, 2))
    return torch.from_numpy(laid).to(graphs.device)


def tutte(mesh: TriangleMesh) -> Array:
    """Return positions ``[n, 2]``: the boundary on the unit circle, other nodes at the mean of neighbours."""
    from scipy import sparse
    from scipy.sparse.linalg import spsolve

    n, boundary = int(mesh.sizes.sum()), mesh.rim[:, 1]
    pos, places = np.zeros((n, 2)), np.stack([np.cos(mesh.angle), np.sin(mesh.angle)], 1)
    pos[boundary] = places
    free = np.setdiff1d(np.arange(n), boundary)
    if len(free) == 0:
        return pos
    # The two directions of an inner edge stand in two triangles: each is counted once.
    source, target = mesh.triangles.reshape(-1), mesh.triangles[:, [1, 2, 0]].reshape(-1)
    adjacency = sparse.csr_array((np.ones(len(source)), (source, target)), shape=(n, n))
    laplacian = sparse.diags_array(np.bincount(source, minlength=n).astype(float)) - adjacency
    rows = laplacian.tocsr()[free]
    pull = rows[:, boundary] @ places
    pos[free] = spsolve(rows[:, free].tocsc(), -pull).reshape(len(free), 2)
    return pos


def regular(mesh: TriangleMesh, steps: int) -> Array:
    """Return positions ``[n, 2]`` after so many steps of Adam, with neighbours about 1 apart."""
    pos = tutte(mesh) * np.sqrt(mesh.sizes / np.pi)[mesh.graph, None]
    slope = Slope(mesh)
    mean, square = np.zeros_like(pos), np.zeros_like(pos)
    for step in range(steps):
        gradient = slope(pos)
        mean += 0.1 * (gradient - mean)
        square += 0.01 * (gradient**2 - square)
        rate = _RATE * 0.5 * (1 + math.cos(math.pi * step / steps))
        unbiased = square / (1 - 0.99 ** (step + 1))
        pos -= rate / (1 - 0.9 ** (step + 1)) * mean / (np.sqrt(unbiased) + 1e-8)
    return pos


def _normalised(pos: Array, mesh: TriangleMesh) -> Array:
    graph = mesh.graph
    centre = np.stack([np.bincount(graph, column) for column in pos.T], 1) / mesh.sizes[:, None]
    pos = pos - centre[graph]
    scale = np.sqrt(np.bincount(graph, (pos**2).mean(1)) / mesh.sizes)
    return pos / scale[graph, None]


class Slope:
    """Gradient of the objective of the module with respect to the positions of a mesh."""

    def __init__(self, mesh: TriangleMesh) -> None:
        from scipy import sparse

        self._mesh, n, corners = mesh, int(mesh.sizes.sum()), mesh.triangles.reshape(-1)
        self._graph = mesh.graph[mesh.triangles[:, 0]]
        self._count = np.bincount(self._graph, minlength=len(mesh.sizes))
        shape = (n, len(corners))
        entries = (np.ones(len(corners)), (corners, np.arange(len(corners))))
        self._to_nodes = sparse.csr_array(entries, shape=shape)
        self._limit_node = np.full(n, np.inf)
        self._limit_node[mesh.rim[:, 1]] = np.pi - _HULL_MARGIN
        self._limit_edge = np.full(int(mesh.edge.max()) + 1, np.inf)
        self._limit_edge[: len(mesh.quads)] = np.pi - _MARGIN

    def __call__(self, pos: Array) -> Array:
        """Return the gradient ``[n, 2]`` at positions ``[n, 2]``."""
        mesh = self._mesh
        x, y = (column[mesh.triangles].T for column in pos.T)  # [3, t]
        ahead, back = [1, 2, 0], [2, 0, 1]
        ex, ey = x[ahead] - x, y[ahead] - y  # edge k runs from corner k to the next
        twice = ex[0] * ey[1] - ey[0] * ex[1]  # twice the area
        angle = np.arctan2(twice, -(ex * ex[back] + ey * ey[back])).T.reshape(-1)
        corners = mesh.triangles.reshape(-1)
        at_edge = np.bincount(mesh.edge, angle) > self._limit_edge
        at_node = np.bincount(corners, angle, minlength=len(pos)) > self._limit_node
        weight = (at_edge[mesh.edge].astype(float) + at_node[corners]).reshape(-1, 3).T
        # The angle at corner k is the direction of the edge that ends there, reversed, minus that of the one
        # that begins; the gradient of a direction is the edge turned by 90 degrees over its squared length.
        turn = (weight[ahead] - weight) / np.maximum(ex**2 + ey**2, 1e-12)
        gx, gy = -ey * turn, ex * turn
        size = np.maximum(twice, 1e-6)
        log_area = np.log(size)
        mean = np.bincount(self._graph, log_area) / self._count
        pull = 2 * _EVEN * (log_area - mean[self._graph]) / (self._count[self._graph] * size)
        pull = np.where(twice > 1e-6, pull, 0.0) - (twice < _LEAST_AREA)
        # Of twice the area with respect to edges 0 and 1.
        gx[0] += pull * ey[1]
        gy[0] -= pull * ex[1]
        gx[1] -= pull * ey[0]
        gy[1] += pull * ex[0]
        # An edge is its end minus its start.
        at = np.stack([(g[back] - g).T.reshape(-1) for g in (gx, gy)], 1)
        gradient: Array = self._to_nodes @ at
        return gradient
