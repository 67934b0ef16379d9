"""Attributes of nodes and edges in graph files: which are types, and which only say how a graph is drawn.

Programs that draw graphs write names, colours and places of their own beside the data. What
`noisefold.Graphs.from_networkx` cannot take, or would take for something that it is not, is left out here,
and said.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from noisefold.data.formats.reader import Part
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.networkx import TYPES

__all__ = ["part_of_graphs"]

_NODE_NAMES = ("label", "name", "id", "title", "labels")
_EDGE_NAMES = ("id", "name", "title", "key", "labels")
_DRAWN = (
    "viz",
    "graphics",
    "parents",
    "pid",
    "slices",
    "spells",
    "start",
    "end",
    "shape_type",
    "LabelGraphics",
)
_TEXT_AXES = ("x", "y", "z")  # as yEd writes them, in the units of a screen

_Row = dict[Hashable, Any]


def part_of_graphs(graphs: Sequence[Any]) -> Part:
    """Return graphs of NetworkX that were read from one file, and what was left out of them.

    Raises
    ------
    ValueError
        If there is none, one has no nodes, or attributes cannot be understood.
    """
    if not graphs:
        raise ValueError("there are no graphs; export the file again.")
    left: dict[str, dict[str, None]] = {"nodes": {}, "edges": {}}
    for graph in graphs:
        rows: list[_Row] = [data for _, data in graph.nodes(data=True)]
        names: list[Any] = list(graph.nodes)
        left["nodes"] |= _clean(rows, graph.graph.pop("node_default", {}), _NODE_NAMES, names)
        edges: list[_Row] = [data for _, _, data in graph.edges(data=True)]
        left["edges"] |= _clean(edges, graph.graph.pop("edge_default", {}), _EDGE_NAMES, None)
    notes = [
        f"attributes of {of} were left out: {', '.join(map(repr, found))} (names, or how a graph is drawn); "
        f"write a type as `type`."
        for of, found in left.items()
        if found
    ]
    return Part(_unnamed(Graphs.collate([Graphs.from_networkx(graph) for graph in graphs])), (), tuple(notes))


def _unnamed(graphs: Graphs) -> Graphs:
    """Graphs without names of features that were written for want of others."""
    if graphs.feature_names == tuple(f"f{i}" for i in range(graphs.features)):
        return graphs.replace(feature_names=())
    return graphs


def _clean(
    rows: Sequence[_Row], defaults: Mapping[str, Any], names: Sequence[str], keys: Sequence[Any] | None
) -> dict[str, None]:
    """Take what is no data out of the attributes, in place, and return the names of what was taken."""
    for row in rows:
        for name, value in defaults.items():
            row.setdefault(name, value)
    text = dict.fromkeys(n for row in rows for n, v in row.items() if isinstance(v, str) or v is None)
    typed = next((n for n in TYPES if any(n in row for row in rows)), None)
    drop: list[Any] = [n for n in text if n in names or n in _TEXT_AXES]
    drop += [n for n in dict.fromkeys(n for row in rows for n in row) if n in _DRAWN and n not in drop]
    if typed is not None:
        drop += [n for n in text if n != typed and n not in drop]
    said: dict[str, None] = {}
    for name in drop:
        values = [str(row.get(name)) for row in rows]
        known = values == [str(key) for key in keys] if keys is not None else name in ("id", "key")
        if not known:
            said[str(name)] = None
        for row in rows:
            row.pop(name, None)
    return said
