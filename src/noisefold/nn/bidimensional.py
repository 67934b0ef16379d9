r"""Bi-dimensional attention: among points, and among the coordinates of each point.

Every pair of a point i and a coordinate k has a token. A layer attends among the points, for each coordinate,
and among the coordinates, for each point; half of what comes out goes on, and half to the answer,

.. math::

    h_{ik} &= W [p_{ik} - \bar p_k, x_i] + b, \qquad
    z = h + W_c\, c(\lambda), \\
    (r, s) &= \mathrm{GELU}\big(W_o [\mathrm{Attention}_i(z) + \mathrm{Attention}_k(z)]\big), \qquad
    h \leftarrow (h + r) / \sqrt 2, \qquad
    y_i = \mathrm{MLP}\Big(\tfrac{1}{d \sqrt L} \sum_{l, k} s^l_{ik}\Big).

It is equivariant under permutations of the points and invariant under those of the coordinates; positions
about their mean make it equivariant under translations, but not under rotations.

Source: Dutordoir et al., Neural Diffusion Processes (2023), section 4.2, https://arxiv.org/abs/2206.03992;
centred as by Mathieu et al., Geometric Neural Diffusion Processes (2023), https://arxiv.org/abs/2307.05431.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from noisefold.configuration import register_module
from noisefold.geometry.graphs import Graphs
from noisefold.nn.attention import Attention
from noisefold.nn.blocks import Condition, in_out, perceptron, zeroed
from noisefold.nn.linear import Linear

__all__ = ["BiDimensionalAttention"]


class _Layer(nn.Module):
    """One layer: attention among points and among coordinates; see the module for the formula.

    Shapes:
        - **h** ``[g, m, d, width]``, **condition** ``[g, width]``, **mask** ``[g, m]`` or None
        - **output** two of the shape of h
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.to_level = nn.Linear(width, width)
        self.points = Attention(width, width, heads)
        self.coordinates = Attention(width, width, heads)
        self.out = Linear(width, 2 * width)

    def forward(self, h: Tensor, condition: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        g, m, d, width = h.shape
        z = h + self.to_level(condition)[:, None, None]
        along = z.transpose(1, 2).reshape(g * d, m, width)
        of_points = self.points(along, along, None if mask is None else mask.repeat_interleave(d, 0))
        across = z.reshape(g * m, d, width)
        of_coordinates = self.coordinates(across, across).view_as(h)
        both = of_points.view(g, d, m, width).transpose(1, 2) + of_coordinates
        rest, answer = functional.gelu(self.out(both)).chunk(2, dim=-1)
        return (h + rest) / math.sqrt(2), answer


@register_module
class BiDimensionalAttention(nn.Module):
    """Attention among points and among coordinates; see the module for the formula.

    Permutation-equivariant, and equivariant under translations. A graph's result does not depend on its
    batch. The cost is quadratic in the number of nodes and grows with the dimension.

    When to use: to compare with published results; `SetTransformer` learns faster.

    Shapes:
        - **graphs** positions ``[n, pos_dim]`` and features ``[n, features]``
        - **log_snr** ``[g]``, **label** int64 ``[g]`` or None
        - **output** ``[n, out_dim]``

    Parameters
    ----------
    pos_dim
        Dimension d of space.
    features
        Number of features f per node, 0 for none.
    out_dim
        Columns of the prediction; default d.
    width, layers, heads
        Columns of a token, layers and attention heads; as published by default.
    classes
        Number of classes of graphs, 0 for none.
    """

    def __init__(
        self,
        pos_dim: int = 1,
        features: int = 1,
        out_dim: int | None = None,
        width: int = 64,
        layers: int = 5,
        heads: int = 8,
        classes: int = 0,
    ) -> None:
        super().__init__()
        self.condition = Condition(width, classes)
        self.lift = Linear(1 + features, width)
        self.layers = nn.ModuleList(_Layer(width, heads) for _ in range(layers))
        self.answer = perceptron(width, width)
        self.head = zeroed(nn.Linear(width, out_dim or pos_dim))

    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the prediction ``[n, out_dim]`` for noisy graphs at ``log_snr [g]``."""
        pos, real = graphs.padded(graphs.pos)
        mask = real if graphs.uniform is None else None
        pos = pos - pos.sum(1, keepdim=True) / graphs.sizes.to(pos)[:, None, None]
        tokens = pos[..., None]
        if graphs.x is not None:
            x, _ = graphs.padded(graphs.x)
            tokens = torch.cat([tokens, x[:, :, None].expand(-1, -1, graphs.dim, -1)], -1)
        condition, h = self.condition(log_snr, label), self.lift(tokens)
        total = torch.zeros_like(h)
        for layer in self.layers:
            h, answer = layer(h, condition, mask)
            total = total + answer
        of_points = self.answer(total.mean(2) / math.sqrt(len(self.layers)))
        out: Tensor = self.head(functional.gelu(of_points))
        return out.flatten(0, 1) if mask is None else out[mask]

    def extra_repr(self) -> str:
        """Columns in and out."""
        return in_out(self)
