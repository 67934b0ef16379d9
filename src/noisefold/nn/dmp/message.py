r"""Messages between nodes, and what carries them: convolutions on a graph.

The message of the paper, from node j to node i at positions :math:`p`, is

.. math:: m_{ij} = \mathrm{MLP}\big(L_1 [h_i, h_j],\ L_2 (p_i - p_j),\ L_3 |p_i - p_j|\big).

No nonlinearity stands between the three linear maps and the first of the MLP's, so they are one linear map of
:math:`(h_i, h_j, p_i - p_j, |p_i - p_j|)`. It splits into a part for each of its arguments, and those of the
nodes are computed once per node: nothing wider than one row of `width` is ever stored for an edge. The last
linear map of the MLP commutes with a sum over edges and is applied once per receiving node.

Source: Geometric Generative Modeling with Noise-Conditioned Graph Networks (arXiv 2507.09391), appendix B.1.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

import torch
from torch import Tensor, nn

from noisefold.geometry.segment import segment_sum
from noisefold.nn.dmp.adjacency import Adjacency
from noisefold.nn.dmp.edges import Edges
from noisefold.nn.dmp.pooling import Pooling
from noisefold.nn.linear import Linear, linear
from noisefold.nn.norms import MLP
from noisefold.nn.rowwise import rowwise

__all__ = ["GAT", "GCN", "Coarsen", "Convolution", "EdgeConv", "Message", "Uncoarsen", "convolution"]

Convolution = str | Callable[[int], nn.Module]


class Message(nn.Module):
    r"""The parts of :math:`m_{ij}`, with the paper's parameters, composed each time they are used.

    Parameters
    ----------
    width
        Columns of the nodes and of the message.
    dim
        Dimension d of space.
    activation, norm
        Of the MLP, as in `MLP`.
    """

    def __init__(self, width: int, dim: int, activation: str = "gelu", norm: str = "none") -> None:
        super().__init__()
        self.pair = nn.Linear(2 * width, width)
        self.offset = nn.Linear(dim, width)
        self.length = nn.Linear(1, width)
        self.mlp = MLP((3 * width, width, width), activation, norm)

    def maps(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Maps of receiver and sender ``[w, w]``, of offset and distance ``[w, d + 1]``, and bias ``[w]``."""
        weight, bias = self.mlp.map()
        on_pair, on_offset, on_length = weight.chunk(3, dim=1)
        receiver, sender = (on_pair @ self.pair.weight).chunk(2, dim=1)
        space = torch.cat([on_offset @ self.offset.weight, on_length @ self.length.weight], dim=1)
        bias = bias + on_pair @ self.pair.bias
        bias = bias + on_offset @ self.offset.bias + on_length @ self.length.bias
        return receiver, sender, space, bias

    def hidden(self, summed: Tensor) -> Tensor:
        """From the sum of the parts ``[e, w]`` to the input of the last linear map."""
        return self.mlp.activate(summed)

    @property
    def last(self) -> nn.Linear:
        """The last linear map."""
        layer = self.mlp.linears[1]
        assert isinstance(layer, nn.Linear)
        return layer


class Coarsen(nn.Module):
    """Messages from the members of a cell to the cell, averaged or summed. Parameters as in `Message`.

    Parameters
    ----------
    aggregate
        "mean" or "sum".
    """

    def __init__(self, width: int, dim: int, activation: str, norm: str, aggregate: str) -> None:
        super().__init__()
        if aggregate not in ("mean", "sum"):
            raise ValueError(f'aggregate must be "mean" or "sum", got {aggregate!r}.')
        self.message = Message(width, dim, activation, norm)
        self.aggregate = aggregate

    def forward(self, h: Tensor, offset: Tensor, cells: Tensor, members: Pooling) -> Tensor:
        """New cells ``[m, w]``.

        Parameters
        ----------
        h
            Nodes, ``[n, w]``.
        offset
            Offset from every node to its cell, and their distance, ``[n, d + 1]``.
        cells
            Cells, ``[m, w]``.
        members
            The nodes of every cell.
        """
        receiver, sender, space, bias = self.message.maps()
        share = linear(cells, receiver, bias)

        def hidden(part: slice) -> Tensor:
            summed = linear(h[part], sender).add_(linear(offset[part], space))
            return self.message.hidden(summed.add_(members.spread(share, part)))

        out: Tensor = self.message.last(members.mean(rowwise(hidden, h, self.training)))
        return out if self.aggregate == "mean" else out * members.counts


class Uncoarsen(nn.Module):
    """The message from its own cell to every node. Parameters as in `Message`."""

    sign: Tensor

    def __init__(self, width: int, dim: int, activation: str, norm: str) -> None:
        super().__init__()
        self.message = Message(width, dim, activation, norm)
        self.register_buffer("sign", torch.tensor([-1.0] * dim + [1.0]), persistent=False)

    def forward(self, h: Tensor, offset: Tensor, cells: Tensor, members: Pooling) -> Tensor:
        """What reaches every node, ``[n, w]``; arguments as in `Coarsen.forward`."""
        return self.received(h, offset, cells, members)(slice(None))

    def received(
        self, h: Tensor, offset: Tensor, cells: Tensor, members: Pooling
    ) -> Callable[[slice], Tensor]:
        """What reaches the nodes of a slice; arguments as in `Coarsen.forward`."""
        receiver, sender, space, bias = self.message.maps()
        share = linear(cells, sender, bias)
        # Here the node receives, so the offset points the other way.
        space = space * self.sign

        def message(part: slice) -> Tensor:
            summed = linear(h[part], receiver).add_(linear(offset[part], space))
            out: Tensor = self.message.last(self.message.hidden(summed.add_(members.spread(share, part))))
            return out

        return message


class GCN(nn.Module):
    r"""Mean over the neighbours, then a linear map: :math:`W \frac{1}{|E_i|} \sum_{j \in E_i} h_j + b`.

    Source: Kipf and Welling, Semi-Supervised Classification with Graph Convolutional Networks (2017), with
    the normalisation of arXiv 2507.09391, appendix B.1.1.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = Linear(width, width)

    def forward(self, h: Tensor, edges: Edges | Adjacency) -> Tensor:
        """Map ``h [m, w]`` to ``[m, w]``."""
        return edges.mean(h, self.linear)


class GAT(nn.Module):
    r"""Graph attention: :math:`\sum_{j \in E_i} \alpha_{ij} W h_j + b`, with
    :math:`\alpha_{ij} = \mathrm{softmax}_j \mathrm{LeakyReLU}(a_t \cdot W h_i + a_s \cdot W h_j)`.

    Every node must be a neighbour of its own. Parameters have the names and values of PyG's `GATConv`.
    Source: Veličković et al., Graph Attention Networks (2018).

    Parameters
    ----------
    width
        Columns of input and output.
    heads
        Heads, side by side in the columns; must divide the width.

    Raises
    ------
    ValueError
        If the heads do not divide the width.
    """

    def __init__(self, width: int, heads: int = 1) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise ValueError(f"heads must divide the width {width}, got {heads}.")
        self.heads = heads
        self.lin = Linear(width, width, bias=False)
        self.att_src = nn.Parameter(torch.empty(1, heads, width // heads))
        self.att_dst = nn.Parameter(torch.empty(1, heads, width // heads))
        self.bias = nn.Parameter(torch.zeros(width))
        for weight in (self.lin.weight, self.att_src, self.att_dst):
            nn.init.xavier_uniform_(weight)

    def forward(self, h: Tensor, edges: Edges | Adjacency) -> Tensor:
        """Map ``h [m, w]`` to ``[m, w]``."""
        value = self.lin(h).unflatten(-1, (self.heads, -1))
        sent, received = (value * self.att_src).sum(-1), (value * self.att_dst).sum(-1)
        heads = [
            edges.attend(value[:, i].contiguous(), sent[:, i], received[:, i]) for i in range(self.heads)
        ]
        return torch.cat(heads, dim=-1) + self.bias


class EdgeConv(nn.Module):
    """The paper's message along every edge, averaged: a convolution that sees offsets and distances.

    Parameters as in `Message`.
    """

    def __init__(self, width: int, dim: int, activation: str, norm: str) -> None:
        super().__init__()
        self.message = Message(width, dim, activation, norm)

    def forward(self, h: Tensor, edges: Edges) -> Tensor:
        """Map ``h [m, w]`` to ``[m, w]``."""
        assert edges.offset is not None, "EdgeConv needs edges with offsets"
        receiver, sender, space, bias = self.message.maps()
        summed = linear(edges.offset, space)
        summed = summed + linear(h, receiver, bias).index_select(0, edges.target)
        summed = summed + linear(h, sender).index_select(0, edges.source)
        total = segment_sum(self.message.hidden(summed), edges.target, h.shape[0])
        out: Tensor = self.message.last(total / edges.degree.clamp(min=1)[:, None])
        return out


class Foreign(nn.Module):
    """A convolution called as ``conv(x [m, w], edge_index [2, e])``, such as any of PyG's."""

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, h: Tensor, edges: Edges | Adjacency) -> Tensor:
        """Map ``h [m, w]`` to ``[m, w]``."""
        pairs = edges.listed
        out: Tensor = self.conv(h, torch.stack([pairs.source, pairs.target]))
        if out.shape != h.shape:
            raise ValueError(
                f"conv must map [m, {h.shape[1]}] to the same shape, got {list(out.shape)} from "
                f"{list(h.shape)}; give it {h.shape[1]} output channels in all."
            )
        return out


def convolution(
    conv: Convolution, width: int, dim: int, heads: int = 1, activation: str = "gelu", norm: str = "none"
) -> nn.Module:
    """Build a convolution of `width` columns, called as ``conv(h [m, w], edges)``.

    Parameters
    ----------
    conv
        "gcn", "gat", "edge", the name of a class of `torch_geometric.nn` taking (in, out) channels, or a
        function of the width that returns a module called as ``conv(x, edge_index)``.
    heads
        Heads of "gat"; others have their own options, to be set in a function.

    Raises
    ------
    ValueError
        If the name is unknown, or the class needs more than two channels.
    """
    if heads != 1 and conv != "gat":
        raise ValueError(f'heads must be 1 unless conv is "gat", got {heads} with conv={conv!r}.')
    if conv == "gcn":
        return GCN(width)
    if conv == "gat":
        return GAT(width, heads)
    if conv == "edge":
        return EdgeConv(width, dim, activation, norm)
    if isinstance(conv, str):
        return Foreign(_from_pyg(conv, width))
    return Foreign(conv(width))


def _from_pyg(name: str, width: int) -> nn.Module:
    try:
        import torch_geometric.nn as pyg
    except ImportError as error:
        raise ValueError(
            f'conv must be "gcn", "gat" or "edge", got {name!r}, which needs torch_geometric; '
            'install it with pip install "noisefold[pyg]".'
        ) from error
    cls = getattr(pyg, name, None)
    if not (isinstance(cls, type) and issubclass(cls, pyg.MessagePassing)):
        raise ValueError(
            f'conv must be "gcn", "gat", "edge" or a convolution of torch_geometric.nn, got {name!r}.'
        )
    own = "; give a function of the width, such as lambda width: Conv(width, width, ...)"
    if list(inspect.signature(cls).parameters)[:2] != ["in_channels", "out_channels"]:
        raise ValueError(f"conv {name!r} is not built from in_channels and out_channels{own}.")
    try:
        module: nn.Module = cls(width, width)
    except TypeError as error:
        raise ValueError(f"conv {name!r} needs more than its channels ({error}){own}.") from error
    return module
