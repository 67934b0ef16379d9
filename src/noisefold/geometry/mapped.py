"""Tensors that lie in files: read through the page cache, so that memory follows what is used.

A tensor of `mapped` is private to the process (copy on write): nothing that is done to it reaches the file.
"""

from __future__ import annotations

import os
import tempfile
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["gather", "mapped"]

_IN_MEMORY = 1 << 30  # bytes of a result that is held in memory
_PIECE = 1 << 25  # bytes that are copied at a time


def mapped(file: Any, dtype: np.dtype[Any], shape: tuple[int, ...], offset: int = 0) -> Tensor:
    """Return a tensor over the content of a file.

    Parameters
    ----------
    file
        A path or an open file.
    dtype, shape
        What it holds; empty shapes are held in memory.
    offset
        Bytes before it.
    """
    if 0 in shape:
        return torch.from_numpy(np.empty(shape, dtype))
    return torch.from_numpy(np.memmap(file, dtype=dtype, mode="c", offset=offset, shape=shape))


def gather(values: Tensor, rows: Tensor) -> Tensor:
    """Return ``values[rows]``; on the CPU, a large result lies in a temporary file and not in memory.

    The file is in the folder for temporary files (TMPDIR) and vanishes with the tensor.

    Raises
    ------
    OSError
        If the disk is full.
    """
    width = values[:1].numel() * values.element_size()
    if values.device.type != "cpu" or len(rows) * width <= _IN_MEMORY:
        return values[rows]
    with tempfile.TemporaryFile() as file:
        if hasattr(os, "posix_fallocate"):  # a full disk is known at once
            os.posix_fallocate(file.fileno(), 0, len(rows) * width)
        for part in rows.split(max(1, _PIECE // width)):
            file.write(values[part].contiguous().numpy().data)
        file.flush()
        return mapped(file, np.asarray(values[:1].numpy()).dtype, (len(rows), *values.shape[1:]))
