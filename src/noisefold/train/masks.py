"""Random masks of observed values, by which a network for completion is trained.

Each graph draws its kind, and within the kind how much is observed, so that all amounts occur:

============== =====================================================================================
kind           observed
============== =====================================================================================
``"nothing"``  nothing: the network learns to generate
``"nodes"``    each node with a probability that is itself uniform: scattered measurements
``"entries"``  each entry of the noised variable so
``"features"`` each column of the noised variable so, but not all of them: unmeasured genes
``"region"``   all but the nodes nearest to a node, a uniform share of them: torn tissue, an occluded side
``"slab"``     what lies outside a piece of one axis, drawn at random: a forecast, what came before, or what
               lies between, if the axis is time
============== =====================================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.segment import argsort_runs
from noisefold.noise.source import Streams

__all__ = ["Masks"]


@configurable
@dataclass(frozen=True)
class Masks:
    """Distribution of masks: which kinds occur.

    Called with graphs, the columns of the noised variable and a random stream for each graph, it gives the
    mask of observed values, ``[n, columns]``, bool: a function of each graph and its stream.

    Parameters
    ----------
    kinds
        Names of kinds, equally likely; one that is named twice is twice as likely.

    Raises
    ------
    ValueError
        If a kind is unknown, or there is none.
    """

    kinds: tuple[str, ...] = ("nothing", "nodes", "entries", "features", "region", "slab")

    def __post_init__(self) -> None:
        unknown = [k for k in self.kinds if k not in _KINDS]
        if unknown or not self.kinds:
            raise ValueError(f"kinds must be some of {', '.join(_KINDS)}, got {tuple(self.kinds)!r}.")

    def __call__(self, graphs: Graphs, columns: int, streams: Streams) -> Tensor:
        """Return the mask of what is observed of so many columns, ``[n, columns]``, bool."""
        like = torch.empty(0, dtype=torch.float64)
        count = len(graphs)
        # Every kind draws the same numbers, so that a graph's later noise does not depend on its kind.
        of_graph = streams.uniform([_NUMBERS] * count, 1, like).view(count, _NUMBERS)
        of_column = streams.uniform([columns] * count, 1, like).view(count, columns)
        of_entry = streams.uniform(graphs.sizes, columns, like)
        draws = _Draws(*(v.to(graphs.device) for v in (of_graph, of_column, of_entry)))
        kind = (draws.graph[:, 0] * len(self.kinds)).long()[graphs.batch, None]
        known = torch.zeros(graphs.num_nodes, columns, dtype=torch.bool, device=graphs.device)
        for i, name in enumerate(self.kinds):
            known = torch.where(kind == i, _KINDS[name](graphs, draws), known)
        return known


_NUMBERS = 5


@dataclass(frozen=True)
class _Draws:
    """Uniform numbers: of the graphs ``[g, 5]``, their columns ``[g, c]`` and entries ``[n, c]``."""

    graph: Tensor
    column: Tensor
    entry: Tensor


def _nothing(graphs: Graphs, draws: _Draws) -> Tensor:
    return torch.zeros_like(draws.entry, dtype=torch.bool)


def _nodes(graphs: Graphs, draws: _Draws) -> Tensor:
    share = draws.graph[graphs.batch, 1]
    return (draws.entry[:, 0] < share)[:, None].expand_as(draws.entry)


def _entries(graphs: Graphs, draws: _Draws) -> Tensor:
    return draws.entry < draws.graph[graphs.batch, 1, None]


def _features(graphs: Graphs, draws: _Draws) -> Tensor:
    known = draws.column < draws.graph[:, 1, None]
    known &= draws.column < draws.column.amax(1, keepdim=True)
    return known[graphs.batch]


def _region(graphs: Graphs, draws: _Draws) -> Tensor:
    centre = graphs.ptr[:-1] + (draws.graph[:, 2] * graphs.sizes).long()
    away = (graphs.pos - graphs.pos[centre][graphs.batch]).square().sum(1)
    order = argsort_runs(away, graphs.ptr)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device)
    rank = place - graphs.ptr[graphs.batch]
    known = rank >= draws.graph[graphs.batch, 1] * graphs.sizes[graphs.batch]
    return known[:, None].expand_as(draws.entry)


def _slab(graphs: Graphs, draws: _Draws) -> Tensor:
    axis = (draws.graph[:, 2] * graphs.dim).long()[graphs.batch, None]
    along = graphs.pos.gather(1, axis)[:, 0].double()
    lowest, highest = (
        along.new_zeros(len(graphs)).scatter_reduce(0, graphs.batch, along, how, include_self=False)
        for how in ("amin", "amax")
    )
    place = (along - lowest[graphs.batch]) / (highest - lowest).clamp(min=1e-12)[graphs.batch]
    shape = draws.graph[:, 1] * 3
    # Squares, so that little more than the first, or the first and the last, is often all that is observed.
    first, last = draws.graph[:, 3].square(), 1 - draws.graph[:, 4].square()
    middle = (shape >= 1) & (shape < 2)
    first, last = (
        torch.where(shape >= 2, -1.0, torch.where(middle, first / 2, first)),
        torch.where(shape < 1, 2.0, torch.where(middle, (1 + last) / 2, last)),
    )
    inside = (place > first[graphs.batch]) & (place < last[graphs.batch])
    return ~inside[:, None].expand_as(draws.entry)


_KINDS: dict[str, Callable[[Graphs, _Draws], Tensor]] = {
    "nothing": _nothing,
    "nodes": _nodes,
    "entries": _entries,
    "features": _features,
    "region": _region,
    "slab": _slab,
}
