r"""The table of scores of generated graphs, with the reference rows that give its numbers a meaning.

Beside the model stand, scored against the same test graphs,

- ``train``: all training graphs. Their MMDs are the denominators of every ratio, so that theirs is 1;
- ``truth``: fresh draws of the true generator, if one is given: the best that a model of this size can score;
- ``copied``: as many random training graphs as were generated, what a model that only remembers would reach;
- ``Erdos-Renyi``: random graphs, each with the numbers of nodes and edges of a random training graph.

Intervals are over generated graphs, with the test and training graphs as they are: shares have Wilson's,
all others the delete-half jackknife of `noisefold.eval.half_sampled`, which for MMDs near 0 errs on the wide
side, by up to a factor 2.

Source: Wilson, Probable inference, the law of succession, and statistical inference, 1927,
https://doi.org/10.1080/01621459.1927.10502953.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from noisefold.arguments import one_of, seed_of
from noisefold.eval import graph_metrics as distances
from noisefold.eval.graph_discrepancy import Components
from noisefold.eval.graph_statistics import GraphStatistics
from noisefold.eval.graph_validity import VALIDITY, shared_validity, valid_graphs
from noisefold.eval.isomorphism import isomorphism_classes, repeated
from noisefold.eval.random_graphs import erdos_renyi_like
from noisefold.eval.score_table import Metric, Score, Scores, half_sampled
from noisefold.geometry import Graphs

__all__ = ["GRAPH_METRICS", "score_graphs"]

Array = NDArray[np.float64]
_SMALLEST = 4
_LARGEST = 1000
_DISCREPANCY = (8, 50)  # fewest graphs, and most random halves
_REFERENCES = ("train", "truth", "copied", "Erdos-Renyi")
Validity = str | Callable[[Graphs], Tensor]

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
_METRICS: tuple[Metric, ...] = (
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
        "below 1 says copies, also such as differ in an edge or two; above, graphs unlike all of them.",
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
GRAPH_METRICS: tuple[str, ...] = tuple(m.name for m in _METRICS)
"""Names of all metrics that `score_graphs` knows."""
_BY_TRAINING = ("V.U.N.", "novel", "ratio", "nearest")


@dataclass(frozen=True)
class _Bench:
    """What every row is compared with, computed once."""

    test: GraphStatistics
    train: GraphStatistics | None
    known: Graphs | None
    validity: Validity | None
    inferred: bool

    @cached_property
    def references(self) -> dict[str, float]:
        """MMDs of the training against the test graphs."""
        assert self.train is not None
        names = distances.STATISTICS
        return {name: distances.Kernels.of(self.train, self.test, name).mmd() for name in names}

    @cached_property
    def test_distance(self) -> float:
        """Mean spectral distance of test graphs to the nearest training graph."""
        assert self.train is not None
        return float(distances.nearest_spectra(self.test, self.train).mean())


@dataclass(frozen=True)
class _Row:
    """Graphs of one row, and their scores.

    Parameters
    ----------
    bench
        What they are compared with.
    graphs
        The graphs.
    kernels
        Filled as statistics are asked for.
    """

    bench: _Bench
    graphs: GraphStatistics
    resamples: int
    seed: int
    kernels: dict[str, distances.Kernels] = field(default_factory=dict)

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
            return _share(self._flags(name))
        if name in distances.STATISTICS:
            return self._interval(name, self._kernels(name).mmd)
        if name == "ratio":
            return self._interval(name, self._ratio)
        if name == "nearest":
            assert self.bench.train is not None
            found = distances.nearest_spectra(self.graphs, self.bench.train) / self.bench.test_distance
            return self._interval(name, lambda i: float(found[i].mean()))
        if name == "PGD-LR":
            return self._discrepancy()
        count = distances.node_type_frequencies if name == "node-types" else distances.edge_type_frequencies
        own, test = count(self.graphs.graphs, self.bench.test.graphs)
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
            self.kernels[name] = distances.Kernels.of(self.graphs, self.bench.test, name)
        return self.kernels[name]

    def _ratio(self, rows: NDArray[np.int64]) -> float:
        values = {name: self._kernels(name).mmd(rows) for name in distances.STATISTICS}
        return distances.mmd_ratio(values, self.bench.references)[0]

    def _interval(self, name: str, statistic: Callable[[NDArray[np.int64]], float]) -> Score:
        bounds = _METRICS[GRAPH_METRICS.index(name)].bounds
        return half_sampled(
            lambda i: statistic(i.numpy()),
            (len(self.graphs),),
            resamples=self.resamples,
            seed=self.seed,
            bounds=bounds,
        )

    def _discrepancy(self) -> Score:
        least, most = _DISCREPANCY
        components = Components.of(self.graphs, self.bench.test)
        rng = np.random.default_rng(self.seed)
        size = min(len(self.graphs), len(self.bench.test))
        chosen = [rng.permutation(len(g))[:size] for g in (self.graphs, self.bench.test)]

        def statistic(i: Tensor, j: Tensor) -> float:
            return components.discrepancy(chosen[0][i.numpy()], chosen[1][j.numpy()], rng)

        resamples = min(self.resamples, most) if size >= 2 * least else 0
        return half_sampled(statistic, (size, size), resamples=resamples, seed=self.seed, bounds=_SHARE)


def _share(flags: NDArray[np.bool_]) -> Score:
    """Share of flags with Wilson's 95 % interval."""
    n, p, z = len(flags), float(flags.mean()), 1.96
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return Score(p, max(min(centre - reach, p), 0.0), min(max(centre + reach, p), 1.0))


def score_graphs(
    generated: Graphs | Mapping[str, Graphs],
    test: Graphs,
    train: Graphs | None = None,
    *,
    metrics: Sequence[str] | None = None,
    resamples: int = 200,
    seed: int = 0,
    validity: Validity | None = None,
    truth: Callable[..., Graphs] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Scores:
    """Score generated graphs against test graphs, beside the references that say what a number is worth.

    Graphs are read as simple and undirected, by `edge_index` and types alone. Benchmarks compare 40 generated
    graphs with the whole test set, and so does this: all models' rows hold as many graphs as the smallest
    set, and MMDs depend on that number.

    Parameters
    ----------
    generated, test, train
        Graphs with edges, at least 4 each; without `train` there is no ratio, novelty and nearest training
        graph. Several generators come as a mapping from the names of their rows; one alone is called
        "model". At most 1000 test and training graphs, at random, enter statistics; all enter novelty.
    metrics
        Names out of `GRAPH_METRICS`; None: all that apply.
    resamples
        Random halves for each interval; 0 gives no intervals but those of shares.
    seed
        Of every choice: which graphs, random graphs and halves.
    validity
        One of `VALIDITY`, or a function that returns a flag for each graph, bool ``[g]``. None: the narrowest
        of tree, planar and connected that all training graphs are; without one there is no V.U.N.
    truth
        The true generator, called as ``truth(count, seed=seed)``, for instance `noisefold.data.planar`.
    progress
        Called as ``progress(done, rows, name)`` before each row.

    Returns
    -------
    Scores
        Rows model (or the names given), train, truth, copied, Erdos-Renyi.

    Raises
    ------
    ValueError
        If a metric or check is unknown or does not apply, or a set is too small or lacks edges or types that
        others have.
    """
    models = {"model": generated} if isinstance(generated, Graphs) else dict(generated)
    _check(models, test, train)
    seed = seed_of(seed)
    generator = torch.Generator().manual_seed(seed)

    def draw(graphs: Graphs, count: int) -> Graphs:
        if count >= len(graphs):
            return graphs
        return graphs[torch.randperm(len(graphs), generator=generator)[:count].to(graphs.device)]

    size = min(len(g) for g in models.values())
    seen = GraphStatistics(draw(test, _LARGEST))
    known = None if train is None else GraphStatistics(draw(train, _LARGEST))
    if isinstance(validity, str):
        validity = one_of("validity", validity, VALIDITY)
    inferred = validity is None
    if inferred:
        validity = shared_validity(known or seen)
    bench = _Bench(seen, known, train, validity, inferred)
    notes: list[str] = []
    chosen = _applicable(metrics, bench, size, notes)
    text = f"{size} generated graphs against {len(seen)} test graphs."
    rows = {name: (text, GraphStatistics(draw(graphs, size))) for name, graphs in models.items()}
    if known is not None:
        text = f"{len(known)} training graphs against the same: what ratios are relative to."
        rows["train"] = (text, known)
    if truth is not None:
        # Another seed than that of data, or the truth would be the training graphs.
        drawn = truth(size, seed=(seed + _AWAY) % 2**63)
        rows["truth"] = (f"{len(drawn)} graphs of the true generator: perfection.", GraphStatistics(drawn))
    if known is not None:
        rows["copied"] = (
            f"{min(size, len(known))} training graphs: memory.",
            GraphStatistics(draw(known.graphs, size)),
        )
    random = erdos_renyi_like((known or seen).graphs, size, generator)
    rows["Erdos-Renyi"] = ("random graphs with the nodes and edges of real ones.", GraphStatistics(random))
    table: dict[str, dict[str, Score]] = {}
    for done, (name, (_, graphs)) in enumerate(rows.items()):
        if progress is not None:
            progress(done, len(rows), name)
        row = _Row(bench, graphs, resamples, seed)
        table[name] = {metric: row.score(metric) for metric in chosen}
    about = {name: text for name, (text, _) in rows.items()}
    return Scores(tuple(m for m in _METRICS if m.name in chosen), table, about, " ".join(notes))


_AWAY = 2**40 + 15


def _applicable(metrics: Sequence[str] | None, bench: _Bench, size: int, notes: list[str]) -> tuple[str, ...]:
    """The metrics asked for, or all that apply; and what the table's note says of them."""
    lacking: dict[str, str] = {}
    if bench.train is None:
        lacking |= dict.fromkeys(_BY_TRAINING, "training graphs")
    else:
        if not bench.test_distance > 0:
            lacking["nearest"] = "test graphs whose spectra are not all among the training graphs'"
    if bench.validity is None:
        lacking |= dict.fromkeys(("V.U.N.", "valid"), "a check of validity")
    for name, value in (
        ("node-types", bench.test.graphs.node_type),
        ("edge-types", bench.test.graphs.edge_type),
    ):
        if value is None:
            lacking[name] = "types in the graphs"
    if min(size, len(bench.test)) < _DISCREPANCY[0]:
        lacking["PGD-LR"] = f"{_DISCREPANCY[0]} graphs in each set"
    if bench.train is not None:
        _, dropped = distances.mmd_ratio(bench.references, bench.references)
        if len(dropped) == len(distances.STATISTICS):
            lacking["ratio"] = "training graphs that differ from the test graphs"
        elif dropped:
            notes.append(
                f"The ratio leaves out {', '.join(dropped)}: training against test graphs is below "
                f"{distances.LEAST_REFERENCE:g}."
            )
    if isinstance(bench.validity, str):
        notes.append(f"Valid: {bench.validity}.")
    if metrics is None:
        return tuple(name for name in GRAPH_METRICS if name not in lacking)
    if not metrics:
        raise ValueError("metrics must name one at least, or be None for all that apply.")
    for name in metrics:
        if name not in GRAPH_METRICS:
            close = difflib.get_close_matches(name, GRAPH_METRICS, n=1)
            mend = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(GRAPH_METRICS)}."
            raise ValueError(f"metrics has {name!r}; {mend}")
        if name in lacking:
            raise ValueError(f"metrics has {name!r}, which needs {lacking[name]}; leave it out.")
    return tuple(metrics)


def _check(models: Mapping[str, Graphs], test: Graphs, train: Graphs | None) -> None:
    if not models or any(name in _REFERENCES for name in models):
        raise ValueError(f"generated must name rows other than {', '.join(_REFERENCES)}; got {list(models)}.")
    sets = {"generated" if name == "model" else name: graphs for name, graphs in models.items()}
    sets |= {"test": test} | ({} if train is None else {"train": train})
    for name, graphs in sets.items():
        if len(graphs) < _SMALLEST or int(graphs.sizes.min()) == 0:
            raise ValueError(f"{name} must hold at least {_SMALLEST} graphs, none empty, got {graphs!r}.")
        if graphs.edge_index is None:
            raise ValueError(f"{name} must have edge_index, got {graphs!r}; score points with score_clouds.")
        for what in ("node_type", "edge_type"):
            if (getattr(graphs, what) is None) != (getattr(test, what) is None):
                raise ValueError(f"{name} and test must both have {what}, or neither; add or drop it.")
