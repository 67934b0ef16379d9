r"""Edges from latent vectors: the latent distance model with sociality.

A node has a place :math:`z_i \in \mathbb{R}^d` and a sociality :math:`u_i`, all of about unit variance. In a
graph of n nodes two nodes are joined, independently of all other pairs, with the probability

.. math:: p_{ij} = \sigma\Bigl(b + c \log \tfrac{n}{100} + s_u (u_i + u_j)
    - \left(\tfrac{n}{100}\right)^e \sum_k s_k^2 (z_{ik} - z_{jk})^2\Bigr) .

Near nodes are joined, so that neighbours of a node are likely joined as well; a large sociality makes a hub.
In larger geometric graphs of the same mean degree edges are shorter: there e is above 0.

Source: Hoff, Raftery and Handcock, Latent space approaches to social network analysis (2002),
https://doi.org/10.1198/016214502388618906; Krivitsky et al., Representing degree distributions, clustering,
and homophily in social networks (2009), https://doi.org/10.1016/j.socnet.2009.04.001.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from noisefold.configuration import configurable

__all__ = ["SIZE", "PairDecoder"]

SIZE = 100
"""Nodes of a graph whose bias is b."""

_BLOCK = 1 << 20  # pairs whose numbers stand in memory at once
_BINS, _FARTHEST = 4096, 40.0  # of the histogram of logits
_HALVINGS = 40


@configurable
@dataclass(frozen=True)
class PairDecoder:
    """Probabilities of edges from latent vectors ``[n, d + 1]``; see the module for the formula.

    Parameters
    ----------
    scales
        The s of each dimension, d numbers.
    sociality
        The s of the sociality, which is the last column.
    bias, growth, contraction
        The b, c and e.

    Raises
    ------
    ValueError
        If there is no dimension.
    """

    scales: tuple[float, ...]
    sociality: float
    bias: float
    growth: float = 0.0
    contraction: float = 0.0

    def __post_init__(self) -> None:
        if not self.scales:
            raise ValueError("scales must hold one number at least, got none.")

    @property
    def columns(self) -> int:
        """Columns of the latent vectors, d + 1."""
        return len(self.scales) + 1

    def logits(self, z: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Yield blocks of rows of the matrix of log-odds of one graph, from the diagonal on.

        Memory is that of a block, and never that of all pairs.

        Parameters
        ----------
        z
            Latent vectors of one graph, ``[n, d + 1]``.

        Yields
        ------
        tuple[int, Tensor]
            The first row i, and ``[rows, n - i]``, float32; -inf where the column is not above the row.
        """
        n = len(z)
        scaled = z.double() * z.new_tensor([*self.scales, self.sociality], dtype=torch.float64)
        place, own = scaled[:, :-1] * (max(1, n) / SIZE) ** (self.contraction / 2), scaled[:, -1]
        own = own - place.square().sum(1)
        level = self.bias + self.growth * math.log(max(1, n) / SIZE)
        place, own = place.float(), own.float()
        rows = max(1, _BLOCK // max(1, n))
        for first in range(0, n, rows):
            last = min(n, first + rows)
            block = 2 * place[first:last] @ place[first:].T
            block += own[first:last, None] + own[None, first:] + level
            later = torch.arange(n - first, device=z.device)[None]
            block.masked_fill_(later <= torch.arange(last - first, device=z.device)[:, None], -torch.inf)
            yield first, block

    def expected(self, z: Tensor) -> float:
        """Return the expected number of edges of one graph."""
        return sum(float(torch.sigmoid(block).double().sum()) for _, block in self.logits(z))

    def edges(self, z: Tensor, seed: int, least: float = 0.0, most: float = math.inf) -> Tensor:
        """Draw the edges of one graph, ``[2, e]`` with i < j.

        Parameters
        ----------
        z
            Latent vectors, ``[n, d + 1]``.
        seed
            What is random follows from it alone.
        least, most
            Where the expected number of edges lies outside, all log-odds are shifted so that it is the
            nearest end.
        """
        shift = self._shift(z, least, most)
        random = torch.Generator().manual_seed(seed)
        found = [torch.empty(2, 0, dtype=torch.int64)]
        for first, block in self.logits(z.cpu()):
            uniform = torch.rand(block.shape, generator=random)
            i, j = (torch.sigmoid(block + shift) > uniform).nonzero().T
            found.append(torch.stack([i, j]) + first)
        return torch.cat(found, 1).to(z.device)

    def _shift(self, z: Tensor, least: float, most: float) -> float:
        if least <= 0 and most == math.inf:
            return 0.0
        counts = torch.zeros(_BINS, dtype=torch.float64)
        for _, block in self.logits(z.cpu()):
            kept = block[block > -torch.inf].clamp(-_FARTHEST, _FARTHEST)
            counts += torch.histc(kept, _BINS, -_FARTHEST, _FARTHEST).double()
        width = 2 * _FARTHEST / _BINS
        centres = (torch.arange(_BINS, dtype=torch.float64) + 0.5) * width - _FARTHEST

        def expected(shift: float) -> float:
            return float((counts * torch.sigmoid(centres + shift)).sum())

        usual = expected(0.0)
        if least <= usual <= most:
            return 0.0
        wanted = min(max(usual, least), most)
        low, high = -2 * _FARTHEST, 2 * _FARTHEST
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if expected(middle) < wanted else (low, middle)
        return (low + high) / 2
