"""Bi-dimensional attention: what every network holds, translations, and permutations of coordinates."""

import pytest
import torch
from network_battery import ALL

from noisefold.nn import BiDimensionalAttention
from noisefold.testing import assert_rotation_invariant, example_batch, perturbed

SMALL = {"width": 16, "layers": 2, "heads": 2}


@pytest.fixture
def net():
    torch.manual_seed(0)
    return perturbed(BiDimensionalAttention(2, 3, 2, classes=3, **SMALL)).eval()


@pytest.mark.parametrize("check", ALL, ids=lambda c: c.__name__)
def test_battery(check, net):
    # A node alone sits at the mean, so that nothing depends on its position.
    check(net, *example_batch((2, 3, 12), dim=2, features=3, classes=3))


def test_graphs_of_one_size(net):
    for check in ALL[:2]:
        check(net, *example_batch((12, 12, 12), dim=2, features=3, classes=3))


def test_translations_and_not_rotations(net):
    batch = example_batch((3, 20), dim=2, features=3, classes=3)
    assert_rotation_invariant(net, *batch, groups=("translations",), tolerance=1e-5)
    with pytest.raises(AssertionError, match="motion"):
        assert_rotation_invariant(net, *batch, groups=("rotations",))


def test_coordinates_are_alike(net):
    graphs, log_snr, label = example_batch((3, 20), dim=2, features=3, classes=3)
    swapped = net(graphs.replace(pos=graphs.pos.flip(1)), log_snr, label)
    torch.testing.assert_close(swapped, net(graphs, log_snr, label), rtol=1e-5, atol=1e-5)


def test_starts_at_zero():
    graphs, log_snr, _ = example_batch((5,), dim=2, features=3)
    assert not BiDimensionalAttention(2, 3, 2, **SMALL)(graphs, log_snr).any()
