"""Edges of an undirected graph, each once, for formats that list them so."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from noisefold.geometry.graphs import Graphs

__all__ = ["Integers", "both_directions", "undirected_edges"]

Integers = NDArray[np.int64]


def undirected_edges(graphs: Graphs) -> Integers | None:
    """Return the edges of one graph as rows ``[m, 2]`` with i <= j, sorted by j, then i.

    Multi-edges and self-loops keep their number. None means that the graph is directed: some edge is not
    there as often in the other direction.
    """
    if graphs.edge_index is None:
        return np.zeros((0, 2), dtype=np.int64)
    source, target = graphs.edge_index.cpu().numpy()
    n = max(graphs.num_nodes, 1)
    there, back = source < target, source > target
    keys = np.sort(source[there] + target[there] * n)
    if not np.array_equal(keys, np.sort(target[back] + source[back] * n)):
        return None
    loops = source[source == target] * (n + 1)
    keys = np.sort(np.concatenate([keys, loops]))
    return np.stack([keys % n, keys // n], axis=1)


def both_directions(edges: Integers) -> Integers:
    """Return edges ``[m, 2]`` in both directions, ``[2, e]``; a self-loop stays one."""
    back = edges[edges[:, 0] != edges[:, 1]][:, ::-1]
    return np.ascontiguousarray(np.concatenate([edges, back]).T)
