"""graph6, sparse6 and digraph6: a graph a line, of nauty, the House of Graphs and NetworkX.

==========  ===================================================================================
line        content
==========  ===================================================================================
graph6      the upper triangle of the adjacency matrix, a bit for each pair; simple graphs
``:``       sparse6: a list of edges; self-loops and multi-edges too
``&``       digraph6: the adjacency matrix, a bit for each ordered pair; directed graphs
==========  ===================================================================================

A file may mix them, whatever its ending. Six bits are a byte, of value 63 to 126.

Source: https://users.cecs.anu.edu.au/~bdm/data/formats.txt
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from noisefold.data.formats.guard import check_size
from noisefold.data.formats.reader import Ask
from noisefold.data.formats.undirected import Integers, both_directions, undirected_edges
from noisefold.geometry.graphs import Graphs

__all__ = ["read_graph6", "write_graph6", "write_sparse6"]

_HEADER = re.compile(rb">>(graph6|sparse6|digraph6)<<")
_SMALL, _MEDIUM = 62, 258047  # largest numbers of nodes that take 1 and 4 bytes
_NODE = 8  # bytes of an offset or a label of a node, at least


def read_graph6(data: bytes, ask: Ask) -> Graphs:
    """Return the graphs in the bytes of a .g6 or .s6 file.

    Raises
    ------
    ValueError
        If a line is damaged; the message names it.
    """
    sizes: list[int] = []
    edges: list[Integers] = []
    start = 0
    for number, line in enumerate(data.splitlines(), 1):
        body = _HEADER.sub(b"", line, count=1).strip()
        if not body:
            continue
        try:
            n, rest = _size(body[1:] if body[:1] in b":&" else body)
            check_size(_NODE * (start + n), len(data), "the file")
            found = _edges(body[:1], n, rest)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error
        sizes.append(n)
        edges.append(found + start)
        start += n
    if not sizes:
        raise ValueError("there are no graphs; export the file again.")
    return Graphs(
        torch.zeros(start, 0, dtype=torch.float64),
        ptr=torch.tensor([0, *sizes]).cumsum(0),
        edge_index=torch.from_numpy(np.concatenate(edges, axis=1)),
    )


def _size(body: bytes) -> tuple[int, NDArray[np.uint8]]:
    """Return the number of nodes and the values, 0 to 63, that follow it."""
    values = np.frombuffer(body, dtype=np.uint8) - np.uint8(63)
    if not len(values) or values.max() > 63:
        raise ValueError("this is no graph6 text, whose characters are '?' to '~'; export the file again.")
    count = 1
    if values[0] == 63:
        start, count = (2, 6) if len(values) > 1 and values[1] == 63 else (1, 3)
        values = values[start:]
    if len(values) < count:
        raise ValueError("the number of nodes is cut short; export the file again.")
    n = 0
    for value in values[:count].tolist():
        n = n << 6 | value
    return n, values[count:]


def _edges(mark: bytes, n: int, values: NDArray[np.uint8]) -> Integers:
    """Return edges ``[2, e]`` in both directions, of digraph6 as they are."""
    bits = np.unpackbits(values[:, None], axis=1)[:, 2:].reshape(-1)
    if mark == b":":
        return both_directions(_sparse(n, bits))
    expected = n * n if mark == b"&" else n * (n - 1) // 2
    if len(values) != -(-expected // 6) or bits[expected:].any():
        raise ValueError(
            f"{n} nodes take {-(-expected // 6)} characters, but {len(values)} follow; export the file again."
        )
    place = np.flatnonzero(bits).astype(np.int64)
    if mark == b"&":
        return np.stack([place // max(n, 1), place % max(n, 1)])
    target = ((1 + np.sqrt(1 + 8 * place.astype(np.float64))) / 2).astype(np.int64)
    target -= target * (target - 1) // 2 > place  # where the root was rounded up, or down
    target += target * (target + 1) // 2 <= place
    return both_directions(np.stack([place - target * (target - 1) // 2, target], axis=1))


def _sparse(n: int, bits: NDArray[np.uint8]) -> Integers:
    """Edges ``[m, 2]`` of sparse6: pairs of a bit that moves the current node on by one, and a number."""
    width = _width(n)
    rows = bits[: len(bits) // (width + 1) * (width + 1)].reshape(-1, width + 1)
    numbers = rows[:, 1:] @ (1 << np.arange(width - 1, -1, -1, dtype=np.int64))
    edges: list[tuple[int, int]] = []
    node = 0
    for step, number in zip(rows[:, 0].tolist(), numbers.tolist(), strict=True):
        node += step
        if node >= n:
            break
        if number > node:
            node = number
        else:
            edges.append((number, node))
    return np.array(edges, dtype=np.int64).reshape(-1, 2)


def _width(n: int) -> int:
    """Bits of a node's number in sparse6."""
    return max(n - 1, 0).bit_length()


# -- writing ------------------------------------------------------------------------------------------------


def write_graph6(graphs: Graphs) -> bytes:
    """Return simple undirected graphs as the bytes of a .g6 file, a line each.

    Raises
    ------
    ValueError
        If there are positions or features, a graph is directed, or has self-loops or multi-edges.
    """
    lines = []
    for i, (n, edges) in enumerate(_undirected(graphs, ".g6")):
        place = edges[:, 0] + edges[:, 1] * (edges[:, 1] - 1) // 2
        if (edges[:, 0] == edges[:, 1]).any() or (np.diff(place) == 0).any():
            raise ValueError(f"graph {i} has self-loops or multi-edges, which .g6 cannot hold; save as .s6.")
        bits = np.zeros(n * (n - 1) // 2, dtype=np.uint8)
        bits[place] = 1
        lines.append(_head(n) + _text(bits, 0) + b"\n")
    return b"".join(lines)


def write_sparse6(graphs: Graphs) -> bytes:
    """Return undirected graphs as the bytes of a .s6 file, a line each; self-loops and multi-edges stay.

    Raises
    ------
    ValueError
        If there are positions or features, or a graph is directed.
    """
    return b"".join(b":" + _head(n) + _sparse_text(n, e) + b"\n" for n, e in _undirected(graphs, ".s6"))


def _undirected(graphs: Graphs, ending: str) -> Iterator[tuple[int, Integers]]:
    if graphs.dim or graphs.x is not None:
        what, drop = ("positions", "pos=graphs.pos[:, :0]") if graphs.dim else ("features", "x=None")
        raise ValueError(
            f"{ending} files do not hold {what}; save as .npz, or drop them with graphs.replace({drop})."
        )
    for i, graph in enumerate(graphs):
        edges = undirected_edges(graph)
        if edges is None:
            raise ValueError(f"graph {i} is directed, which {ending} cannot hold; save as .graphml or .npz.")
        yield graph.num_nodes, edges


def _sparse_text(n: int, edges: Integers) -> bytes:
    width = _width(n)
    groups: list[tuple[int, int]] = []
    node = 0
    for low, high in edges.tolist():
        step = int(high == node + 1)
        if high > node + 1:
            groups.append((1, high))
        groups.append((step, low))
        node = high
    rows = np.array(groups, dtype=np.int64).reshape(-1, 2)
    shifts = np.arange(width - 1, -1, -1, dtype=np.int64)
    bits = np.concatenate([rows[:, :1], rows[:, 1:] >> shifts & 1], axis=1).astype(np.uint8).reshape(-1)
    # Ones would say "an edge of the last node to itself" where a number is all ones and a step leads to it.
    spare = -len(bits) % 6
    if spare > width and n == 1 << width and node == n - 2:
        bits = np.append(bits, np.uint8(0))
    return _text(bits, 1)


def _head(n: int) -> bytes:
    if n <= _SMALL:
        return bytes([63 + n])
    mark, count = (b"~", 3) if n <= _MEDIUM else (b"~~", 6)
    return mark + bytes(63 + (n >> 6 * k & 63) for k in range(count - 1, -1, -1))


def _text(bits: NDArray[np.uint8], fill: int) -> bytes:
    padded = np.concatenate([bits, np.full(-len(bits) % 6, fill, dtype=np.uint8)]).reshape(-1, 6)
    return (np.packbits(padded, axis=1)[:, 0] // 4 + 63).astype(np.uint8).tobytes()
