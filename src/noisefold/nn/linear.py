r"""Linear maps of many rows, :math:`y = x W^T + b`, by the faster of the two libraries torch has on a CPU.

In float32 torch always takes MKL, which on some processors (AMD's) uses half of the vector units or less. The
other library, oneDNN, is two to three times faster there on matrices of many short rows (64 columns, 50,000
rows: 2.4 ms against 6.4 ms on one core of a Zen 5), and as fast elsewhere. Both compute in float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Linear", "linear"]

# oneDNN takes .4 ms or more for every new shape, and graphs of many sizes have a new one in every step, which
# a network uses ten times or so: below this many multiplications MKL is done before that is made up for.
_WORTH = 1 << 24
_AVAILABLE = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Map rows ``x [..., a]`` by ``weight [b, a]`` and ``bias [b]`` to ``[..., b]``."""
    if (
        not _AVAILABLE
        or x.device.type != "cpu"
        or x.dtype is not torch.float32
        or weight.dtype is not torch.float32
        or x.numel() * weight.shape[0] < _WORTH
        or torch.is_autocast_enabled("cpu")
    ):
        return functional.linear(x, weight, bias)
    if x.ndim != 2:
        return linear(x.reshape(-1, x.shape[-1]), weight, bias).view(*x.shape[:-1], weight.shape[0])
    out: Tensor = _Product.apply(x, weight, bias)  # type: ignore[no-untyped-call]
    return out


class Linear(nn.Linear):
    """`torch.nn.Linear`, computed by `linear`."""

    def forward(self, input: Tensor) -> Tensor:
        """Map ``[..., in_features]`` to ``[..., out_features]``."""
        return linear(input, self.weight, self.bias)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        # Given a part of a wider matrix, oneDNN falls back to plain loops, a thousand times slower.
        out: Tensor = torch.ops.mkldnn._linear_pointwise(
            x.contiguous(), weight.contiguous(), bias, "none", [], ""
        )
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        to_x, to_weight, to_bias = ctx.needs_input_grad
        return (
            linear(grad, weight.t()) if to_x else None,
            grad.t() @ x if to_weight else None,
            grad.sum(0) if to_bias else None,
        )
