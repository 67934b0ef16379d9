"""Streams of random numbers: independent of the batch, unrelated to their neighbours."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisefold.geometry import Graphs
from noisefold.noise import Streams, White, derive_seed, seeded

LIKE = torch.empty(0)


@pytest.mark.parametrize("draw", ["normal", "uniform"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@settings(deadline=None, max_examples=25)
@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=8),
    seed=st.integers(0, 2**63 - 1),
    columns=st.integers(1, 5),
)
def test_a_sample_does_not_know_its_batch(draw, dtype, sizes, seed, columns):
    """Bit for bit: all together, one at a time and in reverse, over two successive draws."""
    like = torch.empty(0, dtype=dtype)
    g = len(sizes)

    def twice(indices, chosen):
        streams = Streams(seed, indices)
        both = [getattr(streams, draw)(chosen, columns, like) for _ in range(2)]
        assert all(value.shape == (sum(chosen), columns) and value.dtype == dtype for value in both)
        return [value.split(chosen) for value in both]

    together = twice(range(g), sizes)
    alone = [twice([i], [sizes[i]]) for i in range(g)]
    reverse = twice(range(g)[::-1], sizes[::-1])
    for call, i in itertools.product(range(2), range(g)):
        assert torch.equal(together[call][i], alone[i][call][0])
        assert torch.equal(together[call][i], reverse[call][g - 1 - i])


def test_no_number_is_drawn_twice():
    """Two draws of three samples under three seeds: nothing in common, wherever it stands."""
    drawn = []
    for seed in range(3):
        streams = Streams(seed, range(3))
        drawn += [streams.normal([50] * 3, 2, LIKE.double()) for _ in range(2)]
    numbers = torch.cat(drawn).flatten()
    assert len(numbers.unique()) == len(numbers) == 3 * 2 * 3 * 100


def test_seeded_repeats_and_leaves_no_trace():
    torch.manual_seed(5)
    expected = torch.randn(3)
    torch.manual_seed(5)
    draws = []
    for seed in (1, 1, 2):
        with seeded(seed):
            draws.append(torch.randn(3))
    assert torch.equal(torch.randn(3), expected)
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_normal_and_uniform_have_their_moments():
    """Within 5 standard errors; neighbouring streams and columns uncorrelated."""
    g, n = 2000, 50
    streams = Streams(3, range(g))
    normal = streams.normal([n] * g, 1, LIKE.double()).reshape(g, n)
    uniform = streams.uniform([n] * g, 1, LIKE.double()).reshape(g, n)
    total = g * n
    assert abs(float(normal.mean())) < 5 / total**0.5
    assert abs(float(normal.var()) - 1) < 5 * (2 / total) ** 0.5
    assert abs(float(normal.pow(4).mean()) - 3) < 5 * (96 / total) ** 0.5
    assert abs(float(uniform.mean()) - 0.5) < 5 / (12 * total) ** 0.5
    assert float(uniform.min()) >= 0
    assert float(uniform.max()) < 1
    neighbours = (normal[1:] * normal[:-1]).mean()
    assert abs(float(neighbours)) < 5 / (total - n) ** 0.5
    # The first number of each stream, over streams: what badly mixed seeds would spoil.
    assert abs(float(normal[:, 0].var()) - 1) < 5 * (2 / g) ** 0.5


def test_sizes_must_fit_the_streams():
    with pytest.raises(ValueError, match="each of the 3 streams, got 2"):
        Streams(0, range(3)).normal([1, 1], 1, LIKE)


def test_no_streams_draw_nothing():
    assert Streams(0, []).normal([], 4, LIKE).shape == (0, 4)


def test_white_draws_for_the_nodes_of_a_batch():
    graphs = Graphs.ragged([torch.zeros(3, 2), torch.zeros(0, 2), torch.zeros(5, 2)])
    drawn = White().draw(graphs, 4, Streams(7, [4, 5, 6]))
    assert drawn.shape == (8, 4)
    assert torch.equal(drawn, Streams(7, [4, 5, 6]).normal([3, 0, 5], 4, LIKE))


def test_mix_of_one_word_is_splitmix64():
    """The first outputs of Vigna's reference implementation for seeds 0 and 1234567, halved."""
    assert derive_seed(0) == 0xE220A8397B1DCDAF >> 1
    assert derive_seed(1234567) == 6457827717110365317 >> 1


def test_mix_never_collides_on_a_grid():
    """110,592 triples in 2^63 seeds: a chance of 7e-10 for a good hash, certain for a sum."""
    seeds = {derive_seed(*words) for words in itertools.product(range(48), repeat=3)}
    assert len(seeds) == 48**3
    assert min(seeds) >= 0
    assert max(seeds) < 2**63


def test_mix_knows_order_and_number():
    assert (
        len(
            {
                derive_seed(1, 2),
                derive_seed(2, 1),
                derive_seed(3),
                derive_seed(1, 2, 0),
                derive_seed(0, 1, 2),
                derive_seed(1),
                derive_seed(-1),
                derive_seed(2**64 - 2),
            }
        )
        == 8
    )


@pytest.mark.parametrize("place", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_mix_is_an_avalanche(place):
    """Flipping any input bit flips every output bit in half of the cases, within 5 standard errors."""
    trials = 400
    flips = torch.zeros(64, 63)
    for base, bit in itertools.product(range(trials), range(64)):
        words = [derive_seed(base), derive_seed(base, 1)]
        before = derive_seed(*words)
        words[place] ^= 1 << bit
        changed = before ^ derive_seed(*words)
        flips[bit] += torch.tensor([changed >> i & 1 for i in range(63)])
    # The worst of 64 * 63 cells: 6 standard errors leave a chance of 8e-6.
    assert float((flips / trials - 0.5).abs().max()) < 6 * 0.5 / trials**0.5
    assert abs(float(flips.mean()) / trials - 0.5) < 5 * 0.5 / (trials * 64 * 63) ** 0.5
