"""One picture file as an array: what its header says, and its pixels.

Pillow reads the formats. What a file declares is compared with what a picture may be before memory is taken,
and whatever goes wrong becomes one sentence.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from noisefold.data.formats.guard import guarded
from noisefold.data.images.modality import MOST

__all__ = ["ENDINGS", "Header", "Picture", "fitted", "header_of", "pixels_of", "sized"]

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm", ".pbm")
"""Endings of picture files."""
_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
_LARGEST = 1 << 20  # pixels of an image that a network can take
_BOMB = 1 << 26  # pixels of one that is made smaller while it is read
_GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N")
_DEEP = ("I", "I;16", "I;16L", "I;16B", "I;16N")
_ALPHA = ("LA", "La", "RGBA", "RGBa", "PA")
_ORIENTATION = 0x0112  # the EXIF tag
_SIDEWAYS = (5, 6, 7, 8)

Picture = Path | bytes | Image.Image
"""A picture: a file, the content of one, or an image of Pillow."""
_Bytes = NDArray[Any]


@dataclass(frozen=True)
class Header:
    """What a picture is.

    Parameters
    ----------
    height, width
        Pixels, as it is looked at: after the rotation that EXIF asks for.
    color, deep
        Whether it has colours, and whether it has more than 8 bits.
    notes
        What a user should know of it, in sentences.
    """

    height: int
    width: int
    color: bool
    deep: bool
    notes: tuple[str, ...] = ()


def sized(size: Any) -> tuple[int, int] | None:
    """Return height and width of a size: one number, two, or None.

    Raises
    ------
    ValueError
        If it is neither, or out of range.
    """
    if size is None:
        return None
    sides = tuple(size) if isinstance(size, list | tuple) else (size, size)
    if len(sides) != 2 or not all(isinstance(s, int) and not isinstance(s, bool) and s >= 1 for s in sides):
        raise ValueError(f"size must be pixels a side, 32, or height and width, (32, 48), got {size!r}.")
    if sides[0] * sides[1] > _LARGEST:
        raise ValueError(f"size must be at most {_LARGEST:,} pixels in all, got {sides[0]} x {sides[1]}.")
    return int(sides[0]), int(sides[1])


def header_of(picture: Picture, where: str | None, size: tuple[int, int] | None) -> Header:
    """Return what a picture is, without its pixels; where it is to be of a size, of that.

    Raises
    ------
    ValueError
        If it is no picture, is too large, or holds what pixels do not; the sentence begins with `where`.
    """
    with _opened(picture, where) as image:
        width, height = image.size
        if width * height > _BOMB:
            raise ValueError(
                f"the picture declares {width:,} x {height:,} pixels, more than are read; make it smaller."
            )
        if size is None and width * height > _LARGEST:
            raise ValueError(
                f"the picture has {width:,} x {height:,} pixels, more than the {_LARGEST:,} that a network "
                "takes; give a size, such as size=64 (--size 64), to crop and shrink it."
            )
        if image.mode == "F":
            raise ValueError("the picture has pixels in floating point; convert it to 8 or 16 bits.")
        notes = list(_notes(image))
        if _orientation(image) in _SIDEWAYS:
            width, height = height, width
        height, width = size or (height, width)
        return Header(height, width, _has_color(image), image.mode in _DEEP, tuple(notes))


def pixels_of(
    picture: Picture, where: str | None, color: bool, deep: bool, size: tuple[int, int] | None
) -> NDArray[Any]:
    """Return the pixels of a picture ``[h, w, c]``, uint8, or float32 in [0, 255] where some are deep.

    Parameters
    ----------
    picture, where
        The picture, and what messages begin with.
    color, deep
        Whether three channels are wanted, and float32.
    size
        Height and width to which it is cropped around its middle and resized with anti-aliasing, or None.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    with _opened(picture, where) as image:
        image.load()
        flat = _flat(image)
        if flat.mode in _DEEP:
            flat = _shrunk(flat)
        turned = flat if _orientation(image) in (0, 1) else ImageOps.exif_transpose(_with_tag(flat, image))
        values = np.asarray(turned if size is None else fitted(turned, size))
        if values.ndim == 2:
            values = values[:, :, None]
        values = values.clip(0, MOST) if turned.mode == "F" else values.astype(np.float32) if deep else values
        wanted = 3 if color else 1
        return np.array(np.broadcast_to(values, (*values.shape[:2], wanted)), order="C")


def fitted(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return the middle of an image in the proportions of a size, resized with anti-aliasing."""
    height, width = size
    if image.size == (width, height):
        return image
    return ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS).convert(image.mode)


@contextmanager
def _opened(picture: Picture, where: str | None) -> Iterator[Image.Image]:
    if isinstance(picture, Path) and not picture.is_file():
        raise FileNotFoundError(f"{picture}: there is no such file; check the path.")
    with guarded(where), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damaged metadata, which do not matter
        if isinstance(picture, Image.Image):
            yield picture
            return
        try:
            image = Image.open(
                io.BytesIO(picture) if isinstance(picture, bytes) else picture, formats=_FORMATS
            )
        except UnidentifiedImageError as error:
            raise ValueError(
                "this is no picture, or a truncated one; PNG, JPEG, WebP, TIFF, BMP, GIF and PPM are read."
            ) from error
        except Image.DecompressionBombError as error:
            raise ValueError(
                "the picture declares more pixels than any is read with; make it smaller."
            ) from error
        with image:
            yield image


def _notes(image: Image.Image) -> Iterator[str]:
    if image.mode in _ALPHA or "transparency" in image.info:
        yield "transparency was left out, and the colours beneath it kept."
    if image.mode in ("CMYK", "LAB", "HSV") or (image.mode == "YCbCr" and image.format != "JPEG"):
        yield f"colours in {image.mode} were converted to RGB."
    if image.mode in _DEEP:
        yield "16 bits were kept, as values in [0, 255] with fractions."
    elif any("16" in str(tile[3]) for tile in getattr(image, "tile", ())):
        yield "of the 16 bits of each colour, 8 were kept."
    if image.format != "MPO" and _is_animated(image):
        yield "only the first of several frames was read."


def _is_animated(image: Image.Image) -> bool:
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # of later frames, which are not read
        return False


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 0))
    except Exception:  # damaged metadata of a sound picture
        return 0


def _with_tag(flat: Image.Image, image: Image.Image) -> Image.Image:
    if flat is not image:
        flat.getexif()[_ORIENTATION] = _orientation(image)
    return flat


def _has_color(image: Image.Image) -> bool:
    if image.mode in _GREY:
        return False
    palette = image.getpalette("RGB") if image.mode in ("P", "PA") else None
    if palette is None:
        return True
    colors = np.asarray(palette).reshape(-1, 3)
    return bool((colors != colors[:, :1]).any())


def _shrunk(image: Image.Image) -> Image.Image:
    """Return an image of 16 bits with values in [0, 255], in floating point."""
    values = np.asarray(image)
    if values.size and (values.min() < 0 or values.max() > 65535):
        raise ValueError("the picture has pixels of more than 16 bits; convert it to 8 or 16 bits.")
    return Image.fromarray((values.astype(np.float64) * (MOST / 65535)).astype(np.float32))


def _flat(image: Image.Image) -> Image.Image:
    """Return an image in grey or RGB, without transparency."""
    if image.mode in ("L", "RGB", *_DEEP):
        return image
    if image.mode in _GREY or not _has_color(image):
        return (image.convert("RGB") if image.mode in ("P", "PA") else image).convert("L")
    if image.mode in ("RGBa", "La"):
        image = image.convert({"RGBa": "RGBA", "La": "LA"}[image.mode])
    return image.convert("RGB")
