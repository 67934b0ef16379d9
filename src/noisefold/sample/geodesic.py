r"""Solvers of Riemannian paths.

With the diffusion time s, :math:`\varsigma = \sqrt s`, and the score read from the estimate of the data,
:math:`s\, \nabla \log p_s(x) = \log_x \hat x_0`, the path's reverse process and its probability flow are

.. math:: dx = \nabla \log p_s\, d\bar s + P_x\, d\bar B, \qquad
    \frac{dx}{d\varsigma} = -\frac{1}{\varsigma} \log_x \hat x_0 .

Both are integrated along geodesics, so that every state is a point of the manifold up to rounding.

==================== ============================ ======================================================
solver               takes steps of               when to use
==================== ============================ ======================================================
`GeodesicHeun`       the probability flow         the default
`GeodesicRandomWalk` the reverse chain            many steps; its fresh noise forgets errors
==================== ============================ ======================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.noise.riemannian import Riemannian
from noisefold.sample.defaults import default_solver
from noisefold.sample.solver import Memory, Solver, Task

__all__ = ["GeodesicHeun", "GeodesicRandomWalk"]


class _Geodesic(Solver):
    """What the solvers of Riemannian paths share."""

    handles: ClassVar[type] = Riemannian

    @staticmethod
    def towards_data(task: Task[Tensor, Tensor], x: Tensor, t: Tensor) -> Tensor:
        """Return the velocity of the geodesic to the estimate of the data, s times the score, ``[n, c]``."""
        path: Any = task.path
        return path.manifold.log(x, path.manifold.project(task.denoise(x, t)))  # type: ignore[no-any-return]


@configurable
@dataclass(frozen=True)
class GeodesicHeun(_Geodesic):
    r"""Heun's method on the probability flow, along geodesics. Order 2.

    Two evaluations a step, one in the last.

    .. math:: y = \exp_x(h\, v), \qquad x \leftarrow \exp_x\bigl(\tfrac h2 (v + \Gamma_{y \to x} w)\bigr)

    with the slopes v at x and w at y by :math:`\varsigma`, and parallel transport :math:`\Gamma`. It is exact
    where the estimate is constant, as the flow then follows one geodesic at constant speed in
    :math:`\varsigma`. When to use: the default, with uniform times.
    """

    order: ClassVar[int | None] = 2

    def step(
        self, task: Task[Tensor, Tensor], x: Tensor, t: Tensor, s: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        """Take one step from t to s."""
        path: Any = task.path
        start, end = path.diffusion(t).sqrt(), path.diffusion(s).sqrt()
        h = end - start
        slope = -self.towards_data(task, x, t) / start
        y = path.manifold.exp(x, h * slope)
        if s <= 0:
            return y, None
        there = -self.towards_data(task, y, s) / end
        mean = (slope + path.manifold.transport(y, x, there)) / 2
        return path.manifold.exp(x, h * path.manifold.tangent(x, mean)), None


@configurable
@dataclass(frozen=True)
class GeodesicRandomWalk(_Geodesic):
    r"""Sampling the reverse process by a geodesic random walk. Order 1, one evaluation a step.

    .. math:: x \leftarrow \exp_x\Bigl(\bigl(1 - \tfrac{s'}{s}\bigr) \log_x \hat x_0
        + \sqrt{s' \bigl(1 - \tfrac{s'}{s}\bigr)}\, P_x z\Bigr)

    from s to s' < s: the posterior of Brownian motion in the tangent plane, given its state and the data. The
    walk of the literature has the noise :math:`\sqrt{s - s'}`, which is the same for small steps. When to
    use: hundreds of steps; its fresh noise forgets errors of the network.

    Source: Jorgensen, The central limit problem for geodesic random walks (1975),
    https://doi.org/10.1007/BF00533088; De Bortoli et al. (2022), algorithm 1,
    https://arxiv.org/abs/2202.02763.
    """

    order: ClassVar[int | None] = 1

    def step(
        self, task: Task[Tensor, Tensor], x: Tensor, t: Tensor, s: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        """Take one step from t to s."""
        path: Any = task.path
        start, end = path.diffusion(t), path.diffusion(s)
        gone = 1 - end / start
        step = gone * self.towards_data(task, x, t)
        if end > 0:
            normal = task.random.normal(task.graphs.sizes, x.shape[1], x)
            step = step + torch.sqrt(end * gone) * path.manifold.tangent(x, normal)
        return path.manifold.exp(x, step), None


@default_solver.register
def _(path: Riemannian) -> Solver:
    return GeodesicHeun()
