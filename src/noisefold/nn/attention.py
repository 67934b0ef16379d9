r"""Multi-head attention on padded sets, with rotary positions and distance penalties, and transformer blocks.

Attention of queries over a context, with c columns a head, is
:math:`\mathrm{softmax}(q k^T / \sqrt{c})\, v`. Self-attention on nodes at positions p may see relative
positions, see `RelativePosition`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from noisefold.nn.blocks import Modulation, perceptron
from noisefold.nn.linear import Linear, linear

__all__ = ["Attention", "PositionEncoding", "RelativePosition", "Transformer"]

# Bytes of logits that are computed at a time where no gradient needs all of them: about the size of a cache.
_AT_ONCE = 1 << 21
_LEAST_QUERIES = 64  # at a time, below which products are slow


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    # PyTorch's fused kernels on a CPU are 2 to 7 times slower than this in bfloat16, and twice as slow where
    # queries and values differ in their number of columns, backward included.
    plain = q.device.type == "cpu" and (q.dtype is torch.bfloat16 or q.shape[-1] != v.shape[-1])
    if not plain:
        bias = None if mask is None else mask[:, None, None, :]
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale)
    k = k if scale == 1 else k * scale
    if torch.is_grad_enabled():
        return _weighted(q, k, v, mask)
    # Some graphs at a time, and of a graph that is itself too large some queries.
    each = math.prod(q.shape[1:3]) * k.shape[2] * q.element_size()
    count = max(1, _AT_ONCE // max(1, each))
    rows = max(_LEAST_QUERIES, _AT_ONCE * q.shape[2] // max(1, each))
    parts = []
    for i in range(0, max(len(q), 1), count):
        here = slice(i, i + count)
        some, keys, values, real = q[here], k[here], v[here], None if mask is None else mask[here]
        first = _weighted(some[:, :, :rows], keys, values, real)
        if rows < some.shape[2]:
            # Into one tensor: kept pieces between those that are freed would break up the memory.
            whole = first.new_empty(*some.shape[:3], values.shape[3])
            whole[:, :, :rows] = first
            for start in range(rows, some.shape[2], rows):
                few = slice(start, start + rows)
                whole[:, :, few] = _weighted(some[:, :, few], keys, values, real)
            first = whole
        parts.append(first)
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def _weighted(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    logits = q @ k.transpose(-1, -2)
    if mask is not None:
        logits = logits.masked_fill(~mask[:, None, None, :], float("-inf"))
    values: Tensor = logits.softmax(-1) @ v
    return values


@dataclass(frozen=True)
class PositionEncoding:
    """Encoded positions of the nodes, computed once by `RelativePosition` for all blocks of a network.

    Parameters
    ----------
    rotation
        Complex factors of the column pairs of queries and keys, ``[g, m, 2, heads, c / 2]``; those of keys
        contain the scale 1/sqrt(c).
    distance
        Additional columns of queries and keys whose products are the negative distance penalties up to a
        constant of the query, ``[2, g, heads, m, d + 1]``.

    Both may have a leading 1 instead of g, for all graphs.
    """

    rotation: Tensor
    distance: Tensor

    def __call__(self, qk: Tensor) -> tuple[Tensor, Tensor]:
        """Return queries and keys ``[g, heads, m, c + d + 1]`` whose products are the logits.

        Parameters
        ----------
        qk
            Queries and keys ``[g, m, 2, heads, c]``, with the columns of a pair next to each other.
        """
        # bfloat16 has no complex numbers, and rotations without rounding are as fast.
        pairs = qk.to(self.rotation.real.dtype).unflatten(-1, (-1, 2))
        rotated = torch.view_as_real(torch.view_as_complex(pairs) * self.rotation).flatten(-2)
        rotated = rotated.to(qk.dtype).permute(2, 0, 3, 1, 4)
        distance = self.distance.to(qk.dtype).expand(-1, len(qk), -1, -1, -1)
        both = torch.cat([rotated, distance], dim=-1)
        return both[0], both[1]


def _interleaved(weight: Tensor, heads: int) -> Tensor:
    """Reorder the rows of a map ``[heads c, w]`` to 0, c/2, 1, c/2 + 1, ... within each head."""
    pairs: Tensor = weight.unflatten(0, (heads, 2, -1))
    return pairs.transpose(1, 2).flatten(0, 2)


class RelativePosition(nn.Module):
    r"""Rotary position embedding with learned waves, and a distance penalty that follows the noise level.

    The logit of query a and key b in head h, with column pairs read as complex numbers, is

    .. math::

        \ell_{ab} = \frac{1}{\sqrt c} \,\mathrm{Re} \sum_j q_{aj}\, \bar k_{bj}\,
        e^{i \omega_{hj} \cdot (p_a - p_b)} - \gamma_h(\lambda)\, |p_a - p_b|^2, \qquad
        \gamma_h = \mathrm{softplus}(w_h \cdot c(\lambda) + b_h),

    so that it depends on :math:`p_a - p_b` alone, and each head has a range :math:`1 / \sqrt{2 \gamma_h}`
    that depends on the noise. Initially, waves have random directions and wavelengths from 8 down to 1/2
    standard deviations of the data, and ranges go from 5 down to 1/2.

    Shapes:
        - **pos** ``[g, m, pos_dim]``, **condition** ``[g, condition]``; either may have 1 row for all graphs
        - **output** a `PositionEncoding`

    Source: rotation, Su et al., RoFormer (2021), https://arxiv.org/abs/2104.09864; linear distance penalty,
    Press et al., ALiBi (2022), https://arxiv.org/abs/2108.12409.

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
        If the number of columns of a head is odd.
    """

    def __init__(self, pos_dim: int, heads: int, columns: int, condition: int) -> None:
        super().__init__()
        if columns % 2:
            raise ValueError(
                f"columns must be even, to rotate the columns of a head in pairs, got {columns}; "
                "choose a width of an even multiple of the heads."
            )
        count = columns // 2
        directions = nn.functional.normalize(torch.randn(heads, count, pos_dim), dim=-1)
        size = torch.logspace(math.log10(2 * math.pi / 8), math.log10(2 * math.pi * 2), count)
        # Saved models hold these weights under these names.
        self.waves = nn.Parameter(directions * size[:, None])
        self.nearness = nn.Linear(condition, heads)
        nn.init.zeros_(self.nearness.weight)
        with torch.no_grad():
            # Inverse of softplus at 1 / (2 range^2).
            penalty = 0.5 / torch.logspace(math.log10(5), math.log10(0.5), heads) ** 2
            self.nearness.bias.copy_(penalty.expm1().log())

    def penalty(self, condition: Tensor) -> Tensor:
        r"""Return the distance penalty :math:`\gamma` ``[g, heads]`` under ``condition [g, w]``."""
        return functional.softplus(self.nearness(condition))

    def extra_repr(self) -> str:
        """Dimension of space in, heads and their columns out."""
        heads, count, dim = self.waves.shape
        return f"{dim} -> {heads} x {2 * count}"

    def forward(self, pos: Tensor, condition: Tensor) -> PositionEncoding:
        """Encode positions ``[g, m, d]`` under a condition ``[g, w]``; either may have 1 row for all."""
        # Angles reach a hundred radians, of which bfloat16 would leave errors of a few tenths.
        with torch.autocast(pos.device.type, enabled=False):
            angles = torch.einsum("gmd,hcd->gmhc", pos, self.waves.to(pos.dtype))
        rotation = torch.polar(torch.ones_like(angles), angles)
        scale = (2 * self.waves.shape[1]) ** -0.5
        # -|a - b|^2 = 2 a.b - |b|^2 - |a|^2, and softmax drops the last term, which is constant for a query:
        # the distances need no matrix of their own.
        penalty = self.penalty(condition).to(pos.dtype)[..., None, None]
        pos = pos[:, None]
        query = 2 * penalty * pos
        query = torch.cat([query, -penalty.expand(*query.shape[:-1], 1)], dim=-1)
        key = torch.cat([pos, pos.square().sum(-1, keepdim=True)], dim=-1)
        distance = torch.stack(torch.broadcast_tensors(query, key))
        return PositionEncoding(torch.stack([rotation, scale * rotation], dim=2), distance)


class Attention(nn.Module):
    r"""Multi-head attention: :math:`W_o\, \mathrm{softmax}(q k^T / \sqrt{c})\, v` with
    :math:`q = W_q h` and :math:`(k, v) = W_{kv}\, \mathrm{context}`.

    Shapes:
        - **queries** ``[g, a, width]``, **context** ``[g, b, context]``
        - **mask** ``[g, b]``, True where the context is real, or None
        - **output** ``[g, a, width]``

    Source: Vaswani et al., Attention Is All You Need (2017), https://arxiv.org/abs/1706.03762.

    Parameters
    ----------
    width
        Columns of the queries and of the output.
    context
        Columns of the context.
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

    def extra_repr(self) -> str:
        """Columns of queries and context in, and columns out."""
        width, context = self.to_q.in_features, self.to_kv.in_features
        return f"{width}, {context} -> {self.out.out_features}, heads={self.heads}"

    def forward(
        self,
        queries: Tensor,
        context: Tensor,
        mask: Tensor | None = None,
        encoding: PositionEncoding | None = None,
    ) -> Tensor:
        """Attend; ``mask [g, b]`` is True where the context is real, None if all of it is.

        With an encoding of the queries' positions, the queries attend to one another, and the context is
        ignored.
        """
        if encoding is None:
            q = self._split(self.to_q(queries))
            k, v = (self._split(part) for part in self.to_kv(context).chunk(2, dim=-1))
            scale = k.shape[-1] ** -0.5
        else:
            q, k, v = self._encoded(queries, encoding)
            scale = 1.0
        merged: Tensor = self.out(attend(q, k, v, mask, scale).transpose(1, 2).flatten(2))
        return merged

    def _encoded(self, h: Tensor, encoding: PositionEncoding) -> tuple[Tensor, Tensor, Tensor]:
        to_k, to_v = self.to_kv.weight.chunk(2)
        weight = torch.cat([_interleaved(self.to_q.weight, self.heads), _interleaved(to_k, self.heads), to_v])
        qkv = linear(h, weight).unflatten(-1, (3, self.heads, -1))
        q, k = encoding(qkv[:, :, :2])
        return q, k, qkv[:, :, 2].transpose(1, 2)

    def _split(self, h: Tensor) -> Tensor:
        split: Tensor = h.unflatten(-1, (self.heads, -1))
        return split.transpose(1, 2)


class Transformer(nn.Module):
    r"""Pre-norm transformer block, modulated by the noise level:
    :math:`h \leftarrow h + \mathrm{Attention}(\mathrm{norm}(h; c))`,
    :math:`h \leftarrow h + \mathrm{MLP}(\mathrm{norm}(h; c))`.

    Shapes:
        - **h** ``[g, m, width]``, **condition** ``[g, condition]``
        - **mask** ``[g, m]``, True where ``h`` is real, or None
        - **output** ``[g, m, width]``

    Parameters
    ----------
    width
        Columns of h.
    condition
        Columns of the condition.
    heads
        Attention heads; must divide the width.
    expansion
        Hidden width of the perceptron, in multiples of the width.
    """

    def __init__(self, width: int, condition: int, heads: int, expansion: int = 4) -> None:
        super().__init__()
        self.norm_attention = Modulation(width, condition)
        self.attention = Attention(width, width, heads)
        self.norm_mlp = Modulation(width, condition)
        self.mlp = perceptron(width, expansion * width, width)

    def extra_repr(self) -> str:
        """Columns in and out."""
        return f"{self.attention.out.out_features} -> {self.attention.out.out_features}"

    def forward(
        self,
        h: Tensor,
        condition: Tensor,
        mask: Tensor | None = None,
        encoding: PositionEncoding | None = None,
    ) -> Tensor:
        """Apply the block; ``mask [g, m]`` is True where ``h`` is real, None if all of it is."""
        a = self.norm_attention(h, condition)
        h = h + self.attention(a, a, mask, encoding)
        out: Tensor = h + self.mlp(self.norm_mlp(h, condition))
        return out
