import pytest
import torch

from noisefold.nn.dmp import complete_graph as module
from noisefold.nn.dmp.adjacency import Adjacency
from noisefold.nn.dmp.complete_graph import CompleteGraphs
from noisefold.nn.dmp.sparse_graph import SparseGraph

# float64: both ways add up the same few hundred terms of about one, in another order.
EXACT = {"rtol": 1e-12, "atol": 1e-12}
# Graphs of one size, of several, and large enough for prefix sums.
SIZES = {"one": (6,), "uniform": (5, 5, 5), "ragged": (1, 1, 2, 5, 5, 7), "large": (3, 300, 300)}


def complete_of(sizes):
    return CompleteGraphs(torch.tensor(sizes, dtype=torch.int64))


def edges_of(pairs, rows):
    degree = torch.bincount(pairs[1], minlength=rows)
    return SparseGraph(*pairs, torch.cat([degree.new_zeros(1), degree.cumsum(0)]))


def listed(complete):
    """The same neighbours as edges in a list."""
    graph = torch.repeat_interleave(complete.sizes)
    target, source = (graph[:, None] == graph).nonzero().unbind(1)
    return edges_of((source, target), complete.rows)


def draws(rows, width=3):
    generator = torch.Generator().manual_seed(0)
    shapes = ((rows, width), (rows,), (rows,))
    return [torch.randn(s, generator=generator, dtype=torch.float64).requires_grad_() for s in shapes]


def values_and_gradients(function, inputs):
    out = function(*inputs)
    weight = torch.sin(torch.arange(out.numel(), dtype=out.dtype)).view_as(out)
    return out, *torch.autograd.grad((out * weight).sum(), inputs)


@pytest.mark.parametrize("name", SIZES)
def test_attention_equals_that_along_edges(name):
    complete = complete_of(SIZES[name])
    inputs = draws(complete.rows)
    ours = values_and_gradients(complete.attend, inputs)
    theirs = values_and_gradients(listed(complete).attend, inputs)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, **EXACT)


@pytest.mark.parametrize("name", SIZES)
def test_mean_equals_that_along_edges(name):
    complete = complete_of(SIZES[name])
    weight = torch.randn(4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def mean(way):
        return lambda values: way.mean(values, lambda h: h @ weight.T + 1)

    inputs = draws(complete.rows)[:1]
    ours = values_and_gradients(mean(complete), inputs)
    theirs = values_and_gradients(mean(listed(complete)), inputs)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, **EXACT)


@pytest.mark.parametrize("name", SIZES)
def test_pairs_are_all_pairs(name):
    complete = complete_of(SIZES[name])
    edges = listed(complete)
    assert torch.equal(complete.pairs(), torch.stack([edges.source, edges.target]))
    assert complete.rows == sum(SIZES[name])


@pytest.mark.parametrize("sorted_from", [0, 1000])
@pytest.mark.parametrize("scale", [1.0, 30.0, 1e4])
def test_attention_with_logits_of_any_size(monkeypatch, sorted_from, scale):
    monkeypatch.setattr(module, "_SORTED", sorted_from)
    complete = complete_of((4, 9, 9))
    values, sent, received = draws(complete.rows)
    # Some equal scores, some at the kink, and all of one graph below it.
    sent, received = (t.detach() * scale for t in (sent, received))
    sent[5] = sent[6] = -received[7]
    received[-9:] -= 5 * scale
    expected = listed(complete).attend(values, sent, received)
    torch.testing.assert_close(complete.attend(values, sent, received), expected, **EXACT)


@pytest.mark.parametrize("sorted_from", [0, 1000])
def test_first_and_second_derivatives(monkeypatch, sorted_from):
    monkeypatch.setattr(module, "_SORTED", sorted_from)
    complete = complete_of((2, 4))
    inputs = draws(complete.rows, 2)
    assert torch.autograd.gradcheck(complete.attend, inputs)
    assert torch.autograd.gradgradcheck(complete.attend, inputs)


def test_single_precision_of_prefix_sums():
    complete = complete_of((400,))
    double = draws(400, 8)
    out = complete.attend(*(t.float() for t in double))
    # 400 weights of one sign, each to 1e-7 of its own: the mean of values of about one keeps 1e-6.
    torch.testing.assert_close(out.double(), complete.attend(*double), rtol=1e-5, atol=3e-6)


def test_memory_is_linear_in_the_nodes():
    nodes, width, sizes = 5000, 4, []

    def pack(tensor):
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        complete_of((nodes,)).attend(*draws(nodes, width))
    assert max(sizes) <= (nodes + 1) * (width + 1)


@pytest.mark.parametrize("near", [(), (2, 2, 2)])
@pytest.mark.parametrize("sizes", [(), (3, 3, 5)])
def test_adjacency_joins_edges_and_complete_graphs(near, sizes):
    adjacency = Adjacency(listed(complete_of(near)), complete_of(sizes))
    together = listed(complete_of((*near, *sizes)))
    for name in ("source", "target", "ptr"):
        assert torch.equal(getattr(adjacency.sparse, name), getattr(together, name))
    inputs = draws(sum(near) + sum(sizes))
    ours, theirs = (values_and_gradients(way.attend, inputs) for way in (adjacency, together))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, **EXACT)
    means = [way.mean(inputs[0], torch.neg) for way in (adjacency, together)]
    torch.testing.assert_close(*means, **EXACT)
