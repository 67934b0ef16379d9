from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisefold.geometry import Graphs
from noisefold.geometry.patches import take

SIZES = [3, 0, 1, 5, 2]


def _graph(n: int, label: int, generator: torch.Generator) -> Graphs:
    edges = (
        torch.randint(0, n, (2, 2 * n), generator=generator) if n else torch.empty(2, 0, dtype=torch.int64)
    )
    return Graphs(
        pos=torch.randn(n, 2, generator=generator),
        x=torch.randn(n, 3, generator=generator),
        edge_index=edges,
        edge_attr=torch.randn(edges.shape[1], 4, generator=generator),
        mask=torch.rand(n, generator=generator) < 0.5,
        label=torch.tensor([label]),
        classes=("a", "b", "c"),
    )


def _parts() -> list[Graphs]:
    generator = torch.Generator().manual_seed(0)
    return [_graph(n, i % 3, generator) for i, n in enumerate(SIZES)]


def _same(a: Graphs, b: Graphs) -> bool:
    names = ("pos", "x", "ptr", "edge_index", "edge_attr", "mask", "label")
    return a.classes == b.classes and all(
        getattr(b, n) is None if getattr(a, n) is None else torch.equal(getattr(a, n), getattr(b, n))
        for n in names
    )


def test_collating_and_taking_apart_are_inverse():
    parts = _parts()
    whole = Graphs.collate(parts)
    assert len(whole) == 5
    assert whole.ptr.tolist() == [0, 3, 3, 4, 9, 11]
    assert whole.sizes.tolist() == SIZES
    assert whole.batch.tolist() == [0, 0, 0, 2, 3, 3, 3, 3, 3, 4, 4]
    assert all(_same(a, b) for a, b in zip(whole, parts, strict=True))
    assert all(torch.equal(a, b.pos) for a, b in zip(whole.unpack(), parts, strict=True))
    assert all(torch.equal(a, b.x) for a, b in zip(whole.unpack(whole.x), parts, strict=True))
    assert _same(Graphs.collate([whole, whole]), Graphs.collate(parts + parts))


def test_edges_join_the_same_nodes_after_collating():
    parts = _parts()
    whole = Graphs.collate(parts)
    ends = torch.cat([p.pos[p.edge_index] for p in parts], 1)
    assert torch.equal(whole.pos[whole.edge_index], ends)


@settings(deadline=None, max_examples=40)
@given(chosen=st.lists(st.integers(-5, 4), max_size=8))
def test_a_choice_of_graphs_is_their_collation(chosen):
    parts = _parts()
    whole = Graphs.collate(parts)
    for index in (chosen, torch.tensor(chosen, dtype=torch.int64), np.array(chosen, dtype=np.int64)):
        taken = whole[index]
        assert len(taken) == len(chosen)
        if chosen:
            assert _same(taken, Graphs.collate([parts[i] for i in chosen]))
    if not chosen:
        assert taken.pos.shape == (0, 2)
        assert taken.edge_index.shape == (2, 0)
        assert taken.edge_attr.shape == (0, 4)


def test_every_kind_of_index():
    parts = _parts()
    whole = Graphs.collate(parts)
    for index in (3, -2, np.int64(3), torch.tensor(3)):
        assert _same(whole[index], parts[3])
    assert _same(whole[1:4], Graphs.collate(parts[1:4]))
    assert _same(whole[::2], Graphs.collate(parts[::2]))
    flags = [True, False, False, True, False]
    for index in (flags, torch.tensor(flags)):
        assert _same(whole[index], Graphs.collate([parts[0], parts[3]]))
    for index in (5, -6, torch.tensor(5)):
        with pytest.raises(IndexError, match="does not exist; there are 5"):
            whole[index]
    with pytest.raises(IndexError):
        whole[[0, 5]]


@pytest.mark.parametrize("fraction", [0.01, 0.3, 0.5, 0.99])
def test_a_split_is_a_partition_that_depends_on_the_seed_alone(fraction):
    whole = Graphs.dense(torch.arange(40.0).view(20, 2, 1), label=torch.arange(20))
    first, second = whole.split(fraction, seed=1)
    assert sorted(first.label.tolist() + second.label.tolist()) == list(range(20))
    assert len(first) == min(max(round(20 * fraction), 1), 19)
    assert torch.equal(first.pos[:, 0], (first.label[:, None] * 2 + torch.tensor([0, 1])).view(-1).float())
    assert _same(whole.split(fraction, seed=1)[0], first)
    assert whole.split(0.5, seed=2)[0].label.tolist() != whole.split(0.5, seed=1)[0].label.tolist()


def test_thinning_keeps_the_nodes_of_the_smallest_keys():
    whole = Graphs.collate(_parts())
    keys = torch.rand(11, generator=torch.Generator().manual_seed(0))
    thin = whole.thin(2, keys)
    assert thin.sizes.tolist() == [2, 0, 1, 2, 2]
    assert thin.edge_index is None
    assert thin.edge_attr is None
    for full, key, part in zip(whole, keys.split(SIZES), thin, strict=True):
        rows = key.argsort()[:2] if len(key) > 2 else torch.arange(len(key))
        assert torch.equal(part.pos, full.pos[rows])
        assert torch.equal(part.x, full.x[rows])
        assert torch.equal(part.mask, full.mask[rows])
    assert torch.equal(thin.label, whole.label)
    assert whole.thin(5, keys) is whole
    beside = Graphs.collate([Graphs(torch.arange(3.0)[:, None]), Graphs(torch.arange(9.0)[:, None])])
    kept = beside.thin(4, torch.rand(12))
    assert kept.sizes.tolist() == [3, 4]
    assert kept[0].pos[:, 0].tolist() == [0.0, 1.0, 2.0]


def test_thinning_is_uniform():
    whole = Graphs.dense(torch.arange(6.0).repeat(3000, 1)[..., None])
    keys = torch.rand(18_000, generator=torch.Generator().manual_seed(0))
    counts = torch.bincount(whole.thin(2, keys).pos.view(-1).long())
    # 1,000 a node, standard deviation sqrt(3000 x 1/3 x 2/3) = 26; four of them for the worst of six.
    assert (counts - 1000).abs().max() < 4 * 26


@pytest.mark.parametrize("sizes", [SIZES, [4, 4, 4]])
def test_padding_adds_zeros_after_the_end(sizes):
    whole = Graphs.ragged([torch.randn(n, 2) for n in sizes])
    values = torch.randn(sum(sizes), 3, 2)
    for given_, truth in ((None, whole.pos), (values, values)):
        padded, mask = whole.padded(given_)
        assert padded.shape == (len(sizes), max(sizes), *truth.shape[1:])
        assert mask.sum(1).tolist() == sizes
        assert torch.equal(padded[mask], truth)
        assert (padded[~mask] == 0).all()
        for i, n in enumerate(sizes):
            assert mask[i, :n].all()


def test_uniform_is_the_common_size():
    assert Graphs.dense(torch.zeros(3, 4, 2)).uniform == 4
    assert Graphs.ragged([torch.zeros(1, 2), torch.zeros(2, 2)]).uniform is None
    assert Graphs.dense(torch.zeros(3, 4, 2))[[]].uniform is None


def test_dense_and_ragged_agree():
    pos, x = torch.randn(3, 4, 2), torch.randn(3, 4, 5)
    label = torch.tensor([0, 1, 0])
    dense = Graphs.dense(pos, x, label, classes=("a", "b"))
    assert _same(dense, Graphs.ragged(list(pos), list(x), label=label, classes=("a", "b")))
    assert (dense.num_nodes, dense.dim, dense.features) == (12, 2, 5)


def test_moving_changes_floating_types_only():
    moved = Graphs.collate(_parts()).to("cpu", torch.float64)
    assert moved.dtype == moved.x.dtype == moved.edge_attr.dtype == torch.float64
    assert moved.ptr.dtype == moved.edge_index.dtype == moved.label.dtype == torch.int64
    assert moved.mask.dtype == torch.bool


def test_repr_says_what_it_holds():
    assert (
        repr(Graphs.collate(_parts()))
        == "Graphs(5 graphs, 0 to 5 nodes, 2-D, 3 features, 22 edges, 3 classes)"
    )
    assert repr(Graphs.dense(torch.zeros(2, 7, 3))) == "Graphs(2 graphs, 7 nodes each, 3-D)"
    assert repr(Graphs.dense(torch.zeros(2, 7, 3))[[]]) == "Graphs(0 graphs, no nodes, 3-D)"


def test_pyg_both_ways():
    data = pytest.importorskip("torch_geometric.data")
    parts = [p.replace(mask=None, classes=()) for p in _parts() if p.num_nodes]
    whole = Graphs.collate(parts)
    items = whole.to_pyg()
    assert _same(Graphs.from_pyg(items), whole)
    assert _same(Graphs.from_pyg(data.Batch.from_data_list(items)), whole)
    assert _same(Graphs.from_pyg(items[0]), parts[0])
    bare = Graphs.from_pyg([data.Data(pos=torch.zeros(3, 2), y=torch.tensor([0.5]))])
    assert bare.x is bare.edge_index is bare.label is None
    with pytest.raises(ValueError, match="graph 1 has neither `pos`"):
        Graphs.from_pyg([items[0], data.Data(x=torch.zeros(2, 1))])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Graphs(torch.zeros(3)), r"pos must be \[n, d\]"),
        (lambda: Graphs(torch.zeros(3, 2), ptr=torch.tensor([0.0, 3.0])), "ptr must be int64"),
        (lambda: Graphs(torch.zeros(3, 2), ptr=torch.tensor([0, 2])), "ptr must rise from 0 to the 3 nodes"),
        (lambda: Graphs(torch.zeros(3, 2), ptr=torch.tensor([1, 3])), "ptr must rise from 0"),
        (lambda: Graphs(torch.zeros(3, 2), ptr=torch.tensor([0, 4, 3])), "ptr must rise from 0"),
        (lambda: Graphs(torch.zeros(3, 2), torch.zeros(2, 1)), "x must have one row for each of the 3 nodes"),
        (lambda: Graphs(torch.zeros(3, 2), torch.zeros(3)), r"x must be \[n, f\]"),
        (lambda: Graphs(torch.zeros(3, 2), mask=torch.ones(2, dtype=torch.bool)), "mask must have one row"),
        (lambda: Graphs(torch.zeros(3, 2), label=torch.zeros(2)), r"label must be \[1\]"),
        (lambda: Graphs(torch.zeros(3, 2), edge_index=torch.zeros(3, 2)), r"edge_index must be \[2, e\]"),
        (lambda: Graphs(torch.zeros(3, 2), edge_attr=torch.zeros(1, 2)), "edge_attr must have one row"),
        (lambda: Graphs.dense(torch.zeros(3, 2)), r"pos must be \[g, n, d\]"),
        (lambda: Graphs.ragged([]), "at least one graph"),
        (lambda: Graphs.collate([]), "at least one batch"),
        (
            lambda: Graphs.collate([Graphs(torch.zeros(1, 2)), Graphs(torch.zeros(1, 2), torch.zeros(1, 1))]),
            "must all have x, or none",
        ),
        (
            lambda: Graphs.collate([Graphs(torch.zeros(1, 2)), Graphs(torch.zeros(1, 3))]),
            "same dimension and number of features",
        ),
        (
            lambda: Graphs.collate([Graphs(torch.zeros(1, 2), classes=("a",)), Graphs(torch.zeros(1, 2))]),
            "classes",
        ),
        (lambda: Graphs.dense(torch.zeros(3, 2, 1)).split(1.0), "fraction must lie strictly between 0 and 1"),
        (lambda: Graphs(torch.zeros(3, 2)).split(0.5), "at least 2 graphs, got 1"),
        (lambda: Graphs(torch.zeros(3, 2)).thin(0, torch.rand(3)), "nodes must be at least 1, got 0"),
    ],
)
def test_errors_name_the_argument(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_collating_matches_features_and_codes_by_name():
    a = Graphs(torch.zeros(2, 1), torch.tensor([[1.0, 2], [3, 4]]), feature_names=("u", "v"),
               label=torch.tensor([1]), classes=("p", "q"), node_type=torch.tensor([0, 1]),
               node_types=("C", "N"))  # fmt: skip
    b = Graphs(torch.zeros(1, 1), torch.tensor([[6.0, 5]]), feature_names=("v", "u"),
               label=torch.tensor([0]), classes=("r",), node_type=torch.tensor([0]),
               node_types=("N",))  # fmt: skip
    whole = Graphs.collate([a, b])
    assert whole.x.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert [whole.classes[i] for i in whole.label.tolist()] == ["q", "r"]
    assert [whole.node_types[i] for i in whole.node_type.tolist()] == ["C", "N", "N"]
    with pytest.raises(ValueError, match="'w'"):
        Graphs.collate([a, b.replace(feature_names=("v", "w"))])
    assert whole[1:].feature_names == ("u", "v")
    assert whole[1:].node_type.tolist() == [1]


def test_an_origin_keeps_what_float32_would_round():
    user = torch.tensor([[5155487.125, 3.0], [5155487.375, 4.0]], dtype=torch.float64)
    a = Graphs((user - user[0]).float(), origin=tuple(user[0].tolist()))
    assert torch.equal(a.coordinates, user)
    b = a.rebased((5155480.0, 0.0))
    assert torch.equal(b.coordinates, user)  # eighths are exact in float32 as far as 2^20
    assert torch.equal(Graphs.collate([b, a]).coordinates, torch.cat([user, user]))


def test_edges_of_unsorted_batches_follow_their_graphs():
    edges = torch.tensor([[3, 0, 4, 1], [4, 1, 3, 0]])
    graphs = Graphs(torch.arange(5.0)[:, None], ptr=torch.tensor([0, 2, 5]), edge_index=edges,
                    edge_type=torch.tensor([5, 6, 7, 8]))  # fmt: skip
    second = graphs[[1, 0]]
    ends = second.pos[second.edge_index][..., 0]
    assert ends.tolist() == [[3, 4, 0, 1], [4, 3, 1, 0]]
    assert second.edge_type.tolist() == [5, 7, 6, 8]


def _seasons(sizes, group):
    ptr = torch.tensor([0, *sizes]).cumsum(0)
    pos = torch.arange(int(ptr[-1]), dtype=torch.float32)[:, None]
    return Graphs(pos, ptr=ptr, group=torch.tensor(group), time=torch.tensor(group) + 10)


def test_groups_travel_with_their_graphs():
    graphs = _seasons([1, 2, 0, 3], [7, 7, -2, 9])
    assert graphs[[3, 0]].group.tolist() == [9, 7]
    assert graphs[[3, 0]].time.tolist() == [19, 17]
    assert graphs[graphs.sizes > 1].group.tolist() == [7, 9]
    assert Graphs.collate([graphs[2:], graphs]).time.tolist() == [8, 19, 17, 17, 8, 19]
    assert Graphs.collate([graphs[2:], graphs]).group.tolist() == [-2, 9, 7, 7, -2, 9]
    assert graphs.to(dtype=torch.float64).group.dtype == torch.int64
    assert graphs.thin(1, torch.rand(6)).group.tolist() == [7, 7, -2, 9]
    taken = take(graphs, [np.array([4, 5]), np.array([2]), np.array([0])])
    assert taken.group.tolist() == [9, 7, 7]


def test_a_split_keeps_groups_whole():
    group = torch.tensor([0, 1, 2, 3, 4] * 3 + [4] * 5)
    graphs = _seasons([2] * 20, group.tolist())
    seen = set()
    for seed in range(8):
        first, second = graphs.split(0.7, seed)
        assert not set(first.group.tolist()) & set(second.group.tolist())
        assert sorted(torch.cat([first.pos, second.pos]).flatten().tolist()) == list(range(40))
        assert abs(len(first) - 14) <= 3  # groups have 3 or 8 graphs
        seen.add(tuple(second.group.unique().tolist()))
    assert len(seen) > 1


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"group": torch.tensor([1])}, "group"),
        ({"group": torch.tensor([0.0, 1.0, 2.0])}, "group"),
        ({"time": torch.tensor([0.0, 1.0, 2.0])}, "time"),
    ],
)
def test_a_group_that_does_not_fit_is_refused(changes, named):
    with pytest.raises(ValueError, match=named):
        _seasons([1, 1, 1], [0, 1, 2]).replace(**changes)
    with pytest.raises(ValueError, match="group"):
        Graphs.collate([_seasons([1], [0]), _seasons([1], [0]).replace(group=None)])
    with pytest.raises(ValueError, match="groups"):
        _seasons([1, 1], [5, 5]).split(0.5)
