r"""Isotropic correlation functions, the kernels of variance 1 that see the distance h alone.

=============================== ============================================================ =============
`SquaredExponential(l)`         :math:`e^{-h^2 / 2 l^2}`                                     any dimension
`Exponential(l)`                :math:`e^{-h / l}`, Matern 1/2                               any dimension
`Matern(l, smoothness)`         Matern 3/2, 5/2, ...: :math:`\nu = p + 1/2`                  any dimension
`Triangular(l)`                 :math:`\max(0, 1 - h / l)`                                   the line
`Spherical(l)`                  :math:`1 - \tfrac32 h/l + \tfrac12 (h/l)^3` for h < l        up to 3
`Periodic(l, p)`                :math:`e^{-2 \sin^2(\pi h / p) / l^2}`                       the line
`Nested(c, share, floor)`       floor + share c(h) for h > 0, and 1 at h = 0                 that of c
=============================== ============================================================ =============

Not every function that falls with the distance is a correlation: some combination of values may have a
negative variance. Those above are positive definite by proof, in the dimensions named; any other function can
be tested by `noisefold.theory.require_valid`. A correlation is a `noisefold.geometry.Kernel`: it composes by
``+``, ``*`` and ``2.0 * c``, and is called with distances or asked for the covariance of positions.

Source: Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), section 4.2,
https://gaussianprocess.org/gpml/; Chiles and Delfiner, Geostatistics (2012), section 2.5,
https://doi.org/10.1002/9781118136188, for the spherical and the triangular one.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.kernels import Kernel, check_positive, distances

__all__ = [
    "Correlation",
    "Exponential",
    "Function",
    "Matern",
    "Nested",
    "Periodic",
    "Spherical",
    "SquaredExponential",
    "Stationary",
    "Triangular",
]

Function = Callable[[Tensor], Tensor]
"""A function of distances ``[...]``, of which nothing is known."""


class Correlation(Kernel):
    """A positive definite function of the distance, and the isotropic kernel of variance 1 that it makes."""

    @property
    def highest(self) -> int | None:
        """Highest dimension of space in which it is positive definite; None for every one."""
        return None

    @property
    def kinks(self) -> tuple[float, ...]:
        """Distances above zero at which it is not smooth."""
        return ()

    @property
    def variance(self) -> float:
        """One."""
        return 1.0

    @abstractmethod
    def __call__(self, distance: Tensor) -> Tensor:
        """Return the correlation at ``distance [...]``, at least 0; 1 at 0."""

    def between(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the correlation of the distances, ``[..., n, m]``.

        Raises
        ------
        ValueError
            If space has more dimensions than the correlation allows.
        """
        if self.highest is not None and a.shape[-1] > self.highest:
            raise ValueError(
                f"{self!r} is a correlation in up to {self.highest} dimensions and the positions have "
                f"{a.shape[-1]}; use SquaredExponential, Exponential or Matern."
            )
        return self(distances(a.double(), b.double()))

    def matrix(self, pos: Tensor) -> Tensor:
        """Return the correlation of the distances, ``[..., n, n]``."""
        return self.between(pos, pos)


@configurable
@dataclass(frozen=True)
class Stationary(Kernel):
    r""":math:`v\, \rho(|x - x'|)`: an isotropic kernel, such as ``Stationary(Matern(0.25, 2.5), 0.9)``.

    Parameters
    ----------
    correlation
        rho, a function of the distance.
    variance
        v, positive.

    Raises
    ------
    ValueError
        If the variance is not positive; on use, if space has more dimensions than the correlation allows.
    """

    correlation: Correlation
    variance: float = 1.0

    def __post_init__(self) -> None:
        check_positive("variance", self.variance)

    def between(self, a: Tensor, b: Tensor) -> Tensor:
        """Return v rho of the distances."""
        return self.variance * self.correlation.between(a, b)

    def matrix(self, pos: Tensor) -> Tensor:
        """Return v rho of the distances."""
        return self.between(pos, pos)


@configurable
@dataclass(frozen=True)
class SquaredExponential(Correlation):
    r""":math:`\rho(h) = e^{-h^2 / 2 l^2}` (radial basis function, Gaussian): infinitely smooth fields.

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
        check_positive("length", self.length)

    def __call__(self, distance: Tensor) -> Tensor:
        """Return exp(-h^2 / (2 l^2))."""
        return torch.exp(-0.5 * (distance / self.length) ** 2)


@configurable
@dataclass(frozen=True)
class Exponential(Correlation):
    r""":math:`\rho(h) = e^{-h / l}` (Matern 1/2, Ornstein-Uhlenbeck): continuous, nowhere differentiable.

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
        check_positive("length", self.length)

    def __call__(self, distance: Tensor) -> Tensor:
        """Return exp(-h / l)."""
        return torch.exp(-distance / self.length)


@configurable
@dataclass(frozen=True)
class Matern(Correlation):
    r"""Fields that are p times differentiable, :math:`\nu = p + 1/2`; with :math:`z = \sqrt{2\nu}\, h / l`

    .. math:: \rho(h) = e^{-z} \frac{p!}{(2p)!} \sum_{i=0}^{p} \frac{(p + i)!}{i!\,(p - i)!} (2 z)^{p - i} .

    Parameters
    ----------
    length
        l, in the unit of the positions.
    smoothness
        One of 0.5 (which is `Exponential`), 1.5, 2.5, ..., at most 20.5.

    Raises
    ------
    ValueError
        If the length is not positive, or the smoothness is none of these.
    """

    length: float = 1.0
    smoothness: float = 1.5

    def __post_init__(self) -> None:
        check_positive("length", self.length)
        if not 0 < self.smoothness < 21 or (self.smoothness - 0.5) % 1:
            raise ValueError(
                f"smoothness must be a half-integer from 0.5 to 20.5, got {self.smoothness}; "
                "use SquaredExponential for its limit."
            )

    def __call__(self, distance: Tensor) -> Tensor:
        """Return the exponential times a polynomial of order p."""
        p = int(self.smoothness)
        z = math.sqrt(2 * self.smoothness) * distance / self.length
        if p == 0:
            return torch.exp(-z)
        # By Horner's scheme: a power of the whole tensor for every term would cost more than the exponential.
        first, *rest = (
            math.comb(p, k) * math.factorial(2 * p - k) * float(1 << k) / math.factorial(2 * p)
            for k in range(p, -1, -1)
        )
        polynomial = z if first == 1 else first * z
        for coefficient in rest[:-1]:
            polynomial = (polynomial + coefficient) * z
        return torch.exp(-z) * (polynomial + rest[-1])


@configurable
@dataclass(frozen=True)
class Triangular(Correlation):
    r""":math:`\rho(h) = \max(0, 1 - h / l)`, on the line alone.

    The overlap of two intervals of length l. Its analogue in space, the overlap of two balls, is `Spherical`.

    Parameters
    ----------
    length
        l, the range: the distance from which on values are uncorrelated.

    Raises
    ------
    ValueError
        If the length is not positive.
    """

    length: float = 1.0

    def __post_init__(self) -> None:
        check_positive("length", self.length)

    @property
    def highest(self) -> int:
        """One: the line."""
        return 1

    @property
    def kinks(self) -> tuple[float, ...]:
        """The range."""
        return (self.length,)

    def __call__(self, distance: Tensor) -> Tensor:
        """Return max(0, 1 - h / l)."""
        return (1 - distance / self.length).clamp(min=0)


@configurable
@dataclass(frozen=True)
class Spherical(Correlation):
    r""":math:`\rho(h) = 1 - \tfrac32 h/l + \tfrac12 (h/l)^3` for h < l, else 0; in up to 3 dimensions.

    The overlap of two balls of diameter l in space.

    Parameters
    ----------
    length
        l, the range: the distance from which on values are uncorrelated.

    Raises
    ------
    ValueError
        If the length is not positive.
    """

    length: float = 1.0

    def __post_init__(self) -> None:
        check_positive("length", self.length)

    @property
    def highest(self) -> int:
        """Three."""
        return 3

    @property
    def kinks(self) -> tuple[float, ...]:
        """The range."""
        return (self.length,)

    def __call__(self, distance: Tensor) -> Tensor:
        """Return 1 - 3 h / (2 l) + h^3 / (2 l^3) up to l."""
        z = (distance / self.length).clamp(max=1)
        return 1 - 1.5 * z + 0.5 * z**3


@configurable
@dataclass(frozen=True)
class Periodic(Correlation):
    r""":math:`\rho(h) = e^{-2 \sin^2(\pi h / p) / l^2}` on the line: smooth functions of period p.

    A squared exponential on the circle that a line of period p is wound around, at chords of
    :math:`2 \sin(\pi h / p)`. Over several axes take a `noisefold.geometry.Product` of one kernel for each.

    Parameters
    ----------
    length
        l, in units of the circle's radius.
    period
        p, in the unit of the positions.

    Raises
    ------
    ValueError
        If the length or the period is not positive.
    """

    length: float = 1.0
    period: float = 1.0

    def __post_init__(self) -> None:
        check_positive("length", self.length)
        check_positive("period", self.period)

    @property
    def highest(self) -> int:
        """One: the line."""
        return 1

    def __call__(self, distance: Tensor) -> Tensor:
        """Return exp(-2 sin^2(pi h / p) / l^2)."""
        return torch.exp(-2 * (torch.sin(math.pi * distance / self.period) / self.length) ** 2)


@configurable
@dataclass(frozen=True)
class Nested(Correlation):
    r"""A correlation with a nugget and with a part that is constant within a graph.

    .. math:: \rho(h) = f + p\, c(h) \quad (h > 0), \qquad \rho(0) = 1 .

    The nugget, 1 - p - f, is measurement noise or structure below the distance of neighbours; two nodes at
    one position share it, where a `noisefold.geometry.Nugget` belongs to a node. The floor f is the share of
    the variance between graphs.

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
        """Return floor + share c(h), and 1 at 0."""
        return torch.where(distance == 0, 1.0, self.floor + self.share * self.base(distance))
