from __future__ import annotations

import itertools
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from noisefold.geometry.pairs import edges_to_pairs, pack, pair_index, pair_ptr, pairs_to_edges, unpack

SIZES = st.lists(st.integers(0, 7), min_size=0, max_size=6)


def offsets(sizes):
    return torch.tensor([0, *sizes]).cumsum(0)


def rows(sizes):
    """The rows of every graph."""
    return [range(a, b) for a, b in itertools.pairwise(offsets(sizes).tolist())]


def random_matrices(sizes, seed, extra=()):
    """Symmetric matrices of small integers, as if every entry were a pair's; also outside of the graphs."""
    generator = torch.Generator().manual_seed(seed)
    m = max(sizes, default=0)
    dense = torch.randint(0, 4, (len(sizes), m, m, *extra), generator=generator)
    return dense.triu() + dense.triu(1).mT if not extra else dense + dense.transpose(1, 2)


@settings(deadline=None, max_examples=60)
@given(sizes=SIZES)
def test_index_equals_combinations(sizes):
    ptr = offsets(sizes)
    truth = [list(itertools.combinations(nodes, 2)) for nodes in rows(sizes)]
    index = pair_index(ptr)
    assert index.dtype == torch.int64
    assert index.T.tolist() == [list(pair) for graph in truth for pair in graph]
    assert pair_ptr(ptr).diff().tolist() == [len(graph) for graph in truth]


def test_order_is_that_of_the_upper_triangle():
    assert torch.equal(pair_index(torch.tensor([0, 9])), torch.triu_indices(9, 9, 1))


@pytest.mark.parametrize("extra", [(), (3,)])
@settings(deadline=None, max_examples=40)
@given(sizes=SIZES, seed=st.integers(0, 1000), more=st.integers(0, 2))
def test_pack_and_unpack_equal_loops(extra, sizes, seed, more):
    ptr = offsets(sizes)
    dense = random_matrices(sizes, seed, extra)
    packed = pack(dense, ptr)
    nodes = [(g, i, j) for g, n in enumerate(sizes) for i, j in itertools.combinations(range(n), 2)]
    assert packed.shape == (len(nodes), *extra)
    for value, (g, i, j) in zip(packed, nodes, strict=True):
        assert torch.equal(value, dense[g, i, j])
    m = max(sizes, default=0) + more
    again = unpack(packed, ptr, size=m, fill=-1)
    truth = torch.full((len(sizes), m, m, *extra), -1)
    for value, (g, i, j) in zip(packed, nodes, strict=True):
        truth[g, i, j] = truth[g, j, i] = value
    assert torch.equal(again, truth)
    assert torch.equal(again, again.transpose(1, 2))
    assert torch.equal(pack(again, ptr), packed)


def test_gradients():
    ptr = offsets([3, 0, 1, 4])
    dense = torch.randn(4, 5, 5, dtype=torch.float64, requires_grad=True)
    pairs = torch.randn(9, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda d: pack(d, ptr), dense)
    assert torch.autograd.gradcheck(lambda p: unpack(p, ptr), pairs)


def test_a_graph_does_not_depend_on_its_batch():
    sizes = [4, 1, 6, 0, 3]
    ptr = offsets(sizes)
    index, bounds = pair_index(ptr), pair_ptr(ptr).tolist()
    for g, n in enumerate(sizes):
        alone = pair_index(torch.tensor([0, n]))
        assert torch.equal(index[:, bounds[g] : bounds[g + 1]] - ptr[g], alone)


@settings(deadline=None, max_examples=60)
@given(sizes=SIZES, seed=st.integers(0, 1000))
def test_edges_and_pairs_are_inverse(sizes, seed):
    ptr = offsets(sizes)
    pairs = pack(random_matrices(sizes, seed), ptr)
    edges, kind = pairs_to_edges(pairs, ptr)
    # Against all ordered pairs of nodes of a graph.
    dense = unpack(pairs, ptr)
    truth = [
        (ptr[g].item() + i, ptr[g].item() + j, int(dense[g, i, j]) - 1)
        for g, n in enumerate(sizes)
        for j in range(n)
        for i in range(n)
        if dense[g, i, j] > 0
    ]
    assert [(*e, k) for e, k in zip(edges.T.tolist(), kind.tolist(), strict=True)] == truth
    assert torch.equal(edges_to_pairs(edges, kind, ptr), pairs)
    # In any order, and in one direction only, whichever that is.
    shuffle = torch.randperm(len(kind), generator=torch.Generator().manual_seed(seed))
    assert torch.equal(edges_to_pairs(edges[:, shuffle], kind[shuffle], ptr), pairs)
    for once in (edges[0] < edges[1], edges[0] > edges[1]):
        assert torch.equal(edges_to_pairs(edges[:, once], kind[once], ptr), pairs)


def test_edges_without_types_are_of_the_first():
    ptr = offsets([3, 2])
    assert edges_to_pairs(torch.tensor([[0, 4], [2, 3]]), None, ptr).tolist() == [0, 1, 0, 1]


@settings(deadline=None, max_examples=60)
@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4), seed=st.integers(0, 1000))
def test_simplified_edges_equal_a_dictionary(sizes, seed):
    generator = torch.Generator().manual_seed(seed)
    ptr = offsets(sizes)
    owner = torch.randint(0, len(sizes), (30,), generator=generator)
    ends = [ptr[owner] + (torch.rand(30, generator=generator) * ptr.diff()[owner]).long() for _ in range(2)]
    edges, kind = torch.stack(ends), torch.randint(0, 5, (30,), generator=generator)
    truth: dict[tuple[int, int], int] = {}
    for (a, b), k in zip(edges.T.tolist(), kind.tolist(), strict=True):
        if a != b:
            pair = (min(a, b), max(a, b))
            truth[pair] = min(truth.get(pair, k), k)
    expected = [1 + truth[(i, j)] if (i, j) in truth else 0 for i, j in pair_index(ptr).T.tolist()]
    assert edges_to_pairs(edges, kind, ptr, simplify=True).tolist() == expected


@pytest.mark.parametrize(
    ("edges", "kind", "name"),
    [
        ([[0, 1], [1, 1]], [0, 0], "self-loops"),
        ([[0, 0], [1, 1]], [0, 0], "multi-edges"),
        ([[0, 1], [1, 0]], [0, 1], "multi-edges"),
        ([[0, 1], [1, 3]], [0, 0], "edge_index"),
        ([[0], [5]], [0], "edge_index"),
        ([[-1], [1]], [0], "edge_index"),
        ([[0], [1]], [-1], "edge_type"),
        ([[0], [1]], [0, 0], "edge_type"),
        ([[0]], [0], "edge_index"),
    ],
)
def test_edges_that_are_no_simple_graph_are_refused(edges, kind, name):
    with pytest.raises(ValueError, match=name):
        edges_to_pairs(torch.tensor(edges), torch.tensor(kind), offsets([3, 2]))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda ptr: pack(torch.zeros(2, 2, 2), ptr), "dense"),
        (lambda ptr: pack(torch.zeros(1, 3, 3), ptr), "dense"),
        (lambda ptr: pack(torch.zeros(2, 3, 4), ptr), "dense"),
        (lambda ptr: unpack(torch.zeros(3), ptr), "pairs"),
        (lambda ptr: unpack(torch.zeros(4), ptr, size=2), "size"),
        (lambda ptr: pairs_to_edges(torch.tensor([0, 0, -1, 0]), ptr), "pairs"),
        (lambda ptr: pairs_to_edges(torch.zeros(4), ptr), "pairs"),
    ],
)
def test_what_does_not_fit_is_refused(call, name):
    with pytest.raises(ValueError, match=f"^{name} must"):
        call(offsets([3, 2]))


def test_cost_is_linear_in_the_pairs():
    # Five thousand graphs of twenty nodes: loops over graphs or n x n masks would take seconds.
    ptr = torch.arange(5_001) * 20
    pairs = torch.randint(0, 3, (5_000 * 190,), generator=torch.Generator().manual_seed(0))
    start = time.perf_counter()
    edges, kind = pairs_to_edges(pairs, ptr)
    assert torch.equal(edges_to_pairs(edges, kind, ptr), pairs)
    assert time.perf_counter() - start < 20
