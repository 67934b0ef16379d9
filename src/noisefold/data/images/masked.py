"""Pictures of which a part is missing, from files: transparent pixels, or those that a mask names."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from noisefold.data.formats.guard import guarded
from noisefold.data.images.decode import header_of, pixels_of
from noisefold.data.images.files import is_picture, read_pictures
from noisefold.data.images.modality import Pictures
from noisefold.data.images.pixels import PixelGraphs
from noisefold.data.notice import DataNotice, notify
from noisefold.geometry.graphs import Graphs

__all__ = ["as_channels", "read_masked"]

_WEIGHTS = (0.299, 0.587, 0.114)  # of red, green and blue in the brightness of ITU-R BT.601
_HALF = 127


def read_masked(path: Path, mask: Path | None = None) -> tuple[PixelGraphs, Tensor]:
    """Return a picture, or those of a folder, and which pixels are known, ``[n]`` bool.

    Unknown are transparent pixels (alpha 0), and the light ones (above half) of a mask of the same size.

    Parameters
    ----------
    path
        A picture, or a folder of pictures.
    mask
        A picture that is white where pixels are unknown, or None.

    Raises
    ------
    ValueError
        If a file is no picture, or the mask has another size.
    FileNotFoundError
        If there is no such file, or no picture in the folder.
    """
    files = sorted(p for p in path.iterdir() if is_picture(p)) if path.is_dir() else [path]
    if not files:
        raise FileNotFoundError(f"{path}: the folder has no picture; name another.")
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DataNotice
        )  # that transparency was left out: here it says what to draw
        images = read_pictures(files)
    known = [_opaque(file) for file in files]
    if mask is not None:
        header = header_of(mask, str(mask), None)
        light = pixels_of(mask, str(mask), header.color, False, None).max(axis=2) > _HALF
        for file, shape in zip(files, images.shapes.tolist(), strict=True):
            if list(light.shape) != shape:
                raise ValueError(
                    f"{mask}: the mask has {light.shape[0]} x {light.shape[1]} pixels, and {file.name} "
                    f"{shape[0]} x {shape[1]}; make it of that size."
                )
        hidden = torch.from_numpy(light).flatten()
        known = [flags & ~hidden for flags in known]
    return images, torch.cat(known)


def _opaque(path: Path) -> Tensor:
    """Return which pixels are not fully transparent, row by row; turned as the picture is."""
    with guarded(path), Image.open(path) as image:
        if image.mode not in ("LA", "RGBA", "PA", "La", "RGBa") and "transparency" not in image.info:
            header = header_of(path, None, None)
            return torch.ones(header.height * header.width, dtype=torch.bool)
        alpha = image.convert("RGBA").getchannel("A")
        alpha.getexif()[0x0112] = image.getexif().get(0x0112, 1)
        values = pixels_of(alpha, None, False, False, None)
    return torch.from_numpy(np.ascontiguousarray(values[:, :, 0] > 0)).flatten()


def as_channels(images: Graphs, channels: str) -> Graphs:
    """Return images with other channels: colours as brightness, grey as three equal channels; it is said."""
    known = images.modality
    if not isinstance(known, Pictures) or known.channels == channels or images.x is None:
        return images
    modality = Pictures(channels, known.bits)
    notify(f"the images in {known.channels} were converted to {channels}, as the model knows.")
    x = images.x.expand(-1, 3) if channels == "rgb" else images.x @ images.x.new_tensor(_WEIGHTS)[:, None]
    return images.replace(x=x.contiguous(), modality=modality, feature_names=modality.names)
