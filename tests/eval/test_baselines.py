"""Baselines against brute force, exact posteriors, and what every one of them must hold."""

import math

import pytest
import torch

from noisefold.eval import (
    FeatureKNN,
    GaussianField,
    Kriging,
    MarginalNormal,
    Regression,
    SpatialKNN,
    score_posterior,
)
from noisefold.eval.baselines import patterns
from noisefold.geometry import Graphs

BASELINES = (
    MarginalNormal(),
    SpatialKNN(k=4),
    FeatureKNN(k=4),
    Regression(),
    Regression(place=True, penalty=0.1),
    GaussianField(),
    Kriging(sample=40),
    Kriging(sample=40, limit=6, neighbours=5, kernel="squared"),
)
EVERY = pytest.mark.parametrize("baseline", BASELINES, ids=repr)
PLACES = torch.rand(20, 2, generator=torch.Generator().manual_seed(9))


def fields(count, seed=0, features=3):
    """Fields that hang together over space and over features."""
    generator = torch.Generator().manual_seed(seed)
    wave = torch.sin(4 * PLACES[:, :1] + 2 * torch.randn(count, 1, 1, generator=generator))
    blend = torch.randn(count, 1, features, generator=generator)
    noise = torch.randn(count, 20, features, generator=generator)
    return Graphs.dense(PLACES.expand(count, -1, -1), wave * (1 + 0.3 * blend) + 0.2 * noise)


def masked(graphs, share=0.5, seed=0):
    return torch.rand(graphs.x.shape, generator=torch.Generator().manual_seed(seed)) < share


@EVERY
def test_known_values_stay_and_draws_are_finite(baseline):
    train, test = fields(30), fields(4, 1)
    for known in (masked(test), torch.arange(80) % 20 < 12, torch.zeros(80, dtype=torch.bool)):
        mask = known if known.ndim == 2 else known[:, None].expand(80, 3)
        hidden = test.replace(x=test.x.masked_fill(~mask, math.nan))
        draws = baseline.fit(train).draw(hidden, known, 5)
        assert draws.shape == (5, 80, 3)
        assert draws.dtype == torch.float32
        assert bool(draws.isfinite().all())
        assert torch.equal(draws[:, mask], test.x[mask].expand(5, -1))
        # At most 20 donors a value: of those that are drawn, some differ.
        assert bool((draws[0] != draws[1])[~mask].any())


@EVERY
def test_a_draw_is_a_function_of_seed_graph_and_number(baseline):
    train, test = fields(30), fields(4, 1)
    fitted, known = baseline.fit(train), masked(test)
    draws = fitted.draw(test, known, 4, seed=7)
    assert torch.equal(fitted.draw(test, known, 2, seed=7), draws[:2])
    assert not torch.equal(fitted.draw(test, known, 4, seed=8), draws)
    first = fitted.draw(test[:2], known[:40], 4, seed=7)
    # Matrix products of other sizes round otherwise.
    assert torch.allclose(first, draws[:, :40], atol=1e-4)


@EVERY
def test_holes_in_the_training_data_do_no_harm(baseline):
    if isinstance(baseline, GaussianField):
        pytest.skip("takes whole fields only, and says so")
    train, test = fields(20), fields(6, 1)
    there, known = masked(train, 0.8), masked(test, 0.6, seed=1)
    hidden = train.replace(x=train.x.masked_fill(~there, math.nan))
    found = [
        float(score_posterior(fitted.draw(test, known, 19), test.x, known, test)["CRPS"])
        for fitted in (baseline.fit(hidden, there), baseline.fit(train))
    ]
    # Four fifths of the values tell nearly as much as all of them.
    assert found[0] < 1.25 * found[1]


@EVERY
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda b, g: b.fit(g, torch.ones(3, dtype=torch.bool)), "known must be bool"),
        (lambda b, g: b.fit(g.replace(x=None)), "no features"),
        (lambda b, g: b.fit(g.replace(x=g.x * math.nan)), "NaN or infinite"),
        (lambda b, g: b.fit(g, torch.arange(3).expand(600, 3) > 0), "nowhere|complete"),
        (lambda b, g: b.fit(g).draw(g, masked(g), 0), "draws must be at least 1"),
    ],
)
def test_misuse_is_named(baseline, call, message):
    with pytest.raises(ValueError, match=message):
        call(baseline, fields(30))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SpatialKNN(k=0), "k must be"),
        (lambda: FeatureKNN(k=0), "k must be"),
        (lambda: Regression(penalty=-1.0), "penalty"),
        (lambda: GaussianField(shrink=2.0), "shrink"),
        (lambda: Kriging(kernel="cubic"), "matern, squared"),
        (lambda: Kriging(neighbours=0), "at least 1"),
    ],
)
def test_settings_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_rows_that_are_alike():
    mask = masked(fields(10), 0.5)
    mask = torch.cat([mask, mask.flip(0)])
    found = patterns(mask)
    assert torch.cat([rows for rows, _ in found]).sort().values.tolist() == list(range(len(mask)))
    assert len(found) == len(mask.unique(dim=0))
    for rows, row in found:
        assert bool((mask[rows] == row).all())


def test_mean_has_the_moments_of_the_training_values():
    train = fields(30)
    known = torch.zeros(600, dtype=torch.bool)
    draws = MarginalNormal().fit(train).draw(train, known, 60)
    # 36,000 values a feature: 5 standard errors.
    assert torch.allclose(draws.mean((0, 1)), train.x.mean(0), atol=5 * 0.9 / 190)
    assert torch.allclose(draws.std((0, 1)), train.x.std(0), rtol=5 * 0.71 / 190)


def test_nearest_of_one_observed_node():
    graphs = Graphs(torch.rand(6, 2), torch.arange(6.0)[:, None])
    known = torch.arange(6) == 2
    assert torch.equal(SpatialKNN().fit(graphs).draw(graphs, known, 3), torch.full((3, 6, 1), 2.0))


def test_nearest_takes_the_nearest_that_know():
    graphs = fields(3)
    known = masked(graphs, 0.6)
    draws = SpatialKNN(k=2).fit(graphs).draw(graphs, known, 40)
    for i in range(3):
        for node in range(20):
            for k in range(3):
                row = 20 * i + node
                if known[row, k]:
                    continue
                there = known[20 * i : 20 * i + 20, k].nonzero().view(-1)
                gap = (PLACES[there] - PLACES[node]).norm(dim=1)
                donors = graphs.x[20 * i + there[gap.argsort()[:2]], k]
                assert set(draws[:, row, k].tolist()) == set(donors.tolist())


@pytest.mark.parametrize("scattered", [False, True])
def test_alike_takes_the_most_alike_that_know(scattered):
    train, test = fields(10), fields(8 if scattered else 3, 1, features=7 if scattered else 3)
    train = fields(10, features=test.features)
    known = masked(test, 0.6) if scattered else torch.tensor([True, False, True]).expand(60, 3)
    assert scattered == (len(patterns(known)) > 64)
    draws = FeatureKNN(k=3).fit(train).draw(test, known, 40)
    spread = train.x.std(0, correction=0)
    for row in range(0, len(known), 7):
        there = known[row]
        if bool(there.all()) or not bool(there.any()):
            continue
        gap = (((train.x - test.x[row]) / spread)[:, there]).square().mean(1)
        donors = train.x[gap.argsort()[:3]]
        for k in (~there).nonzero().view(-1).tolist():
            assert set(draws[:, row, k].tolist()) == set(donors[:, k].tolist())


def chain(n, seed=0):
    """Nodes without neighbours whose features are one normal vector, and its covariance."""
    root = torch.tensor([[1.0, 0, 0, 0], [0.8, 0.5, 0, 0], [-0.4, 0.3, 0.7, 0], [0.2, 0.6, 0.1, 0.4]])
    x = 2 + torch.randn(n, 4, generator=torch.Generator().manual_seed(seed)) @ root.T
    return Graphs.dense(torch.zeros(n, 1, 2), x[:, None]), (root @ root.T).double()


@pytest.mark.parametrize("patterns_", [1, 200])
def test_regression_is_the_conditional_law(patterns_, monkeypatch):
    monkeypatch.setattr("noisefold.eval.regression._STRUCTURED", 0 if patterns_ > 1 else 64)
    train, cov = chain(40000)
    known = torch.tensor([True, False, True, False])
    point = torch.tensor([3.0, 0.0, 1.5, 0.0])
    test = Graphs.dense(torch.zeros(1, 1, 2), point.view(1, 1, 4))
    draws = Regression().fit(train).draw(test, known[None], 20000)[:, 0, ~known].double()
    k, u = [0, 2], [1, 3]
    weight = cov[u][:, k] @ torch.linalg.inv(cov[k][:, k])
    mean = 2 + weight @ (point[k].double() - 2)
    left = cov[u][:, u] - weight @ cov[k][:, u]
    # 40,000 nodes and 20,000 draws: 5 standard errors of either.
    assert torch.allclose(draws.mean(0), mean, atol=5 * 0.8 / 141)
    assert torch.allclose(draws.T.cov(), left, atol=5 * 0.64 * 1.42 / 141)


def test_both_ways_of_regression_agree(monkeypatch):
    train, test = fields(30, features=6), fields(3, 1, features=6)
    known = masked(test, 0.6)
    baseline = Regression(penalty=0.03)
    draws = []
    for most in (0, 1000):
        monkeypatch.setattr("noisefold.eval.regression._STRUCTURED", most)
        draws.append(baseline.fit(train).draw(test, known, 6))
    # The same coefficients and covariance, in two orders of float64 operations, then rounded to float32.
    assert torch.allclose(*draws, atol=1e-5)


def test_missing_training_values_leave_the_conditional_law():
    train, cov = chain(20000)
    there = torch.rand(20000, 4, generator=torch.Generator().manual_seed(3)) < 0.7
    hidden = train.replace(x=train.x.masked_fill(~there, math.nan))
    law = Regression().fit(hidden, there).joint
    assert torch.allclose(law.mean, torch.full((4,), 2.0).double(), atol=5 / math.sqrt(14000))
    # Pairs alone, 9,800 each, are this near too; conditional variances of .1 need that they fit each other.
    assert torch.allclose(law.cov, cov, atol=5 * 1.3 / math.sqrt(9800))
    left = 1 / torch.linalg.inv(law.cov).diagonal()
    assert torch.allclose(left, 1 / torch.linalg.inv(cov).diagonal(), rtol=0.1)


def test_ridge_is_chosen_by_cross_validation():
    """Ten samples of nine predictors that say nothing: the penalty is large, and draws keep their spread."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(12, 1, 10, generator=generator)
    train = Graphs.dense(torch.zeros(12, 1, 2), x)
    test = Graphs.dense(torch.zeros(200, 1, 2), torch.randn(200, 1, 10, generator=generator))
    known = (torch.arange(10) > 0).expand(200, 10)
    scores = {
        name: score_posterior(b.fit(train).draw(test, known, 19), test.x, known, test)
        for name, b in (("chosen", Regression()), ("none", Regression(penalty=0.0)))
    }
    assert float(scores["chosen"]["RMSE"]) < float(scores["none"]["RMSE"])
    assert scores["chosen"]["CRPS"].value < 0.8


@pytest.mark.slow
def test_gaussian_field_draws_are_exact_posterior_draws():
    generator = torch.Generator().manual_seed(0)
    gap = torch.cdist(PLACES.double(), PLACES.double())
    root = torch.linalg.cholesky(torch.exp(-2 * gap))
    x = (root @ torch.randn(2400, 20, 1, generator=generator, dtype=torch.float64)).float()
    train, test = (Graphs.dense(PLACES.expand(len(p), -1, -1), p) for p in (x[:1500], x[2000:]))
    known = (torch.arange(20) % 3 > 0).repeat(400)
    fitted = GaussianField().fit(train)
    scores = score_posterior(fitted.draw(test, known, 39), test.x, known, test)
    for level in (50, 90):
        share = scores[f"cover {level} %"]
        # Values of one field go together: the jackknife's own interval, twice as wide.
        assert abs(share.value - level / 100) < 2 * (share.high - share.low) / 2
    # The covariance of many draws is that of the exact posterior.
    draws = fitted.draw(test[:1], known[:20], 20000)[:, ~known[:20], 0].double()
    k, u = known[:20], ~known[:20]
    cov = torch.exp(-2 * gap)
    truth = cov[u][:, u] - cov[u][:, k] @ torch.linalg.solve(cov[k][:, k], cov[k][:, u])
    # A covariance of 1,500 fields: 5 standard errors.
    assert torch.allclose(draws.T.cov(), truth, atol=5 * float(truth.max()) * math.sqrt(2 / 1500))


def test_gaussian_field_asks_for_the_same_positions():
    moved = fields(2).replace(pos=fields(2).pos + 1)
    fitted, known = GaussianField().fit(fields(30)), masked(moved)
    with pytest.raises(ValueError, match="positions of the training fields"):
        fitted.draw(moved, known)


def test_a_law_of_few_fields_is_still_a_law():
    draws = GaussianField().fit(fields(5)).draw(fields(2), masked(fields(2)))
    assert bool(draws.isfinite().all())
