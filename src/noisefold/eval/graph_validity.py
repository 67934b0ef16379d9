"""Whether generated graphs have the property that their class of graphs is defined by.

======================  ===================================================================================
name                    valid is a graph that
======================  ===================================================================================
``connected``           is connected
``tree``                is connected and has n - 1 edges
``planar``              is connected and planar
``sbm``                 passes for a draw of the stochastic block model of the SBM benchmark
======================  ===================================================================================

The check of ``sbm`` divides a graph into communities and applies the published criterion to them: 2 to 5
communities of 20 to 40 nodes, and a mean p-value of Wald's statistics of the edge probabilities, against 0.3
within and 0.005 between communities, above 0.9. The communities are those of Louvain's method, after which
single nodes move and communities merge as long as the likelihood of the benchmark's model grows. Published
numbers fit a block model instead (graph-tool, whose licence does not allow it here), so that they differ by
a few per cent. The criterion is weak with either: it does not scale deviations by their standard errors, and
most graphs still pass when a tenth of their edges are rewired. The distances between statistics see this.

Source: Martinkus et al., SPECTRE, 2022, https://arxiv.org/abs/2204.01613; Blondel et al., Fast unfolding of
communities in large networks, 2008, https://arxiv.org/abs/0803.0476.
"""

from __future__ import annotations

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from scipy.stats import chi2

from noisefold.arguments import one_of
from noisefold.eval.graph_statistics import GraphStatistics
from noisefold.geometry import Graphs

__all__ = ["VALIDITY", "shared_validity", "valid_graphs"]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
VALIDITY: tuple[str, ...] = ("tree", "planar", "connected", "sbm")
"""Names of the checks that `valid_graphs` knows."""
_WITHIN, _BETWEEN, _BLOCKS, _BLOCK_NODES, _ACCEPTED, _SWEEPS = 0.3, 0.005, (2, 5), (20, 40), 0.9, 20


def valid_graphs(graphs: Graphs | GraphStatistics, check: str) -> Flags:
    """Return which graphs pass one of the checks `VALIDITY`, ``[g]``.

    Raises
    ------
    ValueError
        If the check is unknown, or a graph has no nodes.
    """
    statistics = graphs if isinstance(graphs, GraphStatistics) else GraphStatistics(graphs)
    return _CHECKS[one_of("check", check, VALIDITY)](statistics)


def shared_validity(graphs: Graphs | GraphStatistics) -> str | None:
    """Return the narrowest of tree, planar and connected that all graphs are, or None."""
    statistics = graphs if isinstance(graphs, GraphStatistics) else GraphStatistics(graphs)
    return next((c for c in ("tree", "planar", "connected") if bool(_CHECKS[c](statistics).all())), None)


def _connected(statistics: GraphStatistics) -> Flags:
    component = connected_components(statistics.adjacency, directed=False)[1]
    start = statistics.offsets[:-1]
    low, high = np.minimum.reduceat(component, start), np.maximum.reduceat(component, start)
    return np.asarray(low == high)


def _tree(statistics: GraphStatistics) -> Flags:
    return np.asarray(_connected(statistics) & (statistics.edges == statistics.sizes - 1))


def _planar(statistics: GraphStatistics) -> Flags:
    n, edges = statistics.sizes, statistics.edges
    out = _connected(statistics) & ((n < 3) | (edges <= 3 * n - 6))
    for i in np.flatnonzero(out):
        out[i] = nx.check_planarity(nx.from_numpy_array(statistics.matrix(int(i))))[0]
    return out


def _sbm(statistics: GraphStatistics) -> Flags:
    return np.array([_is_sbm(statistics, i) for i in range(len(statistics))])


def _is_sbm(statistics: GraphStatistics, i: int) -> bool:
    n = int(statistics.sizes[i])
    if not _BLOCKS[0] * _BLOCK_NODES[0] <= n <= _BLOCKS[1] * _BLOCK_NODES[1]:
        return False
    matrix = statistics.matrix(i)
    member = _communities(matrix)
    counts = member.sum(0)
    if not _BLOCKS[0] <= len(counts) <= _BLOCKS[1]:
        return False
    if counts.min() < _BLOCK_NODES[0] or counts.max() > _BLOCK_NODES[1]:
        return False
    ends = member.T @ matrix @ member
    own = np.eye(len(counts), dtype=bool)
    share = ends / np.where(own, counts * (counts - 1), counts[:, None] * counts)
    expected = np.where(own, _WITHIN, _BETWEEN)
    wald = (share - expected) ** 2 / (share * (1 - share) + 1e-6)
    return bool(chi2.sf(wald, 1).mean() > _ACCEPTED)


def _communities(matrix: Array) -> Array:
    """Memberships ``[n, k]``, 0 or 1: Louvain's, then a local maximum of the planted partition's likelihood.

    A pair within a community, not between two, changes the log likelihood by log(p / q) if it is an edge, and
    by log((1 - p) / (1 - q)) if it is none.
    """
    n = len(matrix)
    label = np.empty(n, dtype=np.int64)
    for k, block in enumerate(nx.community.louvain_communities(nx.from_numpy_array(matrix), seed=0)):
        label[list(block)] = k
    edge, none = np.log(_WITHIN / _BETWEEN), np.log((1 - _WITHIN) / (1 - _BETWEEN))
    gains: Array = edge * (matrix > 0) + none * (matrix <= 0)
    np.fill_diagonal(gains, 0.0)
    between: Array
    for _ in range(_SWEEPS):
        before = label.copy()
        for u in range(n):
            gain = np.bincount(label, gains[u])
            best = int(gain.argmax())
            if gain[best] > gain[label[u]] + 1e-9:
                label[u] = best
        member = np.eye(label.max() + 1)[label]
        between = member.T @ gains @ member
        np.fill_diagonal(between, 0.0)
        i, j = divmod(int(between.argmax()), len(between))
        if between[i, j] > 1e-9:
            label[label == j] = i
        label = np.unique(label, return_inverse=True)[1]
        if np.array_equal(label, before):
            break
    return np.eye(label.max() + 1)[label]


_CHECKS = {"tree": _tree, "planar": _planar, "connected": _connected, "sbm": _sbm}
