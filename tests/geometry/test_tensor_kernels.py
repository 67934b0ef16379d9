"""Kernels of symmetric tensors: derivatives of a potential, equivariance, validity, white at a node."""

import math

import pytest
import torch

from noisefold.configuration import decode, encode
from noisefold.geometry import (
    HessianTensor,
    IndependentOutputs,
    Nugget,
    SquaredExponential,
    symmetric_basis,
    tensor_rotation,
)
from noisefold.noise import GPNoise

DIMS = pytest.mark.parametrize("d", [1, 2, 3, 4])


def places(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def turn_of(d, seed):
    """A random element of O(d), every second one a reflection, and its matrix on the numbers of a tensor."""
    q = torch.linalg.qr(places(d, d, seed))[0]
    q[:, 0] *= torch.linalg.det(q) * (-1) ** seed
    return q, tensor_rotation(q)


@DIMS
def test_basis_is_orthonormal_and_turns_orthogonally(d):
    basis = symmetric_basis(d).flatten(1)
    eye = torch.eye(len(basis), dtype=torch.float64)
    assert (basis @ basis.T - eye).abs().max() < 1e-14
    q, turn = turn_of(d, 1)
    # The numbers of R T R^T, of the tensor T with these numbers.
    numbers = places(1, len(basis))[0]
    tensor = torch.einsum("a,aij->ij", numbers, symmetric_basis(d))
    there = torch.einsum("aij,ij->a", symmetric_basis(d), q @ tensor @ q.T)
    assert (turn @ numbers - there).abs().max() < 1e-12
    assert (turn @ turn.T - eye).abs().max() < 1e-12


@DIMS
def test_tensors_turn_with_space(d):
    kernel, pos = HessianTensor(0.8, d), places(6, d)
    k = kernel.matrix(pos)
    assert (k - k.T).abs().max() < 1e-13
    values = torch.linalg.eigvalsh(k)
    assert float(values[0]) >= -1e-10 * float(values[-1])
    for seed in range(8):
        q, turn = turn_of(d, seed)
        there = kernel.matrix(pos @ q.T + seed)
        whole = torch.block_diag(*[turn] * len(pos))
        assert (there - whole @ k @ whole.T).abs().max() < 1e-12


@DIMS
def test_numbers_of_a_node_are_white(d):
    m = d * (d + 1) // 2
    at = HessianTensor(0.8, d).matrix(places(1, d))
    assert (at - torch.eye(m, dtype=torch.float64)).abs().max() < 1e-12
    # So that it may be the limit of noise, with white noise beside it.
    noise = GPNoise(0.9 * HessianTensor(0.8, d) + IndependentOutputs(Nugget(0.1), m))
    assert noise.joint == (m > 1)
    assert decode(encode(noise)) == noise


@pytest.mark.parametrize("d", [1, 3])
def test_it_is_made_of_second_derivatives_of_the_potential(d):
    length = 0.7
    x, y = places(2, d)

    def potential(a, b):
        return torch.exp(-(a - b).square().sum() / (2 * length**2))

    def hessian_of_b(a):
        return torch.autograd.functional.hessian(lambda b: potential(a, b), y, create_graph=True)

    rows = torch.stack(
        [
            torch.autograd.functional.hessian(lambda a, k=k, m=m: hessian_of_b(a)[k, m], x)
            for k in range(d)
            for m in range(d)
        ],
        -1,
    ).unflatten(-1, (d, d))
    basis = symmetric_basis(d)
    plain = length**4 * torch.einsum("aij,ijkl,bkl->ab", basis, rows, basis)
    trace = basis.diagonal(dim1=1, dim2=2).sum(1)
    shrink = torch.eye(len(basis)).double() + (math.sqrt(2 / (d + 2)) - 1) / d * torch.outer(trace, trace)
    found = HessianTensor(length, d).between(x[None], y[None])
    assert (found - shrink @ plain @ shrink / 2).abs().max() < 1e-8


def test_independent_numbers_turn_as_tensors_do():
    kernel, pos = IndependentOutputs(SquaredExponential(0.5), 3), places(5, 2)
    q, turn = turn_of(2, 3)
    whole = torch.block_diag(*[turn] * 5)
    k = kernel.matrix(pos)
    assert (kernel.matrix(pos @ q.T) - whole @ k @ whole.T).abs().max() < 1e-12


def test_what_is_no_kernel_is_refused():
    with pytest.raises(ValueError, match="dim"):
        HessianTensor(1.0, 0)
    with pytest.raises(ValueError, match="length"):
        HessianTensor(0.0, 2)
    with pytest.raises(ValueError, match="2 coordinates"):
        HessianTensor(1.0, 2).matrix(places(3, 3))
