"""What is known of an image that is to be completed: a part, its middle, every k-th pixel, a channel.

Each gives a mask for `noisefold.Model.complete`, True where a value is known; where the image becomes larger,
also the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from noisefold.arguments import whole
from noisefold.data.images.canvas import shapes_of
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.lattice import lattices, node_values, pixel_positions
from noisefold.geometry.names import nearest_name

__all__ = ["enlarged", "known_channels", "known_outside", "known_pixels", "with_margin"]


def known_pixels(images: Graphs, mask: Any) -> Tensor:
    """Return which pixels are known, ``[n]`` bool, from a mask for each image.

    Parameters
    ----------
    images
        The images.
    mask
        True where a pixel is known: ``[h, w]`` for all images of that size, or a list with one for each.

    Raises
    ------
    ValueError
        If a mask is not of the size of its image.
    """
    shapes = shapes_of(images)
    one = not isinstance(mask, list | tuple) or (len(mask) > 0 and np.ndim(mask[0]) < 2)
    masks = [mask] * len(shapes) if one else list(mask)
    if len(masks) != len(shapes):
        raise ValueError(f"mask must be one for each of the {len(shapes)} images, got {len(masks)}.")
    flags = [torch.as_tensor(np.asarray(m, dtype=bool)) for m in masks]
    for i, (flag, shape) in enumerate(zip(flags, shapes, strict=True)):
        if tuple(flag.shape) != shape:
            raise ValueError(
                f"mask must be {shape[0]} x {shape[1]}, as image {i} is, got shape {list(flag.shape)}."
            )
    by_image = [flag.flatten() for flag in flags]
    return _in_order(images, by_image)


def known_outside(images: Graphs, rows: tuple[int, int], columns: tuple[int, int]) -> Tensor:
    """Return which pixels are known, ``[n]`` bool: all but those of a box.

    Parameters
    ----------
    images
        The images.
    rows, columns
        First row and column of the box, and the first ones behind it.

    Raises
    ------
    ValueError
        If the box has no pixel in an image.
    """
    masks = []
    for shape in shapes_of(images):
        mask = torch.ones(shape, dtype=torch.bool)
        mask[slice(*rows), slice(*columns)] = False
        if bool(mask.all()):
            raise ValueError(
                f"rows and columns must be a box in {shape[0]} x {shape[1]} pixels, got {rows} and {columns}."
            )
        masks.append(mask.flatten())
    return _in_order(images, masks)


def known_channels(images: Graphs, names: Sequence[str]) -> Tensor:
    """Return which values are known, ``[n, c]`` bool: those of some channels, at every pixel.

    Raises
    ------
    ValueError
        If there is no channel of a name.
    """
    for name in names:
        if name not in images.feature_names:
            near = nearest_name(name, images.feature_names)
            raise ValueError(f"names must be channels, got {name!r}{near}")
    columns = torch.tensor([name in names for name in images.feature_names])
    return columns.expand(images.num_nodes, -1).clone()


def with_margin(images: Graphs, margin: int) -> tuple[Graphs, Tensor]:
    """Return images with a margin of unknown pixels on all sides, and which pixels are known, ``[n]``.

    The margin is NaN; a model draws what lies beyond the frame.
    """
    margin = whole("margin", margin, least=1)
    return _placed(images, lambda n: n + 2 * margin, margin, 1)


def enlarged(images: Graphs, factor: int) -> tuple[Graphs, Tensor]:
    """Return images of `factor` times the height and width, and which pixels are known, ``[n]``.

    Known is one of each factor x factor pixels, the one nearest to the middle; the others are NaN. That is
    the image as a sensor of points would have it, not the average of what a camera's pixel sees.
    """
    factor = whole("factor", factor, least=2)
    return _placed(images, lambda n: n * factor, factor // 2, factor)


def _placed(images: Graphs, side: Any, first: int, step: int) -> tuple[Graphs, Tensor]:
    """Images on larger lattices, their pixels from a first one on and so many apart."""
    if images.x is None:
        raise ValueError("images must have values x.")
    pos: list[Tensor] = [images.pos] * len(images)
    x: list[Tensor] = [images.x] * len(images)
    known: list[Tensor] = [images.x] * len(images)
    for part in lattices(images):
        height, width = side(part.height), side(part.width)
        own = part.images(images.x)
        large = own.new_full((len(part), own.shape[1], height, width), torch.nan)
        rows = slice(first, first + step * part.height, step)
        columns = slice(first, first + step * part.width, step)
        large[:, :, rows, columns] = own
        flags = torch.zeros(height, width, dtype=torch.bool)
        flags[rows, columns] = True
        for k, i in enumerate(part.graphs.tolist()):
            pos[i] = pixel_positions(height, width)
            x[i] = large[k].permute(1, 2, 0).reshape(height * width, -1)
            known[i] = flags.flatten()
    names = ("label", "classes", "modality", "feature_names")
    return Graphs.ragged(pos, x, **{n: getattr(images, n) for n in names}), torch.cat(known)


def _in_order(images: Graphs, masks: Sequence[Tensor]) -> Tensor:
    """Masks of images in row-major order as flags of nodes."""
    parts = []
    for part in lattices(images):
        own = torch.stack([masks[i] for i in part.graphs.tolist()])
        parts.append((part, own.view(len(part), 1, part.height, part.width).float()))
    return node_values(parts, images.pos)[:, 0] > 0
