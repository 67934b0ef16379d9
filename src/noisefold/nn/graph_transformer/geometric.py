r"""Geometric graph transformer: classes of nodes and pairs, and positions that rotate with the input.

A `noisefold.nn.GraphTransformer` whose pairs also know how far their nodes are apart, and which moves the
nodes after every layer. With positions :math:`p_i` about the mean of their graph, unit vectors
:math:`u_{ij}` from i to j, Gaussians :math:`\phi` of a distance and
:math:`s = \sigma / \sqrt{\alpha^2 + \sigma^2}`,

.. math::

    e_{ij} &\leftarrow e_{ij} + W_1 \phi(|p_j - p_i|), \qquad (h, e, y) \leftarrow \mathrm{Layer}(h, e, y), \\
    v_i^a &= \tfrac{1}{\sqrt n} \sum_j (w^a \cdot \mathrm{norm}(e_{ij}))\, u_{ij}, \qquad
    h_i \leftarrow h_i + \mathrm{MLP}[\mathrm{norm}(h_i; y), |v_i^a|, v_i^a \cdot o_i, \phi(|p_i|)], \\
    \Delta_i &= \sum_a c_i^a v_i^a + c_i^0\, p_i \text{ less its mean}, \qquad
    p \leftarrow p + s\, \Delta, \qquad \text{answer} \leftarrow \text{answer} + \Delta,

with :math:`o_i = p_i / (1 + |p_i|)` and c linear in :math:`\mathrm{norm}(h_i; y)`. By the factor s the moved
positions are those of the estimate so far, as `noisefold.noise.Target` reads an answer. Rotating or
reflecting the positions rotates or reflects the answer and leaves the logits; moving them changes nothing.

Source: Satorras, Hoogeboom and Welling, E(n) Equivariant Graph Neural Networks (2021),
https://arxiv.org/abs/2102.09844; Vignac et al., MiDi (2023), https://arxiv.org/abs/2302.09048.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from noisefold.arguments import whole
from noisefold.configuration import register_module
from noisefold.geometry.centre import centred
from noisefold.geometry.graphs import Graphs
from noisefold.nn.blocks import Condition, perceptron, zeroed
from noisefold.nn.egnn import basis
from noisefold.nn.graph_transformer.layer import GraphLayer
from noisefold.nn.graph_transformer.network import one_hot
from noisefold.nn.graph_transformer.pair_layout import PairLayout
from noisefold.nn.graph_transformer.structure import Structure
from noisefold.nn.linear import Linear
from noisefold.nn.norms import Norm
from noisefold.noise.categories import Categories
from noisefold.noise.joint import Joint
from noisefold.noise.variable import Types

__all__ = ["GeometricTransformer"]

_TINY = 1e-6  # under square roots, whose slope at 0 is infinite
_SHORT = 0.05  # distance below which a unit vector shrinks to zero, so that it is continuous


class _Move(nn.Module):
    """What a layer is told of distances, and how it moves the nodes; see the module for the formula."""

    def __init__(self, width: int, pair_width: int, radial: int, vectors: int) -> None:
        super().__init__()
        self.radial = radial
        self.of_distance = Linear(radial, pair_width, bias=False)
        self.norm_pairs = nn.LayerNorm(pair_width)
        self.to_weights = Linear(pair_width, vectors, bias=False)
        self.norm = Norm("layer", width, width)
        self.mlp = perceptron(width + 2 * vectors + radial, width, width)
        self.norm_out = Norm("layer", width, width)
        self.coefficients = zeroed(nn.Linear(width, vectors + 1))

    def lengths(self, pos: Tensor, layout: PairLayout) -> Tensor:
        """Return the distance of each pair, ``[p]``."""
        i, j = layout.pairs.unbind(1)
        step = pos.index_select(0, j) - pos.index_select(0, i)
        return (step.square().sum(1) + _TINY).sqrt()

    def seen(self, length: Tensor) -> Tensor:
        """Return what pairs are told of their distance, ``[p, pair_width]``."""
        told: Tensor = self.of_distance(basis(2 * length, self.radial))
        return told

    def forward(
        self, h: Tensor, e: Tensor, y: Tensor, pos: Tensor, length: Tensor, layout: PairLayout
    ) -> tuple[Tensor, Tensor]:
        """Return nodes ``[n, width]`` and their moves ``[n, d]``, not yet centred."""
        weights = self.to_weights(self.norm_pairs(e)).to(pos) / (length + _SHORT)[:, None]
        with torch.autocast(pos.device.type, enabled=False):  # bfloat16 would round differences of positions
            matrices = layout.unpack(weights)
            padded = layout.padded(pos)
            moved = matrices @ padded - matrices.sum(-1)[..., None] * padded
            moved = moved / layout.sizes.clamp(min=1).to(pos).sqrt()[:, None, None]
            vectors = layout.rows(moved.permute(1, 2, 0, 3))
        radius = (pos.square().sum(1) + _TINY).sqrt()
        outward = pos / (1 + radius)[:, None]
        lengths = (vectors.square().sum(-1) + _TINY).sqrt()
        along = (vectors * outward[:, None]).sum(-1)
        inputs = [self.norm(h, y, layout.nodes), lengths, along, basis(2 * radius, self.radial)]
        h = h + self.mlp(torch.cat([v.to(h) for v in inputs], 1))
        c = self.coefficients(self.norm_out(h, y, layout.nodes)).to(pos)
        return h, (c[:, None, :-1] @ vectors)[:, 0] + c[:, -1:] * pos


@register_module
class GeometricTransformer(nn.Module):
    """Graph transformer on types, bonds and positions at once; see the module for the formula.

    Permutation-equivariant; its logits are invariant and its positions equivariant under rotations and
    reflections, and neither changes with the place of a graph. A graph's result does not depend on its batch.
    Untrained, all answers are zero.

    Shapes:
        - **graphs** positions ``[n, pos_dim]``, types of nodes ``[n]`` or None, edges
        - **log_snr** ``[g]`` of the positions, **label** int64 ``[g]`` or None
        - **output** `Joint` of positions ``[n, pos_dim]`` and `Categories` of logits ``[n, node_states]`` and
          ``[p, pair_states]``

    Parameters
    ----------
    node_states, pair_states
        Numbers of classes of nodes and of pairs, as of `noisefold.nn.GraphTransformer`.
    pos_dim
        Dimension d of space.
    classes
        Number of classes of graphs, 0 for none.
    properties
        Number of properties of graphs that condition it, columns of `Graphs.properties`; 0 for none.
    width, pair_width, layers, heads, expansion, walks, triangle
        As of `noisefold.nn.GraphTransformer`.
    radial
        Gaussians of a distance.
    vectors
        Vectors of a node in each layer.
    mask_state
        Whether the last class of pairs says that a pair is masked.

    Raises
    ------
    ValueError
        If a number is out of range, or the heads do not divide the width.
    """

    def __init__(
        self,
        node_states: int,
        pair_states: int,
        pos_dim: int = 3,
        classes: int = 0,
        width: int = 96,
        pair_width: int = 32,
        layers: int = 5,
        heads: int = 4,
        expansion: int = 2,
        walks: int = 6,
        triangle: int = 0,
        radial: int = 32,
        vectors: int = 8,
        mask_state: bool = False,
        properties: int = 0,
    ) -> None:
        super().__init__()
        whole("node_states", node_states, least=1)
        whole("pair_states", pair_states, least=2 + mask_state)
        for name, value in (("walks", walks), ("triangle", triangle)):
            whole(name, value, least=0)
        for name, value in (("pos_dim", pos_dim), ("radial", radial), ("vectors", vectors)):
            whole(name, value, least=1)
        self.pos_dim, self.mask_state = pos_dim, mask_state
        self.node_states, self.pair_states = node_states, pair_states
        self.structure = Structure(walks, 0)
        of_nodes, of_pairs, of_graphs = self.structure.columns
        self.condition = Condition(width, classes, properties)
        self.lift_nodes = perceptron(node_states + of_nodes, width, width)
        self.lift_pairs = Linear(pair_states + of_pairs, pair_width)
        self.lift_graphs = Linear(of_graphs, width)
        self.layers = nn.ModuleList(
            GraphLayer(width, pair_width, heads, expansion, triangle) for _ in range(layers)
        )
        self.moves = nn.ModuleList(_Move(width, pair_width, radial, vectors) for _ in range(layers))
        self.norm = Norm("layer", width, width)
        self.norm_pairs = nn.LayerNorm(pair_width)
        self.head = zeroed(nn.Linear(width, node_states))
        self.head_pairs = zeroed(nn.Linear(pair_width, pair_states))

    def extra_repr(self) -> str:
        """Columns of positions, nodes and pairs in and out."""
        columns = f"{self.pos_dim}, {self.node_states}, {self.pair_states}"
        return f"{columns} -> {columns}"

    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Joint:
        """Return the answers for noisy graphs at ``log_snr [g]`` of their positions.

        Raises
        ------
        ValueError
            If positions, or classes of nodes or pairs, are not those of the network.
        """
        if graphs.dim != self.pos_dim:
            raise ValueError(f"pos must have {self.pos_dim} columns, as the network, got {graphs.dim}.")
        layout, weight = PairLayout(graphs.ptr), self.head.weight
        pos = centred(graphs, graphs.pos.to(weight))
        h, e, y = self._lifted(graphs, layout)
        y = y + self.condition(log_snr.to(weight), label, graphs.properties)
        share = torch.sigmoid(-log_snr.to(weight)).sqrt()[graphs.batch, None]
        answer = torch.zeros_like(pos)
        for layer, move in zip(self.layers, self.moves, strict=True):
            assert isinstance(move, _Move)
            length = move.lengths(pos, layout)
            h, e, y = layer(h, e + move.seen(length), y, layout)
            h, step = move(h, e, y, pos, length, layout)
            step = centred(graphs, step)
            answer, pos = answer + step, pos + share * step
        h = self.norm(h, y, layout.nodes)
        # bfloat16 would round logits to 1 in 256.
        logits = Categories(self.head(h).to(weight), self.head_pairs(self.norm_pairs(e)).to(weight))
        return Joint((answer, logits))

    def _lifted(self, graphs: Graphs, layout: PairLayout) -> tuple[Tensor, Tensor, Tensor]:
        """Return the first nodes ``[n, width]``, pairs ``[p, pair_width]`` and graphs ``[g, width]``."""
        weight, state = self.head.weight, Types().read(graphs)
        edges = state.pairs > 0
        if self.mask_state:
            edges &= state.pairs < self.pair_states - 1
        nodes, pairs, of_graphs = self.structure(layout, edges, weight)
        of_nodes = [one_hot("node_type", state.nodes, self.node_states, weight), nodes]
        of_pairs = [one_hot("1 + edge_type", state.pairs, self.pair_states, weight), pairs]
        return (
            self.lift_nodes(torch.cat(of_nodes, 1)),
            self.lift_pairs(torch.cat(of_pairs, 1)),
            self.lift_graphs(of_graphs),
        )
