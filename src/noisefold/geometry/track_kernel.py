r"""A Gaussian process over time for tracks: a constant, a linear trend and a Matérn-5/2 part.

.. math:: k(t, t') = c + b\, t t' + v \Bigl(1 + a r + \frac{a^2 r^2}{3}\Bigr) e^{-a r},
    \qquad r = |t - t'|,\ a = \sqrt 5 / l

It is the covariance of each coordinate of a place, where an object comes from somewhere (c), moves with a
speed of its own (b) and is deflected (v, l). Coordinates are independent of each other.

Source: Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), chapter 4,
https://gaussianprocess.org/gpml/.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.gp import factor

__all__ = ["TrackKernel"]

_LEAST = 1e-12
_FITTED = 200  # tracks that a fit looks at


@configurable
@dataclass(frozen=True)
class TrackKernel:
    """Covariance of a coordinate of a track at two times.

    Parameters
    ----------
    constant, slope, variance
        The variances c, of a place, b, of a speed, and v, of a deflection.
    length
        Length-scale l of the deflection, in units of time.

    Raises
    ------
    ValueError
        If the length is not positive, or a variance is negative.
    """

    constant: float = 1 / 3
    slope: float = 0.0
    variance: float = 0.1
    length: float = 1.0

    def __post_init__(self) -> None:
        if not self.length > 0:
            raise ValueError(f"length must be positive, got {self.length}.")
        for name in ("constant", "slope", "variance"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}.")

    @property
    def _numbers(self) -> Tensor:
        return torch.tensor((self.constant, self.slope, self.variance, self.length), dtype=torch.float64)

    def matrix(self, times: Tensor) -> Tensor:
        """Return the covariance ``[..., m, m]`` of places at times ``[..., m]``, float64."""
        return _matrix(times.double(), self._numbers.to(times.device))

    def derivative(self, times: Tensor) -> Tensor:
        """Return the covariance ``[..., m, m]`` of speeds (rows) with places (columns), float64."""
        t = times.double()
        apart = t[..., :, None] - t[..., None, :]
        a = math.sqrt(5) / self.length
        r = apart.abs()
        matern = -self.variance * a**2 / 3 * apart * (1 + a * r) * torch.exp(-a * r)
        return self.slope * t[..., None, :].expand_as(matern) + matern

    @property
    def speed(self) -> float:
        """Standard deviation of the speed."""
        return math.sqrt(self.slope + self.variance * 5 / self.length**2 / 3)

    @classmethod
    def fit(
        cls, times: Sequence[Tensor], places: Sequence[Tensor], noise: float, seed: int = 0
    ) -> TrackKernel:
        """Fit it by maximum likelihood to tracks, of which 200 at most are looked at.

        Parameters
        ----------
        times, places
            For each track its times ``[m]`` and coordinates of mean 0, ``[m, d]``.
        noise
            Variance of the noise of each coordinate.
        seed
            Of the choice of tracks.

        Raises
        ------
        ValueError
            If there are no tracks.
        """
        if not times:
            raise ValueError("times must hold at least one track, got none.")
        order = torch.randperm(len(times), generator=torch.Generator().manual_seed(seed))[:_FITTED].tolist()
        chosen = [(times[i].double(), places[i].double()) for i in order]
        span = max(float(t.max() - t.min()) for t, _ in chosen) or 1.0
        spread = float(torch.cat([x for _, x in chosen]).square().mean()) or 1.0
        start = torch.tensor([spread, spread / span**2 / 10, spread / 10, span / 3], dtype=torch.float64)
        logs = start.log().requires_grad_()
        groups = _by_length(chosen)

        def loss() -> Tensor:
            numbers = logs.clamp(-40, 20).exp()
            total, count = logs.new_zeros(()), 0
            for t, x in groups:
                covariance = _matrix(t, numbers) + noise * torch.eye(t.shape[1], dtype=torch.float64)
                found = factor(covariance, name="the covariance of a track")
                white, volume = found.whiten(x), x.shape[2] * found.log_det.sum()
                total, count = total + white.square().sum() + volume, count + x.numel()
            return total / count

        optimiser = torch.optim.LBFGS([logs], max_iter=60, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimiser.zero_grad()
            value = loss()
            value.backward()
            return value

        optimiser.step(closure)
        found = logs.detach().clamp(-40, 20).exp().clamp(min=_LEAST).tolist()
        return cls(*(float(f"{v:.5g}") for v in found))


def _matrix(t: Tensor, numbers: Tensor) -> Tensor:
    constant, slope, variance, length = numbers
    r = (t[..., :, None] - t[..., None, :]).abs()
    scaled = math.sqrt(5) / length * r
    matern = variance * (1 + scaled + scaled.square() / 3) * torch.exp(-scaled)
    covariance: Tensor = constant + slope * t[..., :, None] * t[..., None, :] + matern
    return covariance


def _by_length(tracks: list[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
    """Return tracks of one length together, ``[g, m]`` and ``[g, m, d]``."""
    lengths = sorted({len(t) for t, _ in tracks})
    return [
        (
            torch.stack([t for t, _ in tracks if len(t) == m]),
            torch.stack([x for t, x in tracks if len(t) == m]),
        )
        for m in lengths
    ]
