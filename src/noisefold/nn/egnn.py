r"""Equivariant message passing among nearest neighbours: the network of positions without a preferred frame.

Each of the k nearest nodes j sends to node i what depends on distances and angles alone. With unit vectors
:math:`u_{ij}` from i to j, distances :math:`r_{ij}`, and positions :math:`p_i` that are shortened to
:math:`o_i = p_i / (1 + |p_i|)`,

.. math::

    m_{ij} &= \mathrm{SiLU}(W_1 \mathrm{norm}(h_i) + W_2 \mathrm{norm}(h_j) + W_3 \overline{\mathrm{norm}(h)}
              + W_4 [\phi(r_{ij}), o_i \cdot u_{ij}, o_j \cdot u_{ij}]), \\
    v_i^a &= \tfrac{1}{\sqrt k} \sum_j (w^a \cdot m_{ij})\, u_{ij}, \qquad
    h_i \leftarrow h_i + W_5 \tfrac{1}{k} \sum_j m_{ij}, \\
    h_i &\leftarrow h_i + \mathrm{MLP}[\mathrm{norm}(h_i), |v_i^a|, v_i^a \cdot o_i], \qquad
    y_i = \sum_{l, a} c_i^{la} v_i^{la} + c_i^0\, p_i,

with :math:`\phi` Gaussians of the distance, norms that the noise level modulates, and coefficients c linear
in the last :math:`h_i`. Rotating or reflecting the positions about the origin rotates or reflects the answer.

Source: Satorras, Hoogeboom and Welling, E(n) Equivariant Graph Neural Networks (2021),
https://arxiv.org/abs/2102.09844; several vectors for each node, Schütt, Unke and Gastegger, PaiNN (2021),
https://arxiv.org/abs/2102.03150.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from noisefold.configuration import register_module
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.knn import knn
from noisefold.geometry.segment import segment_mean
from noisefold.nn.blocks import Condition, Modulation, in_out, perceptron
from noisefold.nn.linear import Linear

__all__ = ["EGNN"]

_TINY = 1e-6  # under square roots, whose slope at 0 is infinite
_SHORT = 0.05  # distance below which a unit vector shrinks to zero, so that it is continuous


class _Edges:
    """The k nearest nodes of each node: rows ``[n k]``, which of them are real, and what messages see."""

    def __init__(self, graphs: Graphs, k: int, radial: int) -> None:
        pos = graphs.pos
        table = knn(pos, graphs.ptr, k)
        self.n, self.k = table.shape
        missing = table < 0
        self.real = ~missing[..., None] if bool(missing.any()) else None
        self.count = (~missing).sum(1, keepdim=True).clamp(min=1)
        self.rows = table.clamp(min=0).view(-1)
        step = self.of_sources(pos) - pos[:, None]
        length = (step.square().sum(-1) + _TINY).sqrt()
        self.unit = step / (length + _SHORT)[..., None]
        if self.real is not None:
            self.unit = self.unit * self.real
        self.radius = (pos.square().sum(-1) + _TINY).sqrt()
        self.outward = pos / (1 + self.radius)[:, None]
        self.spread = basis(2 * length, radial)
        outward = (self.outward[:, None], self.of_sources(self.outward))
        angles = [(o * self.unit).sum(-1, keepdim=True) for o in outward]
        self.seen = torch.cat([self.spread, *angles], -1)

    def of_sources(self, values: Tensor) -> Tensor:
        """Return the values ``[n, c]`` of the neighbours, ``[n, k, c]``."""
        return values.index_select(0, self.rows).view(self.n, self.k, values.shape[1])

    def mean(self, messages: Tensor) -> Tensor:
        """Return the mean of the messages ``[n, k, c]`` to each node, ``[n, c]``; 0 without neighbours."""
        if self.real is not None:
            messages = messages * self.real
        return messages.sum(1) / self.count

    def farthest(self) -> Tensor:
        """Return the Gaussians of the distance of the last neighbour, ``[n, radial]``; 0 without one."""
        if self.k == 0:
            return self.spread.new_zeros(self.n, self.spread.shape[-1])
        last = self.spread[torch.arange(self.n, device=self.rows.device), self.count[:, 0] - 1]
        return last if self.real is None else last * self.real[:, 0]

    def vectors(self, weights: Tensor) -> Tensor:
        """Return sums of unit vectors with weights ``[n, k, a]``, ``[n, a, d]``."""
        return weights.transpose(1, 2) @ self.unit / self.count.sqrt()[..., None]


class _Layer(nn.Module):
    """One round of messages; see the module for the formula.

    Shapes:
        - **h** ``[n, width]``, **condition** ``[g, width]``
        - **output** h, and the vectors ``[n, vectors, d]``
    """

    def __init__(self, width: int, radial: int, vectors: int) -> None:
        super().__init__()
        self.norm_message = Modulation(width, width)
        self.to_target = Linear(width, width)
        self.to_source = Linear(width, width, bias=False)
        self.to_all = Linear(width, width, bias=False)
        self.of_edge = Linear(radial + 2, width, bias=False)
        self.of_message = Linear(width, width, bias=False)
        self.weights = Linear(width, vectors, bias=False)
        self.norm_mlp = Modulation(width, width)
        self.mlp = perceptron(width + 2 * vectors, 2 * width, width)

    def forward(self, h: Tensor, condition: Tensor, graphs: Graphs, edges: _Edges) -> tuple[Tensor, Tensor]:
        batch = graphs.batch
        q = _modulated(self.norm_message, h, condition, graphs)
        all_nodes = self.to_all(segment_mean(q, batch, len(graphs)))
        at_target = self.to_target(q) + all_nodes.index_select(0, batch)
        message = functional.silu(
            at_target[:, None] + edges.of_sources(self.to_source(q)) + self.of_edge(edges.seen)
        )
        vectors = edges.vectors(self.weights(message))
        h = h + self.of_message(edges.mean(message))
        lengths = (vectors.square().sum(-1) + _TINY).sqrt()
        outward = (vectors * edges.outward[:, None]).sum(-1)
        q = _modulated(self.norm_mlp, h, condition, graphs)
        return h + self.mlp(torch.cat([q, lengths, outward], -1)), vectors


@register_module
class EGNN(nn.Module):
    """Equivariant messages among nearest neighbours; see the module for the formula.

    Permutation-equivariant, and equivariant under rotations and reflections about the origin. A graph's
    result does not depend on its batch.

    When to use: for point clouds that have no preferred direction, since it needs not learn every shape in
    every orientation; clouds of which a direction is up have `Latents`.

    Shapes:
        - **graphs** positions ``[n, pos_dim]`` and features ``[n, features]``
        - **log_snr** ``[g]``, **label** int64 ``[g]`` or None
        - **output** ``[n, pos_dim]``, vectors

    Parameters
    ----------
    pos_dim
        Dimension d of space.
    features
        Number of features f per node, 0 for none; they do not rotate.
    out_dim
        Columns of the prediction: those of a vector.
    width
        Columns of nodes and messages.
    layers
        Number of rounds of messages.
    neighbors
        Nearest nodes k that send to a node.
    radial
        Gaussians of a distance.
    vectors
        Vectors of a node in each layer.
    classes
        Number of classes of graphs, 0 for none.

    Raises
    ------
    ValueError
        If `out_dim` is not the dimension of space.
    """

    def __init__(
        self,
        pos_dim: int = 3,
        features: int = 0,
        out_dim: int | None = None,
        width: int = 64,
        layers: int = 4,
        neighbors: int = 12,
        radial: int = 16,
        vectors: int = 8,
        classes: int = 0,
    ) -> None:
        super().__init__()
        if out_dim not in (None, pos_dim):
            raise ValueError(
                f"out_dim must be pos_dim={pos_dim}, since an EGNN answers with vectors, got {out_dim}; use "
                "SetTransformer or Latents for features."
            )
        self.neighbors, self.radial = neighbors, radial
        self.condition = Condition(width, classes)
        self.lift = perceptron(3 * radial + features, width, width)
        self.layers = nn.ModuleList(_Layer(width, radial, vectors) for _ in range(layers))
        self.norm = Modulation(width, width)
        self.head = nn.Linear(width, layers * vectors + 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the prediction ``[n, pos_dim]`` for noisy graphs at ``log_snr [g]``."""
        edges = _Edges(graphs, self.neighbors, self.radial)
        condition = self.condition(log_snr, label)
        near = edges.mean(edges.spread)
        own = basis(edges.radius, self.radial)
        inputs = [4 * near, own, edges.farthest()]
        if graphs.x is not None:
            inputs.append(graphs.x)
        h, found = self.lift(torch.cat(inputs, -1)), []
        for layer in self.layers:
            h, vectors = layer(h, condition, graphs, edges)
            found.append(vectors)
        weights: Tensor = self.head(_modulated(self.norm, h, condition, graphs))
        moved = (weights[:, None, :-1] @ torch.cat(found, 1))[:, 0]
        return moved + weights[:, -1:] * graphs.pos

    def extra_repr(self) -> str:
        """Columns in and out, and the neighbours."""
        return f"{in_out(self)}, neighbors={self.neighbors}"


def basis(distance: Tensor, count: int) -> Tensor:
    r"""Return Gaussians of :math:`r / (1 + r)`, centred evenly in [0, 1], of distances: ``[..., count]``."""
    centres = torch.linspace(0, 1, count, device=distance.device, dtype=distance.dtype)
    return torch.exp(-0.5 * ((distance / (1 + distance))[..., None] - centres).mul(count).square())


def _modulated(norm: Modulation, h: Tensor, condition: Tensor, graphs: Graphs) -> Tensor:
    """Return a norm of nodes ``[n, c]`` under their graphs' condition ``[g, c]``."""
    out: Tensor
    if graphs.uniform is not None:
        out = norm(h.view(len(graphs), -1, h.shape[1]), condition).flatten(0, 1)
    else:
        out = norm(h[:, None], condition[graphs.batch])[:, 0]
    return out
