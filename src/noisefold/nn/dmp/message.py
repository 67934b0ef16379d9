r"""Messages between nodes and their supernodes (coarsening and uncoarsening layers).

The message from node j to node i at positions :math:`p` is

.. math:: m_{ij} = \mathrm{MLP}\big(L_1 [h_i, h_j],\ L_2 (p_i - p_j),\ L_3 |p_i - p_j|\big).

There is no nonlinearity between the three linear maps and the first of the MLP, so together they are one
linear map of :math:`(h_i, h_j, p_i - p_j, |p_i - p_j|)`. It splits into a part for each argument, and the
parts of the nodes are computed once per node: at most one row of `width` is stored for an edge. The last
linear map of the MLP commutes with the sum over edges and is applied once per receiving node.

Source: Geometric Generative Modeling with Noise-Conditioned Graph Networks,
https://arxiv.org/abs/2507.09391, appendix B.1.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from noisefold.nn.dmp.pooling import Pooling
from noisefold.nn.linear import linear
from noisefold.nn.norms import MLP
from noisefold.nn.row_blocks import map_row_blocks

__all__ = ["Coarsen", "Message", "Uncoarsen"]


class Message(nn.Module):
    r"""Parameters of the message, :math:`\mathrm{MLP}(L_1 [h_i, h_j], L_2 (p_i - p_j), L_3 |p_i - p_j|)`.

    `maps` composes the linear maps, and `hidden` and `last` are what follows their sum.

    Shapes:
        - `maps` of receiver and sender ``[width, width]``, of offset and distance ``[width, dim + 1]``, and
          the bias ``[width]``
        - `hidden` ``[e, width] -> [e, width]``

    Parameters
    ----------
    width
        Columns of the nodes and of the message.
    dim
        Dimension d of space.
    activation, norm
        Activation and norm of the MLP, as in `MLP`.
    """

    def __init__(self, width: int, dim: int, activation: str = "gelu", norm: str = "none") -> None:
        super().__init__()
        self.pair = nn.Linear(2 * width, width)
        self.offset = nn.Linear(dim, width)
        self.length = nn.Linear(1, width)
        self.mlp = MLP((3 * width, width, width), activation, norm)

    def maps(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the maps of receiver, sender ``[w, w]`` and offset ``[w, d + 1]``, and the bias ``[w]``."""
        weight, bias = self.mlp.map()
        on_pair, on_offset, on_length = weight.chunk(3, dim=1)
        receiver, sender = (on_pair @ self.pair.weight).chunk(2, dim=1)
        space = torch.cat([on_offset @ self.offset.weight, on_length @ self.length.weight], dim=1)
        bias = bias + on_pair @ self.pair.bias
        bias = bias + on_offset @ self.offset.bias + on_length @ self.length.bias
        return receiver, sender, space, bias

    def hidden(self, summed: Tensor) -> Tensor:
        """Return the input of the last linear map from the sum of the parts, ``[e, w] -> [e, w]``."""
        return self.mlp.activate(summed)

    @property
    def last(self) -> nn.Linear:
        """The last linear map."""
        layer = self.mlp.linears[1]
        assert isinstance(layer, nn.Linear)
        return layer

    def extra_repr(self) -> str:
        """Columns of both nodes and of the offset in, and of the message out."""
        width = self.last.out_features
        return f"{width}, {width}, {self.offset.in_features} -> {width}"


class Coarsen(nn.Module):
    r"""Messages to supernodes: :math:`\hat h_i \leftarrow \operatorname{mean}_{j \in i} m_{ij}`, or sums.

    Shapes:
        - **h** ``[n, width]``, **offset** ``[n, dim + 1]``, **supernodes** ``[m, width]``
        - **output** ``[m, width]``

    Parameters
    ----------
    width, dim, activation, norm
        As in `Message`.
    aggregate
        "mean" or "sum".

    Raises
    ------
    ValueError
        If `aggregate` is neither.
    """

    def __init__(self, width: int, dim: int, activation: str, norm: str, aggregate: str) -> None:
        super().__init__()
        if aggregate not in ("mean", "sum"):
            raise ValueError(f'aggregate must be "mean" or "sum", got {aggregate!r}.')
        self.message = Message(width, dim, activation, norm)
        self.aggregate = aggregate

    def extra_repr(self) -> str:
        """Aggregation of the messages."""
        return self.aggregate

    def forward(self, h: Tensor, offset: Tensor, supernodes: Tensor, pooling: Pooling) -> Tensor:
        """Return new supernodes ``[m, w]``.

        Parameters
        ----------
        h
            Nodes, ``[n, w]``.
        offset
            Offset from every node to the centre of its supernode, and their distance, ``[n, d + 1]``.
        supernodes
            Supernodes, ``[m, w]``.
        pooling
            Assignment of the nodes to the supernodes.
        """
        receiver, sender, space, bias = self.message.maps()
        share = linear(supernodes, receiver, bias)

        def hidden(part: slice) -> Tensor:
            summed = linear(h[part], sender).add_(linear(offset[part], space))
            return self.message.hidden(summed.add_(pooling.spread(share, part)))

        out: Tensor = self.message.last(pooling.mean(map_row_blocks(hidden, h, self.training)))
        return out if self.aggregate == "mean" else out * pooling.counts


class Uncoarsen(nn.Module):
    r"""The message from its supernode to every node: :math:`z_j = m(h_j, \hat h_{i(j)})`.

    Shapes:
        - **h** ``[n, width]``, **offset** ``[n, dim + 1]``, **supernodes** ``[m, width]``
        - **output** ``[n, width]``

    Parameters
    ----------
    width, dim, activation, norm
        As in `Message`.
    """

    sign: Tensor

    def __init__(self, width: int, dim: int, activation: str, norm: str) -> None:
        super().__init__()
        self.message = Message(width, dim, activation, norm)
        self.register_buffer("sign", torch.tensor([-1.0] * dim + [1.0]), persistent=False)

    def forward(self, h: Tensor, offset: Tensor, supernodes: Tensor, pooling: Pooling) -> Tensor:
        """Return the message to every node, ``[n, w]``; arguments as in `Coarsen.forward`."""
        return self.received(h, offset, supernodes, pooling)(slice(None))

    def received(
        self, h: Tensor, offset: Tensor, supernodes: Tensor, pooling: Pooling
    ) -> Callable[[slice], Tensor]:
        """Return a function that maps a slice of the nodes to their messages; see `Coarsen.forward`."""
        receiver, sender, space, bias = self.message.maps()
        share = linear(supernodes, sender, bias)
        # Here the node is the receiver, so the offset has the opposite sign.
        space = space * self.sign

        def message(part: slice) -> Tensor:
            summed = linear(h[part], receiver).add_(linear(offset[part], space))
            out: Tensor = self.message.last(self.message.hidden(summed.add_(pooling.spread(share, part))))
            return out

        return message
