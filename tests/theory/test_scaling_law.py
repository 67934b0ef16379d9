"""Scaling laws: exact on trainings without noise, calibrated on noisy ones, and best sizes by brute force."""

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from noisefold.theory import ScalingLaw

SIZES, LENGTHS = (1e5, 4e5, 1.6e6), (10.0, 30.0, 100.0, 300.0, 1000.0)
GRID = list(product(SIZES, LENGTHS))


def loss(size: float, length: float, law: tuple[float, ...] = (1.2, 30.0, 1.5, 0.4, 0.6)) -> float:
    floor, a, b, alpha, beta = law
    return floor + a * size**-alpha + b * length**-beta


def fitted(noise: float, seed: int = 0, **options: Any) -> ScalingLaw:
    generator = torch.Generator().manual_seed(seed)
    error = 1 + noise * torch.randn(len(GRID), generator=generator, dtype=torch.float64)
    losses = [loss(*point) * float(e) for point, e in zip(GRID, error, strict=True)]
    return ScalingLaw([n for n, _ in GRID], [s for _, s in GRID], losses, noise=noise or 1e-4)


def test_a_law_without_noise_is_found() -> None:
    law = fitted(0.0)
    # Losses are known to 1e-4; that leaves the floor and the exponent of the size, which trade, this open.
    assert law.irreducible.median == pytest.approx(1.2, abs=0.03)
    assert law.alpha.median == pytest.approx(0.4, rel=0.2)
    assert law.beta.median == pytest.approx(0.6, rel=0.03)
    assert law.at(1.6e6, 10_000).median == pytest.approx(loss(1.6e6, 10_000), rel=2e-3)


def test_intervals_hold_what_they_promise() -> None:
    inside, trials = 0, 30
    generator = torch.Generator().manual_seed(1)
    for seed in range(trials):
        found = fitted(0.003, seed).at(1.6e6, 10_000)
        truth = loss(1.6e6, 10_000) * (1 + 0.003 * float(torch.randn((), generator=generator)))
        inside += found.low <= truth <= found.high
    # Binomial of 30 trials at .9 has a standard deviation of .055; the law is one, not drawn from the prior.
    assert inside / trials >= 0.76


def test_the_best_size_is_that_of_a_search_along_the_budget() -> None:
    budget, cost, growth = 1e4, 2e-6, 0.9
    sizes = np.geomspace(1e3, 1e8, 100_001)
    brute = sizes[np.argmin([loss(n, budget / (cost * n**growth)) for n in sizes])]
    assert fitted(0.0).best_size(budget, cost, growth).median == pytest.approx(brute, rel=0.15)


@pytest.mark.parametrize(
    ("parameters", "steps", "losses", "named"),
    [
        ([1e4] * 5, range(1, 6), [1.0] * 5, "parameters"),
        (range(1, 6), [10] * 5, [1.0] * 5, "steps"),
        (range(1, 6), range(1, 6), [1.0, 1.0, 1.0, 1.0, float("nan")], "losses"),
        (range(1, 4), range(1, 4), [1.0] * 3, "losses"),
    ],
)
def test_poor_measurements_are_refused(parameters: Any, steps: Any, losses: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        ScalingLaw(list(parameters), list(steps), losses)


def test_losses_that_rise_have_no_law() -> None:
    law = ScalingLaw([n for n, _ in GRID], [s for _, s in GRID], [1 / loss(*p) for p in GRID], noise=1e-3)
    with pytest.raises(ValueError, match="losses"):
        law.at(1e6, 1e3)
