"""EGNN: what every network holds, and equivariance under rotations and reflections."""

import pytest
import torch
from network_battery import ALL

from noisefold.geometry import Graphs
from noisefold.nn import EGNN
from noisefold.testing import assert_rotation_equivariant, example_batch, perturbed

SMALL = {"width": 16, "layers": 2, "neighbors": 5, "radial": 8, "vectors": 3}


@pytest.fixture(scope="module")
def net():
    return perturbed(EGNN(2, features=1, classes=3, **SMALL)).eval()


@pytest.fixture(scope="module")
def batch():
    return example_batch((1, 2, 4, 9, 30), dim=2, features=1, classes=3)


@pytest.mark.parametrize("check", ALL)
def test_battery(check, net, batch):
    check(net, *batch)


def test_graphs_of_one_size(net):
    batch = example_batch((12, 12, 12), dim=2, features=1, classes=3)
    for check in ALL[:2]:
        check(net, *batch)


@pytest.mark.parametrize("dim", [2, 3])
def test_rotations_and_reflections(dim):
    net = perturbed(EGNN(dim, **SMALL)).eval()
    assert_rotation_equivariant(net, *example_batch((1, 3, 20), dim=dim))


def test_messages_come_from_the_nearest_alone():
    """One layer without the mean of all nodes: what lies beyond the nearest neighbours is not seen."""
    net = perturbed(EGNN(2, **{**SMALL, "layers": 1, "neighbors": 2})).eval()
    torch.nn.init.zeros_(net.layers[0].to_all.weight)
    pos = torch.tensor([[0.0, 0], [1, 0], [0, 1], [9, 9]])
    log_snr = torch.zeros(1)
    out = net(Graphs(pos), log_snr)
    for node, seen in ((3, False), (1, True)):
        moved = pos.clone()
        moved[node] += 0.3
        changed = net(Graphs(moved), log_snr)[0]
        assert torch.equal(changed, out[0]) != seen


def test_starts_at_zero_and_answers_with_vectors_alone():
    assert not EGNN(2, **SMALL)(*example_batch((5,), dim=2)).any()
    with pytest.raises(ValueError, match="out_dim"):
        EGNN(2, out_dim=3)
