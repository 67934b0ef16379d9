r"""Linear maps of many rows, :math:`y = x W^T + b`, by the faster of the two CPU libraries in torch.

torch multiplies float32 matrices with MKL, which on AMD processors uses half of the vector units or fewer.
The other library, oneDNN, is faster there on matrices of many short rows, and torch reaches it for float32
only by a private operator. `set_onednn` switches the operator on and off; it is on by default wherever torch
has it, and `torch.nn.functional.linear` computes the same map elsewhere. Both compute in float32, and differ
in the order of their sums. ``benchmarks/shapes.py linear`` measures the two on the machine at hand.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Linear", "linear", "onednn_enabled", "set_onednn"]

# oneDNN takes 0.4 ms or more for every new shape, and ragged batches have a new one in every step, used about
# ten times: below this many multiplications MKL is done before that pays off.
_WORTH = 1 << 24
_enabled = True


@functools.cache
def _operator() -> Callable[..., Tensor] | None:
    """Return oneDNN's linear map, or None if this build of torch has none that can be called as expected."""
    if not torch.backends.mkldnn.is_available():
        return None
    try:
        operator: Callable[..., Tensor] = torch.ops.mkldnn._linear_pointwise
        operator(torch.ones(2, 2), torch.ones(2, 2), None, "none", [], "")
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        return None
    return operator


def onednn_enabled() -> bool:
    """Return whether large float32 products on a CPU are computed by oneDNN."""
    return _enabled and _operator() is not None


def set_onednn(enabled: bool) -> None:
    """Compute large float32 products on a CPU by oneDNN, or by torch's own choice of library.

    Parameters
    ----------
    enabled
        True, the default, has no effect where torch lacks the operator.
    """
    global _enabled
    _enabled = enabled


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Map rows ``x [..., a]`` by ``weight [b, a]`` and ``bias [b]`` to ``[..., b]``."""
    if (
        x.device.type != "cpu"
        or x.dtype is not torch.float32
        or weight.dtype is not torch.float32
        or x.numel() * weight.shape[0] < _WORTH
        or torch.is_autocast_enabled("cpu")
        or not onednn_enabled()
    ):
        return functional.linear(x, weight, bias)
    if x.ndim != 2:
        return linear(x.reshape(-1, x.shape[-1]), weight, bias).view(*x.shape[:-1], weight.shape[0])
    out: Tensor = _Product.apply(x, weight, bias)  # type: ignore[no-untyped-call]
    return out


class Linear(nn.Linear):
    r"""`torch.nn.Linear` computed by `linear`: :math:`y = x W^T + b`.

    Shapes:
        - **x** ``[..., in_features]``
        - **output** ``[..., out_features]``
    """

    def forward(self, input: Tensor) -> Tensor:
        """Map ``[..., in_features]`` to ``[..., out_features]``."""
        return linear(input, self.weight, self.bias)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        operator = _operator()
        assert operator is not None
        # Given a slice of a wider matrix, oneDNN falls back to plain loops, a thousand times slower.
        return operator(x.contiguous(), weight.contiguous(), bias, "none", [], "")

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        to_x, to_weight, to_bias = ctx.needs_input_grad
        return (
            linear(grad, weight.t()) if to_x else None,
            grad.t() @ x if to_weight else None,
            grad.sum(0) if to_bias else None,
        )
