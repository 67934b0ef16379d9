"""Scores of models of functions: what is not observed, given what is.

Draws are judged by CRPS, energy score and coverage (`noisefold.eval.posterior_scores`), and distributions by
their log-likelihood in nats for each value that was not observed. Beside the direct log-likelihood of a model
stands how much more its joint distribution less that of the context would give: nothing makes the two equal,
and only the first is a predictive density.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from noisefold.eval.baselines import Baseline, MarginalNormal, SpatialKNN, entries, moments
from noisefold.eval.gp_regression import FittedGP, GPRegression
from noisefold.eval.metric_names import chosen_metrics
from noisefold.eval.posterior_scores import score_posterior, tabulate
from noisefold.eval.score_table import Metric, Score, Scores
from noisefold.geometry import Graphs

__all__ = ["FUNCTION_METRICS", "context_masks", "score_functions"]

_LOG_PROB = Metric(
    "log-likelihood",
    "higher",
    "Mean log-density of a value that was not observed, given the observed ones of its graph.",
    "nats",
    (-float("inf"), float("inf")),
)
_GAP = Metric(
    "inconsistency",
    0.0,
    "What the joint log-density less the context's gives beyond the direct one, for each value.",
    "nats",
    (-float("inf"), float("inf")),
)
DENSITY_METRICS = ("log-likelihood", "inconsistency")
"""Those that need a density."""
FUNCTION_METRICS = (
    *DENSITY_METRICS,
    *("CRPS", "energy", "RMSE"),
    *("cover 50 %", "width 50 %", "cover 90 %", "width 90 %"),
)
"""Metrics of functions, in the order of their columns."""
_ABOUT = {
    "model": "draws of the model given the context.",
    "GP": "a Gaussian process for each feature, fitted to the training graphs by its evidence.",
    "nearest": "values of the nearest observed nodes.",
    "mean": "each feature alone: normal, with the mean and standard deviation of training.",
}
_BASELINES: dict[str, Baseline] = {"GP": GPRegression(), "nearest": SpatialKNN(), "mean": MarginalNormal()}


def context_masks(graphs: Graphs, most: int, seed: int) -> Tensor:
    """Return which nodes are observed, ``[n]``: 0 to `most` random ones of each graph, never all."""
    generator = torch.Generator().manual_seed(seed)
    known = torch.zeros(graphs.num_nodes, dtype=torch.bool)
    for start, size in zip(graphs.ptr.tolist(), graphs.sizes.tolist(), strict=False):
        count = int(torch.randint(min(most, size - 1) + 1, (), generator=generator)) if size > 1 else 0
        known[start + torch.randperm(size, generator=generator)[:count]] = True
    return known


def score_functions(
    draws: Tensor,
    test: Graphs,
    known: Tensor,
    train: Graphs | None,
    *,
    log_probs: Mapping[str, Tensor] | None = None,
    metrics: Sequence[str] | None = None,
    seed: int = 0,
) -> Scores:
    """Score draws of what is not observed of functions, beside Gaussian processes and other baselines.

    Parameters
    ----------
    draws
        The model's, ``[m, n, f]``.
    test, known
        The truth, and which nodes ``[n]`` were observed.
    train
        Training graphs, for the baselines; None leaves them out.
    log_probs
        Of the model, ``[g]`` in nats of what is not observed: "log-likelihood", and "inconsistency" as the
        excess of the joint route.
    metrics
        Some of `FUNCTION_METRICS`; None for all.
    seed
        Of the baselines' draws and the order of ties.

    Raises
    ------
    ValueError
        If a metric is unknown, or shapes do not fit.
    """
    chosen = chosen_metrics(metrics, FUNCTION_METRICS)
    truth, _ = entries(test, None)
    fitted = {} if train is None else {n: b.fit(train) for n, b in _BASELINES.items()}
    values = {"model": draws}
    for name, baseline in fitted.items():
        values[name] = baseline.draw(test, known, len(draws), seed)
    scale = moments(truth, torch.ones_like(truth, dtype=torch.bool))[1] if truth.shape[1] > 1 else None
    scale = None if scale is None else torch.where(scale > 0, scale, 1.0)
    rows = {
        n: score_posterior(v, truth, known, test, scale=scale, names=test.feature_names, seed=seed)
        for n, v in values.items()
    }
    table = tabulate(rows)
    likelihoods = {"model": dict(log_probs or {})}
    for name, baseline in fitted.items():
        if isinstance(baseline, FittedGP):
            likelihoods[name] = {"log-likelihood": baseline.log_prob(test, known)}
    numbers = _free(test, known)
    cells = {
        row: {
            **{name: score for name, score in scores.items() if name in chosen},
            **{
                name: _mean(value, numbers)
                for name, value in likelihoods.get(row, {}).items()
                if name in chosen
            },
        }
        for row, scores in table.table.items()
    }
    columns = tuple(m for m in (_LOG_PROB, _GAP, *table.metrics) if m.name in chosen)
    about = {name: _ABOUT[name] for name in cells}
    note = f"0 to {_most(test, known)} observed nodes of each of {len(test)} graphs. {table.note}"
    return replace(table, metrics=columns, table=cells, about=about, note=note)


def _free(test: Graphs, known: Tensor) -> Tensor:
    counts = torch.zeros(len(test), dtype=torch.float64)
    return counts.index_add(0, test.batch.cpu(), (~known.cpu()).double()) * test.features


def _most(test: Graphs, known: Tensor) -> int:
    counts = torch.zeros(len(test), dtype=torch.int64).index_add(0, test.batch.cpu(), known.cpu().long())
    return int(counts.max())


def _mean(values: Tensor, numbers: Tensor) -> Score:
    """Return the ratio of the sums over graphs, with its interval by the delta method."""
    values = values.cpu().double()
    ratio = float(values.sum() / numbers.sum())
    if len(values) < 2:
        return Score(ratio)
    left = values - ratio * numbers
    error = float(left.std() / numbers.mean() / len(values) ** 0.5)
    return Score(ratio, ratio - 1.96 * error, ratio + 1.96 * error)
