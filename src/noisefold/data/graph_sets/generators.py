"""Random graphs of the benchmarks, without end: planar, tree, SBM, community and grid graphs.

Each generator is the distribution that a benchmark's fixed set of graphs was drawn from. Graph i is a
function of ``(seed, i)``. Nodes are numbered at random, so that their order says nothing. Graphs have
positions ``[n, 0]`` and both directions of each edge.

Source: Martinkus et al., SPECTRE, 2022, https://arxiv.org/abs/2204.01613 (planar, SBM); Bergmeister et al.,
Efficient and scalable graph generation through iterative local expansion, 2024,
https://arxiv.org/abs/2312.11529 (tree); You et al., GraphRNN, 2018, https://arxiv.org/abs/1802.08773 (grid);
Niu et al., Permutation invariant graph generation via score-based modeling, 2020,
https://arxiv.org/abs/2003.00638 (community).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import Delaunay

from noisefold.arguments import seed_of, whole
from noisefold.data.formats.edge_lists import undirected
from noisefold.geometry.graphs import Graphs

__all__ = ["community", "grid", "planar", "sbm", "tree"]

_Rng = np.random.Generator
_Pairs = NDArray[np.int64]


def planar(count: int = 128, nodes: int = 64, seed: int = 0) -> Graphs:
    """Return Delaunay triangulations of points uniform in the unit square: connected planar graphs.

    Parameters
    ----------
    count
        Number of graphs.
    nodes
        Nodes of each, at least 3.
    seed
        Seed, in [0, 2**63).

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> planar(2, nodes=64)
    Graphs(2 graphs, 64 nodes each, 0-D, 716 edges)
    """
    nodes = whole("nodes", nodes, least=3)

    def one(rng: _Rng) -> tuple[int, _Pairs]:
        triangles = Delaunay(rng.random((nodes, 2))).simplices
        sides = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
        return nodes, np.unique(np.sort(sides, axis=1), axis=0)

    return _drawn(count, seed, one)


def tree(count: int = 128, nodes: int = 64, seed: int = 0) -> Graphs:
    """Return uniform random labelled trees, from random Pruefer sequences.

    Parameters
    ----------
    count
        Number of graphs.
    nodes
        Nodes of each, at least 2.
    seed
        Seed, in [0, 2**63).

    Raises
    ------
    ValueError
        If a number is out of range.
    """
    nodes = whole("nodes", nodes, least=2)
    return _drawn(count, seed, lambda rng: (nodes, _pruefer(rng.integers(nodes, size=nodes - 2))))


def _pruefer(sequence: _Pairs) -> _Pairs:
    """Edges of the tree of a Pruefer sequence of n - 2 nodes, in linear time."""
    n = len(sequence) + 2
    degree = 1 + np.bincount(sequence, minlength=n)
    first = leaf = int(np.flatnonzero(degree == 1)[0])
    edges = []
    for u in sequence.tolist():
        edges.append((leaf, u))
        degree[u] -= 1
        if degree[u] == 1 and u < first:
            leaf = u
        else:
            first += 1
            while degree[first] != 1:
                first += 1
            leaf = first
    return np.array([*edges, (leaf, n - 1)], dtype=np.int64)


def sbm(count: int = 128, seed: int = 0) -> Graphs:
    """Return graphs of the stochastic block model of the SBM benchmark.

    A graph has 2 to 5 communities of 20 to 40 nodes, all numbers uniform. Pairs within a community are edges
    with probability 0.3, others with 0.005. About one graph in fifty is not connected.

    Parameters
    ----------
    count
        Number of graphs.
    seed
        Seed, in [0, 2**63).

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    def one(rng: _Rng) -> tuple[int, _Pairs]:
        blocks = rng.integers(2, 6)
        block = np.repeat(np.arange(blocks), rng.integers(20, 41, size=blocks))
        i, j = np.triu_indices(len(block), 1)
        edge = rng.random(len(i)) < np.where(block[i] == block[j], 0.3, 0.005)
        return len(block), np.stack([i[edge], j[edge]], axis=1)

    return _drawn(count, seed, one)


def community(count: int = 128, seed: int = 0) -> Graphs:
    r"""Return graphs of two communities as in the comm20 benchmark, 12 to 20 nodes, connected.

    Each community has n of 6 to 10 nodes, uniform, whose pairs are edges with probability 0.7. Pairs of nodes
    of both are edges with probability 0.1 / n, one at least. Graphs that are not connected are drawn again.
    The benchmark's own file repeats one pair of communities for each n, so that its 100 graphs differ by
    the edges between the communities alone, and many of them are isomorphic; here each community is new.

    Parameters
    ----------
    count
        Number of graphs.
    seed
        Seed, in [0, 2**63).

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    def one(rng: _Rng) -> tuple[int, _Pairs]:
        n = int(rng.integers(6, 11))
        i, j = np.triu_indices(2 * n, 1)
        own = (i < n) == (j < n)
        while True:
            edge = rng.random(len(i)) < np.where(own, 0.7, 0.1 / n)
            if not (edge & ~own).any():
                edge[rng.choice(np.flatnonzero(~own))] = True
            pairs = np.stack([i[edge], j[edge]], axis=1)
            matrix = coo_array((np.ones(len(pairs)), tuple(pairs.T)), shape=(2 * n, 2 * n))
            if connected_components(matrix, directed=False)[0] == 1:
                return 2 * n, pairs

    return _drawn(count, seed, one)


def grid(count: int = 128, least: int = 10, most: int = 19, seed: int = 0) -> Graphs:
    """Return square grids, whose numbers of rows and of columns are independent and uniform.

    Parameters
    ----------
    count
        Number of graphs.
    least, most
        Smallest and largest number of rows and of columns; the benchmark's are 10 and 19.
    seed
        Seed, in [0, 2**63).

    Raises
    ------
    ValueError
        If a number is out of range.
    """
    least = whole("least", least, least=1)
    most = whole("most", most, least=least)

    def one(rng: _Rng) -> tuple[int, _Pairs]:
        rows, columns = rng.integers(least, most + 1, size=2)
        place = np.arange(rows * columns).reshape(rows, columns)
        along = np.stack([place[:, :-1].ravel(), place[:, 1:].ravel()], axis=1)
        across = np.stack([place[:-1].ravel(), place[1:].ravel()], axis=1)
        return place.size, np.concatenate([along, across])

    return _drawn(count, seed, one)


def _drawn(count: int, seed: int, one: Callable[[_Rng], tuple[int, _Pairs]]) -> Graphs:
    """Graphs 0 to count - 1, their nodes numbered at random."""
    count, seed = whole("count", count, least=1), seed_of(seed)
    sizes, counts, edges = [], [], []
    for i in range(count):
        rng = np.random.Generator(np.random.Philox(key=np.array([seed, i], dtype=np.uint64)))
        n, pairs = one(rng)
        sizes.append(n)
        counts.append(len(pairs))
        edges.append(rng.permutation(n)[pairs])
    return undirected(sizes, counts, np.concatenate(edges))
