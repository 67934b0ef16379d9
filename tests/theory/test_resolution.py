"""Gromov-Wasserstein distances against closed forms and every permutation."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from noisefold.data.shapes import shapes
from noisefold.geometry import Balanced, Graphs, Scaling
from noisefold.theory import Resolution, resolution
from noisefold.theory.resolution import _gromov_wasserstein


def identity(n):
    return np.eye(n) / n


def test_spaces_with_one_distance_each():
    """Two points a apart and two b apart: |a - b| / sqrt 2, for half of the pairs is a point with itself."""
    left, right = (np.array([[0, d], [d, 0]]) for d in (3.0, 1.0))
    assert _gromov_wasserstein(left, right, identity(2)) == pytest.approx(2 / math.sqrt(2))


def test_does_not_see_order_place_or_turn():
    x = np.random.default_rng(0).normal(size=(12, 3))
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    moved = (x @ turn + 5)[::-1]
    distance = _gromov_wasserstein(cdist(x, x), cdist(moved, moved), identity(12)[::-1])
    assert distance == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("noise", [0.05, 0.4])
def test_is_an_upper_bound_of_the_best_permutation_and_reaches_it_under_little_noise(noise):
    """For Euclidean distances the best coupling is a permutation (Maron and Lipman 2018)."""
    rng = np.random.default_rng(2)
    for _ in range(10):
        x = rng.normal(size=(6, 2))
        y = x + noise * rng.normal(size=(6, 2))
        left, right = cdist(x, x), cdist(y, y)
        best = min(
            math.sqrt(((left - right[np.ix_(p, p)]) ** 2).mean())
            for p in map(list, itertools.permutations(range(6)))
        )
        found = _gromov_wasserstein(left, right, identity(6))
        known = math.sqrt(((left - right) ** 2).mean())
        assert best - 1e-9 <= found <= known + 1e-9
        assert noise > 0.1 or found < best + 1e-6


def test_clean_and_fine_is_no_distance_and_one_cell_is_the_spread():
    data = shapes(3, points=30)
    for pooling in ("mean", "max"):
        found = resolution(data, [1.0], [30, 1], coarsening=Balanced(), pooling=pooling)
        assert torch.allclose(found.distance[0, 0], torch.zeros(3).double(), atol=1e-6)
        standard = Scaling.fit(data).apply(data).to(dtype=torch.float64)
        for g, pos in enumerate(standard.unpack()):
            # Against a point: the root of the mean squared distance of two nodes.
            truth = float((pos[:, None] - pos).square().sum(2).mean().sqrt())
            assert float(found.distance[0, 1, g]) == pytest.approx(truth, rel=1e-5)


def test_a_graph_does_not_depend_on_its_batch_and_repeats():
    data = shapes(4, points=24)
    options = {"signals": [0.7], "clusters": [24, 6], "seed": 3}
    twice = [resolution(data, **options) for _ in range(2)]
    assert torch.equal(twice[0].distance, twice[1].distance)
    other = resolution(data, **{**options, "seed": 4})
    assert not torch.equal(other.distance, twice[0].distance)


@pytest.mark.slow
def test_added_noise_wants_fewer_cells_and_unit_variance_does_not():
    """The paper's figure 4 holds where noise is added to the shape; seen at unit variance it does not."""
    data = shapes(6, points=64)
    clusters = (64, 32, 12, 4)
    for variable in ("pos", "x"):
        best = [b for b, _, _ in resolution(data, (0.95, 0.65, 0.3), clusters, variable=variable).best()]
        assert best[0] == 64
        assert best[0] > best[1] > best[2]
    unit = resolution(data, (0.95, 0.3), clusters, unit=True).best()
    assert unit[1][0] > 12


def test_features_of_their_own_are_taken():
    data = shapes(2, points=30)
    same = data.replace(x=data.pos.clone())
    # Displacements have one scale for all axes, features one for each.
    own = resolution(same, [0.5], [10], variable="x").distance
    assert not torch.allclose(own, resolution(data, [0.5], [10], variable="x").distance)
    assert own.isfinite().all()


def test_best_and_its_interval():
    distance = torch.tensor([[[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]], [[1.0, 5.0, 1.0], [2.0, 2.0, 2.0]]]).double()
    found = Resolution((0.9, 0.5), (8, 2), distance)
    assert found.best() == [(8, 8, 8), (2, 2, 8)]
    assert found.mean.tolist() == [[1, 2], [pytest.approx(7 / 3), 2]]
    assert float(found.error[1, 0]) == pytest.approx(math.sqrt(16 / 3 / 3))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"variable": "both"}, "variable"),
        ({"pooling": "sum"}, "pooling"),
        ({"signals": [0.0]}, "signals"),
        ({"signals": []}, "signals"),
        ({"clusters": [17]}, "clusters must lie in 1 .. 16"),
        ({"clusters": [0]}, "clusters"),
    ],
)
def test_bad_arguments_are_refused(options, word):
    options = {"signals": [0.5], "clusters": [4], **options}
    with pytest.raises(ValueError, match=word):
        resolution(Graphs.dense(torch.randn(2, 16, 2)), **options)
