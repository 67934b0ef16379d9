r"""Block windows of a grid of tokens, shifted by half a window in every other layer.

Tokens attend within windows of k x k tokens. In odd layers the windows are moved by k // 2 along both axes,
so that neighbours on two sides of an edge meet. The grid is padded to whole windows, and padded tokens are no
keys, so that any size is exact and nothing wraps around.

Source: Liu et al., Swin Transformer (2021), section 3.2, https://arxiv.org/abs/2103.14030, without its cyclic
shift.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["Windows"]


@dataclass(frozen=True)
class Windows:
    """Windows of a grid of H x W tokens.

    Parameters
    ----------
    rows, columns
        H and W.
    size
        Side k of a window; 0, or the grid's own side and more, is one window of all.
    shift
        How far windows are moved up and to the left.
    """

    rows: int
    columns: int
    size: int = 0
    shift: int = 0

    @property
    def whole(self) -> bool:
        """Whether every token attends to all."""
        return self.size == 0 or self.size >= max(self.rows, self.columns)

    @property
    def _padding(self) -> tuple[int, int, int, int]:
        """Left, right, above and below."""
        right, below = (-(n + self.shift) % self.size for n in (self.columns, self.rows))
        return self.shift, right, self.shift, below

    @property
    def _counts(self) -> tuple[int, int]:
        return tuple(-(-(n + self.shift) // self.size) for n in (self.rows, self.columns))  # type: ignore[return-value]

    def split(self, tokens: Tensor) -> Tensor:
        """Return tokens ``[g, H W, d]`` by window, ``[g windows, k k, d]``."""
        if self.whole:
            return tokens
        grid = tokens.view(len(tokens), self.rows, self.columns, -1)
        if any(self._padding):
            grid = functional.pad(grid, (0, 0, *self._padding))
        down, across = self._counts
        parts = grid.view(len(tokens), down, self.size, across, self.size, -1)
        return parts.transpose(2, 3).reshape(-1, self.size**2, tokens.shape[-1])

    def join(self, parts: Tensor) -> Tensor:
        """Return what `split` gave as ``[g, H W, d]``."""
        if self.whole:
            return parts
        down, across = self._counts
        grid = parts.view(-1, down, across, self.size, self.size, parts.shape[-1]).transpose(2, 3)
        grid = grid.reshape(-1, down * self.size, across * self.size, parts.shape[-1])
        grid = grid[:, self.shift : self.shift + self.rows, self.shift : self.shift + self.columns]
        return grid.reshape(-1, self.rows * self.columns, parts.shape[-1])

    def mask(self, count: int, device: torch.device) -> Tensor | None:
        """Return which tokens of the windows of `count` images are real, ``[count windows, k k]``."""
        if self.whole or not any(self._padding):
            return None
        real = torch.ones(1, self.rows * self.columns, 1, device=device)
        return (self.split(real)[..., 0] > 0).repeat(count, 1)
