"""Compute functions of the rows of a long matrix in blocks of rows that fit into the cache of a core.

A perceptron on 50,000 nodes reads and writes megabytes between its steps, in newly allocated memory each
time; blocks avoid that. They apply in evaluation without gradients only: derivatives need all intermediate
values anyway, and batch statistics need all rows at once.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["map_row_blocks"]

_ALL = slice(None)
# A block of 1 MB, and enough multiplications for the faster library of `noisefold.nn.linear`.
_ENTRIES, _PRODUCTS = 1 << 18, 1 << 24


def map_row_blocks(
    function: Callable[[slice], Tensor],
    like: Tensor,
    training: bool,
    width: int | None = None,
    into: Tensor | None = None,
) -> Tensor:
    """Return the rows ``function(slice) [n, c]``, where every row depends on the same row of the inputs.

    Parameters
    ----------
    function
        Returns the rows of a slice.
    like
        Any of the matrices that `function` reads, ``[n, w]``.
    training
        Whether rows may depend on one another after all, through batch statistics.
    width
        Columns of the intermediate values; default w.
    into
        Matrix that may be overwritten if blocks are used, ``[n, c]``: one that `function` reads in the rows
        of its slice alone, and that is not needed afterwards.

    Returns
    -------
    Tensor
        ``[n, c]``.
    """
    n, width = like.shape[0], width or like.shape[1]
    blocks = n // max(_ENTRIES // width, _PRODUCTS // width**2)
    whole = training or torch.is_grad_enabled() or torch.is_autocast_enabled("cpu")
    if whole or like.device.type != "cpu" or blocks < 2:
        return function(_ALL)
    out, step = into, -(-n // blocks)
    for start in range(0, n, step):
        rows = slice(start, start + step)
        part = function(rows)
        if out is None:
            out = part.new_empty(n, *part.shape[1:])
        out[rows] = part
    assert out is not None
    return out
