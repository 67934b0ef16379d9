"""LZF compression, as in .pcd files: literal runs and back references.

A control byte c < 32 is followed by c + 1 literal bytes. Otherwise a match of length (c >> 5) + 2 (with a
further byte added where that part is 7) begins ((c & 31) << 8 | next byte) + 1 bytes back.

Source: M. Lehmann, *LibLZF*, http://oldhome.schmorp.de/marc/liblzf.html.
"""

from __future__ import annotations

__all__ = ["decompressed"]

_LITERALS = 32
_MOST = 264 / 3  # a match of three bytes stands for 264


def decompressed(data: bytes, size: int) -> bytes:
    """Return what `data` stands for, `size` bytes.

    Raises
    ------
    ValueError
        If that is impossible: nothing is allocated for more than `data` can hold.
    """
    if size > _MOST * len(data):
        raise ValueError(f"{len(data)} compressed bytes cannot stand for {size}; export the file again.")
    out = bytearray()
    at, end = 0, len(data)
    while at < end and len(out) <= size:
        control = data[at]
        at += 1
        if control < _LITERALS:
            out += data[at : at + control + 1]
            at += control + 1
            continue
        length = control >> 5
        if length == 7 and at < end:
            length += data[at]
            at += 1
        if at >= end:
            break
        begin = len(out) - ((control & 31) << 8 | data[at]) - 1
        at += 1
        if begin < 0:
            raise ValueError("the compressed points refer to what is before them; export the file again.")
        piece = out[begin : begin + length + 2]
        out += (piece * ((length + 2) // len(piece) + 1))[: length + 2]
    if len(out) != size or at != end:
        raise ValueError(
            f"the compressed points are {len(out)} bytes, {size} are announced, perhaps the file is "
            f"truncated; export it again."
        )
    return bytes(out)
