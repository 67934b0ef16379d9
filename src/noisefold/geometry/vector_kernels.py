r"""Covariance kernels of vector fields.

With :math:`r = x - x'`, :math:`q = |r|^2 / l^2`, unit vectors :math:`u, u'` on the sphere, the projection
:math:`P_u = I - u u^T` onto the tangent plane and :math:`[u]_\times v = u \times v`:

===================================== ========================================================================
`IndependentOutputs(k, o)`            :math:`k(x, x')\, I_o`: components independent and alike
`CurlFree(l, d)`                      :math:`e^{-q/2} (I - r r^T / l^2)`: gradients of a potential
`DivergenceFree(l, d)`                :math:`e^{-q/2} (r r^T / l^2 + (d - 1 - q) I) / (d - 1)`: no sources
`Tangent(k)`                          :math:`P_u\, k(u, u')\, P_{u'}`: tangent vectors of the sphere
`TangentGradient(l)`                  :math:`P_u\, e^{-|r|^2/2l^2} (I + u' u^T / l^2)\, P_{u'}`: surface
                                      gradients of a potential
`TangentRotational(l)`                :math:`[u]_\times` times that times :math:`[u']_\times^T`: its gradients
                                      turned by a right angle, without surface divergence
===================================== ========================================================================

All have variance 1 in every component (of the tangent plane, on the sphere) and compose with each other by
``+`` and ``2.0 *``. White noise of o components is ``IndependentOutputs(Nugget(0.1), o)``. A scalar kernel of
the distance is a kernel on the sphere as well, by the chord :math:`|u - u'|`, since it is one in space.

Under a rotation or reflection R with a translation, values turn with space:
:math:`K(g x, g x') = R\, K(x, x')\, R^T`.

Source: Macedo and Castro, Learning Divergence-Free and Curl-Free Vector Fields with Matrix-Valued Kernels
(2010), https://preprint.impa.br/visualizar?id=1475; Fan et al., Modeling Tangential Vector Fields on a Sphere
(2018), https://doi.org/10.1080/01621459.2017.1356322; Alvarez, Rosasco and Lawrence, Kernels for
Vector-Valued Functions (2012), https://arxiv.org/abs/1106.6251, for the separable kernel.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.kernels import Kernel, check_positive

__all__ = [
    "CurlFree",
    "DivergenceFree",
    "IndependentOutputs",
    "Tangent",
    "TangentGradient",
    "TangentRotational",
    "VectorKernel",
    "check_dim",
    "local_frame",
]


@configurable
@dataclass(frozen=True)
class IndependentOutputs(Kernel):
    r""":math:`k(x, x')\, I_o`: o values at each node, independent and alike.

    What solves and factorises takes it for the Kronecker product that it is (`Kernel.scalar`), at the cost of
    k alone.

    Parameters
    ----------
    kernel
        k, of one output.
    outputs
        o, at least 1.

    Raises
    ------
    ValueError
        If the kernel has several outputs, or o is below 1.
    """

    kernel: Kernel
    outputs: int = 2

    def __post_init__(self) -> None:
        if self.kernel.outputs != 1:
            raise ValueError(f"kernel must have one output, got {self.kernel.outputs}.")
        if self.outputs < 1:
            raise ValueError(f"outputs must be at least 1, got {self.outputs}.")

    @property
    def variance(self) -> float:
        """The kernel's variance."""
        return self.kernel.variance

    @property
    def scalar(self) -> Kernel:
        """k."""
        return self.kernel

    def between(self, a: Tensor, b: Tensor) -> Tensor:
        """Return k of the positions times the identity."""
        return self._spread(self.kernel.between(a, b))

    def matrix(self, pos: Tensor) -> Tensor:
        """Return k of the positions times the identity."""
        return self._spread(self.kernel.matrix(pos))

    def _spread(self, values: Tensor) -> Tensor:
        eye = torch.eye(self.outputs, dtype=values.dtype, device=values.device)
        return _stacked(values[..., None, None] * eye)


@dataclass(frozen=True)
class VectorKernel(Kernel):
    """A kernel of variance one, given by the covariance of the outputs of two nodes."""

    @property
    def variance(self) -> float:
        """One."""
        return 1.0

    @abstractmethod
    def _blocks(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the covariances ``[..., n, m, o, o]`` of vectors at ``a`` and ``b``, float64."""

    def between(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the covariance of vectors, ``[..., n o, m o]``.

        Raises
        ------
        ValueError
            If positions have another number of coordinates than the kernel is for.
        """
        return _stacked(self._blocks(a.double(), b.double()))

    def matrix(self, pos: Tensor) -> Tensor:
        """Return the covariance of vectors, ``[..., n o, n o]``."""
        return self.between(pos, pos)


@dataclass(frozen=True)
class _Potential(VectorKernel):
    """Derivatives of a squared exponential potential in d dimensions."""

    length: float = 1.0
    dim: int = 2

    def __post_init__(self) -> None:
        check_positive("length", self.length)
        if self.dim < self._least:
            raise ValueError(f"dim must be at least {self._least}, got {self.dim}.")

    _least = 1

    @property
    def outputs(self) -> int:
        """The dimension of space."""
        return self.dim

    def _parts(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        r"""Return q, :math:`e^{-q/2}`, :math:`r r^T / l^2` and the identity, with two last axes of size d."""
        check_dim(self, a, self.dim)
        r = (a[..., :, None, :] - b[..., None, :, :]) / self.length
        q = r.square().sum(-1)[..., None, None]
        eye = torch.eye(self.dim, dtype=r.dtype, device=r.device)
        return q, torch.exp(-q / 2), r[..., :, None] * r[..., None, :], eye


@configurable
@dataclass(frozen=True)
class CurlFree(_Potential):
    r""":math:`e^{-q/2} (I - r r^T / l^2)`: gradients of a squared exponential potential, without curl.

    Parameters
    ----------
    length
        l of the potential, in the unit of the positions.
    dim
        d, of space and of the vectors.

    Raises
    ------
    ValueError
        If the length is not positive or d below 1; on use, if positions have other than d coordinates.
    """

    def _blocks(self, a: Tensor, b: Tensor) -> Tensor:
        _, smooth, outer, eye = self._parts(a, b)
        return smooth * (eye - outer)


@configurable
@dataclass(frozen=True)
class DivergenceFree(_Potential):
    r""":math:`e^{-q/2} (r r^T / l^2 + (d - 1 - q) I) / (d - 1)`: incompressible flow.

    The published kernel is not divided by d - 1, which makes its variance that; in the plane both are one.

    Parameters
    ----------
    length
        l of the potential, in the unit of the positions.
    dim
        d, of space and of the vectors.

    Raises
    ------
    ValueError
        If the length is not positive or d below 2; on use, if positions have other than d coordinates.
    """

    _least = 2

    def _blocks(self, a: Tensor, b: Tensor) -> Tensor:
        q, smooth, outer, eye = self._parts(a, b)
        return smooth * (outer + (self.dim - 1 - q) * eye) / (self.dim - 1)


@dataclass(frozen=True)
class _TangentKernel(VectorKernel):
    """Tangent vectors of the sphere, in space or in components to the east and to the north."""

    @property
    @abstractmethod
    def local(self) -> bool:
        """Whether vectors are given by their components to the east and to the north."""

    @property
    def outputs(self) -> int:
        """3, or 2 of local components."""
        return 2 if self.local else 3

    @abstractmethod
    def _in_space(self, a: Tensor, b: Tensor) -> Tensor:
        """Return what stands between the projections, ``[..., n, m, 3, 3]``."""

    def _blocks(self, a: Tensor, b: Tensor) -> Tensor:
        for pos in (a, b):
            check_dim(self, pos, 3)
            if pos.numel() and float((pos.detach().norm(dim=-1) - 1).abs().max()) > 1e-4:
                raise ValueError(f"positions must be unit vectors [n, 3] for {self!r}.")
        a, b = (pos / pos.norm(dim=-1, keepdim=True) for pos in (a, b))
        left, right = (local_frame(pos).mT if self.local else _projection(pos) for pos in (a, b))
        out: Tensor = left[..., :, None, :, :] @ self._in_space(a, b) @ right.mT[..., None, :, :, :]
        return out


@configurable
@dataclass(frozen=True)
class Tangent(_TangentKernel):
    r""":math:`P_u\, k(u, u')\, P_{u'}`: vectors of independent components, projected onto the tangent plane.

    Parameters
    ----------
    kernel
        k, of one output and variance 1, at unit vectors ``[n, 3]``.
    local
        Whether vectors are given by their components to the east and to the north (`local_frame`), two
        outputs, or in space, three, whose covariance at a node is then singular.

    Raises
    ------
    ValueError
        If the kernel has several outputs or another variance; on use, if positions are no unit vectors.
    """

    kernel: Kernel
    local: bool = False

    def __post_init__(self) -> None:
        if self.kernel.outputs != 1 or abs(self.kernel.variance - 1) > 1e-9:
            raise ValueError(
                "kernel must have one output and variance 1, "
                f"got {self.kernel.outputs} and {self.kernel.variance:g}."
            )

    def _in_space(self, a: Tensor, b: Tensor) -> Tensor:
        eye = torch.eye(3, dtype=a.dtype, device=a.device)
        return self.kernel.between(a, b)[..., None, None] * eye


@dataclass(frozen=True)
class _SpherePotential(_TangentKernel):
    """Derivatives of a squared exponential potential of the chord."""

    length: float = 1.0
    local: bool = False

    def __post_init__(self) -> None:
        check_positive("length", self.length)

    def _in_space(self, a: Tensor, b: Tensor) -> Tensor:
        cosine = a @ b.mT
        smooth = torch.exp((cosine - 1) / self.length**2)[..., None, None]
        eye = torch.eye(3, dtype=a.dtype, device=a.device)
        outer = b[..., None, :, :, None] * a[..., :, None, None, :]
        return smooth * (eye + outer / self.length**2)


@configurable
@dataclass(frozen=True)
class TangentGradient(_SpherePotential):
    r"""Surface gradients of a potential :math:`e^{-|u - u'|^2 / 2 l^2}`, without surface curl.

    Parameters
    ----------
    length
        l, as a chord of the unit sphere.
    local
        As of `Tangent`.

    Raises
    ------
    ValueError
        If the length is not positive; on use, if positions are no unit vectors.
    """


@configurable
@dataclass(frozen=True)
class TangentRotational(_SpherePotential):
    r"""Surface gradients of a potential, turned by a right angle: :math:`u \times \nabla \psi`.

    Without surface divergence; psi is a stream function.

    Parameters
    ----------
    length
        l, as a chord of the unit sphere.
    local
        As of `Tangent`.

    Raises
    ------
    ValueError
        If the length is not positive; on use, if positions are no unit vectors.
    """

    def _in_space(self, a: Tensor, b: Tensor) -> Tensor:
        inner = super()._in_space(a, b)
        out: Tensor = _cross(a)[..., :, None, :, :] @ inner @ _cross(b).mT[..., None, :, :, :]
        return out


def local_frame(pos: Tensor) -> Tensor:
    """Return unit vectors to the east and the north at unit vectors ``pos [..., n, 3]``, ``[..., n, 3, 2]``.

    At the poles, where every direction is south or north, east is the y axis.
    """
    x, y, z = pos.unbind(-1)
    around = torch.hypot(x, y)
    safe = around.clamp(min=torch.finfo(pos.dtype).tiny)
    pole = around == 0
    cos, sin = torch.where(pole, 1.0, x / safe), torch.where(pole, 0.0, y / safe)
    east = torch.stack([-sin, cos, torch.zeros_like(z)], -1)
    north = torch.stack([-z * cos, -z * sin, around], -1)
    return torch.stack([east, north], -1)


def _projection(pos: Tensor) -> Tensor:
    eye = torch.eye(3, dtype=pos.dtype, device=pos.device)
    return eye - pos[..., :, None] * pos[..., None, :]


def _cross(pos: Tensor) -> Tensor:
    """Return the matrices of the cross product with ``pos [..., n, 3]`` from the left, ``[..., n, 3, 3]``."""
    eye = torch.eye(3, dtype=pos.dtype, device=pos.device)
    crossed: Tensor = torch.cross(pos[..., None, :].expand(*pos.shape, 3), eye.expand(*pos.shape, 3), dim=-1)
    return crossed.mT


def _stacked(blocks: Tensor) -> Tensor:
    """Return ``[..., n, m, o, o]`` as ``[..., n o, m o]``."""
    n, m, o, _ = blocks.shape[-4:]
    return blocks.transpose(-3, -2).reshape(*blocks.shape[:-4], n * o, m * o)


def check_dim(kernel: Any, pos: Tensor, dim: int) -> None:
    """Refuse positions of another number of coordinates than a kernel is for."""
    if pos.shape[-1] != dim:
        raise ValueError(f"positions must have {dim} coordinates for {kernel!r}, got {pos.shape[-1]}.")
