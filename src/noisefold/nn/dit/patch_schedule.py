r"""Patch size and range of attention of a diffusion transformer at each noise level.

An image is cut into patches of p x p pixels, the supernodes of a noise-conditioned graph network, and tokens
attend within windows of k x k patches. Both may follow the signal level :math:`u = \alpha / (\alpha +
\sigma)`.

The paper lets the side of the image in patches rise with the shape f of a schedule of `noisefold.nn.adaptive`
from its smallest to its largest value and takes the nearest patch there is; `PatchSchedule.graded` does so.

Source: Geometric Generative Modeling with Noise-Conditioned Graph Networks, appendix C.1,
https://arxiv.org/abs/2507.09391.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Protocol

import torch
from torch import Tensor

from noisefold.configuration import configurable

__all__ = ["PatchSchedule"]


class _Shape(Protocol):
    """A schedule given by its shape, such as `noisefold.nn.adaptive.Exponential`."""

    @property
    def reverse(self) -> bool: ...

    def fraction(self, signal: Tensor) -> Tensor: ...


@configurable
@dataclass(frozen=True)
class PatchSchedule:
    """Side of the patches, and of the windows of attention, in each tier of signal levels.

    Tier i covers the signal levels from ``splits[i - 1]`` to just below ``splits[i]``; there is one tier more
    than splits. One size and no split is the same patch at every level.

    Parameters
    ----------
    sizes
        Sides of the patches in pixels, one for each tier from the noisiest to the cleanest.
    splits
        Signal levels in (0, 1), increasing.
    windows
        Sides of the windows in patches, one for each tier; 0 has every token attend to all. Empty for 0 in
        every tier.

    Raises
    ------
    ValueError
        If the splits do not increase within (0, 1), or the numbers do not match.

    Examples
    --------
    >>> PatchSchedule.late()
    PatchSchedule(sizes=(4, 2), splits=(0.95,), windows=(0, 0))
    """

    sizes: tuple[int, ...] = (4,)
    splits: tuple[float, ...] = ()
    windows: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        tiers = len(self.splits) + 1
        if any(a >= b for a, b in pairwise((0.0, *self.splits, 1.0))):
            raise ValueError(f"splits must increase strictly within (0, 1), got {self.splits}.")
        if len(self.sizes) != tiers or not all(size >= 1 for size in self.sizes):
            raise ValueError(
                f"sizes must be {tiers} sides of at least 1 pixel, one more than splits, got {self.sizes}."
            )
        windows = self.windows or (0,) * tiers
        if len(windows) != tiers or not all(window >= 0 for window in windows):
            raise ValueError(f"windows must be {tiers} sides, one for each size, 0 for all, got {windows}.")
        object.__setattr__(self, "windows", tuple(windows))

    @classmethod
    def late(cls, coarse: int = 4, fine: int = 2, split: float = 0.95) -> PatchSchedule:
        """Return a schedule of coarse patches, and fine ones near the clean end alone."""
        return cls((coarse, fine), (split,))

    @classmethod
    def graded(
        cls, shape: _Shape, sizes: Sequence[int] = (4, 2, 1), windows: Sequence[int] = ()
    ) -> PatchSchedule:
        """Return a schedule in which the side of the image in patches, rounded to those there are, follows f.

        Parameters
        ----------
        shape
            A schedule of `noisefold.nn.adaptive` with a shape f, such as ``Exponential()``; its `reverse`
            turns the order of the sizes about.
        sizes, windows
            Sides of patches and windows from the noisiest level to the cleanest, sizes decreasing.

        Raises
        ------
        ValueError
            If there are fewer than two sizes, or they do not decrease.
        """
        sizes = tuple(sizes)
        if len(sizes) < 2 or any(a <= b for a, b in pairwise(sizes)) or min(sizes) < 1:
            raise ValueError(f"sizes must be two or more that decrease, none below 1, got {sizes}.")
        sides = [1 / size for size in sizes]
        middles = [((a + b) / 2 - sides[0]) / (sides[-1] - sides[0]) for a, b in pairwise(sides)]
        splits = tuple(_level(shape, middle) for middle in middles)
        if not shape.reverse:
            return cls(sizes, splits, tuple(windows))
        return cls(sizes[::-1], tuple(1 - split for split in reversed(splits)), tuple(windows)[::-1])

    @classmethod
    def by_skill(
        cls,
        explained: Mapping[int, Sequence[float]],
        margin: float = 0.005,
        windows: Mapping[int, int] | None = None,
    ) -> PatchSchedule:
        """Return the coarsest patch at each level that explains as much as the best, up to a margin.

        Parameters
        ----------
        explained
            For each side of patches, the share of the error explained in equal parts of the signal level,
            from the noisiest to the cleanest, as `noisefold.train.measure_skill` measures it for a network of
            these patches.
        margin
            Share of the error that a finer patch must explain in addition to be worth its cost.
        windows
            Sides of windows by side of patches; those not named attend to all.

        Raises
        ------
        ValueError
            If there is no patch, or the numbers of levels differ.
        """
        counts = {len(shares) for shares in explained.values()}
        if len(counts) != 1 or 0 in counts:
            raise ValueError(
                f"explained must give the shares of as many levels for every size, got {sorted(counts)}."
            )
        (levels,) = counts
        chosen = []
        for at in zip(*explained.values(), strict=True):
            enough = max(at) - margin
            chosen.append(max(size for size, share in zip(explained, at, strict=True) if share >= enough))
        runs = [(size, len(list(run))) for size, run in groupby(chosen)]
        ends = [sum(length for _, length in runs[: i + 1]) / levels for i in range(len(runs) - 1)]
        sizes = tuple(size for size, _ in runs)
        return cls(sizes, tuple(ends), tuple((windows or {}).get(size, 0) for size in sizes))

    def tier(self, signal: Tensor) -> Tensor:
        """Return the tier of every signal level ``[g]``, int64 ``[g]``."""
        splits = torch.tensor(self.splits, dtype=signal.dtype, device=signal.device)
        return torch.bucketize(signal, splits, right=True)

    @property
    def shares(self) -> tuple[float, ...]:
        """Share of the signal levels in each tier, if all are equally frequent."""
        return tuple(b - a for a, b in pairwise((0.0, *self.splits, 1.0)))


def _level(shape: _Shape, value: float) -> float:
    """Return the signal level at which the shape f, or that which it reverses, reaches a value."""
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        below = float(shape.fraction(torch.tensor(middle, dtype=torch.float64))) < value
        low, high = (middle, high) if below else (low, middle)
    return high
