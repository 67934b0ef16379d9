"""Ragged batches of geometric graphs.

A `Graphs` holds g graphs side by side: the nodes of graph i are the rows ``ptr[i]:ptr[i + 1]`` of `pos`
and `x`. There is no padding, and a data set, a batch and the output of a model are all the same thing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import torch
from torch import Tensor

__all__ = ["Graphs"]


@dataclass(frozen=True, eq=False)
class Graphs:
    """A ragged batch of g geometric graphs with n nodes in all.

    Parameters
    ----------
    pos
        Positions, ``[n, d]``.
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
    label
        A class per graph, ``[g]``, int64, or None.
    classes
        Names of the classes, or empty.

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

    def __post_init__(self) -> None:
        if self.pos.ndim != 2:
            raise ValueError(f"pos must be [n, d], got shape {list(self.pos.shape)}.")
        n = self.pos.shape[0]
        if vars(self)["ptr"] is None:
            object.__setattr__(self, "ptr", torch.tensor([0, n], device=self.pos.device))
        if self.ptr.ndim != 1 or self.ptr.numel() == 0 or self.ptr.dtype != torch.int64:
            raise ValueError(f"ptr must be int64 [g + 1], got {self.ptr.dtype} {list(self.ptr.shape)}.")
        for name in ("x", "mask"):
            value = getattr(self, name)
            if value is not None and value.shape[0] != n:
                raise ValueError(f"{name} must have one row for each of the {n} nodes, got {value.shape[0]}.")
        if self.x is not None and self.x.ndim != 2:
            raise ValueError(f"x must be [n, f], got shape {list(self.x.shape)}.")
        if self.label is not None and self.label.shape != (len(self),):
            raise ValueError(f"label must be [{len(self)}], got shape {list(self.label.shape)}.")
        if self.edge_index is not None and (self.edge_index.ndim != 2 or self.edge_index.shape[0] != 2):
            raise ValueError(f"edge_index must be [2, e], got shape {list(self.edge_index.shape)}.")
        edges = 0 if self.edge_index is None else self.edge_index.shape[1]
        if self.edge_attr is not None and self.edge_attr.shape[0] != edges:
            raise ValueError(
                f"edge_attr must have one row for each of the {edges} edges, got {self.edge_attr.shape[0]}."
            )
        if self.ptr.device.type == "cpu":  # elsewhere the answer would stall the device
            offsets = self.ptr.tolist()
            if offsets[0] != 0 or offsets[-1] != n or offsets != sorted(offsets):
                raise ValueError(f"ptr must rise from 0 to the {n} nodes, got {self.ptr}.")

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

    # -- making ----------------------------------------------------------------------------------------

    @classmethod
    def dense(
        cls, pos: Tensor, x: Tensor | None = None, label: Tensor | None = None, classes: tuple[str, ...] = ()
    ) -> Graphs:
        """Graphs of one size from ``pos [g, n, d]``, ``x [g, n, f]`` and ``label [g]``."""
        if pos.ndim != 3:
            raise ValueError(f"pos must be [g, n, d], got shape {list(pos.shape)}.")
        g, n, d = pos.shape
        ptr = torch.arange(g + 1, device=pos.device) * n
        flat = None if x is None else x.reshape(g * n, -1)
        return cls(pos.reshape(g * n, d), flat, ptr, label=label, classes=classes)

    @classmethod
    def ragged(cls, pos: Sequence[Tensor], x: Sequence[Tensor] | None = None, **rest: Any) -> Graphs:
        """Graphs from a list of ``[n_i, d]`` positions and, optionally, ``[n_i, f]`` features."""
        if not pos:
            raise ValueError("pos must hold at least one graph, got an empty list.")
        sizes = torch.tensor([p.shape[0] for p in pos], device=pos[0].device)
        ptr = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
        return cls(torch.cat(list(pos)), None if x is None else torch.cat(list(x)), ptr, **rest)

    @classmethod
    def collate(cls, graphs: Iterable[Graphs]) -> Graphs:
        """Concatenate batches into one; all must have the same fields, dimension and classes."""
        parts = list(graphs)
        if not parts:
            raise ValueError("graphs must hold at least one batch, got an empty list.")
        first = parts[0]
        for name in ("x", "edge_index", "edge_attr", "mask", "label"):
            have = {getattr(p, name) is not None for p in parts}
            if len(have) > 1:
                raise ValueError(f"graphs to collate must all have {name}, or none of them.")
        if any(p.dim != first.dim or p.features != first.features for p in parts):
            raise ValueError("graphs to collate must have the same dimension and number of features.")
        if any(p.classes != first.classes for p in parts):
            raise ValueError("graphs to collate must have the same classes.")
        starts = torch.tensor([0] + [p.num_nodes for p in parts]).cumsum(0).tolist()
        ptr = torch.cat([first.ptr[:1]] + [p.ptr[1:] + s for p, s in zip(parts, starts, strict=False)])

        def join(name: str) -> Tensor | None:
            values = [getattr(p, name) for p in parts]
            return None if values[0] is None else torch.cat(values)

        edges = None
        if first.edge_index is not None:
            edges = torch.cat(
                [p.edge_index + s for p, s in zip(parts, starts, strict=False) if p.edge_index is not None],
                dim=1,
            )
        return cls(
            torch.cat([p.pos for p in parts]),
            join("x"),
            ptr,
            edges,
            join("edge_attr"),
            join("mask"),
            join("label"),
            first.classes,
        )

    def replace(self, **changes: Any) -> Graphs:
        """A copy with some fields replaced."""
        return dataclasses.replace(self, **changes)

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
        """Node values ``[n, c]`` (default: positions) as one tensor for each graph."""
        return list((self.pos if values is None else values).split(self.sizes.tolist()))

    def padded(self, values: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Node values as ``[g, m, c]``, zeros after each graph's end, and ``[g, m]`` True where real."""
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
        """Some of the graphs, in the order asked for: int, slice, list, int tensor or bool tensor ``[g]``."""
        chosen = self._resolve(index)
        starts, sizes = self.ptr[chosen], self.sizes[chosen]
        ptr = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
        total = int(ptr[-1])
        local = torch.arange(total, device=self.device) - torch.repeat_interleave(
            ptr[:-1], sizes, output_size=total
        )
        rows = local + torch.repeat_interleave(starts, sizes, output_size=total)
        edges, attributes = self._edges_of(chosen, starts, ptr)
        return Graphs(
            self.pos[rows],
            None if self.x is None else self.x[rows],
            ptr,
            edges,
            attributes,
            None if self.mask is None else self.mask[rows],
            None if self.label is None else self.label[chosen],
            self.classes,
        )

    def _resolve(self, index: int | slice | Sequence[int] | Tensor) -> Tensor:
        g = len(self)
        if isinstance(index, int):
            if not -g <= index < g:
                raise IndexError(f"graph {index} does not exist; there are {g}.")
            return torch.tensor([index % g], device=self.device)
        everything = torch.arange(g, device=self.device)
        if isinstance(index, slice):
            return everything[index]
        chosen = torch.as_tensor(index, device=self.device)
        if chosen.ndim == 0:
            return self._resolve(int(chosen))
        if chosen.numel() == 0:
            return everything[:0]
        return everything[chosen]

    def _edges_of(self, chosen: Tensor, starts: Tensor, ptr: Tensor) -> tuple[Tensor | None, Tensor | None]:
        if self.edge_index is None:
            return None, None
        owner = torch.searchsorted(self.ptr, self.edge_index[0], right=True) - 1
        order = torch.argsort(owner, stable=True)
        counts = torch.bincount(owner, minlength=len(self))
        first = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        picked = [order[int(first[i]) : int(first[i + 1])] for i in chosen.tolist()]
        shifts = [torch.full_like(p, k) for k, p in enumerate(picked)]
        if not picked:
            empty = self.edge_index[:, :0]
            return empty, None if self.edge_attr is None else self.edge_attr[:0]
        rows, which = torch.cat(picked), torch.cat(shifts)
        edges = self.edge_index[:, rows] - starts[which] + ptr[which]
        return edges, None if self.edge_attr is None else self.edge_attr[rows]

    def split(self, fraction: float, seed: int = 0) -> tuple[Graphs, Graphs]:
        """Two disjoint random parts, the first with this fraction of the graphs (at least one in each)."""
        if not 0 < fraction < 1:
            raise ValueError(f"fraction must lie strictly between 0 and 1, got {fraction}.")
        if len(self) < 2:
            raise ValueError(f"a split needs at least 2 graphs, got {len(self)}.")
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed)).to(self.device)
        cut = min(max(round(fraction * len(self)), 1), len(self) - 1)
        return self[order[:cut]], self[order[cut:]]

    def thin(self, nodes: int, keys: Tensor) -> Graphs:
        """At most this many nodes of each graph, those with the smallest ``keys [n]`` in [0, 1), no edges.

        Random keys give a uniform random subset, in the order of its keys. Graphs that are small enough keep
        their nodes as they are.
        """
        if nodes < 1:
            raise ValueError(f"nodes must be at least 1, got {nodes}.")
        if len(self) == 0 or int(self.sizes.max()) <= nodes:
            return self
        batch = self.batch
        local = torch.arange(self.num_nodes, device=self.device) - self.ptr[batch]
        small = self.sizes <= nodes
        keys = torch.where(small[batch], local / nodes, keys.double())
        rows = torch.argsort(keys + batch)[local < nodes]
        sizes = self.sizes.clamp(max=nodes)
        return self.replace(
            pos=self.pos[rows],
            x=None if self.x is None else self.x[rows],
            ptr=torch.cat([sizes.new_zeros(1), sizes.cumsum(0)]),
            edge_index=None,
            edge_attr=None,
            mask=None if self.mask is None else self.mask[rows],
        )

    # -- PyTorch Geometric -----------------------------------------------------------------------------

    @classmethod
    def from_pyg(cls, items: Any) -> Graphs:
        """From a PyG `Data`, a `Batch`, or a list of `Data` (pos, x, edge_index, edge_attr, y as label).

        Raises
        ------
        ValueError
            If there is no graph, or a graph has no positions.
        """
        if hasattr(items, "to_data_list"):
            items = items.to_data_list()
        items = list(items) if isinstance(items, list | tuple) else [items]
        parts = []
        for i, item in enumerate(items):
            if getattr(item, "pos", None) is None:
                raise ValueError(f"graph {i} has no `pos`; give every graph positions [n, d].")
            y = getattr(item, "y", None)
            parts.append(
                cls(
                    item.pos,
                    item.x,
                    edge_index=item.edge_index,
                    edge_attr=item.edge_attr,
                    label=_class_of(y),
                )
            )
        return cls.collate(parts)

    def to_pyg(self) -> list[Any]:
        """As a list of PyG `Data` (needs the extra ``noisefold[pyg]``)."""
        from torch_geometric.data import Data

        out = []
        for graph in self:
            data = Data(
                pos=graph.pos,
                x=graph.x,
                edge_index=graph.edge_index,
                edge_attr=graph.edge_attr,
                y=graph.label,
            )
            out.append(data)
        return out


def _class_of(y: Any) -> Tensor | None:
    """A class ``[1]``, if this label of a PyG graph is a single whole number."""
    single = isinstance(y, Tensor) and y.numel() == 1 and not y.is_floating_point()
    return y.reshape(1).long() if single else None
