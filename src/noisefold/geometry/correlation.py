r"""Correlations in space: how alike two values are that stand at a distance h from each other.

=========================== =========================================================== ==============
`SquaredExponential(l)`     :math:`e^{-h^2 / 2 l^2}`                                    any dimension
`Exponential(l)`            :math:`e^{-h / l}`                                          any dimension
`Matern(l, smoothness)`     between the two; :math:`\nu = p + 1/2`                      any dimension
`Triangular(l)`             :math:`\max(0, 1 - h / l)`                                  the line
`Spherical(l)`              :math:`1 - \tfrac32 h/l + \tfrac12 (h/l)^3` for h < l       up to 3
`Nested(c, share, floor)`   floor + share c(h) for h > 0, and 1 at h = 0                that of c
=========================== =========================================================== ==============

Not every function that falls with the distance is a correlation: some combination of values would have a
negative variance. Those above are correlations by proof, in the dimensions named; any other function can be
held to it by `noisefold.theory.require_valid`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from noisefold.configuration import configurable

__all__ = [
    "Correlation",
    "Exponential",
    "Function",
    "Matern",
    "Nested",
    "Spherical",
    "SquaredExponential",
    "Triangular",
]

Function = Callable[[Tensor], Tensor]


class Correlation(ABC):
    """A function of the distance that is known to be a correlation."""

    @property
    def highest(self) -> int | None:
        """Highest dimension of space in which it is a correlation; None for every one."""
        return None

    @property
    def kinks(self) -> tuple[float, ...]:
        """Distances above zero at which it is not smooth."""
        return ()

    @abstractmethod
    def __call__(self, distance: Tensor) -> Tensor:
        """Correlation at ``distance [...]``, at least 0; 1 at 0."""


@configurable
@dataclass(frozen=True)
class SquaredExponential(Correlation):
    r""":math:`\rho(h) = e^{-h^2 / 2 l^2}`: very smooth fields.

    Parameters
    ----------
    length
        l, in the unit of the positions.

    Raises
    ------
    ValueError
        If the length is not positive.
    """

    length: float = 1.0

    def __post_init__(self) -> None:
        _check_length(self.length)

    def __call__(self, distance: Tensor) -> Tensor:
        """exp(-h^2 / (2 l^2))."""
        return torch.exp(-0.5 * (distance / self.length) ** 2)


@configurable
@dataclass(frozen=True)
class Exponential(Correlation):
    r""":math:`\rho(h) = e^{-h / l}`: continuous fields without a slope.

    Parameters
    ----------
    length
        l, in the unit of the positions.

    Raises
    ------
    ValueError
        If the length is not positive.
    """

    length: float = 1.0

    def __post_init__(self) -> None:
        _check_length(self.length)

    def __call__(self, distance: Tensor) -> Tensor:
        """exp(-h / l)."""
        return torch.exp(-distance / self.length)


@configurable
@dataclass(frozen=True)
class Matern(Correlation):
    r"""Fields with p slopes, for the smoothness :math:`\nu = p + 1/2`; with :math:`z = \sqrt{2\nu}\, h / l`

    .. math:: \rho(h) = e^{-z} \frac{p!}{(2p)!} \sum_{i=0}^{p} \frac{(p + i)!}{i!\,(p - i)!} (2 z)^{p - i} .

    Parameters
    ----------
    length
        l, in the unit of the positions.
    smoothness
        One of .5 (which is `Exponential`), 1.5, 2.5, ..., at most 20.5.

    Raises
    ------
    ValueError
        If the length is not positive, or the smoothness none of these.
    """

    length: float = 1.0
    smoothness: float = 1.5

    def __post_init__(self) -> None:
        _check_length(self.length)
        if not 0 < self.smoothness < 21 or (self.smoothness - 0.5) % 1:
            raise ValueError(
                f"smoothness must be a half-integer from .5 to 20.5, got {self.smoothness}; "
                "use SquaredExponential for its limit."
            )

    def __call__(self, distance: Tensor) -> Tensor:
        """Exponential times a polynomial of order p."""
        p = int(self.smoothness)
        z = math.sqrt(2 * self.smoothness) * distance / self.length
        polynomial = torch.zeros_like(z)
        for i in range(p + 1):
            weight = math.factorial(p + i) / (math.factorial(i) * math.factorial(p - i))
            polynomial = polynomial + weight * (2 * z) ** (p - i)
        return torch.exp(-z) * polynomial * (math.factorial(p) / math.factorial(2 * p))


@configurable
@dataclass(frozen=True)
class Triangular(Correlation):
    r""":math:`\rho(h) = \max(0, 1 - h / l)`, on the line alone.

    The share that two intervals of length l have in common. Its analogue in the plane and in space, the share
    that two balls have in common, is `Spherical`.

    Parameters
    ----------
    length
        l, the distance from which on nothing is common.

    Raises
    ------
    ValueError
        If the length is not positive.
    """

    length: float = 1.0

    def __post_init__(self) -> None:
        _check_length(self.length)

    @property
    def highest(self) -> int:
        """The line."""
        return 1

    @property
    def kinks(self) -> tuple[float, ...]:
        """Its range."""
        return (self.length,)

    def __call__(self, distance: Tensor) -> Tensor:
        """max(0, 1 - h / l)."""
        return (1 - distance / self.length).clamp(min=0)


@configurable
@dataclass(frozen=True)
class Spherical(Correlation):
    r""":math:`\rho(h) = 1 - \tfrac32 h/l + \tfrac12 (h/l)^3` for h < l, else 0; in up to 3 dimensions.

    The share that two balls of diameter l in space have in common.

    Parameters
    ----------
    length
        l, the distance from which on nothing is common.

    Raises
    ------
    ValueError
        If the length is not positive.
    """

    length: float = 1.0

    def __post_init__(self) -> None:
        _check_length(self.length)

    @property
    def highest(self) -> int:
        """Space."""
        return 3

    @property
    def kinks(self) -> tuple[float, ...]:
        """Its range."""
        return (self.length,)

    def __call__(self, distance: Tensor) -> Tensor:
        """1 - 3 h / (2 l) + h^3 / (2 l^3) up to l."""
        z = (distance / self.length).clamp(max=1)
        return 1 - 1.5 * z + 0.5 * z**3


@configurable
@dataclass(frozen=True)
class Nested(Correlation):
    r"""A correlation with a part that no two places share, and one that all of them do.

    .. math:: \rho(h) = f + p\, c(h) \quad (h > 0), \qquad \rho(0) = 1 .

    The rest, 1 - p - f, is noise of the measurement or structure below the distance of neighbours (in
    geostatistics the nugget); the floor f is what differs between graphs and not within them.

    Parameters
    ----------
    base
        The correlation c.
    share
        p, at least 0.
    floor
        f, at least 0.

    Raises
    ------
    ValueError
        If a share is negative, or both together are above 1.
    """

    base: Correlation
    share: float = 1.0
    floor: float = 0.0

    def __post_init__(self) -> None:
        if self.share < 0 or self.floor < 0 or self.share + self.floor > 1 + 1e-9:
            raise ValueError(
                "share and floor must be at least 0 and at most 1 together, "
                f"got {self.share} and {self.floor}."
            )

    @property
    def highest(self) -> int | None:
        """That of the base."""
        return self.base.highest

    @property
    def kinks(self) -> tuple[float, ...]:
        """Those of the base."""
        return self.base.kinks

    def __call__(self, distance: Tensor) -> Tensor:
        """floor + share c(h), and 1 at 0."""
        return torch.where(distance == 0, 1.0, self.floor + self.share * self.base(distance))


def _check_length(length: float) -> None:
    if not 0 < length < math.inf:
        raise ValueError(f"length must be positive and finite, got {length}.")
