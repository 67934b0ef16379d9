"""Planar embeddings of graphs that triangulate a disc, from the edges alone.

A Delaunay triangulation is drawn in the plane as triangles side by side, which together fill a disc, the
convex hull of its points. The faces follow from the edges: those of a planar embedding, of which all but one
are triangles. A graph that an edge cuts in two, u - v, has several embeddings, since either part may be
turned over about that edge; the one with fewest faces that are no triangles is taken.

Source: Boyer and Myrvold, On the Cutting Edge: Simplified O(n) Planarity by Edge Addition (2004),
https://doi.org/10.7155/jgaa.00091, as implemented by NetworkX.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

__all__ = ["TriangulatedDisc", "triangulated_disc"]

_Rotation = dict[int, list[int]]
_Face = list[int]
_LARGE = 50  # faces that are no triangles: edges across the hull of a Delaunay triangulation are few


@dataclass(frozen=True)
class TriangulatedDisc:
    """The faces of a graph whose triangles fill a disc.

    Attributes
    ----------
    triangles
        Three nodes each, all in one sense of rotation, that of the boundary.
    boundary
        The nodes on the rim of the disc, in order.
    """

    triangles: tuple[tuple[int, int, int], ...]
    boundary: tuple[int, ...]


def triangulated_disc(nodes: int, edges: Iterable[tuple[int, int]]) -> TriangulatedDisc | None:
    """Return the faces of a graph, or None if they do not triangulate a disc.

    Parameters
    ----------
    nodes
        Number of nodes, numbered from 0.
    edges
        Edges, once or in both directions.
    """
    import networkx as nx  # half a second to import

    graph: nx.Graph[int] = nx.Graph()
    graph.add_nodes_from(range(nodes))
    graph.add_edges_from(edges)
    # Of m edges and f faces, n - m + f = 2; f - 1 triangles and a rim of h edges have 3 (f - 1) + h = 2 m.
    if not 3 <= 3 * nodes - 3 - graph.number_of_edges() <= nodes or not nx.is_connected(graph):
        return None
    planar, found = nx.check_planarity(graph)
    if not planar:
        return None
    embedding: Any = found
    rotation = {node: list(embedding.neighbors_cw_order(node)) for node in embedding}
    faces = _turned_over(graph, rotation)
    rim = max(faces, key=len)
    faces.remove(rim)
    if any(len(face) != 3 for face in faces) or len(set(rim)) < len(rim):
        return None
    # The rim, seen from outside, runs the other way.
    return TriangulatedDisc(tuple((a, b, c) for a, b, c in faces), tuple(reversed(rim)))


def _faces(rotation: _Rotation) -> list[_Face]:
    """Return the faces of an embedding, from the neighbours of each node in clockwise order."""
    after = {}
    for node, around in rotation.items():
        for before, neighbour in zip((around[-1], *around), around, strict=False):
            after[neighbour, node] = (node, before)
    faces = []
    while after:
        start = step = next(iter(after))
        face = []
        while step in after:
            face.append(step[0])
            step = after.pop(step)
        assert step == start
        faces.append(face)
    return faces


def _turned_over(graph: Any, rotation: _Rotation) -> list[_Face]:
    """Return the faces after parts were turned over as long as that leaves fewer that are no triangles."""
    faces = _faces(rotation)
    while 1 < len(large := [face for face in faces if len(face) > 3]) <= _LARGE:
        found = _better(graph, rotation, large)
        if found is None:
            break
        rotation, faces = found
    return faces


def _better(graph: Any, rotation: _Rotation, large: list[_Face]) -> tuple[_Rotation, list[_Face]] | None:
    """Return an embedding with fewer large faces and its faces, a part turned over about an edge; or None."""
    edges = {tuple(sorted(edge)) for face in large for edge in pairwise([*face, face[0]])}
    for ends in sorted(edges):
        if sum(set(ends) <= set(face) for face in large) < 2:
            continue
        for part in _parts(graph, ends):
            turned = {node: around[::-1] if node in part else around for node, around in rotation.items()}
            for end in ends:
                turned[end] = _reversed_run(rotation[end], part)
            faces = _faces(turned)
            if sum(len(face) > 3 for face in faces) < len(large):
                return turned, faces
    return None


def _parts(graph: Any, without: tuple[int, ...]) -> list[set[int]]:
    """Return the nodes of each part that is left of a graph without some nodes."""
    import networkx as nx

    left = graph.subgraph([n for n in graph if n not in without])
    return list(nx.connected_components(left))


def _reversed_run(around: list[int], part: set[int]) -> list[int]:
    """Return a cyclic order in which the neighbours in a part, which lie side by side, are reversed."""
    first = next(i for i, node in enumerate(around) if node in part and around[i - 1] not in part)
    around = around[first:] + around[:first]
    count = sum(node in part for node in around)
    return around[:count][::-1] + around[count:]
