r"""Compute budget: how much of a network is used at each noise level.

Where noise hides everything but the covariance of the data, the best linear estimate needs no network, and
where it hides most a part of the network suffices. So the depth, the number of latents and the width of the
perceptrons may follow the signal level :math:`u = \alpha / (\alpha + \sigma)`, as range and resolution do.
Look-alikes: early exit, dynamic depth, slimmable networks.
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
    """Fractions of a network that are used in each tier of signal levels.

    Tier i covers the signal levels from ``splits[i - 1]`` to just below ``splits[i]``; there is one tier more
    than splits. A depth of 0 skips the network. Its prediction is then zero, which a residual `Target` reads
    as the best linear estimate. A smaller tier uses the first parts of a larger one, so that all tiers train
    the same weights.

    Parameters
    ----------
    splits
        Signal levels in (0, 1), increasing.
    depth, latents, width
        Fractions in [0, 1] of the rounds, of the latents and of the hidden width of the perceptrons at the
        points, one for each tier; empty for 1 in every tier. Any fraction above 0 keeps at least one.

    Raises
    ------
    ValueError
        If the splits do not increase within (0, 1), or the number of fractions does not match.

    Examples
    --------
    Nothing below a signal level of 0.3, half of everything up to 0.5:

    >>> budget = ComputeBudget((0.3, 0.5), depth=(0.0, 0.5, 1.0), latents=(0.0, 0.5, 1.0))
    >>> budget.part(budget.depth[1], 2)
    1
    """

    splits: tuple[float, ...] = ()
    depth: tuple[float, ...] = ()
    latents: tuple[float, ...] = ()
    width: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        tiers = len(self.splits) + 1
        if any(a >= b for a, b in pairwise((0.0, *self.splits, 1.0))):
            raise ValueError(f"splits must increase strictly within (0, 1), got {self.splits}.")
        for name in ("depth", "latents", "width"):
            fractions = getattr(self, name) or (1.0,) * tiers
            if len(fractions) != tiers or not all(0 <= f <= 1 for f in fractions):
                raise ValueError(
                    f"{name} must be {tiers} fractions in [0, 1], one more than splits, got {fractions}."
                )
            object.__setattr__(self, name, tuple(fractions))

    def tier(self, signal: Tensor) -> Tensor:
        """Return the tier of every signal level ``[g]``, int64 ``[g]``."""
        splits = torch.tensor(self.splits, dtype=signal.dtype, device=signal.device)
        return torch.bucketize(signal, splits, right=True)

    def skips(self, tier: int) -> bool:
        """Return whether a tier skips the network."""
        return self.depth[tier] == 0

    @staticmethod
    def part(fraction: float, whole: int) -> int:
        """Return how many of `whole` parts a fraction above 0 keeps: at least one."""
        # A fraction such as 2 / 3 of 3 must not become 3 by rounding in floats.
        return max(1, math.ceil(fraction * whole - 1e-9))
