"""Transformations of graphs that can be undone: between the units of the data and those of a model.

What is transformed is the value of single nodes, so that a mask of known entries can be carried along.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from noisefold.geometry.graphs import Graphs

__all__ = ["Chain", "Transform"]


class Transform(Protocol):
    """What every transformation offers; nodes and their order stay, and features that are absent."""

    @abstractmethod
    def apply(self, graphs: Graphs) -> Graphs:
        """From the units before to those after."""

    @abstractmethod
    def undo(self, graphs: Graphs) -> Graphs:
        """From the units after back to those before."""

    @abstractmethod
    def entries(self, known: Tensor) -> Tensor:
        """Which features are known after it, ``[n, f']`` bool, where those ``[n, f]`` are before it.

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
        """From the units before the first to those after the last."""
        for part in self.parts:
            graphs = part.apply(graphs)
        return graphs

    def undo(self, graphs: Graphs) -> Graphs:
        """From the units after the last to those before the first."""
        for part in reversed(self.parts):
            graphs = part.undo(graphs)
        return graphs

    def entries(self, known: Tensor) -> Tensor:
        """Which features are known after the last, ``[n, f']`` bool."""
        for part in self.parts:
            known = part.entries(known)
        return known
