r"""Weighted sums along edges, :math:`y_i = \sum_{j \to i} a_{ij} h_j`, without a row for every edge.

The sum is linear in h and in a. Its derivative in h is the same sum along the reversed edges, that in a one
scalar product for each edge; so both, and their derivatives in turn, need memory for nodes and for one number
an edge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from noisefold.geometry.segment import segment_softmax

__all__ = ["SLOPE", "Edges", "stable_order"]

#: Slope of LeakyReLU at the negative scores of graph attention.
SLOPE = 0.2


@dataclass(frozen=True, eq=False)
class Edges:
    """Edges among m nodes, in the order of their targets.

    Parameters
    ----------
    source, target
        Ends, ``[e]`` each, int64, the target not falling.
    ptr
        Where each target's edges begin, ``[m + 1]``.
    offset
        Position of the target less that of the source, and the distance, ``[e, d + 1]``; or None.
    """

    source: Tensor
    target: Tensor
    ptr: Tensor
    offset: Tensor | None = None

    @cached_property
    def degree(self) -> Tensor:
        """Edges of every target, ``[m]``."""
        return self.ptr.diff()

    @cached_property
    def reversal(self) -> tuple[Tensor, Edges]:
        """The edges turned round, and the row here, ``[e]``, of each of them."""
        order = stable_order(self.source)
        counts = torch.bincount(self.source, minlength=self.ptr.numel() - 1)
        ptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        return order, Edges(self.target[order], self.source[order], ptr)

    @property
    def listed(self) -> Edges:
        """Themselves; see `noisefold.nn.dmp.adjacency.Adjacency`."""
        return self

    def mean(self, values: Tensor, then: Callable[[Tensor], Tensor]) -> Tensor:
        """An affine map `then` of the mean of ``values [m, w]`` over each target's sources, ``[m, w]``."""
        return then(self.gather(values) / self.degree.clamp(min=1)[:, None])

    def attend(self, values: Tensor, sent: Tensor, received: Tensor) -> Tensor:
        r"""Sum over each target's sources, weighted by the softmax of LeakyReLU(received + sent).

        Parameters
        ----------
        values
            ``[m, w]``.
        sent, received
            Parts of the score from the source and the target, ``[m]``.
        """
        score = sent.index_select(0, self.source) + received.index_select(0, self.target)
        alpha = segment_softmax(functional.leaky_relu(score, SLOPE), self.target, values.shape[0])
        # Under autocast alpha is in float32, in which sums along edges are faster too.
        return self.gather(values.to(alpha.dtype), alpha)

    def gather(self, values: Tensor, weight: Tensor | None = None) -> Tensor:
        """Sum ``[m, w]`` over a target's edges of the source's ``values [m, w]``, times ``weight [e]``."""
        out: Tensor = _Gather.apply(values, weight, self)  # type: ignore[no-untyped-call]
        return out

    def dot(self, sources: Tensor, targets: Tensor) -> Tensor:
        """Scalar product ``[e]`` of both ends of every edge, ``sources [m, w]`` and ``targets [m, w]``."""
        out: Tensor = _Dot.apply(sources, targets, self)  # type: ignore[no-untyped-call]
        return out


def _bag(values: Tensor, weight: Tensor | None, edges: Edges) -> Tensor:
    return functional.embedding_bag(
        edges.source, values, edges.ptr, mode="sum", per_sample_weights=weight, include_last_offset=True
    )


def stable_order(index: Tensor) -> Tensor:
    """Order that sorts an index ``[e]``, equal entries in their order."""
    e = index.numel()
    keys = index * e + torch.arange(e, device=index.device)
    if keys.device.type == "cpu":
        np.ndarray.sort(keys.numpy())  # eight times faster than torch's here
    else:
        keys = keys.sort().values
    return keys % max(e, 1)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor | None, edges: Edges) -> Tensor:
        ctx.save_for_backward(values, weight)
        ctx.edges = edges
        return _bag(values, weight, edges)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        values, weight = ctx.saved_tensors
        to_values = to_weight = None
        if ctx.needs_input_grad[0]:
            order, back = ctx.edges.reversal
            to_values = back.gather(grad, None if weight is None else weight.index_select(0, order))
        if ctx.needs_input_grad[1]:
            to_weight = ctx.edges.dot(values, grad)
        return to_values, to_weight, None


class _Dot(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, sources: Tensor, targets: Tensor, edges: Edges) -> Tensor:
        ctx.save_for_backward(sources, targets)
        ctx.edges = edges
        # PyTorch has this product only as the derivative of the weighted sum.
        weight = sources.new_zeros(edges.source.shape, requires_grad=True)
        with torch.enable_grad():
            summed = _bag(sources.detach(), weight, edges)
        return torch.autograd.grad(summed, weight, targets.contiguous())[0]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        sources, targets = ctx.saved_tensors
        to_sources = to_targets = None
        if ctx.needs_input_grad[0]:
            order, back = ctx.edges.reversal
            to_sources = back.gather(targets, grad.index_select(0, order))
        if ctx.needs_input_grad[1]:
            to_targets = ctx.edges.gather(sources, grad)
        return to_sources, to_targets, None
