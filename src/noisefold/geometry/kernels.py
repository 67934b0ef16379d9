r"""Covariance kernels over positions, and how they compose.

A kernel gives :math:`k(x, x')`, the covariance of the values of a field at two positions:

======================================= ===================================================================
a `noisefold.geometry.Correlation`      isotropic, :math:`\rho(|x - x'|)` of variance 1: `Matern`, ...
`Stationary(correlation, v)`            :math:`v\, \rho(|x - x'|)`, the same as ``v * correlation``
`Nugget(v)`                             :math:`v` for a node with itself, else 0: white noise
``a + b``                               `Sum`: independent fields added
``a * b``                               `Product`: both must be alike, as over space and over time
``2.0 * a``                             `Scaled`: the variance multiplied
`Anisotropic(a, lengths=(1, 2))`        a length-scale for each axis, or a linear map of space
======================================= ===================================================================

The nugget belongs to a node: two nodes at one position do not share it. All computation is in float64.

**Vector-valued fields.** A kernel of `outputs` o gives the covariance of o values at each node, node by node:
row :math:`i\, o + a` is value a of node i, as in values ``[n, o]`` read row by row. Compositions pass the
number on. Kernels of vector fields (curl-free, divergence-free, on the sphere) are in
`noisefold.geometry.vector_kernels`.

Source: Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), chapter 4,
https://gaussianprocess.org/gpml/; the composition follows GPyTorch, https://gpytorch.ai.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from noisefold.configuration import configurable

__all__ = ["Anisotropic", "Kernel", "Nugget", "Product", "Scaled", "Sum", "distances"]


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Return Euclidean distances ``[..., n, m]`` of ``a [..., n, d]`` from ``b [..., m, d]``.

    By differences. The faster form by a matrix product errs by the square root of the type's precision where
    two positions are close beside their distance from the origin, and a matrix of such distances is then no
    covariance.
    """
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


class Kernel(ABC):
    """A covariance function of positions; ``a + b``, ``a * b`` and ``2.0 * a`` are kernels again."""

    @property
    def outputs(self) -> int:
        """Number o of values of the field at each node."""
        return 1

    @property
    def scalar(self) -> Kernel | None:
        """The kernel k of a covariance :math:`k I_o`, a kernel of one output its own; None of all others.

        The matrix on n nodes is then a Kronecker product, and that of k, ``[n, n]``, is all that need be made
        or factorised.
        """
        return self if self.outputs == 1 else None

    @property
    @abstractmethod
    def variance(self) -> float:
        """Variance of the values at any one node."""

    @abstractmethod
    def between(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the covariance ``[..., n o, m o]`` of nodes ``a [..., n, d]`` and other nodes ``b``."""

    @abstractmethod
    def matrix(self, pos: Tensor) -> Tensor:
        """Return the covariance ``[..., n o, n o]`` of the nodes at ``pos [..., n, d]``."""

    def __add__(self, other: Kernel) -> Sum:
        return Sum((self, other))

    def __mul__(self, other: Kernel | float) -> Kernel:
        return Product((self, other)) if isinstance(other, Kernel) else Scaled(self, other)

    def __rmul__(self, factor: float) -> Scaled:
        return Scaled(self, factor)


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
        check_positive("variance", self.variance)

    def between(self, a: Tensor, b: Tensor) -> Tensor:
        """Return zeros."""
        return a.new_zeros((*a.shape[:-1], b.shape[-2]), dtype=torch.float64)

    def matrix(self, pos: Tensor) -> Tensor:
        """Return v times the identity."""
        eye = torch.eye(pos.shape[-2], dtype=torch.float64, device=pos.device)
        return self.variance * eye.expand(*pos.shape[:-1], -1)


@dataclass(frozen=True)
class _Composed(Kernel):
    """A kernel of several, whose covariances are combined entry by entry."""

    parts: tuple[Kernel, ...]

    def __post_init__(self) -> None:
        if not self.parts:
            raise ValueError("parts must hold at least one kernel, got none.")
        outputs = [part.outputs for part in self.parts]
        if len(set(outputs)) > 1:
            raise ValueError(
                f"parts must have one number of outputs, got {outputs}; "
                "IndependentOutputs(kernel, o) has those of a scalar kernel."
            )

    @property
    def outputs(self) -> int:
        """The number of outputs of every part."""
        return self.parts[0].outputs

    @property
    def scalar(self) -> Kernel | None:
        """The same of the parts' scalar kernels, if all have one."""
        if self.outputs == 1:
            return self
        found = tuple(part.scalar for part in self.parts)
        known = tuple(part for part in found if part is not None)
        return dataclasses.replace(self, parts=known) if len(known) == len(found) else None

    @abstractmethod
    def _combined(self, covariances: list[Tensor]) -> Tensor:
        """Return the covariance of the whole from those of the parts."""

    def between(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the covariance of nodes and other nodes, combined over the parts."""
        return self._combined([part.between(a, b) for part in self.parts])

    def matrix(self, pos: Tensor) -> Tensor:
        """Return the covariance of the nodes, combined over the parts."""
        return self._combined([part.matrix(pos) for part in self.parts])


@configurable
@dataclass(frozen=True)
class Sum(_Composed):
    r""":math:`\sum_i k_i`, the covariance of a sum of independent fields.

    Parameters
    ----------
    parts
        One kernel or more.

    Raises
    ------
    ValueError
        If there are none, or their numbers of outputs differ.
    """

    @property
    def variance(self) -> float:
        """Sum over the parts."""
        return sum(part.variance for part in self.parts)

    def _combined(self, covariances: list[Tensor]) -> Tensor:
        """Return the sum."""
        return torch.stack(covariances).sum(0)


@configurable
@dataclass(frozen=True)
class Product(_Composed):
    r""":math:`\prod_i k_i`, entry by entry, a covariance by Schur's theorem.

    Separable kernels of space and time are products of two `Anisotropic` ones, each on its own axes.

    Parameters
    ----------
    parts
        One kernel or more.

    Raises
    ------
    ValueError
        If there are none, or their numbers of outputs differ.
    """

    @property
    def variance(self) -> float:
        """Product over the parts."""
        return math.prod(part.variance for part in self.parts)

    def _combined(self, covariances: list[Tensor]) -> Tensor:
        """Return the product, entry by entry."""
        return reduce(torch.mul, covariances)


@configurable
@dataclass(frozen=True)
class Scaled(Kernel):
    """A multiple of a kernel.

    Parameters
    ----------
    kernel
        The kernel.
    factor
        What its covariances are multiplied by, positive.

    Raises
    ------
    ValueError
        If the factor is not positive.
    """

    kernel: Kernel
    factor: float

    def __post_init__(self) -> None:
        check_positive("factor", self.factor)

    @property
    def outputs(self) -> int:
        """The kernel's number of outputs."""
        return self.kernel.outputs

    @property
    def scalar(self) -> Kernel | None:
        """The same of the kernel's scalar kernel, if it has one."""
        found = self.kernel.scalar
        return None if found is None else dataclasses.replace(self, kernel=found)

    @property
    def variance(self) -> float:
        """Factor times the kernel's variance."""
        return self.factor * self.kernel.variance

    def between(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the factor times the kernel's covariance."""
        return self.factor * self.kernel.between(a, b)

    def matrix(self, pos: Tensor) -> Tensor:
        """Return the factor times the kernel's covariance."""
        return self.factor * self.kernel.matrix(pos)


@configurable
@dataclass(frozen=True)
class Anisotropic(Kernel):
    r""":math:`k(A x, A x')`: a kernel after a linear map of space (geometric anisotropy).

    Parameters
    ----------
    kernel
        The kernel k.
    lengths
        A length-scale for each axis, ``d`` positive numbers: coordinates are divided by them, and an axis of
        length `math.inf` is left out. Either this or
    transform
        the map A itself, ``[d', d]``.

    Raises
    ------
    ValueError
        If not exactly one of both is given, a length is not positive or all are infinite, or rows of the map
        differ in size; on use, if the positions have another number of coordinates.

    Examples
    --------
    Correlated over 0.2 in the plane and over 3 in time:

    >>> import math, noisefold as nf
    >>> space = nf.geometry.Anisotropic(nf.geometry.Matern(), lengths=(0.2, 0.2, math.inf))
    >>> time = nf.geometry.Anisotropic(nf.geometry.Exponential(), lengths=(math.inf, math.inf, 3.0))
    >>> kernel = space * time + nf.geometry.Nugget(0.05)
    """

    kernel: Kernel
    lengths: tuple[float, ...] | None = None
    transform: tuple[tuple[float, ...], ...] | None = None

    def __post_init__(self) -> None:
        if (self.lengths is None) == (self.transform is None):
            raise ValueError(
                f"give exactly one of lengths and transform, got {self.lengths} and {self.transform}."
            )
        if self.lengths is not None and not (
            all(length > 0 for length in self.lengths) and any(map(math.isfinite, self.lengths))
        ):
            raise ValueError(f"lengths must be positive, one at least finite, got {self.lengths}.")
        if self.transform is not None and len({len(row) for row in self.transform} - {0}) != 1:
            raise ValueError(f"transform must have rows of one size, at least 1, got {self.transform}.")

    @property
    def outputs(self) -> int:
        """The kernel's number of outputs."""
        return self.kernel.outputs

    @property
    def scalar(self) -> Kernel | None:
        """The same of the kernel's scalar kernel, if it has one."""
        found = self.kernel.scalar
        return None if found is None else dataclasses.replace(self, kernel=found)

    @property
    def variance(self) -> float:
        """The kernel's variance."""
        return self.kernel.variance

    def between(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the kernel's covariance of the mapped positions."""
        return self.kernel.between(self._mapped(a), self._mapped(b))

    def matrix(self, pos: Tensor) -> Tensor:
        """Return the kernel's covariance of the mapped positions."""
        return self.kernel.matrix(self._mapped(pos))

    def _mapped(self, pos: Tensor) -> Tensor:
        asked = len(self.lengths) if self.lengths is not None else len((self.transform or ((),))[0])
        if pos.shape[-1] != asked:
            raise ValueError(f"positions must have {asked} coordinates for {self!r}, got {pos.shape[-1]}.")
        if self.lengths is None:
            return pos.double() @ torch.tensor(self.transform, dtype=torch.float64, device=pos.device).mT
        axes = [axis for axis, length in enumerate(self.lengths) if math.isfinite(length)]
        scale = torch.tensor(self.lengths, dtype=torch.float64, device=pos.device)[axes]
        return pos.double()[..., axes] / scale


def check_positive(name: str, value: float) -> None:
    """Refuse a number that is not positive and finite, by the name of its argument."""
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be positive and finite, got {value}.")
