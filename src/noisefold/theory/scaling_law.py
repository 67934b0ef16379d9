r"""Scaling laws: the loss as a function of the size of a network and the length of its training.

Trainings of networks with N parameters over S steps, whose learning rate falls to zero, end at losses

.. math:: L(N, S) = E + A\, N^{-\alpha} + B\, S^{-\beta},

with the irreducible loss E of the data. If a step of a network costs :math:`k N^\rho`, a budget C is best
spent on

.. math:: N^* = \Bigl(\frac{\alpha A}{\rho \beta B} (C / k)^\beta\Bigr)^{1 / (\alpha + \rho \beta)}

parameters and :math:`C / (k N^{*\rho})` steps: there the derivative of the loss along the budget is 0.

The exponents have log-normal priors of median 0.5, E, A and B flat ones above 0, and a loss has a relative
normal noise. Given the exponents the rest is linear, so that the posterior is summed on a grid of exponents
and drawn from.

Source: Hoffmann et al., Training Compute-Optimal Large Language Models (2022), section 3.3,
https://arxiv.org/abs/2203.15556
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from noisefold.geometry.gp import svd
from noisefold.theory.learning_curve import Forecast

__all__ = ["ScalingLaw"]

_MEDIAN, _SPREAD = 0.5, 0.7
_EXPONENTS = (0.03, 3.0)
_GRID = 72
_DRAWS = 4000
_LEAST = 5  # trainings: as many as there are unknowns


@dataclass(frozen=True)
class ScalingLaw:
    r"""The posterior of :math:`L(N, S) = E + A N^{-\alpha} + B S^{-\beta}` given losses of trainings.

    Parameters
    ----------
    parameters, steps
        Sizes N and lengths S of the trainings, at least two different ones of each and five trainings.
    losses
        Their losses, above 0.
    noise
        Relative standard deviation of a loss over seeds.

    Raises
    ------
    ValueError
        If there are too few trainings, sizes or lengths, a number is not above 0, or no falling law fits.

    Examples
    --------
    >>> sizes, lengths = (1e4, 1e5, 1e4, 1e5, 1e6, 1e6), (100, 100, 1000, 1000, 100, 1000)
    >>> losses = [1 + 5 * n**-0.3 + 4 * s**-0.5 for n, s in zip(sizes, lengths)]
    >>> law = ScalingLaw(sizes, lengths, losses, noise=0.002)
    >>> found = law.at(1e6, 4000)
    >>> found.low < 1 + 5 * 1e6**-0.3 + 4 * 4000**-0.5 < found.high
    True
    """

    parameters: Sequence[float]
    steps: Sequence[float]
    losses: Sequence[float]
    noise: float = 0.01

    def __post_init__(self) -> None:
        columns = {"parameters": self.parameters, "steps": self.steps, "losses": self.losses}
        if len({len(column) for column in columns.values()}) > 1 or len(self.losses) < _LEAST:
            raise ValueError(
                f"a scaling law needs sizes, lengths and losses of the same {_LEAST} or more trainings, got "
                f"{', '.join(f'{len(column)} {name}' for name, column in columns.items())}."
            )
        for name, column in {**columns, "noise": [self.noise]}.items():
            if any(not (v > 0 and math.isfinite(v)) for v in column):
                raise ValueError(f"{name} must be finite and above 0, got {tuple(column)}.")
        for name in ("parameters", "steps"):
            if len(set(columns[name])) < 2:
                raise ValueError(f"{name} needs two or more different values, got {tuple(columns[name])}.")

    def at(self, parameters: float, steps: float) -> Forecast:
        """Return the loss to expect of one training of this size and length, noise included."""
        floor, size, length, alpha, beta = self._draws
        loss = floor + size * (parameters / max(self.parameters)) ** -alpha
        loss = loss + length * (steps / max(self.steps)) ** -beta
        noise = torch.randn(_DRAWS, generator=_generator(1), dtype=torch.float64)
        return _quantiles(loss * (1 + self.noise * noise))

    @property
    def alpha(self) -> Forecast:
        r"""The exponent :math:`\alpha` of the size."""
        return _quantiles(self._draws[3])

    @property
    def beta(self) -> Forecast:
        r"""The exponent :math:`\beta` of the length."""
        return _quantiles(self._draws[4])

    @property
    def irreducible(self) -> Forecast:
        """The loss E that neither size nor length takes away."""
        return _quantiles(self._draws[0])

    def best_size(self, budget: float, cost: float, growth: float) -> Forecast:
        r"""Return the number of parameters that a budget is best spent on.

        Parameters
        ----------
        budget
            C.
        cost, growth
            k and :math:`\rho` of the cost :math:`k N^\rho` of a step, in the budget's unit.
        """
        _, size, length, alpha, beta = self._draws
        largest, longest = max(self.parameters), max(self.steps)
        # In units of the largest size and the longest training, so that no power overflows.
        affordable = budget / (cost * largest**growth) / longest
        ratio = alpha * size / (growth * beta * length) * affordable**beta
        return _quantiles(largest * ratio ** (1 / (alpha + growth * beta)))

    @cached_property
    def _draws(self) -> tuple[Tensor, ...]:
        """Return draws of E, A, B (in units of the largest size and longest training) and both exponents."""
        kind = torch.float64
        sizes, steps, losses = (torch.tensor(v, dtype=kind) for v in self._columns)
        first, last = (math.log(v) for v in _EXPONENTS)
        exponent = torch.exp(torch.linspace(first, last, _GRID, dtype=kind))
        alpha, beta = (v.flatten() for v in torch.meshgrid(exponent, exponent, indexing="ij"))
        powers = sizes ** -alpha[:, None], steps ** -beta[:, None]
        design = torch.stack([torch.ones_like(powers[0]), *powers], -1)
        weight = 1 / (self.noise * losses)
        u, scale, v = svd(design * weight[:, None])
        target = losses * weight
        projected = (u.mT @ target[:, None])[..., 0]
        residual = target - (u @ projected[..., None])[..., 0]
        score = -0.5 * residual.square().sum(1) - scale.log().sum(1)
        for value in (alpha, beta):
            score = score - 0.5 * ((value.log() - math.log(_MEDIAN)) / _SPREAD) ** 2
        generator = _generator(0)
        # The priors of E, A and B end at 0: draws beyond it are rejected, and their weight with them.
        kept: list[Tensor] = []
        count = 0
        for _ in range(50):
            cell = torch.multinomial(torch.softmax(score, 0), _DRAWS, replacement=True, generator=generator)
            noise = torch.randn(_DRAWS, 3, generator=generator, dtype=kind)
            inner = ((projected[cell] + noise) / scale[cell])[..., None]
            coefficients = (v.mT[cell] @ inner)[..., 0]
            fine = (coefficients > 0).all(1)
            found = torch.cat([coefficients, alpha[cell, None], beta[cell, None]], 1)[fine]
            kept.append(found)
            count += len(found)
            if count >= _DRAWS:
                return torch.cat(kept)[:_DRAWS].unbind(1)
        raise ValueError(
            "losses do not fall with parameters and steps, so that no scaling law fits; give trainings "
            "that are further apart."
        )

    @property
    def _columns(self) -> tuple[list[float], list[float], list[float]]:
        sizes = [n / max(self.parameters) for n in self.parameters]
        return sizes, [s / max(self.steps) for s in self.steps], list(self.losses)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _quantiles(values: Tensor) -> Forecast:
    low, median, high = (float(values.quantile(q)) for q in (0.05, 0.5, 0.95))
    return Forecast(median, low, high)
