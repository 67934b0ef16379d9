"""Functions of the rows of a long matrix, computed block after block where nothing has to be remembered.

A perceptron on 50,000 nodes reads and writes matrices of megabytes between its steps, in memory that is new
each time. In blocks that stay near the core a step of sampling is a third faster. Derivatives need all that
lies between anyway, and batch statistics need all rows at once.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["rowwise"]

_ALL = slice(None)
# A block of 1 MB, and enough multiplications for the faster library of `noisefold.nn.linear`.
_ENTRIES, _PRODUCTS = 1 << 18, 1 << 24


def rowwise(
    function: Callable[[slice], Tensor],
    like: Tensor,
    training: bool,
    width: int | None = None,
    into: Tensor | None = None,
) -> Tensor:
    """Rows ``function(slice) [n, c]``, each of which follows from that row alone.

    Parameters
    ----------
    function
        Given a slice of the rows, it returns theirs.
    like
        Any of the matrices it reads, ``[n, w]``.
    training
        Whether rows may depend on each other after all, through batch statistics.
    width
        Columns of what lies between; default w.
    into
        What may be overwritten where it is computed in blocks, ``[n, c]``: a matrix that is read in the same
        rows alone, and not needed any more. New memory of megabytes costs as much as the writing.
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
