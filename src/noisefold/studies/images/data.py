"""The images that studies train on and score against."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from noisefold.geometry import DataSummary, Graphs, Scaling
from noisefold.geometry.lattice import pixel_positions
from noisefold.studies.kit.datasets import Sets, data_folder

__all__ = ["digits", "image_summary"]

_FILE = "images/mnist.npz"
_SIDE = 28
_DIGITS = tuple("0123456789")


def digits(stand_in: bool = False, most: int | None = None) -> Sets:
    """Return the first 20,000 training and 5,000 test images of MNIST, bytes as features of pixels.

    Parameters
    ----------
    stand_in
        Whether bars in ten directions take their place where they are not there.
    most
        At most so many of each.

    Raises
    ------
    ValueError
        If the images are not in the data folder and `stand_in` is False.
    """
    file = data_folder() / _FILE
    if file.is_file():
        with np.load(file, allow_pickle=False) as held:
            parts = [(held[f"x_{part}"][:most], held[f"y_{part}"][:most]) for part in ("train", "test")]
        about = f"MNIST: {len(parts[0][0])} training and {len(parts[1][0])} test images of 28 x 28 pixels."
    elif stand_in:
        parts = [_bars(min(most or 400, 400), seed) for seed in (0, 1)]
        about = f"MNIST was not found in {data_folder()}: bars in ten directions; the numbers mean nothing."
    else:
        raise ValueError(f"this study needs MNIST as {_FILE} in $NOISEFOLD_DATA, or ../shared/data.")
    train, test = (_graphs(torch.from_numpy(x), torch.from_numpy(y).long()) for x, y in parts)
    return Sets(train, test, about)


def image_summary(data: Graphs) -> DataSummary:
    """Return what a model keeps of images: channels are standardised, positions stay in pixels."""
    scaling = replace(Scaling.fit(data[: min(len(data), 2000)]), pos_mean=(0.0, 0.0), pos_scale=1.0)
    return DataSummary.of(data, scaling)


def _graphs(images: torch.Tensor, label: torch.Tensor) -> Graphs:
    place = pixel_positions(*images.shape[1:3])
    x = images.float().reshape(len(images), len(place), -1)
    return Graphs.dense(place.expand(len(images), -1, -1), x, label, _DIGITS)


def _bars(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    label = np.arange(count) % len(_DIGITS)
    angle = np.pi * label / len(_DIGITS) + 0.1 * random.standard_normal(count)
    middle = _SIDE / 2 + random.standard_normal((2, count))
    row, column = np.mgrid[:_SIDE, :_SIDE][:, None] + 0.5 - middle[:, :, None, None]
    off = row * np.cos(angle)[:, None, None] - column * np.sin(angle)[:, None, None]
    return (255 * np.exp(-(off**2) / 4)).astype(np.uint8), label
