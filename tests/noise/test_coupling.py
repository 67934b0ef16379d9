"""Couplings: permutations of whole graphs, the cheapest there are."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisefold import noise
from noisefold.geometry import Graphs
from noisefold.noise import Coupling, Independent, MiniBatch

COUPLINGS = [value() for value in vars(noise).values() if Coupling in getattr(value, "__mro__", ())[1:]]
WHOLE = [Independent(), MiniBatch()]
SIZES = st.lists(st.integers(0, 3), min_size=1, max_size=6)


def batch(sizes: list[int], seed: int, d: int = 2) -> tuple[Graphs, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x0, eps = torch.randn(2, sum(sizes), d, generator=generator, dtype=torch.float64)
    return Graphs.ragged(list(x0.split(sizes))), x0, eps


def cost(x0: torch.Tensor, eps: torch.Tensor) -> float:
    return float((x0 - eps).square().sum())


def pieces(eps: torch.Tensor, sizes: list[int]) -> list[tuple[float, ...]]:
    return sorted(tuple(part.flatten().tolist()) for part in eps.split(sizes))


@pytest.mark.parametrize("coupling", COUPLINGS, ids=repr)
@settings(deadline=None, max_examples=40)
@given(sizes=SIZES, seed=st.integers(0, 10**6))
def test_exchanges_nodes_and_nothing_else(coupling, sizes, seed):
    """The same noise nodes, bit for bit, in another order; what was drawn is left as it was."""
    graphs, x0, eps = batch(sizes, seed)
    kept = eps.clone()
    out = coupling(graphs, x0, lambda: eps)
    assert sorted(out.tolist()) == sorted(eps.tolist())
    assert torch.equal(eps, kept)


@pytest.mark.parametrize("coupling", WHOLE, ids=repr)
@settings(deadline=None, max_examples=40)
@given(sizes=SIZES, seed=st.integers(0, 10**6))
def test_exchanges_whole_graphs(coupling, sizes, seed):
    """The same noise graphs in another order: their law is kept exactly."""
    graphs, x0, eps = batch(sizes, seed)
    assert pieces(coupling(graphs, x0, lambda: eps), sizes) == pieces(eps, sizes)


@settings(deadline=None, max_examples=60)
@given(sizes=SIZES, seed=st.integers(0, 10**6))
def test_minibatch_is_the_cheapest_permutation(sizes, seed):
    """Against all permutations of graphs among those of equal size."""
    graphs, x0, eps = batch(sizes, seed)
    parts = eps.split(sizes)
    best = min(
        cost(x0, torch.cat([parts[i] for i in order]))
        for order in itertools.permutations(range(len(sizes)))
        if [sizes[i] for i in order] == sizes
    )
    got = cost(x0, MiniBatch()(graphs, x0, lambda: eps))
    assert got == pytest.approx(best, rel=1e-12, abs=1e-12)
    assert got <= cost(x0, eps) + 1e-12


def test_minibatch_undoes_a_shuffle():
    graphs, x0, _ = batch([3] * 40, 0)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    shuffled = x0.reshape(40, 3, 2)[order].reshape(-1, 2)
    assert torch.equal(MiniBatch()(graphs, x0, lambda: shuffled), x0)


def test_minibatch_really_shortens_the_way():
    """64 points in 2-D: independent pairs cost 4 on average; optimal ones at least three times less."""
    graphs, x0, eps = batch([1] * 64, 3)
    assert cost(x0, MiniBatch()(graphs, x0, lambda: eps)) < cost(x0, eps) / 3


def test_minibatch_keeps_float32():
    graphs, x0, eps = batch([2, 2, 2], 5)
    assert MiniBatch()(graphs, x0.float(), eps.float).dtype == torch.float32


def test_independent_is_the_noise_itself():
    graphs, x0, eps = batch([2, 3], 0)
    assert Independent()(graphs, x0, lambda: eps) is eps
