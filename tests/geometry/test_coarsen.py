from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ragged import batch, batches

from noisefold.configuration import decode, encode
from noisefold.geometry import Balanced, Cells, FarthestPoint, KMeans, Voxel
from noisefold.geometry.coarsen import _root

EXACT = [Balanced(), Balanced("curve"), FarthestPoint()]
ALL = [*EXACT, Voxel(), KMeans(), KMeans(iterations=0)]


def groups(draw_from: st.DataObject, ptr: torch.Tensor) -> torch.Tensor:
    """Different numbers of groups, some of them too few or too many."""
    graphs = ptr.numel() - 1
    return torch.tensor(draw_from.draw(st.lists(st.integers(-1, 35), min_size=graphs, max_size=graphs)))


def by_place(pos: torch.Tensor, cell: torch.Tensor) -> list[list[list[float]]]:
    """Cells as collections of places, so that nodes at the very same place may be exchanged."""
    return sorted(sorted(pos[cell == c].tolist()) for c in cell.unique().tolist())


@pytest.mark.parametrize("coarsen", ALL, ids=repr)
@settings(deadline=None, max_examples=12)
@given(case=batches, data=st.data())
def test_cells_are_a_partition_of_every_graph_and_do_not_depend_on_the_batch(coarsen, case, data):
    pos, ptr = case
    wanted = groups(data, ptr)
    cells = coarsen(pos, ptr, wanted)
    sizes = ptr.diff()
    count = torch.minimum(wanted.clamp(min=1), sizes)
    made = cells.ptr.diff()
    assert (made <= count).all()
    if coarsen in EXACT:
        assert torch.equal(made, count)
    assert cells.size == int(made.sum())
    assert cells.cell.shape == (len(pos),)
    assert torch.equal(cells.cell.unique(), torch.arange(cells.size))
    graph = torch.repeat_interleave(sizes)
    assert (cells.cell >= cells.ptr[graph]).all()
    assert (cells.cell < cells.ptr[graph + 1]).all()
    for i, (a, b) in enumerate(itertools.pairwise(ptr.tolist())):
        alone = coarsen(pos[a:b], torch.tensor([0, b - a]), int(wanted[i]))
        assert torch.equal(alone.cell + cells.ptr[i], cells.cell[a:b])


@pytest.mark.parametrize("coarsen", ALL, ids=repr)
@settings(deadline=None, max_examples=12)
@given(case=batches, data=st.data(), seed=st.integers(0, 1000))
def test_a_renumbering_of_the_nodes_renumbers_the_partition(coarsen, case, data, seed):
    pos, ptr = case
    wanted = groups(data, ptr)
    cells = coarsen(pos, ptr, wanted)
    generator = torch.Generator().manual_seed(seed)
    shuffle = torch.cat(
        [a + torch.randperm(b - a, generator=generator) for a, b in itertools.pairwise(ptr.tolist())]
    )
    shuffled = coarsen(pos[shuffle], ptr, wanted)
    assert torch.equal(shuffled.ptr, cells.ptr)
    assert by_place(pos[shuffle], shuffled.cell) == by_place(pos, cells.cell)
    if len(pos.unique(dim=0)) == len(pos):
        assert torch.equal(shuffled.cell, cells.cell[shuffle])


@pytest.mark.parametrize("method", ["median", "curve"])
@settings(deadline=None, max_examples=30)
@given(case=batches, data=st.data())
def test_balanced_cells_differ_by_one_node_at_most(method, case, data):
    pos, ptr = case
    cells = Balanced(method)(pos, ptr, groups(data, ptr))
    members = torch.bincount(cells.cell, minlength=cells.size)
    for a, b in itertools.pairwise(cells.ptr.tolist()):
        if b > a:
            assert members[a:b].max() - members[a:b].min() <= 1


def test_median_splits_by_hand():
    # Two rows of four: first split along the rows; then the left half, .5 x 1, into its rows, and the right
    # half, 1.5 x 1, into its columns.
    pos = torch.tensor([[x, y] for y in (0.0, 1.0) for x in (0.0, 0.5, 4.0, 5.5)])
    cells = Balanced()(pos, torch.tensor([0, 8]), 4)
    assert cells.cell.tolist() == [0, 0, 2, 3, 1, 1, 2, 3]
    three = Balanced()(torch.arange(9.0)[:, None], torch.tensor([0, 9]), 3)
    assert three.cell.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def _median_twin(pos, s):
    """Balanced cells of one cloud by recursion, node by node."""
    n = len(pos)

    def split(nodes, first, last):
        if last - first == 1:
            return [nodes]
        sides = [max(pos[i][a] for i in nodes) - min(pos[i][a] for i in nodes) for a in range(len(pos[0]))]
        axis = sides.index(max(sides))
        nodes = sorted(nodes, key=lambda i: pos[i][axis])
        middle = (first + last) // 2
        cut = middle * n // s - first * n // s
        return split(nodes[:cut], first, middle) + split(nodes[cut:], middle, last)

    return split(list(range(n)), 0, s)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("n", "s", "d"), [(50, 7, 3), (64, 16, 2), (33, 33, 1), (100, 1, 3), (97, 60, 3)])
def test_median_cells_agree_with_recursion(n, s, d, dtype):
    pos = batch([n], d, seed=4)[0].to(dtype)
    cells = Balanced()(pos, torch.tensor([0, n]), s)
    truth = torch.empty(n, dtype=torch.int64)
    for j, nodes in enumerate(_median_twin(pos.tolist(), s)):
        truth[nodes] = j
    assert torch.equal(cells.cell, truth)


@pytest.mark.parametrize("method", ["median", "curve"])
@pytest.mark.parametrize(("n", "s"), [(40, 8), (41, 7), (5, 9)])
def test_dense_order_has_the_same_cells_in_contiguous_runs(method, n, s):
    b = 6
    pos, ptr = batch([n] * b, 3, seed=0)
    order = Balanced(method).dense(pos.view(b, n, 3), s)
    assert torch.equal(order.sort(1).values, torch.arange(n).expand(b, n))
    cells = Balanced(method)(pos, ptr, s)
    s = min(s, n)
    for i, j in itertools.product(range(b), range(s)):
        run = order[i, j * n // s : (j + 1) * n // s]
        assert (cells.cell.view(b, n)[i, run] == i * s + j).all()
    if n % s == 0:
        runs = pos.view(b, n, 3).gather(1, order[..., None].expand(b, n, 3)).view(b, s, n // s, 3)
        # 1e-15 times the five terms of a mean: its sum may be taken in another order.
        torch.testing.assert_close(runs.mean(2).view(-1, 3), cells.mean(pos), rtol=0, atol=1e-14)


def _voxel_twin(pos, s):
    """Appendix B.1.1, node by node: the voxel of each node, numbered in order among those occupied."""
    d = len(pos[0])
    parts = max(p for p in range(1, s + 1) if p**d <= s)
    low, high = [min(c) for c in zip(*pos, strict=True)], [max(c) for c in zip(*pos, strict=True)]
    voxels = []
    for p in pos:
        place = [(x - a) / (b - a) if b > a else 0.0 for x, a, b in zip(p, low, high, strict=True)]
        voxels.append(tuple(min(int(x * parts), parts - 1) for x in place))
    number = {v: i for i, v in enumerate(sorted(set(voxels)))}
    return [number[v] for v in voxels]


@settings(deadline=None, max_examples=30)
@given(case=batches, data=st.data())
def test_voxels_agree_with_the_papers_text(case, data):
    pos, ptr = case
    wanted = groups(data, ptr)
    cells = Voxel()(pos, ptr, wanted)
    for i, (a, b) in enumerate(itertools.pairwise(ptr.tolist())):
        if b > a:
            truth = _voxel_twin(pos[a:b].tolist(), min(max(int(wanted[i]), 1), b - a))
            assert (cells.cell[a:b] - cells.ptr[i]).tolist() == truth


def test_roots_are_those_of_integers():
    for d in (1, 2, 3, 4, 7):
        count = torch.arange(1, 5000)
        root = _root(count, d)
        assert (root**d <= count).all()
        assert ((root + 1) ** d > count).all()
    assert _root(torch.tensor([64, 125, 10**18]), 3).tolist() == [4, 5, 10**6]
    cube = torch.tensor(list(itertools.product(range(8), repeat=3))).double()
    assert (
        Voxel()(cube, torch.tensor([0, 512]), 64).size == 64
    )  # floor(64 ** (1 / 3)) in floats would give 27


def test_voxels_of_pure_noise_are_the_fewer():
    # The specification's figure: 53 cells asked for, 24 occupied. 53 allow 3 x 3 x 3 voxels. The box reaches
    # to about 3 deviations, so a corner begins at one: 400 x .159^3 = 1.6 nodes, none with probability
    # e^-1.6 = .2. 27 less 8 x .2 = 25.4; boxes that reach farther on a side have emptier corners there.
    pos, ptr = batch([400] * 200, 3, seed=0)
    made = Voxel()(pos, ptr, 53).ptr.diff().double()
    assert abs(made.mean() - 24.5) < 1.0
    assert made.max() <= 27


def test_k_means_improves_on_its_start_and_ends_at_a_fixed_point():
    pos, ptr = batch([200, 77], 3, seed=0)

    def spread(cells: Cells) -> float:
        return float((pos - cells.mean(pos)[cells.cell]).square().sum())

    start, some, end = (KMeans(iterations=i)(pos, ptr, 12) for i in (0, 3, 200))
    assert spread(end) < spread(some) < spread(start)
    centre = end.mean(pos)
    for i, (a, b) in enumerate(itertools.pairwise(ptr.tolist())):
        own = centre[end.ptr[i] : end.ptr[i + 1]]
        closest = (pos[a:b, None] - own).square().sum(2).argmin(1)
        assert torch.equal(closest + end.ptr[i], end.cell[a:b])


def _farthest_twin(pos, s):
    """Farthest-point cells of one cloud without ties, by plain loops."""

    def gap(p, q):
        return sum((u - v) ** 2 for u, v in zip(p, q, strict=True))

    n = len(pos)
    mean = [sum(c) / n for c in zip(*pos, strict=True)]
    seeds = [max(range(n), key=lambda i: gap(pos[i], mean))]
    while len(seeds) < s:
        seeds.append(max(range(n), key=lambda i: min(gap(pos[i], pos[j]) for j in seeds)))
    return [min(range(s), key=lambda c: gap(p, pos[seeds[c]])) for p in pos]


@pytest.mark.parametrize(("n", "s", "d"), [(40, 6, 3), (30, 30, 2), (25, 1, 1)])
def test_farthest_point_cells_agree_with_plain_loops(n, s, d):
    pos = batch([n], d, seed=9)[0]
    assert FarthestPoint()(pos, torch.tensor([0, n]), s).cell.tolist() == _farthest_twin(pos.tolist(), s)


@pytest.mark.parametrize("coarsen", ALL, ids=repr)
def test_cells_are_compact(coarsen):
    # Random cells have the spread of the cloud, less 30 degrees of freedom in 400.
    pos, ptr = batch([400] * 4, 3, seed=0)
    cells = coarsen(pos, ptr, 30)
    spread = (pos - cells.mean(pos)[cells.cell]).square().sum(1).mean()
    assert spread < 0.45 * 3 * (1 - 30 / 400)


def test_a_mean_over_cells_has_a_gradient():
    pos, ptr = batch([6, 5], 2, seed=0)
    cells = Balanced()(pos, ptr, 2)
    values = torch.randn(11, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(cells.mean, values)
    for c in range(cells.size):
        torch.testing.assert_close(cells.mean(values)[c], values[cells.cell == c].mean(0), rtol=0, atol=1e-15)


@pytest.mark.parametrize("coarsen", ALL, ids=repr)
def test_float32_high_dimension_and_gradients_pass(coarsen):
    pos = torch.randn(30, 40, requires_grad=True)
    cells = coarsen(pos, torch.tensor([0, 30]), 5)
    assert 1 <= cells.size <= 5
    assert not cells.cell.requires_grad


@pytest.mark.parametrize("coarsen", ALL, ids=repr)
def test_errors_name_the_argument(coarsen):
    pos, ptr = batch([4, 4], 2, seed=0)
    assert decode(encode(coarsen)) == coarsen
    with pytest.raises(
        ValueError, match=r"groups must be an integer or integers \[2\].*got torch.int64 \[3\]"
    ):
        coarsen(pos, ptr, torch.ones(3, dtype=torch.int64))
    with pytest.raises(ValueError, match="groups must be an integer"):
        coarsen(pos, ptr, 2.5)
    pos[3, 0] = math.nan
    with pytest.raises(ValueError, match="pos must be finite"):
        coarsen(pos, ptr, 2)


def test_options_are_checked():
    with pytest.raises(ValueError, match='method must be "median" or "curve", got \'hilbert\''):
        Balanced("hilbert")
    with pytest.raises(ValueError, match="iterations must be 0 or more, got -1"):
        KMeans(iterations=-1)
