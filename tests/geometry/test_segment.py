from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck

from noisefold.geometry.segment import (
    argsort_runs,
    segment_max,
    segment_mean,
    segment_softmax,
    segment_sum,
)


def _case(seed: int = 0, n: int = 40, size: int = 7, shape: tuple[int, ...] = (3,)):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(n, *shape, dtype=torch.float64, generator=generator)
    return values, torch.randint(0, size - 1, (n,), generator=generator), size  # the last segment is empty


@pytest.mark.parametrize("shape", [(), (3,), (2, 4)])
def test_reductions_equal_loops_over_segments(shape):
    values, index, size = _case(shape=shape)
    results = [f(values, index, size) for f in (segment_sum, segment_mean, segment_max)]
    weights = segment_softmax(values, index, size)
    for i in range(size):
        members = values[index == i]
        if i == size - 1:
            truths = [torch.zeros(shape, dtype=torch.float64)] * 3
        else:
            truths = [members.sum(0), members.mean(0), members.amax(0)]
            # 1e-14: a few roundings of numbers of order one.
            torch.testing.assert_close(weights[index == i], members.softmax(0), rtol=0, atol=1e-14)
        for result, truth in zip(results, truths, strict=True):
            torch.testing.assert_close(result[i], truth, rtol=0, atol=1e-14)


def test_fill_of_empty_segments():
    values, index, size = _case()
    assert (segment_max(values, index, size, fill=-math.inf)[-1] == -math.inf).all()
    assert segment_max(values[:0], index[:0], 2, fill=5.0).tolist() == [[5.0] * 3] * 2


@pytest.mark.parametrize("reduce", [segment_sum, segment_mean, segment_max, segment_softmax])
def test_gradients(reduce):
    values, index, size = _case(n=12, size=4, shape=(2,))
    values.requires_grad_()
    assert gradcheck(lambda v: reduce(v, index, size), values)
    if reduce is not segment_max:
        assert gradgradcheck(lambda v: reduce(v, index, size), values)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_softmax_of_large_values(dtype):
    large = torch.tensor([1e30, 1e30, -1e30, -1e4, -1e4], dtype=dtype)
    weights = segment_softmax(large, torch.tensor([0, 0, 0, 1, 1]), 2)
    assert weights.tolist() == [0.5, 0.5, 0.0, 0.5, 0.5]


def test_independence_of_other_segments():
    # Bitwise: a segment is added up in the order of its own rows.
    values, index, size = _case(n=3000, size=50, shape=(3,))
    values = values.float()
    order = torch.argsort(index, stable=True)
    shuffled = torch.randperm(3000, generator=torch.Generator().manual_seed(1))
    kept = shuffled[torch.argsort(index[shuffled], stable=True)]  # another interleaving, other order inside
    for reduce in (segment_sum, segment_mean):
        whole = reduce(values, index, size)
        assert torch.equal(whole, reduce(values[order], index[order], size))
        assert not torch.equal(whole, reduce(values[kept], index[kept], size))  # the check above can fail
        for i in (0, 17):
            alone = reduce(values[index == i], torch.zeros(int((index == i).sum()), dtype=torch.int64), 1)
            assert torch.equal(alone[0], whole[i])


@pytest.mark.parametrize("index", [torch.zeros(3, dtype=torch.int32), torch.zeros(2, dtype=torch.int64)])
def test_an_index_that_does_not_fit_is_refused(index):
    with pytest.raises(ValueError, match="index must"):
        segment_sum(torch.zeros(3, 2), index, 1)


@settings(deadline=None, max_examples=40)
@given(
    lengths=st.lists(st.integers(0, 12), min_size=1, max_size=8),
    seed=st.integers(0, 2**31),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.int32]),
    ties=st.booleans(),
)
def test_argsort_of_runs_is_stable(lengths, seed, dtype, ties):
    generator = torch.Generator().manual_seed(seed)
    n = sum(lengths)
    values = torch.randn(n, generator=generator) * (1.5 if ties else 1e6)
    values = (values.round() if ties else values).to(dtype)
    if n and dtype != torch.int32:
        values[0] = -0.0
        values[-1] = math.inf
    ptr = torch.tensor([0, *lengths]).cumsum(0)
    key = values.tolist().__getitem__
    truth = [i for a, b in pairwise(ptr.tolist()) for i in sorted(range(a, b), key=key)]
    assert argsort_runs(values, ptr).tolist() == truth


def test_argsort_of_more_runs_than_fit_into_a_key():
    # 2^17 runs, one of them of 2^15 values: 17 + 32 + 15 bits, one more than a key has.
    runs, long = 1 << 17, 1 << 15
    values = torch.rand(runs - 1 + long, generator=torch.Generator().manual_seed(0))
    ptr = torch.cat([torch.zeros(1, dtype=torch.int64), torch.arange(long, long + runs)])
    expected = torch.cat([values[:long].sort().values, values[long:]])
    assert torch.equal(values[argsort_runs(values, ptr)], expected)
