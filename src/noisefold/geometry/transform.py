"""Invertible transformations of graphs, between the units of the data and those of a model.

What is transformed is the value of single nodes, so that a mask of known entries can be carried along.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from noisefold.geometry.graphs import Graphs

__all__ = ["Chain", "Transform"]


class Transform(Protocol):
    """What every transformation offers; nodes keep their order, and absent features stay absent."""

    @property
    def thins(self) -> bool:
        """Whether a part of a graph's nodes is a graph as good as the whole, once it is undone."""
        return True

    @abstractmethod
    def apply(self, graphs: Graphs) -> Graphs:
        """Return the graphs in the units after it."""

    def once(self, graphs: Graphs) -> Graphs:
        """Return the graphs with what takes long computed, once for a training; `apply` still follows."""
        return graphs

    @abstractmethod
    def undo(self, graphs: Graphs) -> Graphs:
        """Return the graphs in the units before it."""

    def drawn(self, graphs: Graphs, seeds: Sequence[int]) -> Graphs:
        """Return the same as `undo`, with what it leaves open drawn from a seed for each graph."""
        return self.undo(graphs)

    @abstractmethod
    def entries(self, known: Tensor) -> Tensor:
        """Return which features are known after it, ``[n, f']`` bool, given those before it, ``[n, f]``.

        Raises
        ------
        ValueError
            If a known feature after it would need an unknown one before it.
        """


@dataclass(frozen=True)
class Chain(Transform):
    """Transformations one after another.

    Parameters
    ----------
    parts
        The first is applied first, and undone last.
    """

    parts: tuple[Transform, ...]

    def apply(self, graphs: Graphs) -> Graphs:
        """Return the graphs in the units after the last."""
        for part in self.parts:
            graphs = part.apply(graphs)
        return graphs

    def once(self, graphs: Graphs) -> Graphs:
        """Return the graphs with what takes the first long computed."""
        return self.parts[0].once(graphs) if self.parts else graphs

    def undo(self, graphs: Graphs) -> Graphs:
        """Return the graphs in the units before the first."""
        for part in reversed(self.parts):
            graphs = part.undo(graphs)
        return graphs

    def drawn(self, graphs: Graphs, seeds: Sequence[int]) -> Graphs:
        """Return the graphs in the units before the first, with what is left open drawn from the seeds."""
        for part in reversed(self.parts):
            graphs = part.drawn(graphs, seeds)
        return graphs

    def entries(self, known: Tensor) -> Tensor:
        """Return which features are known after the last, ``[n, f']`` bool."""
        for part in self.parts:
            known = part.entries(known)
        return known
