r"""Norms and perceptrons on the nodes of a ragged batch, :math:`h\ [n, w]`, one row a node.

A norm may follow the noise level: its scale and shift are then linear in the condition of the node's graph,
:math:`(1 + a(c)) \,\mathrm{norm}(h) + b(c)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from noisefold.nn.linear import Linear, linear

__all__ = ["ACTIVATIONS", "MLP", "NORMS", "Norm", "Rows"]

NORMS = ("layer", "batch", "none")
ACTIVATIONS = {"gelu": nn.GELU, "relu": nn.ReLU, "silu": nn.SiLU}


@dataclass(frozen=True)
class Rows:
    """Which graph each of n rows belongs to.

    Parameters
    ----------
    graph
        Graph of every row, ``[n]``, int64.
    size
        Rows of every graph, if all have the same number and stand in the order of the graphs; else None.
    """

    graph: Tensor
    size: int | None = None

    def part(self, rows: slice) -> Rows:
        """Some of the rows."""
        return self if rows == slice(None) else Rows(self.graph[rows])

    def spread(self, values: Tensor) -> Tensor:
        """Values of the graphs ``[g, c]`` as ``[g, 1, c]`` or ``[n, c]``, to be combined with `fold`."""
        return values.index_select(0, self.graph) if self.size is None else values[:, None]

    def fold(self, h: Tensor) -> Tensor:
        """Rows ``[n, c]`` as ``[g, size, c]`` where there is a common size, else as they are."""
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
    """A norm of rows ``[n, width]``, modulated by the condition of their graph where it has a width.

    The modulation begins as the plain norm. Batch norm is the one choice that lets the graphs of a batch see
    each other, in training; it is here because a paper used it.

    Parameters
    ----------
    kind
        "layer", "batch" or "none".
    width
        Columns.
    condition
        Columns of the condition; 0 for a plain norm with a learned scale and shift.

    Raises
    ------
    ValueError
        If the kind is unknown.
    """

    def __init__(self, kind: str, width: int, condition: int = 0) -> None:
        super().__init__()
        self.norm = _plain(kind, width, affine=not condition)
        self.to_scale_shift = nn.Linear(condition, 2 * width) if condition else None
        if self.to_scale_shift is not None:
            nn.init.zeros_(self.to_scale_shift.weight)
            nn.init.zeros_(self.to_scale_shift.bias)

    def forward(self, h: Tensor, condition: Tensor, rows: Rows) -> Tensor:
        """Normalised ``h [n, width]`` under ``condition [g, c]``."""
        out: Tensor = self.norm(h)
        if self.to_scale_shift is None:
            return out
        scale, shift = rows.spread(self.to_scale_shift(condition)).chunk(2, dim=-1)
        return torch.addcmul(shift, rows.fold(out), 1 + scale).view_as(out)


class MLP(nn.Module):
    r"""Linear maps with a norm and an activation between them, none after the last.

    Parameters
    ----------
    widths
        Columns from the input to the output.
    activation
        "gelu", "relu" or "silu".
    norm
        "layer", "batch" or "none".
    shared
        One norm with one set of statistics after every inner linear map, instead of one norm each. The widths
        between must then be equal.

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
        """Weight and bias of a linear map, which a caller may apply in its own way before `tail`.

        A batch norm that is evaluated is a linear map itself, and is contained in the one before it.
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
        """All that follows the first linear map."""
        for i in range(1, len(self.linears)):
            h = linear(self.activate(h, i - 1), *self.map(i))
        return h

    def activate(self, h: Tensor, layer: int = 0) -> Tensor:
        """Norm and activation behind one of the inner linear maps."""
        norm = self._norm(layer)
        out: Tensor = self.activation(h if _evaluated(norm) else norm(h))
        return out

    def _norm(self, layer: int) -> nn.Module:
        return self.norms[min(layer, len(self.norms) - 1)]


def _evaluated(norm: nn.Module) -> nn.BatchNorm1d | None:
    return norm if isinstance(norm, nn.BatchNorm1d) and not norm.training else None
