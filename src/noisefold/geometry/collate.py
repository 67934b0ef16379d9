"""Ragged batches put side by side, with their names and origins brought together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from noisefold.geometry.names import merged_codes
from noisefold.geometry.selection import BY_EDGE, BY_GRAPH, BY_NODE

if TYPE_CHECKING:
    from noisefold.geometry.graphs import Graphs

__all__ = ["collated"]

_NAMES = {"label": "classes", "node_type": "node_types", "edge_type": "edge_types"}


def collated(parts: list[Graphs]) -> Graphs:
    """Return `noisefold.Graphs.collate` of a list."""
    if not parts:
        raise ValueError("graphs must hold at least one batch, got an empty list.")
    first = parts[0]
    for name in (*BY_NODE, *BY_EDGE, *BY_GRAPH, "edge_index"):
        if len({getattr(p, name) is not None for p in parts}) > 1:
            raise ValueError(f"graphs to collate must all have {name}, or none of them.")
    if any(p.dim != first.dim or p.features != first.features for p in parts):
        raise ValueError("graphs to collate must have the same dimension and number of features.")
    if any(p.property_names != first.property_names for p in parts):
        raise ValueError("graphs to collate must have the same property_names, in the same order.")
    parts = [p.with_features(first.feature_names).rebased(first.origin) for p in parts]
    starts = torch.tensor([0] + [p.num_nodes for p in parts]).cumsum(0).tolist()
    joined: dict[str, Any] = {
        "ptr": torch.cat([first.ptr[:1]] + [p.ptr[1:] + s for p, s in zip(parts, starts, strict=False)])
    }
    for name in ("pos", "x", "mask", "edge_attr", "group", "time", "properties"):
        values = [getattr(p, name) for p in parts]
        joined[name] = None if values[0] is None else torch.cat(values)
    for name, names in _NAMES.items():
        codes, joined[names] = merged_codes(
            [getattr(p, name) for p in parts], [getattr(p, names) for p in parts], names
        )
        joined[name] = None if codes is None else torch.cat(codes)
    if first.edge_index is not None:
        shifted = [p.edge_index + s for p, s in zip(parts, starts, strict=False) if p.edge_index is not None]
        joined["edge_index"] = torch.cat(shifted, dim=1)
    kinds = {repr(p.modality) for p in parts if getattr(p.modality, "values", None) is not None}
    if len(kinds) > 1:
        raise ValueError(f"graphs to collate are of different kinds: {', '.join(sorted(kinds))}.")
    modality = first.modality if all(p.modality == first.modality for p in parts) else None
    return first.replace(**joined, modality=modality)
