r"""The published regression tasks on the line, by name.

Inputs are uniform in (-2, 2), and to show generalisation in (2, 6). Gaussian processes have variance 1 and
noise of standard deviation 0.05.

=================== =============================================================================
``se``              squared exponential, length-scale 0.25
``matern``          Matern 5/2, length-scale 0.25
``weakly periodic`` squared exponential, length-scale 0.5, times
                    :math:`e^{-\sin^2(\pi h) / (2 \cdot 0.25^2)}`
``sawtooth``        `Sawtooth`
``mixture``         the four above, equally likely
=================== =============================================================================

Source: Bruinsma et al., The Gaussian Neural Process (2021), https://arxiv.org/abs/2101.03606; Mathieu et al.,
Geometric Neural Diffusion Processes (2023), section 5.1, https://arxiv.org/abs/2307.05431.
"""

from __future__ import annotations

from noisefold.data.functions.gaussian_process import GaussianProcess
from noisefold.data.functions.mixture import Mixture
from noisefold.data.functions.process import RandomFunction
from noisefold.data.functions.sawtooth import Sawtooth
from noisefold.geometry.correlation import Matern, Periodic, SquaredExponential

__all__ = ["REGRESSION_TASKS"]

_NOISE = 0.05
_SINGLE: dict[str, RandomFunction] = {
    "se": GaussianProcess(SquaredExponential(0.25), _NOISE),
    "matern": GaussianProcess(Matern(0.25, 2.5), _NOISE),
    # The library's periodic correlation is exp(-2 sin^2 / l^2), so that l is twice that of the formula.
    "weakly periodic": GaussianProcess(SquaredExponential(0.5) * Periodic(0.5, 1.0), _NOISE),
    "sawtooth": Sawtooth(),
}
REGRESSION_TASKS: dict[str, RandomFunction] = {**_SINGLE, "mixture": Mixture(tuple(_SINGLE.values()))}
"""Random functions on the line by the name of their task."""
