"""Parts of a `DMP`: what the noise level gives to the nodes, the lift, the gate and one layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from noisefold.nn.blocks import Condition
from noisefold.nn.dmp.adjacency import Adjacency
from noisefold.nn.dmp.edges import Edges
from noisefold.nn.dmp.message import Coarsen, Uncoarsen
from noisefold.nn.dmp.structure import Structure
from noisefold.nn.linear import Linear, linear
from noisefold.nn.norms import MLP, Norm, Rows
from noisefold.nn.rowwise import rowwise
from noisefold.noise.schedule import signal_level

__all__ = ["Gate", "Layer", "Lift", "Raw", "Scene", "embedding_of"]


class Raw(nn.Module):
    """The signal level u itself, beside an embedding of the class if there are any, ``[g, c]``."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.label = nn.Embedding(classes + 1, width) if classes else None

    def forward(self, log_snr: Tensor, label: Tensor | None) -> Tensor:
        """Embedding of ``log_snr [g]`` and ``label [g]``; -1 or no labels stand for "unconditional"."""
        u = signal_level(log_snr)[:, None]
        if self.label is None:
            return u
        label = torch.full_like(log_snr, -1, dtype=torch.long) if label is None else label
        return torch.cat([u, self.label(label + 1)], dim=-1)


def embedding_of(kind: str, width: int, classes: int) -> tuple[nn.Module, int]:
    """Embedding of noise level and class, and its columns."""
    if kind == "film":
        return Condition(width, classes), width
    return Raw(width, classes), 1 + (width if classes else 0)


@dataclass(frozen=True)
class Scene:
    """What the layers of one forward pass have in common.

    Parameters
    ----------
    rows
        The graph of every node.
    context
        Embedding of the noise level and class, ``[g, c]``.
    structure
        Cells and edges.
    offset
        Centre of its cell less the node's position, and the distance, ``[n, d + 1]``.
    edges
        Neighbours among the cells.
    """

    rows: Rows
    context: Tensor
    structure: Structure
    offset: Tensor
    edges: Edges | Adjacency


class Lift(nn.Module):
    """Perceptron of values ``[n, inputs]`` beside the context of their graph ``[g, context]``."""

    def __init__(self, inputs: int, context: int, mlp: MLP) -> None:
        super().__init__()
        self.widths, self.mlp = (inputs, context), mlp

    def forward(self, values: Tensor, context: Tensor, rows: Rows) -> Tensor:
        """Lifted nodes ``[n, width]``."""
        weight, bias = self.mlp.map()
        on_values, on_context = weight.split(self.widths, dim=1)
        # The context is the same for all nodes of a graph, and so is its share of the first linear map.
        share = nn.functional.linear(context, on_context, bias)

        def lifted(part: slice) -> Tensor:
            own = rows.part(part)
            h = own.fold(linear(values[part], on_values)) + own.spread(share)
            return self.mlp.tail(h.flatten(0, -2))

        return rowwise(lifted, values, self.training, weight.shape[0])


class Gate(nn.Module):
    r"""Mixture :math:`\lambda h + (1 - \lambda) z` with :math:`\lambda = \mathrm{sigmoid}(W [h, z] + b)`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = Linear(2 * width, width)

    def forward(self, h: Tensor, spread: Tensor) -> Tensor:
        """Mix ``h [n, width]`` with ``spread [n, width]``."""
        on_h, on_spread = self.linear.weight.chunk(2, dim=1)
        # Side by side in one matrix they would be copied here, and in the derivative be strided.
        logit = linear(h, on_h, self.linear.bias).add_(linear(spread, on_spread))
        return torch.lerp(spread, h, torch.sigmoid(logit))


class Layer(nn.Module):
    """Coarsen, pass messages, uncoarsen, gate, perceptron."""

    def __init__(
        self, coarsen: Coarsen, conv: nn.Module, uncoarsen: Uncoarsen, norm: Norm, mlp: MLP, residual: bool
    ) -> None:
        super().__init__()
        self.coarsen, self.conv, self.uncoarsen = coarsen, conv, uncoarsen
        self.norm, self.activation, self.mlp = norm, nn.GELU(), mlp
        self.residual = residual

    def forward(self, h: Tensor, cells: Tensor, scene: Scene, gate: nn.Module) -> tuple[Tensor, Tensor]:
        """New nodes ``[n, width]`` and cells ``[m, width]``."""
        members = scene.structure.members
        cells = self.conv(self.coarsen(h, scene.offset, cells, members), scene.edges)
        received = self.uncoarsen.received(h, scene.offset, cells, members)

        def updated(part: slice) -> Tensor:
            own = gate(h[part], received(part))
            out: Tensor = self.mlp(self.activation(self.norm(own, scene.context, scene.rows.part(part))))
            return own + out if self.residual else out

        return rowwise(updated, h, self.training, into=h), cells
