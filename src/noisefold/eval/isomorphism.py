r"""Which graphs are the same up to the numbering of their nodes.

Colours of nodes start from their types, and are refined by the colours of neighbours,

.. math:: c'_u = h\Bigl(c_u, \sum_{v \sim u} h(c_v, e_{uv})\Bigr),

with a mixing function h of 64 bits, until no round divides a colour further (Weisfeiler-Lehman). Graphs whose
colours differ are not isomorphic. Where they agree, a node of one graph is given a colour of its own, beside
each node of the other that may be its image, and colours are refined again, until every colour is that of
one node; this names the mapping, which is checked edge by edge. So both answers are exact. Strongly regular
graphs and the like may need many steps: after `_BUDGET` refinements two graphs that nothing told apart count
as the same.

Source: McKay and Piperno, Practical graph isomorphism II, 2014, https://arxiv.org/abs/1301.1493
(individualisation and refinement).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from noisefold.geometry import Graphs

__all__ = ["isomorphism_classes"]

_Words = NDArray[np.uint64]
_BUDGET = 400
_OWN = np.uint64(0x9E3779B97F4A7C15)


def isomorphism_classes(*sets: Graphs) -> list[NDArray[np.int64]]:
    """Return the isomorphism class of each graph of several sets, numbered as they appear, ``[g]`` for each.

    Types of nodes and edges count, and are matched by their names. Directions of edges, self-loops, positions
    and features do not count.

    Raises
    ------
    ValueError
        If only some of the sets have types, or there is no set.

    Examples
    --------
    >>> triangle = Graphs(torch.zeros(3, 0), edge_index=torch.tensor([[0, 1, 2], [1, 2, 0]]))
    >>> path = Graphs(torch.zeros(3, 0), edge_index=torch.tensor([[2, 0], [0, 1]]))
    >>> [c.tolist() for c in isomorphism_classes(Graphs.collate([triangle, path]), triangle)]
    [[0, 1], [0]]
    """
    both = Graphs.collate([_bare(graphs) for graphs in sets])
    batch = _Batch.of(both)
    keys = batch.hashes()
    known: dict[tuple[int, int], list[tuple[_Batch, int]]] = {}
    classes = np.empty(len(both), dtype=np.int64)
    count = 0
    for i, key in enumerate(zip(keys.tolist(), batch.sizes.tolist(), strict=True)):
        rivals = known.setdefault(key, [])
        graph: _Batch | None = None
        for other, number in rivals:
            graph = graph or batch.one(i)
            if _isomorphic(graph, other):
                classes[i] = number
                break
        else:
            rivals.append((graph or batch.one(i), count))
            classes[i] = count
            count += 1
    return np.split(classes, np.cumsum([len(graphs) for graphs in sets])[:-1])


def _bare(graphs: Graphs) -> Graphs:
    """Graphs with nothing but edges and types."""
    edges = graphs.edge_index
    return Graphs(
        torch.zeros(graphs.num_nodes, 0),
        ptr=graphs.ptr.cpu(),
        edge_index=torch.zeros(2, 0, dtype=torch.int64) if edges is None else edges.cpu(),
        node_type=None if graphs.node_type is None else graphs.node_type.cpu(),
        edge_type=None if graphs.edge_type is None else graphs.edge_type.cpu(),
        node_types=graphs.node_types,
        edge_types=graphs.edge_types,
    )


@dataclass(frozen=True, eq=False)
class _Batch:
    """Simple undirected graphs: both directions of each edge, sorted, and words for the types.

    `ptr` holds the first node of each graph, `first` the first edge of each node.
    """

    ptr: NDArray[np.int64]
    first: NDArray[np.int64]
    target: NDArray[np.int64]
    kind: _Words
    start: _Words

    @classmethod
    def of(cls, graphs: Graphs) -> _Batch:
        n = graphs.num_nodes
        assert graphs.edge_index is not None
        u, v = graphs.edge_index.numpy()
        kinds = np.zeros(len(u), np.int64) if graphs.edge_type is None else graphs.edge_type.numpy()
        proper = u != v
        u, v, kinds = u[proper], v[proper], kinds[proper]
        # A pair's type is that of its first edge, in either direction.
        pair = np.minimum(u, v) * n + np.maximum(u, v)
        pair, at = np.unique(pair, return_index=True)
        u, v, kinds = pair // max(n, 1), pair % max(n, 1), kinds[at]
        source, target, kinds = np.r_[u, v], np.r_[v, u], np.r_[kinds, kinds]
        order = np.lexsort((target, source))
        nodes = np.zeros(n, np.int64) if graphs.node_type is None else graphs.node_type.numpy()
        return cls(
            graphs.ptr.numpy(),
            np.r_[0, np.bincount(source, minlength=n).cumsum()],
            target[order],
            _mix(kinds[order].astype(np.uint64)),
            _mix(nodes.astype(np.uint64)),
        )

    @property
    def sizes(self) -> NDArray[np.int64]:
        return np.diff(self.ptr)

    def one(self, i: int) -> _Batch:
        """Graph i alone."""
        a, b = self.ptr[i], self.ptr[i + 1]
        edges = slice(self.first[a], self.first[b])
        first = self.first[a : b + 1] - self.first[a]
        return _Batch(np.array([0, b - a]), first, self.target[edges] - a, self.kind[edges], self.start[a:b])

    def round(self, colours: _Words) -> _Words:
        """Refine colours once."""
        return _mix(colours + _sums(_mix(colours[self.target] ^ self.kind), self.first))

    def refined(self, colours: _Words) -> tuple[_Words, int]:
        """Refine colours until no round divides them further; also the number of rounds."""
        found, rounds = len(np.unique(colours)), 0
        while True:
            colours, before, rounds = self.round(colours), found, rounds + 1
            found = len(np.unique(colours))
            if found == before:
                return colours, rounds

    def hashes(self) -> _Words:
        """A word for each graph, equal for isomorphic graphs, ``[g]``; comparable within the batch only."""
        return _sums(_mix(self.refined(self.start)[0]), self.ptr)

    def edges_between(self, places: NDArray[np.int64]) -> tuple[NDArray[np.int64], _Words]:
        """Edges as sorted numbers of pairs of places, and their types."""
        n = len(places)
        source = np.repeat(np.arange(n), np.diff(self.first))
        pairs = places[source] * n + places[self.target]
        order = np.argsort(pairs)
        return pairs[order], self.kind[order]


def _mix(words: _Words) -> _Words:
    """Scramble words of 64 bits; the finaliser of SplitMix64, https://doi.org/10.1145/2660193.2660195."""
    words = words + _OWN
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def _sums(words: _Words, offsets: NDArray[np.int64]) -> _Words:
    """Sums of segments modulo 2^64."""
    total = np.concatenate([np.zeros(1, np.uint64), np.cumsum(words, dtype=np.uint64)])
    return np.asarray(total[offsets[1:]] - total[offsets[:-1]])


def _isomorphic(a: _Batch, b: _Batch) -> bool:
    if len(a.target) != len(b.target):
        return False
    left = [_BUDGET]
    return _matched(a, b, a.start, b.start, left)


def _matched(a: _Batch, b: _Batch, in_a: _Words, in_b: _Words, left: list[int]) -> bool:
    """Whether some mapping carries colours to equal colours; True where nothing is left to find out."""
    left[0] -= 1
    in_a, rounds = a.refined(in_a)
    for _ in range(rounds):
        in_b = b.round(in_b)
    order_a, order_b = np.argsort(in_a, kind="stable"), np.argsort(in_b, kind="stable")
    sorted_a = in_a[order_a]
    if not np.array_equal(sorted_a, in_b[order_b]):
        return False
    colours, counts = np.unique(sorted_a, return_counts=True)
    if len(colours) == len(in_a):
        places = [np.argsort(order) for order in (order_a, order_b)]
        (pairs_a, kinds_a), (pairs_b, kinds_b) = a.edges_between(places[0]), b.edges_between(places[1])
        return np.array_equal(pairs_a, pairs_b) and np.array_equal(kinds_a, kinds_b)
    if left[0] <= 0:
        return True
    several = np.where(counts > 1, counts, len(in_a) + 1)
    colour = colours[several.argmin()]
    u = np.flatnonzero(in_a == colour)[0]
    for v in np.flatnonzero(in_b == colour):
        own_a, own_b = in_a.copy(), in_b.copy()
        own_a[u] = own_b[v] = _mix(in_a[u : u + 1])[0] ^ _OWN
        if _matched(a, b, own_a, own_b, left):
            return True
    return False


def repeated(classes: Sequence[int] | NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return where a class appeared before, ``[g]``."""
    out = np.ones(len(classes), dtype=bool)
    out[np.unique(np.asarray(classes), return_index=True)[1]] = False
    return out
