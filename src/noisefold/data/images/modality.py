"""Images as a modality: their channels and bits, and how they are held out."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from noisefold.arguments import one_of
from noisefold.configuration import configurable
from noisefold.geometry.graphs import Graphs

__all__ = ["CHANNELS", "MOST", "Pictures"]

CHANNELS: dict[str, tuple[str, ...]] = {"grey": ("grey",), "rgb": ("red", "green", "blue")}
"""Names of the features of each kind of image."""
MOST = 255.0
"""White, whatever the number of bits."""
_BITS = (8, 16)


@configurable
@dataclass(frozen=True)
class Pictures:
    r"""Images as graphs: ``pos [h w, 2]`` row and column of each pixel's centre, row by row; ``x [h w, c]``.

    Values lie in [0, 255] whatever the bits, so that one level of an image of b bits is
    :math:`255 / (2^b - 1)`.

    Parameters
    ----------
    channels
        "grey" or "rgb".
    bits
        Bits of each channel, 8 or 16.

    Raises
    ------
    ValueError
        If one is none of these.
    """

    channels: str = "rgb"
    bits: int = 8

    def __post_init__(self) -> None:
        one_of("channels", self.channels, tuple(CHANNELS))
        if self.bits not in _BITS:
            raise ValueError(f"bits must be one of {', '.join(map(str, _BITS))}, got {self.bits!r}.")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the channels."""
        return CHANNELS[self.channels]

    @property
    def level(self) -> float:
        """Distance between two neighbouring values."""
        return float(MOST / (2**self.bits - 1))

    def split(self, graphs: Graphs, fraction: float, seed: int = 0) -> tuple[Graphs, Graphs]:
        """Return two disjoint parts: as folders or files named them, or else at random.

        Raises
        ------
        ValueError
            If there are fewer than two images.
        """
        held = getattr(graphs, "held", None)
        if held is not None and bool(held.any()) and not bool(held.all()):
            return graphs[(~held).nonzero()[:, 0]], graphs[held.nonzero()[:, 0]]
        if len(graphs) < 2:
            raise ValueError(f"a split needs at least 2 images, got {len(graphs)}.")
        order = torch.randperm(len(graphs), generator=torch.Generator().manual_seed(seed)).to(graphs.device)
        cut = min(max(round(fraction * len(graphs)), 1), len(graphs) - 1)
        return graphs[order[:cut]], graphs[order[cut:]]
