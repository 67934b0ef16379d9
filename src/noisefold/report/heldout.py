"""What a report on a model of features needs: samples, and values that were hidden and are to be found."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from noisefold.eval.baselines import MarginalNormal, SpatialKNN
from noisefold.eval.field_scores import score_fields
from noisefold.eval.posterior_scores import PosteriorScores, score_posterior, tabulate
from noisefold.eval.regression import Regression
from noisefold.eval.score_table import Scores
from noisefold.geometry.graphs import Graphs
from noisefold.model import Model
from noisefold.sample import masks
from noisefold.sample.completion import Completion

__all__ = ["evidence", "hidden_genes", "recover"]

_NODES, _GRAPHS, _SCORED = 4000, 16, 8
_BASELINES = {
    "mean": (MarginalNormal(), "Mean and spread of the feature in the training data, whatever is known."),
    "neighbours": (SpatialKNN(), "Values of the nearest nodes in space whose value is known."),
    "regression": (Regression(), "Linear regression on the features that are known at the node."),
}


def evidence(
    model: Model,
    test: Graphs,
    train: Graphs | None = None,
    *,
    draws: int = 100,
    steps: int = 50,
    seed: int = 0,
) -> dict[str, Any]:
    """Arguments of `write_report` that are made of data: samples, real, scores, completion and recovered.

    Samples stand on the positions of every other graph; the rest are what scores compare them with. Fewer
    than 8 graphs are not scored, and then samples stand on all of them.

    Parameters
    ----------
    model
        A trained model of features.
    test, train
        Held-out graphs, and those it learned from.
    draws
        Most graphs to generate.
    steps, seed
        Of the solver; of everything random.

    Raises
    ------
    ValueError
        If the model is not one of features, or the graphs do not fit it.
    """
    scored = len(test) >= _SCORED
    real = (test[::2] if scored else test)[:draws]
    samples = model.sample_for(real, like=real, steps=steps, seed=seed)
    completion, recovered = recover(model, test, train, steps=min(steps, 20), seed=seed)
    scores = score_fields(samples, test, train, seed=seed) if scored else None
    found = {"samples": samples, "real": real, "scores": scores}
    return {**found, "completion": completion, "recovered": recovered}


def hidden_genes(graphs: Graphs, share: float = 0.2, nodes: float = 0.5, seed: int = 0) -> Tensor:
    """What is known, ``[n, f]``, where some features, at random, are hidden at some nodes of each graph.

    Parameters
    ----------
    graphs
        Graphs with features.
    share
        Share of the features that are hidden, in (0, 1); at least one.
    nodes
        Share of each graph's nodes at which they are, in (0, 1).
    seed
        The seed.

    Raises
    ------
    ValueError
        If a share is out of its range, or graphs have no features.
    """
    if not 0 < share < 1:
        raise ValueError(f"share must lie in (0, 1), got {share}.")
    if not graphs.features:
        raise ValueError("the graphs have no features to hide; give them x [n, f].")
    count = max(1, round(share * graphs.features))
    order = torch.randperm(graphs.features, generator=torch.Generator().manual_seed(seed))
    known = torch.ones(graphs.num_nodes, graphs.features, dtype=torch.bool)
    known[:, order[:count]] = False
    return known | masks.nodes(graphs, nodes, seed).cpu()[:, None]


def recover(
    model: Model,
    test: Graphs,
    train: Graphs | None = None,
    *,
    draws: int = 32,
    steps: int = 20,
    seed: int = 0,
) -> tuple[Completion, Scores]:
    """Hide genes of a few graphs, let the model find them, and score it beside simple predictions.

    Parameters
    ----------
    model
        A trained model of features.
    test
        Graphs with all their features; as many are taken as have 4,000 nodes together, 16 at most, but one.
    train
        What the simple predictions (mean, nearest known neighbours, regression on the other features) learn
        from; default the test graphs, as far as they are known.
    draws
        How many.
    steps
        Of the solver.
    seed
        Of what is hidden, and of the draws.

    Raises
    ------
    ValueError
        If the model is not one of features, or the graphs do not fit it.
    """
    if model.variable != "x":
        raise ValueError(f'model must be one of features (variable="x"), got variable={model.variable!r}.')
    count = int((test.sizes[:_GRAPHS].cumsum(0) <= _NODES).sum())
    graphs = test[: max(count, 1)]
    known = hidden_genes(graphs, seed=seed)
    completion = model.complete(graphs, known, draws=draws, steps=steps, seed=seed)
    assert graphs.x is not None
    blank = graphs.replace(x=graphs.x.masked_fill(~known, torch.nan))

    def scored(values: Tensor) -> PosteriorScores:
        assert graphs.x is not None
        levels = [level for level in (0.5, 0.9) if (draws + 1) * (1 - level) > 2 - 1e-9]
        return score_posterior(values, graphs.x, known, graphs, levels=levels, names=model.feature_names)

    rows = {"model": scored(completion.values)}
    for name, (baseline, _) in _BASELINES.items():
        law = baseline.fit(blank, known) if train is None else baseline.fit(train)
        rows[name] = scored(law.draw(blank, known, draws, seed))
    return completion, tabulate(rows, {name: about for name, (_, about) in _BASELINES.items()})
