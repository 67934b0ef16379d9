"""The classifier's bound: 0 for one distribution, below the truth where that is known, near 1 for others."""

import numpy as np
import pytest
import torch

import noisefold as nf
from noisefold import Graphs
from noisefold.eval import erdos_renyi_like, polygraph_discrepancy
from noisefold.eval.graph_discrepancy import _logistic


def test_one_distribution_cannot_be_told_apart():
    assert polygraph_discrepancy(nf.data.tree(40, seed=1), nf.data.tree(40, seed=2)) < 0.2


def test_mixture_stays_below_the_exact_distance():
    """Half of one set is of another kind: JSD = (log2(4/3) + (1 - log2(3/2)) / 2) / 2 = 0.311 bits."""
    a = nf.data.tree(80, nodes=24, seed=1)
    random = erdos_renyi_like(a, 40, torch.Generator().manual_seed(0))
    b = Graphs.collate([nf.data.tree(40, nodes=24, seed=2), random])
    exact = np.sqrt((np.log2(4 / 3) + (1 - np.log2(3 / 2)) / 2) / 2)
    found = np.mean([polygraph_discrepancy(a, b, seed=s) for s in range(2)])
    assert 0.7 * exact < found < exact + 0.03  # 40 graphs on each side judge it


def test_different_distributions_are_far_apart():
    trees = nf.data.tree(24, nodes=24)
    random = erdos_renyi_like(trees, 24, torch.Generator().manual_seed(0))
    assert 0.8 < polygraph_discrepancy(trees, random) <= 1.0


def test_regression_is_at_its_minimum():
    rng = np.random.default_rng(0)
    x, sign = rng.normal(size=(1, 30, 3)), np.repeat([1.0, -1.0], 15)
    use = (np.arange(30) % 3 > 0).astype(float)[None]
    score = _logistic(x, sign, use)[0, 0]
    full = np.concatenate([x[0], np.ones((30, 1))], axis=1)
    weights, *_ = np.linalg.lstsq(full, score, rcond=None)
    np.testing.assert_allclose(full @ weights, score, atol=1e-10)
    wrong = use[0] / (1 + np.exp(sign * score))
    gradient = np.array([1, 1, 1, 1e-6]) * weights - full.T @ (wrong * sign)
    np.testing.assert_allclose(gradient, 0.0, atol=1e-8)


def test_few_graphs_are_refused():
    with pytest.raises(ValueError, match="at least 8"):
        polygraph_discrepancy(nf.data.tree(7), nf.data.tree(9))
