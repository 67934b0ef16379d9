"""Ragged batches of geometric graphs.

A `Graphs` holds g graphs side by side: the nodes of graph i are the rows ``ptr[i]:ptr[i + 1]`` of `pos`
and `x`. There is no padding, and a data set, a batch and the output of a model are all the same thing.

Names travel with the data. Where both sides of an operation have names, columns and codes are matched by
name, never by place.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, overload

import torch
from torch import Tensor

from noisefold.geometry.collate import collated
from noisefold.geometry.mapped import touched
from noisefold.geometry.names import columns_of
from noisefold.geometry.notebook import graphs_html
from noisefold.geometry.scene import MOST, show_graphs
from noisefold.geometry.selection import BY_EDGE, BY_GRAPH, BY_NODE, EdgeOrder, parted, selected, thinned
from noisefold.geometry.validation import check_fields

__all__ = ["Graphs", "Modality"]


class Modality(Protocol):
    """What kind of measurement graphs are, where that decides how they are divided and modelled."""

    @abstractmethod
    def split(self, graphs: Graphs, fraction: float, seed: int) -> tuple[Graphs, Graphs]:
        """Return two disjoint parts, the first with about this fraction of the data."""


@dataclass(frozen=True, eq=False)
class Graphs:
    """A ragged batch of g geometric graphs with n nodes in all.

    Parameters
    ----------
    pos
        Positions, ``[n, d]``; d may be 0. They are relative to `origin`.
    x
        Features, ``[n, f]``, or None.
    ptr
        Offsets, ``[g + 1]``, int64, from 0 to n; None means one graph.
    edge_index
        Edges as rows of `pos`, ``[2, e]``, int64 (source, target), both ends in the same graph; or None.
    edge_attr
        Edge features, ``[e, c]``, or None.
    mask
        A flag per node, ``[n]``, bool (for instance "known"), or None.
    label, classes
        A class per graph, ``[g]``, int64, or None; and names of the classes, or empty.
    node_type, edge_type, node_types, edge_types
        Types ``[n]`` of the nodes and ``[e]`` of the edges, int64, or None; and their names, or empty.
    feature_names
        Names of the features, f of them, or empty.
    origin
        Where position 0 lies in the user's own frame, d numbers; empty for zeros. Coordinates far from zero,
        such as UTM, keep their precision so: the user's coordinates are ``pos + origin`` in float64.
    modality
        What kind of measurement this is, if that matters; it decides how `split` divides the data.
    group
        Independent unit of each graph, such as a season or a year, ``[g]``, int64, or None. Equal numbers are
        one unit, which `split` keeps together.
    time
        When each graph was measured, ``[g]``, int64, or None: seconds since 1970-01-01 in the calendar of the
        data, or what else the modality says.
    properties, property_names
        Numbers of each graph, such as a molecule's energy, ``[g, k]``, or None; and their names, or empty. A
        network may be conditioned on them, NaN saying nothing.

    Raises
    ------
    ValueError
        If shapes, types or offsets do not fit together.
    """

    pos: Tensor
    x: Tensor | None = None
    ptr: Tensor = None  # type: ignore[assignment]
    edge_index: Tensor | None = None
    edge_attr: Tensor | None = None
    mask: Tensor | None = None
    label: Tensor | None = None
    classes: tuple[str, ...] = ()
    node_type: Tensor | None = None
    edge_type: Tensor | None = None
    node_types: tuple[str, ...] = ()
    edge_types: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()
    origin: tuple[float, ...] = ()
    modality: Modality | None = None
    group: Tensor | None = None
    time: Tensor | None = None
    properties: Tensor | None = None
    property_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if vars(self)["ptr"] is None:
            object.__setattr__(self, "ptr", torch.tensor([0, *self.pos.shape[:1]], device=self.pos.device))
        check_fields(self)

    # -- what it holds ---------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self.ptr.numel() - 1

    @property
    def num_nodes(self) -> int:
        """Number of nodes of all graphs together, n."""
        return self.pos.shape[0]

    @property
    def dim(self) -> int:
        """Dimension of space, d."""
        return self.pos.shape[1]

    @property
    def features(self) -> int:
        """Number of features per node, f (0 without x)."""
        return 0 if self.x is None else self.x.shape[1]

    @property
    def sizes(self) -> Tensor:
        """Nodes of each graph, ``[g]``."""
        return self.ptr.diff()

    @property
    def batch(self) -> Tensor:
        """Graph of each node, ``[n]``."""
        return torch.repeat_interleave(
            torch.arange(len(self), device=self.device), self.sizes, output_size=self.num_nodes
        )

    @property
    def device(self) -> torch.device:
        """Device of the positions."""
        return self.pos.device

    @property
    def dtype(self) -> torch.dtype:
        """Floating type of the positions."""
        return self.pos.dtype

    @property
    def uniform(self) -> int | None:
        """Common number of nodes if all graphs have the same, else None."""
        sizes = self.sizes
        if len(self) == 0 or bool((sizes != sizes[0]).any()):
            return None
        return int(sizes[0])

    def __repr__(self) -> str:
        sizes = self.sizes
        if len(self) == 0:
            nodes = "no nodes"
        elif (size := self.uniform) is not None:
            nodes = f"{size} nodes each"
        else:
            nodes = f"{int(sizes.min())} to {int(sizes.max())} nodes"
        parts = [f"{len(self)} graph{'s' if len(self) != 1 else ''}", nodes, f"{self.dim}-D"]
        if self.x is not None:
            parts.append(f"{self.features} features")
        if self.edge_index is not None:
            parts.append(f"{self.edge_index.shape[1]} edges")
        if self.classes:
            parts.append(f"{len(self.classes)} classes")
        return f"Graphs({', '.join(parts)})"

    def _repr_html_(self) -> str:
        return graphs_html(self)

    def show(self, count: int = MOST, points: int = 1200) -> Any:
        """Return a plotly figure of up to `count` graphs, thinned to `points` each, that turns."""
        return show_graphs(self, count, points)

    # -- making ----------------------------------------------------------------------------------------

    @classmethod
    def dense(
        cls, pos: Tensor, x: Tensor | None = None, label: Tensor | None = None, classes: tuple[str, ...] = ()
    ) -> Graphs:
        """Return graphs of one size from ``pos [g, n, d]``, ``x [g, n, f]`` and ``label [g]``."""
        if pos.ndim != 3:
            raise ValueError(f"pos must be [g, n, d], got shape {list(pos.shape)}.")
        g, n, d = pos.shape
        ptr = torch.arange(g + 1, device=pos.device) * n
        flat = None if x is None else x.reshape(g * n, -1)
        return cls(pos.reshape(g * n, d), flat, ptr, label=label, classes=classes)

    @classmethod
    def ragged(cls, pos: Sequence[Tensor], x: Sequence[Tensor] | None = None, **rest: Any) -> Graphs:
        """Return graphs from a list of ``[n_i, d]`` positions and, optionally, ``[n_i, f]`` features."""
        if not pos:
            raise ValueError("pos must hold at least one graph, got an empty list.")
        sizes = torch.tensor([p.shape[0] for p in pos], device=pos[0].device)
        ptr = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
        return cls(torch.cat(list(pos)), None if x is None else torch.cat(list(x)), ptr, **rest)

    @classmethod
    def collate(cls, graphs: Iterable[Graphs]) -> Graphs:
        """Concatenate batches into one.

        Features are put into the order of the first batch's names; classes and types are renumbered to the
        names of all batches; positions are taken to the first batch's origin.

        Raises
        ------
        ValueError
            If there is no batch, or fields, dimensions, features or names do not agree.
        """
        return collated(list(graphs))

    def replace(self, **changes: Any) -> Graphs:
        """Return a copy with some fields replaced; names of features that no longer fit are dropped."""
        x = changes.get("x", self.x)
        if "feature_names" not in changes and len(self.feature_names) != (0 if x is None else x.shape[1]):
            changes["feature_names"] = ()
        if "origin" not in changes and "pos" in changes and len(self.origin) != changes["pos"].shape[1]:
            changes["origin"] = ()
        return dataclasses.replace(self, **changes)

    def with_features(self, names: Sequence[str]) -> Graphs:
        """Return the graphs with these features in this order, matched by name.

        Graphs without names, or no names asked for, leave the features as they are.

        Raises
        ------
        ValueError
            If a name is not among the features; the message gives the nearest one.
        """
        if not names or not self.feature_names or tuple(names) == self.feature_names:
            return self if not names or self.feature_names else self._named(names)
        columns = columns_of(self.feature_names, names, "feature")
        assert self.x is not None
        return self.replace(x=self.x[:, columns], feature_names=tuple(names))

    def _named(self, names: Sequence[str]) -> Graphs:
        return self.replace(feature_names=tuple(names)) if len(names) == self.features else self

    def rebased(self, origin: Sequence[float]) -> Graphs:
        """Return the graphs with positions relative to another origin, moved in float64."""
        if tuple(origin) == self.origin or not (any(origin) or any(self.origin)):
            return self if tuple(origin) == self.origin else self.replace(origin=tuple(origin))
        old, new = (
            torch.tensor(o or [0.0] * self.dim, dtype=torch.float64, device=self.device)
            for o in (self.origin, tuple(origin))
        )
        return self.replace(pos=(self.pos.double() + (old - new)).to(self.dtype), origin=tuple(origin))

    @property
    def coordinates(self) -> Tensor:
        """Positions in the user's own frame, ``[n, d]``, float64."""
        return self.pos.double() + self.pos.new_tensor(self.origin or [0.0] * self.dim, dtype=torch.float64)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Graphs:
        """Move all tensors to a device, and floating ones to a type."""
        changes: dict[str, Tensor] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                kind = dtype if value.is_floating_point() else None
                changes[field.name] = value.to(device=device, dtype=kind)
        return self.replace(**changes)

    # -- taking apart ----------------------------------------------------------------------------------

    @overload
    def unpack(self) -> list[Tensor]: ...
    @overload
    def unpack(self, values: Tensor) -> list[Tensor]: ...
    def unpack(self, values: Tensor | None = None) -> list[Tensor]:
        """Return node values ``[n, c]`` (default: positions) as one tensor for each graph."""
        return list((self.pos if values is None else values).split(self.sizes.tolist()))

    def padded(self, values: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return node values as ``[g, m, c]``, padded by zeros, and a mask ``[g, m]``, True where real."""
        values = self.pos if values is None else values
        size = self.uniform
        if size is not None:
            mask = torch.ones(len(self), size, dtype=torch.bool, device=self.device)
            return values.reshape(len(self), size, *values.shape[1:]), mask
        sizes = self.sizes
        m = int(sizes.max()) if len(self) else 0
        mask = torch.arange(m, device=self.device) < sizes[:, None]
        out = values.new_zeros(len(self), m, *values.shape[1:])
        out[mask] = values
        return out, mask

    def __iter__(self) -> Iterator[Graphs]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int | slice | Sequence[int] | Tensor) -> Graphs:
        """Return some of the graphs, in order: by int, slice, list, int tensor or bool tensor ``[g]``."""
        return selected(self, index)

    def nodes(self, rows: slice) -> Graphs:
        """Return consecutive nodes of all graphs as one graph without edges and class; tensors are views."""
        by_node = {name: None if (v := getattr(self, name)) is None else v[rows] for name in BY_NODE}
        none = dict.fromkeys((*BY_GRAPH, "edge_index", *BY_EDGE))
        pos = self.pos[rows]
        return self.replace(pos=pos, ptr=self.ptr.new_tensor([0, len(pos)]), **by_node, **none)

    def touched(self, rows: int) -> None:
        """Say that so many rows were read: of tensors that lie in files, pages are given back."""
        for tensor in (self.pos, self.x):
            touched(tensor, rows * 4 * (self.dim + self.features))

    @cached_property
    def edge_order(self) -> EdgeOrder:
        """Order of the edges by graph, found once."""
        assert self.edge_index is not None
        return EdgeOrder.of(self.ptr, self.edge_index)

    def split(self, fraction: float, seed: int = 0) -> tuple[Graphs, Graphs]:
        """Return two disjoint random parts, the first with this fraction of the graphs, at least one in each.

        A `group` is whole in either part, which then has about this fraction. Graphs with a `modality` are
        divided as that says: a tissue into blocks of neighbouring cells.

        Raises
        ------
        ValueError
            If the fraction is not in (0, 1), or there is too little to divide.
        """
        return parted(self, fraction, seed)

    def thin(self, nodes: int, keys: Tensor) -> Graphs:
        """Return at most this many nodes of each graph, those of the least ``keys [n]`` in [0, 1), no edges.

        Random keys give a uniform random subset, in the order of its keys. Graphs that are small enough keep
        their nodes as they are.
        """
        return thinned(self, nodes, keys)

    # -- PyTorch Geometric and NetworkX ----------------------------------------------------------------

    @classmethod
    def from_pyg(cls, source: Any) -> Graphs:
        """Return the graphs of a PyG `Data`, `HeteroData`, `Batch`, data set or loader, or a list of these.

        Taken are ``pos``, ``x``, ``edge_index``, ``edge_attr``, ``node_type``, ``edge_type``, and ``y`` as
        class where it is one integer. Graphs without ``pos`` but with edges have positions ``[n, 0]``.

        Raises
        ------
        ValueError
            If there is no graph, a graph has neither positions nor edges, or an edge names a node that is not
            there. A surface (``face``) is refused here; `noisefold.load` draws points on it.
        """
        from noisefold.geometry.pyg import from_pyg

        return from_pyg(source)

    def to_pyg(self) -> list[Any]:
        """Return a list of PyG `Data`; needs the extra ``noisefold[pyg]``.

        Names of classes, features and types are attributes of the same name; positions are in the user's own
        frame, in float64 if there is an origin.
        """
        from noisefold.geometry.pyg import to_pyg

        return to_pyg(self)

    @classmethod
    def from_networkx(cls, graph: Any) -> Graphs:
        """Return one graph of NetworkX.

        Positions are the node attribute ``pos``, or ``x``, ``y`` (and ``z``), or ``[n, 0]``. Other attributes
        that are numbers are features, of edges ``edge_attr``; ``type``, or the only attribute that is words,
        is the type. The class is ``graph.graph["label"]``. An undirected edge becomes two.

        Raises
        ------
        ValueError
            If only some nodes or edges have an attribute, or one is neither numbers nor words.
        TypeError
            If it is no graph of NetworkX.
        """
        from noisefold.geometry.networkx import from_networkx

        return from_networkx(graph)

    def to_networkx(self) -> list[Any]:
        """Return a list of graphs of NetworkX, undirected where every edge is there in both directions."""
        from noisefold.geometry.networkx import to_networkx

        return to_networkx(self)
