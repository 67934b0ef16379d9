"""Empty images: lattices of pixels of the sizes that a data set has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from noisefold.configuration import configurable
from noisefold.data.images.modality import Pictures
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.lattice import lattices, pixel_positions
from noisefold.geometry.summary import Frames

__all__ = ["Canvas", "shapes_of"]

_SIZES = 256


@configurable
@dataclass(frozen=True)
class Canvas(Frames):
    """Images without values, of sizes that are drawn by their shares in a data set.

    Parameters
    ----------
    modality
        Channels and bits.
    sizes
        Pairs of height and width, from which one is drawn for each image.

    Raises
    ------
    ValueError
        If there is no size.
    """

    modality: Pictures
    sizes: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        if not self.sizes or any(len(pair) != 2 or min(pair) < 1 for pair in self.sizes):
            raise ValueError(f"sizes must hold at least one height and width, got {self.sizes!r}.")

    def __call__(self, draws: Sequence[float]) -> Graphs:
        """Return the pixels of an image for each draw in [0, 1)."""
        chosen = [self.sizes[int(u * len(self.sizes))] for u in draws]
        return Graphs.ragged([pixel_positions(*size) for size in chosen], modality=self.modality)

    @classmethod
    def of(cls, images: Graphs) -> Canvas:
        """Return the canvas of a data set; of many sizes, some."""
        assert isinstance(images.modality, Pictures)
        counted = Counter(shapes_of(images))
        if len(counted) == 1:
            return cls(images.modality, (next(iter(counted)),))
        sizes = sorted(counted.elements())
        return cls(images.modality, tuple(sizes[:: -(-len(sizes) // _SIZES)]))


def shapes_of(images: Graphs) -> list[tuple[int, int]]:
    """Return height and width of each image.

    Raises
    ------
    ValueError
        If nodes are not the pixels of images.
    """
    known = getattr(images, "shapes", None)
    if known is not None:
        return [(height, width) for height, width in known.tolist()]
    shapes = torch.zeros(len(images), 2, dtype=torch.int64)
    for part in lattices(images):
        shapes[part.graphs.cpu()] = torch.tensor([part.height, part.width])
    return [(height, width) for height, width in shapes.tolist()]
