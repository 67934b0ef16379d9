r"""Compact manifolds on which states may lie: the sphere, and the torus as a product of circles.

Both are products of unit spheres, and a point is one or several unit vectors side by side: 3 numbers on the
sphere, 2 for each angle of a torus. At a point x with a tangent vector v of length :math:`\theta`,

.. math:: \exp_x v = \cos \theta\, x + \frac{\sin \theta}{\theta}\, v, \qquad
    \log_x y = \frac{\theta}{\sin \theta}\, (y - \cos \theta\, x), \quad \cos \theta = x \cdot y,

factor by factor. Brownian motion is that of `noisefold.geometry.heat_kernel`.

Source: De Bortoli et al., Riemannian Score-Based Generative Modelling (2022),
https://arxiv.org/abs/2202.02763.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.heat_kernel import (
    circle_log_density,
    circle_slope,
    sphere_angle,
    sphere_log_density,
    sphere_slope,
)

__all__ = ["Manifold", "Sphere", "Torus"]

_OFF = 1e-3  # how far from 1 the length of a vector of rounded numbers may be


class Manifold(ABC):
    """A product of unit spheres: points ``[n, columns]`` are unit vectors side by side.

    Attributes
    ----------
    sphere
        Dimension of each of the spheres.
    """

    sphere: ClassVar[int]

    @property
    @abstractmethod
    def factors(self) -> int:
        """Number of spheres."""

    @property
    def dimension(self) -> int:
        """Dimension of the manifold."""
        return self.factors * self.sphere

    @property
    def columns(self) -> int:
        """Numbers of a point."""
        return self.factors * (self.sphere + 1)

    @property
    @abstractmethod
    def log_volume(self) -> float:
        """Logarithm of its volume: the uniform density is the negative of it, for each node."""

    # -- a point and its tangent space -----------------------------------------------------------------

    def project(self, x: Tensor) -> Tensor:
        """Return the nearest points ``[n, columns]``; where there is none, such as at 0, an arbitrary one."""
        parts = self._split(x)
        length = _length(parts)
        first = torch.zeros_like(parts)
        first[..., 0] = 1.0
        return self._join(torch.where(length > _tiny(x), parts / length, first))

    def radii(self, x: Tensor) -> Tensor:
        """Return the lengths of the vectors of any ``x [n, columns]``, each at all of its columns."""
        parts = self._split(x)
        return self._join(_length(parts).expand_as(parts))

    def tangent(self, x: Tensor, v: Tensor) -> Tensor:
        """Return the part of vectors ``v [n, columns]`` that is tangent at x."""
        return self._join(_tangent(self._split(x), self._split(v)))

    def frame(self, x: Tensor) -> Tensor:
        """Return an orthonormal basis of the tangent space, ``[n, dimension, columns]``."""
        basis = self._basis(self._split(x))  # [n, k, sphere, sphere + 1]
        n, k, size = len(x), self.factors, self.sphere + 1
        whole = basis.new_zeros(n, k, self.sphere, k, size)
        for i in range(k):
            whole[:, i, :, i] = basis[:, i]
        return whole.reshape(n, self.dimension, self.columns)

    def exp(self, x: Tensor, v: Tensor) -> Tensor:
        """Return the ends ``[n, columns]`` of geodesics from x with the velocities v, tangent at x."""
        point, velocity = self._split(x), self._split(v)
        theta = _length(velocity)
        end = theta.cos() * point + torch.sinc(theta / math.pi) * velocity
        return self._join(end / _length(end))

    def log(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the velocities ``[n, columns]`` of shortest geodesics from x to y; of antipodes, of one."""
        point, other = self._split(x), self._split(y)
        # Twice: near the antipode most of the difference is along x, and so is its rounding.
        across = _tangent(point, _tangent(point, other - point))
        sine, cosine = _length(across), (point * other).sum(-1, keepdim=True)
        away = across * (torch.atan2(sine, cosine) / sine)
        opposite = (sine <= torch.finfo(x.dtype).eps) & (cosine < 0)
        if bool(opposite.any()):
            away = torch.where(opposite, math.pi * self._basis(point)[..., 0, :], away)
        return self._join(away)

    def angles(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the angle between x and y in each factor, ``[n, factors]``."""
        point, other = self._split(x), self._split(y)
        sine = _length(_tangent(point, other - point))[..., 0]
        return torch.atan2(torch.where(sine > _tiny(x), sine, 0.0), (point * other).sum(-1))

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """Return geodesic distances ``[n]``, in radians."""
        return self.angles(x, y).square().sum(-1).sqrt()

    def transport(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        r"""Return vectors ``v [n, columns]``, tangent at x, transported along the geodesic to y.

        :math:`v - \frac{v \cdot y}{1 + x \cdot y} (x + y)`, factor by factor; not for antipodes.
        """
        point, other, vector = self._split(x), self._split(y), self._split(v)
        share = (vector * other).sum(-1, keepdim=True)
        share = share / (1 + (point * other).sum(-1, keepdim=True)).clamp(min=_tiny(x))
        return self._join(vector - share * (point + other))

    # -- Brownian motion -------------------------------------------------------------------------------

    def brownian(self, x: Tensor, s: Tensor, normal: Tensor) -> Tensor:
        """Return the state of Brownian motion from x after time s, without a walk.

        Parameters
        ----------
        x
            Points ``[n, columns]``.
        s
            Times, a scalar or ``[n, 1]``.
        normal
            Standard normal numbers ``[n, columns]``.
        """
        point = self._split(x)
        around = _tangent(point, self._split(normal))
        radius = _length(around)
        time = s[..., None] if s.ndim else s
        away = self._radial(radius, time).to(around) / radius
        return self.exp(x, self._join(away * around))

    def score(self, x: Tensor, start: Tensor, s: Tensor) -> Tensor:
        r"""Return :math:`\nabla_x \log p_s(x \mid x_0)` of the heat kernel, ``[n, columns]``, tangent at x.

        Parameters
        ----------
        x, start
            Points ``[n, columns]``.
        s
            Times, a scalar or ``[n, 1]``.
        """
        toward = self._split(self.log(x, start))
        theta = _length(toward)
        time = s[..., None] if s.ndim else s
        return self._join((-self._slope(theta, time) / theta.double()).to(x) * toward)

    def log_heat(self, x: Tensor, start: Tensor, s: Tensor) -> Tensor:
        """Return the logarithm of the heat kernel at points ``[n, columns]``, ``[n]``, float64."""
        return self._log_density(self.angles(x, start), s).sum(-1)

    # -- what is there to check ------------------------------------------------------------------------

    def check(self, x: Tensor, name: str) -> None:
        """Refuse what are no points.

        Raises
        ------
        ValueError
            If the columns do not fit, or a vector is not of length 1.
        """
        if x.ndim != 2 or x.shape[1] != self.columns:
            raise ValueError(f"{name} must be [n, {self.columns}] for {self!r}, got {list(x.shape)}.")
        if not len(x):
            return
        off = float((_length(self._split(x)) - 1).abs().max())
        if not off <= _OFF:
            raise ValueError(
                f"{name} must hold vectors of length 1 for {self!r}, and one is off by {off:.3g}; give unit "
                "vectors, and a model whose scaling has mean 0 and scale 1 for them."
            )

    # -- one factor ------------------------------------------------------------------------------------

    @abstractmethod
    def _radial(self, radius: Tensor, s: Tensor) -> Tensor:
        """Return the angle of Brownian motion for the length of a tangent normal vector."""

    @abstractmethod
    def _slope(self, theta: Tensor, s: Tensor) -> Tensor:
        """Return the derivative of the logarithm of a factor's heat kernel by the angle."""

    @abstractmethod
    def _log_density(self, theta: Tensor, s: Tensor) -> Tensor:
        """Return the logarithm of a factor's heat kernel."""

    @abstractmethod
    def _basis(self, point: Tensor) -> Tensor:
        """Return orthonormal tangent vectors of each factor, ``[..., sphere, sphere + 1]``."""

    def _split(self, x: Tensor) -> Tensor:
        parts: Tensor = x.unflatten(-1, (self.factors, self.sphere + 1))
        return parts

    def _join(self, parts: Tensor) -> Tensor:
        return parts.flatten(-2)


@configurable
@dataclass(frozen=True)
class Sphere(Manifold):
    """The unit sphere S^2 in space, of area 4 pi: positions on the Earth, directions."""

    sphere: ClassVar[int] = 2

    @property
    def factors(self) -> int:
        """One."""
        return 1

    @property
    def log_volume(self) -> float:
        """Logarithm of 4 pi."""
        return math.log(4 * math.pi)

    def _radial(self, radius: Tensor, s: Tensor) -> Tensor:
        return sphere_angle(radius, s)

    def _slope(self, theta: Tensor, s: Tensor) -> Tensor:
        return sphere_slope(theta, s)

    def _log_density(self, theta: Tensor, s: Tensor) -> Tensor:
        return sphere_log_density(theta, s)

    def _basis(self, point: Tensor) -> Tensor:
        axis = torch.nn.functional.one_hot(point.abs().argmin(-1), 3).to(point)
        first = _tangent(point, axis)
        first = first / _length(first)
        return torch.stack([first, torch.cross(point, first, dim=-1)], -2)


@configurable
@dataclass(frozen=True)
class Torus(Manifold):
    """A product of circles: angles, such as those of torsion, each as (cos, sin).

    Parameters
    ----------
    factors
        Number of angles.

    Raises
    ------
    ValueError
        If it is below 1.
    """

    factors: int = 1

    sphere: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.factors < 1:
            raise ValueError(f"factors must be at least 1, got {self.factors}.")

    @property
    def log_volume(self) -> float:
        """Logarithm of 2 pi for each angle."""
        return self.factors * math.log(2 * math.pi)

    def points(self, angles: Tensor) -> Tensor:
        """Return the points ``[n, 2 factors]`` of angles ``[n, factors]`` in radians."""
        return torch.stack([angles.cos(), angles.sin()], -1).flatten(-2)

    def angles_of(self, x: Tensor) -> Tensor:
        """Return the angles ``[n, factors]`` of points, in [-pi, pi]."""
        parts = self._split(x)
        return torch.atan2(parts[..., 1], parts[..., 0])

    def _radial(self, radius: Tensor, s: Tensor) -> Tensor:
        return radius * s.to(radius).sqrt()

    def _slope(self, theta: Tensor, s: Tensor) -> Tensor:
        return circle_slope(theta, s)

    def _log_density(self, theta: Tensor, s: Tensor) -> Tensor:
        return circle_log_density(theta, s)

    def _basis(self, point: Tensor) -> Tensor:
        return torch.stack([-point[..., 1], point[..., 0]], -1)[..., None, :]


def _tiny(x: Tensor) -> float:
    """Return a length whose square is still a normal number."""
    return 1e-18 if x.dtype == torch.float32 else 1e-150 if x.dtype == torch.float64 else 1e-4


def _length(v: Tensor) -> Tensor:
    """Return lengths ``[..., 1]``, never quite 0, so that they have a derivative."""
    return v.square().sum(-1, keepdim=True).clamp(min=_tiny(v) ** 2).sqrt()


def _tangent(point: Tensor, v: Tensor) -> Tensor:
    return v - (point * v).sum(-1, keepdim=True) * point
