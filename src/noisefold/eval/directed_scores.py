r"""The table of scores of generated directed graphs, beside reference rows.

Degrees are compared as published for undirected graphs, by the squared MMD of their histograms under a
Gaussian kernel of the total variation. Reciprocity is the share of edges whose reverse is an edge. Triads are
the 16 classes of three nodes up to numbering; their shares of a graph are compared by the same kernel. They
tell cycles, feed-forward loops and hierarchies apart, which degrees do not.

Source: Holland and Leinhardt, A Method for Detecting Structure in Sociometric Data (1970),
https://doi.org/10.1086/224954.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance
from torch import Tensor

from noisefold.arguments import seed_of
from noisefold.eval.score_table import Metric, Score, Scores, half_sampled
from noisefold.geometry.graphs import Graphs

__all__ = ["DIRECTED_METRICS", "random_directed_like", "score_directed_graphs", "triad_census"]

Array = NDArray[np.float64]
_METRICS: tuple[Metric, ...] = (
    Metric("in-degree", "lower", "Squared MMD of the in-degrees of whole graphs to those of test graphs."),
    Metric("out-degree", "lower", "Squared MMD of the out-degrees."),
    Metric("reciprocity", "lower", "Wasserstein distance of the shares of edges whose reverse is an edge."),
    Metric("triads", "lower", "Squared MMD of the shares of the 16 classes of three nodes."),
)
DIRECTED_METRICS: tuple[str, ...] = tuple(m.name for m in _METRICS)
"""Names of all metrics that `score_directed_graphs` knows."""
_MOST_NODES = 64  # whose triads are all counted; of larger graphs random ones
_TRIPLES = 40_000


@cache
def _classes() -> NDArray[np.int64]:
    """The class, 0 to 15, of each of the 64 graphs on three nodes up to numbering."""
    ordered = [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)]
    canonical = []
    for code in range(64):
        edges = [e for k, e in enumerate(ordered) if code >> k & 1]
        forms = [
            sum(1 << ordered.index((p[a], p[b])) for a, b in edges) for p in itertools.permutations(range(3))
        ]
        canonical.append(min(forms))
    return np.unique(canonical, return_inverse=True)[1]


def triad_census(adjacency: Array, seed: int = 0) -> NDArray[np.int64]:
    """Return how many triples of nodes are of each of the 16 classes, ``[16]``; the first has no edges.

    Parameters
    ----------
    adjacency
        Zeros and ones, ``[n, n]``, entry (i, j) for the edge from i to j.
    seed
        Of the 40,000 triples that are looked at in graphs of more than 64 nodes.
    """
    n = len(adjacency)
    if n <= _MOST_NODES:
        triples = np.array(list(itertools.combinations(range(n), 3)), dtype=np.int64).reshape(-1, 3)
    else:
        keys = np.random.default_rng(seed_of(seed)).random((_TRIPLES, 3))
        first = (keys[:, 0] * n).astype(np.int64)
        second = (first + 1 + (keys[:, 1] * (n - 1)).astype(np.int64)) % n
        low, high = np.minimum(first, second), np.maximum(first, second)
        third = (keys[:, 2] * (n - 2)).astype(np.int64)
        third += third >= low
        third += third >= high
        triples = np.stack([first, second, third], 1)
    a = adjacency.astype(np.int64)
    i, j, k = triples.T
    ends = ((i, j), (j, i), (i, k), (k, i), (j, k), (k, j))
    code = sum(a[u, v] << bit for bit, (u, v) in enumerate(ends))
    counted: NDArray[np.int64] = np.bincount(_classes()[code], minlength=16)
    return counted


@dataclass(frozen=True)
class _Directed:
    """Directed graphs, and what is counted of them once."""

    graphs: Graphs

    @cached_property
    def matrices(self) -> list[Array]:
        """Adjacency of each graph."""
        out = []
        for graph in self.graphs.to("cpu"):
            matrix = np.zeros((graph.num_nodes, graph.num_nodes))
            if graph.edge_index is not None:
                matrix[tuple(graph.edge_index.numpy())] = 1
            np.fill_diagonal(matrix, 0)
            out.append(matrix)
        return out

    def _degrees(self, axis: int) -> Array:
        rows = [np.bincount(m.sum(axis).astype(np.int64)) for m in self.matrices]
        table = np.zeros((len(rows), max(map(len, rows), default=1)))
        for k, row in enumerate(rows):
            table[k, : len(row)] = row / max(row.sum(), 1)
        return table

    @cached_property
    def values(self) -> dict[str, Array]:
        """What each metric compares, a row for each graph."""
        edges = np.array([m.sum() for m in self.matrices])
        mutual = np.array([(m * m.T).sum() for m in self.matrices])
        census = np.stack([triad_census(m) for m in self.matrices]).astype(float)
        return {
            "in-degree": self._degrees(0),
            "out-degree": self._degrees(1),
            "reciprocity": (mutual / np.maximum(edges, 1))[:, None],
            "triads": census / np.maximum(census.sum(1, keepdims=True), 1),
        }


def score_directed_graphs(
    generated: Mapping[str, Graphs],
    test: Graphs,
    train: Graphs | None = None,
    *,
    metrics: Sequence[str] | None = None,
    resamples: int = 50,
    seed: int = 0,
) -> Scores:
    """Score directed graphs against test graphs, beside as many training graphs and random ones.

    Parameters
    ----------
    generated
        Graphs by the name of their row.
    test, train
        Real graphs.
    metrics
        Names out of `DIRECTED_METRICS`; None: all.
    resamples
        Random halves for each interval; 0 gives none.
    seed
        Of every choice.

    Raises
    ------
    ValueError
        If a metric is unknown, or a set has fewer than 2 graphs.
    """
    unknown = [m for m in metrics or () if m not in DIRECTED_METRICS]
    if unknown:
        raise ValueError(f"metric {unknown[0]!r} is unknown; known are {', '.join(DIRECTED_METRICS)}.")
    size = min(len(g) for g in generated.values())
    rows = {name: graphs[:size] for name, graphs in generated.items()}
    about = {name: f"{size} generated graphs against {len(test)} test graphs." for name in generated}
    generator = torch.Generator().manual_seed(seed_of(seed))
    if train is not None:
        rows["train"] = train[torch.randperm(len(train), generator=generator)[:size]]
        about["train"] = f"{len(rows['train'])} training graphs: as near as real ones come."
    rows["random"] = random_directed_like(test, size, generator)
    about["random"] = "graphs of the nodes and edges of test graphs, edges anywhere."
    for name, graphs in {**rows, "test": test}.items():
        if len(graphs) < 2:
            raise ValueError(f"{name} must hold 2 graphs or more, got {len(graphs)}.")
    names = list(metrics or DIRECTED_METRICS)
    real = _Directed(test).values
    table = {}
    for name, graphs in rows.items():
        own = _Directed(graphs).values
        table[name] = {m: _score(m, own[m], real[m], resamples, seed) for m in names}
    return Scores(tuple(m for m in _METRICS if m.name in names), table, about)


def _score(metric: str, own: Array, real: Array, resamples: int, seed: int) -> Score:
    def statistic(i: Tensor) -> float:
        chosen = own[i.numpy()]
        if metric == "reciprocity":
            return float(wasserstein_distance(chosen[:, 0], real[:, 0]))
        return max(0.0, _mmd(chosen, real))

    return half_sampled(statistic, (len(own),), resamples=resamples, seed=seed, bounds=(0.0, math.inf))


def _mmd(a: Array, b: Array) -> float:
    width = max(a.shape[1], b.shape[1])
    a, b = (np.pad(x, ((0, 0), (0, width - x.shape[1]))) for x in (a, b))

    def kernel(x: Array, y: Array) -> float:
        return float(np.exp(-np.square(cdist(x, y, "cityblock")) / 8).mean())

    return kernel(a, a) + kernel(b, b) - 2 * kernel(a, b)


def random_directed_like(like: Graphs, count: int, generator: torch.Generator) -> Graphs:
    """Return graphs of the numbers of nodes and edges of others, edges drawn anywhere, without types."""
    parts = []
    for k in torch.randint(len(like), (count,), generator=generator).tolist():
        graph = like[k].to("cpu")
        n, edges = graph.num_nodes, 0 if graph.edge_index is None else graph.edge_index.shape[1]
        places = torch.randperm(n * (n - 1), generator=generator)[:edges]
        source, other = places // max(n - 1, 1), places % max(n - 1, 1)
        target = other + (other >= source)
        parts.append(Graphs(torch.zeros(n, 0), edge_index=torch.stack([source, target])))
    return Graphs.collate(parts)
