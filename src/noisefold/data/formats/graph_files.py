"""GraphML, GEXF and GML: graphs with attributes, by the parsers of NetworkX, guarded.

Attributes become positions, features, types and a class as `noisefold.Graphs.from_networkx` says. XML that
declares entities is refused before it is parsed, as a few lines of them can stand for gigabytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import networkx as nx
from networkx.readwrite.gexf import GEXFReader
from networkx.readwrite.graphml import GraphMLReader

from noisefold.data.formats.arrays import parsing
from noisefold.data.formats.attributes import part_of_graphs
from noisefold.data.formats.reader import Ask, Part
from noisefold.data.formats.text import decoded
from noisefold.geometry.graphs import Graphs

__all__ = ["read_gexf", "read_gml", "read_graphml", "write_gexf", "write_gml", "write_graphml"]

_ENTITIES = re.compile(r"<!\s*(DOCTYPE|ENTITY)", re.IGNORECASE)
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_NAMESPACE = 'xmlns="http://graphml.graphdrawing.org/xmlns"'
_GRAPH = re.compile(r"\bgraph\s*\[")
_FORBIDDEN = re.compile("[\x00-\x1f\x7f\ud800-\udfff￾￿]")
_KEY = re.compile(r"[A-Za-z][0-9A-Za-z_]*")
# Names of features that would come back as something else.
_TAKEN = {"pos", "x", "y", "z", "type", "node_type", "edge_type", "kind", "label", "name", "id", "title"}
_TAKEN |= {"labels", "viz", "graphics", "parents", "pid", "slices", "spells", "start", "end", "shape_type"}
_TAKEN |= {"LabelGraphics"}
_DATE = re.compile(r' lastmodifieddate="[^"]*"')


def read_graphml(data: bytes, ask: Ask) -> Part:
    """Return the graphs in the bytes of a .graphml file.

    Raises
    ------
    ValueError
        If it declares entities, is damaged, or its attributes cannot be understood.
    """
    text = _xml(data)
    with parsing():
        graphs = list(_GraphML(str, int)(string=text))
        if not graphs and "<graphml" in text and "xmlns=" not in text.split("<graphml")[1].split(">")[0]:
            graphs = list(_GraphML(str, int)(string=text.replace("<graphml", f"<graphml {_NAMESPACE}", 1)))
    return part_of_graphs(graphs)


def read_gexf(data: bytes, ask: Ask) -> Part:
    """Return the graph in the bytes of a .gexf file.

    Raises
    ------
    ValueError
        As of `read_graphml`.
    """
    text = _xml(data)
    with parsing():
        graph = _GEXF(None, "1.2draft")(io.BytesIO(text.encode()))
    return part_of_graphs([graph])


def read_gml(data: bytes, ask: Ask) -> Part:
    """Return the graph in the bytes of a .gml file.

    Raises
    ------
    ValueError
        If it is damaged, or its attributes cannot be understood.
    """
    text = decoded(data).encode("ascii", "xmlcharrefreplace").decode()
    with parsing():
        try:
            graph = nx.parse_gml(text, label="id")
        except nx.NetworkXError as error:
            if "duplicated" not in str(error) or "edge" not in str(error):
                raise
            graph = nx.parse_gml(_GRAPH.sub("graph [ multigraph 1 ", text, count=1), label="id")
    return part_of_graphs([graph])


def _xml(data: bytes) -> str:
    """The text of XML without its declaration, which may name another encoding than it has."""
    text = _DECLARATION.sub("", decoded(data), count=1)
    found = _ENTITIES.search(text)
    if found is not None:
        raise ValueError(
            f"the file has a {found[1].upper()} declaration, which can be made to fill the memory; remove it."
        )
    return text


class _GraphML(GraphMLReader):
    """Refuse edges of nodes that are not there, which NetworkX would make up."""

    def add_edge(self, graph: Any, element: Any, keys: Any) -> None:
        _check_ends(graph, element)
        super().add_edge(graph, element, keys)


class _GEXF(GEXFReader):
    """The same of GEXF."""

    def add_edge(self, graph: Any, element: Any, keys: Any) -> None:
        _check_ends(graph, element)
        super().add_edge(graph, element, keys)


def _check_ends(graph: Any, element: Any) -> None:
    for end in ("source", "target"):
        if element.get(end) not in graph:
            raise ValueError(f"an edge names the node {str(element.get(end))[:40]!r}, which is not there")


# -- writing ------------------------------------------------------------------------------------------------


def write_graphml(graphs: Graphs) -> bytes:
    """Return one graph as the bytes of a .graphml file: axes, features, types and class by name.

    Raises
    ------
    ValueError
        If positions have more than 3 dimensions, or a name would be read as something else.
    """
    return _written(graphs, ".graphml", lambda graph: "\n".join(nx.generate_graphml(graph)))


def write_gexf(graphs: Graphs) -> bytes:
    """Return one graph as the bytes of a .gexf file; a single graph's class is not kept."""

    def text(graph: Any) -> str:
        for _, _, row in graph.edges(data=True):
            if "type" in row:  # of GEXF, it says whether an edge is directed
                row["kind"] = row.pop("type")
        return _DATE.sub("", "\n".join(nx.generate_gexf(graph)))

    return _written(graphs, ".gexf", text)


def write_gml(graphs: Graphs) -> bytes:
    """Return one graph as the bytes of a .gml file."""
    for name in graphs.feature_names:
        if not _KEY.fullmatch(name):
            raise ValueError(
                f"the feature {name!r} is no key of .gml, which are letters and digits; rename it."
            )
    return _written(graphs, ".gml", lambda graph: "\n".join(nx.generate_gml(graph)))


def _written(graphs: Graphs, ending: str, text: Callable[[Any], str]) -> bytes:
    _check_names(graphs, ending)
    graph = graphs.to_networkx()[0]
    for _, row in graph.nodes(data=True):
        row |= dict(zip("xyz", row.pop("pos", ()), strict=False))
    for _, _, row in graph.edges(data=True):
        row |= {f"weight_{k}": value for k, value in enumerate(row.pop("edge_attr", ()))}
    return (text(graph) + "\n").encode()


def _check_names(graphs: Graphs, ending: str) -> None:
    if graphs.dim not in (0, 2, 3):
        raise ValueError(
            f"a {ending} file holds positions in 0, 2 or 3 dimensions, got {graphs.dim}; save as .npz."
        )
    names = graphs.feature_names
    bad = next((n for n in names if n in _TAKEN or names.count(n) > 1 or not n.strip()), None)
    if bad is not None:
        raise ValueError(f"the feature {bad!r} would be read as something else; rename it or save as .npz.")
    words = (*names, *graphs.node_types, *graphs.edge_types, *graphs.classes)
    bad = next((n for n in words if _FORBIDDEN.search(n) or n != n.strip() or not n), None)
    if bad is not None:
        raise ValueError(f"the name {bad!r} would be lost in a {ending} file; rename it or save as .npz.")
