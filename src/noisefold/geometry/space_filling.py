r"""Orders of nodes by position: lexicographic, and along a Hilbert space-filling curve.

Both orders are independent of the numbering of the nodes. The lexicographic order breaks every tie except
between nodes at the same position. Nodes that are close on the Hilbert curve are close in space.
"""

from __future__ import annotations

import torch
from torch import Tensor

from noisefold.geometry.segment import argsort_runs

__all__ = ["hilbert_codes", "lexicographic"]


def lexicographic(pos: Tensor, ptr: Tensor) -> Tensor:
    """Return the order ``[n]`` of each graph's nodes by first coordinate, then second, ..., then index.

    Parameters
    ----------
    pos
        Positions, ``[n, d]``, finite.
    ptr
        Offsets of the graphs, ``[g + 1]``; the graphs stay in order.
    """
    n, d = pos.shape
    order = torch.arange(n, device=pos.device)
    fresh = torch.zeros(n + 1, dtype=torch.bool, device=pos.device)
    fresh[ptr] = True
    for axis in range(d if n else 0):
        along = pos[:, axis]
        order = order[argsort_runs(along.index_select(0, order), fresh.nonzero().view(-1))]
        values = along.index_select(0, order)
        fresh[1:-1] |= values[1:] != values[:-1]
        if bool(fresh.all()):
            break
    return order


def hilbert_codes(coordinates: Tensor, bits: int) -> Tensor:
    """Return the index of grid points along the Hilbert curve.

    Parameters
    ----------
    coordinates
        Integer coordinates on the grid, ``[n, d]``, int32, each from 0 to 2^bits - 1.
    bits
        Bits of a coordinate; ``bits * d <= 31``.

    Returns
    -------
    Tensor
        ``[n]``, int32, from 0 to 2^(bits d) - 1. Consecutive indices are adjacent grid points.

    Notes
    -----
    Undo the reflections and exchanges of axes from coarse to fine, take the Gray code, and interleave the
    bits. Source: Skilling, Programming the Hilbert Curve (2004), https://doi.org/10.1063/1.1751381.
    """
    x = list(coordinates.unbind(1))
    d = len(x)
    for level in range(bits - 1, 0, -1):
        low = (1 << level) - 1
        for i in range(d):
            high = -(x[i] >> level & 1)
            swap = (x[0] ^ x[i]) & low & ~high
            x[0] = x[0] ^ swap ^ (high & low)
            if i:
                x[i] = x[i] ^ swap
    for i in range(1, d):
        x[i] = x[i] ^ x[i - 1]
    flip = torch.zeros_like(x[0])
    for level in range(bits - 1, 0, -1):
        flip ^= -(x[-1] >> level & 1) & ((1 << level) - 1)
    code = torch.zeros_like(x[0])
    for level in range(bits - 1, -1, -1):
        for axis in x:
            code = code << 1 | ((axis ^ flip) >> level & 1)
    return code
