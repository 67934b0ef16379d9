r"""States of discrete graphs: a class for every node and every pair of nodes.

A graph of n nodes has :math:`n (n - 1) / 2` unordered pairs i < j in the order of
`noisefold.geometry.pairs`, so that every state is symmetric and has no self-loops. The class of a pair is 0
for no edge, or 1 + the type of an edge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Categories"]


@dataclass(frozen=True, eq=False)
class Categories:
    """Values of the n nodes and the p pairs of a batch of graphs.

    A state holds classes, int64; a mask bool; a network's answer or an estimate a number for each class.

    Parameters
    ----------
    nodes
        ``[n]``, or ``[n, a]`` with a column for each class of nodes.
    pairs
        ``[p]``, or ``[p, b]`` with a column for each class of pairs.
    """

    nodes: Tensor
    pairs: Tensor

    def map(self, function: Callable[..., Tensor], *others: Categories) -> Categories:
        """Return a function of the nodes and of the pairs, each beside those of others."""
        return Categories(
            function(self.nodes, *(o.nodes for o in others)), function(self.pairs, *(o.pairs for o in others))
        )

    def to(self, device: torch.device | str) -> Categories:
        """Move both to a device."""
        return self.map(lambda v: v.to(device))
