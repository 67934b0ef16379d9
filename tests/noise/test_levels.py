import pytest
import torch

from noisefold.configuration import decode, encode
from noisefold.noise import VP, Cosine, Gaussian, LevelDistribution, Linear, LogSNRUniform

LAW = LevelDistribution((0.1, 0.2, 0.6, 0.9), (1, 2, 1))
EVEN = torch.linspace(0, 1, 4001, dtype=torch.float64)


@pytest.mark.parametrize("schedule", [Linear(), VP(), Cosine()], ids=repr)
def test_levels_have_the_law_on_every_path(schedule):
    """Even quantiles: the share of levels below each edge is that of the weights, to one in 4,000."""
    path = Gaussian(schedule)
    level = path.signal(LAW(path, EVEN))
    for edge, share in ((0.1, 0), (0.2, 0.25), (0.6, 0.75)):
        assert float((level < edge - 1e-12).double().mean()) == pytest.approx(share, abs=5e-4)
    # Within a part the density is constant: its middle halves the share.
    assert float((level < 0.4).double().mean()) == pytest.approx(0.5, abs=5e-4)


def test_one_part_on_the_linear_path_is_the_uniform_law():
    path = Gaussian()
    truth = path.margin + (1 - 2 * path.margin) * (1 - EVEN)
    torch.testing.assert_close(LevelDistribution((0.0, 1.0), (3.0,))(path, EVEN), truth, rtol=0, atol=1e-12)


def test_times_fall_as_the_signal_rises():
    assert bool((LAW(Gaussian(), EVEN).diff() <= 0).all())


def test_round_trip():
    assert decode(encode(LAW)) == LAW


@pytest.mark.parametrize(
    ("edges", "weights", "says"),
    [
        ((0.5,), (), "edges must be two or more"),
        ((0.5, 0.5), (1,), "edges must be two or more"),
        ((-0.1, 1.0), (1,), "edges must be two or more"),
        ((0.0, 1.0), (0,), "weights must be 1 numbers above 0"),
        ((0.0, 1.0), (1, 2), "weights must be 1 numbers above 0"),
    ],
)
def test_refuses_what_is_no_law(edges, weights, says):
    with pytest.raises(ValueError, match=says):
        LevelDistribution(edges, weights)


@pytest.mark.parametrize("schedule", [Linear(), VP(), Cosine()], ids=repr)
def test_uniform_log_snr(schedule):
    """Even quantiles are even in log-SNR, on every path, up to the rounding of its inverse."""
    path = Gaussian(schedule)
    found = path.log_snr(LogSNRUniform(-4.0, 6.0)(path, EVEN))
    torch.testing.assert_close(found, -4 + 10 * EVEN, rtol=0, atol=1e-8)


def test_uniform_log_snr_within_the_margin():
    path = Gaussian(margin=0.01)
    found = path.log_snr(LogSNRUniform(-100.0, 100.0)(path, EVEN))
    edge = float(path.log_snr(torch.tensor(0.01, dtype=torch.float64)))
    torch.testing.assert_close(found, edge * (2 * EVEN - 1), rtol=0, atol=1e-8)


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (float("nan"), 1.0)])
def test_uniform_log_snr_refuses_ends_that_do_not_rise(low, high):
    with pytest.raises(ValueError, match="low"):
        LogSNRUniform(low, high)


def test_uniform_log_snr_refuses_a_range_beyond_the_margin():
    with pytest.raises(ValueError, match="20"):
        LogSNRUniform(20.0, 30.0)(Gaussian(), EVEN)
