from __future__ import annotations

import pytest
import torch

from noisefold.geometry import KNN, Balanced
from noisefold.geometry.single_thread import available_threads, parallel_for, single_threaded


@pytest.fixture(autouse=True)
def _three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_single_threaded_restores_threads():
    @single_threaded
    def inner() -> tuple[int, int]:
        return torch.get_num_threads(), available_threads()

    @single_threaded
    def outer() -> tuple[int, ...]:
        return (*inner(), *inner(), torch.get_num_threads(), available_threads())

    assert outer() == (1, 3, 1, 3, 1, 3)
    assert (torch.get_num_threads(), available_threads()) == (3, 3)


@pytest.mark.parametrize("nodes", [4, 40 * 400])
def test_threads_are_restored_after_an_error(nodes):
    with pytest.raises(ValueError, match="pos must"):
        KNN(1)(torch.full((nodes, 2), torch.nan), torch.arange(0, nodes + 1, min(nodes, 400)))
    assert (torch.get_num_threads(), available_threads()) == (3, 3)


def test_results_do_not_depend_on_threads():
    pos, ptr = torch.randn(3000, 3), torch.tensor([0, 400, 3000])
    results = [(KNN(5)(pos, ptr), Balanced()(pos, ptr, 50).assignment)]
    torch.set_num_threads(1)
    results.append((KNN(5)(pos, ptr), Balanced()(pos, ptr, 50).assignment))
    for one, three in zip(*results, strict=True):
        assert torch.equal(one, three)


def test_parallel_blocks_equal_sequential_ones():
    # Ten blocks of four clouds of 400, with ties.
    pos, ptr = torch.randint(0, 9, (40 * 400, 3)).float(), torch.arange(41) * 400
    several = KNN(8)(pos, ptr)
    torch.set_num_threads(1)
    assert torch.equal(several, KNN(8)(pos, ptr))


@pytest.mark.parametrize("workers", [1, 3])
def test_parallel_for_calls_each_part_once_and_raises(workers):
    seen = []

    def work(part):
        seen.append((part, torch.get_num_threads()))
        if part == 4:
            raise ValueError("the fourth part")

    with pytest.raises(ValueError, match="the fourth part"):
        single_threaded(parallel_for)(work, range(1, 5), workers)
    assert sorted(seen) == [(part, 1) for part in range(1, 5)]
