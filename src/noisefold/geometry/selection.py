"""Some of the graphs of a ragged batch, or some of the nodes of each."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from noisefold.geometry.mapped import Ranges

if TYPE_CHECKING:
    from noisefold.geometry.graphs import Graphs

__all__ = [
    "BY_EDGE",
    "BY_GRAPH",
    "BY_NODE",
    "EdgeOrder",
    "divided",
    "parted",
    "rows_of",
    "selected",
    "spread",
    "thinned",
]

BY_NODE = ("x", "node_type", "mask")
"""Fields with a row for each node, besides positions."""
BY_EDGE = ("edge_attr", "edge_type")
"""Fields with a row for each edge."""
BY_GRAPH = ("label", "group", "time", "properties")
"""Fields with an entry, or a row, for each graph."""


def spread(total: int, count: int) -> Tensor:
    """Return `count` of the numbers 0 to total - 1, ``[count]``, even from the first to the last, rising.

    Data are often sorted, as by size, class or time, so that the first of them are not like all.
    """
    return torch.linspace(0, total - 1, count).round().long()


@dataclass(frozen=True, eq=False)
class EdgeOrder:
    """Edges sorted by graph.

    Parameters
    ----------
    order
        Edges in the order of their graphs, ``[e]``, or None if they stand in that order.
    first
        Offsets of the graphs' edges in this order, ``[g + 1]``.
    """

    order: Tensor | None
    first: Tensor

    @classmethod
    def of(cls, ptr: Tensor, edge_index: Tensor) -> EdgeOrder:
        """Return the order of edges ``[2, e]`` between the nodes of graphs with offsets ``ptr [g + 1]``."""
        owner = torch.searchsorted(ptr, edge_index[0].contiguous(), right=True) - 1
        counts = torch.bincount(owner, minlength=ptr.numel() - 1)
        sorted_ = bool((owner.diff() >= 0).all())
        return cls(None if sorted_ else torch.argsort(owner, stable=True), _offsets(counts))

    def edges_of(self, graphs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the edges of some graphs, one graph after the other, and the number of each graph."""
        counts = self.first.diff()[graphs]
        edges = Ranges(self.first[graphs], counts).rows
        return edges if self.order is None else self.order[edges], counts


def selected(graphs: Graphs, index: int | slice | Sequence[int] | Tensor) -> Graphs:
    """Return the graphs at an index of any kind, in order; time and memory are linear in what is returned."""
    chosen = rows_of(len(graphs), index, graphs.device)
    nodes = Ranges(graphs.ptr[chosen], graphs.sizes[chosen])
    changes: dict[str, Any] = {"pos": nodes.of(graphs.pos), "ptr": nodes.ptr}
    changes |= {n: None if (v := getattr(graphs, n)) is None else nodes.of(v) for n in BY_NODE}
    if graphs.edge_index is not None:
        edges, counts = graphs.edge_order.edges_of(chosen)
        shift = torch.repeat_interleave(nodes.ptr[:-1] - nodes.starts, counts, output_size=len(edges))
        changes["edge_index"] = graphs.edge_index[:, edges] + shift
        changes |= {n: None if (v := getattr(graphs, n)) is None else v[edges] for n in BY_EDGE}
    changes |= {n: None if (v := getattr(graphs, n)) is None else v[chosen] for n in BY_GRAPH}
    return graphs.replace(**changes)


def parted(graphs: Graphs, fraction: Any, seed: Any) -> tuple[Graphs, Graphs]:
    """Return `noisefold.Graphs.split` of graphs; the arguments may be numbers of NumPy."""
    share, number = _share(fraction), operator.index(seed)
    if graphs.modality is None:
        return divided(graphs, share, torch.Generator().manual_seed(number))
    return graphs.modality.split(graphs, share, number)


def _share(fraction: Any) -> float:
    if isinstance(fraction, str) or not 0 < fraction < 1:
        raise ValueError(f"fraction must lie strictly between 0 and 1, got {fraction!r}.")
    return float(fraction)


def divided(
    graphs: Graphs, fraction: float, generator: torch.Generator | None = None
) -> tuple[Graphs, Graphs]:
    """Return two disjoint parts of whole groups, the size of the first as near to a fraction as can be.

    Parameters
    ----------
    graphs
        At least two groups, or two graphs without groups, each of which then is one.
    fraction
        Share of the graphs in the first part, in (0, 1).
    generator
        Draws the order in which groups go to the first part; None for rising numbers, so that the second part
        has the last groups.

    Raises
    ------
    ValueError
        If the fraction is out of its range, or there are fewer than two graphs or groups.
    """
    fraction = _share(fraction)
    count, group = len(graphs), graphs.group
    if count < 2:
        raise ValueError(f"a split needs at least 2 graphs, got {count}.")
    if group is None:
        order = torch.arange(count) if generator is None else torch.randperm(count, generator=generator)
        cut = min(max(round(fraction * count), 1), count - 1)
        order = order.to(graphs.device)
        return graphs[order[:cut]], graphs[order[cut:]]
    codes, place, sizes = group.unique(return_inverse=True, return_counts=True)
    if len(codes) < 2:
        raise ValueError(
            f"a split needs at least 2 groups, got {count} graphs of group {int(codes[0])}; forget the "
            f"groups with graphs.replace(group=None)."
        )
    order = torch.arange(len(codes)) if generator is None else torch.randperm(len(codes), generator=generator)
    taken = sizes[order.to(graphs.device)].cumsum(0)[:-1]
    cut = int((taken - fraction * count).abs().argmin()) + 1
    first = torch.isin(place, order[:cut].to(graphs.device))
    return graphs[first], graphs[~first]


def thinned(graphs: Graphs, nodes: int, keys: Tensor) -> Graphs:
    """Return `noisefold.Graphs.thin` of graphs."""
    if nodes < 1:
        raise ValueError(f"nodes must be at least 1, got {nodes}.")
    if len(graphs) == 0 or int(graphs.sizes.max()) <= nodes:
        return graphs
    batch = graphs.batch
    local = torch.arange(graphs.num_nodes, device=graphs.device) - graphs.ptr[batch]
    small = graphs.sizes <= nodes
    keys = torch.where(small[batch], local / nodes, keys.double())
    rows = torch.argsort(keys + batch)[local < nodes]
    kept = {n: None if (v := getattr(graphs, n)) is None else v[rows] for n in BY_NODE}
    return graphs.replace(
        pos=graphs.pos[rows],
        ptr=_offsets(graphs.sizes.clamp(max=nodes)),
        edge_index=None,
        edge_attr=None,
        edge_type=None,
        **kept,
    )


def rows_of(count: int, index: int | slice | Sequence[int] | Tensor, device: torch.device) -> Tensor:
    """Return an index of any kind as numbers from 0 to count - 1."""
    if isinstance(index, int):
        if not -count <= index < count:
            raise IndexError(f"graph {index} does not exist; there are {count}.")
        return torch.tensor([index % count], device=device)
    everything = torch.arange(count, device=device)
    if isinstance(index, slice):
        return torch.arange(*index.indices(count), device=device)
    chosen = torch.as_tensor(index, device=device)
    if chosen.is_floating_point() and chosen.numel():
        raise IndexError(f"graphs are numbered by whole numbers, got {index!r}.")
    if chosen.ndim == 0:
        return rows_of(count, int(chosen), device)
    return everything[:0] if chosen.numel() == 0 else everything[chosen]


def _offsets(sizes: Tensor) -> Tensor:
    return torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
