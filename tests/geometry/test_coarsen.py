from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ragged import batch, batches

from noisefold.configuration import decode, encode
from noisefold.geometry import Balanced, FarthestPoint, KMeans, Supernodes, Voxel

EXACT = [Balanced(), Balanced("curve"), FarthestPoint()]
ALL = [*EXACT, Voxel(), KMeans(), KMeans(iterations=0)]


def groups(draw_from: st.DataObject, ptr: torch.Tensor) -> torch.Tensor:
    """Different numbers of groups, some of them too few or too many."""
    graphs = ptr.numel() - 1
    return torch.tensor(draw_from.draw(st.lists(st.integers(-1, 35), min_size=graphs, max_size=graphs)))


def by_place(pos: torch.Tensor, supernode: torch.Tensor) -> list[list[list[float]]]:
    """Supernodes as collections of places, so that nodes at the very same place may be exchanged."""
    return sorted(sorted(pos[supernode == c].tolist()) for c in supernode.unique().tolist())


@pytest.mark.parametrize("coarsen", ALL, ids=repr)
@settings(deadline=None, max_examples=12)
@given(case=batches, data=st.data())
def test_partition_of_every_graph_independent_of_the_batch(coarsen, case, data):
    pos, ptr = case
    wanted = groups(data, ptr)
    supernodes = coarsen(pos, ptr, wanted)
    sizes = ptr.diff()
    count = torch.minimum(wanted.clamp(min=1), sizes)
    made = supernodes.ptr.diff()
    assert (made <= count).all()
    if coarsen in EXACT:
        assert torch.equal(made, count)
    assert len(supernodes) == int(made.sum())
    assert supernodes.assignment.shape == (len(pos),)
    assert torch.equal(supernodes.assignment.unique(), torch.arange(len(supernodes)))
    graph = torch.repeat_interleave(sizes)
    assert (supernodes.assignment >= supernodes.ptr[graph]).all()
    assert (supernodes.assignment < supernodes.ptr[graph + 1]).all()
    for i, (a, b) in enumerate(itertools.pairwise(ptr.tolist())):
        alone = coarsen(pos[a:b], torch.tensor([0, b - a]), int(wanted[i]))
        assert torch.equal(alone.assignment + supernodes.ptr[i], supernodes.assignment[a:b])


@pytest.mark.parametrize("coarsen", ALL, ids=repr)
@settings(deadline=None, max_examples=12)
@given(case=batches, data=st.data(), seed=st.integers(0, 1000))
def test_permutation_equivariance(coarsen, case, data, seed):
    pos, ptr = case
    wanted = groups(data, ptr)
    supernodes = coarsen(pos, ptr, wanted)
    generator = torch.Generator().manual_seed(seed)
    shuffle = torch.cat(
        [a + torch.randperm(b - a, generator=generator) for a, b in itertools.pairwise(ptr.tolist())]
    )
    shuffled = coarsen(pos[shuffle], ptr, wanted)
    assert torch.equal(shuffled.ptr, supernodes.ptr)
    assert by_place(pos[shuffle], shuffled.assignment) == by_place(pos, supernodes.assignment)
    if len(pos.unique(dim=0)) == len(pos):
        assert torch.equal(shuffled.assignment, supernodes.assignment[shuffle])


@pytest.mark.parametrize("method", ["median", "curve"])
@settings(deadline=None, max_examples=30)
@given(case=batches, data=st.data())
def test_balanced_sizes_differ_by_at_most_one(method, case, data):
    pos, ptr = case
    supernodes = Balanced(method)(pos, ptr, groups(data, ptr))
    members = torch.bincount(supernodes.assignment, minlength=len(supernodes))
    for a, b in itertools.pairwise(supernodes.ptr.tolist()):
        if b > a:
            assert members[a:b].max() - members[a:b].min() <= 1


def test_median_splits_by_hand():
    # Two rows of four: first split along the rows; then the left half, .5 x 1, into its rows, and the right
    # half, 1.5 x 1, into its columns.
    pos = torch.tensor([[x, y] for y in (0.0, 1.0) for x in (0.0, 0.5, 4.0, 5.5)])
    supernodes = Balanced()(pos, torch.tensor([0, 8]), 4)
    assert supernodes.assignment.tolist() == [0, 0, 2, 3, 1, 1, 2, 3]
    three = Balanced()(torch.arange(9.0)[:, None], torch.tensor([0, 9]), 3)
    assert three.assignment.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def _median_twin(pos, s):
    """Balanced supernodes of one cloud by recursion, node by node."""
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
def test_median_splits_equal_a_recursive_twin(n, s, d, dtype):
    pos = batch([n], d, seed=4)[0].to(dtype)
    supernodes = Balanced()(pos, torch.tensor([0, n]), s)
    truth = torch.empty(n, dtype=torch.int64)
    for j, nodes in enumerate(_median_twin(pos.tolist(), s)):
        truth[nodes] = j
    assert torch.equal(supernodes.assignment, truth)


@pytest.mark.parametrize("method", ["median", "curve"])
@pytest.mark.parametrize(("n", "s"), [(40, 8), (41, 7), (5, 9)])
def test_dense_order_makes_supernodes_contiguous(method, n, s):
    b = 6
    pos, ptr = batch([n] * b, 3, seed=0)
    order = Balanced(method).dense(pos.view(b, n, 3), s)
    assert torch.equal(order.sort(1).values, torch.arange(n).expand(b, n))
    supernodes = Balanced(method)(pos, ptr, s)
    s = min(s, n)
    for i, j in itertools.product(range(b), range(s)):
        run = order[i, j * n // s : (j + 1) * n // s]
        assert (supernodes.assignment.view(b, n)[i, run] == i * s + j).all()
    if n % s == 0:
        runs = pos.view(b, n, 3).gather(1, order[..., None].expand(b, n, 3)).view(b, s, n // s, 3)
        # 1e-15 times the five terms of a mean: its sum may be taken in another order.
        torch.testing.assert_close(runs.mean(2).view(-1, 3), supernodes.mean(pos), rtol=0, atol=1e-14)


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
def test_voxels_equal_a_twin_of_the_paper(case, data):
    pos, ptr = case
    wanted = groups(data, ptr)
    supernodes = Voxel()(pos, ptr, wanted)
    for i, (a, b) in enumerate(itertools.pairwise(ptr.tolist())):
        if b > a:
            truth = _voxel_twin(pos[a:b].tolist(), min(max(int(wanted[i]), 1), b - a))
            assert (supernodes.assignment[a:b] - supernodes.ptr[i]).tolist() == truth


def test_number_of_voxels_per_axis_is_an_exact_integer_root():
    # A grid of nodes twice as fine occupies all voxels; floor(64 ** (1 / 3)) in floats is 3.
    for d, s, root in ((1, 49, 49), (2, 144, 12), (2, 143, 11), (3, 64, 4), (3, 125, 5), (3, 215, 5)):
        grid = torch.tensor(list(itertools.product(range(2 * root + 1), repeat=d))).double()
        assert len(Voxel()(grid, torch.tensor([0, len(grid)]), s)) == root**d


def test_occupied_voxels_in_pure_noise():
    # 53 supernodes allow 3 x 3 x 3 voxels. The box reaches to about 3 standard deviations, so a corner starts
    # at one: 400 x 0.159^3 = 1.6 nodes, none with probability e^-1.6 = 0.2. 27 - 8 x 0.2 = 25.4; boxes that
    # reach farther on a side have emptier corners there.
    pos, ptr = batch([400] * 200, 3, seed=0)
    made = Voxel()(pos, ptr, 53).ptr.diff().double()
    assert abs(made.mean() - 24.5) < 1.0
    assert made.max() <= 27


def test_k_means_decreases_its_objective_to_a_fixed_point():
    pos, ptr = batch([200, 77], 3, seed=0)

    def spread(supernodes: Supernodes) -> float:
        return float((pos - supernodes.mean(pos)[supernodes.assignment]).square().sum())

    start, some, end = (KMeans(iterations=i)(pos, ptr, 12) for i in (0, 3, 200))
    assert spread(end) < spread(some) < spread(start)
    centre = end.mean(pos)
    for i, (a, b) in enumerate(itertools.pairwise(ptr.tolist())):
        own = centre[end.ptr[i] : end.ptr[i + 1]]
        closest = (pos[a:b, None] - own).square().sum(2).argmin(1)
        assert torch.equal(closest + end.ptr[i], end.assignment[a:b])


def _farthest_twin(pos, s):
    """Farthest-point supernodes of one cloud without ties, by plain loops."""

    def gap(p, q):
        return sum((u - v) ** 2 for u, v in zip(p, q, strict=True))

    n = len(pos)
    mean = [sum(c) / n for c in zip(*pos, strict=True)]
    seeds = [max(range(n), key=lambda i: gap(pos[i], mean))]
    while len(seeds) < s:
        seeds.append(max(range(n), key=lambda i: min(gap(pos[i], pos[j]) for j in seeds)))
    return [min(range(s), key=lambda c: gap(p, pos[seeds[c]])) for p in pos]


@pytest.mark.parametrize(("n", "s", "d"), [(40, 6, 3), (30, 30, 2), (25, 1, 1)])
def test_farthest_points_equal_a_twin_in_loops(n, s, d):
    pos = batch([n], d, seed=9)[0]
    assert FarthestPoint()(pos, torch.tensor([0, n]), s).assignment.tolist() == _farthest_twin(
        pos.tolist(), s
    )


@pytest.mark.parametrize("coarsen", ALL, ids=repr)
def test_supernodes_are_compact(coarsen):
    # Random supernodes have the spread of the cloud, less 30 degrees of freedom in 400.
    pos, ptr = batch([400] * 4, 3, seed=0)
    supernodes = coarsen(pos, ptr, 30)
    spread = (pos - supernodes.mean(pos)[supernodes.assignment]).square().sum(1).mean()
    assert spread < 0.45 * 3 * (1 - 30 / 400)


def test_gradient_of_the_mean():
    pos, ptr = batch([6, 5], 2, seed=0)
    supernodes = Balanced()(pos, ptr, 2)
    values = torch.randn(11, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(supernodes.mean, values)
    for c in range(len(supernodes)):
        torch.testing.assert_close(
            supernodes.mean(values)[c], values[supernodes.assignment == c].mean(0), rtol=0, atol=1e-15
        )


@pytest.mark.parametrize("coarsen", ALL, ids=repr)
def test_float32_in_high_dimension(coarsen):
    pos = torch.randn(30, 40, requires_grad=True)
    supernodes = coarsen(pos, torch.tensor([0, 30]), 5)
    assert 1 <= len(supernodes) <= 5
    assert not supernodes.assignment.requires_grad


@pytest.mark.parametrize("coarsen", ALL, ids=repr)
def test_errors_name_the_argument(coarsen):
    pos, ptr = batch([4, 4], 2, seed=0)
    assert decode(encode(coarsen)) == coarsen
    with pytest.raises(ValueError, match="groups must"):
        coarsen(pos, ptr, torch.ones(3, dtype=torch.int64))
    with pytest.raises(ValueError, match="groups must"):
        coarsen(pos, ptr, 2.5)
    pos[3, 0] = math.nan
    with pytest.raises(ValueError, match="pos must"):
        coarsen(pos, ptr, 2)


def test_options_are_checked():
    with pytest.raises(ValueError, match="method must"):
        Balanced("hilbert")
    with pytest.raises(ValueError, match="iterations must"):
        KMeans(iterations=-1)
