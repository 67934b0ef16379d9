r"""The table of scores of generated clouds, with the reference rows that give its numbers a meaning.

A score alone says little: real clouds cover only about .6 of other real clouds, and a number that a collapsed
model wins is useless. So beside the model stand, scored against the same test clouds,

- ``real``: other test clouds (a held-out part of the test set), what a perfect model would reach;
- ``train``: as many random training clouds, what a model that only remembers would reach;
- ``noise``: standard normal points at the scale of the data, with its mean and its one standard deviation;
- ``collapsed``: clouds with all points at the data's mean.

All distances are computed once; intervals (`noisefold.eval.score_table`) only choose among them.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from noisefold.eval import cloud_metrics as sets
from noisefold.eval.score_table import Metric, Score, Scores, half_sampled
from noisefold.eval.transport import emd_matrix, transport_cost
from noisefold.geometry import Graphs

__all__ = ["CLOUD_METRICS", "Distances", "Occupancy", "score_clouds"]

_SMALLEST = 4
_REFERENCES = ("real", "train", "noise", "collapsed")


@dataclass(frozen=True)
class Distances:
    """All distances between two sets: ``[na, nb]``, and inside them ``[na, na]``, ``[nb, nb]``."""

    within_a: Tensor
    between: Tensor
    within_b: Tensor

    def take(self, a: Tensor, b: Tensor) -> Distances:
        """Return the tables of some members of each set."""
        return Distances(self.within_a[a][:, a], self.between[a][:, b], self.within_b[b][:, b])

    def one_nna(self) -> float:
        """Return the 1-nearest-neighbour accuracy."""
        return sets.one_nna(self.within_a, self.between, self.within_b)

    def coverage(self) -> float:
        """Return the coverage of B by A."""
        return sets.coverage(self.between)

    def mmd(self) -> float:
        """Return the minimum matching distance from B to A."""
        return sets.mmd(self.between)

    def transport(self) -> float:
        """Return the cost of the best matching of A and B."""
        return transport_cost(self.between)


@dataclass(frozen=True)
class Occupancy:
    """Points of each member of two sets in each cell of a grid, ``[na, c]`` and ``[nb, c]``."""

    a: Tensor
    b: Tensor

    def take(self, a: Tensor, b: Tensor) -> Occupancy:
        """Return the tables of some members of each set."""
        return Occupancy(self.a[a], self.b[b])

    def divergence(self) -> float:
        """Return the Jensen-Shannon divergence in bits."""
        return sets.divergence(self.a, self.b)


_NNA = (
    "Share of clouds whose nearest other cloud ({}) is of their own set, generated or test: 0.5 says that "
    "nobody can tell them apart, 1 that one always can, less than 0.5 that generated clouds copy test clouds."
)
_COV = (
    "Share of test clouds that are the nearest test cloud ({}) of some generated cloud: low says that kinds "
    "of shapes are missing; real clouds reach only about 0.6."
)
_MMD = "Mean over test clouds of the distance ({}) to the nearest generated cloud: low says that all are met."
_JSD = (
    "Jensen-Shannon divergence, base 2, of where generated and test points lie, all clouds pooled, 28 cells "
    "an axis: 0 says equally often everywhere, 1 that no cell is shared; it does not see single shapes."
)
_PAPER = (
    "Wasserstein distance of clouds flattened in arbitrary point order, per point, as printed by arXiv "
    "2507.09391: for comparison with its tables only, since a collapsed point beats real data."
)
_SHARE = (0.0, 1.0)
_Method = Callable[..., float]
_CATALOGUE: dict[str, tuple[Metric, str, _Method]] = {
    metric.name: (metric, source, method)
    for metric, source, method in (
        (Metric("1-NNA-CD", 0.5, _NNA.format("Chamfer"), bounds=_SHARE), "CD", Distances.one_nna),
        (Metric("1-NNA-EMD", 0.5, _NNA.format("EMD"), bounds=_SHARE), "EMD", Distances.one_nna),
        (Metric("COV-CD", "higher", _COV.format("Chamfer"), bounds=_SHARE), "CD", Distances.coverage),
        (Metric("COV-EMD", "higher", _COV.format("EMD"), bounds=_SHARE), "EMD", Distances.coverage),
        (Metric("MMD-CD", "lower", _MMD.format("Chamfer"), "sd^2"), "CD", Distances.mmd),
        (Metric("MMD-EMD", "lower", _MMD.format("EMD"), "sd"), "EMD", Distances.mmd),
        (Metric("JSD", "lower", _JSD, "bits", bounds=_SHARE), "cells", Occupancy.divergence),
        (Metric("paper-W", "lower", _PAPER, "4 half-widths of a cloud"), "flat", Distances.transport),
    )
}
CLOUD_METRICS: tuple[str, ...] = tuple(_CATALOGUE)
"""Names of all metrics that `score_clouds` knows."""


@dataclass(frozen=True)
class _Tables:
    """What one row's scores are computed from, by source; `size` clouds against as many."""

    size: int
    sources: dict[str, Distances | Occupancy]

    def score(self, name: str, resamples: int, seed: int) -> Score:
        metric, source, method = _CATALOGUE[name]
        table = self.sources[source]

        def statistic(a: Tensor, b: Tensor) -> float:
            return method(table.take(a, b))

        return half_sampled(statistic, (self.size,) * 2, resamples=resamples, seed=seed, bounds=metric.bounds)


@dataclass(frozen=True)
class _Bench:
    """The test clouds, of which the first are the reference and the last are held out, and how to compare."""

    test: Graphs
    sources: tuple[str, ...]
    emd_points: int
    unit: float

    def distances(self, source: str, a: Graphs, b: Graphs) -> Tensor:
        """Return the distances ``[ga, gb]``, float64, on the CPU."""
        if source == "CD":
            return sets.chamfer_matrix(a, b).to("cpu", torch.float64)
        if source == "EMD":
            left = _first(a, self.emd_points)
            return emd_matrix(left, left if a is b else _first(b, self.emd_points))
        return sets.paper_distances(a, b, self.unit).cpu()

    def against(self, within: dict[str, Tensor], a: Graphs, size: int, copies: int = 1) -> _Tables:
        """Return tables of `size` clouds (`copies` of each of `a`) against the first `size` test clouds."""
        reference = self.test[:size]
        found: dict[str, Distances | Occupancy] = {}
        for source in self.sources:
            if source == "cells":
                count, other = sets.occupancy(a, reference, frame=self.test)
                found[source] = Occupancy(count.repeat(copies, 1).cpu(), other.cpu())
                continue
            between = self.distances(source, a, reference).repeat(copies, 1)
            inside = self.distances(source, a, a).repeat(copies, copies)
            found[source] = Distances(inside, between, within[source][:size, :size])
        return _Tables(size, found)

    def held_out(self, within: dict[str, Tensor], size: int) -> _Tables:
        """Return tables of the last `size` test clouds against the first `size`, out of what is known."""
        found: dict[str, Distances | Occupancy] = {}
        for source in self.sources:
            if source == "cells":
                found[source] = Occupancy(
                    *(t.cpu() for t in sets.occupancy(self.test[-size:], self.test[:size], frame=self.test))
                )
            else:
                w = within[source]
                found[source] = Distances(w[-size:, -size:], w[-size:, :size], w[:size, :size])
        return _Tables(size, found)


def score_clouds(
    generated: Graphs | Mapping[str, Graphs],
    test: Graphs,
    train: Graphs | None = None,
    *,
    metrics: Sequence[str] = CLOUD_METRICS,
    resamples: int = 200,
    emd_points: int = 128,
    seed: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
) -> Scores:
    """Score generated clouds against test clouds, beside the references that say what a number is worth.

    Every row compares equally many clouds of equally many points: the larger set is cut, and clouds are
    thinned, at random but seeded. Lengths are in standard deviations of the test set, one scale for all axes.
    With 100 clouds of 400 points the whole table takes about a minute on one core, nine tenths of it EMD.

    Parameters
    ----------
    generated, test, train
        Clouds of one dimension (positions only), at least 4 each; without `train` its row is left out.
        Several generators come as a mapping from the names of their rows; one alone is called "model".
    metrics
        Names out of `CLOUD_METRICS`.
    resamples
        Random halves for each interval; 0 gives no intervals.
    emd_points
        Points of each cloud that EMD uses; its cost grows with the square of their number, or faster.
    seed
        Of every choice: which clouds, which points, noise and halves.
    progress
        Called as ``progress(done, rows, name)`` before each row.

    Returns
    -------
    Scores
        Rows model (or the names given), real, train, noise, collapsed; the row real uses at most half of the
        test clouds, and so fewer than the model where test clouds are scarce (its line says how many).

    Raises
    ------
    ValueError
        If a metric is unknown, a set is too small or of another dimension, or positions are not finite.
    """
    models = {"model": generated} if isinstance(generated, Graphs) else dict(generated)
    _check(models, test, train, metrics, emd_points)
    generator = torch.Generator().manual_seed(seed)
    made = min(len(clouds) for clouds in models.values())
    size, half = min(made, len(test)), min(made, len(test) // 2)
    points = min(int(c.sizes.min()) for c in (*models.values(), test, train) if c is not None)
    centre = test.pos.mean(0)
    spread = float((test.pos - centre).square().mean().sqrt())
    if not spread > 0:
        raise ValueError("test has all its points at one place; there is no scale to measure by.")

    def draw(clouds: Graphs, count: int) -> Graphs:
        moved = clouds.to(test.device, test.dtype)
        moved = Graphs((moved.pos - centre) / spread, ptr=moved.ptr)
        chosen = moved[torch.randperm(len(clouds), generator=generator)[:count].to(test.device)]
        return _shuffled(chosen, points, generator)

    reference = draw(test, max(size, 2 * half))
    sources = tuple(dict.fromkeys(_CATALOGUE[name][1] for name in metrics))
    bench = _Bench(reference, sources, min(emd_points, points), _paper_unit(test) * spread)
    noise = torch.randn(size, points, test.dim, generator=generator).to(reference.pos)
    text = f"{size} generated clouds against {size} test clouds."
    builders: dict[str, tuple[str, Callable[..., _Tables]]] = {
        name: (text, partial(bench.against, a=draw(clouds, size), size=size))
        for name, clouds in models.items()
    }
    text = f"{half} test clouds against {half} other test clouds: perfection."
    builders["real"] = (text, partial(bench.held_out, size=half))
    if train is not None:
        known = draw(train, min(size, len(train)))
        text = f"{len(known)} training clouds against {len(known)} test clouds: memory."
        builders["train"] = (text, partial(bench.against, a=known, size=len(known)))
    text = "standard normal points with the data's mean and standard deviation."
    builders["noise"] = (text, partial(bench.against, a=Graphs.dense(noise), size=size))
    point = Graphs.dense(torch.zeros_like(noise[:1]))
    text = "all points of all clouds at the data's mean."
    builders["collapsed"] = (text, partial(bench.against, a=point, size=size, copies=size))

    within = {s: bench.distances(s, reference, reference) for s in sources if s != "cells"}
    table = {}
    for done, (row, (_, build)) in enumerate(builders.items()):
        if progress is not None:
            progress(done, len(builders), row)
        tables = build(within)
        table[row] = {name: tables.score(name, resamples, seed) for name in metrics}
    note = f"1 sd = {spread:.4g} in the data's unit; {points} points a cloud" + (
        f", {bench.emd_points} of them for EMD." if "EMD" in sources else "."
    )
    about = {row: text for row, (text, _) in builders.items()}
    return Scores(tuple(_CATALOGUE[name][0] for name in metrics), table, about, note)


def _check(
    models: Mapping[str, Graphs],
    test: Graphs,
    train: Graphs | None,
    metrics: Sequence[str],
    emd_points: int,
) -> None:
    taken = [name for name in models if name in _REFERENCES]
    if taken or not models:
        raise ValueError(f"generated must name rows other than {', '.join(_REFERENCES)}; got {list(models)}.")
    for name in metrics:
        if name not in _CATALOGUE:
            close = difflib.get_close_matches(name, CLOUD_METRICS, n=1)
            mend = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(CLOUD_METRICS)}."
            raise ValueError(f"metrics has {name!r}; {mend}")
    if not metrics or emd_points < 1:
        raise ValueError(
            f"metrics must name one at least, emd_points be positive; got {metrics}, {emd_points}."
        )
    for name, clouds in [*_named(models), *_present(test=test, train=train)]:
        if clouds.dim != test.dim:
            raise ValueError(f"{name} must have the {test.dim} dimensions of test, got {clouds.dim}.")
        if len(clouds) < _SMALLEST or int(clouds.sizes.min()) == 0:
            raise ValueError(f"{name} must hold at least {_SMALLEST} clouds, none empty, got {clouds!r}.")
        finite = clouds.pos.isfinite().all(1)
        if not bool(finite.all()):
            bad = len(set(clouds.batch[~finite].tolist()))
            raise ValueError(f"{name} has positions that are not finite in {bad} clouds; leave these out.")


def _named(models: Mapping[str, Graphs]) -> Iterator[tuple[str, Graphs]]:
    return (("generated" if name == "model" else name, clouds) for name, clouds in models.items())


def _present(**named: Graphs | None) -> Iterator[tuple[str, Graphs]]:
    return ((name, clouds) for name, clouds in named.items() if clouds is not None)


def _shuffled(clouds: Graphs, points: int, generator: torch.Generator) -> Graphs:
    """Return random points of each cloud in random order, so that no score sees the order they came in."""
    keys = torch.rand(clouds.num_nodes, generator=generator, dtype=torch.float64).to(clouds.device)
    order = torch.argsort(keys + clouds.batch)
    return Graphs.dense(clouds.padded(clouds.pos[order])[0][:, :points])


def _first(clouds: Graphs, points: int) -> Graphs:
    return Graphs.dense(clouds.padded()[0][:, :points])


def _paper_unit(test: Graphs) -> float:
    """Return the factor that gives test clouds, on average, the paper's largest coordinate of 0.25."""
    reach = [float((p - p.mean(0)).abs().amax()) for p in test.unpack()]
    return 0.25 * len(reach) / sum(reach)
