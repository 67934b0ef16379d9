"""The geometric graph transformer: symmetries, ragged batches and what it refuses."""

import pytest
import torch

import noisefold as nf
from noisefold.nn import GeometricTransformer
from noisefold.noise import Joint
from noisefold.testing import perturbed

SIZES = (1, 2, 5, 9)
LOG_SNR = torch.tensor([-3.0, 0.0, 2.0, 6.0], dtype=torch.float64)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return perturbed(
        GeometricTransformer(3, 3, width=16, pair_width=8, layers=2, heads=2, triangle=2).double()
    )


@pytest.fixture(scope="module")
def graphs():
    generator = torch.Generator().manual_seed(0)
    made = []
    for n in SIZES:
        ends = torch.tensor([(i, i + 1) for i in range(n - 1)], dtype=torch.int64).reshape(-1, 2)
        both = torch.cat([ends, ends.flip(1)]).T.contiguous()
        made.append(
            nf.Graphs(
                torch.randn(n, 3, generator=generator, dtype=torch.float64),
                node_type=torch.randint(3, (n,), generator=generator),
                edge_index=both,
                edge_type=torch.arange(len(ends)).repeat(2) % 2,
            )
        )
    return nf.Graphs.collate(made)


def flat(answer: Joint):
    return answer.parts[0], answer.parts[1].nodes, answer.parts[1].pairs


@torch.no_grad()
def test_rotations_reflections_and_moves(net, graphs):
    pos, nodes, pairs = flat(net(graphs, LOG_SNR))
    assert pos.abs().max() > 0.1
    turn, _ = torch.linalg.qr(
        torch.randn(3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    )
    for r in (turn, -turn):
        turned, own_nodes, own_pairs = flat(net(graphs.replace(pos=graphs.pos @ r + 7), LOG_SNR))
        assert (turned - pos @ r).abs().max() < 1e-10
        assert (own_nodes - nodes).abs().max() < 1e-10
        assert (own_pairs - pairs).abs().max() < 1e-10


@torch.no_grad()
def test_nodes_in_another_order(net, graphs):
    one = graphs[3]
    order = torch.randperm(9, generator=torch.Generator().manual_seed(2))
    place = order.argsort()
    moved = one.replace(pos=one.pos[order], node_type=one.node_type[order], edge_index=place[one.edge_index])
    pos, nodes, _ = flat(net(one, LOG_SNR[3:]))
    own, own_nodes, _ = flat(net(moved, LOG_SNR[3:]))
    assert own.allclose(pos[order])
    assert own_nodes.allclose(nodes[order])


@torch.no_grad()
def test_a_graph_does_not_depend_on_its_batch(net, graphs):
    pos, nodes, _ = flat(net(graphs, LOG_SNR))
    for i in range(4):
        own, own_nodes, _ = flat(net(graphs[i], LOG_SNR[i : i + 1]))
        rows = slice(int(graphs.ptr[i]), int(graphs.ptr[i + 1]))
        assert (own - pos[rows]).abs().max() < 1e-10
        assert (own_nodes - nodes[rows]).abs().max() < 1e-10


def test_moves_have_no_mean_and_every_parameter_learns(net, graphs):
    answer = net(graphs, LOG_SNR)
    means = torch.zeros(4, 3, dtype=torch.float64).index_add(0, graphs.batch, answer.parts[0].detach())
    assert means.abs().max() < 1e-12
    sum((v**2).sum() for v in flat(answer)).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_untrained_answers_are_zero(graphs):
    answer = GeometricTransformer(3, 3, width=16, pair_width=8, layers=1, heads=2)(graphs, LOG_SNR)
    assert all(not v.any() for v in flat(answer))


def test_other_dimensions_are_refused(net, graphs):
    with pytest.raises(ValueError, match="pos"):
        net(graphs.replace(pos=graphs.pos[:, :2]), LOG_SNR)
