r"""Scores of draws of places on the sphere against the truth, in km on the Earth.

With m draws :math:`x_i`, the truth y and great-circle distances d:

- the error of the geodesic median, the place with the least mean distance from the draws, and of the mean;
- the energy score :math:`\frac1m \sum_i d(x_i, y) - \frac1{2 m (m - 1)} \sum_{ij} d(x_i, x_j)`, fair in m;
  great-circle distance is of negative type on a sphere, so that it is proper;
- coverage: of the m + 1 places, draws and truth alike, each has a mean distance from the others, and if the
  truth is as the draws its rank among them is uniform. The region of level q holds the places whose mean
  distance is among the least share q. This holds exactly, at any m.

Source: Gneiting and Raftery (2007), section 4.3, https://doi.org/10.1198/016214506000001437; Lyons, Distance
covariance in metric spaces (2013), https://doi.org/10.1214/12-AOP803, for the negative type.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from noisefold.geometry.geographic import EARTH_RADIUS
from noisefold.geometry.manifold import Sphere

__all__ = ["PlaceScores", "geodesic_median", "score_places"]

_SPHERE = Sphere()
_ROUNDS = 30


@dataclass(frozen=True, eq=False)
class PlaceScores:
    """Scores of each place, ``[...]``, in km.

    Attributes
    ----------
    median_error, mean_error
        Great-circle distances of the truth from the draws' geodesic median and from their mean direction.
    energy
        Energy scores.
    rank
        Of the truth's mean distance among those of all, in (0, 1]: uniform if the draws are calibrated.
    """

    median_error: Tensor
    mean_error: Tensor
    energy: Tensor
    rank: Tensor

    def coverage(self, level: float) -> float:
        """Return the share of truths within the region of a level."""
        return float((self.rank <= level + 1e-9).double().mean())


def geodesic_median(draws: Tensor) -> Tensor:
    """Return the places ``[..., 3]`` with the least mean distance from draws ``[m, ..., 3]``.

    By Weiszfeld's algorithm on the sphere, from the mean direction.

    Source: Fletcher et al., The geometric median on Riemannian manifolds (2009),
    https://doi.org/10.1016/j.neuroimage.2008.10.052.
    """
    draws = draws.double()
    at = _SPHERE.project(draws.mean(0).reshape(-1, 3))
    flat = draws.reshape(len(draws), -1, 3)
    for _ in range(_ROUNDS):
        here = at.expand_as(flat).reshape(-1, 3)
        toward = _SPHERE.log(here, flat.reshape(-1, 3)).reshape(flat.shape)
        weight = 1 / toward.norm(dim=-1, keepdim=True).clamp(min=1e-9)
        at = _SPHERE.exp(at, (weight * toward).sum(0) / weight.sum(0))
    return at.reshape(draws.shape[1:])


def score_places(draws: Tensor, truth: Tensor) -> PlaceScores:
    """Return the scores of draws ``[m, ..., 3]`` of places against true ones ``[..., 3]``.

    Raises
    ------
    ValueError
        If there are fewer than two draws.
    """
    if len(draws) < 2:
        raise ValueError(f"draws must be at least 2, got {len(draws)}.")
    m = len(draws)
    flat, true = draws.double().reshape(m, -1, 3), truth.double().reshape(-1, 3)
    among = _distances(flat.transpose(0, 1), flat.transpose(0, 1))  # [n, m, m]
    off = _distances(flat.transpose(0, 1), true[:, None])[..., 0]  # [n, m]
    energy = off.mean(1) - among.sum((1, 2)) / (2 * m * (m - 1))
    depth = (among.sum(2) + off) / m
    rank = ((depth < off.mean(1, keepdim=True)).sum(1) + 1) / (m + 1)
    centres = (geodesic_median(flat), _SPHERE.project(flat.mean(0)))
    errors = [EARTH_RADIUS * _SPHERE.distance(c, true) for c in centres]
    shape = truth.shape[:-1]
    parts = (*errors, EARTH_RADIUS * energy, rank)
    return PlaceScores(*(v.reshape(shape) for v in parts))


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """Return angles ``[n, i, j]`` between ``a [n, i, 3]`` and ``b [n, j, 3]``, exact for near ones."""
    chord = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
    return 2 * torch.asin((chord / 2).clamp(max=1.0))
