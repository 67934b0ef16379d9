r"""Images as graphs: pixels on a lattice, and node values as images.

Pixels of an image of height h and width w are nodes at positions (row, column) times the side of a pixel,
which is the same for both axes and for all graphs of a batch, and counts from anywhere. `lattices` reads h
and w off the positions, checks that no pixel is missing, and groups graphs of one size. Pixels may come in
any order; where all are in row-major order, as they usually are, images are views of the node values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from noisefold.geometry.graphs import Graphs

__all__ = ["Lattice", "lattices", "node_values", "pixel_positions"]

_EXACT = 0.01  # how far from its place a pixel may be, in pixels: float32 positions of an image 10,000 wide


def pixel_positions(height: int, width: int) -> Tensor:
    """Return the (row, column) of the pixels in row-major order, in pixels, ``[h w, 2]``."""
    return torch.cartesian_prod(torch.arange(float(height)), torch.arange(float(width))).view(-1, 2)


@dataclass(frozen=True, eq=False)
class Lattice:
    """The graphs of a batch that are images of one size.

    Parameters
    ----------
    height, width
        h and w in pixels.
    graphs
        Which graphs of the batch, ``[k]``.
    rows
        Nodes of each image in row-major order, ``[k, h w]``; None if they are all nodes of the batch in
        their order.
    """

    height: int
    width: int
    graphs: Tensor
    rows: Tensor | None = None

    def __len__(self) -> int:
        return len(self.graphs)

    def images(self, values: Tensor) -> Tensor:
        """Return node values ``[n, c]`` as images ``[k, c, h, w]``, without a copy if `rows` is None."""
        own = values if self.rows is None else values[self.rows.flatten()]
        return own.view(len(self), self.height, self.width, -1).permute(0, 3, 1, 2)

    def nodes(self, images: Tensor) -> Tensor:
        """Return images ``[k, c, h, w]`` as values of their nodes in row-major order, ``[k h w, c]``."""
        return images.permute(0, 2, 3, 1).reshape(-1, images.shape[1])

    def where(self, chosen: Tensor) -> Lattice:
        """Return a part of the images, chosen by bool ``[k]``."""
        if bool(chosen.all()):
            return self
        rows = self.rows
        if rows is None:
            rows = torch.arange(len(self) * self.height * self.width, device=chosen.device)
            rows = rows.view(len(self), -1)
        return replace(self, graphs=self.graphs[chosen], rows=rows[chosen])


def node_values(parts: Sequence[tuple[Lattice, Tensor]], like: Tensor) -> Tensor:
    """Return node values ``[n, c]`` of images ``[k, c, h, w]`` of all parts of a batch.

    Parameters
    ----------
    parts
        Lattices that hold every node once, and their images.
    like
        Values of the nodes, ``[n, any]``: as many rows are returned.
    """
    if len(parts) == 1 and parts[0][0].rows is None:
        return parts[0][0].nodes(parts[0][1])
    values = torch.cat([lattice.nodes(images) for lattice, images in parts])
    every = torch.arange(len(like), device=like.device)
    rows = torch.cat([every if part.rows is None else part.rows.flatten() for part, _ in parts])
    return values.new_zeros(len(like), values.shape[1]).index_copy(0, rows, values)


def lattices(graphs: Graphs) -> list[Lattice]:
    """Return the graphs as images, one lattice for each size, in the order in which sizes appear.

    Raises
    ------
    ValueError
        If positions are not 2-D, a graph is empty, or the nodes of a graph are not the pixels of an image.
    """
    if len(graphs) == 0:
        return []
    if graphs.dim != 2 or int(graphs.sizes.min()) == 0:
        raise ValueError(
            f"images must be graphs of pixels at 2-D positions (row, column), none empty, got {graphs!r}."
        )
    size = graphs.uniform
    if size is not None and len(graphs) > 1:
        each = graphs.pos.view(len(graphs), size, 2)
        if bool((each[1:] == each[:-1]).all()):
            height, width, order = (part[0] for part in _read(graphs[:1]))
            whole = torch.arange(len(graphs), device=graphs.device)
            rows = None if _in_order(order) else order + size * whole[:, None]
            return [Lattice(int(height), int(width), whole, rows)]
    heights, widths, orders = _read(graphs)
    found: dict[tuple[int, int], list[int]] = {}
    for i, shape in enumerate(zip(heights.tolist(), widths.tolist(), strict=True)):
        found.setdefault(shape, []).append(i)
    start = graphs.ptr[:-1]
    return [
        Lattice(
            *shape,
            torch.tensor(which, device=graphs.device),
            None
            if len(found) == 1 and all(_in_order(order) for order in orders)
            else torch.stack([orders[i] + start[i] for i in which]),
        )
        for shape, which in found.items()
    ]


def _in_order(order: Tensor) -> bool:
    return bool((order.diff() == 1).all())


def _read(graphs: Graphs) -> tuple[Tensor, Tensor, Sequence[Tensor]]:
    """Return heights and widths ``[g]``, and for each graph its own nodes in row-major order."""
    batch, sizes = graphs.batch, graphs.sizes
    first = int((sizes > 1).int().argmax())
    side = _side(graphs.pos[graphs.ptr[first] : graphs.ptr[first + 1]])
    index = batch[:, None].expand(-1, 2)
    ends = graphs.pos.new_zeros(len(graphs), 2)
    low = ends.scatter_reduce(0, index, graphs.pos, "amin", include_self=False)
    exact = (graphs.pos - low[batch]) / side
    pixel = exact.round()
    high = ends.scatter_reduce(0, index, pixel, "amax", include_self=False)
    height, width = (high.long() + 1).unbind(1)
    place = pixel[:, 0].long() * width[batch] + pixel[:, 1].long()
    wrong = (height * width != sizes) | _any(~((exact - pixel).abs() < _EXACT).all(1), batch, len(graphs))
    if not bool(wrong.any()):
        # Pixels are counted in numbers of the whole batch, where no two images share any.
        order = (place + graphs.ptr[batch]).argsort()
        twice = (place + graphs.ptr[batch])[order] != torch.arange(len(order), device=order.device)
        wrong = _any(twice, batch, len(graphs))
    if bool(wrong.any()):
        i = int(wrong.int().argmax())
        raise ValueError(
            f"pos must hold every pixel of an image once, at its (row, column), but the {int(sizes[i])} "
            f"nodes of graph {i} are no such lattice; take nn.SetTransformer for values elsewhere."
        )
    orders = (order - graphs.ptr[batch]).split(sizes.tolist())
    return height, width, orders


def _side(pos: Tensor) -> Tensor:
    """Return the smallest distance between rows or columns of one graph; 1 for one pixel."""
    gaps = torch.cat([values.unique().diff() for values in pos.unbind(1)])
    # Rounding may part what should be one row.
    gaps = gaps[gaps > _EXACT * gaps.max()] if len(gaps) else gaps
    return gaps.min() if len(gaps) else pos.new_ones(())


def _any(flags: Tensor, batch: Tensor, count: int) -> Tensor:
    """Return for every graph whether a flag of its nodes is set, ``[g]``."""
    return torch.bincount(batch[flags], minlength=count) > 0
