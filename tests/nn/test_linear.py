import copy

import pytest
import torch

from noisefold.nn import linear as module
from noisefold.nn.linear import Linear, linear


@pytest.fixture
def always(monkeypatch):
    """The fast way for any size."""
    if not module._AVAILABLE:
        pytest.skip("this build of torch has no oneDNN")
    monkeypatch.setattr(module, "_WORTH", 0)


def inputs(layout="rows"):
    torch.manual_seed(0)
    x, weight = torch.randn(7, 5), torch.randn(4, 5)
    if layout == "part":
        x, weight = torch.randn(7, 9)[:, 2:7], torch.randn(4, 9)[:, 2:7]
    if layout == "columns":
        x, weight = torch.randn(5, 7).t(), torch.randn(5, 4).t()
    return x, weight, torch.randn(4)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layout", ["rows", "part", "columns"])
def test_value_and_gradients_are_those_of_torch_in_float64(always, layout, bias):
    single = [v.detach().requires_grad_() for v in inputs(layout)]
    double = [v.detach().double().requires_grad_() for v in inputs(layout)]
    out = linear(single[0], single[1], single[2] if bias else None)
    exact = torch.nn.functional.linear(double[0], double[1], double[2] if bias else None)
    assert type(out.grad_fn).__name__ == "_ProductBackward"
    weight = torch.randn(7, 4)
    (out * weight).sum().backward()
    (exact * weight).sum().backward()
    # float32 keeps 1e-7 of sums of at most seven numbers of about one.
    torch.testing.assert_close(out.double(), exact, rtol=1e-5, atol=1e-5)
    for a, b in zip(single[: 2 + bias], double, strict=False):
        torch.testing.assert_close(a.grad.double(), b.grad, rtol=1e-5, atol=1e-5)


def test_expanded_gradients_and_second_derivatives(always):
    x, weight, bias = (v.requires_grad_() for v in inputs())
    linear(x, weight, bias).sum().backward()
    torch.testing.assert_close(x.grad, weight.sum(0).expand(7, 5))
    # With L = |x W^T|^2 / 2 the gradient in x is x W^T W, whose gradient against v is linear in both.
    value = linear(x, weight).square().sum() / 2
    (first,) = torch.autograd.grad(value, x, create_graph=True)
    v = torch.randn(7, 5)
    to_x, to_weight = torch.autograd.grad((first * v).sum(), (x, weight))
    torch.testing.assert_close(to_x, v @ weight.T @ weight, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(to_weight, weight @ (x.T @ v + v.T @ x), rtol=1e-4, atol=1e-4)


def test_more_than_two_dimensions(always):
    x, weight, bias = inputs()
    stacked = torch.stack([x, -x])
    out = linear(stacked, weight, bias)
    torch.testing.assert_close(out, torch.nn.functional.linear(stacked, weight, bias))


def test_small_products_and_other_types_are_torch_s_own():
    x, weight, bias = inputs()
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        a, w, b = x.to(dtype), weight.to(dtype), bias.to(dtype)
        assert torch.equal(linear(a, w, b), torch.nn.functional.linear(a, w, b))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert linear(x, weight, bias).dtype == torch.bfloat16


def test_the_layer_is_torch_s_with_its_weights(always):
    torch.manual_seed(0)
    ours = Linear(5, 4)
    theirs = torch.nn.Linear(5, 4)
    theirs.load_state_dict(copy.deepcopy(ours.state_dict()))
    x = torch.randn(7, 5)
    torch.testing.assert_close(ours(x), theirs(x))
