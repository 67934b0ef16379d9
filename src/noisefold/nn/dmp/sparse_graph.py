r"""Sparse graphs in compressed rows, and sums along their edges, :math:`y_i = \sum_{j \to i} a_{ij} h_j`.

The sum (a sparse-dense matrix product, SpMM) is linear in h and in a. Its derivative in h is the same sum
along the reversed edges, and in a one scalar product an edge (a sampled dense-dense product, SDDMM). So both,
and their derivatives in turn, store rows for nodes and one number an edge, but no row for an edge.
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

__all__ = ["SLOPE", "SparseGraph", "stable_order"]

#: Negative slope of the LeakyReLU in graph attention.
SLOPE = 0.2


@dataclass(frozen=True, eq=False)
class SparseGraph:
    """Edges among m nodes, sorted by target (CSR).

    Parameters
    ----------
    source, target
        Ends of the edges, ``[e]`` each, int64, the target non-decreasing.
    ptr
        Offsets of the targets' edges, ``[m + 1]``.
    offset
        Position of the target minus that of the source, and their distance, ``[e, d + 1]``; or None.
    """

    source: Tensor
    target: Tensor
    ptr: Tensor
    offset: Tensor | None = None

    @cached_property
    def degree(self) -> Tensor:
        """In-degree of every node, ``[m]``."""
        return self.ptr.diff()

    @cached_property
    def reversal(self) -> tuple[Tensor, SparseGraph]:
        """The reversed edges (transposed graph), and the row here, ``[e]``, of each of them."""
        order = stable_order(self.source)
        counts = torch.bincount(self.source, minlength=self.ptr.numel() - 1)
        ptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        return order, SparseGraph(self.target[order], self.source[order], ptr)

    @property
    def sparse(self) -> SparseGraph:
        """The graph itself, as in `noisefold.nn.dmp.adjacency.Adjacency`."""
        return self

    def mean(self, values: Tensor, then: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the mean of ``values [m, w]`` over each node's sources, mapped by an affine `then`."""
        return then(self.aggregate(values) / self.degree.clamp(min=1)[:, None])

    def attend(self, values: Tensor, sent: Tensor, received: Tensor) -> Tensor:
        r"""Return :math:`\sum_j \mathrm{softmax}_j(\mathrm{LeakyReLU}(r_i + s_j)) v_j`, ``[m, w]``.

        Parameters
        ----------
        values
            Values v, ``[m, w]``.
        sent, received
            Parts s of the source and r of the target in the logit, ``[m]`` each.
        """
        logit = sent.index_select(0, self.source) + received.index_select(0, self.target)
        alpha = segment_softmax(functional.leaky_relu(logit, SLOPE), self.target, values.shape[0])
        # Under autocast alpha is float32, in which sums along edges are faster, too.
        return self.aggregate(values.to(alpha.dtype), alpha)

    def aggregate(self, values: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return the sum over each node's edges of the source's ``values [m, w]``, times ``weight [e]``."""
        out: Tensor = _Aggregate.apply(values, weight, self)  # type: ignore[no-untyped-call]
        return out

    def dot(self, sources: Tensor, targets: Tensor) -> Tensor:
        """Return the scalar product ``[e]`` of ``sources [m, w]`` and ``targets [m, w]`` along every edge."""
        out: Tensor = _Dot.apply(sources, targets, self)  # type: ignore[no-untyped-call]
        return out


def _bag(values: Tensor, weight: Tensor | None, edges: SparseGraph) -> Tensor:
    return functional.embedding_bag(
        edges.source, values, edges.ptr, mode="sum", per_sample_weights=weight, include_last_offset=True
    )


def stable_order(index: Tensor) -> Tensor:
    """Return the order that sorts an index ``[e]``, ties in their order (a stable argsort)."""
    e = index.numel()
    keys = index * e + torch.arange(e, device=index.device)
    if keys.device.type == "cpu":
        np.ndarray.sort(keys.numpy())  # several times faster than torch's here
    else:
        keys = keys.sort().values
    return keys % max(e, 1)


class _Aggregate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor | None, edges: SparseGraph) -> Tensor:
        ctx.save_for_backward(values, weight)
        ctx.edges = edges
        return _bag(values, weight, edges)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        values, weight = ctx.saved_tensors
        to_values = to_weight = None
        if ctx.needs_input_grad[0]:
            order, back = ctx.edges.reversal
            to_values = back.aggregate(grad, None if weight is None else weight.index_select(0, order))
        if ctx.needs_input_grad[1]:
            to_weight = ctx.edges.dot(values, grad)
        return to_values, to_weight, None


class _Dot(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, sources: Tensor, targets: Tensor, edges: SparseGraph) -> Tensor:
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
            to_sources = back.aggregate(targets, grad.index_select(0, order))
        if ctx.needs_input_grad[1]:
            to_targets = ctx.edges.aggregate(sources, grad)
        return to_sources, to_targets, None
