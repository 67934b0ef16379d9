import pytest
import torch

from noisefold.geometry.coarsen import Balanced, Voxel
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.neighbors import KNN, Full, Radius
from noisefold.nn.dmp.structure import Structure, with_length

SIZES = (1, 2, 3, 30, 64, 30, 100)
REACH = torch.tensor([1, 2, 2, 4, 16, 5, 9])
RESOLUTION = torch.tensor([1, 2, 2, 30, 16, 12, 40])


@pytest.fixture
def graphs():
    generator = torch.Generator().manual_seed(0)
    return Graphs.ragged([torch.randn(n, 3, generator=generator) for n in SIZES])


def centres(structure, pos):
    """Mean position of the members, one cell at a time."""
    return torch.stack([pos[structure.cell == i].mean(0) for i in range(structure.num_cells)])


@pytest.mark.parametrize("coarsening", [Balanced(), Voxel()], ids=repr)
def test_plan_is_cells_and_nearest_cells(graphs, coarsening):
    plan = Structure.plan(graphs.pos, graphs.ptr, (REACH, RESOLUTION), coarsening)
    centre = centres(plan, graphs.pos)
    assert plan.members.counts.sum() == graphs.num_nodes
    assert torch.equal(plan.graph[plan.cell], graphs.batch)
    assert (plan.target.diff() >= 0).all()
    assert torch.equal(plan.ptr.diff(), torch.bincount(plan.target, minlength=plan.num_cells))
    for g, n in enumerate(SIZES):
        own = (plan.graph == g).nonzero()[:, 0]
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
            near = plan.source[plan.target == node]
            assert set(near.tolist()) == set(own[away[i].argsort()[:reach]].tolist())
            assert node in near


@pytest.mark.parametrize("name", ["knn", "long-short", "random", "full"])
def test_number_of_neighbours_by_name(graphs, name):
    plan = Structure.plan(graphs.pos, graphs.ptr, (REACH, RESOLUTION), Balanced(), name)
    cells = torch.minimum(RESOLUTION, graphs.sizes)[plan.graph]
    expected = cells if name == "full" else torch.minimum(REACH[plan.graph], cells)
    assert torch.equal(plan.ptr.diff(), expected)
    assert torch.equal(plan.graph[plan.source], plan.graph[plan.target])
    own = torch.zeros(plan.num_cells, dtype=torch.bool)
    own[plan.target[plan.source == plan.target]] = True
    assert own.all()


def test_a_rule_of_its_own_takes_no_notice_of_the_range(graphs):
    for reach in (REACH, REACH * 0 + 1):
        plan = Structure.plan(graphs.pos, graphs.ptr, (reach, RESOLUTION), Balanced(), KNN(3))
        # Three others and the node itself, which the rule left out.
        cells = torch.minimum(RESOLUTION, graphs.sizes)[plan.graph]
        assert torch.equal(plan.ptr.diff(), torch.minimum(cells, torch.tensor(4)))
    plan = Structure.plan(graphs.pos, graphs.ptr, (REACH, graphs.sizes), Balanced(), Radius(0.9))
    pos = centres(plan, graphs.pos).double()
    near = (torch.cdist(pos, pos) <= 0.9) & (plan.graph[:, None] == plan.graph)
    found = torch.zeros_like(near)
    found[plan.target, plan.source] = True
    assert torch.equal(found, near)
    assert plan.source.numel() == int(near.sum())


@pytest.mark.parametrize("neighbors", ["full", Full(), "knn"])
def test_no_edge_is_listed_where_all_see_all(graphs, neighbors):
    reach = REACH if neighbors != "knn" else graphs.sizes
    plan = Structure.plan(graphs.pos, graphs.ptr, (reach, RESOLUTION), Balanced(), neighbors)
    assert plan.links.edges.source.numel() == 0
    cells = torch.minimum(RESOLUTION, graphs.sizes)
    assert torch.equal(plan.links.complete.sizes, cells.sort().values)
    assert torch.equal(plan.ptr.diff(), cells[plan.graph])
    assert torch.equal(plan.graph[plan.source], plan.graph[plan.target])


def test_a_graph_s_structure_does_not_depend_on_its_batch(graphs):
    plan = Structure.plan(graphs.pos, graphs.ptr, (REACH, RESOLUTION), Voxel())
    for g in range(len(SIZES)):
        one = graphs[g]
        alone = Structure.plan(one.pos, one.ptr, (REACH[g : g + 1], RESOLUTION[g : g + 1]), Voxel())
        own = (plan.graph == g).nonzero()[:, 0]
        assert torch.equal(plan.cell[graphs.batch == g], alone.cell + own[0])
        inside = plan.graph[plan.target] == g
        assert torch.equal(plan.source[inside], alone.source + own[0])
        assert torch.equal(plan.target[inside], alone.target + own[0])


def test_full_resolution_is_one_cell_for_every_node_even_with_voxels(graphs):
    plan = Structure.plan(graphs.pos, graphs.ptr, (REACH, graphs.sizes), Voxel())
    assert plan.num_cells == graphs.num_nodes
    assert len(plan.cell.unique()) == graphs.num_nodes
    # With other graphs beside it that are coarsened, too.
    some = torch.where(torch.arange(len(SIZES)) % 2 == 0, graphs.sizes, RESOLUTION.clamp(max=10))
    plan = Structure.plan(graphs.pos, graphs.ptr, (REACH, some), Voxel())
    cells = torch.bincount(plan.graph, minlength=len(SIZES))
    assert torch.equal(cells[::2], graphs.sizes[::2])
    assert (cells[1::2] <= 10).all()


def test_planning_leaves_no_trace_in_the_gradient(graphs):
    pos = graphs.pos.clone().requires_grad_()
    plan = Structure.plan(pos, graphs.ptr, (REACH, RESOLUTION), Balanced())
    assert not plan.members.counts.requires_grad


def test_length_has_a_gradient_of_zero_at_zero():
    offset = torch.zeros(2, 3, requires_grad=True)
    with_length(offset)[:, 3].sum().backward()
    assert torch.equal(offset.grad, torch.zeros(2, 3))
    out = with_length(torch.tensor([[3.0, 4.0]]))
    assert out.tolist() == [[3.0, 4.0, 5.0]]
