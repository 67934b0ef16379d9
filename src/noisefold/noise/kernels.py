r"""Kernels: covariances of values that stand at positions.

A kernel gives :math:`k(x, x')` for a stationary field. Two parts are enough, and sums and multiples of them:

============================== ======================================================
`Stationary(correlation, v)`   :math:`v\, \rho(|x - x'|)`, any `noisefold.theory.Correlation`
`Nugget(v)`                    :math:`v` for a node with itself, else 0: white noise
``a + b``, ``2.0 * a``         `Sum`, `Scaled`
============================== ======================================================

The nugget is a node's own: two nodes at one place do not share it. Everything is float64.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.correlation import Correlation

__all__ = ["Kernel", "Nugget", "Scaled", "Stationary", "Sum", "cholesky"]

_RAISE = 100.0  # from one jitter to the next
_TRIES = 4


class Kernel(ABC):
    """What every kernel offers; ``a + b`` and ``2.0 * a`` are kernels again."""

    @property
    @abstractmethod
    def variance(self) -> float:
        """Of the value at any one node."""

    @abstractmethod
    def between(self, a: Tensor, b: Tensor) -> Tensor:
        """Covariance ``[..., n, m]`` of nodes at ``a [..., n, d]`` with *others* at ``b [..., m, d]``."""

    @abstractmethod
    def matrix(self, pos: Tensor) -> Tensor:
        """Covariance ``[..., n, n]`` of the nodes at ``pos [..., n, d]`` among themselves."""

    def __add__(self, other: Kernel) -> Sum:
        return Sum((self, other))

    def __rmul__(self, factor: float) -> Scaled:
        return Scaled(self, factor)


@configurable
@dataclass(frozen=True)
class Stationary(Kernel):
    r""":math:`v\, \rho(|x - x'|)` with a correlation such as ``nf.theory.Matern(.25, smoothness=2.5)``.

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
        _check_positive("variance", self.variance)

    def between(self, a: Tensor, b: Tensor) -> Tensor:
        """v rho of the distances."""
        highest = self.correlation.highest
        if highest is not None and a.shape[-1] > highest:
            raise ValueError(
                f"{self.correlation!r} is a correlation in up to {highest} dimensions and the positions have "
                f"{a.shape[-1]}; use SquaredExponential, Exponential or Matern."
            )
        # The quick form by a matrix product leaves 1e-8 where the distance is 0, which is 1e-8 of a slope.
        mode = "donot_use_mm_for_euclid_dist"
        distance = torch.cdist(a.double(), b.double(), compute_mode=mode)
        return self.variance * self.correlation(distance)

    def matrix(self, pos: Tensor) -> Tensor:
        """v rho of the distances."""
        return self.between(pos, pos)


@configurable
@dataclass(frozen=True)
class Nugget(Kernel):
    """White noise: v for a node with itself, 0 for any two nodes.

    Parameters
    ----------
    variance
        v, positive.

    Raises
    ------
    ValueError
        If the variance is not positive.
    """

    variance: float = 1.0

    def __post_init__(self) -> None:
        _check_positive("variance", self.variance)

    def between(self, a: Tensor, b: Tensor) -> Tensor:
        """Zeros."""
        return a.new_zeros((*a.shape[:-1], b.shape[-2]), dtype=torch.float64)

    def matrix(self, pos: Tensor) -> Tensor:
        """v times the identity."""
        eye = torch.eye(pos.shape[-2], dtype=torch.float64, device=pos.device)
        return self.variance * eye.expand(*pos.shape[:-1], -1)


@configurable
@dataclass(frozen=True)
class Sum(Kernel):
    """The covariance of a sum of independent fields.

    Parameters
    ----------
    parts
        One kernel or more.

    Raises
    ------
    ValueError
        If there are none.
    """

    parts: tuple[Kernel, ...]

    def __post_init__(self) -> None:
        if not self.parts:
            raise ValueError("parts must hold at least one kernel, got none.")

    @property
    def variance(self) -> float:
        """Sum of the parts'."""
        return sum(part.variance for part in self.parts)

    def between(self, a: Tensor, b: Tensor) -> Tensor:
        """Sum of the parts'."""
        return torch.stack([part.between(a, b) for part in self.parts]).sum(0)

    def matrix(self, pos: Tensor) -> Tensor:
        """Sum of the parts'."""
        return torch.stack([part.matrix(pos) for part in self.parts]).sum(0)


@configurable
@dataclass(frozen=True)
class Scaled(Kernel):
    """A multiple of a kernel.

    Parameters
    ----------
    kernel
        The kernel.
    factor
        Positive.

    Raises
    ------
    ValueError
        If the factor is not positive.
    """

    kernel: Kernel
    factor: float

    def __post_init__(self) -> None:
        _check_positive("factor", self.factor)

    @property
    def variance(self) -> float:
        """Factor times the kernel's."""
        return self.factor * self.kernel.variance

    def between(self, a: Tensor, b: Tensor) -> Tensor:
        """Factor times the kernel's."""
        return self.factor * self.kernel.between(a, b)

    def matrix(self, pos: Tensor) -> Tensor:
        """Factor times the kernel's."""
        return self.factor * self.kernel.matrix(pos)


def cholesky(kernel: Kernel, pos: Tensor, jitter: float = 1e-10) -> tuple[Tensor, Tensor]:
    """Covariance of nodes ``[n, n]`` and its lower Cholesky factor ``[n, n]``, float64.

    Smooth kernels on near positions are singular to rounding. So a little white noise is added: the first of
    jitter times 1, 100, 10^4 and 10^6, as shares of the variance, with which the factorisation succeeds. The
    covariance returned contains it.

    Parameters
    ----------
    kernel
        The kernel.
    pos
        Positions ``[n, d]``.
    jitter
        Smallest share of white noise, positive.

    Raises
    ------
    ValueError
        If no jitter suffices; names the kernel and the condition number.
    """
    bare = kernel.matrix(pos.double())
    for attempt in range(_TRIES):
        covariance = bare.clone()
        covariance.diagonal().add_(jitter * _RAISE**attempt * kernel.variance)
        factor, failed = torch.linalg.cholesky_ex(covariance)
        if not bool(failed):
            return covariance, factor
    values = torch.linalg.eigvalsh(bare)
    low, high = float(values[0]), float(values[-1])
    raise ValueError(
        f"the covariance of {kernel!r} on {len(pos)} nodes has eigenvalues from {low:.3g} to {high:.3g} "
        f"(condition {high / max(abs(low), 1e-300):.3g}) and no Cholesky factor; "
        f"add white noise, kernel + Nugget(.01), or raise jitter above {jitter:g}."
    )


def _check_positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be positive and finite, got {value}.")
