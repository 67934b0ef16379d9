"""Ranges by time: against numpy's interpolation, back again, and on another grid of times."""

import json

import numpy as np
import pytest
import torch

from noisefold.configuration import decode, encode
from noisefold.data import RangeByTime
from noisefold.geometry import Graphs


def grid(times, seed=0, n=7):
    """Nodes at every time; feature 0 grows with time, feature 1 never changes at time 0."""
    generator = torch.Generator().manual_seed(seed)
    t = torch.tensor(times, dtype=torch.float64).repeat_interleave(n)
    pos = torch.stack([torch.rand(len(t), generator=generator, dtype=torch.float64), t], 1)
    x = torch.randn(len(t), 2, generator=generator, dtype=torch.float64) * torch.stack([0.01 + t, t], 1)
    return Graphs(pos, x + 3)


def test_each_time_spans_the_unit_interval():
    graphs = grid([0.0, 0.5, 1.0])
    out = RangeByTime.fit(graphs).apply(graphs).x.view(3, 7, 2)
    # Exact up to the rounding of one quotient in float64.
    torch.testing.assert_close(out[1:].amin(1), torch.zeros(2, 2, dtype=torch.float64), rtol=0, atol=1e-14)
    torch.testing.assert_close(out[1:].amax(1), torch.ones(2, 2, dtype=torch.float64), rtol=0, atol=1e-14)
    assert out[0, :, 1].abs().max() == 0


def test_other_times_are_interpolated_and_held_at_the_ends():
    scale = RangeByTime.fit(grid([0.0, 0.5, 1.0]))
    other = grid([-1.0, 0.1, 0.5, 0.9, 2.0], seed=1)
    time = other.pos[:, 1].numpy()
    low, high = (
        np.stack([np.interp(time, scale.times, np.array(end)[:, f]) for f in range(2)], 1)
        for end in (scale.low, scale.high)
    )
    out = scale.apply(other)
    np.testing.assert_allclose(out.x, (other.x.numpy() - low) / (high - low), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(scale.undo(out).x, other.x, rtol=1e-12, atol=1e-12)


def test_time_in_another_column_and_in_float32():
    graphs = grid([0.0, 1.0])
    turned = graphs.replace(pos=graphs.pos.flip(1)).to(dtype=torch.float32)
    scale = RangeByTime.fit(turned, axis=0)
    back = scale.undo(scale.apply(turned))
    assert back.x.dtype == torch.float32
    torch.testing.assert_close(back.x, turned.x, rtol=1e-6, atol=1e-6)


def test_written_and_read():
    scale = RangeByTime.fit(grid([0.0, 1.0]))
    assert decode(json.loads(json.dumps(encode(scale)))) == scale
    known = torch.tensor([[True, False]])
    assert torch.equal(scale.entries(known), known)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: RangeByTime((), (), ()), "times must be one or more rising numbers"),
        (lambda: RangeByTime((1.0, 0.0), ((0.0,),) * 2, ((1.0,),) * 2), "rising numbers"),
        (lambda: RangeByTime((0.0,), ((0.0,),), ((1.0, 2.0),)), "a row for each time"),
        (lambda: RangeByTime((0.0,), ((1.0,),), ((1.0,),)), "each low must be below"),
        (lambda: RangeByTime.fit(Graphs(torch.zeros(3, 2))), "must have features"),
        (lambda: RangeByTime.fit(grid(list(range(101)))), "101 different values, more than 100"),
        (
            lambda: RangeByTime.fit(grid([0.0])).apply(Graphs(torch.zeros(2, 2), torch.zeros(2, 3))),
            "x must have 2 features",
        ),
    ],
)
def test_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_absent_features_stay_absent():
    """As those of the places that a model is to draw fields at."""
    graphs = grid([0.0, 1.0])
    scale = RangeByTime.fit(graphs)
    bare = graphs.replace(x=None)
    assert scale.apply(bare).x is None
    assert scale.undo(bare).x is None
