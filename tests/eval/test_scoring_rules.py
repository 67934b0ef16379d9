"""Scores of draws against brute force, and against the closed form for normal laws."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import kstest, norm

from noisefold.eval import crps, energy_score
from noisefold.eval.scoring_rules import interval_of, ranks_of


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_crps_by_brute_force():
    draws, truth = normal(9, 4), normal(4, seed=1)
    for k in range(4):
        x = draws[:, k].tolist()
        error = sum(abs(v - float(truth[k])) for v in x) / 9
        among = sum(abs(v - w) for v in x for w in x) / (2 * 9 * 8)
        assert float(crps(draws, truth)[k]) == pytest.approx(error - among, abs=1e-14)


@pytest.mark.parametrize("m", [2, 5, 40])
def test_crps_of_normal_draws_has_the_closed_form_whatever_their_number(m):
    mean, sd, y = 0.3, 1.7, -0.8
    z = (y - mean) / sd
    truth = sd * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / math.sqrt(math.pi))
    found = crps(mean + sd * normal(m, 40000), torch.full((40000,), y, dtype=torch.float64))
    # Fair: no bias with few draws. 4 standard errors.
    assert abs(float(found.mean()) - truth) < 4 * float(found.std()) / 200


def test_crps_of_one_draw_is_its_error():
    assert crps(torch.tensor([[2.0]]), torch.tensor([0.5])).tolist() == [1.5]


def test_energy_score_by_brute_force_and_of_one_value():
    draws, truth = normal(6, 3), normal(3, seed=1)
    x, y = draws.tolist(), truth.tolist()
    error = sum(math.dist(v, y) for v in x) / 6
    among = sum(math.dist(v, w) for v in x for w in x) / (2 * 6 * 5)
    assert energy_score(draws, truth) == pytest.approx((error - among) / math.sqrt(3), abs=1e-14)
    assert energy_score(draws[:, :1], truth[:1]) == pytest.approx(float(crps(draws, truth)[0]), abs=1e-14)


def test_energy_score_sees_whether_values_hang_together_and_crps_does_not():
    shared = normal(160, 1, seed=2)
    truth, right = shared[:80].expand(-1, 8), shared[80:].expand(-1, 8)
    wrong = normal(80, 8, seed=3)
    by_energy = [np.mean([energy_score(d, t) for t in truth]) for d in (right, wrong)]
    by_crps = [float(torch.stack([crps(d, t) for t in truth]).mean()) for d in (right, wrong)]
    assert by_energy[0] < 0.95 * by_energy[1]
    assert by_crps[0] == pytest.approx(by_crps[1], rel=0.1)


@pytest.mark.parametrize(("m", "level"), [(19, 0.9), (19, 0.5), (39, 0.9), (3, 0.5)])
def test_intervals_hold_a_truth_of_the_same_law(m, level):
    draws, truth = normal(m, 20000).sort(0).values, normal(20000, seed=1)
    low, high = interval_of(draws, level)
    share = float(((low <= truth) & (truth <= high)).double().mean())
    # Exact where (m + 1)(1 - level) / 2 is whole: 4 binomial standard errors.
    assert abs(share - level) < 4 * math.sqrt(level * (1 - level) / 20000)


def test_intervals_are_the_order_statistics_of_numpy():
    draws = normal(24, 5).sort(0).values
    low, high = interval_of(draws, 0.7)
    truth = np.quantile(draws, [0.15, 0.85], axis=0, method="weibull")
    assert low.tolist() == pytest.approx(truth[0], abs=1e-14)
    assert high.tolist() == pytest.approx(truth[1], abs=1e-14)


def test_too_few_draws_for_a_level():
    with pytest.raises(ValueError, match=r"levels must lie in \(0, 0.8\], which is what 9 draws can say"):
        interval_of(torch.zeros(9, 1), 0.9)


@pytest.mark.parametrize("atoms", [False, True])
def test_ranks_are_uniform_also_with_atoms(atoms):
    draws, truth = normal(7, 8000), normal(8000, seed=1)
    if atoms:
        draws, truth = draws.clamp(min=0.2), truth.clamp(min=0.2)
    found = ranks_of(draws, truth)
    assert 0 < float(found.min()) < float(found.max()) < 1
    assert kstest(found, "uniform").pvalue > 1e-3
    assert kstest(ranks_of(draws, truth + 0.3), "uniform").pvalue < 1e-6
