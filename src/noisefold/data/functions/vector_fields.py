r"""The published tasks of random vector fields in the plane, by name.

Fields are observed at the 648 points of `disc`, with noise of variance 0.02. Their length-scale is
:math:`\sqrt 5`.

============= =======================================================
``se``        both components independent, squared exponential
``curl-free`` gradients of a potential
``div-free``  without sources
============= =======================================================

Source: Holderrieth et al., Equivariant Learning of Stochastic Fields (2021), https://arxiv.org/abs/2011.12916;
Mathieu et al., Geometric Neural Diffusion Processes (2023), section 5.2, https://arxiv.org/abs/2307.05431.
"""

from __future__ import annotations

import math

from noisefold.data.functions.gaussian_process import GaussianProcess
from noisefold.geometry.correlation import SquaredExponential
from noisefold.geometry.vector_kernels import CurlFree, DivergenceFree, IndependentOutputs

__all__ = ["VECTOR_FIELDS"]

_LENGTH, _NOISE = math.sqrt(5), math.sqrt(0.02)
VECTOR_FIELDS: dict[str, GaussianProcess] = {
    "se": GaussianProcess(IndependentOutputs(SquaredExponential(_LENGTH), 2), _NOISE),
    "curl-free": GaussianProcess(CurlFree(_LENGTH, 2), _NOISE),
    "div-free": GaussianProcess(DivergenceFree(_LENGTH, 2), _NOISE),
}
"""Gaussian processes of vector fields by the name of their task."""
