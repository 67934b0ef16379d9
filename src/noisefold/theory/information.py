r"""Mutual information of a node's clean feature and its noisy neighbourhood: lemma 3.1 in d dimensions.

Let a clean field x of variance :math:`\sigma_1^2` and correlation :math:`\rho` be observed under white
noise of variance :math:`\sigma_t^2`. A node observes the sum of the noisy field over the ball :math:`D_r`
of radius r around it. Its mutual information with the clean value is, in nats,

.. math:: I(r) = \frac12 \log \frac{V / \mathrm{SNR} + A}{V / \mathrm{SNR} + A - B^2}, \qquad
    V = |D_r|, \quad A = \iint_{D_r^2} \rho(|j - k|)\, dj\, dk, \quad B = \int_{D_r} \rho(|j|)\, dj .

On the line V = 2r, the paper's case. Both integrals are radial:
:math:`A = V \int_{|v| \le 2r} \rho(|v|)\, \omega_r(|v|)\, dv`, with :math:`\omega_r` the overlap of two
balls of radius r.

Noise that is correlated, by :math:`\kappa`, does not cancel as fast: with SNR the ratio of the variances at
a point, V gives way to :math:`N = \iint_{D_r^2} \kappa(|j - k|)\, dj\, dk`. Where :math:`\kappa = \rho`, N
is A, and no radius tells more than the node's own value does.

The paper's illustration, :math:`\rho(h) = 1 - h^2`, is no correlation, and its sign is wrong: on the line

.. math:: A = 4 r^2 - \tfrac83 r^4, \quad B = 2 r - \tfrac23 r^3, \quad A - B^2 = -\tfrac49 r^6,

where lemma A.1 has :math:`+\tfrac49 r^6`. A - B^2 is a conditional variance, and negative for none but an
impossible field. `mutual_information` refuses it; `lemma` evaluates the formula for any numbers.

Source: Geometric Generative Modeling with Noise-Conditioned Graph Networks, section 3.1 and appendix A,
https://arxiv.org/abs/2507.09391.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from noisefold.geometry.correlation import Function
from noisefold.theory.radial import ball_volume, common_share, radial_nodes
from noisefold.theory.validity import require_valid

__all__ = ["ball_integrals", "best_radius", "expected_square_distance", "lemma", "mutual_information"]

_GRID = 200
_NO_VALUE = -1e9  # finite, so that Brent's method can step back from it


def lemma(volume: Tensor, a: Tensor, b: Tensor, snr: float | Tensor) -> Tensor:
    """Return the formula of lemma 3.1 for any numbers.

    Nothing is checked: where the logarithm does not exist the result is NaN.

    Parameters
    ----------
    volume, a, b
        V, or under correlated noise N; A and B; of one shape.
    snr
        Ratio of the clean variance to that of the noise.
    """
    whole = volume / snr + a
    rest = whole - b**2
    return 0.5 * torch.where((whole > 0) & (rest > 0), whole / rest, math.nan).log()


def ball_integrals(
    correlation: Function, radius: float | Tensor, dim: int = 1
) -> tuple[Tensor, Tensor, Tensor]:
    """Return V, A and B of the lemma, float64 ``[m]``, for ``radius [m]`` in `dim` dimensions.

    By Gauss-Legendre quadrature, for correlations that change over no less than a thousandth of the radius.
    Whether the correlation is valid is not tested.

    Raises
    ------
    ValueError
        If a radius is not positive, or `dim` below 1.
    """
    if dim < 1:
        raise ValueError(f"dim must be at least 1, got {dim}.")
    r = torch.as_tensor(radius, dtype=torch.float64)
    if not bool((r > 0).all()):
        raise ValueError(f"radius must be positive, got {radius}.")
    flat = r.reshape(-1)
    near, weight = radial_nodes(correlation, flat, dim)
    b = (weight * correlation(near)).sum(1)
    far, weight = radial_nodes(correlation, 2 * flat, dim)
    volume = ball_volume(flat, dim)
    a = volume * (weight * common_share(far, flat[:, None], dim) * correlation(far)).sum(1)
    return volume.reshape(r.shape), a.reshape(r.shape), b.reshape(r.shape)


def mutual_information(
    correlation: Function,
    radius: float | Tensor,
    snr: float | Tensor,
    dim: int = 1,
    *,
    noise: Function | None = None,
) -> Tensor:
    """Return the information in nats of the noisy sum over a ball on the clean value at its centre.

    Parameters
    ----------
    correlation
        A `Correlation`, or any function of distances ``[...]``.
    radius
        r, ``[m]``, in the unit of the positions.
    snr
        Ratio of the clean variance to that of the noise, broadcast against the radius. White noise has a
        variance for each unit of volume; for nodes of a given density, it is the density times the ratio for
        one node. Correlated noise has a variance at each point, and this is the ratio to that.
    dim
        Dimension of space.
    noise
        Correlation of the noise; None for white noise.

    Raises
    ------
    ValueError
        If a function is no correlation in that ball, with the reason; if a number is not positive.

    Examples
    --------
    >>> from noisefold.theory import SquaredExponential, mutual_information
    >>> round(float(mutual_information(SquaredExponential(0.5), 0.6, snr=1.0)), 4)
    0.2739
    """
    ratio = _positive(snr)
    largest = float(torch.as_tensor(radius, dtype=torch.float64).max())
    for function in (correlation, noise):
        if function is not None:
            require_valid(function, dim, max(largest, 1e-300))
    return lemma(*_integrals(correlation, noise, radius, dim), ratio)


def best_radius(
    correlation: Function,
    snr: float,
    dim: int = 1,
    *,
    bounds: tuple[float, float] | None = None,
    check: bool = True,
    noise: Function | None = None,
) -> float:
    """Return the radius of the greatest mutual information.

    The best of a logarithmic grid of 200 radii, refined by Brent's method.

    Parameters
    ----------
    correlation
        A `Correlation`, or any function of distances.
    snr
        Ratio of the clean variance to that of the noise.
    dim
        Dimension of space.
    bounds
        Where to look; None for a thousandth to thirty times a correlation's length. Where the greatest is at
        an end, the end is returned.
    check
        Refuse what is no correlation. Without it the bare formula is maximised over the radii for which it
        has a value, as for the paper's own example.
    noise
        Correlation of the noise; None for white noise.

    Raises
    ------
    ValueError
        If a function is no correlation in the largest ball, bounds are missing or out of order, or the
        formula has no value anywhere.
    """
    from scipy.optimize import minimize_scalar

    low, high = _bounds(correlation, bounds)
    for function in (correlation, noise) if check else ():
        if function is not None:
            require_valid(function, dim, high)
    ratio = _positive(snr)

    def value(radius: Tensor) -> Tensor:
        return lemma(*_integrals(correlation, noise, radius, dim), ratio).nan_to_num(nan=_NO_VALUE)

    grid = torch.logspace(math.log10(low), math.log10(high), _GRID, dtype=torch.float64)
    values = value(grid)
    top = int(values.argmax())
    if float(values[top]) == _NO_VALUE:
        raise ValueError(f"the formula has no value at any radius in [{low:g}, {high:g}] for snr {snr:g}.")
    left, right = math.log(grid[max(top - 1, 0)]), math.log(grid[min(top + 1, _GRID - 1)])
    found = minimize_scalar(
        lambda log_r: -float(value(torch.tensor(math.exp(log_r), dtype=torch.float64))),
        bounds=(left, right),
        method="bounded",
        options={"xatol": 1e-9},
    )
    return math.exp(found.x) if -found.fun >= float(values[top]) else float(grid[top])


def expected_square_distance(
    distance: float | Tensor, alpha: float, sigma: float, correlation: float | Tensor = 0.0, dim: int = 1
) -> Tensor:
    r"""Return the expected squared distance of two noisy nodes, proposition 3.3 with its sign corrected.

    .. math:: E|\alpha \eta_i + \sigma \varepsilon_i - \alpha \eta_j - \sigma \varepsilon_j|^2
        = \alpha^2 \gamma^2 + 2 d\, \sigma^2 (1 - \rho), \qquad \gamma = |\eta_i - \eta_j| .

    The variance of a difference is the sum of the variances *minus* twice the covariance; the paper adds it.
    In its time t', with variance preserving noise, alpha^2 = t' and sigma^2 = 1 - t'; on the line that is
    2 (1 - t') (1 - rho) + t' gamma^2.

    Parameters
    ----------
    distance
        gamma, of the clean nodes.
    alpha, sigma
        Factors of the data and of the noise.
    correlation
        rho, of the noise of the two nodes, in [-1, 1]; 0 for white noise.
    dim
        Dimension of space.

    Raises
    ------
    ValueError
        If the correlation is not in [-1, 1].
    """
    rho = torch.as_tensor(correlation, dtype=torch.float64)
    if not bool((rho.abs() <= 1).all()):
        raise ValueError(f"correlation must lie in [-1, 1], got {correlation}.")
    gamma = torch.as_tensor(distance, dtype=torch.float64)
    return alpha**2 * gamma**2 + 2 * dim * sigma**2 * (1 - rho)


def _integrals(
    correlation: Function, noise: Function | None, radius: float | Tensor, dim: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the variance of the summed noise, V or N, and A and B."""
    own, a, b = ball_integrals(correlation, radius, dim)
    return own if noise is None else ball_integrals(noise, radius, dim)[1], a, b


def _positive(snr: float | Tensor) -> Tensor:
    ratio = torch.as_tensor(snr, dtype=torch.float64)
    if not bool((ratio > 0).all()):
        raise ValueError(f"snr must be positive, got {snr}; at pure noise nothing is known at any radius.")
    return ratio


def _bounds(correlation: Function, bounds: tuple[float, float] | None) -> tuple[float, float]:
    if bounds is None:
        base = getattr(correlation, "base", correlation)
        length = getattr(base, "length", None)
        if length is None:
            raise ValueError("bounds must be given for a correlation without a length, as (least, greatest).")
        bounds = (1e-3 * length, 30 * length)
    if not 0 < bounds[0] < bounds[1] < math.inf:
        raise ValueError(f"bounds must be (least, greatest), positive, got {bounds}.")
    return bounds
