r"""Norms and perceptrons on the nodes of a ragged batch, ``h [n, w]``, one row a node.

A norm may be modulated by the noise level: its scale and shift are then linear in the condition of the node's
graph, :math:`(1 + a(c)) \,\mathrm{norm}(h) + b(c)` (FiLM).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from noisefold.nn.blocks import zeroed
from noisefold.nn.linear import Linear, linear

__all__ = ["ACTIVATIONS", "MLP", "NORMS", "Norm", "Rows"]

NORMS = ("layer", "batch", "none")
ACTIVATIONS = {"gelu": nn.GELU, "relu": nn.ReLU, "silu": nn.SiLU}


@dataclass(frozen=True)
class Rows:
    """The graph of each of n rows.

    Parameters
    ----------
    graph
        Graph of every row, ``[n]``, int64.
    size
        Rows of every graph, if all have the same number and are in the order of the graphs; else None.
    """

    graph: Tensor
    size: int | None = None

    def part(self, rows: slice) -> Rows:
        """Return a slice of the rows."""
        return self if rows == slice(None) else Rows(self.graph[rows])

    def spread(self, values: Tensor) -> Tensor:
        """Return values of the graphs ``[g, c]`` as ``[g, 1, c]`` or ``[n, c]``, to broadcast with `fold`."""
        return values.index_select(0, self.graph) if self.size is None else values[:, None]

    def fold(self, h: Tensor) -> Tensor:
        """Return rows ``[n, c]`` as ``[g, size, c]`` if there is a common size, else unchanged."""
        return h if self.size is None else h.view(-1, self.size, h.shape[-1])


def _plain(kind: str, width: int, affine: bool) -> nn.Module:
    if kind == "layer":
        return nn.LayerNorm(width, elementwise_affine=affine)
    if kind == "batch":
        return nn.BatchNorm1d(width, affine=affine)
    if kind == "none":
        return nn.Identity()
    raise ValueError(f"norm must be one of {', '.join(NORMS)}, got {kind!r}.")


class Norm(nn.Module):
    r"""Norm of rows, modulated by the condition of their graph: :math:`(1 + a(c)) \,\mathrm{norm}(h) + b(c)`.

    It is initialised as the plain norm. Batch norm is the only choice that makes the graphs of a batch depend
    on one another, in training; it is needed to reproduce a paper.

    Shapes:
        - **h** ``[n, width]``, **condition** ``[g, condition]``, **rows** the graph of every row
        - **output** ``[n, width]``

    Parameters
    ----------
    kind
        "layer", "batch" or "none".
    width
        Columns.
    condition
        Columns of the condition; 0 for an unmodulated norm with a learned scale and shift.

    Raises
    ------
    ValueError
        If the kind is unknown.
    """

    def __init__(self, kind: str, width: int, condition: int = 0) -> None:
        super().__init__()
        self.norm = _plain(kind, width, affine=not condition)
        self.to_scale_shift = nn.Linear(condition, 2 * width) if condition else None
        self._kind, self._width = kind, width
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Make it the plain norm, without statistics."""
        if isinstance(self.norm, nn.LayerNorm | nn.BatchNorm1d):
            self.norm.reset_parameters()
        if self.to_scale_shift is not None:
            zeroed(self.to_scale_shift)

    def extra_repr(self) -> str:
        """Columns in and out, and the kind."""
        return f"{self._width} -> {self._width}, {self._kind}"

    def forward(self, h: Tensor, condition: Tensor, rows: Rows) -> Tensor:
        """Return ``h [n, width]`` normalised and modulated by ``condition [g, c]``."""
        out: Tensor = self.norm(h)
        if self.to_scale_shift is None:
            return out
        scale, shift = rows.spread(self.to_scale_shift(condition)).chunk(2, dim=-1)
        return torch.addcmul(shift, rows.fold(out), 1 + scale).view_as(out)


class MLP(nn.Module):
    r"""Multilayer perceptron: linear maps with a norm and an activation between them, none after the last.

    .. math:: h \leftarrow W_i \,\sigma(\mathrm{norm}_i(h)) + b_i

    Shapes:
        - **h** ``[n, widths[0]]``
        - **output** ``[n, widths[-1]]``

    Parameters
    ----------
    widths
        Columns from the input to the output.
    activation
        "gelu", "relu" or "silu".
    norm
        "layer", "batch" or "none".
    shared
        Whether all inner linear maps share one norm with one set of statistics; their widths must be equal.

    Raises
    ------
    ValueError
        If activation or norm is unknown.
    """

    def __init__(
        self, widths: Sequence[int], activation: str = "gelu", norm: str = "none", shared: bool = False
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}.")
        self.linears = nn.ModuleList(Linear(a, b) for a, b in pairwise(widths))
        inner = widths[1:2] if shared else widths[1:-1]
        self.norms = nn.ModuleList(_plain(norm, width, affine=True) for width in inner)
        self.activation = ACTIVATIONS[activation]()

    def map(self, layer: int = 0) -> tuple[Tensor, Tensor]:
        """Return weight and bias of a linear map, which a caller may apply in its own way before `tail`.

        In evaluation, a batch norm is linear and is folded into the map before it.
        """
        linear = self.linears[layer]
        assert isinstance(linear, nn.Linear)
        weight, bias = linear.weight, linear.bias
        if layer + 1 == len(self.linears) or (norm := _evaluated(self._norm(layer))) is None:
            return weight, bias
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        return weight * scale[:, None], (bias - norm.running_mean) * scale + norm.bias

    def forward(self, h: Tensor) -> Tensor:
        """Map ``h [n, widths[0]]`` to ``[n, widths[-1]]``."""
        return self.tail(linear(h, *self.map()))

    def tail(self, h: Tensor) -> Tensor:
        """Apply all that follows the first linear map."""
        for i in range(1, len(self.linears)):
            h = linear(self.activate(h, i - 1), *self.map(i))
        return h

    def activate(self, h: Tensor, layer: int = 0) -> Tensor:
        """Apply norm and activation after one of the inner linear maps."""
        norm = self._norm(layer)
        out: Tensor = self.activation(h if _evaluated(norm) else norm(h))
        return out

    def extra_repr(self) -> str:
        """Columns from the input to the output."""
        first: Any = self.linears[0]
        return " -> ".join(str(w) for w in (first.in_features, *(m.out_features for m in self.linears)))

    def _norm(self, layer: int) -> nn.Module:
        return self.norms[min(layer, len(self.norms) - 1)]


def _evaluated(norm: nn.Module) -> nn.BatchNorm1d | None:
    return norm if isinstance(norm, nn.BatchNorm1d) and not norm.training else None
