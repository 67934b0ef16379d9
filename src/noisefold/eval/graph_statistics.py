r"""Statistics of single graphs: degrees, clustering, orbits, spectra and wavelets.

Graphs are read as simple and undirected: an edge in either direction joins two nodes, self-loops and repeated
edges do not count. With adjacency matrix :math:`A`, degrees :math:`d`, common neighbours :math:`A^2` and
triangles of each edge :math:`T = A \odot A^2`, the 15 orbits of the graphlets of 2 to 4 nodes follow in
closed form: first the subgraphs that contain a node, induced or not, for instance

.. math::
    s_7 = \binom{d}{3}, \quad s_8 = \sum_{w \ne u} \binom{(A^2)_{uw}}{2}, \quad
    s_{11} = t\,(d - 2), \quad s_{13} = \sum_v A_{uv} \binom{T_{uv}}{2}, \qquad t = \tfrac12 T 1,

then, from the densest graphlet down, the induced ones, by subtracting those of denser graphlets that contain
them (the count of stars around a node contains those of paws, diamonds and complete graphs). All graphs of
a batch are one sparse block matrix.

Eigenvalues are those of the normalised Laplacian :math:`L = I - D^{-1/2} A D^{-1/2}`, in [0, 2]; nodes
without edges have 0. The largest eigenvalue of a bipartite graph is exactly 2, which rounding lifts above 2
in about a quarter of all trees. Histograms with the upper end 2 drop these, and published numbers for trees
depend on that; here eigenvalues are cut to [0, 2] first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from noisefold.geometry import Graphs
from noisefold.geometry.gp import eigh

__all__ = ["ORBITS", "GraphStatistics", "adjacency", "orbit_counts", "wavelet_filters"]

Array = NDArray[np.float64]
ORBITS = 15
"""Number of orbits of the graphlets of 2 to 4 nodes."""
_CLUSTERING_BINS, _SPECTRUM_BINS, _WAVELET_BINS, _FILTERS = 100, 200, 100, 12
_LOW, _HIGH = -1e-5, 2.0


def adjacency(graphs: Graphs) -> sp.csr_array:
    """Return the block adjacency matrix of a batch, ``[n, n]``, int64: symmetric, 0 or 1, zero diagonal.

    Graphs without `edge_index` have no edges.
    """
    n = graphs.num_nodes
    if graphs.edge_index is None:
        return sp.csr_array((n, n), dtype=np.int64)
    u, v = graphs.edge_index.detach().cpu().numpy()
    proper = u != v
    u, v = u[proper], v[proper]
    ends = np.concatenate([u, v]), np.concatenate([v, u])
    matrix = sp.csr_array((np.ones(2 * len(u), dtype=np.int64), ends), shape=(n, n))
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def orbit_counts(graphs: Graphs) -> NDArray[np.int64]:
    """Return how often each node stands in each orbit of the induced subgraphs of 2 to 4 nodes, ``[n, 15]``.

    The orbits are numbered as in the source: 0 edge; 1, 2 end and middle of a path of 3; 3 triangle; 4, 5 end
    and middle of a path of 4; 6, 7 leaf and centre of a star; 8 cycle of 4; 9, 10, 11 pendant, far and
    joining node of a paw; 12, 13 nodes of degree 2 and 3 of a diamond; 14 complete graph.

    Source: Hocevar and Demsar, A combinatorial approach to graphlet counting, Bioinformatics 2014,
    https://doi.org/10.1093/bioinformatics/btt717 (the orbits; counted otherwise).
    """
    return _orbits(adjacency(graphs))


def _orbits(a: sp.csr_array) -> NDArray[np.int64]:
    def of_neighbours(values: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.asarray(a @ values)

    def rows(matrix: sp.csr_array) -> NDArray[np.int64]:
        return np.asarray(matrix.sum(axis=1), dtype=np.int64).reshape(-1)

    d = rows(a)
    squared = a @ a
    on_edges = squared.multiply(a).tocsr()  # T
    t = rows(on_edges) // 2
    reach = squared.copy()
    reach.setdiag(0)
    reach.data = _choose2(reach.data)
    pairs = on_edges.copy()
    pairs.data = _choose2(pairs.data)
    k4 = _complete(a)
    s8, s13 = rows(reach), rows(pairs)
    s12 = rows((a @ on_edges).multiply(a).tocsr()) // 2 - t
    s11 = t * (d - 2)
    s10 = np.asarray(on_edges @ (d - 2))
    s9 = of_neighbours(t) - 2 * t
    s7 = d * (d - 1) * (d - 2) // 6
    s6 = of_neighbours(_choose2(d - 1))
    walks = of_neighbours(d - 1)
    s5 = (d - 1) * walks - 2 * t
    s4 = of_neighbours(walks) - d * (d - 1) - 2 * t
    o14 = k4
    o13, o12 = s13 - 3 * k4, s12 - 3 * k4
    o11 = s11 - 2 * o13 - 3 * k4
    o10 = s10 - 2 * o13 - 2 * o12 - 6 * k4
    o9 = s9 - 2 * o12 - 3 * k4
    o8 = s8 - o12 - o13 - 3 * k4
    o7 = s7 - o11 - o13 - k4
    o6 = s6 - o9 - o10 - o13 - 2 * o12 - 3 * k4
    o5 = s5 - 2 * o8 - 2 * o11 - o10 - 2 * o12 - 4 * o13 - 6 * k4
    o4 = s4 - 2 * o8 - 2 * o9 - o10 - 4 * o12 - 2 * o13 - 6 * k4
    o3, o2, o1 = t, _choose2(d) - t, walks - 2 * t
    return np.stack([d, o1, o2, o3, o4, o5, o6, o7, o8, o9, o10, o11, o12, o13, o14], axis=1)


def _choose2(values: NDArray[np.int64]) -> NDArray[np.int64]:
    return values * (values - 1) // 2


def _complete(a: sp.csr_array, block: int = 20000) -> NDArray[np.int64]:
    """Complete graphs of 4 nodes at each node: a third of the edges among common neighbours of its edges."""
    out = np.zeros(a.shape[0], dtype=np.int64)
    u, v = sp.triu(a).coords
    for start in range(0, len(u), block):
        i, j = u[start : start + block], v[start : start + block]
        common = a[i].multiply(a[j]).tocsr()
        within = np.asarray((common @ a).multiply(common).sum(axis=1), dtype=np.int64).reshape(-1) // 2
        np.add.at(out, i, within)
        np.add.at(out, j, within)
    return out // 3


def wavelet_filters(eigenvalues: Array) -> Array:
    r"""Return the 12 filters of the wavelet statistic at eigenvalues in [0, 2], ``[12, n]``.

    A low-pass :math:`\gamma e^{-(\lambda / 0.06)^4}` and 11 cubic-spline band-passes
    :math:`\kappa(s \lambda)` at scales s that fall evenly in the logarithm from 20 to 0.5, where
    :math:`\kappa(x)` is :math:`x^2` below 1, :math:`4 / x^2` above 2, smooth between, and
    :math:`\gamma = \max \kappa`.

    Source: Hammond, Vandergheynst and Gribonval, Wavelets on graphs via spectral graph theory, 2011,
    https://arxiv.org/abs/0912.3848, section 8.1, with the constants of Martinkus et al., SPECTRE, 2022,
    https://arxiv.org/abs/2204.01613.
    """
    low = _HIGH / 20
    scales = np.exp(np.linspace(np.log(2 / low), np.log(1 / _HIGH), _FILTERS - 1))
    peak = _spline(np.linspace(1, 2, 2001)).max()
    band = _spline(scales[:, None] * eigenvalues)
    return np.concatenate([peak * np.exp(-((eigenvalues / (0.6 * low)) ** 4))[None], band])


def _spline(x: Array) -> Array:
    cubic = -5 + 11 * x - 6 * x**2 + x**3  # value 1 at both ends, slopes 2 and -1
    return np.where(x < 1, x**2, np.where(x < 2, cubic, 4 / np.maximum(x, 1) ** 2))


@dataclass(frozen=True, eq=False)
class GraphStatistics:
    """Statistics of each graph of a batch, computed when they are asked for, and once.

    Parameters
    ----------
    graphs
        Graphs without graphs of no nodes.

    Raises
    ------
    ValueError
        If a graph has no nodes.
    """

    graphs: Graphs

    def __post_init__(self) -> None:
        if len(self.graphs) == 0 or int(self.graphs.sizes.min()) == 0:
            raise ValueError(
                f"graphs must hold graphs of one node or more, got {self.graphs!r}; remove others."
            )

    def __len__(self) -> int:
        return len(self.graphs)

    @cached_property
    def adjacency(self) -> sp.csr_array:
        """Block adjacency matrix, as of `adjacency`."""
        return adjacency(self.graphs)

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Number of nodes of each graph, ``[g]``."""
        return np.asarray(self.graphs.sizes.cpu().numpy())

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """First node of each graph and the number of all, ``[g + 1]``."""
        return np.asarray(self.graphs.ptr.cpu().numpy())

    @cached_property
    def degrees(self) -> NDArray[np.int64]:
        """Degree of each node, ``[n]``."""
        return np.diff(self.adjacency.indptr).astype(np.int64)

    @cached_property
    def edges(self) -> NDArray[np.int64]:
        """Number of undirected edges of each graph, ``[g]``."""
        return np.add.reduceat(self.degrees, self.offsets[:-1]) // 2

    def matrix(self, i: int) -> Array:
        """Return the dense adjacency matrix of graph i."""
        start, end = self.offsets[i], self.offsets[i + 1]
        return np.asarray(self.adjacency[start:end, start:end].toarray(), dtype=np.float64)

    def _histogram(self, column: NDArray[np.int64], columns: int) -> Array:
        """Count values of nodes by graph, ``[g, columns]``; column -1 is not counted."""
        owner = np.repeat(np.arange(len(self)), self.sizes)
        cell = owner[column >= 0] * columns + column[column >= 0]
        return np.bincount(cell, minlength=len(self) * columns).reshape(len(self), columns).astype(np.float64)

    @cached_property
    def degree(self) -> Array:
        """Histogram of degrees, ``[g, largest degree + 1]``."""
        return self._histogram(self.degrees, int(self.degrees.max()) + 1)

    @cached_property
    def clustering(self) -> Array:
        """Histogram of local clustering coefficients 2 t / (d (d - 1)), 100 bins on [0, 1], ``[g, 100]``."""
        d, triangles = self.degrees, self.orbits[:, 3]
        coefficients = 2 * triangles / np.maximum(d * (d - 1), 1)
        return self._histogram(_bins(coefficients, _CLUSTERING_BINS, 1.0), _CLUSTERING_BINS)

    @cached_property
    def orbits(self) -> NDArray[np.int64]:
        """Orbit counts of each node, ``[n, 15]``, as of `orbit_counts`."""
        return _orbits(self.adjacency)

    @cached_property
    def orbit(self) -> Array:
        """Mean orbit counts of a graph's nodes, ``[g, 15]``."""
        totals = np.add.reduceat(self.orbits.astype(np.float64), self.offsets[:-1], axis=0)
        return np.asarray(totals / self.sizes[:, None])

    @cached_property
    def _decompositions(self) -> tuple[list[Array], list[Array]]:
        """Eigenvalues, and energies of the wavelets ``[n_i, 12]``, graph by graph."""
        values, energies = [], []
        for i in range(len(self)):
            a = self.matrix(i)
            d = a.sum(1)
            root = np.where(d > 0, 1 / np.sqrt(np.maximum(d, 1)), 0.0)
            laplacian = np.diag((d > 0).astype(np.float64)) - root[:, None] * a * root
            found, vectors = (v.numpy() for v in eigh(torch.from_numpy(laplacian)))
            values.append(found.clip(0, _HIGH))
            energies.append(np.square(vectors) @ np.square(wavelet_filters(values[-1])).T)
        return values, energies

    @property
    def eigenvalues(self) -> list[Array]:
        """Eigenvalues of the normalised Laplacian of each graph, ascending, in [0, 2]."""
        return self._decompositions[0]

    @cached_property
    def spectrum(self) -> Array:
        """Share of eigenvalues in 200 bins on [-1e-5, 2], ``[g, 200]``."""
        rows = [np.histogram(v, _SPECTRUM_BINS, (_LOW, _HIGH))[0] / len(v) for v in self.eigenvalues]
        return np.stack(rows)

    @cached_property
    def wavelet(self) -> Array:
        r"""Histograms over nodes of the energies of 12 graph wavelets, 100 bins each, ``[g, 1200]``.

        The energy of filter g at node i is :math:`\sum_j (U g(\Lambda) U^\top)_{ij}^2 =
        \sum_k U_{ik}^2 g(\lambda_k)^2`. Bins reach from 0 to the filters' largest value.

        Source: Martinkus et al., SPECTRE, 2022, https://arxiv.org/abs/2204.01613.
        """
        top = float(wavelet_filters(np.arange(0, _HIGH, 0.01)).max())
        bins = _bins(np.concatenate(self._decompositions[1]), _WAVELET_BINS, top)
        return np.concatenate([self._histogram(column, _WAVELET_BINS) for column in bins.T], axis=1)


def _bins(values: Array, count: int, top: float) -> NDArray[np.int64]:
    """Bin of each value among `count` on [0, top], as of `numpy.histogram`; -1 above, as it drops these."""
    found = np.searchsorted(np.linspace(0.0, top, count + 1), values, side="right") - 1
    found[values == top] = count - 1
    return np.where(found < count, found, -1)
