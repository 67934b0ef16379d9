"""From a denoiser to graphs: the start, the solver, the guidance and the random streams put together."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from noisefold.geometry.graphs import Graphs
from noisefold.nn.denoiser import Denoiser, noised_value, with_noised
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.schedule import VP, Cosine
from noisefold.noise.source import Streams
from noisefold.sample.conditioning import Bound, Conditioning, Guided, Known
from noisefold.sample.grid import Grid, LogSNR, Uniform
from noisefold.sample.solver import DPMSolver, Heun, ScalarDenoise, Solver, StochasticHeun

__all__ = ["SampleCallback", "default_grid", "generate"]

SampleCallback = Callable[[int, float, Graphs], None]


def default_grid(path: Gaussian, solver: Solver) -> Grid:
    """Uniform times, or times even in log-SNR for solvers of order 2 on VP and cosine paths.

    Evidence: ``noisefold study solvers --scale short``.
    """
    curved = isinstance(path.schedule, VP | Cosine)
    second = isinstance(solver, DPMSolver | Heun | StochasticHeun)
    return LogSNR() if curved and second else Uniform()


@torch.no_grad()
def generate(
    denoiser: Denoiser,
    graphs: Graphs,
    times: Tensor,
    solver: Solver,
    streams: Streams,
    *,
    guidance: float = 1.0,
    given: tuple[Known, Conditioning] | None = None,
    callback: SampleCallback | None = None,
) -> Graphs:
    """The graphs with their noised variable generated, in standard units.

    Parameters
    ----------
    denoiser
        The trained denoiser.
    graphs
        Give the sizes, whatever is not generated, and the classes for the network, if any.
    times
        Falling times ``[steps + 1]``.
    solver
        Takes noise to data.
    streams
        One random stream for each graph.
    guidance
        Weight of classifier-free guidance; 1 is none.
    given
        What is known of the noised variable, and how to sample given that.
    watch
        Called after every step with (step, signal level u, graphs).
    """
    path, variable = denoiser.path, denoiser.variable
    columns = noised_value(graphs, variable).shape[1]
    bound = Bound(denoiser, graphs, graphs.label)
    denoise: ScalarDenoise = bound if guidance == 1 else Guided(bound, guidance)

    def noise() -> Tensor:
        return path.source.draw(graphs, columns, streams)

    def report(step: int, t: Tensor, x: Tensor) -> None:
        if callback is not None:
            callback(step, float(path.signal(t)), with_noised(graphs, variable, x))

    # The start has the marginal's spread, not the noise's alone: at the noisy end some data is left.
    x = path.scale(times[0]) * noise()
    if given is not None:
        known, conditioning = given
        denoise, solver = conditioning(denoise, solver, known, path, noise)
    return with_noised(graphs, variable, solver(denoise, x, times, path, noise, report))
