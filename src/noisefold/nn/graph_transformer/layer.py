"""Layer of a graph transformer: attention of nodes and a perceptron on pairs that read each other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from noisefold.geometry.segment import segment_max, segment_mean
from noisefold.nn.blocks import perceptron
from noisefold.nn.graph_transformer.pair_layout import PairLayout
from noisefold.nn.linear import Linear
from noisefold.nn.norms import Norm

__all__ = ["GraphLayer"]


class GraphLayer(nn.Module):
    r"""One layer on nodes h ``[n, w]``, pairs e ``[p, c]`` and graphs y ``[g, w]``.

    With :math:`\hat h = \mathrm{norm}(h; y)` modulated by the graph, :math:`\hat e = \mathrm{norm}(e)`, a
    factor u and a summand b of each head linear in :math:`\hat e`, and a low-rank triangle product T,

    .. math::

        s_{ij} &= (1 + u_{ij}) \frac{q_i \cdot k_j}{\sqrt{w / \mathrm{heads}}} + b_{ij}, \qquad
        T_{ij} = \frac{1}{n} \sum_k (A_{ik} B_{kj} + B_{ik} A_{kj}), \quad
        A, B\ \text{linear in}\ \hat e, \\
        z_{ij} &= \mathrm{relu}\bigl(W_1 [\hat e_{ij}, s_{ij} + s_{ji}, T_{ij}] + a_i + a_j\bigr), \quad
        a\ \text{linear in}\ \hat h, \\
        e &\leftarrow e + W_2 z, \qquad
        h_i \leftarrow h_i + W_3 \Bigl[\mathrm{softmax}_j(s_{ij})\, v_j, \frac{1}{n} \sum_j z_{ij}\Bigr], \\
        h &\leftarrow h + \mathrm{MLP}(\mathrm{norm}(h; y)), \qquad
        y \leftarrow y + \mathrm{MLP}[\mathrm{mean}\, h, \max h].

    Shapes:
        - **h** ``[n, width]``, **e** ``[p, pair_width]``, **y** ``[g, width]``
        - **output** of the same shapes

    Source: Vignac et al., DiGress (2023), https://arxiv.org/abs/2209.14734, with scores of heads instead of
    columns and without padding of pairs.

    Parameters
    ----------
    width, pair_width
        Columns of nodes and graphs, and of pairs.
    heads
        Attention heads; must divide the width.
    expansion
        Hidden width of the perceptrons, in multiples of their width.
    triangle
        Rank of the triangle product; 0 for none.

    Raises
    ------
    ValueError
        If the heads do not divide the width.
    """

    def __init__(
        self, width: int, pair_width: int, heads: int, expansion: int = 2, triangle: int = 0
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"heads must divide the width {width}, got {heads}.")
        self.heads, self.triangle = heads, triangle
        hidden = expansion * pair_width
        self.norm = Norm("layer", width, width)
        self.norm_pairs = nn.LayerNorm(pair_width)
        self.from_nodes = Linear(width, 3 * width + hidden)
        self.from_pairs = Linear(pair_width, 2 * (heads + triangle))
        self.lift_pairs = Linear(pair_width + heads + triangle, hidden, bias=False)
        self.out_pairs = Linear(hidden, pair_width)
        self.out_nodes = Linear(width + hidden, width)
        self.norm_mlp = Norm("layer", width, width)
        self.mlp = perceptron(width, expansion * width, width)
        self.pool = perceptron(2 * width, width, width)

    def extra_repr(self) -> str:
        """Columns of nodes and pairs in and out."""
        width, pair_width = self.out_nodes.out_features, self.out_pairs.out_features
        return f"{width}, {pair_width} -> {width}, {pair_width}, heads={self.heads}"

    def forward(self, h: Tensor, e: Tensor, y: Tensor, layout: PairLayout) -> tuple[Tensor, Tensor, Tensor]:
        """Return nodes ``[n, width]``, pairs ``[p, pair_width]`` and graphs ``[g, width]``."""
        rows = layout.nodes
        width = h.shape[1]
        qkv, to_pairs = self.from_nodes(self.norm(h, y, rows)).split(
            [3 * width, self.lift_pairs.out_features], 1
        )
        seen = self.norm_pairs(e)
        values, back = self._attend(layout.padded(qkv), self.from_pairs(seen), layout)
        z = self.lift_pairs(torch.cat([seen, back], dim=1)) + layout.ends(to_pairs)
        z = nn.functional.relu(z, inplace=True)
        around = layout.incident(z) / layout.sizes[rows.graph, None]
        e = e + self.out_pairs(z)
        h = h + self.out_nodes(torch.cat([layout.rows(values), around.to(values.dtype)], dim=1))
        h = h + self.mlp(self.norm_mlp(h, y, rows))
        graph, g = rows.graph, len(layout.sizes)
        pooled = torch.cat([segment_mean(h, graph, g), segment_max(h, graph, g)], dim=1)
        return h, e, y + self.pool(pooled)

    def _attend(self, qkv: Tensor, from_pairs: Tensor, layout: PairLayout) -> tuple[Tensor, Tensor]:
        """Return values ``[g, m, width]``, and scores and triangles of pairs ``[p, heads + triangle]``."""
        heads, rank = self.heads, self.triangle
        q, k, v = qkv.unflatten(-1, (3, heads, -1)).permute(2, 3, 0, 1, 4)
        matrices = layout.unpack(from_pairs)
        scale, shift, a, b = matrices.split([heads, heads, rank, rank])
        scores = torch.addcmul(shift, (q * q.shape[-1] ** -0.5) @ k.mT, 1 + scale)
        parts = [scores]
        if rank:
            # A and B are symmetric, so that pack adds B A to A B.
            parts.append(a @ b / layout.sizes.clamp(min=1)[:, None, None])
        back = layout.pack(torch.cat(parts) if rank else scores)
        if layout.real is not None:
            # A finite number: a graph without nodes must not become NaN.
            scores = scores.masked_fill(~layout.real[:, None], -1e9)
        values = scores.softmax(-1).to(v.dtype) @ v
        return values.permute(1, 2, 0, 3).flatten(2), back
