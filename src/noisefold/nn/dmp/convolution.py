r"""Graph convolutions among supernodes: GCN, GAT, the paper's message, and any convolution of PyG.

All are called as ``conv(h [m, w], edges)`` with a `SparseGraph` or an `Adjacency`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

import torch
from torch import Tensor, nn

from noisefold.geometry.segment import segment_sum
from noisefold.nn.dmp.adjacency import Adjacency
from noisefold.nn.dmp.message import Message
from noisefold.nn.dmp.sparse_graph import SparseGraph
from noisefold.nn.linear import Linear, linear

__all__ = ["GAT", "GCN", "Convolution", "EdgeConv", "PyGConv", "convolution"]

Convolution = str | Callable[[int], nn.Module]


class GCN(nn.Module):
    r"""Graph convolution: :math:`h_i \leftarrow W \frac{1}{|E_i|} \sum_{j \in E_i} h_j + b`.

    The normalisation is the mean over neighbours, that of https://arxiv.org/abs/2507.09391, appendix B.1.1,
    not the symmetric one of PyG's `GCNConv`.

    Shapes:
        - **h** ``[m, width]``
        - **output** ``[m, width]``

    Source: Kipf and Welling, Semi-Supervised Classification with Graph Convolutional Networks (2017),
    https://arxiv.org/abs/1609.02907.

    Parameters
    ----------
    width
        Columns of input and output.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = Linear(width, width)

    def extra_repr(self) -> str:
        """Columns in and out."""
        return f"{self.linear.in_features} -> {self.linear.out_features}"

    def forward(self, h: Tensor, edges: SparseGraph | Adjacency) -> Tensor:
        """Map the rows ``h [m, w]`` to ``[m, w]``."""
        return edges.mean(h, self.linear)


class GAT(nn.Module):
    r"""Graph attention: :math:`h_i \leftarrow \sum_{j \in E_i} \alpha_{ij} W h_j + b`.

    .. math:: \alpha_{ij} = \mathrm{softmax}_{j \in E_i}
        \mathrm{LeakyReLU}(a_\mathrm{dst} \cdot W h_i + a_\mathrm{src} \cdot W h_j)

    The graph must have self-loops. Parameters have the names and shapes of PyG's `GATConv`.

    Shapes:
        - **h** ``[m, width]``
        - **output** ``[m, width]``

    Source: Veličković et al., Graph Attention Networks (2018), https://arxiv.org/abs/1710.10903.

    Parameters
    ----------
    width
        Columns of input and output.
    heads
        Attention heads, concatenated; must divide the width.

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

    def extra_repr(self) -> str:
        """Columns in and out, and the heads."""
        return f"{self.lin.in_features} -> {self.lin.out_features}, heads={self.heads}"

    def forward(self, h: Tensor, edges: SparseGraph | Adjacency) -> Tensor:
        """Map the rows ``h [m, w]`` to ``[m, w]``."""
        value = self.lin(h).unflatten(-1, (self.heads, -1))
        sent, received = (value * self.att_src).sum(-1), (value * self.att_dst).sum(-1)
        heads = [
            edges.attend(value[:, i].contiguous(), sent[:, i], received[:, i]) for i in range(self.heads)
        ]
        return torch.cat(heads, dim=-1) + self.bias


class EdgeConv(nn.Module):
    r"""Edge convolution: :math:`h_i \leftarrow \frac{1}{|E_i|} \sum_{j \in E_i} m_{ij}`, with m of `Message`.

    Unlike GCN and GAT it sees offsets and distances, so its edges must hold them.

    Shapes:
        - **h** ``[m, width]``, **edges** with ``offset [e, dim + 1]``
        - **output** ``[m, width]``

    Parameters
    ----------
    width, dim, activation, norm
        As in `Message`.
    """

    def __init__(self, width: int, dim: int, activation: str, norm: str) -> None:
        super().__init__()
        self.message = Message(width, dim, activation, norm)

    def forward(self, h: Tensor, edges: SparseGraph) -> Tensor:
        """Map the rows ``h [m, w]`` to ``[m, w]``."""
        assert edges.offset is not None, "EdgeConv needs edges with offsets"
        receiver, sender, space, bias = self.message.maps()
        summed = linear(edges.offset, space)
        summed = summed + linear(h, receiver, bias).index_select(0, edges.target)
        summed = summed + linear(h, sender).index_select(0, edges.source)
        total = segment_sum(self.message.hidden(summed), edges.target, h.shape[0])
        out: Tensor = self.message.last(total / edges.degree.clamp(min=1)[:, None])
        return out


class PyGConv(nn.Module):
    """A convolution called as ``conv(x [m, w], edge_index [2, e])``, such as any of PyG's.

    Shapes:
        - **h** ``[m, width]``
        - **output** ``[m, width]``

    Raises
    ------
    ValueError
        On a call, if the convolution returns another shape.
    """

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, h: Tensor, edges: SparseGraph | Adjacency) -> Tensor:
        """Map the rows ``h [m, w]`` to ``[m, w]``."""
        pairs = edges.sparse
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
        "gcn", "gat", "edge", the name of a class of `torch_geometric.nn` that takes (in, out) channels, or a
        function of the width that returns a module called as ``conv(x, edge_index)``.
    width, dim
        Columns of the rows, and the dimension of space.
    heads
        Heads of "gat"; set those of other convolutions in a function.
    activation, norm
        Of "edge", as in `Message`.

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
        return PyGConv(_from_pyg(conv, width))
    return PyGConv(conv(width))


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
