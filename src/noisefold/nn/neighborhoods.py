r"""Neighbourhoods: the senders of every node, with weights that vanish where a neighbourhood ends.

A node i receives from its k nearest senders j. Their weights are

.. math:: w_{ij} \propto (1 - q_{ij}^2)^2, \qquad q_{ij} = |p_j - p_i| / R_i, \qquad \sum_j w_{ij} = 1,

where the radius :math:`R_i` is the distance of the nearest sender that was left out. So a weight is a
continuous function of the positions, although the k nearest are not, and of senders at equal distances, as
there are on a grid, none is preferred.

Senders are the other nodes; or supernodes, which average the values of their members, where the resolution
is below the number of nodes.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor

from noisefold.geometry.coarsen import FarthestPoint, Supernodes
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.knn import knn
from noisefold.geometry.nearest import nearest
from noisefold.nn.dmp.pooling import Pooling

__all__ = ["Neighborhoods"]

_SHORT = 1e-3  # share of the radius below which a unit vector shrinks to zero, so that it is continuous
_KEPT = 16  # batches whose supernodes are kept
_LONE = 1.5  # radius of a neighbourhood that leaves none out, in units of the farthest distance


@dataclass(frozen=True, eq=False)
class Neighborhoods:
    """Senders of n nodes, k for each.

    Attributes
    ----------
    table
        Rows of the senders' values, ``[n, k]``, int64.
    weight
        ``[n, k]``, rows of sum 1; 0 where there is no sender.
    q
        Distances in units of the radius, ``[n, k]``.
    unit
        Unit vectors from the nodes to their senders, ``[n, k, d]``.
    radius
        ``[n]``, 0 of a node without senders.
    pooling
        Supernodes of the nodes, or None where senders are the nodes themselves.
    """

    table: Tensor
    weight: Tensor
    q: Tensor
    unit: Tensor
    radius: Tensor
    pooling: Pooling | None

    @classmethod
    def of(cls, graphs: Graphs, reach: int, resolution: Tensor | None = None) -> Neighborhoods:
        """Return the neighbourhoods of the nodes of graphs.

        Supernodes grow around seeds that cover a graph evenly (`FarthestPoint`), which turn with the graph;
        only where several nodes are equally far from all seeds does their choice depend on their order.

        Parameters
        ----------
        graphs
            Give the positions.
        reach
            Senders k of a node, as far as there are so many.
        resolution
            Number of supernodes of each graph, ``[g]``; None for the nodes themselves.
        """
        pos, pooling = graphs.pos, None
        sources = pos
        if resolution is None:
            table = knn(pos, graphs.ptr, reach + 1)
        else:
            supernodes = _supernodes(pos, graphs.ptr, resolution)
            pooling = Pooling.of(supernodes.assignment, len(supernodes))
            sources = pooling.mean(pos)
            table = nearest(pos, graphs.ptr, sources, supernodes.ptr, reach + 1)
        return cls._weighed(pos, sources, table, reach, pooling)

    @classmethod
    def _weighed(
        cls, pos: Tensor, sources: Tensor, table: Tensor, reach: int, pooling: Pooling | None
    ) -> Neighborhoods:
        missing = table < 0
        table = table.clamp(min=0)
        step = sources[table] - pos[:, None]
        square = step.square().sum(-1)
        # The derivative of a root is infinite at 0, of two nodes at one position.
        distance = torch.where(square > 0, square, 1.0).sqrt() * (square > 0)
        if table.shape[1] > reach:
            # Sorted by distance, so that the last is the nearest that is left out.
            last, left = distance[:, -1], ~missing[:, -1]
        else:
            last, left = distance.new_zeros(len(pos)), missing.new_zeros(len(pos))
        near = slice(0, min(reach, table.shape[1]))
        table, step, distance, missing = table[:, near], step[:, near], distance[:, near], missing[:, near]
        farthest = distance.masked_fill(missing, 0.0).amax(1) if table.shape[1] else last
        radius = torch.where(left, last, _LONE * farthest)
        safe = torch.where(radius > 0, radius, 1.0)[:, None]
        q = distance / safe
        raw = (1 - q.clamp(max=1).square()).square().masked_fill(missing, 0.0)
        total = raw.sum(1, keepdim=True)
        weight = raw / torch.where(total > 0, total, 1.0)
        unit = step / (distance + _SHORT * safe)[..., None]
        return cls(table, weight, q, unit, radius, pooling)

    def send(self, values: Tensor) -> Tensor:
        """Return the senders' values ``[n, k, c]`` from those of the nodes, ``[n, c]``."""
        if self.pooling is not None:
            values = self.pooling.mean(values)
        n, k = self.table.shape
        return values.index_select(0, self.table.reshape(-1)).view(n, k, values.shape[1])


def _supernodes(pos: Tensor, ptr: Tensor, resolution: Tensor) -> Supernodes:
    """Return the supernodes of graphs; those of the latest positions are kept, as sampling asks anew."""
    parts = [v.detach().cpu().contiguous().numpy().tobytes() for v in (pos, ptr, resolution)]
    key = (hashlib.blake2b(b"".join(parts)).digest(), pos.dtype, pos.device)
    found = _kept.pop(key, None)
    _kept[key] = FarthestPoint()(pos, ptr, resolution) if found is None else found
    while len(_kept) > _KEPT:
        _kept.popitem(last=False)
    return _kept[key]


_kept: OrderedDict[tuple[bytes, torch.dtype, torch.device], Supernodes] = OrderedDict()
