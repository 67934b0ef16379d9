"""Equivariant networks of vector fields: what every network holds, E(d), and what the graph does."""

import copy

import pytest
import torch
from network_battery import ALL
from torch.nn.functional import normalize

from noisefold.data.functions import disc
from noisefold.geometry import Graphs, tensor_rotation
from noisefold.nn import EquivariantFieldNet
from noisefold.nn.adaptive import Fixed, Stepwise
from noisefold.nn.neighborhoods import Neighborhoods
from noisefold.testing import assert_rotation_equivariant, assert_rotation_invariant, example_batch, perturbed

SMALL = {"width": 16, "layers": 2, "vectors": 3, "sent": 4, "radial": 4}
POOLED = Stepwise((0.5,), ranges=(8, 4), shares=(0.4, 1.0))
EVERY = ("rotations", "reflections", "translations")


def made(dim=2, features=None, **options):
    torch.manual_seed(0)
    features = 2 * dim if features is None else features
    return perturbed(EquivariantFieldNet(dim, features, **{**SMALL, **options})).eval()


@pytest.mark.parametrize("check", ALL, ids=lambda c: c.__name__)
@pytest.mark.parametrize("adaptive", [Fixed(range=5), POOLED], ids=["fixed", "pooled"])
def test_battery(check, adaptive):
    batch = example_batch((1, 2, 4, 9, 30), dim=2, features=3, classes=3)
    check(made(features=3, classes=3, adaptive=adaptive), *batch)


def test_graphs_of_one_size():
    for check in ALL[:2]:
        check(made(), *example_batch((12, 12, 12), dim=2, features=4))


@pytest.mark.parametrize(
    ("dim", "options"), [(1, {}), (2, {"adaptive": POOLED}), (3, {}), (4, {})], ids=["1", "2", "3", "4"]
)
def test_motions_of_space(dim, options):
    graphs, log_snr, _ = example_batch((1, 3, 30), dim=dim, features=2 * dim)
    batch = graphs.to(dtype=torch.float64), log_snr.double()
    net = made(dim, **options).double()
    assert net(*batch).norm() > 1e-2
    assert_rotation_equivariant(net, *batch, groups=EVERY, count=24, vector_features=1, tolerance=1e-10)


def test_grid_whose_neighbors_are_equally_far():
    """A turned grid has its ties broken otherwise by rounding, which must not matter."""
    pos = disc(9).double()
    x = torch.randn(len(pos), 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    net = made(adaptive=Fixed(range=6)).double()
    batch = Graphs(pos, x), torch.zeros(1, dtype=torch.float64)
    assert_rotation_equivariant(net, *batch, groups=EVERY, count=16, vector_features=1, tolerance=1e-10)


def test_scalars_are_invariant():
    net = made(3, 2, out_dim=2, outputs="scalars").double()
    graphs, log_snr, _ = example_batch((2, 20), dim=3, features=2)
    batch = graphs.to(dtype=torch.float64), log_snr.double()
    assert net(*batch).norm() > 1e-2
    assert_rotation_invariant(net, *batch, groups=EVERY, count=16, tolerance=1e-10)


def test_sphere():
    net = made(3, sphere=True).double()
    graphs, log_snr, _ = example_batch((2, 20), dim=3, features=6)
    graphs = graphs.to(dtype=torch.float64).replace(pos=normalize(graphs.pos.double()))
    out = net(graphs, log_snr.double())
    assert out.norm() > 1e-2
    assert (out * graphs.pos).sum(1).abs().max() < 1e-12
    assert_rotation_equivariant(net, graphs, log_snr.double(), count=16, vector_features=1, tolerance=1e-10)


def test_range_follows_the_noise():
    """At high noise, alone, a node sees beyond its nearest neighbours."""
    net = made(adaptive=Stepwise((0.5,), ranges=(5, 1)), layers=1)
    graphs = Graphs(torch.tensor([[0.0, 0], [1, 0], [2.1, 0], [3.3, 0]]), torch.randn(4, 4))
    moved = graphs.replace(x=graphs.x + torch.tensor([0.0, 0, 0, 1])[:, None])
    for log_snr, seen in ((-3.0, True), (3.0, False)):
        level = torch.full((1,), log_snr)
        assert torch.equal(net(graphs, level)[0], net(moved, level)[0]) != seen


def test_supernodes_send_the_mean_of_their_members():
    graphs = Graphs(torch.randn(30, 2, generator=torch.Generator().manual_seed(0)))
    senders = Neighborhoods.of(graphs, 5, torch.tensor([6]))
    values = torch.randn(30, 3)
    sent = senders.send(values)
    for node, place in ((0, 0), (17, 3)):
        members = senders.pooling.assignment == senders.table[node, place]
        torch.testing.assert_close(sent[node, place], values[members].mean(0))
    assert len(senders.table.unique()) <= 6


def test_weights_vanish_where_the_neighborhood_ends():
    """A neighbour that leaves the nearest k takes no weight with it."""
    pos = torch.tensor([[0.0], [1.0], [2.0], [-2.0 + 1e-6]], dtype=torch.float64)
    senders = Neighborhoods.of(Graphs(pos), 2)
    assert set(senders.table[0].tolist()) == {1, 3}
    assert float(senders.weight[0][senders.table[0] == 3]) < 1e-10
    torch.testing.assert_close(senders.weight.sum(1), torch.ones(4, dtype=torch.float64))


def test_coincident_and_lonely_nodes():
    net = copy.deepcopy(made())
    graphs = Graphs(torch.zeros(5, 2), torch.randn(5, 4), torch.tensor([0, 4, 5]))
    graphs = graphs.replace(pos=graphs.pos.requires_grad_())
    out = net(graphs, torch.zeros(2))
    out.sum().backward()
    assert out.isfinite().all()
    assert graphs.pos.grad.isfinite().all()


def test_starts_at_zero():
    graphs, log_snr, _ = example_batch((5,), dim=2, features=4)
    assert not EquivariantFieldNet(2, 4, **SMALL)(graphs, log_snr).any()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"outputs": "tensor"}, "outputs"),
        ({"features": 1}, "features"),
        ({"features": 4, "out_dim": 3}, "out_dim"),
        ({"features": 4, "sphere": True}, "sphere"),
    ],
)
def test_refused(options, named):
    with pytest.raises(ValueError, match=named):
        EquivariantFieldNet(2, **options)


@pytest.mark.parametrize("dim", [1, 2, 3, 4])
def test_tensors_turn_with_space(dim):
    columns = dim * (dim + 1) // 2
    net = made(dim, columns + 1, outputs="tensor").double()
    graphs, log_snr, _ = example_batch((1, 3, 20), dim=dim, features=columns + 1)
    graphs, log_snr = graphs.to(dtype=torch.float64), log_snr.double()
    out = net(graphs, log_snr).detach()
    assert out.norm() > 1e-2
    for seed in range(4):
        turn = torch.linalg.qr(torch.randn(dim, dim, dtype=torch.float64))[0]
        turn[:, 0] *= torch.linalg.det(turn) * (-1) ** seed
        of_numbers = tensor_rotation(turn)
        x = torch.cat([graphs.x[:, :columns] @ of_numbers.T, graphs.x[:, columns:]], 1)
        there = net(graphs.replace(pos=graphs.pos @ turn.T + 3, x=x), log_snr)
        assert (there - out @ of_numbers.T).abs().max() < 1e-10 * float(out.abs().max())


def test_what_neighbors_shear_is_received():
    """The answer depends on u (U u)^T apart from what scalars and u u^T : U say of a neighbour."""
    net = made(2, 3, outputs="tensor", layers=1).double()
    pos = torch.tensor([[0.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    x = torch.zeros(2, 3, dtype=torch.float64)
    sheared = x.clone()
    sheared[1, 2] = 1.0  # its entry along the neighbour's direction and across it
    level = torch.zeros(1, dtype=torch.float64)
    change = net(Graphs(pos, sheared), level)[0] - net(Graphs(pos, -sheared), level)[0]
    assert change[2].abs() > 1e-6
    assert change[:2].abs().max() < 1e-12
