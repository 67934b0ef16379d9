"""Decimals against exact fractions; the noise they make against its own variance and independence."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from noisefold.geometry import Graphs
from noisefold.noise import Digits, Streams, decimals, digits
from noisefold.noise.digits import _LEVELS

NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=64)


@settings(deadline=None, max_examples=150)
@given(value=NUMBERS, single=st.booleans())
def test_decimals_are_those_of_a_real_number_that_begins_so(value, single):
    """Put together as an exact fraction they lie in the interval that the float stands for."""
    own = torch.tensor([value], dtype=torch.float64).to(torch.float32 if single else torch.float64)
    assume(bool(own.isfinite()))
    number, bits = Fraction(abs(float(own))), 24 if single else 53
    count = 60
    found = decimals(own, count)[:, 0].tolist()
    read = Fraction(int("".join(map(str, found))), 10**count)
    # The bits of the mantissa begin at the exponent; what lies before the point has no part in it.
    exponent = math.frexp(float(own))[1]
    start = number - math.floor(number)
    end = start + Fraction(2) ** min(exponent - bits, 0)
    assert start - Fraction(1, 10**count) < read < end


def test_decimals_of_numbers_that_everyone_knows():
    values = torch.tensor([0.5, -3.25, 1 / 3, 1e-5, 2.0**60], dtype=torch.float64)
    head = decimals(values, 14).T.tolist()
    assert head[0] == [5] + [0] * 13
    assert head[1] == [2, 5] + [0] * 12
    assert head[2] == [3] * 14
    assert head[3] == [0] * 4 + [1] + [0] * 9
    # Doubles near 2^60 are all whole; behind the point there is nothing but what was chosen.
    assert len(set(head[4])) > 1


def test_decimals_do_not_run_out():
    """100 decimals of 2,000 doubles, of which a double fixes 15: uniform and unrelated to each other.

    Chi-squared of 10 levels, 9 degrees of freedom, worst of 97 places: beyond 40 with a chance of 7e-4.
    """
    values = torch.randn(2000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = decimals(values, 100)
    assert torch.equal(found, decimals(values, 130)[:100])
    counts = torch.stack([torch.bincount(row, minlength=10) for row in found[3:]]).double()
    assert float(((counts - 200) ** 2 / 200).sum(1).max()) < 40
    noise = digits(values, 100)[3:]
    correlation = noise @ noise.T / 2000 - torch.eye(97, dtype=torch.float64)
    # 4,656 pairs with standard error 2000 ** -.5: beyond 5 of them with a chance of .003.
    assert float(correlation.abs().max()) < 5.5 * 2000**-0.5


def test_neighbours_share_what_they_share_and_no_more():
    one = torch.ones(1, dtype=torch.float64)
    pair = torch.cat([one / 7, one / 7 + 2**-54])
    a, b = decimals(pair, 100).T
    assert torch.equal(a[:15], b[:15])
    assert float((a[20:] == b[20:]).double().mean()) < 0.35
    assert torch.equal(decimals(pair.float(), 30)[:, 0], decimals(pair.float(), 30)[:, 1])


def test_noise_is_standardised():
    """The ten mid-quantiles have variance .8798; divided by its root, 1 to rounding, and mean 0."""
    assert abs(float(_LEVELS.mean())) < 1e-15
    assert abs(float(_LEVELS.square().mean()) - 1) < 1e-15
    raw = torch.special.ndtri(torch.tensor(0.95, dtype=torch.float64))
    assert abs(float((raw / _LEVELS[9]) ** 2) - 0.8798) < 5e-5
    z = digits(torch.tensor([[0.159, 7.26]], dtype=torch.float64), 2)
    assert z.shape == (2, 1, 2)
    assert torch.equal(z[:, 0].T, _LEVELS[torch.tensor([[1, 5], [2, 6]])])


def cloud(sizes=(3, 5)):
    generator = torch.Generator().manual_seed(0)
    return Graphs.ragged([torch.randn(n, 2, generator=generator) for n in sizes])


def test_the_source_reads_the_decimal_of_the_time():
    """Step k of a chain reads decimal k, in float32 as in float64; a batch is what its graphs are alone."""
    graphs, source = cloud(), Digits(places=100)
    every = digits(graphs.pos, 100)
    for dtype in (torch.float32, torch.float64):
        for k in range(1, 101):
            t = torch.tensor([k / 100, 1 - k / 100 + 0.01], dtype=dtype)
            got = source.draw(graphs, 2, Streams(0, [0, 1]), graphs.pos, t)
            assert torch.equal(got, torch.cat([every[k - 1, :3], every[100 - k, 3:]]))
    scalar = source.draw(graphs, 2, Streams(5, [7, 8]), graphs.pos, torch.tensor(0.25))
    assert torch.equal(scalar, every[24])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_in_training_it_has_the_moments_of_any_noise(dtype):
    """From the fourth decimal on: mean 0, variance 1, unrelated to the data and to other times.

    20,000 numbers, 24 times: standard errors .0071 of a mean or a correlation, and of a variance
    (1.3 / 20,000) ** .5 = .0081; 5 of them.
    """
    generator = torch.Generator().manual_seed(3)
    data = torch.randn(10_000, 2, generator=generator, dtype=dtype)
    graphs, source = Graphs(data), Digits()
    times = torch.arange(4, 100, 4) / 100
    drawn = torch.stack([source.draw(graphs, 2, Streams(0, [0]), data, t) for t in times]).flatten(1).double()
    assert torch.equal(drawn[0], source.draw(graphs, 2, Streams(9, [4]), data, times[0]).flatten().double())
    assert float(drawn.mean(1).abs().max()) < 5 * 0.0071
    assert float((drawn.var(1) - 1).abs().max()) < 5 * 0.0081
    every = torch.corrcoef(torch.cat([drawn, data.flatten()[None].double()])) - torch.eye(25)
    assert float(every.abs().max()) < 5 * 0.0071


def test_the_first_decimals_tell_of_the_number():
    """What the docstring warns of: the first decimal of numbers in [0, 1) is the number, in ten steps."""
    data = torch.rand(5000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    first = Digits().draw(Graphs(data), 1, Streams(0, [0]), data, torch.tensor(0.01))
    assert float(torch.corrcoef(torch.cat([first, data], 1).T)[0, 1]) > 0.95


def test_without_data_the_source_draws_levels_from_the_streams():
    graphs, source = cloud((400, 600)), Digits()
    drawn = source.draw(graphs, 3, Streams(1, [0, 1]))
    assert drawn.dtype == graphs.pos.dtype
    assert len(drawn.unique()) == 10
    assert torch.equal(drawn[400:], source.draw(graphs[1], 3, Streams(1, [1])))
    # 3,000 draws of variance 1 and kurtosis 2.3: 5 standard errors.
    assert abs(float(drawn.mean())) < 5 * 3000**-0.5
    assert abs(float(drawn.var()) - 1) < 5 * (1.3 / 3000) ** 0.5


def test_refuses_what_has_no_decimals():
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        digits(torch.ones(1), 0)
    with pytest.raises(ValueError, match="infinity and NaN have no decimals"):
        digits(torch.tensor([1.0, math.nan]), 3)
    with pytest.raises(ValueError, match="places must be at least 1, got 0"):
        Digits(0)
