from __future__ import annotations

import pytest
import torch

from noisefold.geometry import KNN, Balanced
from noisefold.geometry.serial import serial, side_by_side, threads


@pytest.fixture(autouse=True)
def _three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_one_thread_inside_and_as_before_outside():
    @serial
    def inner() -> tuple[int, int]:
        return torch.get_num_threads(), threads()

    @serial
    def outer() -> tuple[int, ...]:
        return (*inner(), *inner(), torch.get_num_threads(), threads())

    assert outer() == (1, 3, 1, 3, 1, 3)
    assert (torch.get_num_threads(), threads()) == (3, 3)


@pytest.mark.parametrize("nodes", [4, 40 * 400])
def test_threads_come_back_after_an_error(nodes):
    with pytest.raises(ValueError, match="pos must be finite"):
        KNN(1)(torch.full((nodes, 2), torch.nan), torch.arange(0, nodes + 1, min(nodes, 400)))
    assert (torch.get_num_threads(), threads()) == (3, 3)


def test_results_do_not_depend_on_threads():
    pos, ptr = torch.randn(3000, 3), torch.tensor([0, 400, 3000])
    results = [(KNN(5)(pos, ptr), Balanced()(pos, ptr, 50).cell)]
    torch.set_num_threads(1)
    results.append((KNN(5)(pos, ptr), Balanced()(pos, ptr, 50).cell))
    for one, three in zip(*results, strict=True):
        assert torch.equal(one, three)


def test_blocks_side_by_side_give_what_they_give_one_after_the_other():
    # Ten blocks of four clouds of 400, with ties.
    pos, ptr = torch.randint(0, 9, (40 * 400, 3)).float(), torch.arange(41) * 400
    several = KNN(8)(pos, ptr)
    torch.set_num_threads(1)
    assert torch.equal(several, KNN(8)(pos, ptr))


@pytest.mark.parametrize("workers", [1, 3])
def test_every_part_is_worked_on_by_one_thread(workers):
    seen = []

    def work(part):
        seen.append((part, torch.get_num_threads()))
        if part == 4:
            raise ValueError("the fourth part")

    with pytest.raises(ValueError, match="the fourth part"):
        serial(side_by_side)(work, range(1, 5), workers)
    assert sorted(seen) == [(part, 1) for part in range(1, 5)]
