r"""What the noisy features of the nearest nodes tell about a node's clean one, on given points.

Node i knows the sum of the noisy features of its k nearest nodes, itself first. With unit variance,
correlations :math:`\rho_{jl}` and independent noise, their mutual information is exactly

.. math:: I_i(k) = \frac12 \log \frac{k / \mathrm{SNR} + A}{k / \mathrm{SNR} + A - B^2}, \qquad
    A = \sum_{j, l} \rho_{jl}, \quad B = \sum_j \rho_{ij},

sums over those k nodes. This is lemma 3.1 of arXiv 2507.09391 without its continuum: the points may lie on
a surface, be dense here and rare there, and end somewhere. With points of density :math:`\delta` it tends to
the lemma at :math:`\delta` times the SNR.
"""

from __future__ import annotations

import torch
from torch import Tensor

from noisefold.geometry.correlation import Function

__all__ = ["point_information"]

_BLOCK = 1 << 22


def point_information(
    correlation: Function,
    pos: Tensor,
    snr: float | Tensor,
    *,
    counts: Tensor | None = None,
    radii: Tensor | None = None,
    nodes: Tensor | None = None,
    most: int | None = None,
) -> Tensor:
    """Information in nats on each node's clean feature, from the sum over its surroundings.

    Parameters
    ----------
    correlation
        Function of distances; a `Correlation`, for nothing is checked here.
    pos
        Positions of one graph, ``[n, d]``.
    snr
        Ratios of the clean variance to that of the noise, ``[m]``.
    counts
        Numbers k of nearest nodes, the node itself among them, ``[q]``, in 1 .. n; or give
    radii
        in their place, ``[q]``: all nodes no farther than that.
    nodes
        Nodes to look from, ``[c]``; None for all.
    most
        Where more nodes than this are summed, A is estimated from as many of them, spread evenly over their
        order of distance: cost then does not grow with the square of k. None for exact sums.

    Returns
    -------
    Tensor
        ``[c, m, q]``, float64.

    Raises
    ------
    ValueError
        If not exactly one of `counts` and `radii` is given, or a number is out of its range.
    """
    pos, ratio = pos.detach().double(), torch.as_tensor(snr, dtype=torch.float64).reshape(-1, 1)
    n = len(pos)
    if (counts is None) == (radii is None):
        raise ValueError("exactly one of counts and radii must be given.")
    if counts is not None and not bool(((counts >= 1) & (counts <= n)).all()):
        raise ValueError(f"counts must lie in 1 .. {n}, the number of nodes, got {counts.tolist()}.")
    if radii is not None and not bool((radii >= 0).all()):
        raise ValueError(f"radii must be at least 0, got {radii.tolist()}.")
    if not bool((ratio > 0).all()):
        raise ValueError(f"snr must be positive, got {ratio.flatten().tolist()}.")
    if most is not None and most < 2:
        raise ValueError(f"most must be at least 2, or None, got {most}.")
    chosen = torch.arange(n) if nodes is None else nodes
    parts = []
    for some in chosen.split(max(1, _BLOCK // n)):
        gap = torch.cdist(pos[some], pos, compute_mode="donot_use_mm_for_euclid_dist")
        gap[torch.arange(len(some)), some] = -1  # first, whoever shares its place
        near, order = gap.sort(dim=1, stable=True)
        if radii is None:
            assert counts is not None
            k = counts.expand(len(some), -1)
        else:
            k = torch.searchsorted(near, radii.double().expand(len(some), -1).contiguous(), right=True)
        alike = correlation(near[:, 1:])
        b = 1 + torch.cat([alike.new_zeros(len(some), 1), alike.cumsum(1)], 1).gather(1, k - 1)
        a = _pair_sums(correlation, pos, order, k, most or n)
        whole = k[:, None] / ratio + a[:, None]
        parts.append(0.5 * torch.log(whole / (whole - b[:, None] ** 2)))
    return torch.cat(parts)


def _pair_sums(correlation: Function, pos: Tensor, order: Tensor, counts: Tensor, most: int) -> Tensor:
    """A of the first ``counts [c, q]`` nodes of each row of ``order [c, n]``, ``[c, q]``."""
    out = torch.empty(counts.shape, dtype=torch.float64)
    for k in counts.unique().tolist():
        row, column = (counts == k).nonzero(as_tuple=True)
        m = min(k, most)
        rank = (torch.arange(m) * k + k // 2) // m
        for at in torch.arange(len(row)).split(max(1, _BLOCK // m**2)):
            points = pos[order[row[at]][:, rank]]
            upper = torch.triu_indices(m, m, 1)
            alike = correlation((points[:, upper[0]] - points[:, upper[1]]).norm(dim=2))
            out[row[at], column[at]] = k + k * (k - 1) * (alike.mean(1) if m > 1 else 0.0)
    return out
