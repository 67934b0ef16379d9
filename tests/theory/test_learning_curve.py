"""Forecasts of learning curves: exact on curves without noise, calibrated on those of their prior."""

import pytest
import torch

from noisefold.theory import LearningCurve


def curve(steps: float, floor: float, amplitude: float, gamma: float) -> float:
    return floor + amplitude * steps**-gamma


def test_long_curves_without_noise_are_continued_exactly() -> None:
    steps = [10.0 * 2**k for k in range(9)]
    losses = [curve(s, 0.4, 3.0, 0.7) for s in steps]
    found = LearningCurve(steps, losses, noise=1e-4)
    # The grid of exponents has steps of 1.3 %, and of shares of 6 %: what remains at ten times the length.
    assert found.at(25600).median == pytest.approx(curve(25600, 0.4, 3.0, 0.7), rel=2e-3)
    assert found.exponent().median == pytest.approx(0.7, rel=0.05)


def test_intervals_hold_what_they_promise() -> None:
    generator = torch.Generator().manual_seed(0)
    inside, trials = 0, 200
    for _ in range(trials):
        share = 10 ** float(torch.rand((), generator=generator) * 4 - 4)
        gamma = 0.6 * float(torch.exp(0.5 * torch.randn((), generator=generator)))
        floor, amplitude = 1 - share, share * 80**gamma
        noisy = 1 + 0.01 * torch.randn(4, generator=generator, dtype=torch.float64)
        lengths = (20, 40, 80, 1600)
        losses = [curve(s, floor, amplitude, gamma) * float(e) for s, e in zip(lengths, noisy, strict=True)]
        found = LearningCurve(lengths[:3], losses[:3]).at(1600)
        inside += found.low <= losses[3] <= found.high
    # Binomial of 200 trials at .9 has a standard deviation of .021.
    assert 0.84 <= inside / trials <= 0.97


def test_more_is_never_worse_and_further_is_less_certain() -> None:
    found = LearningCurve((25, 50, 100), (1.5, 1.3, 1.2))
    near, far = found.at(200), found.at(20000)
    assert far.median < near.median < 1.2
    assert far.high - far.low > near.high - near.low


@pytest.mark.parametrize(
    "arguments",
    [((10, 10), (1.0, 1.0)), ((10,), (1.0,)), ((10, 20), (1.0, -1.0)), ((10, 20), (1.0, float("nan")))],
)
def test_poor_measurements_are_refused(arguments: tuple[tuple[float, ...], tuple[float, ...]]) -> None:
    with pytest.raises(ValueError, match=r"steps|losses"):
        LearningCurve(*arguments)


def test_curves_that_begin_slowly_are_foretold_with_an_onset() -> None:
    lengths = (20, 40, 80, 1200)
    losses = [curve(s + 150, 1.0, 8.0, 0.6) for s in lengths]
    plain = LearningCurve(lengths[:3], losses[:3]).at(1200)
    found = LearningCurve(lengths[:3], losses[:3], onset=300.0).at(1200)
    assert found.low < losses[3] < found.high
    assert not plain.low < losses[3] < plain.high


@pytest.mark.parametrize("onset", [-1.0, 0.5, float("inf"), float("nan")])
def test_impossible_onsets_are_refused(onset: float) -> None:
    with pytest.raises(ValueError, match="onset"):
        LearningCurve((10, 20), (1.0, 0.9), onset=onset)
