"""Compressed content, unpacked within bounds.

A file of a few kilobytes can be made to unpack to terabytes. Numbers never shrink a hundredfold, so that
what would is refused before its memory is taken.
"""

from __future__ import annotations

import zlib
from pathlib import Path

__all__ = ["bounded", "ending_of", "gunzip", "gzip_bytes"]

_RATIO = 100
_HARMLESS = 64 * 2**20
_GZIP = 31  # window bits that mean a gzip header
_BLOCK = 2**20


def ending_of(path: Path) -> tuple[str, bool]:
    """Return the ending of a format in lower case, and whether ``.gz`` follows it.

    >>> ending_of(Path("a.CSV.gz"))
    ('.csv', True)
    """
    ending = path.suffix.lower()
    if ending == ".gz":
        return Path(path.stem).suffix.lower(), True
    return ending, False


def bounded(size: int, compressed: int) -> None:
    """Refuse content that unpacks from ``compressed`` to ``size`` bytes, more than data ever do.

    Raises
    ------
    ValueError
        If it exceeds 64 MiB and a hundred times what is compressed.
    """
    if size > max(_HARMLESS, _RATIO * compressed):
        raise ValueError(
            f"{compressed} bytes would unpack to {size} or more, over {_RATIO} times as many, as data "
            f"never do; save it without compression."
        )


def gunzip(data: bytes) -> bytes:
    """Return the content of the bytes of a .gz file, one or several members.

    Raises
    ------
    ValueError
        If it is damaged, truncated, or unpacks to more than data ever do.
    """
    out: list[bytes] = []
    size = 0
    rest = data
    while rest.strip(b"\0"):  # some tools pad a file with zeros
        unpacker = zlib.decompressobj(wbits=_GZIP)
        chunk = rest
        while not unpacker.eof:
            try:
                block = unpacker.decompress(chunk, _BLOCK)
            except zlib.error as error:
                raise ValueError(f"this is no whole gzip file ({error}); compress it again.") from error
            out.append(block)
            size += len(block)
            bounded(size, len(data))
            chunk = unpacker.unconsumed_tail
            if not chunk and not block and not unpacker.eof:
                raise ValueError("the file is truncated: its gzip stream does not end; copy it again.")
        rest = unpacker.unused_data
    return b"".join(out)


def gzip_bytes(data: bytes) -> bytes:
    """Return the bytes of a .gz file of this content, without name or time: the same at every call."""
    packer = zlib.compressobj(wbits=_GZIP)
    return packer.compress(data) + packer.flush()
