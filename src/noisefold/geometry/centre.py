r"""Centring: positions of which differences alone count, :math:`p_i - \frac1n \sum_j p_j` in each graph."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.segment import segment_mean
from noisefold.geometry.transform import Transform

__all__ = ["Centre", "centred"]


def centred(graphs: Graphs, values: Tensor) -> Tensor:
    """Return values ``[n, d]`` of the nodes less their mean in each graph."""
    batch = graphs.batch
    return values - segment_mean(values, batch, len(graphs)).index_select(0, batch)


@configurable
@dataclass(frozen=True)
class Centre(Transform):
    """Positions less their mean in each graph; where a graph stood is not kept."""

    def apply(self, graphs: Graphs) -> Graphs:
        """Return the graphs about their own means."""
        return graphs.replace(pos=centred(graphs, graphs.pos.double()).to(graphs.pos))

    def undo(self, graphs: Graphs) -> Graphs:
        """Return the graphs as they are."""
        return graphs

    def entries(self, known: Tensor) -> Tensor:
        """Return the mask: features are not changed."""
        return known
