"""Images as graphs whose pixels are kept as they are in files, a byte each, and become numbers when taken.

Positions of pixels on a lattice need not be kept at all, and values in float32 take four times the memory of
bytes. So a data set holds its bytes alone, and what is asked of `pos` and `x` is computed of those images
that were taken: of a batch, not of the data set.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from noisefold.data.images.modality import Pictures
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.lattice import pixel_positions
from noisefold.geometry.mapped import Ranges, gather, touched
from noisefold.geometry.selection import rows_of

__all__ = ["PixelGraphs"]

_KEPT = 1 << 22  # numbers of positions or values that are kept once they were computed
_FREE = ("label", "classes", "modality", "feature_names")  # what changes without a look at pixels


class PixelGraphs(Graphs):
    """Images as graphs, of which bytes are kept and numbers are computed when they are asked for.

    Everything else is as of `noisefold.Graphs`; what is not one image after another, such as
    ``replace(x=...)``, gives plain `noisefold.Graphs`.

    Parameters
    ----------
    pixels
        Values of all images one after another, row by row, ``[n, c]``, uint8, or float32 in [0, 255].
    shapes
        Height and width of each image, ``[g, 2]``, int64.
    label, classes
        A class for each image ``[g]``, and their names.
    modality
        Channels and bits.
    held
        Which images a folder or a file names as held out, ``[g]`` bool, or None.

    Raises
    ------
    ValueError
        If shapes and pixels do not fit together.
    """

    pixels: Tensor
    shapes: Tensor
    held: Tensor | None

    def __init__(
        self,
        pixels: Tensor,
        shapes: Tensor,
        label: Tensor | None = None,
        classes: tuple[str, ...] = (),
        modality: Pictures | None = None,
        held: Tensor | None = None,
        feature_names: tuple[str, ...] = (),
    ) -> None:
        sizes = shapes.prod(1)
        ptr = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
        if pixels.ndim != 2 or int(ptr[-1]) != len(pixels):
            raise ValueError(f"pixels must be [{int(ptr[-1])}, c], as shapes say, got {list(pixels.shape)}.")
        if label is not None and len(label) != len(shapes):
            raise ValueError(f"label must be one for each of the {len(shapes)} images, got {len(label)}.")
        names = feature_names or (() if modality is None else modality.names)
        fields = {"pixels": pixels, "shapes": shapes, "held": held, "ptr": ptr, "label": label}
        # Past the frozen dataclass, whose `pos` and `x` are computed here.
        vars(self).update(fields, classes=classes, modality=modality, feature_names=names)

    @property
    def pos(self) -> Tensor:
        """Row and column of each pixel, ``[n, 2]``."""
        return self._kept("_pos")

    @property
    def x(self) -> Tensor:
        """Values of each pixel, ``[n, c]``, float32 in [0, 255]."""
        return self._kept("_x")

    def _kept(self, name: str) -> Tensor:
        found = vars(self).get(name)
        if found is None:
            found = self.pixels.float() if name == "_x" else self._positions()
            if found.numel() <= _KEPT:
                vars(self)[name] = found
        return found

    def _positions(self) -> Tensor:
        if self.uniform_shape is not None:
            return pixel_positions(*self.uniform_shape).to(self.device).repeat(len(self), 1)
        parts = [pixel_positions(h, w) for h, w in self.shapes.tolist()]
        return (torch.cat(parts) if parts else torch.zeros(0, 2)).to(self.device)

    @cached_property
    def uniform_shape(self) -> tuple[int, int] | None:
        """Common height and width if all images have the same, else None."""
        if len(self) == 0 or bool((self.shapes != self.shapes[0]).any()):
            return None
        height, width = self.shapes[0].tolist()
        return height, width

    @property
    def num_nodes(self) -> int:
        """Number of pixels of all images together."""
        return len(self.pixels)

    @property
    def dim(self) -> int:
        """Dimension of space, 2."""
        return 2

    @property
    def features(self) -> int:
        """Number of channels."""
        return self.pixels.shape[1]

    @property
    def device(self) -> torch.device:
        """Device of the pixels."""
        return self.pixels.device

    @property
    def dtype(self) -> torch.dtype:
        """Floating type of positions and values."""
        return torch.float32

    def __getitem__(self, index: int | slice | Sequence[int] | Tensor) -> PixelGraphs:
        """Return some of the images, in order; their pixels stay bytes."""
        chosen = rows_of(len(self), index, self.device)
        return self._like(
            pixels=self._pixels_of(chosen),
            shapes=self.shapes[chosen],
            label=None if self.label is None else self.label[chosen],
            held=None if self.held is None else self.held[chosen],
        )

    def _pixels_of(self, chosen: Tensor) -> Tensor:
        if self.uniform_shape is None:
            return Ranges(self.ptr[chosen], self.sizes[chosen]).of(self.pixels)
        # Whole images are rows of their own, which is ten times as fast as pixel by pixel.
        taken = gather(self.pixels.view(len(self), -1), chosen).view(-1, self.features)
        touched(self.pixels, taken.numel() * taken.element_size())
        return taken

    def nodes(self, rows: slice) -> Graphs:
        """Return consecutive pixels of all as one graph without a class."""
        number = torch.arange(self.num_nodes, device=self.device)[rows]
        graph = torch.searchsorted(self.ptr, number, right=True) - 1
        local, width = number - self.ptr[graph], self.shapes[graph, 1]
        pos = torch.stack([local // width, local % width], dim=1).float()
        return Graphs(
            pos, self.pixels[rows].float(), modality=self.modality, feature_names=self.feature_names
        )

    def touched(self, rows: int) -> None:
        """Say that so many pixels were read."""
        touched(self.pixels, rows * self.features * self.pixels.element_size())

    def replace(self, **changes: Any) -> Graphs:
        """Return a copy with some fields replaced; pixels stay bytes where only classes and the like change.

        Other changes give plain graphs.
        """
        plain = {f.name: f.default for f in dataclasses.fields(Graphs)}
        # What an image never has may be left out once more.
        real = {k: v for k, v in changes.items() if k in _FREE or v is not plain.get(k) or k in ("pos", "x")}
        if set(real) <= set(_FREE):
            if len(real.get("feature_names", ())) not in (0, self.features):
                raise ValueError(
                    f"feature_names must name {self.features} channels, got {len(real['feature_names'])}."
                )
            return self._like(**real)
        fields = {name: getattr(self, name) for name in ("ptr", *_FREE)}
        for name in ("pos", "x"):  # not computed where they are replaced
            fields[name] = real[name] if name in real else getattr(self, name)
        columns = 0 if fields["x"] is None else fields["x"].shape[1]
        if len(self.feature_names) != columns:
            fields["feature_names"] = ()
        return Graphs(**{**fields, **real})

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Graphs:
        """Move the images to a device; another type than float32 gives plain graphs."""
        names = ("pixels", "shapes", "label", "held")
        moved = {n: None if (v := getattr(self, n)) is None else v.to(device) for n in names}
        there = self._like(**moved)
        if dtype in (None, torch.float32):
            return there
        return there.replace(pos=there.pos.to(dtype), x=there.x.to(dtype))

    def _like(self, **changes: Any) -> PixelGraphs:
        names = ("pixels", "shapes", "held", *_FREE)
        return PixelGraphs(**{**{n: getattr(self, n) for n in names}, **changes})

    def __repr__(self) -> str:
        low, high = (
            f(self.shapes, 0).values.tolist() if len(self) else [0, 0] for f in (torch.min, torch.max)
        )
        size = f"{low[0]} x {low[1]}" + ("" if low == high else f" to {high[0]} x {high[1]}")
        parts = [f"{len(self)} image{'s' if len(self) != 1 else ''}", f"{size} pixels"]
        if isinstance(self.modality, Pictures):
            parts.append(self.modality.channels + (", 16 bits" if self.modality.bits == 16 else ""))
        if self.classes:
            parts.append(f"{len(self.classes)} classes")
        return f"PixelGraphs({', '.join(parts)})"
