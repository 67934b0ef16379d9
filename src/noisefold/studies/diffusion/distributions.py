"""Small distributions to study diffusion on: the paper's mixture, two kinds of graphs, toys, given points.

The oracle of a mixture of Gaussians is exact. Elsewhere a large sample stands for the distribution, and
`Empirical` is the oracle of that sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from noisefold.noise import Gaussian, derive_seed
from noisefold.theory import GaussianMixture

__all__ = ["EXACT", "GRAPHS", "MIXTURE", "NAMED", "Distribution", "Empirical", "Oracle", "named"]

EXACT = "exact oracle"
"""What networks are compared with where the distribution is known."""

_REFERENCE = 2000
_FEWEST = 100


class Oracle(Protocol):
    """The posterior of a distribution at every noise level; times are scalars."""

    def denoise(self, x: Tensor, t: Tensor, path: Gaussian) -> Tensor:
        """Return E[x_0 | x_t] for states ``[n, d]``."""

    def posterior_covariance(self, x: Tensor, t: Tensor, path: Gaussian) -> Tensor:
        """Return the covariance of the data given the state, ``[n, d, d]``."""


@dataclass(frozen=True)
class Empirical:
    r"""The oracle of a sample: equal weight on each of its points.

    :math:`E[x_0 \mid x_t] = \sum_j w_j p_j` with
    :math:`w = \mathrm{softmax}_j(-|x_t - \alpha p_j|^2 / 2 \sigma^2)`. Below the distance of neighbouring
    points it is that of the sample, no longer that of the distribution which was sampled.

    Parameters
    ----------
    points
        ``[m, d]``, float64.
    """

    points: Tensor

    def denoise(self, x: Tensor, t: Tensor, path: Gaussian) -> Tensor:
        """Return E[x_0 | x_t] for states ``[n, d]`` at a scalar time."""
        return (self._weights(x, t, path) @ self.points).to(x.dtype)

    def posterior_covariance(self, x: Tensor, t: Tensor, path: Gaussian) -> Tensor:
        """Return the covariance of the data given the state, ``[n, d, d]``."""
        weights = self._weights(x, t, path)
        mean = weights @ self.points
        squares = torch.einsum("md,me->mde", self.points, self.points).flatten(1)
        second = (weights @ squares).view(len(x), x.shape[1], x.shape[1])
        return (second - mean[:, :, None] * mean[:, None, :]).to(x.dtype)

    def _weights(self, x: Tensor, t: Tensor, path: Gaussian) -> Tensor:
        alpha, sigma = path.schedule.alpha(t), path.schedule.sigma(t)
        scaled = alpha * self.points
        # |x|^2 is the same for every point and leaves a softmax as it is.
        logits = (x.double() @ scaled.T - scaled.square().sum(1) / 2) / sigma**2
        return torch.softmax(logits, dim=1)


@dataclass(frozen=True)
class Distribution:
    """A distribution to learn.

    Parameters
    ----------
    name
        On the command line.
    draw
        ``draw(n, generator)`` gives points ``[n, d]``, float64.
    unit
        What coordinates are measured in.
    mixture
        The mixture that it is, if it is one.
    """

    name: str
    draw: Callable[[int, torch.Generator], Tensor]
    unit: str = "1"
    mixture: GaussianMixture | None = None

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.draw(1, torch.Generator()).shape[1]

    def reference(self, n: int = _REFERENCE) -> Tensor:
        """Return held-out points ``[n, d]`` of the distribution; the same ones at every call."""
        return self.draw(n, torch.Generator().manual_seed(derive_seed(7, 7, 7)))

    @property
    def standard(self) -> str:
        """What networks are compared with, in words."""
        return EXACT if self.mixture is not None else f"sample of {len(self.reference())} points"

    def oracle(self) -> Oracle:
        """Return the exact oracle if the mixture is known, else that of a large sample."""
        return self.mixture if self.mixture is not None else Empirical(self.reference())


def _of_mixture(name: str, mixture: GaussianMixture, unit: str = "1") -> Distribution:
    return Distribution(name, mixture.sample, unit, mixture)


MIXTURE = _of_mixture(
    "mixture",
    GaussianMixture(
        weights=(0.5, 0.5),
        means=((-4.0, -4.0), (4.0, 4.0)),
        covariances=(((0.3, 0.0), (0.0, 0.1)), ((0.2, 0.0), (0.0, 0.2))),
    ),
)
"""The paper's mixture of two Gaussians in the plane."""

_EDGE = 0.05

GRAPHS = _of_mixture(
    "graphs",
    GaussianMixture(
        weights=(0.5, 0.5),
        means=((-1.0,) * 3, (1.0,) * 3),
        covariances=torch.eye(3, dtype=torch.float64).expand(2, 3, 3) * _EDGE,
    ),
    "edge weight",
)
"""Graphs on three nodes, as their three edges: all (+1) or none (-1), with spread weights."""


def _moons(n: int, generator: torch.Generator) -> Tensor:
    angle = torch.rand(n, generator=generator, dtype=torch.float64) * math.pi
    lower = torch.arange(n) % 2 == 1
    x = torch.where(lower, 1 - angle.cos(), angle.cos()) - 0.5
    y = torch.where(lower, 0.5 - angle.sin(), angle.sin()) - 0.25
    return torch.stack([x, y], 1) * 1.5 + _blur(n, 0.08, generator)


def _rings(n: int, generator: torch.Generator) -> Tensor:
    angle = torch.rand(n, generator=generator, dtype=torch.float64) * 2 * math.pi
    radius = torch.where(torch.arange(n) % 2 == 1, 2.0, 0.8).double()
    return torch.stack([radius * angle.cos(), radius * angle.sin()], 1) + _blur(n, 0.06, generator)


def _checkerboard(n: int, generator: torch.Generator) -> Tensor:
    place = torch.rand(n, 2, generator=generator, dtype=torch.float64)
    column = torch.randint(4, (n,), generator=generator)
    row = 2 * torch.randint(2, (n,), generator=generator) + column % 2
    return torch.stack([column, row], 1) + place - 2


def _swiss_roll(n: int, generator: torch.Generator) -> Tensor:
    turn = 1.5 * math.pi * (1 + 2 * torch.rand(n, generator=generator, dtype=torch.float64))
    return torch.stack([turn * turn.cos(), turn * turn.sin()], 1) / 7 + _blur(n, 0.05, generator)


def _blur(n: int, scale: float, generator: torch.Generator) -> Tensor:
    return scale * torch.randn(n, 2, generator=generator, dtype=torch.float64)


NAMED: dict[str, Distribution] = {
    "mixture": MIXTURE,
    "graphs": GRAPHS,
    "moons": Distribution("moons", _moons),
    "rings": Distribution("rings", _rings),
    "checkerboard": Distribution("checkerboard", _checkerboard),
    "swiss-roll": Distribution("swiss-roll", _swiss_roll),
}
"""Distributions by name."""


def named(data: str) -> Distribution:
    """Return a distribution by its name, or that of the points of a csv file.

    The file holds two columns of numbers separated by commas, with or without a line of names. Its points are
    shifted to mean 0 and scaled to unit variance on average; a random half trains, the other half is the
    reference.

    Raises
    ------
    ValueError
        If it is neither a name nor a file, or the file does not hold at least 100 points of the plane.
    """
    if data in NAMED:
        return NAMED[data]
    path = Path(data)
    if not path.is_file():
        raise ValueError(f"data {data!r} is neither a file nor one of {', '.join(NAMED)}.")
    points = _read(path)
    spread = float(points.var(0).mean().sqrt())
    if not spread > 0:
        raise ValueError(f"{path} holds one point {len(points)} times; it needs points that differ.")
    return _of_points(path.stem, (points - points.mean(0)) / spread)


def _read(path: Path) -> Tensor:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not text; give a csv file of two columns.") from None
    rows = [line.split(",") for line in lines if line.strip()]
    if rows and not _numbers(rows[0]):
        rows = rows[1:]
    for number, row in enumerate(rows, 1):
        if len(row) != 2 or not _numbers(row):
            raise ValueError(
                f"{path}, point {number}: expected two numbers and a comma, got {','.join(row)!r}."
            )
    if len(rows) < _FEWEST:
        raise ValueError(f"{path} holds {len(rows)} points; the study needs at least {_FEWEST}.")
    return torch.from_numpy(np.array(rows, dtype=np.float64))


def _numbers(row: list[str]) -> bool:
    try:
        return all(math.isfinite(float(value)) for value in row)
    except ValueError:
        return False


def _of_points(name: str, points: Tensor) -> Distribution:
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(derive_seed(7, 7)))
    train, held = points[order].tensor_split(2)

    def draw(n: int, generator: torch.Generator) -> Tensor:
        return train[torch.randint(len(train), (n,), generator=generator)]

    return _Points(name, draw, "standard deviation", held=held)


@dataclass(frozen=True)
class _Points(Distribution):
    """Points of a file; half of them are the reference."""

    held: Tensor | None = None

    def reference(self, n: int = _REFERENCE) -> Tensor:
        """Return at most n of the held-out points."""
        assert self.held is not None
        return self.held[:n]
