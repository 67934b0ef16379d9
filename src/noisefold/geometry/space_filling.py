r"""Orders of nodes that depend on where the nodes are, and not on how they are numbered.

Two of them: lexicographic by coordinates, which settles every tie except between nodes at the very same
place; and along a Hilbert curve, where nodes near each other in the order are near each other in space.
"""

from __future__ import annotations

import torch
from torch import Tensor

from noisefold.geometry.segment import argsort_runs

__all__ = ["hilbert_codes", "lexicographic"]


def lexicographic(pos: Tensor, ptr: Tensor) -> Tensor:
    """Order ``[n]`` of the nodes of each graph by first coordinate, then second, and so on; then by index.

    Parameters
    ----------
    pos
        Positions, ``[n, d]``, finite.
    ptr
        Offsets of the graphs, ``[g + 1]``; graphs keep their places.
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


def hilbert_codes(cells: Tensor, bits: int) -> Tensor:
    """Place of each cell of a grid along the Hilbert curve.

    Parameters
    ----------
    cells
        Cells of the grid, ``[n, d]``, int32, each coordinate from 0 to 2^bits - 1.
    bits
        Bits of a coordinate; ``bits * d <= 31``.

    Returns
    -------
    Tensor
        ``[n]``, int32, from 0 to 2^(bits d) - 1. Cells next to each other in it share a face.

    Notes
    -----
    J. Skilling, Programming the Hilbert curve, AIP Conference Proceedings 707, 381 (2004): undo the
    reflections and exchanges of axes from coarse to fine, take the Gray code, and interleave the bits.
    """
    x = list(cells.unbind(1))
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
