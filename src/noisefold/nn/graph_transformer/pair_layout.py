r"""Maps between values of nodes ``[n, c]``, of packed pairs ``[p, c]``, and symmetric matrices.

The linear maps come in two couples, each the transpose of the other, and so each other's derivative:

.. math::

    \mathrm{ends}(a)_{ij} = a_i + a_j, \qquad & \mathrm{incident}(e)_i = \sum_{j \ne i} e_{ij}, \\
    \mathrm{unpack}(e)_{ij} = \mathrm{unpack}(e)_{ji} = e_{ij}, \qquad &
    \mathrm{pack}(M)_{ij} = M_{ij} + M_{ji}.

So forward and backward passes only gather rows, in a fixed order, and a graph's results do not depend on its
batch. Matrices are padded to the largest graph, with columns first: ``[c, g, m, m]``. Pairs are never padded.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from noisefold.geometry.pairs import pair_index, pair_ptr
from noisefold.nn.norms import Rows

__all__ = ["PairLayout"]


class PairLayout:
    """Where the nodes and pairs i < j of ragged graphs stand in packed rows and in padded matrices.

    Parameters
    ----------
    ptr
        Offsets of the graphs' nodes, ``[g + 1]``, int64.

    Attributes
    ----------
    sizes
        Nodes of each graph, ``[g]``.
    nodes
        Graph of each node, ``[n]``.
    pair_graph
        Graph of each pair, ``[p]``.
    pairs
        Nodes i < j of each pair, ``[p, 2]``.
    size
        Rows m of a padded matrix.
    real
        Which rows of padded matrices are nodes, ``[g, m]``, bool; None if all are.
    """

    def __init__(self, ptr: Tensor) -> None:
        self.sizes = ptr.diff()
        g, n = len(self.sizes), int(ptr[-1])
        self.size = m = int(self.sizes.max()) if g else 0
        graphs = torch.arange(g, device=ptr.device)
        node_graph = torch.repeat_interleave(graphs, self.sizes, output_size=n)
        i, j = pair_index(ptr)
        p = i.numel()
        self.pairs = torch.stack([i, j], dim=1)
        self.pair_graph = torch.repeat_interleave(graphs, pair_ptr(ptr).diff(), output_size=p)
        place = torch.arange(m, device=ptr.device)
        self.real = None if n == g * m else place < self.sizes[:, None]
        self.nodes = Rows(node_graph, m if n == g * m and n else None)
        # Rows of nodes in padded [g m], and both places of a pair in padded [g m m].
        self._node = torch.arange(n, device=ptr.device) + node_graph * m - ptr[node_graph]
        i, j = self._node[i], self._node[j]
        self._upper, self._lower = i * m + j % max(m, 1), j * m + i % max(m, 1)
        # Pair of each entry; p, a row of zeros, on the diagonal and in the padding.
        rows = torch.arange(p, device=ptr.device)
        self._number = torch.full((g * m * m,), p, device=ptr.device)
        self._number[self._upper] = rows
        self._number[self._lower] = rows
        self._incident = self._number[self._number < p]
        degree = self.sizes[node_graph] - 1
        self._bags = degree.cumsum(0) - degree

    def padded(self, values: Tensor) -> Tensor:
        """Return values of nodes ``[n, ...]`` as ``[g, m, ...]``, with zeros after a graph's end."""
        shape = len(self.sizes), self.size, *values.shape[1:]
        if self.real is None:
            return values.reshape(shape)
        return values.new_zeros(shape).flatten(0, 1).index_copy(0, self._node, values).view(shape)

    def rows(self, padded: Tensor) -> Tensor:
        """Return the nodes' rows ``[n, ...]`` of ``[g, m, ...]``."""
        flat = padded.flatten(0, 1)
        return flat if self.real is None else flat.index_select(0, self._node)

    def ends(self, nodes: Tensor) -> Tensor:
        """Return the sum of the values of a pair's two nodes, ``[n, c] -> [p, c]``."""
        out: Tensor = _Ends.apply(nodes, self)  # type: ignore[no-untyped-call]
        return out

    def incident(self, pairs: Tensor) -> Tensor:
        """Return the sum of the values of a node's pairs, ``[p, c] -> [n, c]``."""
        out: Tensor = _Incident.apply(pairs, self)  # type: ignore[no-untyped-call]
        return out

    def unpack(self, pairs: Tensor) -> Tensor:
        """Return symmetric matrices ``[c, g, m, m]`` of ``[p, c]``, zero elsewhere."""
        out: Tensor = _Unpack.apply(pairs, self)  # type: ignore[no-untyped-call]
        return out

    def pack(self, matrices: Tensor) -> Tensor:
        """Return the sum of both entries of each pair, ``[c, g, m, m] -> [p, c]``."""
        out: Tensor = _Pack.apply(matrices, self)  # type: ignore[no-untyped-call]
        return out

    def upper(self, matrices: Tensor) -> Tensor:
        """Return the entries i < j, ``[c, g, m, m] -> [p, c]``, of symmetric matrices without a gradient."""
        return matrices.flatten(1).index_select(1, self._upper).t().contiguous()


class _Ends(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, nodes: Tensor, layout: PairLayout) -> Tensor:
        ctx.layout = layout
        if not len(layout.pairs):
            return nodes.new_zeros(0, nodes.shape[1])
        return functional.embedding_bag(layout.pairs, nodes.contiguous(), mode="sum")

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.layout.incident(grad), None


class _Incident(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pairs: Tensor, layout: PairLayout) -> Tensor:
        ctx.layout = layout
        if not len(layout.pairs):
            return pairs.new_zeros(len(layout.nodes.graph), pairs.shape[1])
        return functional.embedding_bag(layout._incident, pairs.contiguous(), layout._bags, mode="sum")

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.layout.ends(grad), None


class _Unpack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pairs: Tensor, layout: PairLayout) -> Tensor:
        ctx.layout = layout
        columns = functional.pad(pairs.t(), (0, 1))
        g, m = len(layout.sizes), layout.size
        return columns.index_select(1, layout._number).view(pairs.shape[1], g, m, m)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.layout.pack(grad), None


class _Pack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrices: Tensor, layout: PairLayout) -> Tensor:
        ctx.layout = layout
        flat = matrices.flatten(1)
        both = flat.index_select(1, layout._upper) + flat.index_select(1, layout._lower)
        return both.t().contiguous()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.layout.unpack(grad), None
