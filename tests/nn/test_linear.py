import copy

import pytest
import torch

from noisefold.nn import linear as module
from noisefold.nn.linear import Linear, linear, onednn_enabled, set_onednn


@pytest.fixture
def onednn(monkeypatch):
    """The operator, for products of any size."""
    if not onednn_enabled():
        pytest.skip("this build of torch has no oneDNN")
    monkeypatch.setattr(module, "_WORTH", 0)


@pytest.fixture
def forget():
    """Look the operator up again, now and afterwards."""
    module._operator.cache_clear()
    yield
    module._operator.cache_clear()


def inputs(layout="rows"):
    torch.manual_seed(0)
    x, weight = torch.randn(7, 5), torch.randn(4, 5)
    if layout == "part":
        x, weight = torch.randn(7, 9)[:, 2:7], torch.randn(4, 9)[:, 2:7]
    if layout == "columns":
        x, weight = torch.randn(5, 7).t(), torch.randn(5, 4).t()
    return x, weight, torch.randn(4)


def value_and_gradients(x, weight, bias):
    out = linear(x, weight, bias)
    up = torch.randn(7, 4, generator=torch.Generator().manual_seed(1)).to(out)
    wanted = [v for v in (x, weight, bias) if v is not None]
    return out, *torch.autograd.grad((out * up).sum(), wanted)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layout", ["rows", "part", "columns"])
def test_value_and_gradients_equal_those_in_float64(onednn, layout, bias):
    single = [v.detach().requires_grad_() for v in inputs(layout)]
    double = [v.detach().double().requires_grad_() for v in inputs(layout)]
    if not bias:
        single[2] = double[2] = None
    assert type(linear(*single).grad_fn).__name__ == "_ProductBackward"
    # float32 keeps 1e-7 of sums of at most seven numbers of about one.
    for a, b in zip(value_and_gradients(*single), value_and_gradients(*double), strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=1e-5)


def test_expanded_gradients_and_second_derivatives(onednn):
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


def test_more_than_two_dimensions(onednn):
    x, weight, bias = inputs()
    stacked = torch.stack([x, -x])
    out = linear(stacked, weight, bias)
    torch.testing.assert_close(out, torch.nn.functional.linear(stacked, weight, bias))


def test_the_switch(onednn):
    x, weight, bias = (v.requires_grad_() for v in inputs())
    set_onednn(False)
    try:
        assert not onednn_enabled()
        assert type(linear(x, weight, bias).grad_fn).__name__ != "_ProductBackward"
    finally:
        set_onednn(True)
    assert type(linear(x, weight, bias).grad_fn).__name__ == "_ProductBackward"


def missing(*_):
    raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute '_linear_pointwise'")


def other_signature(*_):
    raise RuntimeError("mkldnn::_linear_pointwise() is missing value for argument 'scale'")


@pytest.mark.parametrize("why", ["no library", "no operator", "another signature"])
def test_without_the_operator_torch_computes_the_same(onednn, forget, monkeypatch, why):
    single = [v.detach().requires_grad_() for v in inputs()]
    fast = value_and_gradients(*single)
    module._operator.cache_clear()
    if why == "no library":
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    else:

        class Operators:
            def __getattr__(self, name):
                return missing() if why == "no operator" else other_signature

        monkeypatch.setattr(torch.ops, "mkldnn", Operators())
    assert not onednn_enabled()
    plain = value_and_gradients(*single)
    assert type(linear(*single).grad_fn).__name__ != "_ProductBackward"
    # Two orders of the same float32 sums of at most seven terms.
    for a, b in zip(fast, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_small_products_and_other_types_are_torch_s_own():
    x, weight, bias = inputs()
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        a, w, b = x.to(dtype), weight.to(dtype), bias.to(dtype)
        assert torch.equal(linear(a, w, b), torch.nn.functional.linear(a, w, b))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert linear(x, weight, bias).dtype == torch.bfloat16


def test_the_layer_is_torch_s_with_its_weights(onednn):
    torch.manual_seed(0)
    ours = Linear(5, 4)
    theirs = torch.nn.Linear(5, 4)
    theirs.load_state_dict(copy.deepcopy(ours.state_dict()))
    x = torch.randn(7, 5)
    torch.testing.assert_close(ours(x), theirs(x))
