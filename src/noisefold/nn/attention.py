r"""Attention between two padded sets, :math:`\mathrm{softmax}(q k^T / \sqrt{c}) v` in several heads."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from noisefold.nn.blocks import Modulation, perceptron
from noisefold.nn.linear import Linear

__all__ = ["Attention", "Transformer"]


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    bias = None if mask is None else mask[:, None, None, :]
    if q.dtype is not torch.bfloat16 or q.device.type != "cpu":
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    # PyTorch's fused kernel is 2 to 7 times slower than this in bfloat16 on a CPU, backward included.
    scores = q @ (k * k.shape[-1] ** -0.5).transpose(-1, -2)
    if bias is not None:
        scores = scores.masked_fill(~bias, float("-inf"))
    mixed: Tensor = scores.softmax(-1) @ v
    return mixed


class Attention(nn.Module):
    """Multi-head attention of queries ``[g, a, width]`` over a context ``[g, b, context]``.

    Parameters
    ----------
    width
        Columns of the queries and of the result.
    context
        Columns of what is attended to.
    heads
        Number of heads; must divide `inner`.
    inner
        Columns of queries, keys and values of all heads together; default the smaller of the two widths.

    Raises
    ------
    ValueError
        If the heads do not divide the inner width.
    """

    def __init__(self, width: int, context: int, heads: int, inner: int | None = None) -> None:
        super().__init__()
        inner = inner or min(width, context)
        if inner % heads:
            raise ValueError(f"heads must divide the attention's width {inner}, got {heads}.")
        self.heads = heads
        self.to_q = Linear(width, inner, bias=False)
        self.to_kv = Linear(context, 2 * inner, bias=False)
        self.out = Linear(inner, width)

    def forward(self, queries: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend; ``mask [g, b]`` is True where the context is real, None where all of it is."""
        q = self._split(self.to_q(queries))
        k, v = (self._split(part) for part in self.to_kv(context).chunk(2, dim=-1))
        merged: Tensor = self.out(_attend(q, k, v, mask).transpose(1, 2).flatten(2))
        return merged

    def _split(self, h: Tensor) -> Tensor:
        split: Tensor = h.unflatten(-1, (self.heads, -1))
        return split.transpose(1, 2)


class Transformer(nn.Module):
    """Pre-norm self-attention and perceptron on ``h [g, m, width]``, modulated by the noise level."""

    def __init__(self, width: int, condition: int, heads: int, expansion: int = 4) -> None:
        super().__init__()
        self.norm_attention = Modulation(width, condition)
        self.attention = Attention(width, width, heads)
        self.norm_mlp = Modulation(width, condition)
        self.mlp = perceptron(width, expansion * width, width)

    def forward(self, h: Tensor, condition: Tensor) -> Tensor:
        """One block."""
        a = self.norm_attention(h, condition)
        h = h + self.attention(a, a)
        out: Tensor = h + self.mlp(self.norm_mlp(h, condition))
        return out
