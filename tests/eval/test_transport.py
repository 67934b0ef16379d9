import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri
from scipy.stats import wasserstein_distance

from noisefold.eval import emd, emd_matrix, transport, transport_cost, wasserstein
from noisefold.geometry import Graphs

# Distances of order one in float64: a sum of at most 200 rounded terms stays below this.
TIGHT = 1e-12


def sample(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(params=["assignment", "simplex"])
def solver(request, monkeypatch):
    monkeypatch.setattr(transport, "_ASSIGNMENT_LIMIT", 10**9 if request.param == "assignment" else 0)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 6])
@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.usefixtures("solver")
def test_emd_is_the_best_of_all_permutations(n, d):
    a, b = sample(n, d, seed=n), sample(n, d, seed=n + 50)
    best = min(float((a - b[list(p)]).norm(dim=1).mean()) for p in itertools.permutations(range(n)))
    assert emd(a, b) == pytest.approx(best, abs=TIGHT)


@pytest.mark.parametrize("order", [1, 2, 3.5])
@pytest.mark.parametrize("n", [7, 130])
@pytest.mark.usefixtures("solver")
def test_on_a_line_sorted_points_are_matched(n, order):
    a, b = sample(n, 1), 2 * sample(n, 1, seed=1) + 1
    sorted_cost = (a.sort(0).values - b.sort(0).values).abs().pow(order).mean()
    assert wasserstein(a, b, order) == pytest.approx(float(sorted_cost ** (1 / order)), abs=TIGHT)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 10**6))
def test_weights_and_sizes_against_the_distribution_functions_on_a_line(n, m, seed):
    a, b = sample(n, 1, seed=seed), sample(m, 1, seed=seed + 1)
    u, v = sample(n, seed=seed + 2).square() + 0.01, sample(m, seed=seed + 3).square() + 0.01
    truth = wasserstein_distance(a[:, 0].numpy(), b[:, 0].numpy(), u.numpy(), v.numpy())
    assert wasserstein(a, b, 1, u, v) == pytest.approx(truth, abs=1e-10)


@pytest.mark.usefixtures("solver")
def test_gradient_of_a_convex_function_is_the_optimal_map():
    # Brenier: x -> M x + v with M positive definite is optimal from any sample to its image.
    root = sample(3, 3, seed=3)
    m, v = root @ root.T + torch.eye(3, dtype=torch.float64), torch.tensor([1.0, -2.0, 3.0]).double()
    a = sample(150, 3)
    b = (a @ m + v)[torch.randperm(150, generator=torch.Generator().manual_seed(0))]
    truth = (a @ m + v - a).square().sum(1).mean().sqrt()
    assert wasserstein(a, b, 2) == pytest.approx(float(truth), abs=TIGHT * float(truth) * 10)


def test_gaussians_on_a_line():
    # W_2 of N(0, 1) and N(3, 4) is sqrt(9 + 1); 400 quantiles miss .3 % of the variance.
    z = torch.from_numpy(ndtri((np.arange(400) + 0.5) / 400))[:, None]
    assert wasserstein(z, 3 + 2 * z, 2) == pytest.approx(10**0.5, abs=2e-3)


@pytest.mark.usefixtures("solver")
def test_translation_costs_its_length():
    a = sample(40, 3)
    assert emd(a, a + torch.tensor([3.0, 4.0, 12.0])) == pytest.approx(13, abs=TIGHT * 13)
    assert emd(a, a.flip(0)) == 0


def test_unequal_sizes_split_mass():
    a, b = sample(6, 2), sample(4, 2, seed=1)
    same = emd(a.repeat_interleave(2, 0), b.repeat_interleave(3, 0))
    assert emd(a, b) == pytest.approx(same, abs=TIGHT)


def test_a_weight_of_zero_removes_a_point():
    a, b = sample(5, 2), sample(4, 2, seed=1)
    weight = torch.tensor([1.0, 1, 1, 1, 0])
    assert wasserstein(a, b, weight_a=weight) == pytest.approx(wasserstein(a[:4], b), abs=TIGHT)


def test_distance_axioms():
    a, b, c = sample(20, 3), sample(25, 3, seed=1), sample(30, 3, seed=2)
    assert wasserstein(a, b) == pytest.approx(wasserstein(b, a), abs=TIGHT)
    assert wasserstein(a, c) <= wasserstein(a, b) + wasserstein(b, c) + TIGHT
    assert wasserstein(a, b, 1) <= wasserstein(a, b, 2) + TIGHT


def test_matrix_is_the_looped_distance():
    a = Graphs.ragged([sample(n, 3, seed=n) for n in (5, 8, 8)])
    b = Graphs.ragged([sample(n, 3, seed=n + 9) for n in (8, 3)])
    truth = torch.tensor([[emd(p, q) for q in b.unpack()] for p in a.unpack()], dtype=torch.float64)
    torch.testing.assert_close(emd_matrix(a, b), truth, rtol=0, atol=0)
    torch.testing.assert_close(emd_matrix(a, b, workers=1), truth, rtol=0, atol=0)
    torch.testing.assert_close(emd_matrix(b, a).T, truth, rtol=0, atol=TIGHT)


def test_matrix_of_one_object_with_itself_is_the_full_matrix():
    a = Graphs.dense(sample(6, 10, 3))
    torch.testing.assert_close(emd_matrix(a, a), emd_matrix(a, a.replace()), rtol=0, atol=TIGHT)
    assert bool((emd_matrix(a, a).diagonal() == 0).all())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: wasserstein(sample(3, 2), sample(3, 3)), "same dimension, got 2 and 3"),
        (lambda: wasserstein(sample(3, 2), sample(3, 2), 0.5), "order must be at least 1"),
        (lambda: wasserstein(sample(0, 2), sample(3, 2)), "a must be .* at least one point"),
        (lambda: wasserstein(sample(3, 2), sample(3, 2) / 0), "b must be finite"),
        (
            lambda: wasserstein(sample(3, 2), sample(3, 2), 1, torch.ones(2)),
            r"weight_a must have shape \[3\]",
        ),
        (lambda: wasserstein(sample(1, 2), sample(1, 2), 1, None, -torch.ones(1)), "weight_b must be finite"),
        (lambda: transport_cost(torch.ones(3)), r"cost must be \[n, m\]"),
        (lambda: transport_cost(torch.tensor([[torch.inf]])), "cost must be finite"),
        (lambda: emd_matrix(Graphs(sample(3, 2)), Graphs(sample(3, 3))), "same dimension"),
    ],
)
def test_errors_name_the_argument(call, words):
    with pytest.raises(ValueError, match=words):
        call()
