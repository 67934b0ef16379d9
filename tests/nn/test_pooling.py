import pytest
import torch

from noisefold.nn.dmp.pooling import Pooling

CELLS = {
    "some": ([2, 0, 0, 4, 2, 2, 4], 5),
    "one": ([0, 0, 0], 1),
    "each": ([1, 2, 0], 3),
    "alone": ([0, 1, 2], 3),
    "none": ([], 2),
}


def members_of(name):
    cell, cells = CELLS[name]
    return Pooling.of(torch.tensor(cell, dtype=torch.int64), cells)


@pytest.mark.parametrize("name", CELLS)
def test_against_a_dense_matrix(name):
    members = members_of(name)
    cell, cells = CELLS[name]
    matrix = torch.nn.functional.one_hot(members.cell, cells).double().T
    torch.manual_seed(0)
    values, rows = torch.randn(len(cell), 3).double(), torch.randn(cells, 3).double()
    torch.testing.assert_close(members.sum(values), matrix @ values)
    torch.testing.assert_close(members.mean(values), matrix @ values / matrix.sum(1, keepdim=True).clamp(1))
    assert torch.equal(members.spread(rows), matrix.T @ rows)
    assert torch.equal(members.spread(rows, slice(1, 4)), (matrix.T @ rows)[1:4])
    assert members.counts[:, 0].tolist() == [cell.count(i) for i in range(cells)]
    assert torch.equal(members.order, torch.argsort(members.cell, stable=True))


def test_first_and_second_derivatives():
    members = members_of("some")
    values = torch.randn(7, 2, dtype=torch.float64, requires_grad=True)
    rows = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    for function, argument in ((members.sum, values), (members.mean, values), (members.spread, rows)):
        # Squared, so that the first derivative depends on the argument.
        assert torch.autograd.gradcheck(lambda v, f=function: f(v).square(), argument)
        assert torch.autograd.gradgradcheck(lambda v, f=function: f(v).square(), argument)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_and_gradients_that_are_not_in_rows(dtype):
    members = members_of("some")
    values = torch.randn(7, 8).to(dtype).requires_grad_()
    out = members.sum(values)
    assert out.dtype == dtype
    # Sums of at most three numbers of about one, in eight bits.
    torch.testing.assert_close(out.double(), members.sum(values.double()), rtol=0.02, atol=0.02)
    out.sum().backward()  # the gradient of a sum is one number, expanded
    assert torch.equal(values.grad, torch.ones_like(values))
    rows = torch.randn(5, 8, requires_grad=True)
    members.spread(rows).T.sum().backward()
    assert torch.equal(rows.grad, members.counts.float().expand(5, 8))
