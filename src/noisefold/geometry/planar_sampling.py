r"""Random positions among all those that have a given Delaunay triangulation.

The positions of n points in a disc of area n whose Delaunay triangulation is a given one form a set in
:math:`\mathbb{R}^{2n}`. A Metropolis chain that moves one point by a symmetric random step, and takes back
what leaves the set, has the uniform distribution on it. That is the distribution of uniform random points
given their triangulation, apart from the shape of the domain they lie in.

Why not regular positions: the most regular ones are at the rim of what is typical. A model of them that errs
by a little makes triangulations that are too regular, while positions that are typical stay so.

Points that do not share a condition may move together. Their nodes are coloured once, so that no two of one
colour share one, and a sweep moves one colour after another.

Source: Metropolis et al., Equation of State Calculations by Fast Computing Machines (1953),
https://doi.org/10.1063/1.1699114.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from noisefold.geometry.triangle_mesh import Array, Index, TriangleMesh

__all__ = ["typical"]

_STEP, _SPREAD = 0.35, 0.7  # median of the steps, where neighbours are about 1 apart, and their log deviation
_LEAST = 1e-6  # of what must be positive


def typical(mesh: TriangleMesh, pos: Array, sweeps: int, streams: Sequence[np.random.Generator]) -> Array:
    """Return positions ``[n, 2]`` after random moves that leave every triangulation as it is.

    Parameters
    ----------
    mesh
        The triangulations.
    pos
        Positions to start from, ``[n, 2]``; each graph is scaled to fill its disc.
    sweeps
        Proposed moves of every node.
    streams
        A random stream for each graph, so that its moves do not depend on the others.
    """
    limits = mesh.sizes / np.pi
    reach = np.maximum.reduceat((pos**2).sum(1), np.cumsum([0, *mesh.sizes[:-1]]))
    pos = pos * np.sqrt(limits / reach * (1 - 1e-9))[mesh.graph, None]
    limits = limits[mesh.graph]
    colours = [np.flatnonzero(colour) for colour in _colours(mesh)]
    for _ in range(sweeps):
        draws = np.concatenate(
            [random.normal(size=(n, 3)) for random, n in zip(streams, mesh.sizes, strict=True)]
        )
        steps = draws[:, :2] * _STEP * np.exp(_SPREAD * draws[:, 2:])
        for nodes in colours:
            tried = pos.copy()
            tried[nodes] += steps[nodes]
            broken = _broken(mesh, tried) | ((tried**2).sum(1) > limits)
            kept = nodes[~broken[nodes]]
            pos[kept] = tried[kept]
    return pos


def _broken(mesh: TriangleMesh, pos: Array) -> NDArray[np.bool_]:
    """Return which nodes share a condition that does not hold, ``[n]``."""
    broken = np.zeros(len(pos), dtype=bool)
    x, y = (column[mesh.triangles].T for column in pos.T)
    ex, ey = x[[1, 2, 0]] - x, y[[1, 2, 0]] - y
    twice = ex[0] * ey[1] - ey[0] * ex[1]
    flat = twice < _LEAST
    broken[mesh.triangles[flat]] = True
    # Two angles add up to less than pi if their cotangents have a positive sum.
    cotangent = -(ex * ex[[2, 0, 1]] + ey * ey[[2, 0, 1]]) / np.where(flat, 1.0, twice)
    sums = np.bincount(mesh.edge, cotangent.T.reshape(-1))[: len(mesh.quads)]
    broken[mesh.quads[sums < _LEAST]] = True
    before, here, after = (pos[column] for column in mesh.rim.T)
    (ux, uy), (vx, vy) = (here - before).T, (after - here).T
    broken[mesh.rim[ux * vy - uy * vx < _LEAST]] = True
    return broken


def _colours(mesh: TriangleMesh) -> NDArray[np.bool_]:
    """Return disjoint sets of nodes that share no condition, ``[colours, n]``."""
    n = int(mesh.sizes.sum())
    near: list[set[int]] = [set() for _ in range(n)]
    for nodes in chain(mesh.triangles.tolist(), mesh.quads.tolist(), mesh.rim.tolist()):
        for node in nodes:
            near[node].update(nodes)
    colour: Index = np.full(n, -1)
    for node in range(n):
        taken = {int(colour[other]) for other in near[node]}
        colour[node] = next(c for c in range(len(taken) + 1) if c not in taken)
    chosen: NDArray[np.bool_] = colour == np.arange(int(colour.max()) + 1)[:, None]
    return chosen
