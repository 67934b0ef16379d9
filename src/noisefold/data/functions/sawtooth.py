r"""Sawtooth waves: random frequency, shift and number of harmonics, without noise.

.. math:: y(x) = -\frac 1 \pi \sum_{k=1}^{K-1} \frac{(-1)^k}{k} \sin(2 \pi k f (x - s)),
    \qquad f \sim U(3, 5),\ s \sim U(-5, 5),\ K \sim U\{10, \ldots, 20\},

of mean 0 and variance 0.0797. They have no density but that of smoothed values, see
`noisefold.sample.log_prob`.

Source: Foong et al., Meta-Learning Stationary Stochastic Process Prediction with Convolutional Neural
Processes (2020), appendix H, https://arxiv.org/abs/2007.01332, without its mean 1/2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.data.functions.inputs import UniformInputs
from noisefold.data.functions.process import RandomFunction, draw_functions
from noisefold.geometry.graphs import Graphs

__all__ = ["Sawtooth", "sawtooth"]


@configurable
@dataclass(frozen=True)
class Sawtooth(RandomFunction):
    """Sawtooth waves on the line; see the module for the formula.

    Raises
    ------
    ValueError
        On a draw, if inputs are not numbers of the line.
    """

    def outputs(self, dim: int) -> str:
        """Return "scalars"."""
        return "scalars"

    def values(self, inputs: Sequence[Tensor], rngs: Sequence[np.random.Generator]) -> list[Tensor]:
        """Return the values of one wave for each of the inputs."""
        return [_wave(place, rng) for place, rng in zip(inputs, rngs, strict=True)]


def _wave(inputs: Tensor, rng: np.random.Generator) -> Tensor:
    if inputs.shape[1] != 1:
        raise ValueError(f"inputs of a sawtooth must be [n, 1], got {list(inputs.shape)}.")
    frequency, shift = rng.uniform(3, 5), rng.uniform(-5, 5)
    k = torch.arange(1, int(rng.integers(10, 21)), dtype=inputs.dtype)
    waves = torch.sin(2 * math.pi * k * frequency * (inputs - shift))
    return ((-1) ** (k + 1) / (math.pi * k) * waves).sum(1, keepdim=True)


def sawtooth(count: int, inputs: UniformInputs | Tensor | None = None, seed: int = 0) -> Graphs:
    """Draw sawtooth waves; sample i is a function of (seed, i).

    Parameters
    ----------
    count, inputs, seed
        As of `noisefold.data.gaussian_process`; inputs are ``[n, 1]``.

    Raises
    ------
    ValueError
        If an argument is out of its range.
    """
    return draw_functions(Sawtooth(), count, inputs, seed)
