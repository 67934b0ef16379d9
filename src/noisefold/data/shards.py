"""Data larger than memory: folders of plain arrays that are mapped and never read as a whole.

=================  ==================================================================================
file               content
=================  ==================================================================================
pos.npy ...        one array for each field of `noisefold.Graphs` that is not None, all graphs together
edges.npy          ``[e, 2]``, both ends of each edge as rows of the positions, by graph
edge_count.npy     number of edges of each graph
shards.json        written last: shapes, types and the names that travel with the data
=================  ==================================================================================

`open_shards` gives `Graphs` as any other, of which ``graphs[[3, 5]]`` reads these two alone. Nothing is
pickled, and a folder stands whole or not at all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from noisefold.configuration import decode, encode
from noisefold.data.earth.together import common_modality
from noisefold.data.formats.arrays import parsing
from noisefold.data.formats.guard import guarded
from noisefold.files import staged
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.mapped import mapped
from noisefold.geometry.selection import BY_EDGE, BY_GRAPH, BY_NODE, EdgeOrder

__all__ = ["ShardWriter", "is_shards", "open_shards", "write_shards"]

_MANIFEST = "shards.json"
_FORMAT = 1
_HEADER = 128  # bytes before the numbers of each file
_BY_NODE = ("pos", *BY_NODE)
_CODES = {"label": "classes", "node_type": "node_types", "edge_type": "edge_types"}
_NAMES = ("feature_names", "property_names", *_CODES.values())
_TYPES = ("float32", "float64", "int64", "bool")
_LARGEST = 1 << 30  # bytes of a manifest


class ShardWriter:
    """Writes graphs one after another into a folder, which appears when all are written.

    Parameters
    ----------
    folder
        The folder to make.

    Raises
    ------
    FileExistsError
        If something stands there already.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        if self.folder.exists():
            raise FileExistsError(f"{self.folder}: this is there already; remove it or choose another name.")
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self._whole = ExitStack()
        self._files: dict[str, _Growing] = {}
        self._first: Graphs | None = None
        self._names: dict[str, dict[str, int]] = {}
        self._modality: Any = None
        self._sizes: list[int] = []
        self.graphs, self.nodes = 0, 0

    def __enter__(self) -> ShardWriter:
        self._staged = self._whole.enter_context(staged(self.folder))
        self._staged.mkdir()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            if kind is None:
                with self._whole:
                    self._finish()
        finally:
            for file in self._files.values():
                file.stream.close()
            self._whole.__exit__(kind, error, trace)

    def add(self, graphs: Graphs, *, more: bool = False) -> None:
        """Write graphs behind those that are there.

        Parameters
        ----------
        graphs
            With the same fields as the first; features and classes are matched by name.
        more
            Whether these are further nodes of the last graph; one graph without edges.

        Raises
        ------
        ValueError
            If fields, dimensions or names do not fit those of the first.
        """
        first = graphs if self._first is None else self._first
        if self._first is None:
            self._first, self._modality = graphs[:0], graphs.modality
            self._names = {name: {} for name in _CODES}
        fields = (*_BY_NODE, *BY_GRAPH, "edge_index", *BY_EDGE)
        for name in fields:
            if (getattr(first, name) is None) != (getattr(graphs, name) is None):
                raise ValueError(f"graphs of one folder must all have {name}, or none of them.")
        if (graphs.dim, graphs.features) != (first.dim, first.features):
            raise ValueError("graphs of one folder must have the same dimension and number of features.")
        if more and (len(graphs) != 1 or graphs.edge_index is not None or self.graphs == 0):
            raise ValueError("more nodes must be of one graph without edges, behind another.")
        graphs = graphs.with_features(first.feature_names).rebased(first.origin)
        self._modality = common_modality(self._modality, graphs.modality)
        for name in _BY_NODE:
            self._append(name, self._coded(name, graphs))
        for name in () if more else BY_GRAPH:
            self._append(name, self._coded(name, graphs))
        if graphs.edge_index is not None:
            self._edges(graphs)
        sizes = graphs.sizes.cpu().numpy()
        if more:
            self._sizes[-1] += int(sizes[0])
        else:
            self._sizes.extend(sizes.tolist())
        self.nodes += graphs.num_nodes
        self.graphs = len(self._sizes)

    def _edges(self, graphs: Graphs) -> None:
        assert graphs.edge_index is not None
        owner = torch.searchsorted(graphs.ptr, graphs.edge_index[0], right=True) - 1
        order = torch.argsort(owner, stable=True)
        self._append("edges", graphs.edge_index[:, order].T + self.nodes)
        self._append("edge_count", torch.bincount(owner, minlength=len(graphs)))
        for name in BY_EDGE:
            values = self._coded(name, graphs)
            self._append(name, None if values is None else values[order])

    def _coded(self, name: str, graphs: Graphs) -> Tensor | None:
        """Return a field, codes renumbered to the names of all graphs so far."""
        values: Tensor | None = getattr(graphs, name)
        if values is None or name not in _CODES:
            return values
        known, names = self._names[name], getattr(graphs, _CODES[name])
        if self.nodes and bool(known) != bool(names):
            raise ValueError(f"graphs of one folder must all have {_CODES[name]}, or none of them.")
        for each in names:
            known.setdefault(each, len(known))
        if not names:
            return values
        table = torch.tensor([known[each] for each in names])
        return torch.where(values >= 0, table[values.clamp(min=0)], values)

    def _append(self, name: str, values: Tensor | None) -> None:
        if values is None:
            return
        if name not in self._files:
            self._files[name] = _Growing(self._staged / f"{name}.npy", values)
        self._files[name].append(values)

    def _finish(self) -> None:
        first = self._first
        if first is None or not self.graphs:
            raise ValueError(f"{self.folder}: there are no graphs to write; give at least one.")
        self._append("ptr", torch.tensor([0, *self._sizes]).cumsum(0))
        names = {table: tuple(self._names[code]) or getattr(first, table) for code, table in _CODES.items()}
        manifest = {
            "format": _FORMAT,
            "fields": {name: file.close() for name, file in self._files.items()},
            **{name: list(value) for name, value in names.items()},
            "feature_names": list(first.feature_names),
            "property_names": list(first.property_names),
            "origin": list(first.origin),
            "modality": None if self._modality is None else encode(self._modality),
        }
        with (self._staged / _MANIFEST).open("w", encoding="utf-8") as stream:
            json.dump(manifest, stream)


class _Growing:
    """An .npy file whose number of rows is known when it is closed."""

    def __init__(self, path: Path, like: Tensor) -> None:
        self.dtype = np.asarray(like[:1].detach().cpu().numpy()).dtype
        if self.dtype.name not in _TYPES:
            raise ValueError(f"{path.stem} has the type {self.dtype}, which is none of {', '.join(_TYPES)}.")
        self.row, self.count = tuple(like.shape[1:]), 0
        self.stream: BinaryIO = path.open("xb")
        self.stream.write(bytes(_HEADER))

    def append(self, values: Tensor) -> None:
        array = np.ascontiguousarray(values.detach().cpu().numpy(), dtype=self.dtype)
        if array.shape[1:] != self.row:
            raise ValueError(f"rows have the shape {list(array.shape[1:])}, those before {list(self.row)}.")
        self.stream.write(array.data)
        self.count += len(array)

    def close(self) -> dict[str, Any]:
        """Write the header; return what the file holds."""
        shape = (self.count, *self.row)
        if not self.stream.closed:
            text = f"{{'descr': {self.dtype.str!r}, 'fortran_order': False, 'shape': {shape!r}, }}"
            head = b"\x93NUMPY\x01\x00" + (_HEADER - 10).to_bytes(2, "little")
            self.stream.seek(0)
            self.stream.write(head + text.ljust(_HEADER - 11).encode("ascii") + b"\n")
            self.stream.close()
        return {"dtype": self.dtype.name, "shape": list(shape)}


def write_shards(parts: Iterable[Graphs], folder: str | os.PathLike[str]) -> Path:
    """Write graphs into a folder that `open_shards` maps; whole or not at all.

    Parameters
    ----------
    parts
        Graphs, of which one at a time is in memory.
    folder
        The folder to make.

    Raises
    ------
    ValueError
        If there are none, or their fields do not fit together.
    FileExistsError
        If something stands there already.
    """
    with ShardWriter(folder) as writer:
        for graphs in parts:
            writer.add(graphs)
    return Path(folder)


def is_shards(path: str | os.PathLike[str]) -> bool:
    """Return whether this is a folder that `write_shards` made."""
    return (Path(path) / _MANIFEST).is_file()


def open_shards(folder: str | os.PathLike[str]) -> Graphs:
    """Return the graphs of a folder, whose tensors are mapped: memory holds what is indexed.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If it is none that `write_shards` made, or a file is damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: there is no such folder; check the path.")
    with guarded(folder):
        if not is_shards(folder):
            raise ValueError(f"there is no {_MANIFEST}; write the folder with noisefold convert.")
        if (folder / _MANIFEST).stat().st_size > _LARGEST:
            raise ValueError(f"{_MANIFEST} is too large; write the folder again with noisefold convert.")
        with parsing():
            manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        if manifest["format"] != _FORMAT:
            raise ValueError(f"its format is {manifest['format']!r}, not {_FORMAT}; write the folder again.")
        with parsing():
            named: dict[str, Any] = {name: tuple(map(str, manifest.get(name, ()))) for name in _NAMES}
            named["origin"] = tuple(map(float, manifest["origin"]))
        fields: dict[str, Any] = {
            name: _mapped(folder, name, **what) for name, what in manifest["fields"].items()
        }
        edges, counts = fields.pop("edges", None), fields.pop("edge_count", None)
        fields["ptr"] = fields["ptr"].clone()
        graphs = Graphs(
            **fields,
            **named,
            edge_index=None if edges is None else edges.T,
            modality=decode(manifest["modality"]),
        )
        if edges is not None:
            _check_edges(graphs, edges, counts)
        return graphs


def _mapped(folder: Path, name: str, dtype: str, shape: list[int]) -> Tensor:
    if name not in (*_BY_NODE, *BY_EDGE, *BY_GRAPH, "ptr", "edges", "edge_count") or dtype not in _TYPES:
        raise ValueError(f"{_MANIFEST} names the field {name!r} of type {dtype!r}, which is unknown.")
    file, kind = folder / f"{name}.npy", np.dtype(dtype)
    there, needed = file.stat().st_size, _HEADER + kind.itemsize * int(np.prod([int(n) for n in shape]))
    if there != needed:
        raise ValueError(f"{file.name} has {there:,} bytes instead of {needed:,}; write the folder again.")
    return mapped(file, kind, tuple(shape), _HEADER)


def _check_edges(graphs: Graphs, edges: Tensor, counts: Tensor | None) -> None:
    """Hold edges to their graphs, and keep where each graph's begin."""
    if counts is None or len(counts) != len(graphs) or int(counts.sum()) != len(edges):
        raise ValueError("edge_count.npy does not fit the edges; write the folder again.")
    first = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    for part in edges.split(1 << 20):
        if int(part.min()) < 0 or int(part.max()) >= graphs.num_nodes:
            raise ValueError("edges.npy names nodes that are not there; write the folder again.")
    # Otherwise the first batch would look at all edges.
    vars(graphs)["edge_order"] = EdgeOrder(None, first)
