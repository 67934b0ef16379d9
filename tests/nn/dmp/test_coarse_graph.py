import pytest
import torch

from noisefold.geometry.coarsen import Balanced, Voxel
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.neighbor_rules import KNN, Full, Radius
from noisefold.nn.dmp.coarse_graph import CoarseGraph, with_length

SIZES = (1, 2, 3, 30, 64, 30, 100)
REACH = torch.tensor([1, 2, 2, 4, 16, 5, 9])
RESOLUTION = torch.tensor([1, 2, 2, 30, 16, 12, 40])


@pytest.fixture
def graphs():
    generator = torch.Generator().manual_seed(0)
    return Graphs.ragged([torch.randn(n, 3, generator=generator) for n in SIZES])


def centres(coarse, pos):
    """Mean position of the members, one supernode at a time."""
    return torch.stack([pos[coarse.assignment == i].mean(0) for i in range(coarse.num_supernodes)])


@pytest.mark.parametrize("coarsening", [Balanced(), Voxel()], ids=repr)
def test_supernodes_and_their_nearest(graphs, coarsening):
    coarse = CoarseGraph.build(graphs.pos, graphs.ptr, (REACH, RESOLUTION), coarsening)
    centre = centres(coarse, graphs.pos)
    assert coarse.pooling.counts.sum() == graphs.num_nodes
    assert torch.equal(coarse.graph[coarse.assignment], graphs.batch)
    assert (coarse.target.diff() >= 0).all()
    assert torch.equal(coarse.ptr.diff(), torch.bincount(coarse.target, minlength=coarse.num_supernodes))
    for g, n in enumerate(SIZES):
        own = (coarse.graph == g).nonzero()[:, 0]
        asked = int(RESOLUTION[g])
        if asked >= n:
            assert len(own) == n
        elif isinstance(coarsening, Balanced):
            assert len(own) == asked
        else:
            assert 1 <= len(own) <= asked
        reach = min(int(REACH[g]), len(own))
        away = torch.cdist(centre[own].double(), centre[own].double())
        for i, node in enumerate(own.tolist()):
            near = coarse.source[coarse.target == node]
            assert set(near.tolist()) == set(own[away[i].argsort()[:reach]].tolist())
            assert node in near


@pytest.mark.parametrize("name", ["knn", "long-short", "random", "full"])
def test_number_of_neighbours_by_name(graphs, name):
    coarse = CoarseGraph.build(graphs.pos, graphs.ptr, (REACH, RESOLUTION), Balanced(), name)
    supernodes = torch.minimum(RESOLUTION, graphs.sizes)[coarse.graph]
    expected = supernodes if name == "full" else torch.minimum(REACH[coarse.graph], supernodes)
    assert torch.equal(coarse.ptr.diff(), expected)
    assert torch.equal(coarse.graph[coarse.source], coarse.graph[coarse.target])
    own = torch.zeros(coarse.num_supernodes, dtype=torch.bool)
    own[coarse.target[coarse.source == coarse.target]] = True
    assert own.all()


def test_a_neighbor_rule_ignores_the_range(graphs):
    for reach in (REACH, REACH * 0 + 1):
        coarse = CoarseGraph.build(graphs.pos, graphs.ptr, (reach, RESOLUTION), Balanced(), KNN(3))
        # Three others and the node itself, which the rule left out.
        supernodes = torch.minimum(RESOLUTION, graphs.sizes)[coarse.graph]
        assert torch.equal(coarse.ptr.diff(), torch.minimum(supernodes, torch.tensor(4)))
    coarse = CoarseGraph.build(graphs.pos, graphs.ptr, (REACH, graphs.sizes), Balanced(), Radius(0.9))
    pos = centres(coarse, graphs.pos).double()
    near = (torch.cdist(pos, pos) <= 0.9) & (coarse.graph[:, None] == coarse.graph)
    found = torch.zeros_like(near)
    found[coarse.target, coarse.source] = True
    assert torch.equal(found, near)
    assert coarse.source.numel() == int(near.sum())


@pytest.mark.parametrize("neighbors", ["full", Full(), "knn"])
def test_complete_graphs_list_no_edges(graphs, neighbors):
    reach = REACH if neighbors != "knn" else graphs.sizes
    coarse = CoarseGraph.build(graphs.pos, graphs.ptr, (reach, RESOLUTION), Balanced(), neighbors)
    assert coarse.adjacency.edges.source.numel() == 0
    supernodes = torch.minimum(RESOLUTION, graphs.sizes)
    assert torch.equal(coarse.adjacency.complete.sizes, supernodes.sort().values)
    assert torch.equal(coarse.ptr.diff(), supernodes[coarse.graph])
    assert torch.equal(coarse.graph[coarse.source], coarse.graph[coarse.target])


def test_independence_of_the_batch(graphs):
    coarse = CoarseGraph.build(graphs.pos, graphs.ptr, (REACH, RESOLUTION), Voxel())
    for g in range(len(SIZES)):
        one = graphs[g]
        alone = CoarseGraph.build(one.pos, one.ptr, (REACH[g : g + 1], RESOLUTION[g : g + 1]), Voxel())
        own = (coarse.graph == g).nonzero()[:, 0]
        assert torch.equal(coarse.assignment[graphs.batch == g], alone.assignment + own[0])
        inside = coarse.graph[coarse.target] == g
        assert torch.equal(coarse.source[inside], alone.source + own[0])
        assert torch.equal(coarse.target[inside], alone.target + own[0])


def test_full_resolution_makes_every_node_a_supernode(graphs):
    coarse = CoarseGraph.build(graphs.pos, graphs.ptr, (REACH, graphs.sizes), Voxel())
    assert coarse.num_supernodes == graphs.num_nodes
    assert len(coarse.assignment.unique()) == graphs.num_nodes
    # With other graphs beside it that are coarsened, too.
    some = torch.where(torch.arange(len(SIZES)) % 2 == 0, graphs.sizes, RESOLUTION.clamp(max=10))
    coarse = CoarseGraph.build(graphs.pos, graphs.ptr, (REACH, some), Voxel())
    supernodes = torch.bincount(coarse.graph, minlength=len(SIZES))
    assert torch.equal(supernodes[::2], graphs.sizes[::2])
    assert (supernodes[1::2] <= 10).all()


def test_indices_have_no_gradient(graphs):
    pos = graphs.pos.clone().requires_grad_()
    coarse = CoarseGraph.build(pos, graphs.ptr, (REACH, RESOLUTION), Balanced())
    assert not coarse.pooling.counts.requires_grad


def test_length_has_a_gradient_of_zero_at_zero():
    offset = torch.zeros(2, 3, requires_grad=True)
    with_length(offset)[:, 3].sum().backward()
    assert torch.equal(offset.grad, torch.zeros(2, 3))
    out = with_length(torch.tensor([[3.0, 4.0]]))
    assert out.tolist() == [[3.0, 4.0, 5.0]]
