r"""Where to observe next: the places whose observation reduces the variance of a field most.

Draws of the posterior are taken as a Gaussian with their covariance :math:`C`. An observation of node j with
noise variance :math:`\tau^2` takes from the summed variance

.. math:: \operatorname{tr} C_{\cdot j} (C_{jj} + \tau^2 I)^{-1} C_{j \cdot}

and leaves the covariance :math:`C - C_{\cdot j} (C_{jj} + \tau^2 I)^{-1} C_{j \cdot}`; blocks are those of
the components of a vector. The greedy choice takes the best node, conditions on it and goes on. The
covariance is never stored: it is :math:`A A^T` with one column of A for each draw.

Source: Krause, Singh and Guestrin 2008, https://jmlr.org/papers/v9/krause08a.html
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from noisefold.geometry.gp import pseudo_inverse

__all__ = ["Placement", "next_places"]


@dataclass(frozen=True, eq=False)
class Placement:
    """Nodes to observe, best first.

    Parameters
    ----------
    nodes
        The nodes, ``[k]``.
    remaining
        Share of the summed variance that remains after each, ``[k]``.
    """

    nodes: Tensor
    remaining: Tensor


def next_places(
    draws: Tensor, count: int, *, candidates: Tensor | None = None, noise: float | Tensor = 0.0
) -> Placement:
    """Return the nodes whose observation, one after another, reduces the summed variance most.

    Parameters
    ----------
    draws
        Draws of the posterior, ``[m, n, f]``; all f values of a node are observed together.
    count
        How many nodes.
    candidates
        Where an observation is possible, ``[n]``, bool; None for everywhere.
    noise
        Standard deviation of an observation, a number or one for each of the f values.

    Raises
    ------
    ValueError
        If there are fewer candidates than asked for, or too few draws: the covariance of m draws knows m - 1
        values at most.
    """
    m, n, f = draws.shape
    if count * f >= m - 1:
        raise ValueError(f"draws must be more than {count * f + 1} for {count} nodes of {f} values, got {m}.")
    allowed = torch.ones(n, dtype=torch.bool) if candidates is None else candidates.cpu().clone()
    if not 1 <= count <= int(allowed.sum()):
        raise ValueError(f"count must lie in 1 to {int(allowed.sum())}, the candidates, got {count}.")
    spread = draws.detach().cpu().double()
    root = ((spread - spread.mean(0)) / (m - 1) ** 0.5).permute(1, 2, 0).contiguous()  # [n, f, m]
    extra = torch.as_tensor(noise, dtype=torch.float64).expand(f).square()
    total = float(root.square().sum())
    nodes, remaining = [], []
    for _ in range(count):
        best = int(torch.where(allowed, _gains(root, extra), -1.0).argmax())
        allowed[best] = False
        root = _conditioned(root, best, extra)
        nodes.append(best)
        remaining.append(float(root.square().sum()) / total if total > 0 else 0.0)
    return Placement(torch.tensor(nodes), torch.tensor(remaining, dtype=torch.float64))


def _gains(root: Tensor, extra: Tensor) -> Tensor:
    """Variance that the observation of each node takes away, ``[n]``."""
    gram = torch.einsum("nfa,nfb->ab", root, root)  # of the draws, [m, m]
    own = root @ root.mT + torch.diag(extra)  # [n, f, f]
    taken = root @ gram @ root.mT
    return pseudo_inverse(own).mul(taken).sum((1, 2))


def _conditioned(root: Tensor, node: int, extra: Tensor) -> Tensor:
    """Return a root of the covariance after a node was observed: rows of draws, and one for each noise."""
    at = root[node]  # [f, m]
    gain = pseudo_inverse(at @ at.mT + torch.diag(extra))
    weight = torch.einsum("nfm,gm,gh->nfh", root, at, gain)  # [n, f, f], Kalman gain
    rest = root - torch.einsum("nfh,hm->nfm", weight, at)
    if bool((extra > 0).any()):  # Joseph's form: covariance of the rest plus that of the noise
        rest = torch.cat([rest, weight * extra.sqrt()], dim=2)
    return rest
