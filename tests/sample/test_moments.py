"""Running moments against those of all draws together."""

import torch

from noisefold.sample.moments import Moments


def test_moments_of_parts_are_those_of_the_whole():
    generator = torch.Generator().manual_seed(0)
    values = 1e3 + torch.randn(23, 4, 3, generator=generator, dtype=torch.float64)
    moments = Moments(values[0])
    for start, stop in ((0, 1), (1, 9), (9, 10), (10, 23)):
        moments.add(values[start:stop])
    assert moments.count == 23
    # Squares of deviations of order 1 about a mean of 1e3, in float64: 23 (1e3)^2 2e-16 at the worst.
    torch.testing.assert_close(moments.mean, values.mean(0), rtol=1e-14, atol=0)
    torch.testing.assert_close(moments.std, values.std(0), rtol=1e-11, atol=0)


def test_one_draw_has_no_spread():
    moments = Moments(torch.zeros(2))
    moments.add(torch.ones(1, 2))
    assert bool(moments.std.isnan().all())
