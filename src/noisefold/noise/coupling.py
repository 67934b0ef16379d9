r"""Couplings: which noise goes with which data.

Any pairing of data and noise that keeps both distributions gives a valid path. Pairs that lie closer
together cross less, so that fewer sampling steps are needed.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.graphs import Graphs

__all__ = ["Coupling", "Independent", "MiniBatch"]


class Coupling(Protocol):
    """What every coupling offers."""

    @abstractmethod
    def __call__(self, graphs: Graphs, x0: Tensor, noise: Callable[[], Tensor]) -> Tensor:
        """Return noise ``[n, d]`` for data ``x0 [n, d]``, made of what ``noise()`` draws, ``[n, d]``."""


@configurable
@dataclass(frozen=True)
class Independent(Coupling):
    """Noise as it was drawn."""

    def __call__(self, graphs: Graphs, x0: Tensor, noise: Callable[[], Tensor]) -> Tensor:
        """Return the noise as it is drawn."""
        return noise()


@configurable
@dataclass(frozen=True)
class MiniBatch(Coupling):
    r"""Optimal transport between the graphs of a batch.

    The permutation of whole noise graphs that minimises :math:`\sum_i |x_0^{(i)} - \varepsilon^{(\pi i)}|^2`,
    among graphs of equal size. The noise within a graph keeps its order.

    Source: Tong et al., Improving and Generalizing Flow-Based Generative Models with Minibatch Optimal
    Transport (2024), https://arxiv.org/abs/2302.00482.
    """

    def __call__(self, graphs: Graphs, x0: Tensor, noise: Callable[[], Tensor]) -> Tensor:
        """Return the noise with whole graphs exchanged."""
        from scipy.optimize import linear_sum_assignment

        eps = noise()
        out = eps.clone()
        sizes = graphs.sizes
        for size in sorted(set(sizes.tolist())):
            chosen = (sizes == size).nonzero()[:, 0]
            rows = graphs.ptr[chosen][:, None] + torch.arange(size, device=eps.device)
            whole = eps[rows]
            # |x - e|^2 differs from -2 x.e only by terms that no permutation changes.
            cost = -(x0[rows].flatten(1).double() @ whole.flatten(1).double().T)
            _, order = linear_sum_assignment(cost.cpu().numpy())
            out[rows] = whole[torch.from_numpy(order).to(eps.device)]
        return out
