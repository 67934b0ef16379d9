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
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.gp import cholesky, factor, whiten
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.kernels import Kernel
from noisefold.noise.source import Source, Streams

__all__ = ["GPNoise"]

_CACHE_BYTES = 256 << 20


@configurable
@dataclass(frozen=True)
class GPNoise(Source):
    """Noise that is correlated over the positions of each graph.

    For features on given positions (``variable="x"``). Where positions are noised there is nothing for it to
    be correlated over, and the model is refused.

    Under a kernel of one output columns are independent and alike. Under one of o outputs there must be o
    columns, and K acts on the values ``[n, o]`` read row by row, which correlates them as components of a
    vector field. Where the kernel is :math:`k I_o` (`Kernel.scalar`) that of k alone is factorised.

    The factor of K is cached for the positions last seen, up to 256 MiB; new positions of n nodes cost
    (n o)^3 / 3 operations, in float64. A graph's noise depends on its own positions and stream alone.

    Parameters
    ----------
    kernel
        Of variance 1, since noise has unit scale. Lengths are in the unit of the positions that the network
        sees, which are standardised.
    jitter
        Smallest share of white noise that is added so that K can be factorised; see
        `noisefold.geometry.factor`.

    Raises
    ------
    ValueError
        If the kernel's variance is not 1 or the jitter not positive; on a draw, if K has no factor or the
        number of columns is not that of the kernel's outputs.

    Examples
    --------
    >>> import noisefold as nf
    >>> smooth = nf.theory.SquaredExponential(length=0.5)
    >>> source = nf.noise.GPNoise(nf.noise.Stationary(smooth, 0.95) + nf.noise.Nugget(0.05))
    >>> path = nf.noise.Gaussian(source=source)
    >>> white = nf.geometry.IndependentOutputs(nf.noise.Nugget(0.1), 2)
    >>> flow = nf.noise.GPNoise(0.9 * nf.geometry.DivergenceFree(0.5) + white)
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

    @property
    def process(self) -> GPNoise:
        """Itself."""
        return self

    @property
    def joint(self) -> bool:
        """Whether columns are correlated, so that K is of all values of a graph and not of one column."""
        return self.kernel.scalar is None

    def covariance(self, pos: Tensor) -> Tensor:
        """Return K of nodes at ``pos [n, d]``, float64: exactly that of the draws.

        Of one column, ``[n, n]``, or of all values row by row, ``[n o, n o]``, where columns are correlated.
        """
        return cholesky(self._kernel, pos, self.jitter)[0]

    def factor(self, pos: Tensor) -> Tensor:
        """Return L of nodes at ``pos [n, d]``, of the shape of K, float64 on the CPU, cached."""
        place = pos.detach().cpu().double().contiguous()
        key = (self, tuple(place.shape), hashlib.blake2b(place.numpy().tobytes()).digest())
        kept = _factors.pop(key, None)
        _factors[key] = cholesky(self._kernel, place, self.jitter)[1] if kept is None else kept
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
        parts = [
            self.rowwise(z, lambda v, pos=pos: self.factor(pos) @ v)  # type: ignore[misc]
            for pos, z in zip(graphs.unpack(), graphs.unpack(white), strict=True)
        ]
        return torch.cat(parts).to(graphs.pos) if parts else graphs.pos.new_zeros(0, columns)

    def rowwise(self, values: Tensor, apply: Callable[[Tensor], Tensor]) -> Tensor:
        """Apply what acts as K does to values ``[..., n, columns]`` of a graph, and return these.

        Parameters
        ----------
        values
            Values of the nodes of a graph.
        apply
            Given one column for each independent set of values: ``[..., n, columns]`` as they are, or
            ``[..., n o, 1]`` row by row where columns are correlated.

        Raises
        ------
        ValueError
            If there are not as many columns as the kernel has outputs.
        """
        outputs, columns = self.kernel.outputs, values.shape[-1]
        if outputs not in (1, columns):
            raise ValueError(
                f"noise of a kernel of {outputs} outputs is for {outputs} columns, got {columns}: {self!r}."
            )
        if not self.joint:
            return apply(values)
        return apply(values.reshape(*values.shape[:-2], -1, 1)).reshape(values.shape)

    def whiten(self, pos: Tensor, values: Tensor, hidden: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return :math:`L^{-1} v` of values ``[n, columns]`` at ``pos [n, d]``, and log det L of all of them.

        Differentiable in the values, in whose type and place the result is; computed in float64.

        Parameters
        ----------
        pos
            Positions of the nodes of one graph.
        values
            Their values.
        hidden
            Which entries count, bool ``[n, columns]``; None for all. L is then that of these entries alone,
            and the others become 0.
        """
        wide = values.double()
        if hidden is None or bool(hidden.all()):
            lower = self.factor(pos).to(values.device)
            white = self.rowwise(wide, lambda v: whiten(lower, v))
            copies = 1 if self.joint else values.shape[-1]
            return white.to(values), copies * lower.diagonal().log().sum()
        volume = wide.new_zeros(())

        def columns(v: Tensor) -> Tensor:
            nonlocal volume
            whole, out = self.factor(pos).to(v.device), []
            for column, mask in zip(v.mT, hidden.reshape(v.shape).mT, strict=True):
                lower = factor(whole[mask] @ whole[mask].mT).lower
                volume = volume + lower.diagonal().log().sum()
                some = whiten(lower, column[mask, None])[:, 0]
                out.append(torch.zeros_like(column).masked_scatter(mask, some))
            return torch.stack(out, 1)

        return self.rowwise(wide, columns).to(values), volume

    def correlate(self, pos: Tensor, values: Tensor) -> Tensor:
        """Return K v of values ``[n, columns]`` at ``pos [n, d]``, computed in float64."""
        lower = self.factor(pos).to(values.device)
        return self.rowwise(values.double(), lambda v: lower @ (lower.mT @ v)).to(values)

    @property
    def _kernel(self) -> Kernel:
        return self.kernel.scalar or self.kernel


_factors: OrderedDict[tuple[GPNoise, tuple[int, ...], bytes], Tensor] = OrderedDict()
