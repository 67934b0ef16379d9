"""Graphs of NetworkX, and back.

Positions are the attribute `pos` of the nodes, or their numbers x, y (and z); without either they have 0
dimensions. Other numbers are features, and words are types. Both directions of an undirected edge are kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from noisefold.geometry.graphs import Graphs

__all__ = ["TYPES", "from_networkx", "to_networkx"]

TYPES = ("type", "node_type", "edge_type", "kind")
_LABEL = ("label", "y", "class")


def from_networkx(graph: Any) -> Graphs:
    """Return `noisefold.Graphs.from_networkx` of one graph."""
    if not hasattr(graph, "nodes"):
        raise TypeError(
            f"graph must be one graph of NetworkX, got {type(graph).__name__}; noisefold.load takes lists."
        )
    place = {node: i for i, node in enumerate(graph.nodes)}
    if not place:
        raise ValueError("the graph has no nodes; give it at least one.")
    nodes = _Attributes([data for _, data in graph.nodes(data=True)], "nodes")
    pos = _positions(nodes, len(place))
    x, feature_names = nodes.numbers()
    node_type, node_types = nodes.types()
    ends = [(place[u], place[v]) for u, v in graph.edges()]
    rows = list(range(len(ends)))
    if not graph.is_directed():
        back = [i for i, (u, v) in enumerate(ends) if u != v]
        ends, rows = [*ends, *(ends[i][::-1] for i in back)], [*rows, *back]
    edges = _Attributes([data for _, _, data in graph.edges(data=True)], "edges")
    edge_attr, _ = edges.numbers()
    edge_type, edge_types = edges.types()
    label, classes = _label(graph.graph)
    return Graphs(
        pos,
        x,
        edge_index=torch.tensor(ends, dtype=torch.int64).reshape(-1, 2).T.contiguous(),
        edge_attr=None if edge_attr is None else edge_attr[rows],
        node_type=node_type,
        edge_type=None if edge_type is None else edge_type[rows],
        label=label,
        classes=classes,
        node_types=node_types,
        edge_types=edge_types,
        feature_names=feature_names,
    )


class _Attributes:
    """Columns of attributes of nodes or edges, which are taken one after another."""

    def __init__(self, rows: Sequence[Mapping[Any, Any]], of: str) -> None:
        self._of = of
        names = dict.fromkeys(name for row in rows for name in row)
        partly = next((n for n in names if any(n not in row for row in rows)), None)
        if partly is not None:
            count = sum(partly in row for row in rows)
            raise ValueError(
                f"{count} of the {len(rows)} {of} have the attribute {partly!r}; give it to all, or to none."
            )
        self.columns: dict[str, list[Any]] = {str(n): [row[n] for row in rows] for n in names}

    def table(self, name: str) -> np.ndarray[Any, np.dtype[np.float64]] | None:
        """Return an attribute as ``[n, c]`` if it is numbers, or sequences of one length."""
        values = [v.detach().cpu().numpy() if isinstance(v, Tensor) else v for v in self.columns[name]]
        if any(v is None or isinstance(v, str | bytes | Mapping) for v in values):
            return None
        try:
            array = np.array(values)
        except ValueError:  # sequences of different lengths
            return None
        if array.dtype.kind not in "fiub" or array.ndim > 2:
            return None
        return array.astype(np.float64).reshape(len(values), -1)

    def numbers(self) -> tuple[Tensor | None, tuple[str, ...]]:
        """Take all numbers but types, ``[n, f]``, and their names."""
        parts, names = [], []
        for name in [n for n in self.columns if n not in TYPES]:
            table = self.table(name)
            if table is None:
                continue
            del self.columns[name]
            parts.append(table)
            several = table.shape[1] > 1
            names += [f"{name}_{i}" for i in range(table.shape[1])] if several else [name] * table.shape[1]
        if not names:
            return None, ()
        return torch.from_numpy(np.concatenate(parts, axis=1)).float(), tuple(names)

    def types(self) -> tuple[Tensor | None, tuple[str, ...]]:
        """Take the types ``[n]``, an attribute of that name or the only one of words, and their names."""
        left = [n for n in TYPES if n in self.columns] or list(self.columns)
        if not left:
            return None, ()
        name = left[0]
        if len(left) > 1 or len(self.columns) > 1:
            listed = ", ".join(map(repr, self.columns))
            raise ValueError(
                f"the {self._of} have several attributes that are no numbers ({listed}); keep one, as `type`."
            )
        values = self.columns[name]
        if not all(isinstance(v, str | int | np.integer) for v in values):
            raise ValueError(
                f"the attribute {name!r} of the {self._of} is neither numbers nor words; convert it."
            )
        names = sorted(set(values), key=lambda v: (isinstance(v, str), v))
        code = {value: i for i, value in enumerate(names)}
        return torch.tensor([code[v] for v in values]), tuple(map(str, names))


def _positions(nodes: _Attributes, n: int) -> Tensor:
    if "pos" in nodes.columns:
        table = nodes.table("pos")
        if table is None:
            raise ValueError("the attribute 'pos' of the nodes must be d numbers for each; correct it.")
        del nodes.columns["pos"]
        return torch.from_numpy(table)
    axes = [axis for axis in ("x", "y", "z") if axis in nodes.columns]
    tables = [nodes.table(axis) for axis in axes]
    if axes[:2] != ["x", "y"] or any(t is None or t.shape[1] != 1 for t in tables):
        return torch.zeros(n, 0)
    for axis in axes:
        del nodes.columns[axis]
    return torch.from_numpy(np.concatenate([t for t in tables if t is not None], axis=1))


def _label(attributes: Mapping[str, Any]) -> tuple[Tensor | None, tuple[str, ...]]:
    value = next((attributes[name] for name in _LABEL if name in attributes), None)
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    if isinstance(value, str):
        return torch.tensor([0]), (value,)
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return (torch.tensor([int(value)]) if whole else None), ()  # type: ignore[arg-type]


# -- back ---------------------------------------------------------------------------------------------------


def to_networkx(graphs: Graphs) -> list[Any]:
    """Return `noisefold.Graphs.to_networkx` of graphs."""
    return [_one(g) for g in graphs]


def _one(g: Graphs) -> Any:
    edges = [] if g.edge_index is None else g.edge_index.T.tolist()
    data = _edge_data(g, len(edges))
    kept = _halved(edges, data)
    ends = edges if kept is None else [edges[i] for i in kept]
    several = len({tuple(e) for e in ends}) < len(ends)
    kinds = (nx.MultiGraph, nx.MultiDiGraph) if several else (nx.Graph, nx.DiGraph)
    graph: Any = kinds[kept is None]()
    if g.label is not None:
        graph.graph["label"] = g.classes[int(g.label[0])] if g.classes else int(g.label[0])
    positions = g.coordinates if any(g.origin) else g.pos
    columns: dict[str, list[Any]] = {"pos": [tuple(p) for p in positions.tolist()]} if g.dim else {}
    if g.x is not None:
        names = g.feature_names or tuple(f"f{i}" for i in range(g.features))
        columns |= dict(zip(names, g.x.T.tolist(), strict=True))
    if g.node_type is not None:
        columns["type"] = [g.node_types[k] if g.node_types else k for k in g.node_type.tolist()]
    for i in range(g.num_nodes):
        graph.add_node(i, **{name: values[i] for name, values in columns.items()})
    for i in range(len(edges)) if kept is None else kept:
        graph.add_edge(*edges[i], **data[i])
    return graph


def _edge_data(g: Graphs, count: int) -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = [{} for _ in range(count)]
    if g.edge_attr is not None:
        single = g.edge_attr.ndim == 1 or g.edge_attr.shape[1] == 1
        rows = g.edge_attr.reshape(count, -1).tolist()
        for entry, row in zip(data, rows, strict=True):
            entry |= {"weight": row[0]} if single else {"edge_attr": tuple(row)}
    if g.edge_type is not None:
        for entry, k in zip(data, g.edge_type.tolist(), strict=True):
            entry["type"] = g.edge_types[k] if g.edge_types else k
    return data


def _halved(edges: list[list[int]], data: list[dict[str, Any]]) -> list[int] | None:
    """Return one of both directions of each edge, or None if some edge goes one way alone."""
    waiting: dict[tuple[int, int, tuple[Any, ...]], list[int]] = {}
    kept = []
    for i, (u, v) in enumerate(edges):
        values = tuple(
            (k, "nan" if isinstance(a, float) and math.isnan(a) else a) for k, a in data[i].items()
        )
        if u == v:
            kept.append(i)
        elif other := waiting.get((v, u, values)):
            kept.append(other.pop())
        else:
            waiting.setdefault((u, v, values), []).append(i)
    return None if any(waiting.values()) else sorted(kept)
