r"""Kernels of symmetric tensors of rank two, such as stresses and strains, that turn with space.

A symmetric tensor T of d dimensions is given by its d (d + 1) / 2 numbers in an orthonormal basis: the
diagonal, and the entries above it times :math:`\sqrt 2`, row by row (`symmetric_basis`; also known as Mandel
notation). Then the sum of squares of the numbers is that of the entries, a rotation or reflection R takes
them by an orthogonal matrix, that of :math:`T \mapsto R T R^T`, and white noise is the same in all frames.

So is :math:`k\, I`, `noisefold.geometry.IndependentOutputs` of as many outputs.

Source: Mandel notation, https://en.wikipedia.org/wiki/Voigt_notation#Mandel_notation; covariances of
derivatives, Adler and Taylor, Random Fields and Geometry (2007), section 5.5,
https://doi.org/10.1007/978-0-387-48116-6.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.kernels import check_positive
from noisefold.geometry.vector_kernels import VectorKernel, check_dim

__all__ = ["HessianTensor", "symmetric_basis", "tensor_rotation"]


def symmetric_basis(dim: int, like: Tensor | None = None) -> Tensor:
    """Return an orthonormal basis of the symmetric matrices, ``[d (d + 1) / 2, d, d]``.

    Parameters
    ----------
    dim
        d.
    like
        Whose type and device it takes; default float64.
    """
    pairs = [(i, i) for i in range(dim)] + [(i, j) for i in range(dim) for j in range(i + 1, dim)]
    basis = torch.zeros(len(pairs), dim, dim, dtype=torch.float64)
    for k, (i, j) in enumerate(pairs):
        basis[k, i, j] = basis[k, j, i] = 1.0 if i == j else math.sqrt(0.5)
    return basis if like is None else basis.to(like)


def tensor_rotation(rotation: Tensor) -> Tensor:
    r"""Return the orthogonal matrix ``[m, m]`` by which :math:`R T R^T` follows from the numbers of T.

    Parameters
    ----------
    rotation
        R ``[d, d]``, a rotation or reflection.
    """
    basis = symmetric_basis(len(rotation), rotation)
    return torch.einsum("aij,ik,jl,bkl->ab", basis, rotation, rotation, basis)


@configurable
@dataclass(frozen=True)
class HessianTensor(VectorKernel):
    r"""Second derivatives of a squared exponential potential, with a trace that weighs as much as the rest.

    With :math:`u = (x - x') / l` and :math:`q = |u|^2`, second derivatives H of the potential have

    .. math::

        E[H_{ij} H'_{kl}] \propto e^{-q/2} \bigl[ u_i u_j u_k u_l - (\delta_{ij} u_k u_l
        + \delta_{kl} u_i u_j + \delta_{ik} u_j u_l + \delta_{jl} u_i u_k + \delta_{il} u_j u_k
        + \delta_{jk} u_i u_l) + \delta_{ij} \delta_{kl} + \delta_{ik} \delta_{jl} + \delta_{il} \delta_{jk}
        \bigr].

    The tensor is H with its trace times :math:`\sqrt{2 / (d + 2)}`: so the numbers of one node are
    uncorrelated and of variance one, as noise must be.

    Parameters
    ----------
    length
        l, in the unit of the positions.
    dim
        d, of space and of the tensors.

    Raises
    ------
    ValueError
        If the length is not positive or d below 1; on use, if positions have other than d coordinates.
    """

    length: float = 1.0
    dim: int = 2

    def __post_init__(self) -> None:
        check_positive("length", self.length)
        if self.dim < 1:
            raise ValueError(f"dim must be at least 1, got {self.dim}.")

    @property
    def outputs(self) -> int:
        """Numbers of a symmetric tensor, d (d + 1) / 2."""
        return self.dim * (self.dim + 1) // 2

    def _blocks(self, a: Tensor, b: Tensor) -> Tensor:
        check_dim(self, a, self.dim)
        u = (a[..., :, None, :] - b[..., None, :, :]) / self.length
        basis = symmetric_basis(self.dim, u)
        # Of the basis: u B, u B u and the trace of B, whose products are the terms of the formula.
        half = torch.einsum("...i,aij->...aj", u, basis)
        whole = torch.einsum("...aj,...j->...a", half, u)
        trace = basis.diagonal(dim1=1, dim2=2).sum(-1)
        outer = trace[:, None] * trace
        eye = torch.eye(self.outputs, dtype=u.dtype, device=u.device)
        crossed = trace[:, None] * whole[..., None, :]
        second = crossed + crossed.mT + 4 * half @ half.mT
        fourth = whole[..., :, None] * whole[..., None, :]
        smooth = torch.exp(-u.square().sum(-1) / 2)[..., None, None]
        # The trace is made smaller by a map along that of the unit matrix.
        shrink = eye + (math.sqrt(2 / (self.dim + 2)) - 1) / self.dim * outer
        blocks: Tensor = shrink @ (smooth * (fourth - second + outer + 2 * eye) / 2) @ shrink
        return blocks
