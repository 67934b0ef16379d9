"""Test whether a function of the distance is positive definite: spectral density and Gram matrix.

Source: Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), theorem 4.1 (Bochner),
https://gaussianprocess.org/gpml/.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from noisefold.geometry.correlation import Correlation, Function
from noisefold.geometry.gp import eigh
from noisefold.geometry.kernels import distances
from noisefold.theory.radial import ball_points, common_share, radial_nodes

__all__ = ["require_valid", "spectral_density"]

_POINTS = 128


def spectral_density(
    correlation: Function, wavenumber: Tensor, dim: int = 1, *, reach: float, window: bool = False
) -> Tensor:
    r"""Return the Fourier transform of a correlation in d dimensions at ``wavenumber [m]``, float64.

    .. math:: S(k) = \int_{|v| \le R} \rho(|v|)\, e^{i k \cdot v}\, dv
        = \int_0^R \rho(h)\, \Omega_d(k h)\, |S^{d-1}| h^{d-1} dh, \qquad
        \Omega_d(z) = \Gamma(\tfrac d2) \Big(\frac2z\Big)^{d/2 - 1} J_{d/2 - 1}(z) .

    Nowhere negative for a correlation that is zero beyond R, or nearly so (Bochner). With `window`, the
    integrand is multiplied by the overlap of two balls of radius R / 2: then S(k) times the ball's volume is
    the variance of the field's Fourier coefficient over the ball, which is at least 0 for any correlation,
    whatever its values beyond R.

    Parameters
    ----------
    correlation
        Function of distances.
    wavenumber
        k, ``[m]``.
    dim
        Dimension of space.
    reach
        R.
    window
        See above.
    """
    from scipy.special import jv

    # A panel of 16 nodes sees a wave of 8 radians to the last digits.
    panels = math.ceil(float(wavenumber.max()) * reach / 8) + 1
    h, weight = (v[0] for v in radial_nodes(correlation, torch.tensor([reach]), dim, panels))
    if window:
        weight = weight * common_share(h, torch.tensor(reach / 2, dtype=torch.float64), dim)
    z = wavenumber.double()[:, None] * h
    order = dim / 2 - 1
    safe = z.clamp(min=1e-8)  # the limit at 0 is 1, and below this nothing differs from it in float64
    wave = math.gamma(dim / 2) * (2 / safe) ** order * torch.from_numpy(jv(order, safe.numpy()))
    return (wave * (weight * correlation(h))).sum(1)


def require_valid(correlation: Function, dim: int, radius: float) -> None:
    """Refuse a function that is no correlation of fields in a ball of this radius.

    A `Correlation` is held to its highest dimension. Any other function must have the value 1 at distance 0,
    no negative eigenvalue of its matrix on 128 points in the ball, and no negative variance of a Fourier
    coefficient over the ball. All three are necessary, together they are not sufficient.

    Parameters
    ----------
    correlation
        Function of distances.
    dim
        Dimension of space.
    radius
        Radius of the ball; the function is evaluated at distances up to twice that.

    Raises
    ------
    ValueError
        With the reason.
    """
    if isinstance(correlation, Correlation):
        if correlation.highest is not None and dim > correlation.highest:
            raise ValueError(
                f"{correlation} is no correlation in {dim} dimensions, only in up to {correlation.highest}; "
                "use Spherical (up to 3) or one that holds in all, such as Matern."
            )
        return
    name = f"correlation {getattr(correlation, '__name__', repr(correlation))}"
    at_zero = float(correlation(torch.zeros(1, dtype=torch.float64)))
    if abs(at_zero - 1) > 1e-9:
        raise ValueError(f"{name} must be 1 at distance 0, got {at_zero:g}; divide by its variance.")
    where = f"a ball of radius {radius:g} in {dim} dimension{'s' if dim > 1 else ''}"
    mend = "use SquaredExponential, Exponential or Matern"
    points = ball_points(_POINTS, dim) * radius
    gram = correlation(distances(points, points))
    lowest = float(eigh(gram)[0].min())
    if lowest < -1e-10 * _POINTS:
        raise ValueError(
            f"{name} is not positive definite: on {_POINTS} points in {where} its matrix has the eigenvalue "
            f"{lowest:.3g}, a combination of values with negative variance; {mend}."
        )
    k = torch.linspace(0, 16 * math.pi, 257, dtype=torch.float64) / radius
    density = spectral_density(correlation, k, dim, reach=2 * radius, window=True)
    worst = int(density.argmin())
    if float(density[worst]) < -1e-9 * float(density.abs().max()):
        raise ValueError(
            f"{name} is not positive definite: over {where} the Fourier coefficient of the field at "
            f"wavenumber {float(k[worst]):.3g} would have negative variance; {mend}."
        )
