r"""Adaptive schedules: range and resolution of a noise-conditioned graph network at each noise level.

With N nodes and the range :math:`r_1 = \lceil N^{1/3} \rceil` on clean data, the resolution s (the number of
supernodes) runs from :math:`s_0 = \lceil \sqrt{r_1 N} \rceil` at pure noise to N on clean data,

.. math:: s(u) = s_0 + (N - s_0) f(u), \qquad r(u) = r_1 N / s(u), \qquad f(0) = 0,\ f(1) = 1,

so that the number of edges r s is the same at every level up to rounding, and the coarse graph is complete at
pure noise. More noise never means a smaller range or a finer resolution, unless a schedule is reversed.

The signal level is :math:`u = \alpha / (\alpha + \sigma)`, 1 on clean data. It depends on the signal-to-noise
ratio alone, not on the direction of time, so diffusion and flow matching both coarsen at high noise.

Source: Geometric Generative Modeling with Noise-Conditioned Graph Networks,
https://arxiv.org/abs/2507.09391, section 4.1, figure 5 and table 5.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from noisefold.configuration import configurable, register_module
from noisefold.nn.adaptive.information_schedule import Information
from noisefold.nn.adaptive.schedule import Adaptive, Schedule, clean_range, ends, evaluate, range_at

__all__ = [
    "Adaptive",
    "Exponential",
    "Fixed",
    "Information",
    "Learned",
    "Linear",
    "Logarithmic",
    "ReLU",
    "clean_range",
]


@dataclass(frozen=True, kw_only=True)
class _Graded(Schedule):
    """Schedules given by their shape f.

    Parameters
    ----------
    range
        Range r1 on clean data; None for the cube root of N, rounded up.
    reverse
        Whether to use f(1 - u), which is fine at high noise: an ablation.

    Raises
    ------
    ValueError
        If the range is below 1.
    """

    range: int | None = None
    reverse: bool = False

    def __post_init__(self) -> None:
        if self.range is not None and self.range < 1:
            raise ValueError(f"range must be at least 1, or None for the cube root of N, got {self.range}.")
        self.check()

    @abstractmethod
    def check(self) -> None:
        """Raise ValueError if a parameter of the shape is out of bounds."""

    @abstractmethod
    def fraction(self, signal: Tensor) -> Tensor:
        """Return the shape f, elementwise, from 0 at signal 0 to 1 at signal 1."""

    def levels(self, signal: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the range that keeps the budget, and the resolution s(u), rounded."""
        r1, s0 = ends(nodes, self.range)
        f = self.fraction(1 - signal if self.reverse else signal)
        s = torch.round(s0 + (nodes - s0) * f).long()
        return range_at(s, r1, s0, nodes), s


def _check_curvature(curvature: float) -> None:
    if not 0 < curvature < 500:
        raise ValueError(
            f"curvature must lie strictly between 0 and 500, got {curvature}; Linear() has none."
        )


@configurable
@dataclass(frozen=True)
class Linear(_Graded):
    """Resolution linear in the signal level: f = u. `range` and `reverse` as in every schedule."""

    def check(self) -> None:
        """Nothing to check."""

    def fraction(self, signal: Tensor) -> Tensor:
        """Return u."""
        return signal


@configurable
@dataclass(frozen=True)
class Exponential(_Graded):
    r"""Coarse at most noise levels: :math:`f = (e^{c u} - 1) / (e^c - 1)`, the paper's best schedule.

    Parameters
    ----------
    curvature
        c; 10 in the paper. `range` and `reverse` as in every schedule.

    Raises
    ------
    ValueError
        If the curvature is not in (0, 500).

    Examples
    --------
    >>> Exponential()(0.0, 400), Exponential()(1.0, 400)
    ((57, 57), (8, 400))
    """

    curvature: float = 10.0

    def check(self) -> None:
        """The curvature's bounds."""
        _check_curvature(self.curvature)

    def fraction(self, signal: Tensor) -> Tensor:
        """Return (exp(c u) - 1) / (exp(c) - 1)."""
        return torch.expm1(self.curvature * signal) / math.expm1(self.curvature)


@configurable
@dataclass(frozen=True)
class Logarithmic(_Graded):
    r"""Fine at most noise levels: :math:`f = \ln(c u + 1) / \ln(c + 1)`.

    Parameters
    ----------
    curvature
        c; 10 in the paper. `range` and `reverse` as in every schedule.

    Raises
    ------
    ValueError
        If the curvature is not in (0, 500).
    """

    curvature: float = 10.0

    def check(self) -> None:
        """The curvature's bounds."""
        _check_curvature(self.curvature)

    def fraction(self, signal: Tensor) -> Tensor:
        """Return log(c u + 1) / log(c + 1)."""
        return torch.log1p(self.curvature * signal) / math.log1p(self.curvature)


@configurable
@dataclass(frozen=True)
class ReLU(_Graded):
    r"""Lowest resolution up to a split, then linear: :math:`f = \max(0, (u - b) / (1 - b))`.

    Parameters
    ----------
    split
        b; 0.6 in the paper. `range` and `reverse` as in every schedule.

    Raises
    ------
    ValueError
        If the split is not in [0, 1).
    """

    split: float = 0.6

    def check(self) -> None:
        """The split's bounds."""
        if not 0 <= self.split < 1:
            raise ValueError(f"split must lie in [0, 1), got {self.split}.")

    def fraction(self, signal: Tensor) -> Tensor:
        """Return max(0, (u - b) / (1 - b))."""
        return ((signal - self.split) / (1 - self.split)).clamp(min=0)


@configurable
@dataclass(frozen=True)
class Fixed(Schedule):
    """The same range and resolution at every noise level, as in a network that ignores the noise.

    Parameters
    ----------
    range
        Neighbours of every supernode, itself included; None for the cube root of N. At most the number of
        supernodes.
    resolution
        Number of supernodes; None for all N nodes.

    Raises
    ------
    ValueError
        If either is below 1.
    """

    range: int | None = None
    resolution: int | None = None

    def __post_init__(self) -> None:
        for name in ("range", "resolution"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, or None, got {value}.")

    def levels(self, signal: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the given numbers, clamped to the number of nodes."""
        s = nodes.clone() if self.resolution is None else nodes.clamp(max=self.resolution)
        r = clean_range(nodes) if self.range is None else torch.full_like(nodes, self.range)
        return torch.minimum(r, s), s


@register_module
class Learned(nn.Module):
    r"""A monotone schedule that is learned with the network.

    Resolutions are taken from a geometric ladder of rungs from s0 to N. The position on it,

    .. math:: f(\lambda) = \frac{g(\lambda) - g(-20)}{g(20) - g(-20)}, \qquad
        g(\lambda) = \frac{\lambda}{10^4} + \sum_i w_i\, \mathrm{sigmoid}(k_i (\lambda - c_i)),
        \qquad w_i, k_i > 0,

    increases with the log signal-to-noise ratio :math:`\lambda`, clamped to :math:`\pm 20`, and is exact at
    both ends. It is initialised near ``Exponential(10)``.

    A resolution is an integer, so no gradient passes through it. In training the network therefore runs a
    second time, without gradients, at the rung on the other side of the position, and the difference of the
    two outputs serves as the derivative of the output in the position (see `neighbour`). The value, and the
    cost in evaluation, are those of the nearest rung alone. The derivative is a finite difference, whose
    error is of the order of the squared change of the output between rungs.

    Parameters
    ----------
    hidden
        Number of sigmoids.
    rungs
        Number of resolutions on the ladder.
    range
        Range r1 on clean data; None for the cube root of N.

    Raises
    ------
    ValueError
        If `hidden` is below 1, `rungs` below 2 or `range` below 1.
    """

    def __init__(self, hidden: int = 16, rungs: int = 9, range: int | None = None) -> None:
        super().__init__()
        for name, value, least in (("hidden", hidden, 1), ("rungs", rungs, 2), ("range", range, 1)):
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}.")
        self.rungs, self.range = rungs, range
        centres = torch.linspace(-8, 14, hidden) if hidden > 1 else torch.tensor([3.8])
        # On the ladder Exponential(10) is nearly a logistic in log-SNR, with this centre and steepness.
        density = torch.sigmoid(0.8 * (centres - 3.8)) * torch.sigmoid(-0.8 * (centres - 3.8))
        self.centre = nn.Parameter(centres)
        self.log_weight = nn.Parameter(torch.log(density / density.sum()))
        self.log_steepness = nn.Parameter(torch.full((hidden,), math.log(1.2)))

    def extra_repr(self) -> str:
        """Arguments, as in a configuration."""
        return ", ".join(f"{k}={v}" for k, v in vars(self)["arguments"].items())

    def fraction(self, signal: Tensor) -> Tensor:
        """Return the position on the ladder, 0 at pure noise and 1 on clean data; differentiable."""
        level = (2 * torch.logit(signal.detach().double())).clamp(-20, 20)
        low, high = (self._rise(torch.full_like(level, end)) for end in (-20.0, 20.0))
        return (self._rise(level) - low) / (high - low)

    def _rise(self, level: Tensor) -> Tensor:
        weight, steepness = self.log_weight.double().exp(), self.log_steepness.double().exp()
        waves = torch.sigmoid(steepness * (level[..., None] - self.centre.double()))
        # The linear term keeps f defined even if every centre leaves the range.
        return level * 1e-4 + (waves * weight).sum(-1)

    def forward(self, signal: float | Tensor, nodes: int | Tensor) -> tuple[Any, Any]:
        """Return range and resolution, int or int64 ``[g]``, of the rung nearest to the position."""

        def nearest(u: Tensor, n: Tensor) -> tuple[Tensor, Tensor]:
            return self._rung(torch.round(self._position(u)).detach(), n)

        return evaluate(nearest, signal, nodes)

    def neighbour(self, signal: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        r"""Return the rung on the other side of the position, and a zero step that carries its gradient.

        With output a at the nearest rung and b at this one, ``a + step * (b - a).detach()`` has the value of
        a, and its derivative in the position is the difference of the outputs at the upper and lower rung.

        Returns
        -------
        tuple
            Range and resolution, int64 ``[g]``, and the step ``[g]``, float64: zero, but differentiable.
        """
        position = self._position(signal)
        nearest = torch.round(position).detach()
        side = torch.where(position.detach() >= nearest, 1.0, -1.0).double()
        side = torch.where(nearest == self.rungs - 1, -torch.ones_like(side), side)
        side = torch.where(nearest == 0, torch.ones_like(side), side)
        r, s = self._rung(nearest + side, nodes)
        return r, s, side * (position - position.detach())

    def _position(self, signal: Tensor) -> Tensor:
        return self.fraction(signal) * (self.rungs - 1)

    def _rung(self, rung: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor]:
        r1, s0 = ends(nodes, self.range)
        ratio = torch.log(nodes / s0.double())
        s = torch.round(s0 * torch.exp(ratio * rung / (self.rungs - 1))).long()
        return range_at(s, r1, s0, nodes), s
