import pytest
import torch

from noisefold.nn.dmp.pooling import Pooling

CASES = {
    "some": ([2, 0, 0, 4, 2, 2, 4], 5),
    "one": ([0, 0, 0], 1),
    "each": ([1, 2, 0], 3),
    "alone": ([0, 1, 2], 3),
    "none": ([], 2),
}


def pooling_of(name):
    assignment, count = CASES[name]
    return Pooling.of(torch.tensor(assignment, dtype=torch.int64), count)


@pytest.mark.parametrize("name", CASES)
def test_equals_a_dense_matrix(name):
    pooling = pooling_of(name)
    assignment, count = CASES[name]
    matrix = torch.nn.functional.one_hot(pooling.assignment, count).double().T
    torch.manual_seed(0)
    values, rows = torch.randn(len(assignment), 3).double(), torch.randn(count, 3).double()
    torch.testing.assert_close(pooling.sum(values), matrix @ values)
    torch.testing.assert_close(pooling.mean(values), matrix @ values / matrix.sum(1, keepdim=True).clamp(1))
    assert torch.equal(pooling.spread(rows), matrix.T @ rows)
    assert torch.equal(pooling.spread(rows, slice(1, 4)), (matrix.T @ rows)[1:4])
    assert pooling.counts[:, 0].tolist() == [assignment.count(i) for i in range(count)]
    assert torch.equal(pooling.order, torch.argsort(pooling.assignment, stable=True))


def test_first_and_second_derivatives():
    pooling = pooling_of("some")
    values = torch.randn(7, 2, dtype=torch.float64, requires_grad=True)
    rows = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    for function, argument in ((pooling.sum, values), (pooling.mean, values), (pooling.spread, rows)):
        # Squared, so that the first derivative depends on the argument.
        assert torch.autograd.gradcheck(lambda v, f=function: f(v).square(), argument)
        assert torch.autograd.gradgradcheck(lambda v, f=function: f(v).square(), argument)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_and_expanded_gradients(dtype):
    pooling = pooling_of("some")
    values = torch.randn(7, 8).to(dtype).requires_grad_()
    out = pooling.sum(values)
    assert out.dtype == dtype
    # Sums of at most three numbers of about one, in eight bits.
    torch.testing.assert_close(out.double(), pooling.sum(values.double()), rtol=0.02, atol=0.02)
    out.sum().backward()  # the gradient of a sum is one number, expanded
    assert torch.equal(values.grad, torch.ones_like(values))
    rows = torch.randn(5, 8, requires_grad=True)
    pooling.spread(rows).T.sum().backward()
    assert torch.equal(rows.grad, pooling.counts.float().expand(5, 8))
