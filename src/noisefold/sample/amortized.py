"""Amortised conditioning: the network conditions on observed values directly.

A network that was trained with random masks (`noisefold.train.Masks`) estimates the data given the state and
the observed values, so sampling needs no other change.

Source: Tashiro et al., CSDI: Conditional Score-based Diffusion Models for Probabilistic Time Series
Imputation (2021), https://arxiv.org/abs/2107.03502.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from noisefold.configuration import configurable
from noisefold.noise.path import ProbabilityPath
from noisefold.noise.variable import Known
from noisefold.sample.conditioning import Conditioning
from noisefold.sample.solver import Solver

__all__ = ["Amortized"]


@configurable
@dataclass(frozen=True)
class Amortized(Conditioning):
    """Condition the network on observed values directly.

    Evaluations of the network: those of the solver. When to use: the default for a model that was made with
    ``for_completion=True``, and for it alone. What it has not met among its training's masks it has not
    learned.

    Raises
    ------
    ValueError
        On a call, if the denoiser was not made for completion.
    """

    handles: ClassVar[type] = ProbabilityPath

    def __call__(self, task: Any, solver: Solver, known: Known[Any]) -> tuple[Any, Solver]:
        """Return the task whose denoiser is given the observed values, and the solver as it was."""
        given = getattr(task.denoise, "given", None)
        if given is None:
            raise ValueError(
                f"method Amortized needs a denoiser that can be given values, got {task.denoise!r}."
            )
        return task.denoised_by(given(known)), solver
