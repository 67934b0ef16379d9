"""Stepwise schedule: range and resolution constant between given signal levels."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.nn.adaptive.schedule import Schedule

__all__ = ["Stepwise"]


@configurable
@dataclass(frozen=True)
class Stepwise(Schedule):
    """Range and resolution constant between given signal levels.

    Graphs of one batch at many levels so have few ranges, and can be computed together.

    Parameters
    ----------
    levels_at
        Signal levels in (0, 1), rising, where range and resolution change.
    ranges
        Ranges from noise to data, one more than levels; at most the number of supernodes.
    shares
        Supernodes as shares of the nodes, in (0, 1], one more than levels; empty for all nodes everywhere.

    Raises
    ------
    ValueError
        If the levels do not rise within (0, 1), or the numbers do not fit them or their range.

    Examples
    --------
    Four times as many neighbours at signal levels below 0.9, that is at a log-SNR below 4.4:

    >>> wide = Stepwise((0.9,), ranges=(48, 12))
    """

    levels_at: tuple[float, ...]
    ranges: tuple[int, ...]
    shares: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        edges = (0.0, *self.levels_at, 1.0)
        if not all(a < b for a, b in pairwise(edges)):
            raise ValueError(f"levels_at must rise within (0, 1), got {self.levels_at}.")
        count = len(self.levels_at) + 1
        if len(self.ranges) != count or min(self.ranges) < 1:
            raise ValueError(f"ranges must be {count} numbers of at least 1, got {self.ranges}.")
        if self.shares and (len(self.shares) != count or not all(0 < s <= 1 for s in self.shares)):
            raise ValueError(f"shares must be {count} numbers in (0, 1], or empty, got {self.shares}.")

    def levels(self, signal: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the range and the resolution of each signal level."""
        edges = torch.tensor(self.levels_at, dtype=signal.dtype, device=signal.device)
        place = torch.bucketize(signal, edges, right=True)
        resolution = nodes
        if self.shares:
            share = torch.tensor(self.shares, dtype=signal.dtype, device=signal.device)[place]
            resolution = torch.ceil(share * nodes).long()
        reach = torch.tensor(self.ranges, device=signal.device)[place]
        return torch.minimum(reach, resolution), resolution
