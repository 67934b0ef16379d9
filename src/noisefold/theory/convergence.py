r"""Errors of solvers against what is known exactly: the flow of a mixture, and the moments of Gaussians.

Both begin inside, from t = 0.6 to 0.2, where the flow of every schedule is smooth, so that the error falls
with the order of the method.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from torch import Tensor

from noisefold.noise.gaussian import Gaussian
from noisefold.noise.schedule import Schedule
from noisefold.sample.solver import GaussianTask, Solver
from noisefold.theory.oracle import GaussianMixture

__all__ = ["MIXTURE", "flow_error", "interior", "moment_errors"]

MIXTURE = GaussianMixture(
    weights=(0.3, 0.7),
    means=((-2.5, 1.0), (2.0, -1.0)),
    covariances=(((0.3, 0.1), (0.1, 0.2)), ((0.25, 0.0), (0.0, 0.4))),
)
"""Two components in the plane, whose flow is not linear."""
_VARIANCES = (0.05, 0.3, 2.0)
_START, _STOP = 0.6, 0.2


def interior(schedule: Schedule, steps: int, clock: str = "time") -> Tensor:
    """Return times from 0.6 to 0.2 ``[steps + 1]``, float64, even in "time" or in "log_snr"."""
    t = torch.linspace(_START, _STOP, steps + 1, dtype=torch.float64)
    if clock == "time":
        return t
    start, stop = schedule.log_snr(t[[0, -1]])
    return schedule.time(start + (stop - start) * torch.linspace(0, 1, steps + 1, dtype=torch.float64))


def flow_error(solver: Solver, path: Gaussian, steps: int, clock: str = "time") -> float:
    """Return the root mean square error at t = 0.2 of a solver on the probability flow of `MIXTURE`.

    Raises
    ------
    AssertionError
        If the solver draws noise.
    """
    start, end = _flow(path.schedule)  # type: ignore[arg-type]

    def refused() -> Tensor:
        raise AssertionError(f"{solver!r} draws noise, which has a weak order alone.")

    times = interior(path.schedule, steps, clock)
    x = solver(GaussianTask.of(MIXTURE.bound(path), path, times, refused), start)
    return float((x - end).square().mean().sqrt())


@cache
def _flow(schedule: Schedule) -> tuple[Tensor, Tensor]:
    r"""Return states at 0.6 and where the probability flow takes them at 0.2, by DOP853 to 1e-12.

    The flow is written with the score, :math:`f x - g^2 s / 2` (f = alpha' / alpha,
    g^2 = 2 sigma sigma' - 2 f sigma^2), and not as the solvers have it.
    """
    path = Gaussian(schedule)
    first = torch.tensor(_START, dtype=torch.float64)
    start = MIXTURE.marginal(first, path).sample(8, torch.Generator().manual_seed(0))

    def slope(t: float, x: NDArray[np.float64]) -> NDArray[np.float64]:
        at, state = torch.tensor(t, dtype=torch.float64), torch.from_numpy(x).reshape(-1, 2)
        rate = schedule.dalpha(at) / schedule.alpha(at)
        power = 2 * schedule.sigma(at) * (schedule.dsigma(at) - rate * schedule.sigma(at))
        out: NDArray[np.float64] = (
            (rate * state - power / 2 * MIXTURE.score(state, at, path)).flatten().numpy()
        )
        return out

    y0 = start.flatten().numpy()
    end = solve_ivp(slope, (_START, _STOP), y0, method="DOP853", rtol=1e-12, atol=1e-12)
    return start, torch.from_numpy(end.y[:, -1]).reshape(-1, 2)


def moment_errors(
    solver: Solver, times: Tensor, path: Gaussian, variances: Sequence[float] = _VARIANCES
) -> Tensor:
    """Return the errors ``[2, d]`` of a solver's moments of N(0.7, diag(variances)), without sampling.

    Those of the means, in standard deviations, and of the variances, relative.

    The denoiser of a Gaussian is affine, and so is every solver in start and noise. A batch holds the
    trajectory of the mean, one with the start moved by 1, and one for every draw with that draw moved by 1;
    the spread is the sum of squares of what these do to the end.

    Parameters
    ----------
    solver
        The solver; it draws at most three times a step.
    times
        Falling times ``[steps + 1]``.
    path
        The path, with white noise.
    variances
        Of the coordinates of the data, d numbers.
    """
    law = GaussianMixture.gaussian([0.7] * len(variances), torch.diag(torch.tensor(variances)))
    start, end = law.marginal(times[0], path), law.marginal(times[-1], path)
    draws = 3 * len(times)
    pushes = iter(torch.eye(draws + 2, dtype=torch.float64)[2:, :, None])
    x = torch.tensor(start.means, dtype=torch.float64).repeat(draws + 2, 1)
    x[1] += 1
    task = GaussianTask.of(law.bound(path), path, times, lambda: next(pushes).expand_as(x))
    out = solver(task, x)
    response = (out[1:] - out[0]).square()
    before, after = (torch.tensor(law.covariances[0], dtype=torch.float64).diagonal() for law in (start, end))
    mean = (out[0] - torch.tensor(end.means[0], dtype=torch.float64)) / after.sqrt()
    return torch.stack([mean, (response[0] * before + response[1:].sum(0)) / after - 1])
