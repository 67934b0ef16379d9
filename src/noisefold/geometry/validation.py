"""Checks that the fields of a ragged batch fit together."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import torch

from noisefold.geometry.selection import BY_EDGE, BY_GRAPH, BY_NODE

if TYPE_CHECKING:
    from noisefold.geometry.graphs import Graphs

__all__ = ["check_fields"]


@lru_cache(maxsize=64)
def _repeated(names: tuple[str, ...]) -> str | None:
    """The first name that stands twice, if any; batches of one data set share their names."""
    return next((n for n in names if names.count(n) > 1), None) if len(set(names)) < len(names) else None


def check_fields(graphs: Graphs) -> None:
    """Raise a ValueError if shapes, types or offsets do not fit together.

    Values are looked at on the CPU only: elsewhere the answer would stall the device.
    """
    if graphs.pos.ndim != 2:
        raise ValueError(f"pos must be [n, d], got shape {list(graphs.pos.shape)}.")
    n = graphs.pos.shape[0]
    if graphs.ptr.ndim != 1 or graphs.ptr.numel() == 0 or graphs.ptr.dtype != torch.int64:
        raise ValueError(f"ptr must be int64 [g + 1], got {graphs.ptr.dtype} {list(graphs.ptr.shape)}.")
    for name in BY_NODE:
        value = getattr(graphs, name)
        if value is not None and value.shape[0] != n:
            raise ValueError(f"{name} must have one row for each of the {n} nodes, got {value.shape[0]}.")
    if graphs.x is not None and graphs.x.ndim != 2:
        raise ValueError(f"x must be [n, f], got shape {list(graphs.x.shape)}.")
    for name in BY_GRAPH:
        value = getattr(graphs, name)
        if name == "properties" and value is not None:
            k = len(graphs.property_names)
            if value.ndim != 2 or value.shape[0] != len(graphs) or k not in (0, value.shape[1]):
                raise ValueError(
                    f"properties must be [{len(graphs)}, {k or 'k'}] with names for all columns or none, "
                    f"got shape {list(value.shape)} and {k} names."
                )
        elif value is not None and value.shape != (len(graphs),):
            raise ValueError(f"{name} must be [{len(graphs)}], got shape {list(value.shape)}.")
        elif value is not None and name != "label" and value.dtype != torch.int64:
            raise ValueError(f"{name} must be int64, got {value.dtype}; number it.")
    if graphs.edge_index is not None and (graphs.edge_index.ndim != 2 or graphs.edge_index.shape[0] != 2):
        raise ValueError(f"edge_index must be [2, e], got shape {list(graphs.edge_index.shape)}.")
    edges = 0 if graphs.edge_index is None else graphs.edge_index.shape[1]
    if edges and graphs.edge_index is not None and graphs.edge_index.device.type == "cpu":
        low, high = (int(v) for v in graphs.edge_index.aminmax())
        if low < 0 or high >= n:
            raise ValueError(f"edge_index must name the nodes 0 to {n - 1}, got {low} to {high}.")
    for name in BY_EDGE:
        value = getattr(graphs, name)
        if value is not None and value.shape[0] != edges:
            raise ValueError(f"{name} must have one row for each of the {edges} edges, got {value.shape[0]}.")
    for name, expected in (("feature_names", graphs.features), ("origin", graphs.dim)):
        if (count := len(getattr(graphs, name))) not in (0, expected):
            raise ValueError(f"{name} must have {expected} entries, or none, got {count}.")
    for name in ("feature_names", "classes", "node_types", "edge_types"):
        if (twice := _repeated(getattr(graphs, name))) is not None:
            raise ValueError(f"{name} must differ, got {twice!r} more than once; rename it.")
    if graphs.ptr.device.type == "cpu":  # elsewhere the answer would stall the device
        offsets = graphs.ptr.tolist()
        if offsets[0] != 0 or offsets[-1] != n or offsets != sorted(offsets):
            raise ValueError(f"ptr must rise from 0 to the {n} nodes, got {graphs.ptr}.")
