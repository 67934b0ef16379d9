"""Means over seeds: their standard errors and intervals."""

import math

import pytest

from noisefold.studies.kit.statistics import interval, mean_and_error


def test_mean_and_error():
    assert mean_and_error([1.0, 2.0, 6.0]) == (3.0, math.sqrt(7.0 / 3.0))
    assert math.isnan(mean_and_error([1.0])[1])


def test_intervals():
    """Student's t: mean 3, deviation sqrt(2.5), 2.776 standard errors at four degrees of freedom."""
    told = interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (told.mean, told.spread) == (3, pytest.approx(2.5**0.5))
    assert told.high - told.mean == pytest.approx(2.776 * (2.5 / 5) ** 0.5, rel=1e-3)
    ratio = interval([0.5, 2.0, 1.0], ratio=True)
    assert ratio.mean == pytest.approx(1)
    assert ratio.low * ratio.high == pytest.approx(1)
    assert interval([4.0, math.nan]).plain() == {"mean": 4.0, "low": None, "high": None, "spread": None}
    wild = interval([1e-300, 1e200, 1e250], ratio=True)  # walks that ran away; exp(709) is the last double
    assert wild.high == math.inf
    assert wild.plain()["high"] is None
    assert wild.plain()["low"] == 0
