r"""The log-likelihood of a model whose samples follow the probability flow.

From the data at :math:`\lambda_1` down to the noise at :math:`\lambda_0`, where :math:`y \sim N(0, K)`, along
the flow v of `noisefold.sample.densities`,

.. math:: \log p(x_0) = \log N(y(\lambda_0);\ 0, K)
    - \int_{\lambda_0}^{\lambda_1} \nabla \cdot v \, d\lambda .

The classical Runge-Kutta method takes the steps: methods of low order err upwards, which flatters a model.

Source: Song et al., Score-Based Generative Modeling through Stochastic Differential Equations (2021), section
4.3, https://arxiv.org/abs/2011.13456; Grathwohl et al., FFJORD (2019), https://arxiv.org/abs/1810.01367.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.noise.source import Streams
from noisefold.sample.densities import (
    EndDensity,
    Estimate,
    LikelihoodMethod,
    UnitState,
    check_least,
    level,
    place,
)

__all__ = ["ProbabilityFlow"]

_ENTRIES = 1 << 20  # numbers in the vector-Jacobian products computed together
_FEW = 4  # products up to which one after another is the faster way
_Divergence = Callable[[Tensor, Tensor], Tensor]


@configurable
@dataclass(frozen=True)
class ProbabilityFlow(LikelihoodMethod):
    """The density of the probability flow, by the exact divergence or an estimate of it.

    The network is differentiated by its inputs, so that it must not cut the gradient.

    Parameters
    ----------
    steps
        Steps of the Runge-Kutta method, of order 4 and four evaluations each.
    probes
        Rademacher probes of Hutchinson's estimate of the divergence, fresh at each evaluation. Their spread
        is the error, NaN of 1, which is the fastest and enough for means over many graphs.
    exact_below
        Graphs of up to this many numbers get the exact divergence, by one vector-Jacobian product for each
        number.
    log_snr
        Where the data and the noise are, within the path's margin.

    Raises
    ------
    ValueError
        If a number is below its least.
    """

    steps: int = 10
    probes: int = 8
    exact_below: int = 512
    log_snr: tuple[float, float] = (13.0, -7.0)

    kind: ClassVar[str] = "exact"
    order: ClassVar[int] = 4

    def __post_init__(self) -> None:
        check_least(steps=(self.steps, 1), probes=(self.probes, 1))

    def apart(self, numbers: Tensor) -> Tensor:
        """Return which graphs get the exact divergence."""
        return numbers <= self.exact_below

    def __call__(self, state: UnitState, seed: int, streams: Streams, end: EndDensity | None) -> Estimate:
        """Integrate the flow and its divergence."""
        exact = bool(self.apart(state.numbers).all())
        repetitions = 1 if exact else self.probes

        def divergence(v: Tensor, at: Tensor) -> Tensor:
            return trace(v, at, state) if exact else self._hutchinson(v, at, state, streams)

        def slope(y: Tensor, u: float) -> tuple[Tensor, Tensor]:
            log_snr, rate = level(u)
            with torch.enable_grad():
                at = y.detach().requires_grad_()
                v = state.velocity(at, log_snr)
            return rate * v.detach(), rate * divergence(v, at)

        y, total = state.data, torch.zeros(repetitions, len(state.graphs), dtype=torch.float64)
        start, stop = (place(v) for v in state.ends)
        h = (stop - start) / self.steps
        for i in range(self.steps):
            u = start + i * h
            k1, d1 = slope(y, u)
            k2, d2 = slope(y + h / 2 * k1, u + h / 2)
            k3, d3 = slope(y + h / 2 * k2, u + h / 2)
            k4, d4 = slope(y + h * k3, u + h)
            y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
            total = total + h / 6 * (d1 + 2 * d2 + 2 * d3 + d4)
        changed = total.mean(0)
        error = torch.zeros_like(changed) if exact else _spread(total) / math.sqrt(repetitions)
        if end is None:
            # The last divergence is taken at the end of the last step, up to the error of the method.
            rate = d4.mean(0) / level(stop)[1]
            return Estimate(state.normal(y) + changed, error, _end_error(state, y, rate))
        t = state.path.schedule.time(torch.tensor(state.ends[1], dtype=torch.float64))
        scale = float(state.path.scale(t))
        at_end = end(state.graphs, scale * y, t).cpu().double() + state.numbers * math.log(scale)
        return Estimate(at_end + changed, error, torch.zeros_like(error))

    def _hutchinson(self, v: Tensor, at: Tensor, state: UnitState, streams: Streams) -> Tensor:
        """Return z^T J z for fresh z of signs, ``[probes, g]``."""
        drawn = streams.uniform(state.graphs.sizes, self.probes * at.shape[1], at) < 0.5
        signs = torch.where(drawn, 1.0, -1.0).to(at).reshape(len(at), self.probes, -1).movedim(1, 0)
        return torch.stack([state.sums(z * row) for z, row in zip(signs, _rows(v, at, signs), strict=True)])


def _spread(values: Tensor) -> Tensor:
    """Return the standard deviation of ``[m, g]``, NaN of a single one."""
    return values.std(0) if len(values) > 1 else torch.full_like(values[0], math.nan)


def trace(v: Tensor, at: Tensor, state: UnitState) -> Tensor:
    """Return the trace of each graph's Jacobian of ``v [n, d]`` by ``at [n, d]``, ``[1, g]``.

    Graphs do not see each other, so that one product gives one row of the Jacobian of every graph.
    """
    free = torch.ones_like(at, dtype=torch.bool) if state.free is None else state.free
    upto = free.flatten().cumsum(0)
    before = torch.cat([upto.new_zeros(1), upto])[state.graphs.ptr * at.shape[1]]
    # The numbers of a graph that the density is of, 1, 2, ...
    number = (upto.view_as(at) - before[state.graphs.batch, None]) * free
    total = torch.zeros_like(at)
    count, step = int(number.max()), max(1, _ENTRIES // max(1, at.numel()))
    for start in range(0, count, step):
        k = torch.arange(start + 1, min(start + step, count) + 1, device=at.device)[:, None, None]
        here = (number == k).to(at)
        total += (here * _rows(v, at, here)).sum(0)
    return state.sums(total)[None]


def _rows(v: Tensor, at: Tensor, cotangents: Tensor) -> Tensor:
    """Return the vector-Jacobian products ``[k, n, d]`` of v with cotangents ``[k, n, d]``."""
    if len(cotangents) <= _FEW:
        return _each(v, at, cotangents)
    try:  # together they cost a few times as much as one
        (rows,) = torch.autograd.grad(v, at, cotangents, retain_graph=True, is_grads_batched=True)
    except RuntimeError:  # a derivative that PyTorch cannot batch, of a function of the network's own
        return _each(v, at, cotangents)
    return rows


def _each(v: Tensor, at: Tensor, cotangents: Tensor) -> Tensor:
    return torch.stack([torch.autograd.grad(v, at, z, retain_graph=True)[0] for z in cotangents])


@torch.no_grad()
def _end_error(state: UnitState, y: Tensor, divergence: Tensor) -> Tensor:
    r"""Return the first order of what the flow from :math:`\lambda_0` to minus infinity would add, ``[g]``.

    There :math:`\hat x_0 = m + a A y`. The part of v from m goes as a and the other as :math:`a^2`, so that
    their integrals are twice and once their value.
    """
    log_snr = torch.tensor(state.ends[1], dtype=torch.float64)
    of_all, of_mean = state.velocity(y, log_snr), state.velocity(torch.zeros_like(y), log_snr)
    return state.normal(y - of_all - of_mean) - state.normal(y) - divergence
