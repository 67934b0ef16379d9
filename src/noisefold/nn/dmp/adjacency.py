"""Neighbours among the cells of a batch: edges in a list, and graphs in which all see all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from noisefold.nn.dmp.complete_graph import CompleteGraphs
from noisefold.nn.dmp.edges import Edges

__all__ = ["Adjacency"]


@dataclass(frozen=True, eq=False)
class Adjacency:
    """Rows ``[m, w]`` of which the first exchange messages along edges, the others in complete graphs.

    Parameters
    ----------
    edges
        Edges among the first rows.
    complete
        Graphs on the rows after them.
    """

    edges: Edges
    complete: CompleteGraphs

    @cached_property
    def listed(self) -> Edges:
        """All of them as edges, for what needs a row for each."""
        pairs = self.complete.pairs() + self._first
        source = torch.cat([self.edges.source, pairs[0]])
        target = torch.cat([self.edges.target, pairs[1]])
        degree = torch.bincount(target, minlength=self._first + self.complete.rows)
        return Edges(source, target, torch.cat([degree.new_zeros(1), degree.cumsum(0)]))

    def mean(self, values: Tensor, then: Callable[[Tensor], Tensor]) -> Tensor:
        """As `Edges.mean`."""
        if not self.complete.rows:
            return self.edges.mean(values, then)
        if not self._first:
            return self.complete.mean(values, then)
        near, far = values.tensor_split([self._first])
        return torch.cat([self.edges.mean(near, then), self.complete.mean(far, then)])

    def attend(self, values: Tensor, sent: Tensor, received: Tensor) -> Tensor:
        """As `Edges.attend`."""
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
