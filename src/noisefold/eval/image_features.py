r"""Features of images that distances between sets of images are measured in, without a download.

`DigitClassifier` is a convolutional network that ships with the package. It was trained on the first 20,000
images of MNIST by ``noisefold study image-classifier``, and its last hidden layer gives 64 features. For
other images `RandomFeatures` are those of a convolutional network that was never trained: filters drawn once,
for all. They see edges and colours at two scales, and nothing of what images show.

Source: for random networks in the place of trained ones Naeem et al., Reliable Fidelity and Diversity Metrics
for Generative Models (2020), section 4, https://arxiv.org/abs/2002.09797.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from noisefold.tensor_files import read_tensors

__all__ = ["DigitClassifier", "ImageFeatures", "RandomFeatures", "digit_classifier", "images_of_digits"]

CLASSIFIER = Path(__file__).parents[1] / "assets" / "digits" / "classifier.safetensors"
_BATCH = 256
_SIDE = 28


class ImageFeatures(Protocol):
    """A map from images ``[k, c, h, w]`` in [0, 1] to features ``[k, f]``."""

    name: str

    def __call__(self, images: Tensor) -> Tensor:
        """Return the features ``[k, f]``."""


class DigitClassifier(nn.Module):
    """Convolutional network that tells the ten digits apart, and gives features of them.

    Shapes:
        - **images** ``[k, 1, h, w]`` in [0, 1], resized to 28 x 28 by areas
        - **output** features ``[k, 64]``
    """

    name = "digit classifier"

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 48, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveMaxPool2d(4),
            nn.Flatten(),
            nn.Linear(48 * 16, 64),
            nn.ReLU(),
        )
        self.head = nn.Linear(64, 10)

    def extra_repr(self) -> str:
        """Columns in and out."""
        return "1 x 28 x 28 -> 64"

    def forward(self, images: Tensor) -> Tensor:
        """Return the features ``[k, 64]``."""
        if images.shape[-2:] != (_SIDE, _SIDE):
            images = functional.adaptive_avg_pool2d(images, _SIDE)
        features: Tensor = self.body(2 * images - 1)
        return features

    def logits(self, features: Tensor) -> Tensor:
        """Return the logits of the ten digits, ``[k, 10]``."""
        out: Tensor = self.head(features)
        return out


class RandomFeatures:
    """Features of a convolutional network with random filters, the same for every call and machine.

    Parameters
    ----------
    channels
        Channels of the images.
    """

    name = "random convolutions"

    def __init__(self, channels: int) -> None:
        generator = torch.Generator().manual_seed(channels)
        self.filters = []
        for inputs, outputs in ((channels, 32), (32, 64)):
            drawn = torch.randn(outputs, inputs, 3, 3, generator=generator)
            drawn = drawn - drawn.mean((1, 2, 3), keepdim=True)  # blind to what all pixels share
            self.filters.append(drawn * (2 / (9 * inputs)) ** 0.5)

    def __call__(self, images: Tensor) -> Tensor:
        """Return mean and deviation of the filters' answers and of the colours, ``[k, 192 + 2 channels]``."""
        h, seen = 2 * images - 1, []
        seen.append(h)
        for drawn in self.filters:
            h = functional.conv2d(h, drawn, padding=1).relu()
            seen.append(h)
            h = functional.avg_pool2d(h, 2) if min(h.shape[-2:]) > 1 else h
        moments = [m for maps in seen for m in (maps.mean((2, 3)), maps.std((2, 3), correction=0))]
        return torch.cat(moments, dim=1)


@cache
def digit_classifier() -> DigitClassifier:
    """Return the classifier that ships with the package.

    Raises
    ------
    FileNotFoundError
        If the package was installed without its assets.
    """
    net = DigitClassifier()
    if not CLASSIFIER.is_file():
        raise FileNotFoundError(
            f"the classifier of digits is missing ({CLASSIFIER.name}); the study image-classifier makes it."
        )
    net.load_state_dict({k: v.float() for k, v in read_tensors(CLASSIFIER).items()})
    return net.eval().requires_grad_(False)


def images_of_digits(images: Tensor, classes: tuple[str, ...]) -> bool:
    """Return whether images ``[k, c, h, w]`` are grey, about 28 pixels high, and of the classes 0 to 9."""
    grey = images.shape[1] == 1 and all(_SIDE // 2 <= side <= 2 * _SIDE for side in images.shape[-2:])
    return grey and classes == tuple("0123456789")


@torch.no_grad()
def features_of(images: Tensor, features: ImageFeatures | DigitClassifier) -> Tensor:
    """Return the features ``[k, f]`` of images ``[k, c, h, w]`` in [0, 1], some at a time."""
    return torch.cat([features(part) for part in images.float().split(_BATCH)])
