r"""Gaussian-process noise: :math:`\varepsilon = L z` with :math:`L L^T = K`, correlated over positions.

The path stays Gaussian, :math:`x_t \mid x_0 \sim N(\alpha x_0, \sigma^2 K)`, and what is linear in data and
state holds unchanged: targets and their conversions, transitions of the chain, probability flow. The score
differs. What the library calls the score, :math:`(\alpha \hat x_0 - x) / \sigma^2`, is then
:math:`K \nabla \log p`, which is what flow and reverse chain need; a Langevin step along it, with noise from
this source, is preconditioned by K and leaves the distribution invariant.

Source: Mathieu et al., Geometric Neural Diffusion Processes, section 3, https://arxiv.org/abs/2307.05431.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.gp import cholesky
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.kernels import Kernel
from noisefold.noise.source import Source, Streams

__all__ = ["GPNoise"]

_CACHE_BYTES = 256 << 20


@configurable
@dataclass(frozen=True)
class GPNoise(Source):
    """Noise that is correlated over the positions of each graph; columns are independent and alike.

    For features on given positions (``variable="x"``). Where positions are noised there is nothing for it to
    be correlated over, and the model is refused.

    Sample such a model with any solver. Completion by `Replacement` and `Repaint` is more biased than under
    white noise: the noise they add to observed values is independent of that of the others, while the network
    assumes that both are correlated.

    The factor of K is cached for the positions last seen, up to 256 MiB; new positions of n nodes cost
    n^3 / 3 operations, in float64. A graph's noise depends on its own positions and stream alone.

    Parameters
    ----------
    kernel
        Of variance 1, since noise has unit scale, and one output. Lengths are in the unit of the positions
        that the network sees, which are standardised.
    jitter
        Smallest share of white noise that is added so that K can be factorised; see
        `noisefold.geometry.factor`.

    Raises
    ------
    ValueError
        If the kernel's variance or number of outputs is not 1 or the jitter not positive; on a draw, if K has
        no factor.

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
        if self.kernel.outputs != 1:
            raise ValueError(
                f"kernel must have one output, since columns are independent, got {self.kernel.outputs}."
            )
        if abs(self.kernel.variance - 1) > 1e-9:
            raise ValueError(
                f"kernel must have variance 1, since noise has unit scale, got {self.kernel.variance:g}; "
                f"use {1 / self.kernel.variance:g} * kernel."
            )
        if not self.jitter > 0:
            raise ValueError(f"jitter must be positive, got {self.jitter}.")

    def covariance(self, pos: Tensor) -> Tensor:
        """Return K of nodes at ``pos [n, d]``, ``[n, n]``, float64: exactly that of the draws."""
        return cholesky(self.kernel, pos, self.jitter)[0]

    def factor(self, pos: Tensor) -> Tensor:
        """Return L of nodes at ``pos [n, d]``, ``[n, n]``, float64 on the CPU, cached."""
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
        """Draw L z for every graph, ``[n, columns]``."""
        white = streams.normal(graphs.sizes, columns, torch.empty(0, dtype=torch.float64))
        # One product for each graph: in one large product the last digits would depend on the batch.
        parts = [self.factor(pos) @ z for pos, z in zip(graphs.unpack(), graphs.unpack(white), strict=True)]
        return torch.cat(parts).to(graphs.pos) if parts else graphs.pos.new_zeros(0, columns)


_factors: OrderedDict[tuple[GPNoise, tuple[int, ...], bytes], Tensor] = OrderedDict()
