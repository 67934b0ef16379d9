r"""Distances between two sets of graphs: MMD of statistics, nearest training graphs, frequencies of types.

For a statistic with values x of the graphs of one set and y of the other, and the kernel

.. math:: k(x, y) = \exp\left(-\frac{\mathrm{TV}(x, y)^2}{2 \sigma^2}\right), \qquad
          \mathrm{TV}(x, y) = \tfrac12 \lVert x - y \rVert_1,

the squared MMD is estimated as :math:`|\mathrm{mean}\,k(x, x') + \mathrm{mean}\,k(y, y') - 2\,\mathrm{mean}\,
k(x, y)|`, over all pairs, each graph with itself among them. This is what is published for these benchmarks:
biased, so that real graphs against m others give more than 0, about 1 / m, and with a kernel that is not
positive definite. So numbers compare at equal sizes of sets only, and the value of training graphs against
test graphs stands beside every other, as its ratio.

=============  =========================================================================  ================
statistic      x                                                                          sigma
=============  =========================================================================  ================
`degree`       share of nodes of each degree                                              1
`clustering`   share of nodes by local clustering coefficient, 100 bins                   0.1
`orbit`        mean of the nodes' counts in the 15 orbits of up to 4 nodes                30
`spectrum`     share of eigenvalues of the normalised Laplacian, 200 bins                 1
`wavelet`      share of nodes by energy of 12 graph wavelets, 100 bins each               1
=============  =========================================================================  ================

Source: Liao et al., Efficient graph generation with graph recurrent attention networks, 2019,
https://arxiv.org/abs/1910.00760 (statistics, kernel); Martinkus et al., SPECTRE, 2022,
https://arxiv.org/abs/2204.01613 (wavelets, ratio); O'Bray et al., Evaluation metrics for graph generative
models, 2022, https://arxiv.org/abs/2106.01098 (what is wrong with it).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from noisefold.arguments import one_of
from noisefold.eval.graph_statistics import GraphStatistics
from noisefold.geometry import Graphs
from noisefold.geometry.names import merged_codes

__all__ = [
    "LEAST_REFERENCE",
    "STATISTICS",
    "Kernels",
    "descriptors",
    "edge_type_frequencies",
    "graph_mmd",
    "mmd_ratio",
    "nearest_spectra",
    "node_type_frequencies",
]

Array = NDArray[np.float64]
_SIGMA: Mapping[str, float] = {
    "degree": 1.0,
    "clustering": 0.1,
    "orbit": 30.0,
    "spectrum": 1.0,
    "wavelet": 1.0,
}
STATISTICS: tuple[str, ...] = tuple(_SIGMA)
"""Names of the statistics that `graph_mmd` compares."""
LEAST_REFERENCE = 5e-5
"""Ratios leave out a statistic whose MMD of training against test graphs is below this: it rounds to 0."""
_QUANTILES = 256


def descriptors(graphs: GraphStatistics, statistic: str) -> Array:
    """Return the values x of a statistic that kernels compare, ``[g, c]``; histograms as shares.

    Histograms are divided by their sum + 1e-6, as published.
    """
    values: Array = getattr(graphs, one_of("statistic", statistic, STATISTICS))
    if statistic == "orbit":
        return values
    return np.asarray(values / (values.sum(1, keepdims=True) + 1e-6))


def _aligned(a: Array, b: Array) -> tuple[Array, Array]:
    """Histograms of one length, the shorter filled with zeros."""
    width = max(a.shape[1], b.shape[1])
    return tuple(np.pad(x, ((0, 0), (0, width - x.shape[1]))) for x in (a, b))  # type: ignore[return-value]


def _gaussian_tv(a: Array, b: Array, sigma: float) -> Array:
    a, b = _aligned(a, b)
    return np.asarray(np.exp(-np.square(cdist(a, b, "cityblock")) / (8 * sigma**2)))


@dataclass(frozen=True)
class Kernels:
    """Kernels of a statistic within a set, ``[g, g]``, from it to another, its mean ``[g]``, and within that.

    `within_b` is the mean kernel of all pairs of the other set.
    """

    within: Array
    between: Array
    within_b: float

    @classmethod
    def of(cls, a: GraphStatistics, b: GraphStatistics, statistic: str) -> Kernels:
        """Return the kernels of a statistic between two sets."""
        x, y, sigma = descriptors(a, statistic), descriptors(b, statistic), _SIGMA[statistic]
        between = _gaussian_tv(x, y, sigma).mean(1)
        return cls(_gaussian_tv(x, x, sigma), between, float(_gaussian_tv(y, y, sigma).mean()))

    def mmd(self, rows: NDArray[np.int64] | None = None) -> float:
        """Return the squared MMD of all, or of some, members of the first set to the other set."""
        within, between = self.within, self.between
        if rows is not None:
            within, between = within[np.ix_(rows, rows)], between[rows]
        return abs(float(within.mean() + self.within_b - 2 * between.mean()))


def graph_mmd(a: Graphs, b: Graphs, statistic: str = "degree") -> float:
    """Return the squared MMD between a statistic of two sets of graphs, biased as published; see the module.

    Parameters
    ----------
    a, b
        Graphs of one node or more each.
    statistic
        One of `STATISTICS`.

    Raises
    ------
    ValueError
        If the statistic is unknown, or a graph has no nodes.
    """
    return Kernels.of(GraphStatistics(a), GraphStatistics(b), statistic).mmd()


def mmd_ratio(
    values: Mapping[str, float], reference: Mapping[str, float], least: float = LEAST_REFERENCE
) -> tuple[float, tuple[str, ...]]:
    """Return the mean over statistics of MMD / reference, and the statistics whose reference is too small.

    Parameters
    ----------
    values
        Squared MMDs of generated against test graphs.
    reference
        The same of training against test graphs.
    least
        References below this are left out.

    Returns
    -------
    tuple
        The ratio, NaN if every statistic is left out; and the names of those left out.
    """
    dropped = tuple(name for name in values if reference[name] < least)
    ratios = [values[name] / reference[name] for name in values if name not in dropped]
    return (float(np.mean(ratios)) if ratios else float("nan")), dropped


def nearest_spectra(graphs: GraphStatistics, known: GraphStatistics) -> Array:
    r"""Return each graph's spectral distance to the nearest known one, ``[g]``.

    The distance is :math:`\int_0^1 |F^{-1}(q) - G^{-1}(q)|\,dq` of the eigenvalues of the normalised
    Laplacian, at 256 values of q: for graphs of one size the mean of :math:`|\lambda_k - \mu_k|`. A graph
    of 64 nodes that is a known one but for an edge is nearer than others, which isomorphism does not see;
    graphs that have the same spectrum without being the same are at 0.
    """
    own, others = _quantiles(graphs.eigenvalues), _quantiles(known.eigenvalues)
    return np.asarray(cdist(own, others, "cityblock").min(1) / _QUANTILES)


def _quantiles(spectra: list[Array]) -> Array:
    q = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    return np.stack([values[np.floor(q * len(values)).astype(np.int64)] for values in spectra])


def node_type_frequencies(a: Graphs, b: Graphs) -> tuple[Array, Array]:
    """Return the counts of each type of nodes in each graph, types matched by name: ``[ga, c]``, ``[gb, c]``.

    Raises
    ------
    ValueError
        If one of the sets has no types of nodes.
    """
    return _frequencies(a, b, "node_type", "node_types")


def edge_type_frequencies(a: Graphs, b: Graphs) -> tuple[Array, Array]:
    """Return the counts of each type of edges in each graph, as of `node_type_frequencies`.

    An edge with both directions is counted twice.
    """
    return _frequencies(a, b, "edge_type", "edge_types")


def _frequencies(a: Graphs, b: Graphs, field: str, names: str) -> tuple[Array, Array]:
    values = [getattr(g, field) for g in (a, b)]
    lacking = next((which for which, v in zip("ab", values, strict=True) if v is None), None)
    if lacking is not None:
        raise ValueError(f"{lacking} must have {field}, got none; leave the metric out.")
    codes, _ = merged_codes(values, [getattr(g, names) for g in (a, b)], names)
    assert codes is not None
    found = [np.asarray(c.cpu().numpy()) for c in codes]
    width = 1 + max((int(c.max()) for c in found if len(c)), default=0)
    counts = []
    for graphs, code in zip((a, b), found, strict=True):
        owner = graphs.batch.cpu().numpy()
        if field == "edge_type":
            assert graphs.edge_index is not None
            owner = owner[graphs.edge_index[0].cpu().numpy()]
        cells = np.bincount(owner * width + code, minlength=len(graphs) * width)
        counts.append(cells.reshape(len(graphs), width).astype(np.float64))
    return counts[0], counts[1]


def total_variation(a: Array, b: Array) -> float:
    """Return half the sum of differences of the shares that counts of two sets make, pooled over graphs."""
    p, q = (x.sum(0) / max(x.sum(), 1.0) for x in (a, b))
    return float(np.abs(p - q).sum() / 2)
