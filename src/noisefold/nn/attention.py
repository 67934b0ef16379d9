r"""Attention between two padded sets, :math:`\mathrm{softmax}(q k^T / \sqrt{c}) v` in several heads."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from noisefold.nn.blocks import Modulation, perceptron
from noisefold.nn.linear import Linear, linear

__all__ = ["Attention", "Place", "Places", "Transformer"]

# Bytes of scores that are computed at once where no gradient needs them all: about what caches hold.
_AT_ONCE = 1 << 21


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    # PyTorch's fused kernels on a CPU are 2 to 7 times slower than this in bfloat16, and twice as slow where
    # queries have other columns than values, backward included.
    plain = q.device.type == "cpu" and (q.dtype is torch.bfloat16 or q.shape[-1] != v.shape[-1])
    if not plain:
        bias = None if mask is None else mask[:, None, None, :]
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale)
    k = k if scale == 1 else k * scale
    count = len(q)
    if not torch.is_grad_enabled():
        count = max(1, _AT_ONCE // max(1, math.prod(q.shape[1:3]) * k.shape[2] * q.element_size()))
    if count >= len(q):
        return _mixed(q, k, v, mask)
    parts = []
    for i in range(0, len(q), count):
        here = slice(i, i + count)
        parts.append(_mixed(q[here], k[here], v[here], None if mask is None else mask[here]))
    return torch.cat(parts)


def _mixed(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    scores = q @ k.transpose(-1, -2)
    if mask is not None:
        scores = scores.masked_fill(~mask[:, None, None, :], float("-inf"))
    mixed: Tensor = scores.softmax(-1) @ v
    return mixed


@dataclass(frozen=True)
class Place:
    """Where the nodes are, as attention sees it; made by `Places`, for all blocks of a network.

    Parameters
    ----------
    turn
        Complex factors of the pairs of columns of queries and of keys, ``[g, m, 2, heads, c / 2]``; those of
        keys hold the scale 1/sqrt(c).
    ends
        Further columns of queries and of keys, whose products are the prices of the distances,
        ``[2, g, heads, m, d + 1]``.

    Both may have 1 in the place of g, for all graphs.
    """

    turn: Tensor
    ends: Tensor

    def __call__(self, qk: Tensor) -> tuple[Tensor, Tensor]:
        """Queries and keys ``[g, heads, m, c + d + 1]`` whose products are the logits.

        Parameters
        ----------
        qk
            Queries and keys ``[g, m, 2, heads, c]``, pairs of columns side by side (see `paired`).
        """
        # bfloat16 has no complex numbers, and turns without rounding are as fast.
        pairs = qk.to(self.turn.real.dtype).unflatten(-1, (-1, 2))
        turned = torch.view_as_real(torch.view_as_complex(pairs) * self.turn).flatten(-2)
        turned = turned.to(qk.dtype).permute(2, 0, 3, 1, 4)
        ends = self.ends.to(qk.dtype).expand(-1, len(qk), -1, -1, -1)
        both = torch.cat([turned, ends], dim=-1)
        return both[0], both[1]


def paired(weight: Tensor, heads: int) -> Tensor:
    """Rows of a map to the columns of all heads, ``[heads c, w]``: 0, c/2, 1, c/2 + 1 and so on of each."""
    pairs: Tensor = weight.unflatten(0, (heads, 2, -1))
    return pairs.transpose(1, 2).flatten(0, 2)


class Places(nn.Module):
    r"""What a node attends to depends on where others are relative to it, and on the noise.

    Columns j and j + c/2 of head h are turned by the angle :math:`\omega_{hj} \cdot p`, with learned waves
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
        Attention heads, and the even number of columns c of each.
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

    def price(self, condition: Tensor) -> Tensor:
        """Price of a squared distance for each head, ``[g, heads]`` of a condition ``[g, w]``."""
        return functional.softplus(self.nearness(condition))

    def forward(self, pos: Tensor, condition: Tensor) -> Place:
        """The place of positions ``[g, m, d]`` under a condition ``[g, w]``; either may be one for all."""
        # Angles go up to a hundred radians, of which bfloat16 would leave a few tenths.
        with torch.autocast(pos.device.type, enabled=False):
            angles = torch.einsum("gmd,hcd->gmhc", pos, self.waves.to(pos.dtype))
        turn = torch.polar(torch.ones_like(angles), angles)
        scale = (2 * self.waves.shape[1]) ** -0.5
        # -|a - b|^2 = 2 a.b - |b|^2 - |a|^2, whose last term is the same for all that a query looks at: the
        # distance needs no matrix of its own.
        price = self.price(condition).to(pos.dtype)[..., None, None]
        pos = pos[:, None]
        asked = 2 * price * pos
        asked = torch.cat([asked, -price.expand(*asked.shape[:-1], 1)], dim=-1)
        offered = torch.cat([pos, pos.square().sum(-1, keepdim=True)], dim=-1)
        ends = torch.stack(torch.broadcast_tensors(asked, offered))
        return Place(torch.stack([turn, scale * turn], dim=2), ends)


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
        """Attend; ``mask [g, b]`` is True where the context is real, None where all of it is.

        With a place, which is that of the queries, they attend to one another, and the context is not used.
        """
        if place is None:
            q = self._split(self.to_q(queries))
            k, v = (self._split(part) for part in self.to_kv(context).chunk(2, dim=-1))
            scale = k.shape[-1] ** -0.5
        else:
            q, k, v = self._placed(queries, place)
            scale = 1.0
        merged: Tensor = self.out(_attend(q, k, v, mask, scale).transpose(1, 2).flatten(2))
        return merged

    def _placed(self, h: Tensor, place: Place) -> tuple[Tensor, Tensor, Tensor]:
        to_k, to_v = self.to_kv.weight.chunk(2)
        weight = torch.cat([paired(self.to_q.weight, self.heads), paired(to_k, self.heads), to_v])
        qkv = linear(h, weight).unflatten(-1, (3, self.heads, -1))
        q, k = place(qkv[:, :, :2])
        return q, k, qkv[:, :, 2].transpose(1, 2)

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
