r"""Predictor-corrector sampling of discrete paths.

After a step of another solver, the predictor, the state at s should have the marginal :math:`q_s`, and at few
steps has not. The corrector is a jump process that leaves this marginal as it is: noise, and its reversal, at
once. Per unit of kappa, and with :math:`p(z) = q_s(z \mid x_0)` and the noise distribution m,

.. math:: R_c(x, z) = \frac{1}{\kappa} \Bigl( m(z) + m(x) \frac{p(z)}{p(x)} \Bigr) .

Given :math:`x_0` it is in detailed balance with p, so that averaged over the posterior of :math:`x_0` it is
stationary at :math:`q_s`: states of a wrong distribution are brought nearer to it.

Source: Campbell et al., A Continuous Time Framework for Discrete Denoising Models (2022), section 4.4,
https://arxiv.org/abs/2205.14987.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from noisefold.arguments import real, whole
from noisefold.configuration import configurable
from noisefold.sample.discrete import DiscreteFlow, DiscreteSolver, Rows

__all__ = ["PredictorCorrector", "corrector_rates"]


def corrector_rates(keep: float, noise: Tensor) -> Tensor:
    """Return the rates R_c of the module by x_0, per unit of kappa, ``[x_0, x, z]``; 0 where p(x) is 0.

    Parameters
    ----------
    keep
        The share kappa, above 0.
    noise
        The noise distribution m, ``[k]``.
    """
    eye = torch.eye(len(noise), dtype=noise.dtype, device=noise.device)
    p = keep * eye + (1 - keep) * noise
    reverse = noise[None, :, None] * p[:, None, :] / p.clamp(min=1e-300)[:, :, None]
    rates = (noise[None, None, :] + reverse) / keep
    return torch.where(p[:, :, None] > 0, rates, 0.0) * (1 - eye)[None]


@configurable
@dataclass(frozen=True)
class PredictorCorrector(DiscreteSolver):
    r"""Another solver, whose every step but the last is followed by corrections at the level reached.

    A correction is an Euler step of :math:`R_c` over :math:`\min(c\,(t - s), \kappa (1 - \kappa) / 2)`, with
    an evaluation of its own. When to use: compare it with as many evaluations of the predictor alone.
    Look-alikes: the forward-backward corrector; "eta" of `DiscreteFlow`, whose jumps are in detailed balance
    too and share the evaluation of the step.

    Parameters
    ----------
    solver
        The predictor.
    corrections
        Corrections after each step, one at least.
    size
        Length c of a correction in steps of the predictor.

    Raises
    ------
    ValueError
        If a number is out of its range, or the predictor is itself corrected.
    """

    solver: DiscreteSolver = field(default_factory=DiscreteFlow)
    corrections: int = 1
    size: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "corrections", whole("corrections", self.corrections, least=1))
        object.__setattr__(self, "size", real("size", self.size, least=0.0))
        if isinstance(self.solver, PredictorCorrector):
            raise ValueError("solver must be a plain one, got PredictorCorrector; raise corrections instead.")

    def rows(self, estimate: Tensor, state: Tensor, t: float, s: float, noise: Tensor) -> Tensor:
        """Return the probabilities of the predictor, ``[m, k]``."""
        return self.solver.rows(estimate, state, t, s, noise)

    def stages(self, t: float, s: float) -> Sequence[tuple[float, Rows]]:
        """Return the predictor's step, and the corrections at s."""
        first = self.solver.stages(t, s)
        if s <= 0:
            return first
        width = min(self.size * (t - s), s * (1 - s) / 2)
        return [*first, *[(s, partial(corrected, t=s, width=width))] * self.corrections]


def corrected(estimate: Tensor, state: Tensor, noise: Tensor, *, t: float, width: float) -> Tensor:
    """Return the probabilities of the classes after a correction at t, ``[m, k]``.

    Parameters
    ----------
    estimate, state, noise
        As of `DiscreteSolver.rows`.
    t, width
        The time in (0, 1), and the length of the Euler step, in units of kappa.
    """
    table = corrector_rates(1 - t, noise).transpose(0, 1)[state]
    jump = width * torch.einsum("mx,mxz->mz", estimate, table)
    return jump.scatter_add(1, state[:, None], 1 - jump.sum(1, keepdim=True))
