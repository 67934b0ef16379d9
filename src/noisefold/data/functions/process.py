"""Random functions, and samples of them as graphs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from noisefold.arguments import seed_of, whole
from noisefold.data.functions.inputs import UniformInputs
from noisefold.data.functions.modality import FunctionSamples
from noisefold.geometry.graphs import Graphs

__all__ = ["RandomFunction", "draw_functions"]


class RandomFunction(Protocol):
    """A distribution of functions, given by their values at any inputs."""

    @abstractmethod
    def outputs(self, dim: int) -> str:
        """Return what values are at inputs of this dimension, as of `FunctionSamples`."""

    @abstractmethod
    def values(self, inputs: Sequence[Tensor], rngs: Sequence[np.random.Generator]) -> list[Tensor]:
        """Return the values ``[n, o]`` of one function for each of the ``inputs [n, d]``, float64.

        Each is drawn from its own generator and does not depend on the others.
        """


def draw_functions(
    process: RandomFunction, count: int, inputs: UniformInputs | Tensor | None = None, seed: int = 0
) -> Graphs:
    """Draw functions, each observed at its inputs.

    Sample i is a function of (seed, i), whatever the number of samples.

    Parameters
    ----------
    process
        The distribution.
    count
        Number of functions.
    inputs
        How inputs are drawn, default `UniformInputs`; or the same ``[n, d]`` for all.
    seed
        In [0, 2^64).

    Returns
    -------
    Graphs
        Inputs as ``pos [n, d]`` and values as ``x [n, o]``, float32.

    Raises
    ------
    ValueError
        If a number is out of its range, or inputs are not ``[n, d]``.
    """
    count, seed = whole("count", count, least=1), seed_of(seed)
    if isinstance(inputs, Tensor) and (inputs.ndim != 2 or not len(inputs)):
        raise ValueError(f"inputs must be [n, d] with at least one row, got shape {list(inputs.shape)}.")
    rngs = [
        np.random.Generator(np.random.Philox(key=np.array([seed, i], dtype=np.uint64))) for i in range(count)
    ]
    if isinstance(inputs, Tensor):
        places = [inputs.float()] * count
    else:
        given = UniformInputs() if inputs is None else inputs
        places = [given.draw(rng) for rng in rngs]
    # Values belong to the inputs as they are kept, rounded to float32.
    values = process.values([place.double() for place in places], rngs)
    sizes = torch.tensor([0, *(len(place) for place in places)])
    return Graphs(
        torch.cat(places),
        torch.cat(values).float(),
        sizes.cumsum(0),
        modality=FunctionSamples(outputs=process.outputs(places[0].shape[1])),
    )
