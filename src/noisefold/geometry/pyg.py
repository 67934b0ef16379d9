"""Graphs of PyTorch Geometric."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from noisefold.geometry.graphs import Graphs

__all__ = ["from_pyg", "to_pyg"]


def from_pyg(items: Any) -> Graphs:
    """Return `noisefold.Graphs.from_pyg` of PyG objects."""
    if hasattr(items, "to_data_list"):
        items = items.to_data_list()
    items = list(items) if isinstance(items, list | tuple) else [items]
    parts = []
    for i, item in enumerate(items):
        if getattr(item, "pos", None) is None:
            raise ValueError(f"graph {i} has no `pos`; give every graph positions [n, d].")
        label = _class_of(getattr(item, "y", None))
        parts.append(
            Graphs(item.pos, item.x, edge_index=item.edge_index, edge_attr=item.edge_attr, label=label)
        )
    return Graphs.collate(parts)


def to_pyg(graphs: Graphs) -> list[Any]:
    """Return `noisefold.Graphs.to_pyg` of graphs."""
    from torch_geometric.data import Data

    return [Data(pos=g.pos, x=g.x, edge_index=g.edge_index, edge_attr=g.edge_attr, y=g.label) for g in graphs]


def _class_of(y: Any) -> Tensor | None:
    """A class ``[1]``, if this label of a PyG graph is a single whole number."""
    single = isinstance(y, Tensor) and y.numel() == 1 and not y.is_floating_point()
    return y.reshape(1).long() if single else None
