from __future__ import annotations

import pytest
import torch

from noisefold.geometry import KNN, Balanced
from noisefold.geometry.serial import serial, threads


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


def test_threads_come_back_after_an_error():
    with pytest.raises(ValueError, match="pos must be finite"):
        KNN(1)(torch.full((4, 2), torch.nan), torch.tensor([0, 4]))
    assert (torch.get_num_threads(), threads()) == (3, 3)


def test_results_do_not_depend_on_threads():
    pos, ptr = torch.randn(3000, 3), torch.tensor([0, 400, 3000])
    results = [(KNN(5)(pos, ptr), Balanced()(pos, ptr, 50).cell)]
    torch.set_num_threads(1)
    results.append((KNN(5)(pos, ptr), Balanced()(pos, ptr, 50).cell))
    for one, three in zip(*results, strict=True):
        assert torch.equal(one, three)
