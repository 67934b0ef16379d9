r"""Mean and covariance of what a sampler draws of a Gaussian distribution, without a draw.

With an exact denoiser of Gaussian data every solver and every conditioning is affine in the state and in the
noise that it draws, :math:`x' = A x + b + \sum_i B_i z_i` in one step. The step is taken from the unit
vectors of the state and of each :math:`z_i`, which gives A, b and B exactly, and moments follow by
:math:`m' = A m + b`, :math:`\Sigma' = A \Sigma A^T + \sum_i B_i B_i^T`. What is found is the sampler's own
error, free of chance and of a network's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from noisefold.geometry.graphs import Graphs
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.source import Drawn, Streams
from noisefold.noise.variable import Features, Known
from noisefold.sample.conditioning import Conditioning
from noisefold.sample.solver import GaussianTask, Solver
from noisefold.theory.field import GaussianProcess

__all__ = ["Moments", "propagated_moments"]


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean ``[n, f]`` and covariance ``[n f, n f]`` of the values of a graph, row by row."""

    mean: Tensor
    covariance: Tensor


def propagated_moments(
    process: GaussianProcess,
    frame: Graphs,
    path: Gaussian,
    times: Tensor,
    solver: Solver,
    columns: int = 1,
    given: tuple[Tensor, Tensor, Conditioning] | None = None,
) -> Moments:
    """Return the moments of what a solver draws with the exact denoiser, by propagation.

    Parameters
    ----------
    process
        Distribution of the data.
    frame
        One graph of n nodes, float64.
    path
        A Gaussian path under `White` or `GPNoise`.
    times
        Falling times ``[steps + 1]``.
    solver
        Of one step at a time: what it remembers of a step before, such as `DPMSolver`, is not propagated.
    columns
        f.
    given
        Values ``[n, f]``, where they are observed, bool, and how to condition on them. Methods that hold the
        noise of observed values over steps (`Replacement`) draw it anew here in each step.
    """
    runner = _Runner(process, frame, path, times, solver, columns, given)
    mean = torch.zeros(runner.size, dtype=torch.float64)
    covariance = path.scale(times[0]) ** 2 * runner.root @ runner.root.mT
    for t, s in pairwise(times):
        constant, linear, noise = runner.step(t, s)
        mean = linear @ mean + constant
        covariance = linear @ covariance @ linear.mT + noise @ noise.mT
    return Moments(mean.reshape(-1, columns), covariance)


class _Runner:
    """Takes single steps of a sampler from rows of states, ``[r, n f]``."""

    def __init__(
        self,
        process: GaussianProcess,
        frame: Graphs,
        path: Gaussian,
        times: Tensor,
        solver: Solver,
        columns: int,
        given: tuple[Tensor, Tensor, Conditioning] | None,
    ) -> None:
        self.frame, self.path, self.times = frame, path, times
        self.solver, self.columns, self.given = solver, columns, given
        self.size = frame.num_nodes * columns
        self.root = self._root()
        self._field = process.on(frame[[0] * (self.size + 1)], path)
        self._maps: dict[float, tuple[Tensor, Tensor]] = {}

    def _root(self) -> Tensor:
        """Return L of the noise of all values, ``[n f, n f]``."""
        process = self.path.source.process
        if process is None:
            return torch.eye(self.size, dtype=torch.float64)
        lower = process.factor(self.frame.pos)
        eye = torch.eye(self.columns, dtype=torch.float64)
        return lower if process.joint else torch.kron(lower, eye)

    def _denoise(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the posterior mean of states ``[r n, f]``, by the affine map of their time."""
        found = self._maps.get(float(t))
        if found is None:
            basis = torch.eye(self.size + 1, self.size, dtype=torch.float64)
            rows = self._field.denoise(basis.reshape(-1, self.columns), t).reshape(basis.shape)
            found = self._maps[float(t)] = (rows[:-1] - rows[-1], rows[-1])
        return (x.reshape(-1, self.size) @ found[0] + found[1]).reshape(x.shape)

    def step(self, t: Tensor, s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return b ``[n f]``, A ``[n f, n f]`` and B ``[n f, z]`` of a step from t to s."""
        drawn = 0

        def nothing() -> Tensor:
            nonlocal drawn
            drawn += 1
            return torch.zeros(1, self.size, dtype=torch.float64)

        constant = self._run(torch.zeros(1, self.size, dtype=torch.float64), nothing, t, s)
        rows, drawn = self.size * (drawn + 1), 0

        def units() -> Tensor:
            nonlocal drawn
            drawn += 1
            out = torch.zeros(rows, self.size, dtype=torch.float64)
            out[self.size * drawn : self.size * (drawn + 1)] = self.root.mT
            return out

        response = self._run(torch.eye(rows, self.size, dtype=torch.float64), units, t, s) - constant
        return constant[0], response[: self.size].mT, response[self.size :].mT

    def _run(self, state: Tensor, noise: Callable[[], Tensor], t: Tensor, s: Tensor) -> Tensor:
        graphs = self.frame[[0] * len(state)]
        source = Drawn(lambda: noise().reshape(-1, self.columns), self.path.source)
        streams = Streams(0, range(len(graphs)))
        path = replace(self.path, source=source)
        task = GaussianTask(self._denoise, path, self.times, graphs, streams, Features())
        solver = self.solver
        if self.given is not None:
            value, mask, conditioning = self.given
            known = Known(value.repeat(len(graphs), 1), mask.repeat(len(graphs), 1), graphs.batch)
            task, solver = conditioning(task, solver, known)
        out, _ = solver.step(task, state.reshape(-1, self.columns), t, s, None)
        return torch.as_tensor(out).reshape(state.shape)
