"""Graphs of PyTorch Geometric: `Data`, `HeteroData`, batches, data sets and loaders of them, and back."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from noisefold.geometry.graphs import Graphs

__all__ = ["Surface", "from_pyg", "is_pyg", "left_out", "to_pyg"]

Surface = Callable[[Tensor, Tensor], Tensor]
"""Function of positions ``[n, 3]`` and triangles ``[3, t]`` that gives points on the surface, ``[p, 3]``."""
_READ = (
    "pos", "x", "y", "face", "edge_index", "edge_attr", "edge_weight", "node_type", "edge_type", "mask",
    "batch", "ptr", "adj_t", "num_nodes",
)  # fmt: skip
_NAMES = ("classes", "feature_names", "node_types", "edge_types")


def is_pyg(source: Any) -> bool:
    """Return whether an object is a graph, a batch or a data set of PyG, or a loader of PyG."""
    data, loader = (sys.modules.get(f"torch_geometric.{name}") for name in ("data", "loader"))
    kinds = [getattr(data, name) for name in ("Data", "HeteroData", "TemporalData", "Dataset") if data]
    kinds += [loader.DataLoader] if loader else []
    return isinstance(source, tuple(kinds))


def from_pyg(source: Any, surface: Surface | None = None) -> Graphs:
    """Return `noisefold.Graphs.from_pyg` of PyG objects; `surface` gives points where a graph has faces."""
    parts = [_graph(item, i, surface) for i, item in enumerate(_items(source))]
    if not parts:
        raise ValueError(f"there is no graph in {type(source).__name__}; give at least one.")
    return Graphs.collate(parts)


def _items(source: Any) -> Iterator[Any]:
    """Yield single graphs."""
    if type(source).__name__ == "TemporalData":
        raise ValueError("TemporalData holds events, not graphs; give Data with positions.")
    if isinstance(source, torch.utils.data.Dataset) and hasattr(source, "__len__"):
        for i in range(len(source)):
            yield from _items(source[i])  # as the data set transforms it
    elif hasattr(source, "to_data_list"):
        yield from source.to_data_list() if _sliced(source) else _unbatched(source)
    elif isinstance(source, Iterable) and not _is_graph(source):
        for one in source:
            yield from _items(one)
    elif getattr(source, "batch", None) is not None and _is_graph(source):
        yield from _unbatched(source)
    else:
        yield source


def _is_graph(source: Any) -> bool:
    data = sys.modules.get("torch_geometric.data")
    return data is not None and isinstance(source, (data.Data, data.HeteroData))


def _sliced(batch: Any) -> bool:
    """Whether a batch knows where its graphs begin; one that a model or a transform made may not."""
    return getattr(batch, "_slice_dict", None) is not None


def _unbatched(batch: Any) -> Iterator[Any]:
    """Yield the graphs of a `Data` whose nodes say by `batch` to which they belong."""
    owner = getattr(batch, "batch", None)
    if owner is None:
        raise ValueError("the Batch does not know its graphs, it has no `batch`; make it by from_data_list.")
    owner = owner.long()
    if bool((owner.diff() < 0).any()) or len(owner) != batch.num_nodes:
        raise ValueError("`batch` must rise, with an entry for each node; sort the nodes by graph.")
    counts = torch.bincount(owner)
    start = 0
    edges, y = getattr(batch, "edge_index", None), getattr(batch, "y", None)
    source = None if edges is None else owner[_checked(edges, len(owner), 0)[0].clamp(max=len(owner) - 1)]
    if edges is not None and bool((owner[edges[1]] != source).any()):
        raise ValueError("an edge joins nodes of two graphs of the batch; correct `edge_index`.")
    for graph, size in enumerate(counts.tolist()):
        rows = slice(start, start + size)
        part = SimpleNamespace(num_nodes=size)
        for name in ("pos", "x", "node_type"):
            value = getattr(batch, name, None)
            setattr(part, name, None if value is None else value[rows])
        if edges is not None:
            part.edge_index = edges[:, source == graph] - start
            for name in ("edge_attr", "edge_type"):
                value = getattr(batch, name, None)
                setattr(part, name, None if value is None else value[source == graph])
        if isinstance(y, Tensor) and len(y) == len(counts):
            part.y = y[graph]
        if getattr(batch, "face", None) is not None:
            raise ValueError("the Batch has faces but does not know its graphs; make it by from_data_list.")
        start += size
        yield part


# -- one graph ----------------------------------------------------------------------------------------------


def _graph(item: Any, number: int, surface: Surface | None) -> Graphs:
    item = _in_tensors(item)
    if hasattr(item, "node_types") and hasattr(item, "metadata"):
        return _of_types(item, number)
    if not any(hasattr(item, name) for name in ("pos", "edge_index", "x")):
        raise ValueError(f"graph {number} is of type {type(item).__name__}, not a graph of PyG; convert it.")
    pos, x, face = (getattr(item, name, None) for name in ("pos", "x", "face"))
    edges = getattr(item, "edge_index", None)
    if edges is None and getattr(item, "adj_t", None) is not None:
        raise ValueError(f"graph {number} has `adj_t`; leave out the transformation ToSparseTensor.")
    label, classes = _class_of(getattr(item, "y", None))
    names = {name: _names(getattr(item, name, None)) for name in _NAMES}
    if face is not None:
        return _on_surface(item, number, surface).replace(label=label, classes=names["classes"] or classes)
    if pos is None:
        if edges is None:
            raise ValueError(f"graph {number} has neither `pos` nor edges; give it positions [n, d].")
        pos = torch.zeros(int(item.num_nodes), 0)
    n = pos.shape[0]
    attributes = getattr(item, "edge_attr", None)
    if attributes is None:
        attributes = getattr(item, "edge_weight", None)
    graphs = Graphs(
        _floating(pos),
        _columns(x),
        edge_index=None if edges is None else _checked(edges, n, number),
        edge_attr=_columns(attributes),
        node_type=_types(getattr(item, "node_type", None)),
        edge_type=_types(getattr(item, "edge_type", None)),
        label=label,
        classes=(names["classes"] or classes) if label is not None else (),
        node_types=names["node_types"] or _names(getattr(item, "_node_type_names", None)),
        edge_types=names["edge_types"] or _names(getattr(item, "_edge_type_names", None)),
    )
    fitting = len(names["feature_names"]) == graphs.features
    return graphs.replace(feature_names=names["feature_names"]) if fitting else graphs


def _in_tensors(item: Any) -> Any:
    """Return a `Data` whose arrays of NumPy are tensors."""
    names = ("pos", "x", "face", "edge_index", "edge_attr", "edge_weight", "node_type", "edge_type")
    arrays = {n: v for n in names if isinstance(v := getattr(item, n, None), np.ndarray)}
    if not arrays or not hasattr(item, "clone"):
        return item
    item = item.clone()
    for name, value in arrays.items():
        setattr(item, name, torch.from_numpy(np.ascontiguousarray(value)))
    return item


def _on_surface(item: Any, number: int, surface: Surface | None) -> Graphs:
    if surface is None:
        raise ValueError(f"graph {number} has `face`, a surface; noisefold.load samples points on it.")
    other = next((n for n in ("x", "edge_index") if getattr(item, n, None) is not None), None)
    if other is not None:
        raise ValueError(
            f"graph {number} has both `face` and `{other}`; drop `face` for its vertices, or `{other}` for "
            f"points on its surface."
        )
    pos, face = item.pos, item.face
    if pos is None or pos.ndim != 2 or pos.shape[1] != 3 or face.ndim != 2 or face.shape[0] != 3:
        raise ValueError(f"graph {number} must have `pos` [n, 3] and `face` [3, t]; correct it.")
    return Graphs(surface(_floating(pos), face))


def _of_types(item: Any, number: int) -> Graphs:
    """Return a `HeteroData` as one graph whose nodes and edges have types."""
    kinds = list(item.node_types)
    stores = [item[kind] for kind in kinds]
    sizes = [int(store.num_nodes or 0) for store in stores]
    pos, x = (_of_all(kinds, [getattr(s, name, None) for s in stores], name, number) for name in ("pos", "x"))
    starts = dict(zip(kinds, torch.tensor([0, *sizes]).cumsum(0).tolist(), strict=False))
    counts = dict(zip(kinds, sizes, strict=True))
    edges, attributes, types = [], [], []
    for code, (source, _, target) in enumerate(item.edge_types):
        store = item[item.edge_types[code]]
        index = getattr(store, "edge_index", None)
        if index is None:
            raise ValueError(f"graph {number} has no `edge_index` for {item.edge_types[code]}; give it one.")
        for end, kind in zip(index, (source, target), strict=True):
            _checked(end, counts[kind], number)
        edges.append(index.long() + torch.tensor([[starts[source]], [starts[target]]], device=index.device))
        attributes.append(getattr(store, "edge_attr", None))
        types.append(torch.full((index.shape[1],), code))
    names = tuple("/".join(kind) for kind in item.edge_types)
    label, classes = _class_of(getattr(item, "y", None))
    return Graphs(
        torch.zeros(sum(sizes), 0) if pos is None else _floating(pos),
        x,
        edge_index=torch.cat(edges, dim=1) if edges else None,
        edge_attr=_of_all(names, attributes, "edge_attr", number) if edges else None,
        node_type=torch.repeat_interleave(torch.arange(len(kinds)), torch.tensor(sizes)),
        edge_type=torch.cat(types) if edges else None,
        node_types=tuple(kinds),
        edge_types=names if edges else (),
        label=label,
        classes=classes,
    )


def _of_all(kinds: Iterable[str], values: list[Any], name: str, number: int) -> Tensor | None:
    """Return the rows of all types, which must have the same columns, or None if no type has any."""
    there = [value for value in values if value is not None]
    if not there:
        return None
    widths = {
        kind: 0 if v is None else 1 if v.ndim == 1 else v.shape[1]
        for kind, v in zip(kinds, values, strict=True)
    }
    if len(set(widths.values())) > 1:
        listed = ", ".join(f"{width} of {kind!r}" for kind, width in widths.items())
        raise ValueError(
            f"graph {number} has types with different numbers of columns of `{name}` ({listed}); make them "
            f"alike, or drop `{name}`."
        )
    return torch.cat([_columns(value) for value in there])  # type: ignore[misc]


def _checked(edges: Tensor, n: int, number: int) -> Tensor:
    if edges.is_floating_point():
        raise ValueError(f"graph {number} has an `edge_index` of {edges.dtype}; give whole numbers.")
    if edges.numel() and not 0 <= int(edges.min()) <= int(edges.max()) < n:
        raise ValueError(f"graph {number} has {n} nodes, but `edge_index` names others; correct it.")
    return edges.long()


def _floating(values: Tensor) -> Tensor:
    if values.is_floating_point():
        return values
    exact = (
        values.dtype == torch.bool or not values.numel() or int(values.abs().max()) < 2**24
    )  # beyond it float32 has no odd numbers
    return values.float() if exact else values.double()


def _columns(values: Any) -> Tensor | None:
    """Return floating values ``[n, c]``, of ``[n]`` with one column."""
    if values is None:
        return None
    return _floating(values[:, None] if values.ndim == 1 else values)


def _types(values: Any) -> Tensor | None:
    one = isinstance(values, Tensor) and values.ndim == 1 and not values.is_floating_point()
    return values.long() if one else None


def _names(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list | tuple):
        return ()
    return tuple("/".join(map(str, v)) if isinstance(v, tuple) else str(v) for v in values)


def _class_of(y: Any) -> tuple[Tensor | None, tuple[str, ...]]:
    """A class ``[1]`` and its name, if this label of a PyG graph is a single word or whole number."""
    if isinstance(y, str):
        return torch.zeros(1, dtype=torch.int64), (str(y),)
    if isinstance(y, int | np.generic | np.ndarray):
        values = np.asarray(y)
        y = torch.as_tensor(values) if values.dtype.kind in "iub" else None
    single = isinstance(y, Tensor) and y.numel() == 1 and not y.is_floating_point() and not y.is_complex()
    return (y.reshape(1).long() if single else None), ()


def left_out(source: Any) -> tuple[str, ...]:
    """Return what the graphs of a PyG object hold that is not read, as sentences.

    Only the first graph is looked at; a label ``y`` that is no class is among it.
    """
    first: Any = next(_items(source), None)
    if not hasattr(first, "keys") or not callable(first.keys):
        return ()
    names = [str(k) for k in first.keys() if k not in _READ and isinstance(first[k], Tensor)]  # noqa: SIM118
    notes = [f"these attributes are not read: {', '.join(names[:8])}."] if names else []
    y = getattr(first, "y", None)
    if y is not None and _class_of(y)[0] is None:
        notes.append("`y` is no class, as it is not one word or whole number for each graph.")
    return tuple(notes)


# -- back ---------------------------------------------------------------------------------------------------


def to_pyg(graphs: Graphs) -> list[Any]:
    """Return `noisefold.Graphs.to_pyg` of graphs."""
    from torch_geometric.data import Data

    names = {name: list(getattr(graphs, name)) for name in _NAMES if getattr(graphs, name)}
    out = []
    for g in graphs:
        types = {n: v for n in ("node_type", "edge_type", "mask") if (v := getattr(g, n)) is not None}
        pos = g.coordinates if any(g.origin) else g.pos
        fields = {"edge_index": g.edge_index, "edge_attr": g.edge_attr, "y": g.label}
        out.append(Data(pos=pos, x=g.x, num_nodes=g.num_nodes, **fields, **types, **names))
    return out
