"""Metrics of sets of graphs by name, and their values for one row of a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from noisefold.eval import graph_metrics as distances
from noisefold.eval.graph_discrepancy import Components
from noisefold.eval.graph_statistics import GraphStatistics
from noisefold.eval.graph_validity import valid_graphs
from noisefold.eval.isomorphism import isomorphism_classes, repeated
from noisefold.eval.score_table import Metric, Score, half_sampled, share_score
from noisefold.geometry import Graphs

__all__ = ["FEWEST_TOLD_APART", "GRAPH_METRICS", "METRICS", "MOST_COMPARED", "Bench", "Row", "Validity"]

FEWEST_TOLD_APART = 16
"""Fewest graphs of each set whose discrepancy has an interval: their halves are divided into halves again."""
MOST_COMPARED = 1000
"""Most graphs of a set that enter statistics; their kernels are matrices of all pairs."""
_MOST_HALVES = 50
Validity = str | Callable[[Graphs], Tensor]
"""Name of a check, or a function that returns a flag for each graph."""

_MMD = (
    "Squared MMD of {} against the test graphs, Gaussian kernel of the total variation, biased as published: "
    "it falls as sets grow, so compare with the other rows, not with 0."
)
_WORDS = {
    "degree": "degrees",
    "clustering": "local clustering coefficients",
    "orbit": "orbit counts of subgraphs of 4 nodes",
    "spectrum": "the normalised Laplacian's eigenvalues",
    "wavelet": "graph wavelets' energies",
}
_TV = "Total variation between the frequencies of types of {} of generated and test graphs."
_SHARE = (0.0, 1.0)
METRICS: tuple[Metric, ...] = (
    Metric(
        "V.U.N.",
        "higher",
        "Share of graphs that are valid, no repeat of an earlier one, and isomorphic to no training graph.",
        bounds=_SHARE,
    ),
    Metric("valid", "higher", "Share of graphs that pass the check named below.", bounds=_SHARE),
    Metric("unique", "higher", "Share of graphs that do not repeat an earlier one.", bounds=_SHARE),
    Metric("novel", "higher", "Share of graphs that are isomorphic to no training graph.", bounds=_SHARE),
    Metric(
        "ratio",
        "lower",
        "Mean over the statistics of their MMD divided by that of the training graphs: 1 says as near to the "
        "test graphs as these; as few graphs as these score somewhat more even where they are real.",
    ),
    *(Metric(name, "lower", _MMD.format(_WORDS[name])) for name in distances.STATISTICS),
    Metric(
        "nearest",
        1.0,
        "Mean spectral distance to the nearest training graph, in multiples of that of test graphs: far "
        "below 1 says copies, in large graphs also such as differ in an edge; above, graphs unlike them all.",
    ),
    Metric("node-types", "lower", _TV.format("nodes"), bounds=_SHARE),
    Metric("edge-types", "lower", _TV.format("edges"), bounds=_SHARE),
    Metric(
        "PGD-LR",
        "lower",
        "PolyGraph discrepancy with logistic regression: a lower bound of the Jensen-Shannon distance to the "
        "test graphs, by the statistic that tells them apart best.",
        bounds=_SHARE,
    ),
)
GRAPH_METRICS: tuple[str, ...] = tuple(m.name for m in METRICS)
"""Names of all metrics that `score_graphs` knows."""


@dataclass(frozen=True)
class Bench:
    """What every row is compared with.

    Parameters
    ----------
    test, train
        Statistics of test and of training graphs, or None; perhaps of some of them.
    known
        All training graphs, for novelty.
    validity
        Check of validity, or None.
    inferred
        Whether all of `train` pass the check, because it was chosen so.
    statistics
        Names of the statistics that are compared.
    """

    test: GraphStatistics
    train: GraphStatistics | None
    known: Graphs | None
    validity: Validity | None
    inferred: bool
    statistics: tuple[str, ...] = distances.STATISTICS

    @cached_property
    def references(self) -> dict[str, float]:
        """MMDs of the training against the test graphs."""
        assert self.train is not None
        return {name: distances.Kernels.of(self.train, self.test, name).mmd() for name in self.statistics}

    @cached_property
    def test_distance(self) -> float:
        """Mean spectral distance of test graphs to the nearest training graph."""
        assert self.train is not None
        return float(distances.nearest_spectra(self.test, self.train).mean())


@dataclass(frozen=True)
class Row:
    """Graphs of one row, and their scores.

    Parameters
    ----------
    bench
        What they are compared with.
    graphs
        The graphs.
    resamples, seed
        Random halves of the intervals, and their seed.
    kernels
        Kernels of statistics, filled as they are asked for.
    """

    bench: Bench
    graphs: GraphStatistics
    resamples: int
    seed: int
    kernels: dict[str, distances.Kernels] = field(default_factory=dict)

    @cached_property
    def compared(self) -> GraphStatistics:
        """The graphs that enter statistics: all, or as many as may at random."""
        count = len(self.graphs)
        if count <= MOST_COMPARED:
            return self.graphs
        chosen = np.random.default_rng(self.seed).permutation(count)[:MOST_COMPARED]
        return GraphStatistics(self.graphs.graphs[np.sort(chosen).tolist()])

    @cached_property
    def valid(self) -> NDArray[np.bool_]:
        """Which graphs are valid."""
        check = self.bench.validity
        assert check is not None
        if self.bench.inferred and self.graphs is self.bench.train:
            return np.ones(len(self.graphs), dtype=bool)
        if isinstance(check, str):
            return valid_graphs(self.graphs, check)
        found = np.asarray(check(self.graphs.graphs)).astype(bool)
        if found.shape != (len(self.graphs),):
            raise ValueError(
                f"validity must return a flag for each of {len(self.graphs)} graphs, got shape {found.shape}."
            )
        return found

    @cached_property
    def _seen(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_] | None]:
        """Which graphs are unique, and which are novel."""
        if self.bench.known is None:
            return ~repeated(isomorphism_classes(self.graphs.graphs)[0]), None
        own, known = isomorphism_classes(self.graphs.graphs, self.bench.known)
        return ~repeated(own), ~np.isin(own, known)

    def score(self, name: str) -> Score:
        """Return one score."""
        if name in ("V.U.N.", "valid", "unique", "novel"):
            return share_score(self._flags(name))
        if name in distances.STATISTICS:
            return self._interval(name, self._kernels(name).mmd)
        if name == "ratio":
            return self._interval(name, self._ratio)
        if name == "nearest":
            assert self.bench.train is not None
            found = distances.nearest_spectra(self.compared, self.bench.train) / self.bench.test_distance
            return self._interval(name, lambda i: float(found[i].mean()))
        if name == "PGD-LR":
            return self._discrepancy()
        count = distances.node_type_frequencies if name == "node-types" else distances.edge_type_frequencies
        own, test = count(self.compared.graphs, self.bench.test.graphs)
        return self._interval(name, lambda i: distances.total_variation(own[i], test))

    def _flags(self, name: str) -> NDArray[np.bool_]:
        if name == "valid":
            return self.valid
        unique, novel = self._seen
        if name == "unique":
            return unique
        assert novel is not None
        return novel if name == "novel" else self.valid & unique & novel

    def _kernels(self, name: str) -> distances.Kernels:
        if name not in self.kernels:
            self.kernels[name] = distances.Kernels.of(self.compared, self.bench.test, name)
        return self.kernels[name]

    def _ratio(self, rows: NDArray[np.int64]) -> float:
        values = {name: self._kernels(name).mmd(rows) for name in self.bench.statistics}
        return distances.mmd_ratio(values, self.bench.references)[0]

    def _interval(self, name: str, statistic: Callable[[NDArray[np.int64]], float]) -> Score:
        bounds = METRICS[GRAPH_METRICS.index(name)].bounds
        return half_sampled(
            lambda i: statistic(i.numpy()),
            (len(self.compared),),
            resamples=self.resamples,
            seed=self.seed,
            bounds=bounds,
        )

    def _discrepancy(self) -> Score:
        components = Components.of(self.compared, self.bench.test, self.bench.statistics)
        rng = np.random.default_rng(self.seed)
        size = min(len(self.compared), len(self.bench.test))
        chosen = [rng.permutation(len(g))[:size] for g in (self.compared, self.bench.test)]

        def statistic(i: Tensor, j: Tensor) -> float:
            return components.discrepancy(chosen[0][i.numpy()], chosen[1][j.numpy()], rng)

        resamples = min(self.resamples, _MOST_HALVES)
        return half_sampled(statistic, (size, size), resamples=resamples, seed=self.seed, bounds=_SHARE)
