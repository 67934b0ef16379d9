r"""Gaussian processes: factor a covariance, condition on observed values, leave one out, evidence.

This is the one file of the library in which matrices are factorised. Let :math:`y \sim N(0, K)` be values at
some nodes, x values at others, and :math:`K = L L^T` (`factor`). Then

- `condition`: :math:`E[x \mid y] = K_{xy} K^{-1} y`,
  :math:`\mathrm{Cov}[x \mid y] = K_{xx} - K_{xy} K^{-1} K_{yx}`;
- `leave_one_out`: :math:`y_i - E[y_i \mid y_{-i}] = [K^{-1} y]_i / [K^{-1}]_{ii}`,
  :math:`\mathrm{Var}[y_i \mid y_{-i}] = 1 / [K^{-1}]_{ii}`;
- `evidence`: :math:`\log N(y; 0, K) = -\tfrac12 (y^T K^{-1} y + \log |K| + n \log 2\pi)`.

Smooth kernels on close nodes have covariances that are singular to rounding. `factor` climbs one ladder of
white noise (jitter) until the factorisation succeeds, and otherwise raises one ValueError; no function of
this file lets an exception of the linear algebra through. Work in float64, unless float32 is known to do: a
matrix is factorised in its own type.

Source: Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), algorithm 2.1 and sections
2.2, 5.4.1 and 5.4.2, https://gaussianprocess.org/gpml/.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from noisefold.geometry.kernels import Kernel

__all__ = [
    "Conditional",
    "Factor",
    "LeaveOneOut",
    "cholesky",
    "condition",
    "eigh",
    "evidence",
    "factor",
    "leave_one_out",
    "pseudo_inverse",
    "square_root",
    "svd",
    "whiten",
]

_RAISE, _RUNGS = 100.0, 4
_LinAlgError: type[Exception] = torch.linalg.LinAlgError  # type: ignore[attr-defined]
_LOWEST = {torch.float32: 1e-8, torch.float64: 1e-10}
_ADVICE = (
    "add white noise (kernel + Nugget(0.01)), merge nodes at one position, or take a shorter length-scale "
    "or a rougher kernel"
)


def whiten(lower: Tensor, values: Tensor) -> Tensor:
    """Return L^{-1} times ``values [..., n, c]``, for a Cholesky factor L ``[..., n, n]``."""
    white: Tensor = torch.linalg.solve_triangular(lower, values, upper=False)
    return white


@dataclass(frozen=True, eq=False)
class Factor:
    """A Cholesky factor, as `factor` returns it; ``[i]`` is that of one matrix of a batch.

    Attributes
    ----------
    lower
        L, ``[..., n, n]``.
    covariance
        K, what was factorised: the covariance with the jitter, ``[..., n, n]``.
    """

    lower: Tensor
    covariance: Tensor

    def __getitem__(self, index: int) -> Factor:
        return Factor(self.lower[index], self.covariance[index])

    def whiten(self, values: Tensor) -> Tensor:
        """Return L^{-1} times ``values [..., n, c]``, which for draws of N(0, K) is white noise."""
        return whiten(self.lower, values)

    def whiten_transposed(self, values: Tensor) -> Tensor:
        """Return L^{-T} times ``values [..., n, c]``."""
        solved: Tensor = torch.linalg.solve_triangular(self.lower.mT, values, upper=True)
        return solved

    def solve(self, values: Tensor) -> Tensor:
        """Return K^{-1} times ``values [..., n, c]``."""
        return torch.cholesky_solve(values, self.lower)

    @cached_property
    def inverse(self) -> Tensor:
        """K^{-1}, the precision matrix, ``[..., n, n]``."""
        return torch.cholesky_inverse(self.lower)

    @property
    def log_det(self) -> Tensor:
        """Logarithm of the determinant of K, ``[...]``."""
        return 2 * self.lower.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def factor(
    covariance: Tensor,
    jitter: float = 0.0,
    *,
    scale: float | Tensor | None = None,
    climb: bool = True,
    name: str = "the covariance",
    advice: str = _ADVICE,
) -> Factor:
    """Return the Cholesky factor of a covariance, with as much jitter as the factorisation needs.

    The ladder: `jitter`, then 100, 10^4 and 10^6 times it; after a jitter of 0 from 1e-10 in float64 and
    1e-8 in float32. Each matrix of a batch climbs alone, so that its factor does not depend on the others.

    Parameters
    ----------
    covariance
        Symmetric, ``[..., n, n]``.
    jitter
        White noise added to the diagonal at first, as a share of the scale; 0 for none.
    scale
        Variance that shares refer to; None for the mean of each diagonal.
    climb
        False to refuse what cannot be factorised with the first jitter, where a singular matrix means a
        mistake.
    name, advice
        What the covariance is of, and what to do if it has no factor, for the error.

    Raises
    ------
    ValueError
        If there is no factor even so, with the range of the eigenvalues, or the matrix holds NaN or infinity.
    """

    def lift(share: float) -> Tensor:
        if scale is not None:
            size = torch.as_tensor(scale, dtype=covariance.dtype, device=covariance.device)
        else:
            tiny = torch.finfo(covariance.dtype).tiny
            size = covariance.diagonal(dim1=-2, dim2=-1).mean(-1).clamp(min=tiny)
        return _lifted(covariance, share * size)

    lifted = lift(jitter) if jitter else covariance
    lower, failed = torch.linalg.cholesky_ex(lifted)
    for share in _ladder(jitter, covariance.dtype) if climb else ():
        left = failed > 0
        if not bool(left.any()):
            break
        lifted = torch.where(left[..., None, None], lift(share), lifted)
        lower, failed = torch.linalg.cholesky_ex(lifted)
    # LAPACK may pass over NaN.
    failed = (failed > 0) | ~lower.diagonal(dim1=-2, dim2=-1).isfinite().all(-1)
    if bool(failed.any()):
        raise ValueError(_reason(covariance, failed, name, advice))
    return Factor(lower, lifted)


def cholesky(kernel: Kernel, pos: Tensor, jitter: float = 1e-10) -> tuple[Tensor, Tensor]:
    """Return the covariance of nodes ``[n o, n o]`` and its lower Cholesky factor, float64.

    The first of jitter times 1, 100, 10^4 and 10^6, as shares of the variance, with which the factorisation
    succeeds is added to the diagonal. The covariance returned contains it.

    Parameters
    ----------
    kernel
        The kernel, of o outputs.
    pos
        Positions ``[n, d]``.
    jitter
        Smallest share of white noise, positive.

    Raises
    ------
    ValueError
        If no jitter suffices; names the kernel and the range of the eigenvalues.
    """
    found = factor(
        kernel.matrix(pos.double()),
        jitter,
        scale=kernel.variance,
        name=f"the covariance of {kernel!r} on {len(pos)} nodes",
        advice=f"{_ADVICE}, or raise jitter above {jitter:g}",
    )
    return found.covariance, found.lower


@dataclass(frozen=True, eq=False)
class Conditional:
    """Distribution of unobserved values given observed ones, as `condition` returns it; ``[i]`` of a batch.

    Attributes
    ----------
    observed
        Factor of the observed values' covariance, ``[..., o, o]``.
    half
        L^{-1} times the covariance of observed and unobserved values, ``[..., o, u]``.
    whitened
        L^{-1} times the observed values, ``[..., o, c]``; None if they are not given yet.
    """

    observed: Factor
    half: Tensor
    whitened: Tensor | None = None

    def __getitem__(self, index: int) -> Conditional:
        return Conditional(self.observed[index], self.half[index])

    def unbind(self) -> list[Conditional]:
        """Return all of a batch at once, without the values given to `condition`."""
        parts = (self.observed.lower, self.observed.covariance, self.half)
        each = zip(*(part.unbind() for part in parts), strict=True)
        return [Conditional(Factor(lower, covariance), half) for lower, covariance, half in each]

    def mean(self, values: Tensor | None = None) -> Tensor:
        """Return the posterior mean ``[..., u, c]``, given observed ``values [..., o, c]`` of mean zero.

        Values may be left out where `condition` had them.
        """
        whitened = self.whitened if values is None else self.observed.whiten(values)
        if whitened is None:
            raise ValueError("values must be given, here or to condition().")
        return self.half.mT @ whitened

    def covariance(self, prior: Tensor) -> Tensor:
        """Return the posterior covariance ``[..., u, u]`` for the prior one."""
        return prior - self.half.mT @ self.half

    def variance(self, prior: float | Tensor) -> Tensor:
        """Return the posterior variance ``[..., u]`` for the prior one."""
        return prior - self.half.square().sum(-2)


def condition(observed: Factor, across: Tensor, values: Tensor | None = None) -> Conditional:
    """Return the distribution of unobserved values given observed ones.

    Parameters
    ----------
    observed
        Factor of the covariance of the observed values, ``[..., o, o]``.
    across
        Covariance of observed with unobserved values, ``[..., o, u]``.
    values
        The observed values ``[..., o, c]``, of mean zero, solved for together with the covariance; None to
        give them to `Conditional.mean`.
    """
    if values is None:
        return Conditional(observed, observed.whiten(across))
    both = observed.whiten(torch.cat([across, values], dim=-1))
    u = across.shape[-1]
    return Conditional(observed, both[..., :u], both[..., u:])


@dataclass(frozen=True, eq=False)
class LeaveOneOut:
    """What each value differs from its prediction by all others, as `leave_one_out` returns it.

    Attributes
    ----------
    values
        The values, ``[..., n, c]``.
    residual
        Value less leave-one-out mean, ``[..., n, c]``.
    precision
        Reciprocal of the leave-one-out variance, ``[..., n, 1]``.
    """

    values: Tensor
    residual: Tensor
    precision: Tensor

    @property
    def mean(self) -> Tensor:
        """Mean of each value given all others, ``[..., n, c]``."""
        return self.values - self.residual

    @property
    def variance(self) -> Tensor:
        """Variance of each value given all others, ``[..., n, 1]``."""
        return 1 / self.precision


def leave_one_out(observed: Factor, values: Tensor) -> LeaveOneOut:
    """Return the distribution of each of ``values [..., n, c]``, of mean zero, given all the others."""
    precision = observed.inverse.diagonal(dim1=-2, dim2=-1)[..., None]
    return LeaveOneOut(values, observed.inverse @ values / precision, precision)


def evidence(observed: Factor, values: Tensor) -> Tensor:
    """Return the log marginal likelihood ``[..., c]`` of ``values [..., n, c]`` of mean zero, in nats."""
    square = observed.whiten(values).square().sum(-2)
    return -0.5 * (square + observed.log_det[..., None] + values.shape[-2] * math.log(2 * math.pi))


def eigh(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return eigenvalues ``[..., n]``, rising, and eigenvectors ``[..., n, n]`` of symmetric matrices.

    Raises
    ------
    ValueError
        If the matrix holds NaN or infinity, or the iteration does not converge even in float64.
    """
    _check_finite(matrix, "a symmetric matrix")
    try:
        values, vectors = torch.linalg.eigh(matrix)
    except _LinAlgError:
        try:
            values, vectors = torch.linalg.eigh(matrix.double().cpu())
        except _LinAlgError:
            raise ValueError(
                f"the eigenvalues of a {matrix.shape[-1]} x {matrix.shape[-1]} matrix did not converge; "
                "scale the values to the order of 1."
            ) from None
    return values.to(matrix), vectors.to(matrix)


def svd(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return U ``[..., n, k]``, the k = min(n, m) singular values, falling, and V^T ``[..., k, m]``.

    Raises
    ------
    ValueError
        If the matrix holds NaN or infinity, or the iteration does not converge.
    """
    _check_finite(matrix, "a matrix")
    try:
        u, values, v = torch.linalg.svd(matrix, full_matrices=False)
    except _LinAlgError:
        raise ValueError("singular values did not converge; scale the values to the order of 1.") from None
    return u, values, v


def pseudo_inverse(matrix: Tensor) -> Tensor:
    """Return the pseudo-inverse ``[..., m, n]`` of matrices ``[..., n, m]``, to their precision."""
    u, values, v = svd(matrix)
    least = torch.finfo(values.dtype).eps * max(matrix.shape[-2:]) * values[..., :1]
    return v.mT * torch.where(values > least, 1 / values, 0.0)[..., None, :] @ u.mT


def square_root(covariance: Tensor) -> Tensor:
    """Return a matrix R ``[n, n]`` with R R^T the covariance, which may be singular.

    Of the correlation the Cholesky factor, with 1e-10 on the diagonal, where it exists; else by eigenvectors,
    with negative eigenvalues set to 0. Variables may so have scales far apart; one without variance has a row
    of zeros.

    Raises
    ------
    ValueError
        If the matrix holds NaN or infinity.
    """
    _check_finite(covariance, "the covariance")
    scale = covariance.diagonal().clamp(min=0).sqrt()
    varies = scale > 0
    unit = torch.where(varies, scale, 1.0)
    both = varies[:, None] & varies
    correlation = torch.where(both, covariance / unit[:, None] / unit, torch.eye(len(unit)).to(covariance))
    half: Tensor
    half, failed = torch.linalg.cholesky_ex(_lifted(correlation, correlation.new_tensor(1e-10)))
    if bool(failed):
        values, vectors = eigh(correlation)
        half = vectors * values.clamp(min=0).sqrt()
    return scale[:, None] * half


def _ladder(jitter: float, dtype: torch.dtype) -> Iterator[float]:
    """The shares to try after the first."""
    first = jitter or _LOWEST[dtype] / _RAISE
    yield from (first * _RAISE**rung for rung in range(1, _RUNGS + (not jitter)))


def _lifted(covariance: Tensor, added: Tensor) -> Tensor:
    """The covariance with a number for each matrix added to its diagonal."""
    lifted = covariance.clone()
    lifted.diagonal(dim1=-2, dim2=-1).add_(added[..., None])
    return lifted


def _check_finite(matrix: Tensor, name: str) -> None:
    if not bool(matrix.isfinite().all()):
        raise ValueError(f"{name} holds NaN or infinite values; look for them in the positions and features.")


def _reason(covariance: Tensor, failed: Tensor, name: str, advice: str) -> str:
    """Why the first of the matrices that failed has no factor."""
    which = failed.flatten().int().argmax()
    matrix = covariance.detach().flatten(0, -3)[which] if covariance.ndim > 2 else covariance.detach()
    _check_finite(matrix, name)
    values = eigh(matrix.double())[0]
    low, high = float(values[0]), float(values[-1])
    return (
        f"{name} has eigenvalues from {low:.3g} to {high:.3g} (condition {high / max(abs(low), 1e-300):.3g}) "
        f"and no Cholesky factor; {advice}."
    )
