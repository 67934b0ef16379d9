r"""Samples of Gaussian processes, :math:`y \sim N(0, K + s^2 I)` at any inputs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from noisefold.arguments import real
from noisefold.configuration import configurable
from noisefold.data.functions.inputs import UniformInputs
from noisefold.data.functions.process import RandomFunction, draw_functions
from noisefold.geometry.gp import Factor, factor
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.kernels import Kernel

__all__ = ["GaussianProcess", "gaussian_process"]

_ENTRIES = 1 << 22  # numbers in the covariances that are held together


@configurable
@dataclass(frozen=True)
class GaussianProcess(RandomFunction):
    """A Gaussian process of mean zero, observed with noise.

    Parameters
    ----------
    kernel
        Its covariance, of o outputs.
    noise
        Standard deviation s of independent noise on every value.

    Raises
    ------
    ValueError
        If the noise is negative; on a draw, if a covariance has no factor.
    """

    kernel: Kernel
    noise: float = 0.0

    def __post_init__(self) -> None:
        real("noise", self.noise, least=0)

    def outputs(self, dim: int) -> str:
        """Return "vector" if there are as many values as dimensions, two at least, else "scalars"."""
        return "vector" if self.kernel.outputs == dim > 1 else "scalars"

    def covariance(self, inputs: Tensor) -> Tensor:
        """Return the covariance ``[..., n o, n o]`` of values at ``inputs [..., n, d]``, float64."""
        matrix = self.kernel.matrix(inputs.double())
        return matrix + self.noise**2 * torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)

    def factor(self, inputs: Tensor) -> Factor:
        """Return its Cholesky factor, see `noisefold.geometry.factor`."""
        return factor(self.covariance(inputs), name=f"the covariance of {self!r}")

    def values(self, inputs: Sequence[Tensor], rngs: Sequence[np.random.Generator]) -> list[Tensor]:
        """Return the values of one function for each of the inputs."""
        outputs = self.kernel.outputs
        white = [
            torch.from_numpy(rng.standard_normal(len(place) * outputs))
            for place, rng in zip(inputs, rngs, strict=True)
        ]
        if all(place is inputs[0] or torch.equal(place, inputs[0]) for place in inputs):
            lower = self.factor(inputs[0]).lower
            return [_product(lower, z).view(-1, outputs) for z in white]
        alike: dict[int, list[int]] = defaultdict(list)
        for i, place in enumerate(inputs):
            alike[len(place)].append(i)
        found: dict[int, Tensor] = {}
        for size, members in alike.items():
            step = max(1, _ENTRIES // (size * outputs) ** 2)
            for start in range(0, len(members), step):
                some = members[start : start + step]
                lower = self.factor(torch.stack([inputs[i] for i in some])).lower
                drawn = _product(lower, torch.stack([white[i] for i in some]))
                found |= zip(some, drawn.view(len(some), -1, outputs), strict=True)
        return [found[i] for i in range(len(inputs))]


def _product(lower: Tensor, white: Tensor) -> Tensor:
    """Return L z ``[..., m]``, summed row by row: the last digits of a matrix product depend on its size."""
    return (lower * white[..., None, :]).sum(-1)


def gaussian_process(
    kernel: Kernel,
    count: int,
    inputs: UniformInputs | Tensor | None = None,
    noise: float = 0.0,
    seed: int = 0,
) -> Graphs:
    """Draw samples of a Gaussian process; sample i is a function of (seed, i).

    Parameters
    ----------
    kernel
        Its covariance; of as many outputs as space has dimensions, two at least, for vector fields.
    count
        Number of functions.
    inputs
        How inputs are drawn, default 60 uniform ones in (-2, 2); or the same ``[n, d]`` for all.
    noise
        Standard deviation of independent noise on every value.
    seed
        In [0, 2^64).

    Returns
    -------
    Graphs
        Inputs as ``pos [n, d]`` and values as ``x [n, o]``, float32.

    Raises
    ------
    ValueError
        If an argument is out of its range, or a covariance has no factor.

    Examples
    --------
    >>> import noisefold as nf
    >>> kernel = nf.geometry.Matern(0.25, 2.5)
    >>> functions = nf.data.gaussian_process(kernel, 8, noise=0.05)
    """
    return draw_functions(GaussianProcess(kernel, noise), count, inputs, seed)
