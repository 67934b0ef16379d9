"""Quasi-random noise: normal one by one, evenly spread together."""

import pytest
import torch
from scipy.stats import qmc

from noisefold.geometry import Graphs
from noisefold.noise import QuasiRandom, Streams, quasi_normal


def test_every_cell_of_equal_mass_holds_one_point():
    """The first 2^m points of a Sobol sequence: one in each of 2^m strips of every axis, scrambled or not."""
    for columns in (1, 2, 3):
        u = torch.special.ndtr(quasi_normal(256, columns, seed=4))
        strips = (u * 256).long().sort(0).values
        assert torch.equal(strips, torch.arange(256)[:, None].expand(256, columns))


def test_more_even_than_chance():
    """Centred discrepancy of 256 points in 3 dimensions: a tenth of chance's, whichever the scrambling."""
    generator = torch.Generator().manual_seed(0)
    random = [qmc.discrepancy(torch.rand(256, 3, generator=generator).numpy()) for _ in range(5)]
    even = [qmc.discrepancy(torch.special.ndtr(quasi_normal(256, 3, seed)).numpy()) for seed in range(5)]
    assert max(even) < 0.1 * min(random)


def test_means_converge_faster_than_chance():
    """E |eps|^2 = d with an error of chance's 4 standard deviations over 100 at 4,096 points."""
    for seed in range(5):
        error = abs(float(quasi_normal(4096, 2, seed).square().sum(1).mean()) - 2)
        assert error < 4 * 2 / 4096**0.5 / 10
        assert error > 0


def test_a_point_is_normal_over_the_seeds():
    """Points 0 and 5 over 2,000 scramblings: moments within 5 standard errors."""
    points = torch.stack([quasi_normal(6, 2, seed) for seed in range(2000)])[:, [0, 5]]
    assert float(points.mean(0).abs().max()) < 5 * 2000**-0.5
    assert float((points.var(0) - 1).abs().max()) < 5 * (2 / 2000) ** 0.5


def test_a_graph_does_not_know_its_batch():
    graphs = Graphs.ragged([torch.zeros(n, 3) for n in (8, 0, 32)])
    together = Streams(7, [3, 4, 5])
    alone = Streams(7, [5])
    for _ in range(2):
        drawn = QuasiRandom().draw(graphs, 4, together)
        assert drawn.shape == (40, 4)
        assert drawn.dtype == torch.float32
        assert torch.equal(drawn[8:], QuasiRandom().draw(graphs[2], 4, alone))
    again = QuasiRandom().draw(graphs, 4, together)
    assert not torch.equal(drawn, again)
    assert bool(again.isfinite().all())


def test_refuses_more_dimensions_than_there_are():
    with pytest.raises(ValueError, match=r"columns must lie in \[1, 21201\], got 0"):
        quasi_normal(4, 0, 0)
