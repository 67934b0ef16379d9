r"""Skill by noise level: what a network explains beyond the best linear estimate.

At every signal level the network's squared error of the data is compared with that of the best linear
estimate, :math:`\alpha x_t / (\alpha^2 + \sigma^2)`, on the same states. The share
of the error that the network explains,

.. math:: e(u) = 1 - \frac{E|x_0 - \hat x_0|^2}{E|x_0 - \hat x_0^{\text{linear}}|^2},

is zero where noise hides all but the spread of the data, whatever the target and the path. It is a property
of the data as much as of the network, and is measured, not assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.graphs import Graphs
from noisefold.nn.compute_budget import ComputeBudget
from noisefold.nn.denoiser import Denoiser
from noisefold.noise.levels import LevelDistribution
from noisefold.noise.source import Streams, derive_seed
from noisefold.progress import progress

__all__ = ["SkillByLevel", "measure_skill"]


@configurable
@dataclass(frozen=True)
class SkillByLevel:
    """Share of the linear estimate's error that a network explains, in equal parts of the signal level.

    Parameters
    ----------
    explained
        The share in each part, from the noisiest to the cleanest; below 0 where the network is worse.
    error
        Its standard error over graphs.
    """

    explained: tuple[float, ...]
    error: tuple[float, ...]

    @property
    def edges(self) -> tuple[float, ...]:
        """Signal levels between the parts, 0 and 1 included."""
        count = len(self.explained)
        return tuple(i / count for i in range(count + 1))

    def quiet(self, share: float = 0.01) -> float:
        """Return the signal level below which less than this share is explained, at every level."""
        for level, explained in zip(self.edges, self.explained, strict=False):
            if explained >= share:
                return level
        return 1.0

    def compute_budget(self, idle: float = 0.01, half: float = 0.1) -> ComputeBudget:
        """Return a budget: nothing where less than `idle` is explained, half of it where less than `half` is.

        Raises
        ------
        ValueError
            If the shares are not in order.
        """
        if not 0 <= idle <= half:
            raise ValueError(f"idle and half must satisfy 0 <= idle <= half, got {idle} and {half}.")
        tiers = {self.quiet(idle): 0.5, self.quiet(half): 1.0}
        shares = [0.0, *(share for level, share in tiers.items() if 0 < level < 1)]
        splits = tuple(level for level in tiers if 0 < level < 1)
        if 0.0 in tiers:
            shares[0] = tiers[0.0]
        return ComputeBudget(splits, depth=tuple(shares), width=tuple(shares))

    def levels(self, floor: float = 0.1) -> LevelDistribution:
        """Return a distribution of levels that follows what is explained, with a share `floor` spread evenly.

        Raises
        ------
        ValueError
            If floor is not in (0, 1], or nothing is explained anywhere.
        """
        if not 0 < floor <= 1:
            raise ValueError(f"floor must lie in (0, 1], got {floor}.")
        gains = [max(0.0, e) for e in self.explained]
        total = sum(gains)
        if total == 0:
            raise ValueError("the profile explains nothing at any level; train the network first.")
        even = floor / len(gains)
        return LevelDistribution(self.edges, tuple(even + (1 - floor) * gain / total for gain in gains))


@torch.no_grad()
def measure_skill(
    denoiser: Denoiser[Any, Any],
    data: Graphs,
    levels: int = 20,
    batch: int = 64,
    seed: int = 0,
    most: int = 256,
) -> SkillByLevel:
    """Measure the skill of a denoiser on graphs that training has not seen.

    Parameters
    ----------
    denoiser
        The trained denoiser; left in evaluation mode.
    data
        Standardised graphs.
    levels
        Equal parts of the signal level; one level, in the middle of each, is measured.
    batch
        Graphs at a time.
    seed
        Of the noise, the same at every level.
    most
        Graphs used at most.

    Raises
    ------
    ValueError
        If there are fewer than two graphs, or fewer than one level.
    """
    if len(data) < 2 or levels < 1:
        raise ValueError(f"measure_skill needs 2 graphs and 1 level at least, got {len(data)} and {levels}.")
    denoiser.eval()
    device = denoiser.device
    count = min(len(data), most)
    explained, error = [], []
    with progress("profile", levels) as advance:
        for level in range(levels):
            own, linear = [], []
            for start in range(0, count, batch):
                part = data[start : min(start + batch, count)].to(device)
                streams = Streams(seed, [derive_seed(seed, i) for i in range(start, start + len(part))])
                found = _squares(denoiser, part, streams, (level + 0.5) / levels)
                own.append(found[0].cpu())
                linear.append(found[1].cpu())
            a, b = torch.cat(own).double(), torch.cat(linear).double()
            ratio = float(a.mean() / b.mean())
            explained.append(1 - ratio)
            # Standard error of a ratio of means, to first order.
            error.append(float((a - ratio * b).std() / b.mean() / count**0.5))
            advance(1, "")
    return SkillByLevel(tuple(explained), tuple(error))


def _squares(
    denoiser: Denoiser[Any, Any], graphs: Graphs, streams: Streams, level: float
) -> tuple[Tensor, Tensor]:
    """Return the errors of every graph, ``[g]``, of the network's estimate and of the linear one."""
    path, target, clean = denoiser.path, denoiser.target, denoiser.variable.read(graphs)
    log_snr = 2 * torch.logit(torch.tensor(level, dtype=torch.float64))
    t = path.clip(path.time(log_snr)).to(graphs.pos).expand(len(graphs))
    state = path.corrupt(clean, t, graphs, streams)
    estimate = denoiser(graphs, state, t, graphs.label)
    plain = target.baseline(state, t, path, graphs)
    return target.error(estimate, clean, graphs), target.error(plain, clean, graphs)
