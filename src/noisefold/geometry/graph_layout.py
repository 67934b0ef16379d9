r"""Layouts of graphs whose nodes have no positions, by stress majorization.

With the length :math:`d_{ij}` of the shortest path between two nodes, the layout of a component minimises

.. math:: \mathrm{stress}(p) = \sum_{i<j} d_{ij}^{-2} \bigl(\lVert p_i - p_j \rVert - d_{ij}\bigr)^2

by steps that never increase it, from classical multidimensional scaling on. Components stand in rows, the
largest first. The layout is a function of the graph alone: nothing is drawn at random.

Source: Kamada and Kawai, An algorithm for drawing general undirected graphs, 1989,
https://doi.org/10.1016/0020-0190(89)90102-6 (the stress); Gansner, Koren and North, Graph drawing by stress
majorization, 2004, https://doi.org/10.1007/978-3-540-31843-9_25 (the steps).
"""

from __future__ import annotations

import math

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components, shortest_path

from noisefold.geometry.gp import eigh, factor

__all__ = ["breadth_first", "graph_layout"]

Places = NDArray[np.float64]
Ends = NDArray[np.int64]
_STEPS, _CHANGE = 200, 1e-4
_GAP = 0.8  # between components, in lengths of an edge


def graph_layout(edges: Ends, nodes: int) -> Places:
    """Return places of the nodes of a graph in the square [-1, 1]^2, ``[n, 2]``.

    Parameters
    ----------
    edges
        Ends of the edges, ``[e, 2]``; directions, repeats and self-loops do not count.
    nodes
        Number of nodes n.
    """
    matrix = _adjacency(edges, nodes)
    count, owner = connected_components(matrix, directed=False)
    parts = sorted((np.flatnonzero(owner == k) for k in range(count)), key=len, reverse=True)
    boxes = [_component(matrix[part][:, part]) for part in parts]
    places = np.zeros((nodes, 2))
    for part, box in zip(parts, _packed(boxes), strict=True):
        places[part] = box
    if nodes:
        low, high = places.min(0), places.max(0)
        places = (places - (low + high) / 2) / max(float((high - low).max()) / 2, 1e-9)
    return places


def breadth_first(edges: Ends, nodes: int, most: int) -> NDArray[np.int64]:
    """Return at most so many nodes, those nearest to the node of the most edges, ascending, ``[m]``."""
    if nodes <= most:
        return np.arange(nodes)
    matrix = _adjacency(edges, nodes)
    centre = int(np.asarray(matrix.sum(1)).reshape(-1).argmax())
    far = shortest_path(matrix, directed=False, unweighted=True, indices=centre)
    return np.sort(np.argsort(far, kind="stable")[:most])


def _adjacency(edges: Ends, nodes: int) -> sp.csr_array:
    a, b = edges[edges[:, 0] != edges[:, 1]].T
    ends = np.concatenate([a, b]), np.concatenate([b, a])
    matrix = sp.csr_array((np.ones(2 * len(a)), ends), shape=(nodes, nodes))
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def _component(matrix: sp.csr_array) -> Places:
    """Places of a connected graph; an edge has a length of about 1, and the longer side lies across."""
    n = matrix.shape[0]
    if n < 3:
        return np.stack([np.arange(n), np.zeros(n)], 1)
    lengths = np.asarray(shortest_path(matrix, directed=False, unweighted=True))
    places = _scaled(lengths)
    weights = 1 / np.square(lengths + np.eye(n))
    np.fill_diagonal(weights, 0)
    # The Laplacian of the weights is singular for constants alone: with 1/n added it has an inverse.
    laplacian = np.diag(weights.sum(1)) - weights
    inverse = factor(torch.from_numpy(laplacian + 1 / n)).inverse.numpy() - 1 / n
    before = math.inf
    for _ in range(_STEPS):
        apart = np.linalg.norm(places[:, None] - places[None], axis=2)
        stress = float((weights * np.square(apart - lengths)).sum())
        if before - stress < _CHANGE * stress:
            break
        before = stress
        pull = -weights * lengths / np.maximum(apart, 1e-9)
        np.fill_diagonal(pull, 0)
        np.fill_diagonal(pull, -pull.sum(1))
        places = inverse @ (pull @ places)
    return _turned(places)


def _scaled(lengths: Places) -> Places:
    """Classical multidimensional scaling, a little shaken, so that no two nodes coincide."""
    squared = np.square(lengths)
    centred = squared - squared.mean(0) - squared.mean(1)[:, None] + squared.mean()
    values, vectors = (v.numpy() for v in eigh(torch.from_numpy(-centred / 2)))
    places = vectors[:, -2:] * np.sqrt(np.maximum(values[-2:], 1e-9))
    shake: Places = places + 0.05 * np.random.default_rng(0).standard_normal(places.shape)
    return shake


def _turned(places: Places) -> Places:
    places = places - places.mean(0)
    axes = eigh(torch.from_numpy(places.T @ places))[1].numpy()
    turned: Places = places @ axes[:, ::-1]
    return turned * np.where(turned[np.abs(turned).argmax(0), [0, 1]] < 0, -1, 1)


def _packed(boxes: list[Places]) -> list[Places]:
    """Put components into rows from the top, left to right."""
    sizes = [np.ptp(b, axis=0) + _GAP for b in boxes]
    width = max(
        [1.2 * math.sqrt(sum(float(s.prod()) for s in sizes)), *(float(s[0]) for s in sizes)], default=0
    )
    across, top, tall, put = 0.0, 0.0, 0.0, []
    for box, size in zip(boxes, sizes, strict=True):
        if across and across + size[0] > width * (1 + 1e-9):
            across, top, tall = 0.0, top - tall, 0.0
        corner = np.array([box[:, 0].min(), box[:, 1].max()])
        put.append(box - corner + (across, top))
        across, tall = across + float(size[0]), max(tall, float(size[1]))
    return put
