r"""Effort: how much of a network works at each level of noise.

Range and resolution are not all that can follow the noise. Where noise hides everything but the data's spread
the best answer is known without any network, and where it hides little a part of the network may do; so its
depth, its latents and the width of its perceptrons follow the signal level u as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from noisefold.configuration import configurable

__all__ = ["ComputeBudget"]


@configurable
@dataclass(frozen=True)
class ComputeBudget:
    """Shares of a network that work in each tier of signal levels.

    Tier i holds the levels from ``splits[i - 1]`` to just below ``splits[i]``; there is one tier more than
    splits. A share of the depth of 0 leaves the network out, and its answer is zero, which a `Target` that is
    residual reads as the best linear estimate. The parts that work in a smaller tier are the first of those
    that work in a larger one, so all tiers train them.

    Parameters
    ----------
    splits
        Signal levels in (0, 1), rising.
    depth, latents, width
        Shares in [0, 1] of the rounds, the latents, and the inner width of the perceptrons at the points, one
        for each tier; any share above 0 keeps at least one.

    Raises
    ------
    ValueError
        If the splits do not rise within (0, 1), or the shares do not fit them.

    Examples
    --------
    Nothing below a signal level of .3, half of everything up to .5:

    >>> effort = ComputeBudget((0.3, 0.5), depth=(0.0, 0.5, 1.0), latents=(0.0, 0.5, 1.0))
    >>> effort.part(effort.depth[1], 2)
    1
    """

    splits: tuple[float, ...] = ()
    depth: tuple[float, ...] = ()
    latents: tuple[float, ...] = ()
    width: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        tiers = len(self.splits) + 1
        inside = (0.0, *self.splits, 1.0)
        if any(a >= b for a, b in pairwise(inside)):
            raise ValueError(f"splits must rise strictly within (0, 1), got {self.splits}.")
        for name in ("depth", "latents", "width"):
            shares = getattr(self, name) or (1.0,) * tiers
            if len(shares) != tiers or not all(0 <= s <= 1 for s in shares):
                raise ValueError(
                    f"{name} must be {tiers} shares in [0, 1], one more than splits, got {shares}."
                )
            object.__setattr__(self, name, tuple(shares))

    def tier(self, signal: Tensor) -> Tensor:
        """Tier of every signal level, ``[g]``, int64."""
        splits = torch.tensor(self.splits, dtype=signal.dtype, device=signal.device)
        return torch.bucketize(signal, splits, right=True)

    def idle(self, tier: int) -> bool:
        """Whether the network is left out in a tier."""
        return self.depth[tier] == 0

    @staticmethod
    def part(share: float, whole: int) -> int:
        """How many of `whole` parts a share above 0 keeps: at least one."""
        # A share such as 2 / 3 of 3 must not become 3 by rounding in floats.
        return max(1, math.ceil(share * whole - 1e-9))
