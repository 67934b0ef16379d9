"""Folders of the TU collection of graph benchmarks: MUTAG, PROTEINS, ENZYMES and some hundred more.

===========================  ==================================================================
file, after the name         content
===========================  ==================================================================
``_A.txt``                   an edge ``source, target`` a line; nodes of all graphs count from 1
``_graph_indicator.txt``     the graph of each node, from 1
``_node_labels.txt``         a type of each node; of several columns, together
``_edge_labels.txt``         a type of each edge
``_node_attributes.txt``     features of each node
``_edge_attributes.txt``     features of each edge
``_graph_labels.txt``        a class of each graph
===========================  ==================================================================

Source: Morris et al. (2020), https://arxiv.org/abs/2007.08663; https://chrsmrrs.github.io/datasets/
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from noisefold.data.formats.reader import Part
from noisefold.data.formats.text import decoded
from noisefold.geometry.graphs import Graphs

__all__ = ["is_tu", "read_tu", "tu_folder"]

_EDGES, _OWNERS = "_A.txt", "_graph_indicator.txt"
_Integers = NDArray[np.int64]


def is_tu(path: Path) -> bool:
    """Whether a folder, or the folder ``raw`` in it, is a data set of the TU collection."""
    return tu_folder(path) is not None


def tu_folder(path: Path) -> tuple[Path, str] | None:
    """Return the folder with the files and the name that they begin with, or None if there are none."""
    for folder in (path, path / "raw"):
        if folder.is_dir():
            for file in sorted(folder.glob(f"*{_EDGES}")):
                name = file.name.removesuffix(_EDGES)
                if (folder / (name + _OWNERS)).is_file():
                    return folder, name
    return None


def read_tu(path: Path) -> Part:
    """Return the graphs of a folder of the TU collection, with types and classes named by their numbers.

    Raises
    ------
    ValueError
        If a file is damaged, or files do not fit together; the message names the file.
    """
    found = tu_folder(path)
    assert found is not None
    return _Folder(*found).part()


class _Folder:
    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name

    def part(self) -> Part:
        owner = self.rows(_OWNERS, np.int64)[:, 0]
        if not len(owner):
            raise ValueError(f"{self.name + _OWNERS} is empty; copy the data set again.")
        order = np.argsort(owner, kind="stable")
        numbers, sizes = np.unique(owner, return_counts=True)
        edges = self.rows(_EDGES, np.int64)
        if edges.shape[1] != 2 and len(edges):
            raise ValueError(f"{self.name + _EDGES} has {edges.shape[1]} columns, not source and target.")
        ends = self.ends(edges.reshape(-1, 2), owner, order)
        node_type, node_types = self.types("_node_labels.txt", len(owner))
        edge_type, edge_types = self.types("_edge_labels.txt", len(edges))
        x, edge_attr = (
            self.numbers(f"_{of}_attributes.txt", n) for of, n in (("node", len(owner)), ("edge", len(edges)))
        )
        label, classes = self.types("_graph_labels.txt", len(numbers), numbers)
        graphs = Graphs(
            torch.zeros(len(owner), 0, dtype=torch.float64),
            None if x is None else x[torch.from_numpy(order)],
            torch.tensor([0, *sizes.tolist()]).cumsum(0),
            edge_index=torch.from_numpy(ends),
            edge_attr=edge_attr,
            node_type=None if node_type is None else node_type[torch.from_numpy(order)],
            edge_type=edge_type,
            label=label,
            classes=classes,
            node_types=node_types,
            edge_types=edge_types,
        )
        left = [f for f in ("_graph_attributes.txt",) if (self.folder / (self.name + f)).is_file()]
        return Part(graphs, (), tuple(f"{self.name + f} was left out; graphs have no numbers." for f in left))

    def ends(self, edges: _Integers, owner: _Integers, order: _Integers) -> _Integers:
        """Edges ``[2, e]`` as rows of the nodes sorted by graph."""
        if len(edges) and not (edges.min() >= 1 and edges.max() <= len(owner)):
            raise ValueError(f"{self.name + _EDGES} names a node that is not among 1 to {len(owner)}.")
        source, target = (edges - 1).T
        apart = np.flatnonzero(owner[source] != owner[target])
        if len(apart):
            raise ValueError(f"{self.name + _EDGES}, line {apart[0] + 1}: an edge joins two graphs.")
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        return np.stack([place[source], place[target]])

    def rows(self, ending: str, kind: Any) -> NDArray[Any]:
        """The numbers of a file, ``[n, c]``."""
        file = self.folder / (self.name + ending)
        lines = [line for line in decoded(file.read_bytes()).split("\n") if line.strip()]
        if not lines:
            return np.zeros((0, 1), dtype=kind)
        try:
            values = np.loadtxt(lines, dtype=kind, delimiter=",", comments=None, ndmin=2)
        except ValueError as error:
            first = str(error).splitlines()[0].rstrip(".")
            raise ValueError(f"{file.name} is damaged ({first}); copy the data set again.") from error
        return np.asarray(values)

    def types(
        self, ending: str, count: int, at: _Integers | None = None
    ) -> tuple[torch.Tensor | None, tuple[str, ...]]:
        """Types ``[n]`` and their names, or None without this file; `at` are rows to take, from 1."""
        values = self.optional(ending, np.int64, count if at is None else None)
        if values is None:
            return None, ()
        if at is not None:
            if at[0] < 1 or at[-1] > len(values):
                raise ValueError(f"{self.name + ending} has {len(values)} lines, none for graph {at[-1]}.")
            values = values[at - 1]
        unique, code = np.unique(values, axis=0, return_inverse=True)
        names = tuple(",".join(map(str, row)) for row in unique.tolist())
        return torch.from_numpy(code.reshape(-1).astype(np.int64)), names

    def numbers(self, ending: str, count: int) -> torch.Tensor | None:
        values = self.optional(ending, np.float64, count)
        return None if values is None else torch.from_numpy(values)

    def optional(self, ending: str, kind: Any, count: int | None) -> NDArray[Any] | None:
        if not (self.folder / (self.name + ending)).is_file():
            return None
        values = self.rows(ending, kind)
        if count is not None and len(values) != count:
            raise ValueError(f"{self.name + ending} has {len(values)} lines, and {count} are needed.")
        return values
