"""Edges as lines of text: .edgelist, .adjlist and Matrix Market's .mtx.

==========  ===================================================================================
ending      a line
==========  ===================================================================================
.edgelist   two nodes, then weights, a word that is the edge's type, or a dictionary of
            attributes as NetworkX writes it: ``0 1 {'type': 'single'}``
.adjlist    a node and its neighbours
.mtx        of a square matrix, an entry
==========  ===================================================================================

A list is undirected unless a comment says ``directed`` (as those of SNAP do), or each edge is listed in both
directions, which then are these two. A comment ``nodes 12`` keeps nodes without edges, if all nodes are
numbers below 12.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import networkx as nx
import numpy as np
import torch

from noisefold.data.formats.attributes import part_of_graphs
from noisefold.data.formats.guard import check_size
from noisefold.data.formats.reader import Ask, Part
from noisefold.data.formats.text import decoded, is_number, lines_of
from noisefold.data.formats.undirected import Integers
from noisefold.data.mesh import Array
from noisefold.geometry.graphs import Graphs

__all__ = ["read_adjlist", "read_edgelist", "read_mtx", "write_edgelist"]

_HEADERS = {"source", "target", "from", "to", "src", "dst", "u", "v", "node1", "node2"}
_HEADERS |= {"fromnodeid", "tonodeid", "node_1", "node_2", "id_1", "id_2"}
_DIRECTED = re.compile(r"\s*directed\b", re.IGNORECASE)
_NODES = re.compile(r"\bnodes?\W*(\d{1,12})\b", re.IGNORECASE)
_LONGEST = 2000  # characters of a dictionary
_WEIGHT = "weight"
_SYMMETRIES = ("general", "symmetric", "skew-symmetric")

_Edge = tuple[str, str, dict[str, Any]]


def read_edgelist(data: bytes, ask: Ask) -> Part:
    """Return the graph in the bytes of a list of edges.

    Raises
    ------
    ValueError
        If a line is no edge; the message names it.
    """
    lines, comments = lines_of(decoded(data), inline=False)
    cells = re.split(r"[\s,;]+", lines[0][1].strip()) if lines else []
    names: list[str] = []
    if len(cells) > 1 and {c.lower().strip('"') for c in cells[:2]} <= _HEADERS:
        names, lines = [c.strip('"') for c in cells[2:]], lines[1:]
    return _graph([_edge(line, number, names) for number, line in lines], [], comments, len(data))


def _edge(line: str, number: int, names: Sequence[str]) -> _Edge:
    head, brace, tail = line.partition("{")
    cells = [c.strip('"') for c in re.split(r"[\s,;]+", head.strip(" \t,;"))]
    if len(cells) < 2 or not all(cells):
        raise ValueError(f"line {number} holds {line.strip()[:40]!r}; write two nodes on each line.")
    row: dict[str, Any] = {}
    if brace:
        row = _dictionary(brace + tail, number)
    for i, cell in enumerate(cells[2:]):
        name = names[i] if i < len(names) else "" if is_number(cell) else "type"
        name = name or (f"{_WEIGHT}_{i}" if len(cells) > 3 else _WEIGHT)
        if name in row:
            raise ValueError(f"line {number} has several words behind its nodes; keep one, the type.")
        row[name] = float(cell) if is_number(cell) else cell
    return cells[0], cells[1], row


def _dictionary(text: str, number: int) -> dict[str, Any]:
    try:
        row = ast.literal_eval(text.strip()) if len(text) <= _LONGEST else None
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        row = None
    if not isinstance(row, dict) or not all(isinstance(name, str) for name in row):
        raise ValueError(f"line {number} holds {text[:40]!r}, no dictionary of attributes; correct it.")
    return row


def read_adjlist(data: bytes, ask: Ask) -> Part:
    """Return the graph in the bytes of a list of neighbours.

    Raises
    ------
    ValueError
        If the file holds no nodes.
    """
    lines, comments = lines_of(decoded(data), inline=True)
    rows = [[c for c in re.split(r"[\s,;:]+", line.strip()) if c] for _, line in lines]
    edges: list[_Edge] = [(row[0], end, {}) for row in rows if row for end in row[1:]]
    return _graph(edges, [row[0] for row in rows if row], comments, len(data))


def _graph(
    edges: list[_Edge], nodes: Sequence[str], comments: Sequence[tuple[int, str]], on_disk: int
) -> Part:
    met = list(dict.fromkeys([*nodes, *(end for edge in edges for end in edge[:2])]))
    counts = [int(found[1]) for _, text in comments if (found := _NODES.search(text))]
    if not met and not counts:
        raise ValueError("there are no edges; export the file again.")
    if all(re.fullmatch(r"\d{1,18}", node) for node in met):
        met.sort(key=int)
        if counts and len({int(n) for n in met}) == len(met) and int((met or ["-1"])[-1]) < counts[0]:
            check_size(8 * counts[0], on_disk, "the comment on nodes")
            known = {int(n): n for n in met}
            met = [known.get(i, str(i)) for i in range(counts[0])]
    directed = any(_DIRECTED.match(text) for _, text in comments) or _mirrored(edges)
    graph: Any = nx.MultiDiGraph() if directed else nx.MultiGraph()
    graph.add_nodes_from(met)
    for source, target, row in edges:
        graph.add_edges_from([(source, target, row)])
    return part_of_graphs([graph])


def _mirrored(edges: Sequence[_Edge]) -> bool:
    """Whether each edge is listed in both directions."""
    count = Counter((u, v, repr(row)) for u, v, row in edges if u != v)
    return bool(count) and all(count[v, u, row] == number for (u, v, row), number in count.items())


def read_mtx(data: bytes, ask: Ask) -> Part:
    """Return the graph whose adjacency matrix is in the bytes of a Matrix Market file.

    Entries other than ones are the edges' weights. The matrix may be symmetric, as its header or its entries
    say, or that of a directed graph. A dense matrix has edges where it is not 0.

    Raises
    ------
    ValueError
        If the matrix is not square, not real, or the file is damaged.

    Source: https://math.nist.gov/MatrixMarket/formats.html
    """
    # The compiled parser of scipy 1.17 ends the process on some damaged files, so that it is not used.
    lines = decoded(data).strip("\n").split("\n")
    head = lines[0].lower().split()
    if len(head) != 5 or head[:2] != ["%%matrixmarket", "matrix"] or head[2] not in ("coordinate", "array"):
        raise ValueError("line 1 is not `%%MatrixMarket matrix coordinate|array field symmetry`; correct it.")
    _, _, form, field, symmetry = head
    if field not in ("real", "integer", "pattern", "double") or symmetry not in _SYMMETRIES:
        raise ValueError(
            f"the matrix is {field} and {symmetry}; give a real one that is symmetric or general."
        )
    body = [line for line in lines[1:] if line.strip() and not line.startswith("%")]
    size = body[0].split() if body else []
    if len(size) != (3 if form == "coordinate" else 2) or not all(re.fullmatch(r"\d{1,12}", s) for s in size):
        raise ValueError("the line of sizes is missing; write rows, columns and entries.")
    n = int(size[0])
    if n != int(size[1]):
        raise ValueError(f"the matrix is {n} x {size[1]}; an adjacency matrix is square.")
    check_size(8 * n, len(data), "the matrix")
    try:
        rows = np.loadtxt(body[1:], comments=None, ndmin=2) if len(body) > 1 else np.zeros((0, 0))
    except ValueError as error:
        first = str(error).splitlines()[0].rstrip(".")
        raise ValueError(f"the file is truncated or damaged ({first}); export or copy it again.") from error
    listed = _listed(rows, int(size[2]), n, field) if form == "coordinate" else _dense(rows, n, symmetry)
    source, target, weight = listed
    if symmetry != "general":
        off = source != target
        source, target = np.concatenate([source, target[off]]), np.concatenate([target, source[off]])
        weight = np.concatenate([weight, -weight[off] if symmetry == "skew-symmetric" else weight[off]])
    edges = torch.from_numpy(np.stack([source, target]))
    attributes = None if (weight == 1).all() else torch.from_numpy(weight)[:, None]
    pos = torch.zeros(n, 0, dtype=torch.float64)
    return Part(Graphs(pos, edge_index=edges, edge_attr=attributes))


def _listed(rows: Array, count: int, n: int, field: str) -> tuple[Integers, Integers, Array]:
    """Ends and weights of the entries of a sparse matrix, which count from 1."""
    columns = 2 if field == "pattern" else 3
    if len(rows) != count or (count and rows.shape[1] != columns):
        raise ValueError(
            f"{count} entries of {columns} numbers are announced, {len(rows)} lines follow; export it again."
        )
    rows = rows.reshape(-1, columns)
    ends = rows[:, :2]
    if not (np.isfinite(rows).all() and (ends % 1 == 0).all() and (ends >= 1).all() and (ends <= n).all()):
        raise ValueError(f"an entry is not finite, or not at a row and a column from 1 to {n}; correct it.")
    source, target = ends.astype(np.int64).T - 1
    return source, target, rows[:, 2] if columns == 3 else np.ones(count)


def _dense(rows: Array, n: int, symmetry: str) -> tuple[Integers, Integers, Array]:
    """Ends and weights of what is not 0 in a dense matrix, listed by columns; of a symmetric one, below."""
    own = {"general": n * n, "symmetric": n * (n + 1) // 2, "skew-symmetric": n * (n - 1) // 2}[symmetry]
    values = rows.reshape(-1)
    if len(values) != own or not np.isfinite(values).all():
        raise ValueError(f"{own} finite entries are announced, {len(values)} follow; export it again.")
    columns, lines = np.triu_indices(n, int(symmetry == "skew-symmetric"))
    if symmetry == "general":
        columns, lines = (part.reshape(-1) for part in np.indices((n, n)))
    there = values != 0
    return lines[there].astype(np.int64), columns[there].astype(np.int64), values[there]


# -- writing ------------------------------------------------------------------------------------------------


def write_edgelist(graphs: Graphs) -> bytes:
    """Return one graph as the bytes of a list of edges, each with its attributes as NetworkX writes them.

    Raises
    ------
    ValueError
        If there are positions or features.
    """
    if graphs.dim or graphs.x is not None:
        what, drop = ("positions", "pos=graphs.pos[:, :0]") if graphs.dim else ("features", "x=None")
        raise ValueError(
            f".edgelist files do not hold {what}; save as .graphml or .npz, or drop them with "
            f"graphs.replace({drop})."
        )
    graph = graphs.to_networkx()[0]
    lines = [f"# nodes {graphs.num_nodes}", *(["# directed"] if graph.is_directed() else [])]
    for *ends, row in graph.edges(data=True):
        several = {f"{_WEIGHT}_{k}": value for k, value in enumerate(row.pop("edge_attr", ()))}
        source, target = ends if graph.is_directed() else sorted(ends)  # two of one edge are no mirror images
        lines.append(f"{source} {target} {row | several}")
    return ("\n".join(lines) + "\n").encode()
