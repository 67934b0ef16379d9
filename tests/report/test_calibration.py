"""The calibration of posterior draws against direct counts, and its figure against its numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from noisefold.geometry.graphs import Graphs
from noisefold.report import Calibration, calibration_plot


def predicted(
    graphs: int = 25, nodes: int = 12, m: int = 39, width: float = 1.0, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, Graphs]:
    """Draws of the truth's own law, spread by a factor; a third of the entries is known."""
    generator = torch.Generator().manual_seed(seed)
    n = graphs * nodes
    truth = torch.randn(n, 2, generator=generator, dtype=torch.float64)
    draws = width * torch.randn(m, n, 2, generator=generator, dtype=torch.float64)
    known = torch.rand(n, 2, generator=generator) < 1 / 3
    pos = torch.rand(graphs, nodes, 2, generator=generator)
    return draws, truth, known, Graphs.dense(pos)


def test_coverage_is_a_direct_count_between_order_statistics() -> None:
    # Of 39 draws, those number 2k and 40 - 2k hold 1 - k / 10 of the truth, and no rank is cut in two.
    draws, truth, known, graphs = predicted(width=0.8)
    found = Calibration.of(draws, truth, known, graphs)
    ordered = draws.sort(0).values
    for level, share in zip(found.nominal[:-1], found.observed[:-1], strict=True):
        k = round((1 - level) * 20)
        inside = (ordered[k - 1] <= truth) & (truth <= ordered[39 - k])
        assert share == pytest.approx(float(inside[~known].double().mean()), abs=1e-12)
    assert found.observed[-1] == 1
    assert found.values == int((~known).sum())


def test_bands_are_those_of_a_looped_jackknife_over_graphs() -> None:
    draws, truth, known, graphs = predicted()
    found = Calibration.of(draws, truth, known, graphs)
    parts = []
    for left_out in range(25):
        kept = graphs.batch != left_out
        ordered = draws[:, kept].sort(0).values
        inside = (ordered[1] <= truth[kept]) & (truth[kept] <= ordered[37])
        parts.append(float(inside[~known[kept]].double().mean()))
    reach = math.sqrt(24 / 25 * ((np.array(parts) - np.mean(parts)) ** 2).sum()) * stats.t.ppf(0.975, 24)
    low, high = found.band
    value = found.observed[8]
    assert found.nominal[8] == pytest.approx(0.9)
    assert (low[8], high[8]) == pytest.approx((value - reach, min(value + reach, 1)), abs=1e-12)


def test_draws_of_the_true_law_are_calibrated_and_others_are_not() -> None:
    right, narrow, wide = (Calibration.of(*predicted(100, width=w)) for w in (1, 0.5, 2))
    # 1,600 independent values: a share of one half has a standard error of .0125.
    np.testing.assert_allclose(right.observed, right.nominal, atol=0.05)
    assert (narrow.observed[:-1] < narrow.nominal[:-1] - 0.04).all()
    assert (wide.observed[:-1] > wide.nominal[:-1] + 0.04).all()
    ends = [c.histogram()[0][[0, -1]].sum() for c in (right, narrow, wide)]
    assert ends[1] > 0.3 > ends[0] > 0.12 > ends[2]


def test_histogram_is_a_count_of_ranks() -> None:
    draws, truth, known, graphs = predicted()
    shares, reach = Calibration.of(draws, truth, known, graphs).histogram(10)
    ranks = (draws < truth).sum(0)[~known]
    expected = np.histogram(ranks, bins=np.arange(11) * 4)[0] / len(ranks)
    np.testing.assert_allclose(shares, expected, atol=1e-12)
    assert (reach > 0).all()


def test_values_without_a_truth_do_not_count_and_ties_are_broken_evenly() -> None:
    draws, truth, known, graphs = predicted()
    blank = truth.clone()
    blank[:, 1] = math.nan
    found = Calibration.of(draws, blank, known, graphs)
    assert found.values == int((~known[:, 0]).sum())
    zeros = Calibration.of(torch.zeros_like(draws), torch.zeros_like(truth), torch.zeros_like(known), graphs)
    # 600 values in 10 parts: three standard errors of a share of .1 are .037.
    np.testing.assert_allclose(zeros.histogram()[0], 0.1, atol=0.037)


def test_one_tissue_is_cut_into_regions() -> None:
    draws, truth, known, _ = predicted()
    pos = torch.rand(300, 2, generator=torch.Generator().manual_seed(3))
    found = Calibration.of(draws, truth, known, Graphs(pos))
    assert found.counts.shape == (20, 20)
    assert np.isfinite(found.band).all()
    lonely = Calibration.of(draws[:, :1], truth[:1], torch.tensor([[False, True]]), Graphs(pos[:1]))
    assert np.isnan(lonely.band).all()


def test_figure_shows_the_numbers() -> None:
    found = Calibration.of(*predicted())
    left, right = calibration_plot(found).axes
    exact, observed = left.lines
    np.testing.assert_allclose(observed.get_ydata(), found.observed)
    np.testing.assert_allclose(observed.get_xdata(), found.nominal)
    np.testing.assert_array_equal(exact.get_xdata(), exact.get_ydata())
    np.testing.assert_allclose([bar.get_height() for bar in right.patches], found.histogram()[0])
    for axes in (left, right):
        assert axes.get_xlabel()
        assert axes.get_ylabel()
        assert axes.get_legend() is not None


def test_a_figure_of_one_block_has_no_band() -> None:
    truth = torch.zeros(1, 1)
    lonely = Calibration.of(torch.randn(9, 1, 1), truth, truth.bool(), Graphs(torch.zeros(1, 2)))
    assert len(calibration_plot(lonely).axes) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d, y, k, g: (d[:, 1:], y, k, g), "must be"),
        (lambda d, y, k, g: (d, y, k[:, :1], g), "must be"),
        (lambda d, y, k, g: (d, y, ~k | k, g), "leave out at least one value"),
    ],
)
def test_errors_say_what_to_do(change: object, message: str) -> None:
    assert callable(change)
    with pytest.raises(ValueError, match=message):
        Calibration.of(*change(*predicted()))


def test_bins_must_divide() -> None:
    with pytest.raises(ValueError, match="bins must divide 20, got 7"):
        Calibration.of(*predicted()).histogram(7)
