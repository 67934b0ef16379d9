r"""Heat kernels of the sphere and the circle: the density of Brownian motion at angle :math:`\theta`.

Time s is that of the generator :math:`\tfrac12 \Delta`, so that near its start Brownian motion has the
variance s along each direction. On the sphere, by area, with Legendre polynomials,

.. math:: p_s(\theta) = \sum_l \frac{2 l + 1}{4 \pi}\, e^{-l (l + 1) s / 2}\, P_l(\cos \theta),
    \qquad E[x_s \cdot x_0] = e^{-s}.

The series cancels where s is small. There, with :math:`\delta = \pi - \theta` and
:math:`z = \pi \delta / s`,

.. math:: p_s(\theta) \approx \frac{e^{-\theta^2 / 2 s}}{2 \pi s} \sqrt{\frac{\theta}{\sin \theta}}\;
    \sqrt{2 \pi z}\, e^{-z} I_0(z)\, (1 + s\, b(\theta)), \qquad
    b = \frac18 \Bigl(1 + \frac{1 - \theta \cot \theta}{\theta^2} - \frac1{\pi \delta}\Bigr).

The first two factors are the approximation of Varadhan with its first correction, whose slope is
:math:`-\theta / s + \frac12 (1 / \theta - \cot \theta)`. It has a pole at the antipode, where a circle of
shortest paths arrives; the Bessel function sums over that circle. On the near half of the sphere the factor
with the Bessel function is :math:`1 + 1/(8 z)` in effect, which cancels the pole of b, and both are left out.

Source: Molchanov, Diffusion processes and Riemannian geometry (1975),
https://doi.org/10.1070/RM1975v030n01ABEH001400, for the circle of shortest paths; Camporesi, Harmonic
analysis and propagators on homogeneous spaces (1990), https://doi.org/10.1016/0370-1573(90)90120-Q, for the
expansion and the series.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

__all__ = [
    "SWITCH",
    "circle_log_density",
    "circle_slope",
    "sphere_angle",
    "sphere_log_density",
    "sphere_slope",
]

SWITCH = 0.25
"""The time from which on the series of the sphere is used, and the approximation before."""
_TERMS = 20
_IMAGES = 6
_FOURIER_FROM = 4.0
_PI = math.pi
# The table of quantiles: times, and values of a Rayleigh variable, which exceeds 8.5 once in 5e15 draws.
_TIMES, _RADII, _NODES = 161, 513, 2048
_LEAST, _MOST, _FARTHEST = 1e-4, 32.0, 8.5


def sphere_log_density(theta: Tensor, s: Tensor) -> Tensor:
    """Return log p of the sphere S^2 by area, at angles and times that broadcast; float64."""
    return _either(*_wide(theta, s), _early_log_density, _late_log_density)


def sphere_slope(theta: Tensor, s: Tensor) -> Tensor:
    r"""Return :math:`\partial \log p / \partial \theta` of the sphere S^2, at most 0; float64."""
    return _either(*_wide(theta, s), _early_slope, _late_slope).clamp(max=0.0)


def _either(
    theta: Tensor,
    s: Tensor,
    early: Callable[[Tensor, Tensor], Tensor],
    late: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Return one function up to the switch and another after it, each computed only if it is needed."""
    first = s <= SWITCH
    if bool(first.all()):
        return early(theta, s)
    if not bool(first.any()):
        return late(theta, s)
    return torch.where(first, early(theta, s.clamp(max=SWITCH)), late(theta, s.clamp(min=SWITCH)))


def _early_log_density(theta: Tensor, s: Tensor) -> Tensor:
    near, inner, angle, rest = _folded(theta)
    log_spread = torch.where(near, -_log_sinc(inner), angle.log() - _log_sinc(rest))
    z = _PI * rest / s
    bessel = (2 * _PI**2 / s).log() / 2 + torch.special.i0e(z).log()
    start = -theta.square() / (2 * s) - (2 * _PI * s).log() + log_spread / 2
    return start + torch.log1p(s * _second(theta)[0]) + torch.where(near, 0.0, bessel)


def _early_slope(theta: Tensor, s: Tensor) -> Tensor:
    near, inner, angle, rest = _folded(theta)
    f, _ = _inverse_minus_cot(inner)
    z = _PI * rest / s
    bessel = -_PI / s * (torch.special.i1e(z) / torch.special.i0e(z) - 1)
    value, change = _second(theta)
    spread = torch.where(near, f / 2, (1 / angle - f) / 2 + bessel)
    return -theta / s + spread + s * change / (1 + s * value)


def _late_log_density(theta: Tensor, s: Tensor) -> Tensor:
    return _series(theta, s)[0].clamp(min=1e-300).log()


def _late_slope(theta: Tensor, s: Tensor) -> Tensor:
    density, change = _series(theta, s)
    return change / density.clamp(min=1e-300)


def circle_log_density(theta: Tensor, s: Tensor) -> Tensor:
    """Return log p of the circle by arc length, a wrapped normal of variance s; float64."""
    return _wrapped(*_wide(theta, s))[0]


def circle_slope(theta: Tensor, s: Tensor) -> Tensor:
    r"""Return :math:`\partial \log p / \partial \theta` of the circle; float64."""
    return _wrapped(*_wide(theta, s))[1]


def sphere_angle(radius: Tensor, s: Tensor) -> Tensor:
    r"""Return the angle of Brownian motion on S^2 at the quantile of a Rayleigh variable; float64.

    In the plane the distance from the start is :math:`\sqrt s` times a Rayleigh variable, the length of a
    normal vector. On the sphere it is :math:`\sqrt s` times a function of it and of s, which is tabulated, so
    that a draw needs no walk.

    Parameters
    ----------
    radius
        Values of the Rayleigh variable.
    s
        Times, 0 or above; broadcasts against the radius. After 32 it is the uniform distribution's.
    """
    radius, s = _wide(radius, s)
    table = _table().to(s.device)
    row = (s.clamp(_LEAST, _MOST) / _LEAST).log() * ((_TIMES - 1) / math.log(_MOST / _LEAST))
    column = radius.clamp(max=_FARTHEST) * ((_RADII - 1) / _FARTHEST)
    i, j = row.floor().clamp(max=_TIMES - 2), column.floor().clamp(max=_RADII - 2)
    a, b = row - i, column - j
    i, j = i.long(), j.long()
    low = torch.lerp(table[i, j], table[i, j + 1], b)
    high = torch.lerp(table[i + 1, j], table[i + 1, j + 1], b)
    # Before the table begins the sphere is as the plane, up to a share s / 12 of the angle.
    scaled = torch.where(s < _LEAST, radius, torch.lerp(low, high, a))
    return (s.clamp(max=_MOST).sqrt() * scaled).clamp(max=_PI)


@cache
def _table() -> Tensor:
    r"""Return :math:`\theta / \sqrt s` by log s and the Rayleigh variable, ``[times, radii]``, float64."""
    times = torch.logspace(math.log10(_LEAST), math.log10(_MOST), _TIMES, dtype=torch.float64)
    wanted = torch.linspace(0, _FARTHEST, _RADII, dtype=torch.float64)
    rows = []
    for s in times:
        # The grid begins at the antipode: sums of the survival function from there keep its tail exact.
        last = min(_PI, 1.6 * _FARTHEST * float(s.sqrt()))
        theta = torch.linspace(last, 0, _NODES, dtype=torch.float64)
        weight = sphere_log_density(theta, s).exp() * theta.sin()
        survival = torch.cat([weight.new_zeros(1), ((weight[1:] + weight[:-1]) / 2).cumsum(0)])
        radius = torch.sqrt(-2 * (survival / survival[-1]).clamp(1e-300, 1.0).log()).flip(0)
        rows.append(_interpolated(wanted, radius, theta.flip(0)) / s.sqrt())
    return torch.stack(rows)


def _interpolated(x: Tensor, xs: Tensor, ys: Tensor) -> Tensor:
    j = torch.searchsorted(xs, x).clamp(1, len(xs) - 1)
    part = (x - xs[j - 1]) / (xs[j] - xs[j - 1])
    return torch.lerp(ys[j - 1], ys[j], part.clamp(0, 1))


def _wide(theta: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    both = torch.broadcast_tensors(theta.double(), s.to(theta.device).double())
    return both[0], both[1]


def _series(theta: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum of the series and its derivative by the angle."""
    u = theta.cos()
    before, here = torch.ones_like(u), u
    slope_before, slope = torch.zeros_like(u), torch.ones_like(u)
    density, change = before.clone(), torch.zeros_like(u)
    # Terms below 1e-20 of the first are left out.
    terms = min(_TERMS, 2 + int((92 / float(s.min())) ** 0.5)) if s.numel() else 1
    for n in range(1, terms + 1):
        weight = (2 * n + 1) * torch.exp(-n * (n + 1) / 2 * s)
        density, change = density + weight * here, change + weight * slope
        after = ((2 * n + 1) * u * here - n * before) / (n + 1)
        slope_before, slope = slope, slope_before + (2 * n + 1) * here
        before, here = here, after
    return density / (4 * _PI), -theta.sin() * change / (4 * _PI)


def _inverse_minus_cot(a: Tensor) -> tuple[Tensor, Tensor]:
    """Return f = 1/a - cot a and its derivative for a in [0, pi/2]; near 0 by its series."""
    small = a < 0.05
    safe = torch.where(small, torch.ones_like(a), a)
    q = a.square()
    value = torch.where(small, a * (1 / 3 + q / 45 + 2 * q * q / 945), 1 / safe - 1 / safe.tan())
    slope = torch.where(small, 1 / 3 + q / 15 + 2 * q * q / 189, 1 / safe.sin().square() - 1 / safe.square())
    return value, slope


def _folded(theta: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return whether the angle is the smaller one, the smaller one, and both kept in their half."""
    near = theta <= _PI / 2
    inner = torch.where(near, theta, _PI - theta)
    return near, inner, theta.clamp(min=_PI / 2), (_PI - theta).clamp(max=_PI / 2)


def _log_sinc(a: Tensor) -> Tensor:
    return torch.sinc(a / _PI).log()


def _second(theta: Tensor) -> tuple[Tensor, Tensor]:
    """Return b and its derivative; its pole at the antipode is left to the Bessel function."""
    near, inner, angle, _ = _folded(theta)
    f, df = _inverse_minus_cot(inner)
    # Near 0 the ratio is 1/3 + a^2 / 45, and its derivative 2 a / 45.
    small = inner < 0.05
    safe = torch.where(small, torch.ones_like(inner), inner)
    ratio = torch.where(small, 1 / 3 + inner.square() / 45, f / safe)
    bend = torch.where(small, 2 / 45 * inner, (df * safe - f) / safe.square())
    high = 1 / angle.square() - f / angle + 1 / (_PI * angle)
    high_slope = -2 / angle**3 + df / angle + f / angle.square() - 1 / (_PI * angle.square())
    return (1 + torch.where(near, ratio, high)) / 8, torch.where(near, bend, high_slope) / 8


def _wrapped(theta: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """Return log-density and slope of the circle, by images and late by the Fourier series."""
    early, late = s.clamp(max=_FOURIER_FROM), s.clamp(min=_FOURIER_FROM)
    shifts = 2 * _PI * torch.arange(-_IMAGES, _IMAGES + 1, dtype=theta.dtype, device=theta.device)
    away = theta[..., None] + shifts
    exponent = -away.square() / (2 * early[..., None])
    log_images = exponent.logsumexp(-1) - (2 * _PI * early).log() / 2
    slope_images = -(exponent.softmax(-1) * away).sum(-1) / early
    n = torch.arange(1, _IMAGES + 1, dtype=theta.dtype, device=theta.device)
    weight = 2 * torch.exp(-n.square() * late[..., None] / 2)
    density = 1 + (weight * (n * theta[..., None]).cos()).sum(-1)
    change = -(n * weight * (n * theta[..., None]).sin()).sum(-1)
    first = s <= _FOURIER_FROM
    log_density = torch.where(first, log_images, (density / (2 * _PI)).log())
    return log_density, torch.where(first, slope_images, change / density)
