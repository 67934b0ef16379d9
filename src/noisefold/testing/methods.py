"""Checks of schedules and solvers, against derivatives by autograd and exact denoisers."""

from __future__ import annotations

import torch

from noisefold.noise.gaussian import Gaussian
from noisefold.noise.schedule import Linear, Schedule
from noisefold.sample.solver import Solver
from noisefold.testing.require import close, require
from noisefold.theory.convergence import flow_error, moment_errors

__all__ = ["assert_schedule", "assert_solver_order"]


def assert_schedule(
    schedule: Schedule, *, clean: float = 0.9, noisy: float = 0.2, tolerance: float = 1e-12
) -> None:
    """A schedule's derivatives, its log-SNR and the inverse of that agree, and it runs from data to noise.

    Parameters
    ----------
    schedule
        The schedule.
    clean, noisy
        Least signal level u = alpha / (alpha + sigma) at t = 0, and the greatest at t = 1.
    tolerance
        Greatest error in float64, relative to 1 + the size of a number.
    """
    inside = torch.linspace(1e-3, 1 - 1e-3, 301, dtype=torch.float64)
    for name in ("alpha", "sigma"):
        t = inside.clone().requires_grad_()
        value = getattr(schedule, name)(t) + 0 * t  # a constant does not depend on t at all
        (truth,) = torch.autograd.grad(value.sum(), t)
        close(f"d{name} against autograd", getattr(schedule, f"d{name}")(inside), truth, tolerance)
        lowest = value.min().item()
        require(lowest >= 0, f"{name} falls to {lowest:.3g}, must be at least 0.")
    ratio = 2 * torch.log(schedule.alpha(inside) / schedule.sigma(inside))
    log_snr = schedule.log_snr(inside)
    close("log_snr against 2 log(alpha / sigma)", log_snr, ratio, tolerance)
    close("time of log_snr", schedule.time(log_snr), inside, tolerance)
    steepest = float(log_snr.diff().max())
    require(steepest < 0, f"log_snr rises by {steepest:.3g} between two times, must fall everywhere.")
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    alpha, sigma = schedule.alpha(ends), schedule.sigma(ends)
    first, last = (alpha / (alpha + sigma)).tolist()
    require(first >= clean, f"signal level at t = 0 is {first:.3g}, must be at least {clean}.")
    require(last <= noisy, f"signal level at t = 1 is {last:.3g}, must be at most {noisy}.")
    for name in ("alpha", "sigma", "dalpha", "dsigma", "log_snr", "time"):
        for t in (torch.tensor(0.3), torch.full((7, 1), 0.3), torch.full((2,), 0.3, dtype=torch.float64)):
            out = getattr(schedule, name)(t)
            require((out.shape, out.dtype) == (t.shape, t.dtype), f"{name} changes shape or type of {t}.")


def assert_solver_order(
    solver: Solver,
    order: int,
    *,
    schedule: Schedule | None = None,
    weak: bool = False,
    steps: int | None = None,
    tolerance: float = 0.15,
) -> None:
    """A solver's error falls as the step to the power `order`, measured with the exact denoiser.

    Parameters
    ----------
    solver
        The solver.
    order
        What is claimed; it must neither be less nor more.
    schedule
        Default `noisefold.noise.Linear`.
    weak
        Whether the moments of its samples of Gaussians are compared, as for solvers that draw noise; else the
        trajectories in a mixture. Nothing is sampled in either case.
    steps
        Steps from t = 0.6 to 0.2, and four times as many; default 40, or 32 for weak orders.
    tolerance
        Of the order; terms of higher order move it by some 0.1.
    """
    path = Gaussian(schedule or Linear())
    coarse = steps or (32 if weak else 40)

    def error(count: int) -> float:
        if not weak:
            return flow_error(solver, path, count)
        times = torch.linspace(0.6, 0.2, count + 1, dtype=torch.float64)
        return float(moment_errors(solver, times, path).square().mean().sqrt())

    errors = torch.tensor([error(coarse), error(4 * coarse)], dtype=torch.float64)
    measured = float((errors[0] / errors[1]).log2()) / 2
    require(
        abs(measured - order) <= tolerance,
        f"{solver!r} is of order {measured:.3g} (errors {errors[0]:.3g}, {errors[1]:.3g}), "
        f"must be {order} within {tolerance}.",
    )
