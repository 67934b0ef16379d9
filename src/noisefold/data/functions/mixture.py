"""Mixtures of random functions: each sample is of one of several kinds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.data.functions.inputs import UniformInputs
from noisefold.data.functions.process import RandomFunction, draw_functions
from noisefold.geometry.graphs import Graphs

__all__ = ["Mixture", "mixture"]


@configurable
@dataclass(frozen=True)
class Mixture(RandomFunction):
    """Functions of several kinds, all equally likely.

    Parameters
    ----------
    parts
        The kinds, one at least.

    Raises
    ------
    ValueError
        If there is none; on a draw, if their values are of different kinds.
    """

    parts: tuple[RandomFunction, ...]

    def __post_init__(self) -> None:
        if not self.parts:
            raise ValueError("parts must hold at least one kind of functions, got none.")

    def outputs(self, dim: int) -> str:
        """Return what the values of every part are."""
        kinds = sorted({part.outputs(dim) for part in self.parts})
        if len(kinds) > 1:
            raise ValueError(f"parts must all have values of one kind, got {', '.join(kinds)}.")
        return kinds[0]

    def values(self, inputs: Sequence[Tensor], rngs: Sequence[np.random.Generator]) -> list[Tensor]:
        """Return the values of a function of one of the kinds for each of the inputs."""
        kinds = [int(rng.integers(len(self.parts))) for rng in rngs]
        found: dict[int, Tensor] = {}
        for kind, part in enumerate(self.parts):
            some = [i for i, k in enumerate(kinds) if k == kind]
            if some:
                drawn = part.values([inputs[i] for i in some], [rngs[i] for i in some])
                found |= zip(some, drawn, strict=True)
        return [found[i] for i in range(len(inputs))]


def mixture(
    parts: Sequence[RandomFunction],
    count: int,
    inputs: UniformInputs | Tensor | None = None,
    seed: int = 0,
) -> Graphs:
    """Draw functions of several kinds, all equally likely; sample i is a function of (seed, i).

    Parameters
    ----------
    parts
        The kinds, such as `noisefold.data.functions.GaussianProcess`.
    count, inputs, seed
        As of `noisefold.data.gaussian_process`.

    Raises
    ------
    ValueError
        If an argument is out of its range.
    """
    return draw_functions(Mixture(tuple(parts)), count, inputs, seed)
