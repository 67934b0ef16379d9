"""Many pictures as one data set: files, folders, patterns, bytes and images of Pillow.

All headers are looked at before any pixel is read, so that what cannot be read is refused at once, and the
whole is held as one array of bytes, which lies in a temporary file if it is large.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from noisefold.data.classes import coded, select
from noisefold.data.folders import Found, find
from noisefold.data.images.decode import ENDINGS, Header, Picture, header_of, pixels_of
from noisefold.data.images.modality import Pictures
from noisefold.data.images.pixels import PixelGraphs
from noisefold.data.notice import notify
from noisefold.geometry.mapped import spilled
from noisefold.progress import progress

__all__ = ["is_picture", "read_folder", "read_pictures"]

Size = tuple[int, int] | None


def is_picture(path: Path) -> bool:
    """Return whether a file is a picture, by its ending."""
    return path.suffix.lower() in ENDINGS and path.is_file()


def read_folder(path: Path, size: Size = None, classes: Sequence[str] | None = None) -> PixelGraphs | None:
    """Return the pictures of a folder, with its folders as classes or as a split; None if there are none.

    Raises
    ------
    ValueError
        If pictures stand beside folders of pictures, or one cannot be read.
    """
    found = find(path, is_picture, classes)
    if not found.files:
        return None
    held = None if found.parts is None else torch.tensor([part != "train" for part in found.parts])
    images = read_pictures(found.files, None, size, found.classes, held)
    _say(path, found)
    if classes is None:
        return images
    chosen = select(images, classes)
    assert isinstance(chosen, PixelGraphs)
    return chosen


def _say(path: Path, found: Found) -> None:
    if found.passed:
        notify(f"{path}: {len(found.files)} pictures were read and {found.passed_over} passed over.")
    if found.parts:
        listed = ", ".join(f"{n} pictures in {p}" for p, n in sorted(Counter(found.parts).items()))
        notify(f"{path}: the folders are the split ({listed}); what is not in train is held out.")
    if not found.divided:
        notify(f"{path}: folders such as train and test are no split, as not all pictures are in one.")


def read_pictures(
    pictures: Sequence[Picture],
    names: Sequence[str] | None = None,
    size: Size = None,
    labels: Sequence[object] | None = None,
    held: Tensor | None = None,
) -> PixelGraphs:
    """Return pictures as one data set: in colour if one is, with 16 bits if one has.

    Parameters
    ----------
    pictures
        Files, contents of files, or images of Pillow.
    names
        What they are called in messages; default the paths.
    size
        Height and width of all, or None as they are.
    labels
        A label for each, or None.
    held
        Which are held out, ``[g]`` bool, or None.

    Raises
    ------
    ValueError
        If one cannot be read; the sentence begins with its name.
    """
    where = [str(p) for p in pictures] if names is None else list(names)
    headers: list[Header] = []
    with progress("looking at pictures", len(pictures)) as advance:
        for picture, name in zip(pictures, where, strict=True):
            headers.append(header_of(picture, name, size))
            advance(1, "")
    color, deep = any(h.color for h in headers), any(h.deep for h in headers)
    shapes = torch.tensor([(h.height, h.width) for h in headers], dtype=torch.int64).reshape(-1, 2)

    def pieces() -> Iterator[Tensor]:
        with progress("reading pictures", len(pictures)) as advance:
            for picture, name, header in zip(pictures, where, headers, strict=True):
                values = pixels_of(picture, name, color, deep, size)
                if values.shape[:2] != (header.height, header.width):
                    raise ValueError(
                        f"{name}: the picture is not of the size that it declares; save it again."
                    )
                advance(1, "")
                yield torch.from_numpy(values.reshape(-1, values.shape[2]))

    like = torch.empty(1, 3 if color else 1, dtype=torch.float32 if deep else torch.uint8)
    pixels = spilled(pieces(), int(shapes.prod(1).sum()), like)
    _tell(where, headers, color)
    label, classes = (None, ()) if labels is None else coded(labels)
    modality = Pictures("rgb" if color else "grey", 16 if deep else 8)
    return PixelGraphs(pixels, shapes, label, classes, modality, held)


def _tell(where: Sequence[str], headers: Sequence[Header], color: bool) -> None:
    """Say once for all pictures what a user should know of some."""
    said: dict[str, list[str]] = defaultdict(list)
    for name, header in zip(where, headers, strict=True):
        for note in header.notes:
            said[note].append(name)
        if color and not header.color:
            said["grey pictures among others in colour were given three equal channels."].append(name)
    for note, of in said.items():
        notify(f"{of[0]}{f' and {len(of) - 1} more' if len(of) > 1 else ''}: {note}")
    if headers and len({(h.height, h.width) for h in headers}) > 1:
        low, high = (f([h.height * h.width for h in headers]) for f in (np.min, np.max))
        notify(
            f"{where[0]} and {len(headers) - 1} more: the pictures have several sizes, from {low:,} to "
            f"{high:,} pixels, and stay so; size=32 (--size 32) makes them of one."
        )
