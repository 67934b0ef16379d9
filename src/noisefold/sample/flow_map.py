"""Sampling with a flow map: one evaluation of the network takes the state from each time to the next."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.noise.few_steps import FewSteps
from noisefold.noise.path import ProbabilityPath
from noisefold.noise.variable import Variable
from noisefold.sample.conditioning import Conditioning
from noisefold.sample.defaults import default_conditioning, default_grid, default_solver, default_steps
from noisefold.sample.grid import Grid
from noisefold.sample.solver import DDIM, Memory, Solver, Task

__all__ = ["DistilledGrid", "FlowMapSteps"]


@configurable
@dataclass(frozen=True)
class FlowMapSteps(Solver):
    r"""Deterministic steps :math:`x_s = \alpha_s \hat x + (\sigma_s/\sigma_t)(x_t - \alpha_t \hat x)`.

    One evaluation a step, exact for an exact flow map (`noisefold.noise.FlowMap`). When to use: the default
    for models of few steps, and the only way to sample them.
    """

    handles: ClassVar[type] = FewSteps

    def step(
        self, task: Task[Tensor, Tensor], x: Tensor, t: Tensor, s: Tensor, memory: Memory
    ) -> tuple[Tensor, Memory]:
        """Take one step from t to s."""
        path: Any = task.path
        return DDIM().step(replace(task, path=path.path), x, t, s, memory)  # type: ignore[arg-type]


@configurable
@dataclass(frozen=True)
class DistilledGrid(Grid):
    """The times that a model of few steps was distilled for."""

    def __call__(self, path: ProbabilityPath[Any], steps: int) -> Tensor:
        """Return the path's own times.

        Raises
        ------
        ValueError
            If it is not a path of few steps, or one of another number of steps.
        """
        if not isinstance(path, FewSteps):
            raise ValueError(f"DistilledGrid is for models of few steps, and this path is {path.about}.")
        if steps != path.steps:
            raise ValueError(
                f"steps must be {path.steps}, which this model was distilled for, got {steps}; distil again "
                "for another number, or sample the model that it was distilled from."
            )
        return path.times.to(torch.float64)


@default_solver.register
def _(path: FewSteps) -> Solver:
    return FlowMapSteps()


@default_grid.register
def _(path: FewSteps, solver: Solver) -> Grid:
    return DistilledGrid()


@default_steps.register
def _(path: FewSteps, usual: int) -> int:
    return path.steps


@default_conditioning.register
def _(path: FewSteps, variable: Variable[Any]) -> Conditioning:
    raise ValueError(
        "a model of few steps completes only if it was made for completion (for_completion=True); complete "
        "with the model that it was distilled from."
    )
