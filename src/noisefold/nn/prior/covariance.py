"""Covariances in space to choose from, and how well each predicts a field."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["JITTER", "LEAST", "NUGGETS", "crps", "grid", "magnitude", "matern", "tried"]

NUGGETS = (0.003, 0.01, 0.04, 0.12, 0.3, 0.6, 0.8, 0.92, 0.98)
"""Shares of what neighbours do not have in common."""
JITTER = 1e-4
"""Added to the diagonal of covariances."""
LEAST = 1e-4
"""Smallest variance."""
_LENGTHS, _STRETCH = 6, 2.0


def magnitude(mean: Tensor, spread: Tensor) -> Tensor:
    """Mean absolute value of normal laws."""
    z = mean / spread
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    return spread * (z * torch.erf(z / math.sqrt(2)) + 2 * density)


def crps(x: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
    """CRPS of normal laws."""
    return magnitude(x - mean, spread) - spread / math.sqrt(math.pi)


def matern(r: Tensor) -> Tensor:
    """Matern 3/2 correlation at distances in length-scales."""
    return (1 + math.sqrt(3) * r) * torch.exp(-math.sqrt(3) * r)


def grid(pos: Tensor) -> list[tuple[float, Tensor]]:
    """Length-scales from the distance of neighbours to twice the extent, with no axis or one stretched."""
    gap = torch.cdist(pos, pos)
    near = torch.where(gap > 0, gap, math.inf).amin(1).median()
    lengths = torch.logspace(float(near.log10()), float((2 * gap.max()).log10()), _LENGTHS).tolist()
    dim = pos.shape[1]
    axes = [pos.new_ones(dim)]
    for axis in range(dim):
        for factor in (_STRETCH, 1 / _STRETCH):
            axes.append(axes[0].index_fill(0, torch.tensor(axis, device=pos.device), factor))
    return [(length, stretch) for length in lengths for stretch in axes]


def tried(
    parts: list[tuple[Tensor, Tensor, Tensor]], length: float, stretch: Tensor
) -> tuple[Tensor, Tensor]:
    """CRPS in holes and at single nodes, and the spread that fits, ``[features, nuggets]`` each."""
    scores, spreads = [], []
    places = [(pos * stretch, there) for pos, _, there in parts]
    shared = [matern(torch.cdist(place[there], place) / length) for place, there in places]
    for nugget in NUGGETS:
        away: list[list[Tensor]] = [[], []]
        left: list[list[Tensor]] = [[], []]
        for (_, x, there), common in zip(parts, shared, strict=True):
            cov = (1 - nugget) * common
            inner = cov[:, there] + (nugget + JITTER) * torch.eye(int(there.sum())).to(common)
            root = torch.linalg.cholesky(inner)
            inverse = torch.cholesky_inverse(root)
            weight = inverse @ cov[:, ~there]
            own = inverse.diagonal()[:, None]
            away[0].append(x[~there] - weight.T @ x[there])
            left[0].append(1 - (weight * cov[:, ~there]).sum(0)[:, None])
            away[1].append(inverse @ x[there] / own)
            left[1].append(1 / own)
        score, spread = parts[0][1].new_zeros(2, parts[0][1].shape[1])
        for e, v in ((torch.cat(e), torch.cat(v).clamp(min=LEAST)) for e, v in zip(away, left, strict=True)):
            own = (e.square() / v).mean(0).clamp(min=LEAST)
            score += crps(e, e.new_zeros(()), (v * own).sqrt()).mean(0)
            spread += own / 2
        scores.append(score)
        spreads.append(spread)
    return torch.stack(scores, 1), torch.stack(spreads, 1)
