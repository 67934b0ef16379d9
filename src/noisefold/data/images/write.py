r"""Images out: a grid or a folder of PNG files, or ``arr_0`` of an .npz file as evaluators take it.

Values are clipped to [0, 255] and rounded to the nearest of the :math:`2^b` levels of the data's b bits, ties
to even: what a model draws is continuous, what a file holds is not.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from noisefold.data.folders import folder_name
from noisefold.data.images.modality import MOST, Pictures
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.lattice import lattices

__all__ = ["PICTURE_ENDINGS", "arrays_of", "grid_of", "is_pictures", "picture_files", "png_bytes"]

PICTURE_ENDINGS = (".png", ".npz", "")
"""How images may be written as images; nothing is a folder."""
_SIDE = 48  # pixels of an image in a grid, at least: smaller ones are enlarged
_GAP = 2
_LARGEST = 1 << 26  # pixels of a grid
Array = NDArray[Any]


def is_pictures(graphs: Graphs, path: Path) -> bool:
    """Return whether graphs are images and the path says that they are to be written as such."""
    return isinstance(graphs.modality, Pictures) and path.suffix.lower() in PICTURE_ENDINGS


def arrays_of(images: Graphs) -> list[Array]:
    """Return each image as an array ``[h, w, c]`` in the data's levels: uint8, or uint16 of 16 bits.

    Raises
    ------
    ValueError
        If a value is NaN or infinite, or nodes are not the pixels of images.
    """
    modality = images.modality if isinstance(images.modality, Pictures) else Pictures()
    kind = np.uint16 if modality.bits == 16 else np.uint8
    out: list[Array] = [np.empty(0)] * len(images)
    for part in lattices(images):
        assert images.x is not None
        values = part.images(images.x.detach().cpu()).permute(0, 2, 3, 1).double().numpy()
        if not np.isfinite(values).all():
            raise ValueError("x holds NaN or infinite values, which no picture can; fill them first.")
        levels = np.rint(values.clip(0, MOST) / modality.level).astype(kind)
        for i, image in zip(part.graphs.tolist(), levels, strict=True):
            out[i] = image
    return out


def grid_of(pictures: Sequence[Array], columns: int | None = None) -> Array:
    """Return pictures side by side in rows, small ones enlarged by a whole factor, ``[H, W, c]``.

    Parameters
    ----------
    pictures
        Arrays ``[h, w, c]`` of one type.
    columns
        How many in a row; None makes about as many rows.

    Raises
    ------
    ValueError
        If the grid had more than 67 million pixels.
    """
    columns = columns or math.isqrt(max(len(pictures) - 1, 0)) + 1
    largest = max(max(p.shape[:2]) for p in pictures)
    factor = max(1, -(-_SIDE // largest))
    shown = [p.repeat(factor, 0).repeat(factor, 1) for p in pictures]
    height, width = (max(p.shape[axis] for p in shown) + _GAP for axis in (0, 1))
    rows = -(-len(shown) // columns)
    if rows * height * columns * width > _LARGEST:
        raise ValueError(f"a grid of {len(shown)} images of this size is too large; name a folder instead.")
    channels = max(p.shape[2] for p in shown)
    white = np.iinfo(shown[0].dtype).max
    grid = np.full((rows * height + _GAP, columns * width + _GAP, channels), white, dtype=shown[0].dtype)
    for i, picture in enumerate(shown):
        top, left = (i // columns) * height + _GAP, (i % columns) * width + _GAP
        grid[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return grid


def png_bytes(picture: Array) -> bytes:
    """Return a picture ``[h, w, c]`` as the bytes of a PNG file; colours of 16 bits are written with 8."""
    flat = picture[:, :, 0] if picture.shape[2] == 1 else picture
    if flat.ndim == 3 and flat.dtype == np.uint16:
        flat = np.rint(flat / 257).astype(np.uint8)
    Image.fromarray(np.ascontiguousarray(flat)).save(file := io.BytesIO(), "PNG")
    return file.getvalue()


def picture_files(images: Graphs, path: Path) -> dict[Path, bytes]:
    """Return the contents of the files that a path asks for, by their names within it.

    Raises
    ------
    ValueError
        If images cannot be written so.
    """
    ending, name = path.suffix.lower(), Path(path.name)
    arrays = arrays_of(images)
    if ending == ".png":
        return {name: png_bytes(arrays[0] if len(arrays) == 1 else grid_of(arrays))}
    labels = None if images.label is None else images.label.tolist()
    if ending == ".npz":
        if len({a.shape for a in arrays}) > 1:
            raise ValueError("an .npz file holds images of one size; name a folder for these.")
        fields: dict[str, Any] = {"arr_0": np.stack(arrays)}
        if labels is not None:
            fields["labels"] = np.array(labels, dtype=np.int64)
        if labels is not None and images.classes:
            fields["classes"] = np.array(images.classes, dtype=np.str_)
        np.savez_compressed(file := io.BytesIO(), **fields)
        return {name: file.getvalue()}
    digits = max(4, len(str(len(arrays) - 1)))
    folders = [""] * len(arrays)
    if labels is not None and images.classes:
        folders = [folder_name(images.classes[k]) if k >= 0 else "" for k in labels]
    return {
        Path(folder, f"{i:0{digits}d}.png"): png_bytes(array)
        for i, (folder, array) in enumerate(zip(folders, arrays, strict=True))
    }
