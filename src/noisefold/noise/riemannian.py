r"""The Riemannian path: states on a manifold, and Brownian motion on it, down to the uniform distribution.

.. math:: dx = \sqrt{\beta(t)}\, P_x\, dB, \qquad s(t) = \int_0^t \beta,

P the projection to the tangent space. Only the diffusion time s matters: s plays the part of the variance of
noise, and every schedule :math:`\beta` of another text is a grid of times on this path. Here s grows
exponentially with t, so that uniform times resolve all scales alike.

**Log-SNR.** For data that are uniform the correlation of :math:`x_0` and :math:`x_t` is
:math:`\rho = e^{-d s / 2}`, with d the dimension of the sphere (1 of a circle). The log-SNR here is that of
the Gaussian path with this correlation,

.. math:: \lambda = \log \frac{\rho^2}{1 - \rho^2} = -\log (e^{d s} - 1),

which for small s is :math:`-\log d s`: unit vectors over the variance of noise in the tangent plane.

Source: De Bortoli et al., Riemannian Score-Based Generative Modelling (2022),
https://arxiv.org/abs/2202.02763; Mathieu et al., Geometric Neural Diffusion Processes (2023), appendix B,
https://arxiv.org/abs/2307.05431.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.manifold import Manifold, Sphere
from noisefold.noise.path import ProbabilityPath
from noisefold.noise.source import Streams
from noisefold.noise.variable import Types

if TYPE_CHECKING:
    from noisefold.noise.coupling import Coupling
    from noisefold.noise.variable import Variable

__all__ = ["Riemannian"]

_MIXED = 16.0  # d s at which what is left of the data is e^-8


@configurable
@dataclass(frozen=True)
class Riemannian(ProbabilityPath[Tensor]):
    """Brownian motion of every node on a manifold.

    The time s is proportional to t up to `margin`, where it is `least`, and from there exponential in t.

    Parameters
    ----------
    manifold
        Where the states lie.
    least
        The time s at the margin, where a network is first asked: the variance, in square radians, up to which
        the data are known. Rounding to 0.1 degrees has a variance of 2.5e-7.
    most
        The time s at t = 1; None takes 16 over the dimension of the sphere, 8 on S^2.
    margin
        Times are kept within [margin, 1]. Sampling ends with an exact step to t = 0.

    Raises
    ------
    ValueError
        If the times or the margin are out of their range.
    """

    manifold: Manifold = field(default_factory=Sphere)
    least: float = 2e-7
    most: float | None = None
    margin: float = 1e-3

    def __post_init__(self) -> None:
        if not 0 < self.least < self.end:
            raise ValueError(f"least must lie between 0 and most, {self.end:g}, got {self.least}.")
        if not 0 < self.margin < 0.5:
            raise ValueError(f"margin must lie in (0, 0.5), got {self.margin}.")

    @property
    def end(self) -> float:
        """The time s at t = 1."""
        return _MIXED / self.manifold.sphere if self.most is None else self.most

    @property
    def about(self) -> str:
        """What it is, in a few words."""
        return f"Brownian motion on {self.manifold!r}"

    def clip(self, t: Tensor) -> Tensor:
        """Return times kept within the margin."""
        return t.clamp(self.margin, 1.0)

    def diffusion(self, t: Tensor) -> Tensor:
        """Return the diffusion time s, of the shape of t; 0 at t = 0."""
        grown = self._rate * (t.clamp(min=self.margin) - self.margin)
        return self.least * torch.where(t < self.margin, t / self.margin, grown.exp())

    def time_of(self, s: Tensor) -> Tensor:
        """Return the times t of diffusion times s."""
        grown = self.margin + (s / self.least).clamp(min=1e-30).log() / self._rate
        return torch.where(s < self.least, s / self.least * self.margin, grown)

    @property
    def _rate(self) -> float:
        return math.log(self.end / self.least) / (1 - self.margin)

    def log_snr(self, t: Tensor) -> Tensor:
        r"""Return :math:`-\log (e^{d s} - 1)` at times; infinite at t = 0."""
        return -torch.log(torch.expm1(self.manifold.sphere * self.diffusion(t)))

    def time(self, log_snr: Tensor) -> Tensor:
        """Return the times of log signal-to-noise ratios."""
        return self.time_of(torch.nn.functional.softplus(-log_snr) / self.manifold.sphere)

    def check(self, variable: Variable[Any]) -> None:
        """Refuse a variable that is of classes.

        Raises
        ------
        ValueError
            If it is.
        """
        if isinstance(variable, Types):
            raise ValueError(
                f"variable={variable.name!r} is of classes, which lie on no manifold; use variable='x' or "
                "'pos' with unit vectors."
            )

    def check_observed(self, mask: Tensor) -> None:
        """Refuse a mask that observes some numbers of a node and not the others.

        Raises
        ------
        ValueError
            If it does.
        """
        if bool((mask != mask[:, :1]).any()):
            raise ValueError(
                "known must observe all numbers of a node or none on a manifold, and a node has some; give a "
                'mask [n] of nodes, and train with Masks(("nothing", "nodes", "region", "slab")).'
            )

    def prior(self, graphs: Graphs, like: Tensor, t: Tensor, random: Streams) -> Tensor:
        """Draw uniform points ``[n, columns]``, at every time."""
        return self.manifold.project(random.normal(graphs.sizes, self.manifold.columns, like))

    def corrupt(
        self, clean: Tensor, t: Tensor, graphs: Graphs, random: Streams, coupling: Coupling | None = None
    ) -> Tensor:
        """Draw from the heat kernel around the data, exactly; it has no coupling with the data."""
        s = self.diffusion(t)
        return self._moved(clean, s[graphs.batch, None] if s.ndim else s, graphs, random)

    def renoise(self, state: Tensor, s: Tensor, t: Tensor, graphs: Graphs, random: Streams) -> Tensor:
        """Draw from the heat kernel of the time between."""
        return self._moved(state, self.diffusion(t) - self.diffusion(s), graphs, random)

    def _moved(self, x: Tensor, s: Tensor, graphs: Graphs, random: Streams) -> Tensor:
        normal = random.normal(graphs.sizes, self.manifold.columns, x)
        return self.manifold.brownian(self.manifold.project(x), s, normal)
