r"""Pooling over supernodes, :math:`c_i = \sum_{j \in i} v_j`, and unpooling, :math:`v_j = c_{i(j)}`.

Each is the derivative of the other. Members are listed supernode by supernode, so that a sum reads every row
and writes every supernode once; on a CPU this is faster than a scatter of rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from noisefold.nn.dmp.sparse_graph import stable_order

__all__ = ["Pooling"]

_ALL = slice(None)


@dataclass(frozen=True, eq=False)
class Pooling:
    """The assignment of n nodes to m supernodes.

    Parameters
    ----------
    assignment
        Supernode of every node, ``[n]``, int64, from 0 to m - 1.
    ptr
        Offsets of the supernodes in a list of the nodes by supernode, ``[m + 1]``.
    """

    assignment: Tensor
    ptr: Tensor

    @classmethod
    def of(cls, assignment: Tensor, supernodes: int) -> Pooling:
        """Build the pooling of an assignment ``[n]`` to this number of supernodes."""
        counts = torch.bincount(assignment, minlength=supernodes)
        return cls(assignment, torch.cat([counts.new_zeros(1), counts.cumsum(0)]))

    @cached_property
    def order(self) -> Tensor:
        """The nodes by supernode, those of one supernode in their order, ``[n]``."""
        return stable_order(self.assignment)

    @cached_property
    def counts(self) -> Tensor:
        """Number of members of every supernode, ``[m, 1]``, int64."""
        return self.ptr.diff()[:, None]

    @cached_property
    def identity(self) -> bool:
        """Whether node i is the only member of supernode i, for all i."""
        n, device = self.assignment.numel(), self.assignment.device
        return n == self.ptr.numel() - 1 and torch.equal(self.assignment, torch.arange(n, device=device))

    def sum(self, values: Tensor) -> Tensor:
        """Return the sums ``[m, w]`` of ``values [n, w]``; 0 for an empty supernode."""
        if self.identity:
            return values
        out: Tensor = _Sum.apply(values, self)  # type: ignore[no-untyped-call]
        return out

    def mean(self, values: Tensor) -> Tensor:
        """Return the means ``[m, w]`` of ``values [n, w]``; 0 for an empty supernode."""
        return values if self.identity else self.sum(values) / self.counts.clamp(min=1)

    def spread(self, values: Tensor, part: slice = _ALL) -> Tensor:
        """Return the row of every node's supernode, ``[n, w]`` of ``values [m, w]``, or those of a slice."""
        if self.identity:
            return values[part]
        if part != _ALL:
            return values.index_select(0, self.assignment[part])
        out: Tensor = _Spread.apply(values, self)  # type: ignore[no-untyped-call]
        return out


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, pooling: Pooling) -> Tensor:
        ctx.pooling = pooling
        return functional.embedding_bag(
            pooling.order, values, pooling.ptr, mode="sum", include_last_offset=True
        )

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.pooling.spread(grad), None


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, pooling: Pooling) -> Tensor:
        ctx.pooling = pooling
        return values.index_select(0, pooling.assignment)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.pooling.sum(grad), None
