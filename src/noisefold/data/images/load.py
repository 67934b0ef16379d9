"""What of the sources of `noisefold.load` is images: the one place that tells them from graphs."""

from __future__ import annotations

import glob
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from noisefold.data.classes import select
from noisefold.data.formats.arrays import archived
from noisefold.data.formats.guard import guarded
from noisefold.data.formats.h5ad import is_tissue
from noisefold.data.formats.readers import is_readable
from noisefold.data.images.arrays import are_images, from_items, from_named, holds_images, images_in, pictures
from noisefold.data.images.decode import sized
from noisefold.data.images.files import is_picture, read_folder, read_pictures
from noisefold.data.images.pixels import PixelGraphs
from noisefold.data.tu import is_tu

__all__ = ["load_pictures"]


def load_pictures(
    source: Any, size: int | tuple[int, int] | None = None, classes: Sequence[str] | None = None
) -> PixelGraphs | None:
    """Return the images of a source, or None where it holds something else.

    A folder is one of pictures if there is no file of graphs in it.

    Parameters
    ----------
    source
        As of `noisefold.load`.
    size
        Height and width of all, or pixels a side; None leaves them as they are.
    classes
        Keep the images of these classes alone.

    Raises
    ------
    ValueError
        If images cannot be read, or the size is out of range.
    """
    shape = sized(size)
    if isinstance(source, str | os.PathLike):
        images = _path(Path(source).expanduser(), shape, classes)
    else:
        images = _in_memory(source, shape)
    if images is None or classes is None or images.classes == tuple(classes):
        return images
    chosen = select(images, classes)
    assert isinstance(chosen, PixelGraphs)
    return chosen


def _path(path: Path, size: tuple[int, int] | None, classes: Sequence[str] | None) -> PixelGraphs | None:
    if path.is_dir():
        if is_tissue(path) or is_tu(path) or any(is_readable(p) for p in _seen(path)):
            return None
        return read_folder(path, size, classes)
    if is_picture(path):
        return read_pictures([path], size=size)
    if path.suffix.lower() == ".npz" and path.is_file():
        if not holds_images(_headers(path)):
            return None
        with guarded(path):
            return from_named(archived(path.read_bytes()), size)
    if path.exists() or not set(str(path)) & set("*?["):
        return None
    files = [Path(p) for p in sorted(glob.glob(str(path), recursive=True)) if Path(p).is_file()]
    return read_pictures(files, size=size) if files and all(map(is_picture, files)) else None


def _seen(folder: Path) -> Iterator[Path]:
    """Yield all files below a folder that are not hidden."""
    return (p for p in folder.rglob("*") if not any(n.startswith(".") for n in p.relative_to(folder).parts))


def _in_memory(source: Any, size: tuple[int, int] | None) -> PixelGraphs | None:
    if isinstance(source, PixelGraphs):
        return (
            source if size is None else pictures(_arrays_of(source), source.label, source.classes, size=size)
        )
    if isinstance(source, np.ndarray | Tensor):
        if source.dtype in (np.dtype(object),) or not are_images(tuple(source.shape), _numpy_type(source)):
            return None
        return pictures(source, size=size)
    if isinstance(source, Mapping):
        plain = {k: v for k, v in source.items() if isinstance(v, np.ndarray | Tensor)}
        shapes = {k: (tuple(v.shape), _numpy_type(v)) for k, v in plain.items()}
        return from_named(source, size) if holds_images(shapes) else None
    paths = (
        isinstance(source, list | tuple) and source and all(isinstance(p, str | os.PathLike) for p in source)
    )
    if paths:
        files = [Path(p).expanduser() for p in source]
        return read_pictures(files, size=size) if all(map(is_picture, files)) else None
    return from_items(source, size) if images_in(source) else None


def _arrays_of(images: PixelGraphs) -> list[np.ndarray[Any, Any]]:
    parts = images.pixels.split(images.sizes.tolist())
    return [
        p.reshape(h, w, -1).cpu().numpy() for p, (h, w) in zip(parts, images.shapes.tolist(), strict=True)
    ]


def _numpy_type(values: Any) -> np.dtype[Any]:
    # Of the type alone: a tensor may be sparse, or hold nothing. NumPy has no bfloat16.
    if isinstance(values, Tensor):
        kind = torch.float32 if values.dtype is torch.bfloat16 else values.dtype
        values = torch.empty(0, dtype=kind).numpy()
    found: np.dtype[Any] = values.dtype
    return found


def _headers(path: Path) -> dict[str, tuple[tuple[int, ...], Any]]:
    """Shape and type of each array of an archive; none of one that is damaged, which its reader says."""
    found: dict[str, tuple[tuple[int, ...], Any]] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                with archive.open(info) as member:
                    found[info.filename.removesuffix(".npy")] = _header(member)
    except Exception:  # zipfile raises anything on damaged bytes
        return {}
    return found


def _header(member: BinaryIO | Any) -> tuple[tuple[int, ...], Any]:
    version = np.lib.format.read_magic(member)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(member)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(member)
    return shape, dtype
