r"""Mutual information of a node's clean feature and the noisy features of its nearest nodes.

Node i observes the sum of the noisy features of its k nearest nodes, itself first. With unit variance,
correlations :math:`\rho_{jl}` and independent noise, the mutual information is exactly

.. math:: I_i(k) = \frac12 \log \frac{k / \mathrm{SNR} + A}{k / \mathrm{SNR} + A - B^2}, \qquad
    A = \sum_{j, l} \rho_{jl}, \quad B = \sum_j \rho_{ij},

sums over those k nodes. This is lemma 3.1 of the paper on discrete points, which may lie on a surface, vary
in density and have a boundary. With points of density :math:`\delta` it tends to the lemma at :math:`\delta`
times the SNR. Where the noise is correlated, by :math:`\kappa_{jl}`, the sum
:math:`\sum_{j, l} \kappa_{jl}` replaces k, its value for white noise.

The sum is one statistic of k noisy values :math:`y`. The best linear one has

.. math:: I_i(k) = -\frac12 \log \big( 1 - c^T M^{-1} c \big), \qquad
    M_{jl} = \rho_{jl} + \kappa_{jl} / \mathrm{SNR}, \quad c_j = \rho_{ij},

which never falls with k. Then :math:`e^{-2 I_i(k)}` is the least mean squared error of any estimate of the
clean value from those k values, in units of its variance.

Source: Geometric Generative Modeling with Noise-Conditioned Graph Networks, section 3.1,
https://arxiv.org/abs/2507.09391.
"""

from __future__ import annotations

import torch
from torch import Tensor

from noisefold.geometry.correlation import Function
from noisefold.geometry.gp import factor
from noisefold.geometry.kernels import distances

__all__ = ["point_information", "weighted_information"]

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
    noise: Function | None = None,
) -> Tensor:
    """Return the information in nats on each node's clean feature in the sum over its neighbourhood.

    Parameters
    ----------
    correlation
        Function of distances; a `Correlation`, for it is not checked here.
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
    noise
        Correlation of the noise; None for white noise.

    Returns
    -------
    Tensor
        ``[c, m, q]``, float64.

    Raises
    ------
    ValueError
        If not exactly one of `counts` and `radii` is given, or a number is out of its range.
    """
    pos, ratio = pos.detach().double(), _ratios(snr).reshape(-1, 1)
    n = len(pos)
    if (counts is None) == (radii is None):
        raise ValueError("exactly one of counts and radii must be given.")
    if counts is not None:
        _check_counts(counts, n)
    if radii is not None and not bool((radii >= 0).all()):
        raise ValueError(f"radii must be at least 0, got {radii.tolist()}.")
    if most is not None and most < 2:
        raise ValueError(f"most must be at least 2, or None, got {most}.")
    chosen = torch.arange(n) if nodes is None else nodes
    parts = []
    for some in chosen.split(max(1, _BLOCK // n)):
        near, order = _nearest(pos, some)
        if radii is None:
            assert counts is not None
            k = counts.expand(len(some), -1)
        else:
            k = torch.searchsorted(near, radii.double().expand(len(some), -1).contiguous(), right=True)
        alike = correlation(near[:, 1:])
        b = 1 + torch.cat([alike.new_zeros(len(some), 1), alike.cumsum(1)], 1).gather(1, k - 1)
        a = _pair_sums(correlation, pos, order, k, most or n)
        own = k if noise is None else _pair_sums(noise, pos, order, k, most or n)
        whole = own[:, None] / ratio + a[:, None]
        parts.append(0.5 * torch.log(whole / (whole - b[:, None] ** 2)))
    return torch.cat(parts)


def weighted_information(
    correlation: Function,
    pos: Tensor,
    snr: float | Tensor,
    *,
    counts: Tensor,
    nodes: Tensor | None = None,
    noise: Function | None = None,
) -> Tensor:
    """Return the information in nats on each node's clean feature in its nearest nodes, optimally weighted.

    Cost grows with the cube of the number of nodes.

    Parameters
    ----------
    correlation, pos, snr, counts, nodes, noise
        As for `point_information`.

    Returns
    -------
    Tensor
        ``[c, m, q]``, float64.

    Raises
    ------
    ValueError
        If a number is out of its range, or the covariance of the noisy values has no Cholesky factor.
    """
    pos, ratio = pos.detach().double(), _ratios(snr)
    n = len(pos)
    _check_counts(counts, n)
    gap = distances(pos, pos)
    eye = torch.eye(n, dtype=torch.float64)
    clean, other = (eye if f is None else torch.where(eye > 0, eye, f(gap)) for f in (correlation, noise))
    noisy = clean + other / ratio[:, None, None]
    chosen = torch.arange(n) if nodes is None else nodes
    order = _nearest(pos, chosen)[1]
    out = torch.empty(len(chosen), len(ratio), len(counts), dtype=torch.float64)
    for i, node in enumerate(chosen.tolist()):
        rows = order[i]
        observed = factor(
            noisy[:, rows[:, None], rows],
            climb=False,
            name="the covariance of the noisy values",
            advice="use Nested(correlation, share=0.999) for the correlation or the noise, "
            "which are too smooth for nodes as close as these",
        )
        # The leading rows of a factor are the factor of the leading rows: one serves every count.
        cross = clean[node, rows].expand(len(ratio), -1)[..., None]
        explained = observed.whiten(cross)[..., 0].square().cumsum(1)
        out[i] = -0.5 * torch.log1p(-explained[:, counts - 1])
    return out


def _ratios(snr: float | Tensor) -> Tensor:
    ratio = torch.as_tensor(snr, dtype=torch.float64).reshape(-1)
    if not bool((ratio > 0).all()):
        raise ValueError(f"snr must be positive, got {ratio.tolist()}.")
    return ratio


def _check_counts(counts: Tensor, n: int) -> None:
    if not bool(((counts >= 1) & (counts <= n)).all()):
        raise ValueError(f"counts must lie in 1 .. {n}, the number of nodes, got {counts.tolist()}.")


def _nearest(pos: Tensor, some: Tensor) -> tuple[Tensor, Tensor]:
    """Distances from some nodes to all, rising, and the order, ``[c, n]`` each; each node itself is first."""
    gap = distances(pos[some], pos)
    gap[torch.arange(len(some)), some] = -1  # first, whoever shares its place
    near, order = gap.sort(dim=1, stable=True)
    return near, order


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
