"""Which way of conditioning, which solver and which grid fit a model, by the kind of its path.

A new kind of path registers its own with ``default_solver.register`` and its likes.
"""

from __future__ import annotations

from functools import singledispatch
from typing import Any

from noisefold.noise.discrete import Discrete
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.joint import JointPath
from noisefold.noise.schedule import VP, Cosine
from noisefold.noise.variable import Variable
from noisefold.sample.amortized import Amortized
from noisefold.sample.conditioning import Conditioning
from noisefold.sample.discrete import DiscreteFlow
from noisefold.sample.grid import Grid, LogSNR, Power, Uniform
from noisefold.sample.joint import JointSolver
from noisefold.sample.langevin import LangevinCorrection
from noisefold.sample.replacement import Repaint, Replacement
from noisefold.sample.solver import DDIM, Heun, Solver

__all__ = [
    "completes",
    "default_conditioning",
    "default_grid",
    "default_solver",
    "default_steps",
    "method_for",
    "solver_for",
]


@singledispatch
def default_solver(path: Any) -> Solver:
    """Return the solver for a path: Heun on Gaussian ones, `DiscreteFlow` on discrete, both on joint ones."""
    raise ValueError(f"no solver is known for {type(path).__name__}; give solver=.")


@default_solver.register
def _(path: Gaussian) -> Solver:
    return Heun()


@default_solver.register
def _(path: Discrete) -> Solver:
    return DiscreteFlow()


@default_solver.register
def _(path: JointPath) -> Solver:
    # Solvers that ask for a second estimate in a step would see parts at different times.
    own = [default_solver(part) for part in path.parts]
    return JointSolver(tuple(DDIM() if issubclass(DDIM.handles, s.handles) else s for s in own))


@singledispatch
def default_grid(path: Any, solver: Solver) -> Grid:
    """Return the time grid for a path and a solver.

    Uniform times, or on VP and cosine paths times even in log-SNR for solvers of order 2; on discrete and
    joint paths `Power` of 2.
    Evidence: ``noisefold study solvers --scale short``.
    """
    return Uniform()


@default_grid.register
def _(path: Gaussian, solver: Solver) -> Grid:
    curved = isinstance(path.schedule, VP | Cosine)
    return LogSNR() if curved and solver.order == 2 else Uniform()


@default_grid.register
def _(path: Discrete, solver: Solver) -> Grid:
    return Power(2)


@default_grid.register
def _(path: JointPath, solver: Solver) -> Grid:
    return Power(2)


@singledispatch
def default_steps(path: Any, usual: int) -> int:
    """Return how many steps a path is sampled in where none are named: the usual number on most."""
    return usual


@singledispatch
def default_conditioning(path: Any, variable: Variable[Any]) -> Conditioning:
    """Return the way of conditioning for a path and a variable, without a network made for completion.

    On Gaussian paths that is `LangevinCorrection` for features under white or Gaussian-process noise, which
    was measured to be nearest to the exact posterior (``noisefold study conditioning``); else `Repaint`,
    which most paths can do.

    Raises
    ------
    ValueError
        If there is none.
    """
    return Repaint()


@default_conditioning.register
def _(path: Gaussian, variable: Variable[Any]) -> Conditioning:
    normal = path.source.white or path.source.process is not None
    return LangevinCorrection() if variable.positions_given and normal else Repaint()


def completes(path: Any, variable: Variable[Any], for_completion: bool) -> bool:
    """Return whether a model has a way to condition on observed values."""
    if for_completion:
        return True
    try:
        default_conditioning(path, variable)
    except ValueError:
        return False
    return True


def method_for(
    method: Conditioning | None, for_completion: bool, coupling: str, path: Any, variable: Variable[Any]
) -> Conditioning:
    """Return the way of conditioning asked for, or the default.

    That is `Amortized` for models for completion, else `default_conditioning`. A model that was trained under
    `noisefold.noise.WithinCloud` takes `Replacement`, and nothing else: its states are not data plus
    independent noise, so that its estimates are no scores, and noise that is added takes it to states that it
    has never seen.

    Parameters
    ----------
    method
        What is asked for, or None.
    for_completion
        Whether the network conditions on observed values directly.
    coupling
        Name of the coupling of the model's training, "" if that is not known.
    path, variable
        The path of the states, and what is drawn.

    Raises
    ------
    ValueError
        If the model cannot be conditioned so.
    """
    if coupling == "WithinCloud":
        if not isinstance(method, Replacement | None):
            raise ValueError(
                f"method {type(method).__name__} needs states that are data plus independent noise, and this "
                "model was trained under the coupling WithinCloud; use method=Replacement(), or train with "
                "coupling=Independent()."
            )
        return method or Replacement()
    if method is None:
        method = Amortized() if for_completion else default_conditioning(path, variable)
    _check(method, path, "method")
    return method


def solver_for(solver: Solver | None, path: Any, method: Conditioning | None = None) -> Solver:
    """Return the solver asked for, or the default.

    On Gaussian paths DDIM serves replacement, resampling and corrections, which spend evaluations elsewhere.

    Raises
    ------
    ValueError
        If the solver cannot integrate the path.
    """
    if solver is None:
        spends = isinstance(method, Replacement | Repaint | LangevinCorrection)
        own = default_solver(path)
        solver = DDIM() if spends and issubclass(DDIM.handles, own.handles) else own
    _check(solver, path, "solver")
    return solver


def _check(chosen: Solver | Conditioning, path: Any, argument: str) -> None:
    if not hasattr(chosen, "handles"):
        raise ValueError(f"{argument} must be one of noisefold.sample, got {chosen!r}.")
    if not isinstance(path, chosen.handles):
        raise ValueError(
            f"{argument} {type(chosen).__name__} is for paths of the kind {chosen.handles.__name__}, "
            f"and this one is {type(path).__name__}."
        )
