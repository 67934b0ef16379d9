from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ragged import batch, batches

from crossed import crossed
from noisefold.configuration import decode, encode
from noisefold.geometry import KNN, Full, LongShort, Radius, Random, knn, knn_brute_force, knn_dense
from noisefold.geometry.neighbor_rules import knn_edges

RULES = [
    KNN(3),
    KNN(3, loop=True),
    KNN(1, loop=True),
    KNN(100),
    Radius(0.9),
    Radius(0.9, loop=True),
    Radius(1.0, limit=4),
    Radius(1.0, limit=4, loop=True),
    Full(),
    Full(loop=True),
    LongShort(5),
    LongShort(5, near=0, loop=True),
    LongShort(5, near=5),
    LongShort(40, near=3, seed=3),
    Random(4, seed=1),
    Random(4, loop=True),
]
GEOMETRIC = [rule for rule in RULES if not isinstance(rule, LongShort | Random)]


def twin(rule, pos, ptr):
    """What a rule says, by plain loops over all pairs."""
    p = pos.tolist()
    edges = []
    for a, b in itertools.pairwise(ptr.tolist()):
        for i in range(a, b):
            if isinstance(rule, Full):
                near = [j for j in range(a, b) if rule.loop or j != i]
            else:
                gap = {j: sum((u - v) ** 2 for u, v in zip(p[i], p[j], strict=True)) for j in range(a, b)}
                near = ([i] if rule.loop else []) + sorted(set(gap) - {i}, key=lambda j: (gap[j], j))
                if isinstance(rule, Radius):
                    near = [j for j in near if gap[j] <= rule.r**2][: rule.limit]
                else:
                    near = near[: rule.k]
            edges += [(j, i) for j in near]
    return edges


@pytest.mark.parametrize("rule", GEOMETRIC, ids=repr)
@settings(deadline=None, max_examples=15)
@given(case=batches)
def test_rules_equal_a_twin_in_loops(rule, case):
    pos, ptr = case
    assert rule(pos, ptr).T.tolist() == [list(e) for e in twin(rule, pos, ptr)]


@pytest.mark.parametrize("loop", [False, True])
@settings(deadline=None, max_examples=15)
@given(case=batches, seed=st.integers(0, 9))
def test_k_per_graph(loop, case, seed):
    pos, ptr = case
    k = torch.randint(1, 8, (ptr.numel() - 1,), generator=torch.Generator().manual_seed(seed))
    one_by_one = [
        KNN(int(own), loop)(pos[a:b], torch.tensor([0, b - a])) + a
        for own, (a, b) in zip(k, itertools.pairwise(ptr.tolist()), strict=True)
    ]
    assert torch.equal(knn_edges(pos, ptr, k, loop), torch.cat(one_by_one, 1))


@pytest.mark.parametrize("rule", RULES, ids=repr)
@settings(deadline=None, max_examples=8)
@given(case=batches)
def test_edges_are_well_formed_and_independent_of_the_batch(rule, case):
    pos, ptr = case
    edges = rule(pos, ptr)
    assert edges.dtype == torch.int64
    assert edges.shape[0] == 2
    source, target = edges
    assert len(set(map(tuple, edges.T.tolist()))) == edges.shape[1]
    assert (target.diff() >= 0).all()
    assert ((source == target).sum() == (len(pos) if rule.loop else 0)).all()
    owner = torch.searchsorted(ptr, torch.arange(len(pos)), right=True)
    assert torch.equal(owner[source], owner[target])
    alone = [rule(pos[a:b], torch.tensor([0, b - a])) + a for a, b in itertools.pairwise(ptr.tolist())]
    assert torch.equal(torch.cat(alone, 1), edges)


@pytest.mark.parametrize("rule", [rule for rule in RULES if not isinstance(rule, Full)], ids=repr)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sources_are_sorted_by_distance_after_the_self_loop(rule, dtype):
    pos, ptr = batch([1, 2, 5, 60, 61], 3, seed=0)
    source, target = rule(pos.to(dtype), ptr)
    away = (pos[source] - pos[target]).square().sum(1)
    same = target[1:] == target[:-1]
    assert (away.diff()[same] >= 0).all()
    first = torch.cat([torch.ones(1, dtype=torch.bool), ~same])
    if rule.loop:
        assert (source[first] == target[first]).all()


@pytest.mark.parametrize("rule", [r for r in RULES if isinstance(r, KNN | LongShort | Random)], ids=repr)
def test_in_degree(rule):
    sizes = [1, 2, 3, 40, 7]
    pos, ptr = batch(sizes, 2, seed=0)
    degree = torch.bincount(rule(pos, ptr)[1], minlength=len(pos))
    truth = [min(rule.k, n - 1 + rule.loop) for n in sizes for _ in range(n)]
    assert degree.tolist() == truth


@pytest.mark.parametrize("rule", GEOMETRIC, ids=repr)
def test_permutation_equivariance(rule):
    pos, ptr = batch([30, 25], 3, seed=0)
    shuffle = torch.cat([torch.randperm(30), 30 + torch.randperm(25)])
    edges = set(map(tuple, rule(pos, ptr).T.tolist()))
    renumbered = shuffle[rule(pos[shuffle], ptr)]
    assert set(map(tuple, renumbered.T.tolist())) == edges


WAYS = list(itertools.product(["host", "host in rows", "accelerator"], ["normal", "lattice", "one place"]))
SIZES = [(301, 60), (65, 8), (9, 20), (200, 7), (2, 1), (1, 3), (65, 8)]


@pytest.mark.parametrize(
    ("way", "dtype", "size"), crossed(WAYS, [torch.float32, torch.float64], SIZES), ids=str
)
def test_dense_search_equals_a_stable_sort(monkeypatch, way, dtype, size):
    (device, kind), (s, k) = way, size
    # The accelerator's way runs here on the CPU, in blocks small enough to be several.
    if device == "accelerator":
        monkeypatch.setattr(knn, "brute_force", knn_brute_force._brute_device)
        monkeypatch.setattr(knn_brute_force, "_BLOCK_DEVICE", 5000)
    if device == "host in rows":
        monkeypatch.setattr(knn_brute_force, "BLOCK", 500)
    pos = batch([s] * 9, 3, seed=1, kind=kind)[0].to(dtype).view(9, s, 3)
    away = (pos[:, :, None] - pos[:, None]).double().square().sum(3)
    away.diagonal(dim1=1, dim2=2).fill_(-1)
    truth = away.argsort(dim=2, stable=True)
    if kind == "normal" and dtype == torch.float32:
        # Rounding may exchange two distances that agree to float32's last digits: compare the distances.
        found = knn_dense(pos, k)
        gap = away.gather(2, found) - away.gather(2, truth[:, :, :k])
        assert gap.abs().max() <= 1e-6 * away.abs().max()
        assert (found == truth[:, :, :k]).double().mean() > 0.999
    else:
        assert torch.equal(knn_dense(pos, k), truth[:, :, :k])
        assert torch.equal(knn_dense(pos, k, loop=False), truth[:, :, 1 : k + 1])


@pytest.mark.parametrize("kind", ["normal", "lattice"])
@pytest.mark.parametrize("sizes", [[50, 50, 50], [3, 80, 64, 2, 81, 1]])
def test_tree_and_brute_force_agree(monkeypatch, kind, sizes):
    pos, ptr = batch(sizes, 2, seed=2, kind=kind)
    if kind == "lattice":
        pos += 10.0 * torch.arange(len(pos), dtype=torch.float64)[:, None].remainder(
            17
        )  # ties, but only some
    rules = (KNN(6), KNN(6, loop=True), Radius(10.0), LongShort(6))
    expected = [rule(pos, ptr) for rule in rules]
    called = []
    tree = knn._tree
    monkeypatch.setattr(knn, "_tree", lambda *a: called.append(1) or tree(*a))
    monkeypatch.setattr(knn, "_BRUTE", 0)
    for rule, edges in zip(rules, expected, strict=True):
        assert torch.equal(rule(pos, ptr), edges)
    assert called


def test_a_large_part_of_a_large_cloud_needs_no_tree(monkeypatch):
    pos, ptr = batch([900, 1000], 3, seed=3)
    monkeypatch.setattr(knn, "_tree", None)
    edges = knn_edges(pos.float(), ptr, 100, False)
    monkeypatch.undo()
    # Float64 goes by the tree. Nodes whose distances agree to float32's last digits may change places.
    exact = knn_edges(pos, ptr, 100, False)
    assert (edges == exact).double().mean() > 0.99
    away = [(pos[e[0]] - pos[e[1]]).square().sum(1) for e in (edges, exact)]
    torch.testing.assert_close(away[0], away[1], rtol=1e-5, atol=0)


def test_accuracy_far_from_the_origin():
    # At 1e4 from the origin |p|^2 - 2 p q + |q|^2 has errors of 1e8 eps = 10 in float32; differences have
    # none, because these positions are multiples of 2^-10 and so exact.
    generator = torch.Generator().manual_seed(0)
    near = torch.randint(-2048, 2048, (1, 300, 3), generator=generator) / 1024.0
    for shift in (0.0, 1e4):
        assert torch.equal(knn_dense(near + shift, 8), knn_dense(near, 8))


@pytest.mark.parametrize("size", [20, 50, 1500])
@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e30])
def test_positions_that_are_not_finite_are_refused(size, bad):
    pos, ptr = torch.randn(size, 3), torch.tensor([0, size])
    pos[7, 1] = bad
    if not (size == 1500 and bad == 1e30):  # the tree works in float64, where 1e60 is a number
        with pytest.raises(ValueError, match="pos must"):
            KNN(3)(pos, ptr)
    if bad != 1e30:
        with pytest.raises(ValueError, match="pos must"):
            Radius(0.1)(pos, ptr)


def test_no_gradient_any_floating_type_and_empty_clouds():
    pos = torch.randn(2, 20, 3, requires_grad=True)
    assert not knn_dense(pos, 4).requires_grad
    assert torch.equal(knn_dense(pos.bfloat16(), 4), knn_dense(pos.bfloat16().float(), 4))
    assert knn_dense(torch.zeros(0, 5, 3), 2).shape == (0, 5, 2)
    assert knn_dense(torch.zeros(3, 0, 3), 2).shape == (3, 0, 0)
    assert knn.knn(torch.zeros(0, 3), torch.tensor([0]), 4).shape == (0, 0)


def test_random_edges_are_uniform():
    # 2 of 7 others: every pair of others, numbered without the target, must come equally often, 1 / 21.
    pos, ptr = torch.zeros(8, 1), torch.tensor([0, 8])
    seeds = 300
    counts = torch.zeros(8, 8)
    for seed in range(seeds):
        source, target = Random(2, seed=seed)(pos, ptr)
        rank = (source - (source > target).long()).view(8, 2).sort(1).values
        counts.index_put_((rank[:, 0], rank[:, 1]), torch.ones(8), accumulate=True)
    seen = torch.tensor([counts[a, b] for a, b in itertools.combinations(range(7), 2)])
    assert seen.sum() == 8 * seeds
    chi = ((seen - 8 * seeds / 21).square() / (8 * seeds / 21)).sum()
    assert chi < 45  # chi^2 of 20 degrees exceeds 45 once in 900


def test_long_edges_are_random_among_the_rest_and_short_ones_are_the_nearest():
    pos, ptr = batch([40], 2, seed=0)
    near = KNN(3)(pos, ptr)[0].view(40, 3)
    long = torch.zeros(40, 40)
    for seed in range(100):
        source = LongShort(8, near=3, seed=seed)(pos, ptr)[0].view(40, 8)
        assert torch.equal(source[:, :3], near)
        long[torch.arange(40)[:, None], source[:, 3:]] += 1
    free = torch.ones(40, 40).scatter(1, near, 0).fill_diagonal_(0)
    assert (long[free == 0] == 0).all()
    # 5 of 36 for 100 seeds: 13.9 a node, standard deviation 3.5; 5.5 of them for the worst of 1,440.
    assert (long[free == 1] - 100 * 5 / 36).abs().max() < 5.5 * 3.5


def test_random_edges_depend_on_the_seed_alone():
    pos, ptr = batch([50], 2, seed=0)
    assert torch.equal(Random(4, seed=5)(pos, ptr), Random(4, seed=5)(pos, ptr))
    for other in (6, 5 + 2**32, -5):
        assert (Random(4, seed=5)(pos, ptr) != Random(4, seed=other)(pos, ptr)).any()


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_rules_are_their_own_configuration(rule):
    assert decode(encode(rule)) == rule


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: KNN(0), "k must"),
        (lambda: Random(-1), "k must"),
        (lambda: Radius(0.0), "r must"),
        (lambda: Radius(math.nan), "r must"),
        (lambda: Radius(1.0, limit=0), "limit must"),
        (lambda: LongShort(3, near=4), "near must"),
        (lambda: knn_dense(torch.zeros(2, 3, 1), 0), "k must"),
        (lambda: knn_dense(torch.zeros(2, 3), 1), "pos must"),
        (lambda: knn_dense(torch.zeros(2, 3, 0), 2), "pos must"),
    ],
)
def test_errors_name_the_argument(make, words):
    with pytest.raises(ValueError, match=words):
        make()
