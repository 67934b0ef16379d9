r"""Principal components of many numbers: a covariance of low rank, and one variance for the rest.

Source: Tipping and Bishop, Probabilistic principal component analysis (1999),
https://doi.org/10.1111/1467-9868.00196; for more numbers than a covariance is decomposed of, Halko,
Martinsson and Tropp, Finding structure with randomness (2011), https://arxiv.org/abs/0909.4061.
"""

from __future__ import annotations

import torch
from torch import Tensor

from noisefold.geometry.gp import eigh, svd

__all__ = ["principal_components"]

_LEAST = 1e-4  # smallest variance, in units of that of the data
_EXACT_UP_TO = 1200  # numbers whose whole covariance is decomposed


def principal_components(values: Tensor, rank: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return components ``[D, r]``, their variances ``[r]`` and the rest's, of centred ``values [k, D]``."""
    count, size = values.shape
    values = values.double()
    total = values.square().sum() / max(count, 1)
    if size <= min(count, _EXACT_UP_TO):
        found, vectors = eigh(values.T @ values / count)
        vectors, found = vectors.flip(1)[:, :rank], found.flip(0)[:rank]
    else:
        vectors, roots = _right(values, rank)
        found = roots.square() / max(count, 1)
    if len(found) < rank:  # fewer graphs than components: any others, of no variance
        vectors = torch.linalg.qr(torch.cat([vectors, torch.eye(size, rank).to(vectors)], 1))[0][:, :rank]
        found = torch.cat([found, found.new_zeros(rank - len(found))])
    rest = (total - found.sum()) / (size - rank) if size > rank else found[-1]
    rest = rest.clamp(min=_LEAST)
    return vectors, found.clamp(min=float(rest)), rest


def _right(values: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Return the first right singular vectors ``[D, r]`` and singular values ``[r]`` of ``values [k, D]``."""
    if min(values.shape) <= _EXACT_UP_TO:
        _, roots, rows = svd(values)
        return rows[:rank].T, roots[:rank]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _, roots, vectors = torch.svd_lowrank(values, rank + 16, niter=4)
    return vectors[:, :rank], roots[:rank]
