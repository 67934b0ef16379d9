r"""Directed graph transformer: a network on the classes of nodes and of ordered pairs of nodes.

Like `noisefold.nn.GraphTransformer` with values :math:`e_{ij}` of all ordered pairs, which see their own
reverse. With :math:`\hat h = \mathrm{norm}(h; y)`, :math:`\hat e = \mathrm{norm}(e)`, and a factor u and a
summand b of each head linear in :math:`\hat e`,

.. math::

    s_{ij} &= (1 + u_{ij}) \frac{q_i \cdot k_j}{\sqrt{w / \mathrm{heads}}} + b_{ij}, \qquad
    z_{ij} = \mathrm{relu}(W_1 [\hat e_{ij}, \hat e_{ji}, s_{ij}, s_{ji}] + a_i + a'_j), \\
    e &\leftarrow e + W_2 z, \qquad h_i \leftarrow h_i
    + W_3 \Bigl[\mathrm{softmax}_j(s_{ij})\, v_j, \frac1n \sum_j z_{ij}, \frac1n \sum_j z_{ji}\Bigr],

and perceptrons on h and y as there. A pair i < j has a class for both directions, (a, b), and the logit
:math:`\ell_{ab} = f_{ab}(e_{ij}) + f_{ba}(e_{ji})`, so that numbering its nodes the other way exchanges a and
b and changes nothing else.

Source: Vignac et al., DiGress (2023), https://arxiv.org/abs/2209.14734; Carballo-Castro et al., Generating
Directed Graphs with Dual Attention and Asymmetric Encoding (2025), https://arxiv.org/abs/2506.16404.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from noisefold.arguments import whole
from noisefold.configuration import register_module
from noisefold.geometry.directed import reversed_class
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.segment import segment_max, segment_mean
from noisefold.nn.blocks import Condition, perceptron, zeroed
from noisefold.nn.graph_transformer.network import one_hot
from noisefold.nn.graph_transformer.pair_layout import PairLayout
from noisefold.nn.linear import Linear
from noisefold.nn.norms import Norm
from noisefold.noise.categories import Categories

__all__ = ["DirectedGraphTransformer"]

_NODE_COUNTS = 6  # structural features of a node, besides those of walks


class _Layer(nn.Module):
    """One layer on nodes ``[n, w]``, ordered pairs ``[g, m, m, c]`` and graphs ``[g, w]``; see the module."""

    def __init__(self, width: int, pair_width: int, heads: int, expansion: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"heads must divide the width {width}, got {heads}.")
        self.heads = heads
        hidden = expansion * pair_width
        self.norm = Norm("layer", width, width)
        self.norm_pairs = nn.LayerNorm(pair_width)
        self.from_nodes = Linear(width, 3 * width + 2 * hidden)
        self.from_pairs = Linear(pair_width, 2 * heads)
        self.lift_pairs = Linear(2 * (pair_width + heads), hidden, bias=False)
        self.out_pairs = Linear(hidden, pair_width)
        self.out_nodes = Linear(width + 2 * hidden, width)
        self.norm_mlp = Norm("layer", width, width)
        self.mlp = perceptron(width, expansion * width, width)
        self.pool = perceptron(2 * width, width, width)

    def forward(self, h: Tensor, e: Tensor, y: Tensor, layout: PairLayout) -> tuple[Tensor, Tensor, Tensor]:
        rows, width = layout.nodes, h.shape[1]
        g, graph = len(layout.sizes), rows.graph
        hidden = self.lift_pairs.out_features
        known = layout.padded(self.from_nodes(self.norm(h, y, rows)))
        q, k, v, out, back = known.split([width, width, width, hidden, hidden], -1)
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (q, k, v))
        seen = self.norm_pairs(e)
        scale, shift = self.from_pairs(seen).permute(0, 3, 1, 2).split(self.heads, 1)
        scores = torch.addcmul(shift, (q * q.shape[-1] ** -0.5) @ k.mT, 1 + scale)
        both = torch.cat([seen, scores.permute(0, 2, 3, 1)], -1)
        z = self.lift_pairs(torch.cat([both, both.transpose(1, 2)], -1))
        z = functional.relu(z + out[:, :, None] + back[:, None])
        if layout.real is not None:
            scores = scores.masked_fill(~layout.real[:, None, None], -1e9)
            z = z * (layout.real[:, :, None] & layout.real[:, None])[..., None]
        size = layout.sizes.clamp(min=1)[:, None, None]
        attended = (scores.softmax(-1).to(v.dtype) @ v).transpose(1, 2).flatten(2)
        around = [attended, z.sum(2) / size, z.sum(1) / size]
        h = h + self.out_nodes(layout.rows(torch.cat([x.to(attended) for x in around], -1)))
        h = h + self.mlp(self.norm_mlp(h, y, rows))
        pooled = torch.cat([segment_mean(h, graph, g), segment_max(h, graph, g)], 1)
        return h, e + self.out_pairs(z), y + self.pool(pooled)


@register_module
class DirectedGraphTransformer(nn.Module):
    """Transformer on nodes and ordered pairs of directed graphs; see the module for the formula.

    Permutation-equivariant. A graph's result does not depend on its batch. Untrained, all logits are zero.

    Shapes:
        - **graphs** types of nodes ``[n]`` or None, directed edges with types or None
        - **log_snr** ``[g]``, **label** int64 ``[g]`` or None
        - **output** `Categories` of logits, ``[n, node_states]`` and ``[p, pair_states]`` with
          ``pair_states = (edge_states)^2``

    Parameters
    ----------
    node_states
        Number of classes of nodes; 1 if nodes have no types.
    edge_states
        Number of classes of one direction: 0 for no edge, 1 + the type of an edge.
    classes, properties
        Numbers of classes of graphs, and of the properties that condition it; 0 for none.
    width, pair_width, layers, heads, expansion
        As of `noisefold.nn.GraphTransformer`.
    walks
        Greatest number of steps of the random walks along edges, among the structural features.

    Raises
    ------
    ValueError
        If a number is out of range, or the heads do not divide the width.
    """

    def __init__(
        self,
        node_states: int,
        edge_states: int,
        classes: int = 0,
        width: int = 64,
        pair_width: int = 32,
        layers: int = 4,
        heads: int = 4,
        expansion: int = 2,
        walks: int = 6,
        properties: int = 0,
    ) -> None:
        super().__init__()
        whole("node_states", node_states, least=1)
        whole("edge_states", edge_states, least=2)
        whole("walks", walks, least=0)
        self.node_states, self.edge_states, self.walks = node_states, edge_states, walks
        self.condition = Condition(width, classes, properties)
        self.lift_nodes = perceptron(node_states + _NODE_COUNTS + walks, width, width)
        self.lift_pairs = Linear(2 * (edge_states + 3 + walks), pair_width)
        self.lift_graphs = Linear(2, width)
        self.layers = nn.ModuleList(_Layer(width, pair_width, heads, expansion) for _ in range(layers))
        self.norm = Norm("layer", width, width)
        self.norm_pairs = nn.LayerNorm(pair_width)
        self.head = zeroed(nn.Linear(width, node_states))
        self.head_pairs = zeroed(nn.Linear(pair_width, edge_states**2))
        self.register_buffer("turned", reversed_class(edge_states - 1), persistent=False)

    def extra_repr(self) -> str:
        """Columns of nodes and of both directions of pairs in and out."""
        return f"{self.node_states}, {self.edge_states}^2 -> {self.node_states}, {self.edge_states}^2"

    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Categories:
        """Return the logits for noisy graphs at ``log_snr [g]``.

        Raises
        ------
        ValueError
            If classes of nodes or edges are not those of the network.
        """
        layout, weight = PairLayout(graphs.ptr), self.head.weight
        h, e, y = self._lifted(graphs, layout)
        y = y + self.condition(log_snr.to(weight), label, graphs.properties)
        for layer in self.layers:
            h, e, y = layer(h, e, y, layout)
        both = self.head_pairs(self.norm_pairs(e)).to(weight)
        turned: Tensor = self.turned  # type: ignore[assignment]
        logits = layout.upper((both + both.transpose(1, 2)[..., turned]).permute(3, 0, 1, 2))
        return Categories(self.head(self.norm(h, y, layout.nodes)).to(weight), logits)

    def _lifted(self, graphs: Graphs, layout: PairLayout) -> tuple[Tensor, Tensor, Tensor]:
        """Return the first nodes ``[n, w]``, ordered pairs ``[g, m, m, c]`` and graphs ``[g, w]``."""
        weight, g, m = self.head.weight, len(layout.sizes), layout.size
        types = graphs.ptr.new_zeros(graphs.num_nodes) if graphs.node_type is None else graphs.node_type
        kinds = torch.zeros(g, m, m, dtype=torch.int64, device=weight.device)
        if graphs.edge_index is not None:
            source, target = graphs.edge_index
            owner = layout.nodes.graph[source]
            kind = torch.zeros_like(source) if graphs.edge_type is None else graphs.edge_type
            kinds[owner, source - graphs.ptr[owner], target - graphs.ptr[owner]] = 1 + kind
        nodes, pairs = self._structure((kinds > 0).to(weight), layout.sizes)
        own = one_hot("1 + edge_type", kinds.flatten(), self.edge_states, weight).view(g, m, m, -1)
        seen = torch.cat([own, pairs], -1)
        counts = torch.stack([layout.sizes.to(weight), (kinds > 0).sum((1, 2)).to(weight)], 1).log1p()
        of_nodes = [one_hot("node_type", types, self.node_states, weight), layout.rows(nodes)]
        return (
            self.lift_nodes(torch.cat(of_nodes, 1)),
            self.lift_pairs(torch.cat([seen, seen.transpose(1, 2)], -1)),
            self.lift_graphs(counts),
        )

    @torch.no_grad()
    def _structure(self, a: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Return counts of nodes ``[g, m, c]`` and of ordered pairs ``[g, m, m, d]``, as logarithms."""
        mutual, two = a * a.mT, a @ a
        counts = [a.sum(2), a.sum(1), mutual.sum(2), (two * a.mT).sum(2), (two * a).sum(2), (two * a).sum(1)]
        step = a / a.sum(2, keepdim=True).clamp(min=1)
        walks, power = [], step
        for _ in range(self.walks):
            walks.append((power * sizes[:, None, None]).log1p())
            power = power @ step
        pairs = [two.log1p(), (a @ a.mT).log1p(), (a.mT @ a).log1p(), *walks]
        nodes = [*(c.log1p() for c in counts), *(w.diagonal(dim1=1, dim2=2) for w in walks)]
        return torch.stack(nodes, -1), torch.stack(pairs, -1)
