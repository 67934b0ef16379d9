"""Held-out recovery: features that are hidden and imputed by a model, beside simple baselines."""

from __future__ import annotations

import torch
from torch import Tensor

from noisefold.eval.baselines import MarginalNormal, SpatialKNN
from noisefold.eval.posterior_scores import PosteriorScores, score_posterior, tabulate
from noisefold.eval.regression import Regression
from noisefold.eval.score_table import Scores
from noisefold.geometry.graphs import Graphs
from noisefold.report.data.reported import ReportedModel
from noisefold.sample import masks
from noisefold.sample.completion import Completion

__all__ = ["hide_features", "interval_levels", "recover"]

_NODES, _GRAPHS = 4000, 16
_REGRESSED = 1000  # features whose covariance is factorised for every pattern of known ones
_BASELINES = {
    "mean": (MarginalNormal(), "Mean and spread of the feature in the training data, whatever is known."),
    "neighbours": (SpatialKNN(), "Values of the nearest nodes in space whose value is known."),
    "regression": (Regression(), "Linear regression on the features that are known at the node."),
}


def hide_features(graphs: Graphs, share: float = 0.2, nodes: float = 0.5, seed: int = 0) -> Tensor:
    """Return a mask ``[n, f]`` that hides random features at random nodes of each graph; True is known.

    Parameters
    ----------
    graphs
        Graphs with features.
    share
        Share of the features that are hidden, in (0, 1); at least one feature.
    nodes
        Share of each graph's nodes at which they are hidden, in (0, 1).
    seed
        The seed.

    Raises
    ------
    ValueError
        If a share is out of its range, or the graphs have no features.
    """
    if not 0 < share < 1:
        raise ValueError(f"share must lie in (0, 1), got {share}.")
    if not graphs.features:
        raise ValueError("graphs must have features to hide, got none; give them x [n, f].")
    count = max(1, round(share * graphs.features))
    order = torch.randperm(graphs.features, generator=torch.Generator().manual_seed(seed))
    known = torch.ones(graphs.num_nodes, graphs.features, dtype=torch.bool)
    known[:, order[:count]] = False
    return known | masks.nodes(graphs, nodes, seed).cpu()[:, None]


def interval_levels(draws: int) -> list[float]:
    """Return the levels of intervals that so many draws tell: one draw is expected beyond each end."""
    return [level for level in (0.5, 0.9) if (draws + 1) * (1 - level) > 2 - 1e-9]


def recover(
    model: ReportedModel,
    test: Graphs,
    train: Graphs | None = None,
    *,
    draws: int = 32,
    steps: int = 20,
    seed: int = 0,
) -> tuple[Completion, Scores]:
    """Hide features of a few graphs, complete them, and score the completion beside simple baselines.

    Parameters
    ----------
    model
        A trained model of features.
    test
        Graphs with all their features; the first with 4,000 nodes together, from 1 to 16 graphs, are taken.
    train
        Graphs that the baselines (mean, nearest known neighbours, and of 1,000 features at most regression on
        the others) learn from; default the known values of the test graphs.
    draws
        Draws from the posterior.
    steps
        Steps of the solver.
    seed
        The seed, of what is hidden and of the draws.

    Raises
    ------
    ValueError
        If the graphs have no features, or do not fit the model.
    """
    count = int((test.sizes[:_GRAPHS].cumsum(0) <= _NODES).sum())
    graphs = test[: max(count, 1)]
    known = hide_features(graphs, seed=seed)
    completion = model.complete(graphs, known, draws=draws, steps=steps, seed=seed)
    assert graphs.x is not None
    truth, blank = graphs.x, graphs.replace(x=graphs.x.masked_fill(~known, torch.nan))

    def scored(values: Tensor) -> PosteriorScores:
        levels = interval_levels(draws)
        return score_posterior(values, truth, known, graphs, levels=levels, names=model.feature_names)

    rows = {"model": scored(completion.values)}
    left_out = ("regression",) if graphs.features > _REGRESSED else ()
    for name, (baseline, _) in _BASELINES.items():
        if name in left_out:
            continue
        fitted = baseline.fit(blank, known) if train is None else baseline.fit(train)
        rows[name] = scored(fitted.draw(blank, known, draws, seed))
    return completion, tabulate(rows, {name: _BASELINES[name][1] for name in rows if name in _BASELINES})
