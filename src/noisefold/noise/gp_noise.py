r"""Gaussian-process noise: :math:`\varepsilon = L z` with :math:`L L^T = K`, correlated over positions.

The path stays Gaussian, :math:`x_t \mid x_0 \sim N(\alpha x_0, \sigma^2 K)`, and all that is linear in the
data and the state holds unchanged: the targets and their conversions, the transitions of the chain, the
probability flow. Only the score is another. What the library calls the score,
:math:`(\alpha \hat x_0 - x) / \sigma^2`, is then :math:`K \nabla \log p`, and that is what flow and reverse
chain need; a Langevin step along it, with noise from this source, is preconditioned by K and keeps the law.

Source: Mathieu et al., Geometric Neural Diffusion Processes (arXiv 2307.05431), section 3.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.graphs import Graphs
from noisefold.noise.kernels import Kernel, cholesky
from noisefold.noise.source import Source, Streams

__all__ = ["GPNoise"]

_CACHE_BYTES = 256 << 20


@configurable
@dataclass(frozen=True)
class GPNoise(Source):
    """Noise that is correlated over the positions of each graph, and alike and independent in every column.

    For features on given positions (``variable="x"``). Where positions are noised there is nothing for it to
    be correlated over, and a model is refused.

    Sample such a model with any solver. Completion by `Replacement` and `Repaint` is biased more than under
    white noise: the noise they add to the known values is unrelated to that of the others, while the network
    takes the two to be alike. On a Gaussian field of ten nodes, three known, the posterior mean of `Repaint`
    is in error by .31 of its size, with 9 jumps as with 19, where white noise has .12 and .07.

    The factor of K is kept for the positions last seen, 256 MiB of them; new positions of n nodes cost
    n^3 / 3 operations, in float64. A graph's noise depends on its own positions and stream alone.

    Parameters
    ----------
    kernel
        Of variance 1, since noise has unit scale. Lengths are in the unit of the positions that the network
        sees, which are standardised.
    jitter
        Smallest share of white noise that is added so that K can be factorised; see
        `noisefold.noise.cholesky`.

    Raises
    ------
    ValueError
        If the kernel's variance is not 1 or the jitter not positive; on a draw, if K cannot be factorised.

    Examples
    --------
    >>> import noisefold as nf
    >>> smooth = nf.theory.SquaredExponential(length=0.5)
    >>> source = nf.noise.GPNoise(nf.noise.Stationary(smooth, 0.95) + nf.noise.Nugget(0.05))
    >>> path = nf.noise.Gaussian(source=source)
    """

    kernel: Kernel
    jitter: float = 1e-10

    on_positions: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if abs(self.kernel.variance - 1) > 1e-9:
            raise ValueError(
                f"kernel must have variance 1, since noise has unit scale, got {self.kernel.variance:g}; "
                f"use {1 / self.kernel.variance:g} * kernel."
            )
        if not self.jitter > 0:
            raise ValueError(f"jitter must be positive, got {self.jitter}.")

    def covariance(self, pos: Tensor) -> Tensor:
        """K of nodes at ``pos [n, d]``, ``[n, n]``, float64: exactly that of the draws."""
        return cholesky(self.kernel, pos, self.jitter)[0]

    def factor(self, pos: Tensor) -> Tensor:
        """L of nodes at ``pos [n, d]``, ``[n, n]``, float64 on the CPU; kept for the next time."""
        place = pos.detach().cpu().double().contiguous()
        key = (self, tuple(place.shape), hashlib.blake2b(place.numpy().tobytes()).digest())
        kept = _factors.pop(key, None)
        _factors[key] = cholesky(self.kernel, place, self.jitter)[1] if kept is None else kept
        while len(_factors) > 1 and sum(f.nbytes for f in _factors.values()) > _CACHE_BYTES:
            _factors.popitem(last=False)
        return _factors[key]

    def draw(
        self,
        graphs: Graphs,
        columns: int,
        streams: Streams,
        data: Tensor | None = None,
        t: Tensor | None = None,
    ) -> Tensor:
        """L z for every graph, ``[n, columns]``."""
        white = streams.normal(graphs.sizes, columns, torch.empty(0, dtype=torch.float64))
        # One product for each graph: in one large product the last digits would depend on the batch.
        parts = [self.factor(pos) @ z for pos, z in zip(graphs.unpack(), graphs.unpack(white), strict=True)]
        return torch.cat(parts).to(graphs.pos) if parts else graphs.pos.new_zeros(0, columns)


_factors: OrderedDict[tuple[GPNoise, tuple[int, ...], bytes], Tensor] = OrderedDict()
