"""Scores of posterior draws: their sums, their intervals, and what exact draws must give."""

import json
import math

import pytest
import torch

from noisefold.eval import Metric, crps, energy_score, score_posterior, tabulate
from noisefold.geometry import Graphs


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def graphs(count, nodes=10):
    return Graphs.dense(torch.rand(count, nodes, 2, generator=torch.Generator().manual_seed(5)))


@pytest.fixture(scope="module")
def exact():
    """A posterior that is known: draws and truth of one normal law, with a mean of their own."""
    mean = normal(400, 3, seed=1)
    known = torch.rand(400, 3, generator=torch.Generator().manual_seed(2)) < 0.3
    draws, truth = mean + normal(39, 400, 3, seed=3), mean + normal(400, 3, seed=4)
    return draws, truth, known, score_posterior(draws, truth, known, graphs(40), unit="sd")


def test_scores_are_those_of_the_unknown_values(exact):
    draws, truth, known, found = exact
    unknown = ~known
    assert float(found["CRPS"]) == pytest.approx(float(crps(draws, truth)[unknown].mean()), abs=1e-12)
    error = (draws.mean(0) - truth)[unknown]
    assert float(found["RMSE"]) == pytest.approx(float(error.square().mean().sqrt()), abs=1e-12)
    parts = [
        energy_score(draws[:, i * 10 : i * 10 + 10][:, u], truth[i * 10 : i * 10 + 10][u])
        for i, u in enumerate(unknown.split(10))
    ]
    assert float(found["energy"]) == pytest.approx(sum(parts) / 40, abs=1e-12)
    by_feature = torch.stack([crps(draws, truth)[unknown[:, k], k].mean() for k in range(3)])
    assert torch.allclose(found.features["CRPS"], by_feature, atol=1e-12)
    assert found.values == int(unknown.sum())


def test_what_is_known_does_not_count(exact):
    draws, truth, known, found = exact
    spoilt = truth.masked_fill(known, math.nan)
    again = score_posterior(draws.masked_fill(known, 9.0), spoilt, known, graphs(40), unit="sd")
    assert again.scores == found.scores


def test_exact_draws_are_calibrated(exact):
    found = exact[-1]
    for level in (0.5, 0.9):
        share = float(found[f"cover {100 * level:g} %"])
        # Binomial bounds at 4 standard errors: the values are independent.
        assert abs(share - level) < 4 * math.sqrt(level * (1 - level) / found.values)
    levels, shares = found.curve
    error = 4 * (levels * (1 - levels) / found.values).sqrt() + 1e-12
    assert bool(((shares - levels).abs() <= error).all())
    assert float(found.ranks.sum()) == pytest.approx(1)
    # The interval of a unit normal law at 50 %: 2 x .6745, a little wider with 39 draws.
    assert float(found["width 50 %"]) == pytest.approx(1.349, rel=0.05)


def test_spread_that_is_wrong_is_seen():
    truth, known = normal(400, 2), torch.zeros(400, dtype=torch.bool)
    narrow = score_posterior(0.4 * normal(39, 400, 2, seed=1), truth, known, graphs(40))
    wide = score_posterior(3 * normal(39, 400, 2, seed=1), truth, known, graphs(40))
    right = score_posterior(normal(39, 400, 2, seed=1), truth, known, graphs(40))
    assert narrow["cover 90 %"].high < 0.9 < wide["cover 90 %"].low
    assert right["CRPS"].high < narrow["CRPS"].value
    assert right["CRPS"].high < wide["CRPS"].value
    assert float(narrow.ranks[0] + narrow.ranks[-1]) > 0.2 > float(wide.ranks[0] + wide.ranks[-1]) * 10


def test_intervals_grow_with_what_graphs_have_in_common():
    known = torch.zeros(400, dtype=torch.bool)
    common = normal(40, 1, 1, seed=6).expand(40, 10, 2).reshape(400, 2)
    draws = normal(19, 400, 2, seed=7)
    together = score_posterior(draws, common, known, graphs(40))["CRPS"]
    apart = score_posterior(draws, normal(400, 2, seed=8), known, graphs(40))["CRPS"]
    # 20 equal values a graph count as one: sqrt(20) = 4.5 times the width.
    assert 3 < (together.high - together.low) / (apart.high - apart.low) < 6


def test_jackknife_of_a_mean_is_the_standard_error():
    truth, known = normal(60, 1), torch.zeros(60, dtype=torch.bool)
    draws = torch.zeros(3, 60, 1, dtype=torch.float64)
    found = score_posterior(draws, truth, known, graphs(60, 1), levels=(0.5,))["CRPS"]
    error = truth.abs().std().item() / math.sqrt(60)
    # Student's 97.5 % point with 59 degrees of freedom.
    assert (found.high - found.low) / 2 == pytest.approx(2.0010 * error, rel=1e-3)


def test_one_tissue_is_cut_into_blocks():
    truth, known = normal(300, 2), torch.arange(300) % 3 > 0
    found = score_posterior(normal(19, 300, 2, seed=1), truth, known, graphs(1, 300))
    assert len(found.sums) == 20
    assert found.sums[:, -1].tolist() == [10.0] * 20
    assert found["CRPS"].low < found["CRPS"].high


def test_difference_of_two_predictions_is_paired():
    truth, known = 5 * normal(400, 1), torch.zeros(400, dtype=torch.bool)
    shared = 5 * normal(39, 400, 1, seed=1)
    one, two = (score_posterior(shared + shift, truth, known, graphs(40)) for shift in (0.0, 0.2))
    gap = one.minus(two, "CRPS")
    assert float(gap) == pytest.approx(float(one["CRPS"]) - float(two["CRPS"]), abs=1e-12)
    assert gap.high - gap.low < 0.2 * (one["CRPS"].high - one["CRPS"].low)
    with pytest.raises(ValueError, match="same unknown values"):
        one.minus(score_posterior(shared, truth, torch.arange(400) < 9, graphs(40)), "CRPS")
    with pytest.raises(KeyError, match="no score 'crps'"):
        one.minus(two, "crps")


def test_scale_divides_each_feature(exact):
    draws, truth, known, found = exact
    scale = torch.tensor([1.0, 10.0, 0.1])
    again = score_posterior(draws * scale, truth * scale, known, graphs(40), scale=scale, unit="sd")
    for name, score in again.scores.items():
        assert float(score) == pytest.approx(float(found[name]), abs=1e-6)


def test_table_and_dictionary(exact):
    found = exact[-1]
    table = tabulate({"model": found, "again": found}, {"model": "this one"})
    assert table.rows == ("model", "again")
    assert table.columns == ("CRPS", "energy", "RMSE", "cover 50 %", "width 50 %", "cover 90 %", "width 90 %")
    assert isinstance(table.metrics[0], Metric)
    assert "CRPS" in str(found)
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["scores"]["CRPS"]["value"] == float(found["CRPS"])
    other = score_posterior(*exact[:3], graphs(40), levels=(0.5,))
    with pytest.raises(ValueError, match="same levels"):
        tabulate({"a": found, "b": other})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"draws": torch.zeros(1, 20, 2)}, "m >= 2"),
        ({"truth": torch.zeros(20, 3)}, r"truth \[n, f\]"),
        ({"known": torch.zeros(20)}, "known must be bool"),
        ({"known": torch.ones(20, dtype=torch.bool)}, "nothing was unknown"),
        ({"truth": torch.full((20, 2), math.nan)}, "truth must be finite"),
        ({"graphs": graphs(3)}, "20 nodes of truth"),
        ({"levels": (0.99,)}, "19 draws"),
    ],
)
def test_misuse_is_named(change, message):
    arguments = {
        "draws": torch.zeros(19, 20, 2),
        "truth": torch.zeros(20, 2),
        "known": torch.zeros(20, dtype=torch.bool),
        "graphs": graphs(2),
        **change,
    }
    with pytest.raises(ValueError, match=message):
        score_posterior(**arguments)
