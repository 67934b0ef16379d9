"""Candidate covariances in space, and how well each predicts a field (Matern 3/2, a nugget, stretched axes).

Everything here is in float32, as networks are: variances below 1e-4 are not asked for.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from noisefold.geometry.correlation import Matern
from noisefold.geometry.gp import factor, leave_one_out
from noisefold.geometry.kernels import distances

__all__ = [
    "JITTER",
    "LEAST",
    "MOST",
    "NUGGETS",
    "candidates",
    "correlations",
    "cross_validated",
    "crps",
    "magnitude",
]

NUGGETS = (0.003, 0.01, 0.04, 0.12, 0.3, 0.6, 0.8, 0.92, 0.98)
"""Candidate shares of the variance that belong to the nugget."""
JITTER = 1e-4
"""Added to the diagonal of covariances."""
LEAST = 1e-4
"""Smallest variance."""
MOST = 4.0
"""Largest variance, in units of that of the data."""
_LENGTHS, _STRETCH = 6, 2.0
_MATERN = Matern(1.0, 1.5)
_ROUNDED = 0.02  # length-scales: 1.5 times its square is a fifth of the smallest nugget


def magnitude(mean: Tensor, spread: Tensor) -> Tensor:
    """Return the mean absolute value of normal distributions."""
    z = mean / spread
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    return spread * (z * torch.erf(z / math.sqrt(2)) + 2 * density)


def crps(x: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
    """Return the CRPS of normal distributions at x."""
    return magnitude(x - mean, spread) - spread / math.sqrt(math.pi)


def correlations(place: Tensor, length: float | Tensor, rows: Tensor | None = None) -> Tensor:
    """Return the Matern 3/2 correlation ``[r, n]`` of the nodes `rows` with all nodes at ``place [n, d]``.

    Distances are computed by a matrix product where that is accurate. What it makes of the distance of a node
    from itself is its error, and where that is no longer small beside the length-scale, as for nodes close to
    each other and far from the origin, a matrix of such correlations is not positive definite.
    """
    some = place if rows is None else place[rows]
    gap = torch.cdist(some, place)
    own = (gap if rows is None else gap[:, rows]).diagonal()
    if len(own) and float(own.max()) > _ROUNDED * float(length):
        gap = distances(some, place)
    return _MATERN(gap / length)


def candidates(pos: Tensor) -> list[tuple[float, Tensor]]:
    """Return length-scales from the distance of neighbours to twice the extent, no axis or one stretched."""
    gap = torch.cdist(pos, pos)
    near = torch.where(gap > 0, gap, math.inf).amin(1).median()
    lengths = torch.logspace(float(near.log10()), float((2 * gap.max()).log10()), _LENGTHS).tolist()
    dim = pos.shape[1]
    axes = [pos.new_ones(dim)]
    for axis in range(dim):
        for stretch in (_STRETCH, 1 / _STRETCH):
            axes.append(axes[0].index_fill(0, torch.tensor(axis, device=pos.device), stretch))
    return [(length, stretch) for length in lengths for stretch in axes]


def cross_validated(
    parts: list[tuple[Tensor, Tensor, Tensor]], length: float, stretch: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the CRPS in holes and at single nodes, and the variance that fits, ``[features, nuggets]`` each.

    Parameters
    ----------
    parts
        Positions ``[n, d]``, values ``[n, f]`` and which nodes are left if a hole is cut ``[n]``, by graph.
    length, stretch
        The candidate: coordinates are multiplied by ``stretch [d]``.
    """
    scores, variances = [], []
    shared = [correlations(pos * stretch, length, there.nonzero().view(-1)) for pos, _, there in parts]
    for nugget in NUGGETS:
        residual: list[list[Tensor]] = [[], []]
        expected: list[list[Tensor]] = [[], []]
        for (_, x, there), common in zip(parts, shared, strict=True):
            cov = (1 - nugget) * common
            observed = factor(cov[:, there] + (nugget + JITTER) * torch.eye(int(there.sum())).to(common))
            single = leave_one_out(observed, x[there])
            weight = observed.inverse @ cov[:, ~there]  # leaving one out has made the inverse
            residual[0].append(x[~there] - weight.T @ x[there])
            expected[0].append(1 - (weight * cov[:, ~there]).sum(0)[:, None])
            residual[1].append(single.residual)
            expected[1].append(single.variance)
        score, variance = parts[0][1].new_zeros(2, parts[0][1].shape[1])
        for case in range(2):
            e, v = torch.cat(residual[case]), torch.cat(expected[case]).clamp(min=LEAST)
            own = (e.square() / v).mean(0).clamp(min=LEAST)
            score += crps(e, e.new_zeros(()), (v * own).sqrt()).mean(0)
            variance += own / 2
        scores.append(score)
        variances.append(variance)
    return torch.stack(scores, 1), torch.stack(variances, 1)
