"""Adjacency of the supernodes of a batch: sparse graphs, and complete graphs without a list of edges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from noisefold.nn.dmp.complete_graph import CompleteGraphs
from noisefold.nn.dmp.sparse_graph import SparseGraph

__all__ = ["Adjacency"]


@dataclass(frozen=True, eq=False)
class Adjacency:
    """Neighbours of the rows ``[m, w]``: sparse graphs on the first rows, complete graphs on the others.

    Parameters
    ----------
    edges
        Edges among the first rows.
    complete
        Complete graphs on the remaining rows.
    """

    edges: SparseGraph
    complete: CompleteGraphs

    @cached_property
    def sparse(self) -> SparseGraph:
        """All neighbours as a list of edges, for convolutions that need one."""
        pairs = self.complete.pairs() + self._first
        source = torch.cat([self.edges.source, pairs[0]])
        target = torch.cat([self.edges.target, pairs[1]])
        degree = torch.bincount(target, minlength=self._first + self.complete.rows)
        return SparseGraph(source, target, torch.cat([degree.new_zeros(1), degree.cumsum(0)]))

    def mean(self, values: Tensor, then: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the mean over neighbours, as `SparseGraph.mean`."""
        if not self.complete.rows:
            return self.edges.mean(values, then)
        if not self._first:
            return self.complete.mean(values, then)
        near, far = values.tensor_split([self._first])
        return torch.cat([self.edges.mean(near, then), self.complete.mean(far, then)])

    def attend(self, values: Tensor, sent: Tensor, received: Tensor) -> Tensor:
        """Return graph attention over neighbours, as `SparseGraph.attend`."""
        if not self.complete.rows:
            return self.edges.attend(values, sent, received)
        if not self._first:
            return self.complete.attend(values, sent, received)
        parts = zip(*(t.tensor_split([self._first]) for t in (values, sent, received)), strict=True)
        near, far = parts
        return torch.cat([self.edges.attend(*near), self.complete.attend(*far)])

    @property
    def _first(self) -> int:
        return self.edges.ptr.numel() - 1
