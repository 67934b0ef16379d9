from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from ragged import batches

from noisefold.geometry.space_filling import hilbert_codes, lexicographic


@pytest.mark.parametrize(("d", "bits"), [(1, 6), (2, 1), (2, 5), (3, 1), (3, 3), (4, 2), (5, 1)])
def test_the_curve_visits_adjacent_grid_points(d, bits):
    cells = torch.tensor(list(itertools.product(range(1 << bits), repeat=d)), dtype=torch.int32)
    codes = hilbert_codes(cells, bits)
    assert torch.equal(codes.sort().values, torch.arange(len(cells), dtype=torch.int32))
    steps = cells[codes.argsort()].diff(dim=0).abs().sum(1)
    assert (steps == 1).all()


@pytest.mark.parametrize("d", [2, 3])
def test_the_curve_fills_blocks_one_after_the_other(d):
    # What makes it a Hilbert curve and not some other walk: every aligned block of half the side is one run.
    bits = 4
    cells = torch.tensor(list(itertools.product(range(1 << bits), repeat=d)), dtype=torch.int32)
    ordered = cells[hilbert_codes(cells, bits).argsort()]
    for half in (1, 2, 3):
        blocks = (ordered >> half).view(-1, 1 << half * d, d)
        assert (blocks == blocks[:, :1]).all()


def test_largest_grids():
    for d in (1, 2, 3, 31):
        bits = 31 // d
        corners = torch.tensor([[0] * d, [(1 << bits) - 1] * d], dtype=torch.int32)
        assert (hilbert_codes(corners, bits) >= 0).all()


@settings(deadline=None, max_examples=40)
@given(batches)
def test_lexicographic_order_equals_that_of_tuples(case):
    pos, ptr = case
    rows = pos.tolist()
    bounds = ptr.tolist()
    truth = [
        i for a, b in itertools.pairwise(bounds) for i in sorted(range(a, b), key=lambda i: (rows[i], i))
    ]
    for dtype in (torch.float64, torch.float32):
        if pos.to(dtype).double().equal(pos) or len(set(pos[:, 0].float().tolist())) == len(pos):
            assert lexicographic(pos.to(dtype), ptr).tolist() == truth
