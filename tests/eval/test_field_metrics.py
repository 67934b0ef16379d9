"""Distances between sets of fields against closed forms, brute force and exact optimal transport."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance

from noisefold.eval import (
    energy_distance,
    marginal_wasserstein,
    paper_field_w,
    sliced_wasserstein,
    wasserstein,
)
from noisefold.eval.field_metrics import aligned
from noisefold.geometry import Graphs

PLACES = torch.cartesian_prod(torch.linspace(0, 1, 3), torch.linspace(0, 2, 4))


def fields(count, features=2, seed=0, shift=0.0, spread=1.0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, len(PLACES), features, generator=generator, dtype=torch.float64)
    return Graphs.dense(PLACES.expand(count, -1, -1), shift + spread * x)


def single(values):
    """Fields of one node with one feature: their energy distance is that of real numbers."""
    return Graphs.dense(torch.zeros(len(values), 1, 2), torch.as_tensor(values).view(-1, 1, 1))


def absolute(mean, sd):
    """E|Z| of a normal Z."""
    z = mean / sd
    tail = math.erf(z / math.sqrt(2))
    return sd * math.sqrt(2 / math.pi) * math.exp(-z * z / 2) + mean * tail


@pytest.mark.parametrize("unbiased", [True, False])
def test_energy_distance_by_brute_force(unbiased):
    a, b = fields(7), fields(5, seed=1, shift=0.4)
    x, y = (s.x.view(len(s), -1).tolist() for s in (a, b))

    def mean(left, right, same):
        pairs = [
            math.dist(p, q)
            for i, p in enumerate(left)
            for j, q in enumerate(right)
            if not (same and unbiased and i == j)
        ]
        return sum(pairs) / len(pairs) / math.sqrt(len(left[0]))

    truth = 2 * mean(x, y, False) - mean(x, x, True) - mean(y, y, True)
    assert energy_distance(a, b, unbiased) == pytest.approx(truth, abs=1e-12)


def test_energy_distance_of_two_normal_laws():
    generator = torch.Generator().manual_seed(3)
    found = []
    for _ in range(200):
        a, b = torch.randn(2, 50, generator=generator, dtype=torch.float64)
        found.append(energy_distance(single(a), single(1 + 2 * b)))
    truth = 2 * absolute(1, math.sqrt(5)) - absolute(0, math.sqrt(2)) - absolute(0, 2 * math.sqrt(2))
    error = np.std(found) / math.sqrt(len(found))
    assert error < 0.02
    # Unbiased: within 4 standard errors of the closed form.
    assert abs(np.mean(found) - truth) < 4 * error


def test_energy_distance_of_one_law_has_mean_zero_only_if_unbiased():
    both = [
        [energy_distance(fields(6, seed=2 * i), fields(6, seed=2 * i + 1), u) for i in range(100)]
        for u in (True, False)
    ]
    assert abs(np.mean(both[0])) < 4 * np.std(both[0]) / 10
    # Independent fields of 24 values: E|X - X'| is sqrt(2) less 1 %, and the bias twice that over 6.
    assert np.mean(both[1]) == pytest.approx(2 * math.sqrt(2) / 6, rel=0.05)


def test_sliced_distance_of_a_shift_and_of_single_values():
    a = fields(9)
    shift = 0.7
    moved = a.replace(x=a.x + shift)
    # Each projection moves by shift times the sum of the direction: in mean square, by shift^2.
    assert sliced_wasserstein(a, moved, directions=4000) == pytest.approx(shift, rel=0.05)
    x, y = torch.randn(2, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    truth = wasserstein(x[:, None], y[:, None], order=2)
    assert sliced_wasserstein(single(x), single(y)) == pytest.approx(truth, abs=1e-12)


def test_marginals_against_scipy_with_unequal_numbers_and_positions():
    generator = torch.Generator().manual_seed(0)
    a = Graphs.ragged(
        [torch.rand(n, 2) for n in (5, 9)], [torch.randn(n, 3, generator=generator) for n in (5, 9)]
    )
    b = Graphs.ragged(
        [torch.rand(n, 2) for n in (4, 3)], [torch.randn(n, 3, generator=generator) for n in (4, 3)]
    )
    truth = [wasserstein_distance(a.x[:, k].double(), b.x[:, k].double()) for k in range(3)]
    assert marginal_wasserstein(a, b).tolist() == pytest.approx(truth, abs=1e-12)


def test_paper_number_is_transport_of_scaled_fields():
    a, b, scale = fields(6), fields(6, seed=1, shift=1.0), fields(40, seed=2)
    times = PLACES[:, 1]
    unit = torch.empty(len(PLACES), 2, dtype=torch.float64)
    for t in times.unique():
        values = scale.x.view(40, len(PLACES), 2)[:, times == t].flatten(0, 1)
        unit[times == t] = values.amax(0) - values.amin(0)
    x, y = ((s.x.view(6, len(PLACES), 2) / unit).flatten(1) for s in (a, b))
    assert paper_field_w(a, b, scale) == pytest.approx(wasserstein(x, y) / 4, abs=1e-12)


def test_positions_are_compared():
    a = fields(3)
    assert aligned(a, fields(5))
    assert not aligned(a, a.replace(pos=a.pos + torch.tensor([0.01, 0.0])))
    assert not aligned(Graphs.ragged([torch.rand(3, 2), torch.rand(4, 2)]))
    nearly = a.replace(pos=a.pos * (1 + 1e-7))
    assert aligned(a, nearly)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: energy_distance(fields(3), single([1.0, 2.0])), "same positions"),
        (lambda: energy_distance(fields(1), fields(3)), "at least 2"),
        (lambda: energy_distance(fields(3), fields(3, features=1)), "same features"),
        (lambda: energy_distance(Graphs(PLACES), Graphs(PLACES)), "features"),
        (lambda: sliced_wasserstein(fields(3), fields(4)), "equally many"),
        (lambda: marginal_wasserstein(fields(3), fields(3, features=1)), "same features"),
        (lambda: paper_field_w(fields(3), fields(3), single([1.0, 2.0])), "scale"),
    ],
)
def test_misuse_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
