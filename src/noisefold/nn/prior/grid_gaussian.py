"""Mean and covariance of features on one grid of positions, by class."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from noisefold.geometry.graphs import Graphs
from noisefold.geometry.principal_components import principal_components
from noisefold.nn.prior.low_rank_gaussian import LowRankGaussian

__all__ = ["GridGaussian"]

_NEAR = 1e-3  # how far from its place a node of the grid may be, in standard units or pixels
_ENOUGH = 4  # graphs of a class for each component of its own covariance


class GridGaussian(nn.Module):
    """Gaussians of features ``[n, columns]`` at the same n positions in all graphs: one of all, one a class.

    A class of fewer than 4 graphs for each component has a mean of its own, and the covariance within
    classes.

    Parameters
    ----------
    nodes, columns, dim
        Nodes and features of a graph, and the dimension of space.
    rank
        Principal components.
    classes
        Number of classes.
    """

    pos: Tensor
    mean: Tensor
    vectors: Tensor
    values: Tensor
    rest: Tensor

    def __init__(self, nodes: int, columns: int, dim: int, rank: int, classes: int) -> None:
        super().__init__()
        self.nodes, self.columns, self.rank, self.classes = nodes, columns, rank, classes
        size, count = nodes * columns, classes + 1
        self.register_buffer("pos", torch.zeros(nodes, dim))
        self.register_buffer("mean", torch.zeros(count, size))
        self.register_buffer("vectors", torch.eye(size, rank).repeat(count, 1, 1))
        self.register_buffer("values", torch.ones(count, rank))
        self.register_buffer("rest", torch.ones(count))

    def extra_repr(self) -> str:
        """What it is over."""
        return f"{self.nodes} nodes x {self.columns}, rank={self.rank}, classes={self.classes}"

    @torch.no_grad()
    def learn(self, graphs: Graphs) -> None:
        """Measure graphs that stand on one grid, in standard units."""
        assert graphs.x is not None
        self.pos.copy_(graphs.pos[: self.nodes])
        rows = self.rows(graphs, torch.arange(len(graphs), device=graphs.device))
        x = (graphs.x if rows is None else graphs.x[rows]).view(len(graphs), -1)
        self._set(0, x.mean(0), x - x.mean(0))
        if not self.classes or graphs.label is None:
            for k in range(1, self.classes + 1):
                self._copy(k, self.mean[0])
            return
        within = x.clone()
        for k in range(self.classes):
            own = graphs.label == k
            within[own] -= x[own].mean(0) if bool(own.any()) else 0.0
        labelled = within[graphs.label >= 0]
        pooled = principal_components(labelled, self.rank)
        for k in range(self.classes):
            own = graphs.label == k
            mean = x[own].mean(0) if bool(own.any()) else x.mean(0)
            enough = int(own.sum()) >= _ENOUGH * self.rank
            self._put(k + 1, mean, principal_components(within[own], self.rank) if enough else pooled)

    def _set(self, k: int, mean: Tensor, centred: Tensor) -> None:
        self._put(k, mean, principal_components(centred, self.rank))

    def _put(self, k: int, mean: Tensor, found: tuple[Tensor, Tensor, Tensor]) -> None:
        self.mean[k] = mean
        self.vectors[k], self.values[k], self.rest[k] = (part.to(self.mean) for part in found)

    def _copy(self, k: int, mean: Tensor) -> None:
        self._put(k, mean, (self.vectors[0], self.values[0], self.rest[0]))

    def rows(self, graphs: Graphs, which: Tensor) -> Tensor | None:
        """Return the nodes of some graphs in the grid's order, ``[k n]``; None for all nodes as they are.

        Raises
        ------
        ValueError
            If a graph stands on other positions.
        """
        if len(which) == len(graphs) and self._stands(graphs.pos.view(len(graphs), self.nodes, -1)):
            return None
        ranked, out = _ranked(self.pos), []
        for i, start in zip(which.tolist(), graphs.ptr[which].tolist(), strict=True):
            pos = graphs.pos[start : start + self.nodes]
            order = torch.empty_like(ranked)
            order[ranked] = _ranked(pos)
            if pos.shape[1] != self.pos.shape[1] or not self._stands(pos[order]):
                raise ValueError(
                    f"graph {i} does not stand on the positions whose Gaussian was measured: a base estimate "
                    "of the data's covariance needs one grid in all graphs; leave it out otherwise."
                )
            out.append(order + start)
        return torch.cat(out)

    def _stands(self, pos: Tensor) -> bool:
        near = pos.shape[-1] == self.pos.shape[-1]
        return near and bool(((pos - self.pos.to(pos)).abs() < _NEAR).all())

    def start(
        self, state: Tensor, a: Tensor, b: Tensor, label: Tensor | None, known: Tensor | None
    ) -> Tensor:
        """Return what the Gaussian leaves of the residual target, ``[k n, columns]``, for k graphs.

        Parameters
        ----------
        state, known
            Values at unit scale, and which are observed or None, ``[k n, columns]``.
        a, b, label
            Signal and noise, ``[k]``; classes ``[k]``, -1 for any, or None.
        """
        which = torch.zeros(len(a), dtype=torch.long, device=state.device)
        if label is not None and self.classes:
            which = label + 1
        dense = LowRankGaussian(self.mean, self.vectors, self.values, self.rest, which)
        mask = None if known is None else known.reshape(len(a), -1)
        return dense.residual(state.reshape(len(a), -1), a, b, mask).view(-1, self.columns)


def _ranked(pos: Tensor) -> Tensor:
    """Return the order of nodes by their coordinates, the first above all; near ones count as equal."""
    order = torch.arange(len(pos), device=pos.device)
    for column in reversed((pos / _NEAR / 4).round().unbind(1)):
        order = order[column[order].argsort(stable=True)]
    return order
