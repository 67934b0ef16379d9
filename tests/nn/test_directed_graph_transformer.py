"""The directed graph transformer: directions, ragged batches and what it refuses."""

import pytest
import torch

import noisefold as nf
from noisefold.geometry.directed import reversed_class
from noisefold.geometry.pairs import pair_index
from noisefold.nn import DirectedGraphTransformer
from noisefold.testing import perturbed

LOG_SNR = torch.tensor([-3.0, 0.0, 5.0], dtype=torch.float64)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return perturbed(
        DirectedGraphTransformer(2, 3, width=16, pair_width=8, layers=2, heads=2, walks=3).double()
    )


def graph(n, generator):
    """A random graph with two types of edges, each pair in some directions."""
    places = torch.rand(n, n, generator=generator) < 0.3
    places.fill_diagonal_(False)
    edges = places.nonzero().T
    return nf.Graphs(
        torch.zeros(n, 0, dtype=torch.float64),
        edge_index=edges,
        edge_type=torch.randint(2, (edges.shape[1],), generator=generator),
        edge_types=("a", "b"),
        node_type=torch.randint(2, (n,), generator=generator),
    )


@pytest.fixture(scope="module")
def graphs():
    generator = torch.Generator().manual_seed(0)
    return nf.Graphs.collate([graph(n, generator) for n in (1, 4, 7)])


@torch.no_grad()
def test_another_numbering_exchanges_directions_alone(net, graphs):
    one = graphs[2]
    order = torch.randperm(7, generator=torch.Generator().manual_seed(1))
    place = order.argsort()
    moved = one.replace(node_type=one.node_type[order], edge_index=place[one.edge_index])
    out, own = net(one, LOG_SNR[2:]), net(moved, LOG_SNR[2:])
    assert own.nodes.allclose(out.nodes[order])
    i, j = pair_index(moved.ptr)
    table = torch.zeros(7, 7, 9, dtype=torch.float64)
    a, b = pair_index(one.ptr)
    table[a, b] = out.pairs
    table[b, a] = out.pairs[:, reversed_class(2)]
    assert (own.pairs - table[order[i], order[j]]).abs().max() < 1e-10
    assert (out.pairs - out.pairs[:, reversed_class(2)]).abs().max() > 1e-3  # it tells directions apart


@torch.no_grad()
def test_turning_an_edge_turns_its_class(net):
    there = nf.Graphs(
        torch.zeros(2, 0), edge_index=torch.tensor([[0], [1]]), edge_type=torch.tensor([1]),
        node_type=torch.tensor([0, 0]), edge_types=("a", "b"),
    )  # fmt: skip
    back = there.replace(edge_index=there.edge_index.flip(0))
    out, own = net(there, LOG_SNR[:1]).pairs, net(back, LOG_SNR[:1]).pairs
    assert own.allclose(out[:, reversed_class(2)])
    assert not own.allclose(out)


@torch.no_grad()
def test_a_graph_does_not_depend_on_its_batch(net, graphs):
    together = net(graphs, LOG_SNR)
    counts = torch.tensor([0, 0, 6, 27])
    for i in range(3):
        alone = net(graphs[i], LOG_SNR[i : i + 1])
        assert (alone.nodes - together.nodes[graphs.ptr[i] : graphs.ptr[i + 1]]).abs().max() < 1e-10
        assert alone.pairs.allclose(together.pairs[counts[i] : counts[i + 1]], atol=1e-10)


def test_every_parameter_learns_and_untrained_logits_are_zero(net, graphs):
    out = net(graphs, LOG_SNR)
    (out.nodes.square().sum() + out.pairs.square().sum()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    fresh = DirectedGraphTransformer(2, 3, width=8, pair_width=4, layers=1, heads=2)(graphs, LOG_SNR)
    assert not fresh.nodes.any()
    assert not fresh.pairs.any()


def test_other_types_are_refused(net, graphs):
    with pytest.raises(ValueError, match="edge_type"):
        net(graphs.replace(edge_type=graphs.edge_type + 2), LOG_SNR)
