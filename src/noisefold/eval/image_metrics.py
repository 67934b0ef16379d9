r"""Distances between two sets of images, A (generated) and B (real), in the space of some features.

The Frechet distance of two Gaussians with the sets' means and covariances is

.. math:: FD = |m_A - m_B|^2 + \mathrm{tr}\,(S_A + S_B - 2 (S_A S_B)^{1/2}).

It falls with the number n of images, also for two samples of one distribution, so that it means nothing
without that of real images of the same n. The kernel distance is the unbiased squared MMD with the kernel
:math:`(x \cdot y / f + 1)^3` of f features. Precision, recall, density and coverage compare each set with
balls about the members of the other that reach their fifth neighbour.

Source: Heusel et al., GANs trained by a two time-scale update rule (2017), https://arxiv.org/abs/1706.08500;
Binkowski et al., Demystifying MMD GANs (2018), https://arxiv.org/abs/1801.01401; Kynkaanniemi et al.,
Improved precision and recall metric (2019), https://arxiv.org/abs/1904.06991; Naeem et al., Reliable fidelity
and diversity metrics (2020), https://arxiv.org/abs/2002.09797.
"""

from __future__ import annotations

import torch
from torch import Tensor

from noisefold.geometry.gp import eigh

__all__ = ["balls", "frechet_distance", "kernel_distance", "nearest_distance"]

NEIGHBORS = 5
"""Which neighbour a ball reaches."""


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Return the Frechet distance of the Gaussians of features ``[na, f]`` and ``[nb, f]``."""
    a, b = a.double(), b.double()
    cov_a, cov_b = torch.cov(a.T).reshape(a.shape[1], -1), torch.cov(b.T).reshape(b.shape[1], -1)
    values, vectors = eigh(cov_a)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    # Eigenvalues of the product of two covariances, by a symmetric matrix that shares them.
    shared = eigh(root @ cov_b @ root)[0].clamp(min=0).sqrt().sum()
    moved = (a.mean(0) - b.mean(0)).square().sum()
    return float((moved + cov_a.trace() + cov_b.trace() - 2 * shared).clamp(min=0))


def kernel_distance(within_a: Tensor, between: Tensor, within_b: Tensor) -> float:
    """Return the unbiased squared MMD from kernels ``[na, na]``, ``[na, nb]`` and ``[nb, nb]``.

    It may be below 0 where the sets agree.
    """
    own = [(k.sum() - k.diagonal().sum()) / (len(k) * (len(k) - 1)) for k in (within_a, within_b)]
    return float(own[0] + own[1] - 2 * between.mean())


def balls(within_a: Tensor, between: Tensor, within_b: Tensor) -> dict[str, float]:
    """Return precision, recall, density and coverage from distances ``[na, na]``, ``[na, nb]``, ``[nb, nb]``.

    With fewer than six members of a set a ball reaches the furthest other.
    """
    near = min(NEIGHBORS, len(within_a) - 1, len(within_b) - 1) + 1  # the member itself is the first
    radius_a, radius_b = (w.kthvalue(near, dim=1).values for w in (within_a, within_b))
    in_b, in_a = between <= radius_b, between <= radius_a[:, None]
    return {
        "precision": float(in_b.any(1).double().mean()),
        "recall": float(in_a.any(0).double().mean()),
        "density": float(in_b.double().sum(1).mean() / (near - 1)),
        "coverage": float(in_b.any(0).double().mean()),
    }


def nearest_distance(a: Tensor, b: Tensor, block: int = 512) -> Tensor:
    """Return the distance of each row of ``a [na, f]`` to the nearest of ``b [nb, f]``, ``[na]``."""
    return torch.cat([torch.cdist(part, b).amin(1) for part in a.split(block)])
