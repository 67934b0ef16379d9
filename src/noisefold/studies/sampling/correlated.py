r"""Conditional samplers under correlated noise, by exact propagation: no draw, no network.

A Gaussian process with squared exponential kernel and a little noise is observed at 5 of 25 random inputs.
Every limiting noise and every way of conditioning gives an exact mean and covariance of the other 20, which
are compared with the posterior: the largest error of the mean, its error over its size, and the error of the
covariance over its size. Two published Langevin schemes are among the ways.

Source: Mathieu et al., Geometric Neural Diffusion Processes, section 3.2 and algorithm 1,
https://arxiv.org/abs/2307.05431, for the published schemes.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from noisefold.geometry import Graphs, Matern, Nugget, SquaredExponential
from noisefold.geometry.gp import factor
from noisefold.noise import VP, Gaussian, GPNoise, Known, Source, White, derive_seed
from noisefold.sample import (
    DDIM,
    Conditioning,
    GaussianTask,
    Langevin,
    LangevinCorrection,
    Repaint,
    Replaced,
    Replacement,
    Solver,
)
from noisefold.sample.replacement import replaced
from noisefold.studies.kit.experiment import Result
from noisefold.theory import GaussianProcess, propagated_moments

__all__ = ["LIMITS", "WAYS", "PublishedLangevin", "correlated_rows"]

DATA = SquaredExponential(0.25) + Nugget(0.05**2)
LIMITS: dict[str, Source] = {
    "white": White(),
    "SE 0.25": GPNoise(0.95 * SquaredExponential(0.25) + Nugget(0.05)),
    "SE 1": GPNoise(0.95 * SquaredExponential(1.0) + Nugget(0.05)),
    "Matern 0.25": GPNoise(0.95 * Matern(0.25, 2.5) + Nugget(0.05)),
    "data": GPNoise((1 / DATA.variance) * DATA),
}
"""Limiting noise by name."""
_OBSERVED, _HIDDEN = 5, 20


@dataclass(frozen=True)
class PublishedLangevin(Conditioning):
    r"""Langevin steps :math:`x_* \leftarrow x_* + \tfrac12 h P s_* + h^{1/2} P^{1/2} z`.

    The step is :math:`h = r \sigma^2`. The observed entries are put back after each step. For one column.

    Parameters
    ----------
    matrix
        "full": P is all of K, applied to the score of all entries. "block": :math:`K_{**}`, applied to that
        of the unknown ones.
    steps, ratio
        Steps at each level, and r.
    """

    matrix: str
    steps: int = 10
    ratio: float = 0.7

    handles: ClassVar[type] = Gaussian

    def __call__(
        self, task: GaussianTask, solver: Solver, known: Known[Tensor]
    ) -> tuple[GaussianTask, Solver]:
        """Return the task with observed values put in, and the solver with its steps."""
        inner = Langevin(solver, self.steps, math.sqrt(self.ratio / 2))
        put_in = Replaced(task, known, task.random)
        process = task.path.source.process
        if self.matrix == "full" or process is None:
            return replace(task, denoise=put_in), inner
        (n,) = {*task.graphs.sizes.tolist()}
        hidden = ~known.mask[:n, 0]
        k = process.covariance(task.graphs.unpack()[0])
        block = k[hidden][:, hidden] @ factor(k).inverse[hidden]

        def denoise(x: Tensor, t: Tensor) -> Tensor:
            """Return the estimate of which the score of the library is K_** times that of the unknown."""
            alpha = task.path.schedule.alpha(t)
            noised = task.path.corrupt(known.value, t, task.graphs, task.random)
            seen = torch.where(known.mask, noised, x)
            along = (alpha * task.denoise(seen, t) - seen).reshape(-1, n)
            moved = seen.reshape(-1, n).clone()
            moved[:, hidden] += along @ block.mT
            return torch.where(known.mask, known.value, moved.reshape(-1, 1) / alpha)

        return replace(task, denoise=denoise), inner


class _Plain(Conditioning):
    """Plain Langevin steps, preconditioned as `LangevinCorrection` is; h = 1.4 sigma^2."""

    handles: ClassVar[type] = Gaussian

    def __call__(self, task: Any, solver: Solver, known: Known[Tensor]) -> tuple[Any, Solver]:
        inner = Langevin(solver, 10, math.sqrt(0.7))
        return replaced(task.path, task, inner, known, task.random)


class _Unshifted(Conditioning):
    """Replacement that leaves the noise of the unknown entries alone."""

    handles: ClassVar[type] = Gaussian

    def __call__(self, task: Any, solver: Solver, known: Known[Tensor]) -> tuple[Any, Solver]:
        return task.denoised_by(Replaced(task, known, task.random)), solver


WAYS: dict[str, tuple[Callable[[], Conditioning], int, int]] = {
    "replacement, noise drawn apart": (_Unshifted, 50, 1),
    "replacement": (Replacement, 50, 1),
    "RePaint 9": (Repaint, 50, 10),
    "published: all of K": (lambda: PublishedLangevin("full"), 50, 11),
    "published: block of K": (lambda: PublishedLangevin("block"), 50, 11),
    "Langevin, Schur": (_Plain, 50, 11),
    "kinetic Langevin, Schur": (LangevinCorrection, 20, 11),
    "kinetic Langevin, Schur, 50": (LangevinCorrection, 50, 11),
}
"""Ways of conditioning by name, their levels, and evaluations at each."""


def correlated_rows(draws: int, seed: int, advance: Callable[[str], None]) -> list[Result]:
    """Return a row for each limit and way: medians of the errors over draws of inputs and values.

    A row has ``limit``, ``way``, ``evaluations``, ``largest`` and ``relative`` error of the mean, and
    ``covariance``; None where the steps diverge.
    """
    rows = []
    for limit, source in LIMITS.items():
        for way, (make, levels, each) in WAYS.items():
            found = [_errors(source, make(), levels, derive_seed(seed, i)) for i in range(draws)]
            medians = [statistics.median(column) for column in zip(*found, strict=True)]
            finite = all(value < 1e3 for value in medians)
            names = ("largest", "relative", "covariance")
            rows.append(
                {
                    "limit": limit,
                    "way": way,
                    "evaluations": levels * each,
                    **{name: value if finite else None for name, value in zip(names, medians, strict=True)},
                }
            )
            advance(f"{limit}: {way}")
    return rows


def _errors(source: Source, way: Conditioning, levels: int, seed: int) -> tuple[float, float, float]:
    generator = torch.Generator().manual_seed(seed)
    n = _OBSERVED + _HIDDEN
    pos = 4 * torch.rand(n, 1, generator=generator, dtype=torch.float64) - 2
    lower = factor(DATA.matrix(pos)).lower
    values = lower @ torch.randn(n, 1, generator=generator, dtype=torch.float64)
    known = torch.arange(n) < _OBSERVED
    frame, path = Graphs(pos, x=torch.zeros_like(pos)), Gaussian(VP(), source, margin=1e-4)
    places = path.time(torch.linspace(-6, 10, levels, dtype=torch.float64))
    times = torch.cat([places, places.new_zeros(1)])
    process = GaussianProcess(DATA)
    found = propagated_moments(process, frame, path, times, DDIM(), 1, (values, known[:, None], way))
    exact = process.on(frame, path).given(values, known)
    mean, covariance = exact.mean[0, ~known, 0], exact.covariance[~known][:, ~known]
    gap = (found.mean[~known, 0] - mean).nan_to_num(math.inf)
    spread = (found.covariance[~known][:, ~known] - covariance).nan_to_num(math.inf)
    return (
        float(gap.abs().max()),
        float(gap.norm() / mean.norm()),
        float(spread.norm() / covariance.norm()),
    )
