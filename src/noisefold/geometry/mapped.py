"""Tensors that lie in files: read through the page cache, so that memory follows what is used.

A tensor of `mapped` is private to the process (copy on write): nothing that is done to it reaches the file.
Pages that were read are given back from time to time, so that the resident memory of a process that goes
through the whole file stays bounded.
"""

from __future__ import annotations

import mmap
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["Ranges", "gather", "mapped", "spilled", "touched"]

_IN_MEMORY = 1 << 28  # bytes of a result that is held in memory
_PIECE = 1 << 25  # bytes that are copied at a time
_RESIDENT = 1 << 27  # bytes of pages that are read before they are given back
_AROUND = 1 << 18  # bytes that the system may map around a page that is read
_SCATTERED = _RESIDENT // _AROUND  # places of a mapped tensor that are read together
_FILE = "_noisefold_file"
_MAPS = Path("/proc/self/smaps")


class _File:
    """A mapped file, and how much of it was read since its pages were given back."""

    def __init__(self, memory: mmap.mmap, address: int) -> None:
        self.memory, self.address, self.read = memory, address, 0

    def touch(self, size: int) -> None:
        self.read += size
        if self.read < _RESIDENT:
            return
        self.read = 0
        if hasattr(mmap, "MADV_DONTNEED") and self._unchanged():
            self.memory.madvise(mmap.MADV_DONTNEED)

    def _unchanged(self) -> bool:
        """Whether no page was written to: giving back such a page would undo that."""
        inside = False
        try:
            with _MAPS.open(encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    if head := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
                        first, last = (int(end, 16) for end in head.groups())
                        inside = first < self.address + len(self.memory) and last > self.address
                    elif inside and line.startswith("Anonymous:") and line.split()[1] != "0":
                        return False
        except OSError:  # not on this system
            return False
        return True


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
    if isinstance(file, str | os.PathLike):
        with open(file, "rb") as stream:
            return mapped(stream, dtype, shape, offset)
    count = int(np.prod(shape, dtype=np.int64))
    memory = mmap.mmap(file.fileno(), offset + count * dtype.itemsize, access=mmap.ACCESS_COPY)
    values = torch.from_numpy(np.frombuffer(memory, dtype, count, offset).reshape(shape))
    setattr(values, _FILE, _File(memory, values.data_ptr() - offset))
    return values


def touched(values: Tensor | None, size: int) -> None:
    """Say that so many bytes of a tensor were read; pages of a mapped one are given back when they are many.

    What was read before stays valid. Pages that were written to are kept.
    """
    file = None if values is None else getattr(values, _FILE, None)
    if file is not None:
        file.touch(size)


def spilled(pieces: Iterable[Tensor], count: int, like: Tensor) -> Tensor:
    """Return pieces one after another as one tensor, which lies in a temporary file if it is large.

    The file is in the folder for temporary files (TMPDIR) and vanishes with the tensor.

    Parameters
    ----------
    pieces
        Tensors on the CPU, ``[some, ...]``.
    count
        How many rows they have in all.
    like
        A tensor with rows of the same kind.

    Raises
    ------
    OSError
        If the disk is full.
    """
    size = count * _width(like)
    if size <= _IN_MEMORY:
        return torch.cat([like[:0], *pieces])
    try:
        with tempfile.TemporaryFile() as file:
            if hasattr(os, "posix_fallocate"):  # a full disk is known at once
                os.posix_fallocate(file.fileno(), 0, size)
            for piece in pieces:
                file.write(piece.detach().contiguous().numpy().data)
            file.flush()
            return mapped(file, np.asarray(like[:1].numpy()).dtype, (count, *like.shape[1:]))
    except OSError as error:
        error.filename = error.filename or tempfile.gettempdir()
        raise


def gather(values: Tensor, rows: Tensor) -> Tensor:
    """Return ``values[rows]``; on the CPU, a large result lies in a temporary file and not in memory.

    Raises
    ------
    OSError
        If the disk is full.
    """
    if values.device.type != "cpu" or len(rows) * _width(values) <= _IN_MEMORY:
        return _rows(values, rows, len(rows))
    most = max(1, _PIECE // _width(values))
    if hasattr(values, _FILE):  # neighbouring rows are often those of neighbouring pages
        most = min(most, 4 * _SCATTERED)
    return spilled((_rows(values, part, len(part)) for part in rows.split(most)), len(rows), values)


class Ranges:
    """Ranges of rows, ``start .. start + size - 1`` each, one after another.

    Parameters
    ----------
    starts, sizes
        First row and length of each, ``[r]``.
    """

    def __init__(self, starts: Tensor, sizes: Tensor) -> None:
        self.starts, self.sizes = starts, sizes
        self.ptr = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
        self.total = int(self.ptr[-1])

    @cached_property
    def rows(self) -> Tensor:
        """All rows, ``[total]``."""
        shift = torch.repeat_interleave(self.starts - self.ptr[:-1], self.sizes, output_size=self.total)
        return torch.arange(self.total, device=self.starts.device) + shift

    def of(self, values: Tensor) -> Tensor:
        """Return these rows of a tensor; on the CPU, many of them lie in a temporary file.

        Raises
        ------
        OSError
            If the disk is full.
        """
        width = max(_width(values), self.ptr.element_size())
        scattered = hasattr(values, _FILE) and len(self.starts) > _SCATTERED
        if values.device.type != "cpu" or (self.total * width <= _IN_MEMORY and not scattered):
            return _rows(values, self.rows, len(self.starts))
        parts = self._pieces(_PIECE // width)
        return spilled((_rows(values, p.rows, len(p.starts)) for p in parts), self.total, values)

    def _pieces(self, most: int) -> Iterator[Ranges]:
        """Yield the ranges in groups of about so many rows, and of not too many ranges."""
        by_rows = torch.searchsorted(self.ptr[:-1], torch.arange(0, self.total, max(1, most)))
        by_ranges = torch.arange(0, len(self.starts), _SCATTERED)
        bounds = torch.cat([by_rows.clamp(max=len(self.starts) - 1), by_ranges]).unique().tolist()
        for first, last in zip(bounds, [*bounds[1:], len(self.starts)], strict=True):
            yield Ranges(self.starts[first:last], self.sizes[first:last])


def _width(values: Tensor) -> int:
    """Bytes of a row."""
    return values[:1].numel() * values.element_size()


def _rows(values: Tensor, rows: Tensor, places: int) -> Tensor:
    """Rows of a tensor that lie in so many places of it."""
    taken = values[rows]
    touched(values, taken.numel() * taken.element_size() + places * _AROUND)
    return taken
