"""Large graphs piece by piece, for what is measured node by node."""

from __future__ import annotations

from collections.abc import Iterator

from noisefold.geometry.graphs import Graphs

__all__ = ["is_large", "node_chunks"]

_VALUES = 1 << 23  # numbers of a piece
_LARGE = 1 << 26  # numbers of a data set that is better not copied as a whole


def is_large(graphs: Graphs) -> bool:
    """Return whether positions and features are so many that a copy of them would matter."""
    return graphs.num_nodes * (graphs.dim + graphs.features) > _LARGE


def node_chunks(graphs: Graphs) -> Iterator[Graphs]:
    """Yield consecutive nodes as one graph each, without edges and classes; tensors are views."""
    step = max(1, _VALUES // max(graphs.dim + graphs.features, 1))
    for start in range(0, graphs.num_nodes, step):
        yield graphs.nodes(slice(start, min(start + step, graphs.num_nodes)))
        graphs.touched(step)
