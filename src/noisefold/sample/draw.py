"""From a denoiser to graphs: the start, the solver, the guidance and the random streams put together."""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor

from noisefold.geometry.graphs import Graphs
from noisefold.nn.denoiser import Denoiser
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.source import Streams
from noisefold.noise.variable import Known
from noisefold.sample.conditioning import Bound, Conditioning, Guided
from noisefold.sample.solver import GaussianTask, Solver, Task

__all__ = ["SampleCallback", "generate", "task_of"]

SampleCallback = Callable[[int, float, Graphs], None]


@singledispatch
def task_of(path: Any, *rest: Any) -> Task[Any, Any]:
    """Return the task of a path; kinds of paths whose solvers need more register their own."""
    denoise, times, graphs, random, variable = rest
    return Task(denoise, path, times, graphs, random, variable)


@task_of.register
def _(path: Gaussian, *rest: Any) -> Task[Any, Any]:
    denoise, times, graphs, random, variable = rest
    return GaussianTask(denoise, path, times, graphs, random, variable)


@torch.no_grad()
def generate(
    denoiser: Denoiser[Any, Any],
    graphs: Graphs,
    times: Tensor,
    solver: Solver,
    random: Streams,
    *,
    guidance: float = 1.0,
    guidance_interval: tuple[float, float] | None = None,
    given: tuple[Known[Any], Conditioning] | None = None,
    callback: SampleCallback | None = None,
) -> Graphs:
    """Return the graphs with their noised variable generated, in standard units.

    Parameters
    ----------
    denoiser
        The trained denoiser.
    graphs
        Give the sizes, whatever is not generated, a state of the right structure in its place, and the
        classes for the network, if any.
    times
        Falling times ``[steps + 1]``.
    solver
        Takes noise to data.
    random
        One random stream for each graph.
    guidance
        Weight of classifier-free guidance; 1 is none.
    guidance_interval
        Least and largest log-SNR at which it counts; None is everywhere.
    given
        The observed values of the noised variable, and how to condition on them.
    callback
        Called after every step with (step, signal level u, graphs).
    """
    path, variable = denoiser.path, denoiser.variable
    bound = Bound(denoiser, graphs, graphs.label)
    denoise = bound if guidance == 1 else Guided(bound, guidance, guidance_interval)

    def report(step: int, t: Tensor, state: Any) -> None:
        if callback is not None:
            callback(step, float(path.signal(t)), variable.write(graphs, state))

    task = task_of(path, denoise, times, graphs, random, variable)
    state = path.prior(graphs, variable.read(graphs), times[0], random)
    if given is not None:
        known, conditioning = given
        path.check_observed(known.mask)
        task, solver = conditioning(task, solver, known)
    return variable.write(graphs, solver(task, state, report))
