r"""Solvers of discrete paths.

Each takes the probabilities :math:`\hat p(x_0)` of the denoiser for every node and pair, and draws the state
at s < t entry by entry. With an exact denoiser all have the data's distribution in the limit of many steps;
they differ in how far they are from it at few. `noisefold.sample.PredictorCorrector` corrects the state
after each step of another.

================ ==================================================== ============================
solver           draws x_s from                                       when to use
================ ==================================================== ============================
`DiscreteFlow`   a step of a Markov jump process                      the default
`D3PM`           the posterior q(x_s | x_t, x_0), averaged            its equal on the same grid
`Renoising`      q(x_s | x_0) with x_0 drawn anew                     networks that make mistakes
================ ==================================================== ============================
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.noise.categories import Categories
from noisefold.noise.discrete import Discrete, draw_classes, posterior_table
from noisefold.sample.solver import Memory, Solver, Task

__all__ = [
    "D3PM",
    "DiscreteFlow",
    "DiscreteSolver",
    "Renoising",
    "Rows",
    "flow_rates",
    "mixed_kernel",
    "reweighted_kernel",
]


Rows = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Probabilities of the next classes ``[m, k]`` from an estimate, the state and the noise distribution."""


class DiscreteSolver(Solver):
    """What every solver of a discrete path offers: it draws every entry from a row of probabilities."""

    handles: ClassVar[type] = Discrete
    order: ClassVar[int | None] = 1

    @abstractmethod
    def rows(self, estimate: Tensor, state: Tensor, t: float, s: float, noise: Tensor) -> Tensor:
        """Return the probabilities of the classes at s, ``[m, k]``.

        Parameters
        ----------
        estimate
            Probabilities of the classes of the data, ``[m, k]``, float64.
        state
            Classes at t, ``[m]``.
        t, s
            Times, s < t.
        noise
            The noise distribution, ``[k]``.
        """

    @property
    def evaluations(self) -> int:
        """Evaluations of the denoiser in a step."""
        return len(self.stages(0.5, 0.25))

    def stages(self, t: float, s: float) -> Sequence[tuple[float, Rows]]:
        """Return the draws of which a step from t to s is made: when to ask the denoiser, and the rows."""
        return [(t, partial(self._at, t=t, s=s))]

    def _at(self, estimate: Tensor, state: Tensor, noise: Tensor, *, t: float, s: float) -> Tensor:
        return self.rows(estimate, state, t, s, noise)

    def step(
        self, task: Task[Categories, Categories], state: Categories, t: Tensor, s: Tensor, memory: Memory
    ) -> tuple[Categories, Memory]:
        """Draw the state at s."""
        path = task.path
        assert isinstance(path, Discrete)
        for when, rows in self.stages(float(t), float(s)):

            def drawn(p: Tensor, x: Tensor, noise: Tensor, rows: Rows = rows) -> Tensor:
                return rows(p.double(), x, noise.to(p.device))

            at = t if when == float(t) else s
            drawn_from = task.denoise(state, at).map(drawn, state, path.noise_distribution)
            state = draw_classes(drawn_from, task.graphs, task.random)
        return state, None


def mixed_kernel(estimate: Tensor, state: Tensor, keep_s: float, keep_t: float, noise: Tensor) -> Tensor:
    r"""Return :math:`\sum_x q(x_s \mid x_t, x_0 = x)\, \hat p(x)`, ``[m, k]``: the exact reverse kernel.

    A state that the estimate rules out leads nowhere, and stays.

    Parameters
    ----------
    estimate
        Probabilities of the data's classes, ``[m, k]``.
    state
        Classes x_t, ``[m]``.
    keep_s, keep_t
        Shares kappa at s < t.
    noise
        The noise distribution, ``[k]``.
    """
    table = posterior_table(keep_s, keep_t, noise).transpose(0, 1)[state]
    weights = torch.einsum("mx,mxs->ms", estimate, table)
    stays = torch.nn.functional.one_hot(state, len(noise)).to(weights)
    return _normalised(torch.where(weights.sum(1, keepdim=True) > 0, weights, stays))


def reweighted_kernel(estimate: Tensor, state: Tensor, keep_s: float, keep_t: float, noise: Tensor) -> Tensor:
    r"""Return the kernel that weighs :math:`\hat p(x)` by :math:`q(x_t \mid x_0 = x)` once more, ``[m, k]``.

    It is another kernel than `mixed_kernel`, and not that of the reverse process.
    """
    late = keep_t * torch.eye(len(noise), dtype=noise.dtype, device=noise.device) + (1 - keep_t) * noise
    return mixed_kernel(_normalised(estimate * late.T[state]), state, keep_s, keep_t, noise)


def flow_rates(keep: float, noise: Tensor, eta: float = 0.0, omega: float = 0.0) -> Tensor:
    r"""Return rates of a jump process with the path's marginals, by x_0, per unit of kappa, ``[x_0, x, z]``.

    With :math:`p(z) = q(z \mid x_0)`, :math:`\dot p = \partial p / \partial \kappa = \delta_{x_0} - m` and
    the number Z of classes that the path can reach,

    .. math:: R^*(x, z) = \frac{\mathrm{ReLU}(\dot p(z) - \dot p(x))}{Z\, p(x)}, \qquad
        R = R^* + \eta\, p(z) + \frac{\omega\, \delta_{z, x_0}}{Z\, p(x)} .

    The term of eta is in detailed balance with p and leaves the marginals as they are; that of omega does
    not. At kappa = 0 classes that are reached later count in Z, and may be jumped to. The diagonal is 0.

    Source: Campbell et al., Generative Flows on Discrete State-Spaces (2024), prop. 3.2,
    https://arxiv.org/abs/2402.04997; Qin et al., DeFoG (2024), https://arxiv.org/abs/2410.04263.
    """
    eye = torch.eye(len(noise), dtype=noise.dtype, device=noise.device)
    p = keep * eye + (1 - keep) * noise
    slope = eye - noise
    reached = (noise > 0) | (eye > 0)
    z = reached.sum(1, keepdim=True)[:, None]
    rates = torch.relu(slope[:, None, :] - slope[:, :, None]) / z
    rates = rates + omega * eye[:, None, :] / z
    rates = torch.where(p[:, :, None] > 0, rates / p.clamp(min=1e-300)[:, :, None] + eta * p[:, None, :], 0.0)
    return rates * (1 - eye)[None] * reached[:, None, :]


@configurable
@dataclass(frozen=True)
class D3PM(DiscreteSolver):
    r"""The reverse chain: x_s from the posterior, averaged over the estimate. One evaluation a step.

    .. math:: p(x_s \mid x_t) = \sum_x q(x_s \mid x_t, x_0 = x)\, \hat p(x)

    When to use: like `DiscreteFlow`, whose equal it is on the same time grid; its published grid is
    `noisefold.sample.CosineGrid`. Look-alikes: DiGress.

    Source: Austin et al. (2021), https://arxiv.org/abs/2107.03006.

    Parameters
    ----------
    reweighted
        Whether the estimate is weighed by q(x_t | x_0) once more. That is another kernel, which is wrong even
        with an exact denoiser; some texts print it.
    """

    reweighted: bool = False

    def rows(self, estimate: Tensor, state: Tensor, t: float, s: float, noise: Tensor) -> Tensor:
        """Return the averaged posterior, ``[m, k]``."""
        kernel = reweighted_kernel if self.reweighted else mixed_kernel
        return kernel(estimate, state, 1 - s, 1 - t, noise)


@configurable
@dataclass(frozen=True)
class DiscreteFlow(DiscreteSolver):
    """Discrete flow matching: Euler steps of a Markov jump process. One evaluation a step.

    The rates are averaged over the estimate in closed form, not over one draw of it; the last step draws from
    the estimate itself. When to use: the default on discrete paths.

    Source: Campbell et al. (2024), https://arxiv.org/abs/2402.04997; Qin et al., DeFoG (2024),
    https://arxiv.org/abs/2410.04263.

    Parameters
    ----------
    eta
        Rate of additional jumps in detailed balance, which can undo a network's mistakes; the marginals stay
        as they are.
    omega
        Additional rate towards the estimate; biased.

    Raises
    ------
    ValueError
        If a rate is negative, or on a step if eta times its length is above 1.
    """

    eta: float = 0.0
    omega: float = 0.0

    def __post_init__(self) -> None:
        if self.eta < 0 or self.omega < 0:
            raise ValueError(f"eta and omega must not be negative, got {self.eta} and {self.omega}.")

    def rows(self, estimate: Tensor, state: Tensor, t: float, s: float, noise: Tensor) -> Tensor:
        """Return the probabilities after one Euler step, ``[m, k]``."""
        width = t - s
        if self.eta * width > 1:
            raise ValueError(
                f"eta {self.eta:g} is too large for a step of {width:.3g}: their product must not exceed 1; "
                f"use more steps, or eta up to {1 / width:.3g}."
            )
        if s <= 0:
            return estimate
        table = flow_rates(1 - t, noise, self.eta, self.omega).transpose(0, 1)[state]
        jump = width * torch.einsum("mx,mxz->mz", estimate, table)
        jump = jump / jump.sum(1, keepdim=True).clamp(min=1)
        return jump.scatter_add(1, state[:, None], 1 - jump.sum(1, keepdim=True))


@configurable
@dataclass(frozen=True)
class Renoising(DiscreteSolver):
    """Simple iterative denoising: draw the data from the estimate, and noise them anew to s.

    What was drawn at one step is not kept for the next, so that no mistake is kept either. The price: entries
    are drawn independently of each other at every step, so that even with an exact denoiser and many steps
    the distribution is not the data's. One evaluation a step. When to use: networks whose states drift off
    the path.

    Source: Boget, Simple and Critical Iterative Denoising (2025), https://arxiv.org/abs/2503.21592.
    """

    def rows(self, estimate: Tensor, state: Tensor, t: float, s: float, noise: Tensor) -> Tensor:
        r"""Return :math:`\kappa_s \hat p + (1 - \kappa_s) m`, ``[m, k]``."""
        return (1 - s) * estimate + s * noise


def _normalised(rows: Tensor) -> Tensor:
    return rows / rows.sum(1, keepdim=True).clamp(min=1e-300)
