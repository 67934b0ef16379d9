"""Stereolithography files, .stl: facets in binary or in text.

A file is binary if its length is at least that of the facets that bytes 80 to 83 announce: text read as that
number announces more than any file holds, while many binary files begin with ``solid``.

Source: *StereoLithography interface specification*, 3D Systems (1988),
https://www.fabbers.com/tech/STL_Format.
"""

from __future__ import annotations

import codecs
import re

import numpy as np

from noisefold.data.formats.text import decoded
from noisefold.data.formats.vertices import Vertices, numbers, polygons
from noisefold.data.polygons import Ints

__all__ = ["read_stl"]

_FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_HEADER = 84
_NAMES = re.compile(
    r"(?:^[ \t]*|(?<=facet)[ \t]+)(end[ \t]*)?solid\b.*?(?=\bfacet[ \t]+normal\b|$)",
    re.IGNORECASE | re.MULTILINE,
)
_NOT_COORDINATES = re.compile(
    r"end\s*facet|facet(\s+normal\s+\S+\s+\S+\s+\S+|\b(?!\s+normal))|outer\s+loop|^[ \t]*color\b.*",
    re.IGNORECASE | re.MULTILINE,
)


def read_stl(data: bytes) -> Vertices:
    """Return what the bytes of an .stl file hold.

    Raises
    ------
    ValueError
        If the bytes are cut or damaged.
    """
    count = int.from_bytes(data[80:_HEADER], "little")
    wide = data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    text = wide or bool(re.match(rb"(\xef\xbb\xbf)?\s*solid\b", data, re.IGNORECASE))
    if len(data) >= _HEADER and count and _HEADER + count * _FACET.itemsize <= len(data):
        facets = np.frombuffer(data, _FACET, count, _HEADER)
        return _solid(facets["corners"].astype(np.float64).reshape(-1, 3), np.full(count, 3, dtype=np.int64))
    if text and (wide or b"\0" not in data):
        return _text(decoded(data))
    if _HEADER + int.from_bytes(data[80:_HEADER], "big") * _FACET.itemsize == len(data) > _HEADER:
        raise ValueError("the bytes of numbers are in the wrong order, the greatest first; export it again.")
    if len(data) >= _HEADER and count:
        raise ValueError(
            f"the file is truncated, it holds {(len(data) - _HEADER) // _FACET.itemsize} of the {count} "
            f"facets that it announces; copy it again."
        )
    raise ValueError("there is no STL header, or no facet, perhaps it is truncated; export the file again.")


def _text(text: str) -> Vertices:
    marks = [m[1] is not None for m in _NAMES.finditer(text)]
    body = _NOT_COORDINATES.sub(" ", _NAMES.sub(" ", text))
    words = re.sub(r"\bvertex\b", " ", body, flags=re.IGNORECASE)
    loops = re.split(r"\bend\s*loop\b", words, flags=re.IGNORECASE)
    content = numbers("\n".join(" ".join(loop.split()) for loop in loops))
    if content.stop:
        raise content.lacking("the facets")
    if not marks or not marks[-1] or loops[-1].strip():
        raise ValueError(
            "the file is truncated, there is no `endsolid` behind its last facet; copy it again."
        )
    if not len(content.values):
        raise ValueError("there are no facets; export the file again.")
    if len(content.counts) != len(loops) - 1 or (content.counts % 3).any() or content.counts.min() < 9:
        raise ValueError("a facet has no three vertices of three coordinates; export the file again.")
    return _solid(content.values.reshape(-1, 3), content.counts // 3)


def _solid(corners: np.ndarray[tuple[int, ...], np.dtype[np.float64]], sizes: Ints) -> Vertices:
    pos = np.ascontiguousarray(corners)
    return Vertices(pos, polygons(pos, np.arange(len(pos), dtype=np.int64), sizes))
