"""Scores of places and Gaussian baselines on the sphere."""

import math

import pytest
import torch

from noisefold.eval import (
    StereographicGaussian,
    forecast_masks,
    geodesic_median,
    persisted,
    score_places,
    score_tracks,
    stereographic,
)
from noisefold.geometry import Graphs, Sphere, geographic
from noisefold.geometry.geographic import EARTH_RADIUS

F64 = torch.float64
SPHERE = Sphere()


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def unit_vectors(latitude, longitude):
    return torch.tensor(geographic.unit_vectors(latitude, longitude))


def around(centres, spread, count, seed=0):
    """Draws of Brownian motion from `centres [n, 3]`, ``[count, n, 3]``."""
    many = centres.expand(count, -1, -1).reshape(-1, 3)
    moved = SPHERE.brownian(many, torch.tensor(spread, dtype=F64), normal(len(many), 3, seed=seed))
    return moved.reshape(count, -1, 3)


def walks(count=400, steps=8, seed=0):
    """Smooth random tracks ``[count, steps, 3]``."""
    x = [SPHERE.project(normal(count, 3, seed=seed))]
    v = SPHERE.tangent(x[0], 0.05 * normal(count, 3, seed=seed + 1))
    for i in range(1, steps):
        x.append(SPHERE.exp(x[-1], v))
        v = SPHERE.transport(x[-2], x[-1], v) + SPHERE.tangent(
            x[-1], 0.01 * normal(count, 3, seed=seed + 1 + i)
        )
    return torch.stack(x, 1)


def test_calibrated_draws_are_covered_and_others_are_not():
    centres = SPHERE.project(normal(1500, 3))
    draws, truth = around(centres, 0.1, 30), around(centres, 0.1, 1, seed=1)[0]
    scores = score_places(draws, truth)
    for level in (0.5, 0.9):
        error = math.sqrt(level * (1 - level) / 1500)
        assert abs(scores.coverage(level) - math.floor(31 * level) / 31) < 3.5 * error
    narrow = score_places(around(centres, 0.03, 30), truth)
    assert narrow.coverage(0.9) < 0.7
    assert narrow.energy.mean() > scores.energy.mean()


def test_errors_are_great_circle_distances_in_km():
    truth = unit_vectors(torch.tensor([0.0, 10.0]), torch.tensor([179.5, 0.0]))
    draws = unit_vectors(torch.tensor([0.0, 11.0]), torch.tensor([-179.5, 0.0])).expand(5, -1, -1)
    scores = score_places(draws, truth)
    degree = EARTH_RADIUS * math.pi / 180
    assert (scores.median_error - degree).abs().max() < 1e-6
    assert (scores.mean_error - degree).abs().max() < 1e-6
    assert (scores.energy - degree).abs().max() < 1e-6
    with pytest.raises(ValueError, match="draws"):
        score_places(draws[:1], truth)


def test_median_withstands_outliers_and_minimises_the_mean_distance():
    centre = SPHERE.project(normal(1, 3))
    draws = around(centre, 0.01, 41)
    draws[:8] = -centre
    median = geodesic_median(draws)
    assert SPHERE.distance(median, centre) < 0.1

    def distance(p):
        return float(SPHERE.distance(p.expand(41, -1), draws[:, 0]).mean())

    least = distance(median)
    for move in 0.01 * SPHERE.frame(median)[0]:
        assert distance(SPHERE.exp(median, move[None])) > least
        assert distance(SPHERE.exp(median, -move[None])) > least


def test_chart_is_inverted_and_its_area_is_right():
    x = walks(30)
    known = torch.arange(8) < 3
    charts = stereographic._charts(x, known)
    flat = stereographic._project(x, *charts)
    assert (stereographic._lift(flat, *charts) - x).abs().max() < 1e-12
    # A small cross on the sphere has the area of its image over the stretch.
    at = flat[:1, -1:].clone()
    moved = [at + 1e-5 * torch.tensor(v, dtype=F64) for v in ((1.0, 0.0), (0.0, 1.0))]
    here, right, up = (stereographic._lift(v, *(c[:1] for c in charts))[0, 0] for v in (at, *moved))
    area = torch.cross(right - here, up - here, dim=-1).norm() / 1e-10
    assert float(area) == pytest.approx(float((1 + at.square().sum() / 4) ** -2), rel=1e-4)


@pytest.mark.parametrize("southern", [False, True])
def test_charts_point_to_the_east_and_the_nearer_pole(southern):
    sign = -1.0 if southern else 1.0
    x = unit_vectors(sign * torch.tensor([[10.0, 10, 12]]), torch.tensor([[0.0, 0, 2]]))
    flat = stereographic._project(x, *stereographic._charts(x, torch.tensor([True, True, False])))
    assert (flat[0, 2] > 0).all()


@pytest.mark.parametrize("kind", ["empirical", "process"])
def test_gaussian_baselines_are_calibrated_densities(kind):
    train, test = walks(400), walks(200, seed=50)
    known = torch.arange(8) < 4
    times = torch.arange(8.0)
    if kind == "empirical":
        found = StereographicGaussian.empirical(train, known, 1e-7)
    else:
        found = StereographicGaussian.process(times, train, known, 1e-7)
    draws = found.draw(test, 40)
    assert torch.equal(draws[:, :, known], test[:, known].expand(40, -1, -1, -1))
    scores = score_places(draws[:, :, ~known], test[:, ~known])
    assert 0.8 < scores.coverage(0.9) < 0.97
    # The log-density of its own draws is less than that of another covariance, on average.
    own = found.draw(test, 1, seed=9)[0]
    wide = StereographicGaussian(found.known, found.mean, 1.5 * found.covariance, found.latitude)
    assert found.log_density(own).mean() > wide.log_density(own).mean()


def test_density_of_a_baseline_integrates_to_one():
    """Over the place that is left, on an even grid of the sphere."""
    train = walks(300, 4)
    known = torch.tensor([True, True, True, False])
    found = StereographicGaussian.empirical(train, known, 1e-3)
    height = (torch.arange(200, dtype=F64) + 0.5) / 100 - 1
    angle = (torch.arange(400, dtype=F64) + 0.5) * math.pi / 200
    z, a = (v.flatten() for v in torch.meshgrid(height, angle, indexing="ij"))
    r = (1 - z.square()).sqrt()
    grid = torch.stack([r * a.cos(), r * a.sin(), z], 1)
    whole = torch.cat([train[:1, :3].expand(len(grid), -1, -1), grid[:, None]], 1)
    total = found.log_density(whole).exp().mean() * 4 * math.pi
    assert float(total) == pytest.approx(1, abs=0.01)


def test_persistence_goes_on_along_great_circles():
    start = torch.tensor([[1.0, 0.0, 0.0]], dtype=F64)
    v = torch.tensor([[0.0, 0.03, 0.04]], dtype=F64)
    track = torch.stack([SPHERE.exp(start, k * v) for k in range(8)], 1)
    times = torch.arange(8.0)
    known = torch.tensor([True, True, True, False, False, False, False, False])
    assert (persisted(times, track, known) - track).abs().max() < 1e-9
    known[-1] = True
    assert (persisted(times, track, known) - track).abs().max() < 1e-9


def test_tables_of_tracks_hold_the_model_and_its_baselines():
    train, test = walks(200), walks(24, seed=90)
    times = torch.arange(8.0)[None, :, None]
    held = [Graphs.dense(times.expand(len(x), -1, -1), x) for x in (train, test)]
    known = forecast_masks(held[1])
    assert known.reshape(-1, 8)[0].tolist() == [True] * 4 + [False] * 4
    truth = held[1].x
    near = SPHERE.brownian(
        truth.expand(20, -1, -1).reshape(-1, 3), torch.tensor(1e-4), normal(20 * len(truth), 3)
    )
    log_probs = torch.full((24,), 3.0)
    scores = score_tracks(near.reshape(20, -1, 3), held[1], known, held[0], log_probs=log_probs)
    assert scores.rows == ("model", "Gaussian", "Gaussian process", "persistence")
    assert float(scores["model", "log-likelihood"]) == 3
    # Draws around the truth itself: a hundredth of a radian, over the root of the draws.
    expected = EARTH_RADIUS * 0.01 * (math.pi / 2 / 20) ** 0.5
    assert float(scores["model", "error"]) == pytest.approx(expected, rel=0.3)
    others = [float(scores[row, "error"]) for row in ("Gaussian", "Gaussian process", "persistence")]
    assert min(others) > 2 * expected
    assert "energy" not in scores["persistence"]
    some = score_tracks(near.reshape(20, -1, 3), held[1], known, None, metrics=("error",))
    assert some.rows == ("model", "persistence")
    for wrong in ({"metrics": ("x",)}, {"known": torch.ones_like(known)}):
        asked = {"known": known, "metrics": None, **wrong}
        with pytest.raises(ValueError, match=next(iter(wrong))):
            score_tracks(near.reshape(20, -1, 3), held[1], asked["known"], None, metrics=asked["metrics"])
