r"""Coupling the points of one cloud: which noise point goes with which data point.

The points of a cloud have no order, and neither have those of white noise. So their pairing is free, and the
closest one moves every point the least:

.. math:: \min_\pi \sum_i |x_0^{(i)} - \varepsilon^{(\pi i)}|^2 .
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.segment import argsort_runs, segment_mean
from noisefold.geometry.single_thread import single_threaded
from noisefold.noise.coupling import Coupling

__all__ = ["WithinCloud"]


@configurable
@dataclass(frozen=True)
class WithinCloud(Coupling):
    r"""Optimal transport between the points of each cloud and its own noise, exactly or nearly.

    With :math:`\pi` the matching and z fresh noise, the noise of point i is

    .. math:: \sqrt{1 - b}\; \varepsilon^{(\pi i)} + \sqrt{b}\; z^{(i)} .

    =============== ==================== ==============================================================
    method          cost for n points    matching
    =============== ==================== ==============================================================
    ``"order"``     n log^2 n            both sets are split at their medians, along the axis of the
                                         largest product of variances, until one point is left
    ``"exchange"``  n^2                  every two points once exchange their noise if it pays
    ``"exact"``     about n^3            the assignment problem, solved on the CPU
    =============== ==================== ==============================================================

    In one dimension "order" is exact. How near the others come to the least sum of squares is measured in
    "Adapting to the noise level", section "Couplings", of the documentation.

    **What holds.** Given the data, the matching only orders the noise points. As a set they are what was
    drawn: independent standard normal points, independent of the data. That stays true under blending, for
    each noise point meets a fresh one of its own. So a flow learned by a permutation-equivariant network
    starts from plain white noise. For a network that knows a point's place in the list this holds only if the
    points come in random order, and not for "exchange", where the place decides who meets whom first. Given
    :math:`x_0` the noise of a point is not normal: :math:`x_t \mid x_0` is no longer Gaussian, and
    :math:`(\alpha \hat x_0 - x_t)/\sigma^2` no longer the score. Sample such a model with the solvers of the
    probability flow (`Euler`, `Heun`, `DDIM`, `DPMSolver`), not with those that add noise, and complete with
    `Replacement`, not with `Repaint`, which adds noise too.

    When to use: for fewer sampling steps on clouds of points, with white noise and a network that has no
    other means to tell the points apart. Blending leaves the network an easier task than the exact matching,
    which is a rough function of the noise.

    Parameters
    ----------
    method
        "order", "exchange" or "exact".
    blend
        Share b of the variance that is fresh noise, in [0, 1]; 1 is `Independent`.

    Raises
    ------
    ValueError
        If an argument is out of its range, or on a call if the graphs have features or edges: these
        distinguish the points.

    Notes
    -----
    The exchange of pairs is the 2-opt move of the assignment problem.

    Source: Hui et al., Not-So-Optimal Transport Flows for 3D Point Cloud Generation (2025),
    https://arxiv.org/abs/2502.12456.
    """

    method: str = "order"
    blend: float = 0.0

    def __post_init__(self) -> None:
        if self.method not in _METHODS:
            raise ValueError(f"method must be one of {', '.join(_METHODS)}, got {self.method!r}.")
        if not 0 <= self.blend <= 1:
            raise ValueError(f"blend must lie in [0, 1], got {self.blend!r}.")

    def __call__(self, graphs: Graphs, x0: Tensor, noise: Callable[[], Tensor]) -> Tensor:
        """Return noise with its points rearranged within each cloud, and blended with fresh noise."""
        for name in ("x", "edge_index"):
            if getattr(graphs, name) is not None:
                raise ValueError(
                    f"WithinCloud exchanges the points of a cloud, and these have {name}, which tells them "
                    "apart; use Independent() or MiniBatch()."
                )
        eps = noise()
        matched = eps[_METHODS[self.method](x0, eps, graphs.ptr)]
        if self.blend == 0:
            return matched
        return math.sqrt(1 - self.blend) * matched + math.sqrt(self.blend) * noise()


@single_threaded
def _exact(x0: Tensor, eps: Tensor, ptr: Tensor) -> Tensor:
    from scipy.optimize import linear_sum_assignment

    order = torch.arange(x0.shape[0])
    data, noise = x0.double().cpu(), eps.double().cpu()
    for first, last in zip(ptr[:-1].tolist(), ptr[1:].tolist(), strict=True):
        # |x - e|^2 differs from -2 x.e only by terms that no permutation changes.
        cost = -(data[first:last] @ noise[first:last].T)
        order[first:last] = first + torch.from_numpy(linear_sum_assignment(cost.numpy())[1])
    return order.to(x0.device)


@single_threaded
def _exchange(x0: Tensor, eps: Tensor, ptr: Tensor) -> Tensor:
    sizes = ptr.diff()
    own = torch.arange(x0.shape[0], device=x0.device)
    start, size = (v.repeat_interleave(sizes, output_size=x0.shape[0]) for v in (ptr[:-1], sizes))
    place, order = own - start, own
    data, noise = x0.T.contiguous(), eps.T.contiguous()
    for total in range(int(sizes.max()) if sizes.numel() else 0):
        # Points meet whose places add up to this, modulo their number n: in n rounds every pair once. The
        # smaller clouds of a batch are done before, and their points then meet themselves.
        meet = total - place
        meet = torch.where(total < size, start + torch.where(meet < 0, meet + size, meet), own)
        theirs = noise.index_select(1, meet)
        pays = ((data - data.index_select(1, meet)) * (noise - theirs)).sum(0) < 0
        noise = torch.where(pays, theirs, noise)
        order = torch.where(pays, order.index_select(0, meet), order)
    return order


@single_threaded
def _order(x0: Tensor, eps: Tensor, ptr: Tensor) -> Tensor:
    both = (x0, eps)
    orders = [torch.arange(x0.shape[0], device=x0.device) for _ in both]
    bounds = ptr
    while bool((bounds.diff() > 1).any()):
        lengths = bounds.diff()
        part = torch.arange(lengths.numel(), device=x0.device).repeat_interleave(lengths)
        here = [values[order] for values, order in zip(both, orders, strict=True)]
        spreads = [_variance(values, part, lengths.numel()) for values in here]
        axis = (spreads[0] * spreads[1]).argmax(1)[part, None]
        orders = [
            order[argsort_runs(values.gather(1, axis)[:, 0], bounds)]
            for values, order in zip(here, orders, strict=True)
        ]
        middle = bounds[:-1] + lengths // 2
        bounds = torch.cat([torch.stack([bounds[:-1], middle], 1).flatten(), bounds[-1:]])
        bounds = torch.unique_consecutive(bounds)
    matched = torch.empty_like(orders[0])
    matched[orders[0]] = orders[1]
    return matched


def _variance(values: Tensor, part: Tensor, parts: int) -> Tensor:
    """Return the variance of each column in each part, ``[parts, d]``."""
    mean = segment_mean(values, part, parts)
    return segment_mean((values - mean[part]).square(), part, parts)


_METHODS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "order": _order,
    "exchange": _exchange,
    "exact": _exact,
}
