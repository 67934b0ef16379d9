r"""Gaussian baselines for tracks on the sphere, in the stereographic chart around what is known.

The chart is centred at the mean of a track's known places c, with axes to the east and, on the southern
hemisphere mirrored, to the pole:

.. math:: X = 2 \tan(\theta / 2)\, \hat v, \qquad
    p_{S^2}(x) = p(X) \, \bigl(1 + |X|^2 / 4\bigr)^2,

:math:`\theta` and :math:`\hat v` the angle and direction from c. It depends on the known places alone, so
that the density of the others given these is a density by area.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from noisefold.geometry.gp import condition, factor
from noisefold.geometry.manifold import Sphere
from noisefold.geometry.track_kernel import TrackKernel

__all__ = ["StereographicGaussian", "persisted"]

_SPHERE = Sphere()


@dataclass(frozen=True, eq=False)
class StereographicGaussian:
    """A Gaussian of the coordinates of a track in its chart, conditioned on what is known.

    Parameters
    ----------
    known
        Which places of a track are known, ``[m]``, bool.
    mean, covariance
        Of the coordinates, place by place, and at the end the absolute latitude of the centre where
        `latitude` says so; ``[2 m]`` or one more, float64.
    latitude
        Whether that is part of it.
    """

    known: Tensor
    mean: Tensor
    covariance: Tensor
    latitude: bool

    @classmethod
    def empirical(cls, x: Tensor, known: Tensor, noise: float) -> Self:
        """Return the Gaussian of the mean and covariance of training tracks ``[g, m, 3]``.

        Parameters
        ----------
        x, known
            The tracks, and which of their places are known.
        noise
            Variance added to each coordinate, in square radians.
        """
        centre, east, north = _charts(x, known)
        flat = torch.cat([_project(x, centre, east, north).flatten(1), _absolute_latitude(centre)], 1)
        return cls(known, flat.mean(0), flat.T.cov() + noise * torch.eye(flat.shape[1]).double(), True)

    @classmethod
    def process(cls, times: Tensor, x: Tensor, known: Tensor, noise: float) -> Self:
        """Return a Gaussian process over times ``[m]``, `TrackKernel` fitted to tracks ``[g, m, 3]``."""
        flat = _project(x, *_charts(x, known))
        kernel = TrackKernel.fit([times] * len(x), list(flat), noise)
        one = kernel.matrix(times) + noise * torch.eye(len(times), dtype=torch.float64)
        covariance = torch.kron(one, torch.eye(2, dtype=torch.float64))
        return cls(known, torch.zeros(len(covariance), dtype=torch.float64), covariance, False)

    def draw(self, x: Tensor, count: int, seed: int = 0) -> Tensor:
        """Draw the unknown places of tracks ``[g, m, 3]``, ``[count, g, m, 3]`` with the known ones."""
        charts = _charts(x, self.known)
        mean, lower, unknown = self._conditional(x, charts)
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(count, len(x), len(lower), generator=generator, dtype=torch.float64)
        flat = (mean + noise @ lower.T).unflatten(-1, (-1, 2))
        out = x.double().expand(count, -1, -1, -1).clone()
        out[:, :, unknown] = _lift(flat, *charts)
        return out

    def log_density(self, x: Tensor) -> Tensor:
        """Return the log-density of the unknown places given the known ones, by area, ``[g]``."""
        charts = _charts(x, self.known)
        mean, lower, unknown = self._conditional(x, charts)
        flat = _project(x, *charts)[:, unknown]
        white = torch.linalg.solve_triangular(lower, (flat.flatten(1) - mean).T, upper=False)
        volume = lower.diagonal().log().sum() + len(lower) / 2 * math.log(2 * math.pi)
        stretch = 2 * torch.log1p(flat.square().sum(-1) / 4).sum(-1)
        log_density: Tensor = -white.square().sum(0) / 2 - volume + stretch
        return log_density

    def _conditional(self, x: Tensor, charts: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """Return the mean ``[g, 2 u]`` and Cholesky factor of the unknown, and which places these are."""
        flat = _project(x, *charts).flatten(1)
        given = self.known.repeat_interleave(2)
        if self.latitude:
            flat = torch.cat([flat, _absolute_latitude(charts[0])], 1)
            given = torch.cat([given, given.new_ones(1)])
        a, b = given.nonzero()[:, 0], (~given).nonzero()[:, 0]
        # The chart fixes the mean of the known places, so that their covariance is singular but for noise.
        observed = factor(self.covariance[a][:, a], name="the covariance of known places")
        found = condition(observed, self.covariance[a][:, b], (flat[:, a] - self.mean[a]).T)
        left = found.covariance(self.covariance[b][:, b])
        lower = factor((left + left.T) / 2, name="the covariance of unknown places").lower
        return self.mean[b] + found.mean().T, lower, ~self.known


def persisted(times: Tensor, x: Tensor, known: Tensor) -> Tensor:
    """Return tracks ``[g, m, 3]`` whose unknown places continue, or connect, what is known on great circles.

    After the last known place the motion between the last two goes on; between two known places it is that
    of the geodesic between them.

    Parameters
    ----------
    times
        ``[m]``, rising.
    x
        Tracks ``[g, m, 3]``.
    known
        Which places are known, ``[m]``; the first two among them.
    """
    out, times = x.double().clone(), times.double()
    places = known.nonzero()[:, 0].tolist()
    for i in (~known).nonzero()[:, 0].tolist():
        before = [p for p in places if p < i]
        after = next((p for p in places if p > i), None)
        start, end = (before[-2], before[-1]) if after is None else (before[-1], after)
        share = (times[i] - times[start]) / (times[end] - times[start])
        first, second = _SPHERE.project(out[:, start]), _SPHERE.project(out[:, end])
        out[:, i] = _SPHERE.exp(first, share * _SPHERE.log(first, second))
    return out


def _charts(x: Tensor, known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return centres and axes to the east and to the nearer pole, ``[g, 3]`` each."""
    centre = _SPHERE.project(x.double()[:, known].mean(1))
    pole = torch.zeros_like(centre)
    pole[:, 2] = torch.where(centre[:, 2] < 0, -1.0, 1.0)
    north = _SPHERE.project(_SPHERE.tangent(centre, pole))
    # Mirrored with it, so that east is east on both hemispheres.
    east = torch.cross(north, centre, dim=-1) * pole[:, 2:]
    return centre, east, north


def _project(x: Tensor, centre: Tensor, east: Tensor, north: Tensor) -> Tensor:
    """Return coordinates ``[g, m, 2]`` of places ``[g, m, 3]``."""
    x = x.double()
    axes = torch.stack([east, north, centre], -1)
    a, b, c = (x @ axes).unbind(-1)
    return 2 * torch.stack([a, b], -1) / (1 + c).clamp(min=1e-9)[..., None]


def _lift(flat: Tensor, centre: Tensor, east: Tensor, north: Tensor) -> Tensor:
    """Return places ``[..., g, u, 3]`` of coordinates ``[..., g, u, 2]``."""
    square = flat.square().sum(-1, keepdim=True) / 4
    inside = torch.cat([flat, 1 - square], -1) / (1 + square)
    return inside @ torch.stack([east, north, centre], -2)


def _absolute_latitude(centre: Tensor) -> Tensor:
    return torch.asin(centre[:, 2:].abs().clamp(max=1.0))
