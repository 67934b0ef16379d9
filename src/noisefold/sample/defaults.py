"""Which way of conditioning fits a model, and which solver fits the way."""

from __future__ import annotations

from noisefold.noise.gaussian import Gaussian
from noisefold.noise.source import White
from noisefold.sample.amortized import Amortized
from noisefold.sample.conditioning import Conditioning
from noisefold.sample.langevin import LangevinCorrection
from noisefold.sample.replacement import Repaint, Replacement
from noisefold.sample.solver import DDIM, Heun, Solver

__all__ = ["default_solver", "method_for"]


def method_for(
    method: Conditioning | None, for_completion: bool, coupling: str, path: Gaussian, variable: str
) -> Conditioning:
    """The way asked for, or the default.

    That is `Amortized` for informed models; else `LangevinCorrection` for features under white noise, which
    was measured to be nearest to the truth with learned networks of those that need no training
    (``noisefold study conditioning``); else `Repaint`.

    A model that was trained under `noisefold.noise.WithinCloud` takes `Replacement`, and nothing else: its
    states are not data plus independent noise, so that its estimates are no scores, and noise that is added
    takes it to states that it has never seen.

    Parameters
    ----------
    method
        What is asked for, or None.
    informed
        Whether the network is told what is known.
    coupling
        Name of the coupling of the model's training, "" if that is not known.
    path, noised
        The path of the states, and the variable that is drawn.

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
    if for_completion:
        return method or Amortized()
    white = variable == "x" and isinstance(path.source, White)
    return method or (LangevinCorrection() if white else Repaint())


def default_solver(method: Conditioning) -> Solver:
    """DDIM for replacement, resampling and corrections, which spend evaluations elsewhere; else Heun."""
    return DDIM() if isinstance(method, Replacement | Repaint | LangevinCorrection) else Heun()
