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

from collections.abc import Callable, Mapping, Sequence

import torch

from noisefold.arguments import one_of, seed_of
from noisefold.eval import graph_metrics as distances
from noisefold.eval.graph_rows import (
    FEWEST_TOLD_APART,
    GRAPH_METRICS,
    METRICS,
    MOST_COMPARED,
    Bench,
    Row,
    Validity,
)
from noisefold.eval.graph_statistics import GraphStatistics
from noisefold.eval.graph_validity import VALIDITY, shared_validity
from noisefold.eval.metric_names import chosen_metrics
from noisefold.eval.random_graphs import erdos_renyi_like
from noisefold.eval.score_table import Score, Scores
from noisefold.geometry import Graphs

__all__ = ["GRAPH_METRICS", "score_graphs"]

_SMALLEST = 4
_REFERENCES = ("train", "truth", "copied", "Erdos-Renyi")
_AWAY = 2**40 + 15  # of the truth's seed from that of data
_MOST_NODES = 1000  # of graphs whose matrices are decomposed
_SPECTRAL = ("spectrum", "wavelet", "nearest")
_BY_TRAINING = ("V.U.N.", "novel", "ratio", "nearest")


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
        "model". At most 1000 graphs of each, at random, enter statistics and make reference rows; all enter
        shares. Graphs of more than 1000 nodes are compared without spectra and wavelets.
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
    few = min(size, MOST_COMPARED)
    seen = GraphStatistics(draw(test, MOST_COMPARED))
    known = None if train is None else GraphStatistics(draw(train, MOST_COMPARED))
    if isinstance(validity, str):
        validity = one_of("validity", validity, VALIDITY)
    inferred = validity is None
    if inferred:
        validity = shared_validity(known or seen)
    largest = max(int(g.sizes.max()) for g in (*models.values(), test, *([] if train is None else [train])))
    spectral = largest <= _MOST_NODES
    names = tuple(s for s in distances.STATISTICS if spectral or s not in _SPECTRAL)
    bench = Bench(seen, known, train, validity, inferred, names)
    notes = [] if spectral else [f"Without spectra: graphs have up to {largest} nodes."]
    chosen = _applicable(metrics, bench, size, notes)
    text = f"{size} generated graphs against {len(seen)} test graphs."
    rows = {name: (text, GraphStatistics(draw(graphs, size))) for name, graphs in models.items()}
    if known is not None:
        text = f"{len(known)} training graphs against the same: what ratios are relative to."
        rows["train"] = (text, known)
    if truth is not None:
        # Another seed than that of data, or the truth would be the training graphs.
        drawn = truth(few, seed=(seed + _AWAY) % 2**63)
        rows["truth"] = (f"{len(drawn)} graphs of the true generator: perfection.", GraphStatistics(drawn))
    if known is not None:
        rows["copied"] = (
            f"{min(few, len(known))} training graphs: memory.",
            GraphStatistics(draw(known.graphs, few)),
        )
    random = erdos_renyi_like((known or seen).graphs, few, generator)
    rows["Erdos-Renyi"] = ("random graphs with the nodes and edges of real ones.", GraphStatistics(random))
    table: dict[str, dict[str, Score]] = {}
    for done, (name, (_, graphs)) in enumerate(rows.items()):
        if progress is not None:
            progress(done, len(rows), name)
        row = Row(bench, graphs, resamples, seed)
        table[name] = {metric: row.score(metric) for metric in chosen}
    about = {name: text for name, (text, _) in rows.items()}
    return Scores(tuple(m for m in METRICS if m.name in chosen), table, about, " ".join(notes))


def _applicable(metrics: Sequence[str] | None, bench: Bench, size: int, notes: list[str]) -> tuple[str, ...]:
    """The metrics asked for, or all that apply; and what the table's note says of them."""
    lacking: dict[str, str] = {}
    if bench.train is None:
        lacking |= dict.fromkeys(_BY_TRAINING, "training graphs")
    if len(bench.statistics) < len(distances.STATISTICS):
        lacking |= dict.fromkeys(_SPECTRAL, f"graphs of at most {_MOST_NODES} nodes")
    wanted = [name for name in (GRAPH_METRICS if metrics is None else metrics) if name not in lacking]
    if "nearest" in wanted and not bench.test_distance > 0:
        lacking["nearest"] = "test graphs whose spectra are not all among the training graphs'"
    if bench.validity is None:
        lacking |= dict.fromkeys(("V.U.N.", "valid"), "a check of validity")
    for name, value in (
        ("node-types", bench.test.graphs.node_type),
        ("edge-types", bench.test.graphs.edge_type),
    ):
        if value is None:
            lacking[name] = "types in the graphs"
    if min(size, len(bench.test)) < FEWEST_TOLD_APART:
        lacking["PGD-LR"] = f"{FEWEST_TOLD_APART} graphs in each set"
    if "ratio" in wanted:
        _, dropped = distances.mmd_ratio(bench.references, bench.references)
        if len(dropped) == len(bench.statistics):
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
    chosen = chosen_metrics(metrics, GRAPH_METRICS)
    for name in chosen:
        if name in lacking:
            raise ValueError(f"metrics has {name!r}, which needs {lacking[name]}; leave it out.")
    return chosen


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
