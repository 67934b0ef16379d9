r"""The evidence lower bound: cheap, since no derivative of the network is taken.

With the variational posterior :math:`q(y_\lambda \mid x_0) = N(a x_0, b^2 K)`, norms in :math:`K^{-1}` and m
numbers in a graph,

.. math:: \log p(x_0) \ge E \log N(x_0;\ a y_{\lambda_1}, b^2 K)
    - \mathrm{KL}(q(y_{\lambda_0} \mid x_0) \,\|\, N(0, K))
    - \frac12 \int_{\lambda_0}^{\lambda_1} e^\lambda\, E \| x_0 - \hat x_0 \|^2 \, d\lambda .

The integrand is :math:`a^2 E\|w - r\|^2` with the residual answer r and its truth
:math:`w = b x_0 - a \varepsilon`. Since :math:`E \|w\|^2 = b^2 \|x_0\|^2 + a^2 m` is known, only
:math:`\|r\|^2 - 2 w \cdot r` is estimated.

Source: Kingma et al., Variational Diffusion Models (2021), https://arxiv.org/abs/2107.00630.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.noise.source import Streams, derive_seed
from noisefold.sample.densities import (
    EndDensity,
    Estimate,
    LikelihoodMethod,
    UnitState,
    check_least,
    level,
    place,
)

__all__ = ["EvidenceBound"]

_GOLDEN = 0.618033988749895  # multiples of it, modulo 1, are spread evenly


@configurable
@dataclass(frozen=True)
class EvidenceBound(LikelihoodMethod):
    """The evidence lower bound (ELBO) of the stochastic sampler; for an exact denoiser the density itself.

    Parameters
    ----------
    strata
        Parts of the range of log-SNR, with one place and two evaluations in each.
    repetitions
        Of the whole. At least 2, since their spread is the error.
    log_snr
        Where the data and the noise are, within the path's margin.

    Raises
    ------
    ValueError
        If a number is below its least.
    """

    strata: int = 8
    repetitions: int = 8
    log_snr: tuple[float, float] = (13.0, -7.0)

    kind: ClassVar[str] = "bound"

    def __post_init__(self) -> None:
        check_least(strata=(self.strata, 1), repetitions=(self.repetitions, 2))

    def apart(self, numbers: Tensor) -> Tensor:
        """Return that no graph is."""
        return torch.zeros_like(numbers, dtype=torch.bool)

    def __call__(self, state: UnitState, seed: int, streams: Streams, end: EndDensity | None) -> Estimate:
        """Average the repetitions; it accounts for the end, so that `end` is not used."""
        jitter = torch.rand(self.repetitions, generator=torch.Generator().manual_seed(derive_seed(seed)))
        shifts = ((torch.arange(self.repetitions) + jitter) / self.repetitions).tolist()
        drawn = torch.stack([self._integral(state, streams, shift) for shift in shifts])
        clean, volume = state.whitened(state.data)
        square, m = state.sums(clean.square()), state.numbers
        # a^2 and -log(b^2) at both ends.
        (a1, s1), (a0, s0) = ((1 / (1 + math.exp(-v)), math.log1p(math.exp(v))) for v in state.ends)
        known = square * (a1 - a0) + m * (s1 - s0 - a1 + a0)
        data = (m * (s1 - math.log(2 * math.pi)) - (1 - a1) * square - a1 * m) / 2 - volume
        noise = (a0 * square - m * a0 + m * s0) / 2
        error = drawn.std(0) / math.sqrt(self.repetitions) / 2
        value = data - noise - (known + drawn.mean(0)) / 2
        return Estimate(value, error, torch.zeros_like(error))

    @torch.no_grad()
    def _integral(self, state: UnitState, streams: Streams, shift: float) -> Tensor:
        r"""Return one estimate ``[g]`` of :math:`\int a^2 (\|r\|^2 - 2 w \cdot r)\, d\lambda`.

        One place in each stratum of u, shared by all graphs, with each noise and its negative, which cancels
        what is odd in it.
        """
        stop, start = (place(v) for v in state.ends)
        width = (stop - start) / self.strata
        total = torch.zeros(len(state.graphs), dtype=torch.float64)
        for k in range(self.strata):
            log_snr, rate = level(start + (k + (shift + _GOLDEN * k) % 1) * width)
            a, b = float(log_snr.sigmoid().sqrt()), float((-log_snr).sigmoid().sqrt())
            drawn = state.path.source.draw(state.graphs, state.data.shape[1], streams).to(state.data)
            for noise in (drawn, -drawn):
                velocity = state.velocity(a * state.data + b * noise, log_snr)
                r, _ = state.whitened(2 / (a * b) * velocity)
                w, _ = state.whitened(b * state.data - a * noise)
                total += width * rate * a**2 / 2 * state.sums(r * (r - 2 * w))
        return total
