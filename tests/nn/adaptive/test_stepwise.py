"""Stepwise schedule: its values, bounds and configuration."""

import pytest
import torch

from noisefold.nn.adaptive import Stepwise
from noisefold.testing import assert_roundtrip

STEPS = Stepwise((0.2, 0.9), ranges=(48, 24, 12), shares=(0.1, 0.5, 1.0))


def test_values_between_levels():
    assert [STEPS(u, 200) for u in (0.0, 0.19, 0.2, 0.89, 0.9, 1.0)] == [
        *[(20, 20)] * 2,  # 20 supernodes are all there are
        *[(24, 100)] * 2,
        *[(12, 200)] * 2,
    ]
    assert Stepwise((0.5,), ranges=(30, 5))(0.1, 100) == (30, 100)


def test_batches():
    reach, resolution = STEPS(torch.tensor([0.1, 0.5, 0.95]), torch.tensor([1000, 7, 3]))
    assert reach.tolist() == [48, 4, 3]
    assert resolution.tolist() == [100, 4, 3]


def test_configuration():
    assert_roundtrip(STEPS)


@pytest.mark.parametrize(
    ("levels", "ranges", "shares", "named"),
    [
        ((0.5, 0.4), (1, 2, 3), (), "levels_at"),
        ((0.0,), (1, 2), (), "levels_at"),
        ((0.5,), (1,), (), "ranges"),
        ((0.5,), (1, 0), (), "ranges"),
        ((0.5,), (2, 1), (0.5,), "shares"),
        ((0.5,), (2, 1), (0.0, 1.0), "shares"),
    ],
)
def test_refused(levels, ranges, shares, named):
    with pytest.raises(ValueError, match=named):
        Stepwise(levels, ranges, shares)
