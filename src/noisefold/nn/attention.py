r"""Attention between two padded sets, :math:`\mathrm{softmax}(q k^T / \sqrt{c}) v` in several heads."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from noisefold.nn.blocks import Modulation, perceptron
from noisefold.nn.linear import Linear

__all__ = ["Attention", "Place", "Places", "Transformer"]


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    bias = None if mask is None else mask[:, None, None, :]
    if q.dtype is not torch.bfloat16 or q.device.type != "cpu":
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale)
    # PyTorch's fused kernel is 2 to 7 times slower than this in bfloat16 on a CPU, backward included.
    scores = q @ (k * scale).transpose(-1, -2)
    if bias is not None:
        scores = scores.masked_fill(~bias, float("-inf"))
    mixed: Tensor = scores.softmax(-1) @ v
    return mixed


@dataclass(frozen=True)
class Place:
    """Where the nodes are, as attention sees it; made by `Places`.

    Parameters
    ----------
    cos, sin
        Rotations of queries and keys, ``[g, heads, m, c / 2]``.
    pos
        Positions ``[g, 1, m, d]``.
    nearness
        Price of a squared distance for each head, ``[g, heads, 1, 1]``.
    """

    cos: Tensor
    sin: Tensor
    pos: Tensor
    nearness: Tensor

    def __call__(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Queries and keys ``[g, heads, m, c + d + 1]`` whose products are the logits, from ``[..., c]``."""
        # -|a - b|^2 = 2 a.b - |b|^2 - |a|^2, whose last term is the same for all that a query looks at: the
        # distance needs no matrix of its own.
        length = self.pos.square().sum(-1, keepdim=True)
        price = self.nearness.expand(*q.shape[:-1], 1)
        asked = torch.cat([2 * price * self.pos, -price], dim=-1)
        offered = torch.cat([self.pos, length], dim=-1).expand(*k.shape[:-1], -1)
        q = torch.cat([self._turned(q), asked.to(q.dtype)], dim=-1)
        k = torch.cat([self._turned(k) * k.shape[-1] ** -0.5, offered.to(k.dtype)], dim=-1)
        return q, k

    def _turned(self, h: Tensor) -> Tensor:
        first, second = h.chunk(2, dim=-1)
        cos, sin = self.cos.to(h.dtype), self.sin.to(h.dtype)
        return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


class Places(nn.Module):
    r"""What a node attends to depends on where others are relative to it, and on the noise.

    Pair j of the columns of head h is turned by the angle :math:`\omega_{hj} \cdot p`, with learned waves
    :math:`\omega`, so that :math:`q_a \cdot k_b` depends on :math:`p_a - p_b` alone; and from the logit
    :math:`\gamma_h(\lambda)\, |p_a - p_b|^2` is taken, so that each head has a range that follows the noise.
    Waves begin in random directions, from wavelength 8 down to 1/2 of a standard deviation of the data, and
    ranges from 5 down to 1/2.

    Source: the rotation, Su et al., RoFormer (2021).

    Parameters
    ----------
    pos_dim
        Dimension d of space.
    heads, columns
        Attention heads, and the even number of columns of each.
    condition
        Columns of the embedding of the noise level.

    Raises
    ------
    ValueError
        If the columns of a head are odd in number.
    """

    def __init__(self, pos_dim: int, heads: int, columns: int, condition: int) -> None:
        super().__init__()
        if columns % 2:
            raise ValueError(f"a head needs an even number of columns to turn them in pairs, got {columns}.")
        count = columns // 2
        directions = nn.functional.normalize(torch.randn(heads, count, pos_dim), dim=-1)
        size = torch.logspace(math.log10(2 * math.pi / 8), math.log10(2 * math.pi * 2), count)
        self.waves = nn.Parameter(directions * size[:, None])
        self.nearness = nn.Linear(condition, heads)
        nn.init.zeros_(self.nearness.weight)
        with torch.no_grad():
            # Inverse of softplus at 1 / (2 range^2).
            price = 0.5 / torch.logspace(math.log10(5), math.log10(0.5), heads) ** 2
            self.nearness.bias.copy_(price.expm1().log())

    def forward(self, pos: Tensor, condition: Tensor) -> Place:
        """The place of positions ``[g, m, d]`` under a condition ``[g, c]``."""
        angles = torch.einsum("gmd,hcd->ghmc", pos, self.waves.to(pos.dtype))
        price = functional.softplus(self.nearness(condition)).to(pos.dtype)
        return Place(angles.cos(), angles.sin(), pos[:, None], price[..., None, None])


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

    def forward(
        self, queries: Tensor, context: Tensor, mask: Tensor | None = None, place: Place | None = None
    ) -> Tensor:
        """Attend; ``mask [g, b]`` is True where the context is real, None where all of it is."""
        q = self._split(self.to_q(queries))
        k, v = (self._split(part) for part in self.to_kv(context).chunk(2, dim=-1))
        scale = k.shape[-1] ** -0.5
        if place is not None:
            (q, k), scale = place(q, k), 1.0
        merged: Tensor = self.out(_attend(q, k, v, mask, scale).transpose(1, 2).flatten(2))
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

    def forward(
        self, h: Tensor, condition: Tensor, mask: Tensor | None = None, place: Place | None = None
    ) -> Tensor:
        """One block; ``mask [g, m]`` is True where ``h`` is real, None where all of it is."""
        a = self.norm_attention(h, condition)
        h = h + self.attention(a, a, mask, place)
        out: Tensor = h + self.mlp(self.norm_mlp(h, condition))
        return out
