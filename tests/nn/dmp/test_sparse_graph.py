import pytest
import torch

from noisefold.nn.dmp.sparse_graph import SparseGraph


def edges_of(sizes, seed=0):
    """Random edges with so many into each target, some sources many times and some never."""
    generator = torch.Generator().manual_seed(seed)
    degree = torch.tensor(sizes)
    target = torch.repeat_interleave(degree)
    source = torch.randint(0, max(len(sizes) - 1, 1), target.shape, generator=generator)
    ptr = torch.cat([torch.zeros(1, dtype=torch.int64), degree.cumsum(0)])
    return SparseGraph(source, target, ptr)


SIZES = [(3, 0, 2, 4), (1,), (0, 0), (2, 2, 2, 2, 2)]


@pytest.mark.parametrize("sizes", SIZES)
def test_aggregate_and_dot_equal_a_dense_matrix(sizes):
    edges, m = edges_of(sizes), len(sizes)
    torch.manual_seed(0)
    h, g = torch.randn(m, 3, dtype=torch.float64), torch.randn(m, 3, dtype=torch.float64)
    weight = torch.randn(edges.source.numel(), dtype=torch.float64)
    matrix = torch.zeros(m, m, dtype=torch.float64)
    count = torch.zeros(m, m, dtype=torch.float64)
    for s, t, w in zip(edges.source.tolist(), edges.target.tolist(), weight.tolist(), strict=True):
        matrix[t, s] += w
        count[t, s] += 1
    torch.testing.assert_close(edges.aggregate(h, weight), matrix @ h)
    torch.testing.assert_close(edges.aggregate(h), count @ h)
    torch.testing.assert_close(edges.dot(h, g), (h[edges.source] * g[edges.target]).sum(1))
    assert edges.degree.tolist() == list(sizes)


@pytest.mark.parametrize("sizes", SIZES[:1])
def test_first_and_second_derivatives(sizes):
    edges, m = edges_of(sizes), len(sizes)
    torch.manual_seed(0)
    h = torch.randn(m, 2, dtype=torch.float64, requires_grad=True)
    g = torch.randn(m, 2, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(edges.source.numel(), dtype=torch.float64, requires_grad=True)
    for function, inputs in ((edges.aggregate, (h, weight)), (edges.aggregate, (h,)), (edges.dot, (h, g))):
        assert torch.autograd.gradcheck(function, inputs)
        assert torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize("sizes", SIZES)
def test_reversal(sizes):
    edges = edges_of(sizes)
    order, back = edges.reversal
    assert torch.equal(back.target, edges.source[order])
    assert torch.equal(back.source, edges.target[order])
    assert (back.target.diff() >= 0).all()
    assert torch.equal(order, torch.argsort(edges.source, stable=True))
    assert torch.equal(back.degree, torch.bincount(edges.source, minlength=len(sizes)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype):
    edges = edges_of((3, 0, 2, 4))
    h = torch.randn(4, 8).to(dtype).requires_grad_()
    weight = torch.rand(9).to(dtype).requires_grad_()
    out = edges.aggregate(h, weight)
    assert out.dtype == dtype
    out.sum().backward()
    # Sums of at most four products of about one, in eight bits.
    torch.testing.assert_close(
        out.double(), edges.aggregate(h.double(), weight.double()), rtol=0.03, atol=0.03
    )
    exact = h.double()[edges.source].sum(1)
    torch.testing.assert_close(weight.grad.double(), exact, rtol=0.03, atol=0.06)
