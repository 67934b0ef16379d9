"""Conditioning of a model that learned it: the network is told what is known.

A network that was trained with random masks (`noisefold.train.Masks`) estimates the data given the state and
what is known, so that sampling is sampling as usual.

Source: Tashiro et al., CSDI: Conditional Score-based Diffusion Models for Probabilistic Time Series
Imputation (2021).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from noisefold.configuration import configurable
from noisefold.noise.gaussian import Gaussian
from noisefold.sample.conditioning import Conditioning, Known
from noisefold.sample.solver import ScalarDenoise, Solver

__all__ = ["Amortized"]


@configurable
@dataclass(frozen=True)
class Amortized(Conditioning):
    """Tell the network what is known.

    Evaluations of the network: those of the solver. When to use: the default for a model that was made with
    ``for_completion=True``, and for it alone. What it has not met among its training's masks it has not
    learned.

    Raises
    ------
    ValueError
        On a call, if the denoiser is not informed.
    """

    def __call__(
        self,
        denoise: ScalarDenoise,
        solver: Solver,
        known: Known,
        path: Gaussian,
        noise: Callable[[], Tensor],
    ) -> tuple[ScalarDenoise, Solver]:
        """The denoiser that is told what is known, and the solver as it was."""
        given = getattr(denoise, "given", None)
        if given is None:
            raise ValueError(f"method Amortized needs a denoiser that can be told, got {denoise!r}.")
        return given(known), solver
