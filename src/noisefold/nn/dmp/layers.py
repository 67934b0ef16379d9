"""Parts of a `DMP`: embedding of the noise level, lift, gate, and one layer of message passing."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from noisefold.nn.blocks import Condition
from noisefold.nn.dmp.adjacency import Adjacency
from noisefold.nn.dmp.coarse_graph import CoarseGraph
from noisefold.nn.dmp.message import Coarsen, Uncoarsen
from noisefold.nn.dmp.sparse_graph import SparseGraph
from noisefold.nn.linear import Linear, linear
from noisefold.nn.norms import MLP, Norm, Rows
from noisefold.nn.row_blocks import map_row_blocks
from noisefold.noise.schedule import signal_level

__all__ = ["Gate", "Layer", "LayerInputs", "Lift", "SignalEmbedding", "embedding_of"]


class SignalEmbedding(nn.Module):
    """The signal level u itself, next to an embedding of the class if there are classes.

    Shapes:
        - **log_snr** ``[g]``, **label** int64 ``[g]`` or None
        - **output** ``[g, 1]``, or ``[g, 1 + width]`` with classes
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.label = nn.Embedding(classes + 1, width) if classes else None

    def extra_repr(self) -> str:
        """Columns in and out."""
        return f"1 -> {1 if self.label is None else 1 + self.label.embedding_dim}"

    def forward(self, log_snr: Tensor, label: Tensor | None) -> Tensor:
        """Embed ``log_snr [g]`` and ``label [g]``; -1, or no labels, means "unconditional"."""
        u = signal_level(log_snr)[:, None]
        if self.label is None:
            return u
        label = torch.full_like(log_snr, -1, dtype=torch.long) if label is None else label
        return torch.cat([u, self.label(label + 1)], dim=-1)


def embedding_of(kind: str, width: int, classes: int) -> tuple[nn.Module, int]:
    """Return the embedding of noise level and class, "film" or "time", and its number of columns."""
    if kind == "film":
        return Condition(width, classes), width
    return SignalEmbedding(width, classes), 1 + (width if classes else 0)


@dataclass(frozen=True)
class LayerInputs:
    """Inputs that all layers of one forward pass share.

    Parameters
    ----------
    rows
        The graph of every node.
    context
        Embedding of the noise level and class, ``[g, c]``.
    coarse
        Supernodes and their edges.
    offset
        Centre of its supernode minus the node's position, and their distance, ``[n, d + 1]``.
    edges
        Neighbours among the supernodes.
    """

    rows: Rows
    context: Tensor
    coarse: CoarseGraph
    offset: Tensor
    edges: SparseGraph | Adjacency


class Lift(nn.Module):
    r"""Perceptron of the values and the context of their graph: :math:`h_j = \mathrm{MLP}[v_j, c_{g(j)}]`.

    Shapes:
        - **values** ``[n, inputs]``, **context** ``[g, context]``, **rows** the graph of every row
        - **output** ``[n, width]``
    """

    def __init__(self, inputs: int, context: int, mlp: MLP) -> None:
        super().__init__()
        self.widths, self.mlp = (inputs, context), mlp

    def extra_repr(self) -> str:
        """Columns of values and context in, and columns out."""
        last = self.mlp.linears[-1]
        assert isinstance(last, nn.Linear)
        return f"{self.widths[0]}, {self.widths[1]} -> {last.out_features}"

    def forward(self, values: Tensor, context: Tensor, rows: Rows) -> Tensor:
        """Return the lifted nodes ``[n, width]``."""
        weight, bias = self.mlp.map()
        on_values, on_context = weight.split(self.widths, dim=1)
        # The context is the same for all nodes of a graph, and so is its part of the first linear map.
        share = nn.functional.linear(context, on_context, bias)

        def lifted(part: slice) -> Tensor:
            own = rows.part(part)
            h = own.fold(linear(values[part], on_values)) + own.spread(share)
            return self.mlp.tail(h.flatten(0, -2))

        return map_row_blocks(lifted, values, self.training, weight.shape[0])


class Gate(nn.Module):
    r"""Gate: :math:`\lambda h + (1 - \lambda) z` with :math:`\lambda = \mathrm{sigmoid}(W [h, z] + b)`.

    Shapes:
        - **h** and **spread** (z) ``[n, width]``
        - **output** ``[n, width]``
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = Linear(2 * width, width)

    def extra_repr(self) -> str:
        """Columns in and out."""
        return f"{self.linear.out_features}, {self.linear.out_features} -> {self.linear.out_features}"

    def forward(self, h: Tensor, spread: Tensor) -> Tensor:
        """Return the gated mixture of ``h [n, width]`` and ``spread [n, width]``."""
        on_h, on_spread = self.linear.weight.chunk(2, dim=1)
        # Concatenated, h and spread would be copied here, and strided in the derivative.
        logit = linear(h, on_h, self.linear.bias).add_(linear(spread, on_spread))
        return torch.lerp(spread, h, torch.sigmoid(logit))


class Layer(nn.Module):
    r"""One layer: coarsen, pass messages among supernodes, uncoarsen, gate, perceptron.

    The formula is that of `noisefold.nn.dmp.network`.

    Shapes:
        - **h** ``[n, width]``, **supernodes** ``[m, width]``
        - **output** h and supernodes, of the same shapes
    """

    def __init__(
        self, coarsen: Coarsen, conv: nn.Module, uncoarsen: Uncoarsen, norm: Norm, mlp: MLP, residual: bool
    ) -> None:
        super().__init__()
        self.coarsen, self.conv, self.uncoarsen = coarsen, conv, uncoarsen
        self.norm, self.activation, self.mlp = norm, nn.GELU(), mlp
        self.residual = residual

    def forward(
        self, h: Tensor, supernodes: Tensor, inputs: LayerInputs, gate: nn.Module
    ) -> tuple[Tensor, Tensor]:
        """Return new nodes ``[n, width]`` and supernodes ``[m, width]``."""
        pooling = inputs.coarse.pooling
        supernodes = self.conv(self.coarsen(h, inputs.offset, supernodes, pooling), inputs.edges)
        received = self.uncoarsen.received(h, inputs.offset, supernodes, pooling)

        def updated(part: slice) -> Tensor:
            own = gate(h[part], received(part))
            out: Tensor = self.mlp(self.activation(self.norm(own, inputs.context, inputs.rows.part(part))))
            return own + out if self.residual else out

        return map_row_blocks(updated, h, self.training, into=h), supernodes
