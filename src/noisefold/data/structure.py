"""What the edges of a data set are like, in words: counts, density, connectedness, types, and oddities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from noisefold.geometry.graphs import Graphs

__all__ = ["describe_structure"]

_NAMED = 12


def describe_structure(graphs: Graphs) -> dict[str, str]:
    """Return what the edges and types of graphs are, in words, by subject; nothing for clouds.

    An edge is a pair of different nodes, in whichever direction it is listed. The density of a graph of n
    nodes and m edges is :math:`2 m / (n (n - 1))`; graphs of one node have none and do not count.
    """
    out: dict[str, str] = {}
    if graphs.edge_index is not None:
        out |= _edges(graphs, graphs.edge_index.cpu().numpy())
    if graphs.node_type is not None:
        out["node types"] = _shares(graphs.node_type, graphs.node_types)
    if graphs.edge_type is not None:
        out["edge types"] = _shares(graphs.edge_type, graphs.edge_types)
    return out


def _edges(graphs: Graphs, ends: NDArray[np.int64]) -> dict[str, str]:
    n, sizes = graphs.num_nodes, graphs.sizes.cpu().numpy()
    batch = graphs.batch.cpu().numpy()
    loops = ends[0] == ends[1]
    listed = ends[0][~loops] * n + ends[1][~loops]
    directed = np.unique(listed)
    source, target = directed // max(n, 1), directed % max(n, 1)
    pairs = np.unique(np.minimum(source, target) * n + np.maximum(source, target))
    count = np.bincount(batch[pairs // max(n, 1)], minlength=len(graphs))
    possible = sizes * (sizes - 1) / 2
    out = {"edges": _range(count)}
    if possible.any():
        density = count[possible > 0] / possible[possible > 0]
        out["density"] = f"{density.mean():.3g} on average, {density.min():.3g} to {density.max():.3g}"
    adjacency = coo_array((np.ones(len(source), dtype=np.int8), (source, target)), shape=(n, n))
    pieces = np.unique(connected_components(adjacency, directed=False)[1] * np.int64(len(graphs)) + batch)
    whole = np.bincount(pieces % len(graphs), minlength=len(graphs)) == 1
    out["connected"] = f"{whole.sum()} of {len(graphs)} graphs ({whole.mean():.1%})"
    single = 2 * len(pairs) - len(directed)
    isolated = n - len(np.unique(ends[:, ~loops]))
    odd = {
        "edges in one direction only": single,
        "self-loops": int(loops.sum()),
        "multi-edges": len(listed) - len(directed),
        "nodes without edges": isolated,
    }
    there = [f"{number} {what}" for what, number in odd.items() if number]
    if there:
        out["besides"] = ", ".join(there)
    return out


def _range(count: NDArray[np.int64]) -> str:
    if count.min() == count.max():
        return f"{count.min()} each"
    return f"{count.min()} to {count.max()}, median {int(np.median(count))}, {count.sum()} in all"


def _shares(types: Tensor, names: Sequence[str]) -> str:
    """Types by falling share."""
    count = torch.bincount(types.clamp(min=0), minlength=len(names)).tolist()
    named = names or [str(i) for i in range(len(count))]
    ordered = sorted(zip(count, named, strict=True), key=lambda pair: -pair[0])
    total = max(sum(count), 1)
    listed = ", ".join(f"{name} {number / total:.1%}" for number, name in ordered[:_NAMED])
    return listed + (f", and {len(ordered) - _NAMED} more" if len(ordered) > _NAMED else "")
