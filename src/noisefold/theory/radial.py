"""Balls: volume, overlap of two, points that fill them, and radial integrals over them."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from noisefold.geometry.correlation import Correlation, Function

__all__ = ["ball_points", "ball_volume", "common_share", "radial_nodes"]

_ORDER = 16  # Gauss-Legendre nodes on each panel
_HALVINGS = 12  # panels towards each end, each half as wide as the one before


def ball_volume(radius: Tensor, dim: int) -> Tensor:
    r"""Return the volume of a ball, :math:`\pi^{d/2} r^d / \Gamma(d/2 + 1)`: 2r on the line."""
    volume: Tensor = radius**dim * (math.pi ** (dim / 2) / math.gamma(dim / 2 + 1))
    return volume


def common_share(distance: Tensor, radius: Tensor, dim: int) -> Tensor:
    r"""Return the overlap of two balls of this radius, as a share of one, by the distance of their centres.

    :math:`I_{1 - h^2/4r^2}\big(\tfrac{d+1}{2}, \tfrac12\big)`, the regularised incomplete beta function; on
    the line :math:`1 - h / 2r`.
    """
    from scipy.special import betainc

    inside = (1 - (distance / (2 * radius)) ** 2).clamp(min=0)
    share: Tensor = torch.from_numpy(betainc((dim + 1) / 2, 0.5, inside.numpy()))
    return share


def radial_nodes(correlation: Function, reach: Tensor, dim: int, panels: int = 1) -> tuple[Tensor, Tensor]:
    r"""Return nodes and weights of :math:`\int_{|v| \le R} f(|v|)\, dv`, for every reach R ``[m]``.

    Gauss-Legendre panels that halve towards 0 and towards R and break at the correlation's kinks, so that
    structure down to about a thousandth of R is resolved and roots at R are integrated; none is wider than
    R / `panels`.

    Returns
    -------
    tuple
        Distances ``[m, q]`` and weights ``[m, q]``, float64.
    """
    reach = reach.double()
    halves = 0.5 ** torch.arange(_HALVINGS, 0, -1, dtype=torch.float64)
    even = torch.linspace(0, 1, panels + 1, dtype=torch.float64)
    places = torch.cat([even, halves, 1 - halves]).sort().values
    edges = reach[:, None] * places
    kinks = correlation.kinks if isinstance(correlation, Correlation) else ()
    if kinks:
        cuts = torch.tensor(kinks, dtype=torch.float64).expand(len(reach), -1)
        edges = torch.cat([edges, torch.minimum(cuts, reach[:, None])], 1).sort(1).values
    x, w = (torch.from_numpy(v) for v in np.polynomial.legendre.leggauss(_ORDER))
    width = edges.diff(dim=1)[..., None] / 2
    h = edges[:, :-1, None] + width * (x + 1)
    surface = dim * math.pi ** (dim / 2) / math.gamma(dim / 2 + 1)
    return h.flatten(1), (width * w * surface * h ** (dim - 1)).flatten(1)


def ball_points(count: int, dim: int) -> Tensor:
    """Return points that fill the unit ball evenly, always the same, ``[count, dim]``."""
    if dim == 1:
        return (2 * torch.arange(count, dtype=torch.float64)[:, None] + 1) / count - 1
    sobol = torch.quasirandom.SobolEngine(dim + 1).draw(count + 1, dtype=torch.float64)[1:]
    way = torch.special.ndtri(sobol[:, 1:].clamp(1e-9, 1 - 1e-9))
    points: Tensor = way / way.norm(dim=1, keepdim=True).clamp(min=1e-12) * sobol[:, :1] ** (1 / dim)
    return points
