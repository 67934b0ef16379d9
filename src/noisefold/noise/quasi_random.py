r"""Quasi-random noise: points that cover the normal distribution more evenly than chance does.

Sobol points :math:`u`, scrambled (a random linear matrix and shift for each axis), are uniform on the unit
cube one by one and evenly spread together; :math:`\varepsilon = \Phi^{-1}(u)`. A mean over n of them is in
error by about 1 / n for smooth functions in few dimensions, where independent draws have :math:`n^{-1/2}`.

Source: Owen, Randomly Permuted (t, m, s)-Nets and (t, s)-Sequences (1995),
https://doi.org/10.1007/978-1-4612-2552-2_19; Matousek, On the L2-Discrepancy for Anchored Boxes (1998), for
the scrambling used here, https://doi.org/10.1006/jcom.1998.0489.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from noisefold.configuration import configurable
from noisefold.geometry.graphs import Graphs
from noisefold.noise.source import Source, Streams

__all__ = ["QuasiRandom", "quasi_normal"]


def quasi_normal(n: int, columns: int, seed: int) -> Tensor:
    """Return a scrambled Sobol sequence under the inverse normal distribution, float64 ``[n, columns]``.

    Each point is standard normal over the seeds; the first 2^m points of one seed are evenly spread.

    Parameters
    ----------
    n
        How many points; best a power of two.
    columns
        Dimension, from 1 to 21,201.
    seed
        Of the scrambling; another one for every set that should be independent.

    Raises
    ------
    ValueError
        If the dimension is out of range.
    """
    if not 1 <= columns <= SobolEngine.MAXDIM:
        raise ValueError(f"columns must lie in [1, {SobolEngine.MAXDIM}], got {columns}.")
    engine = SobolEngine(columns, scramble=True, seed=seed)
    # The engine cannot draw none. Its points stand on a lattice that holds 0, whose quantile is infinite;
    # that of the middle of a cell is not.
    half = 2.0 ** -(SobolEngine.MAXBIT + 1)
    points: Tensor = torch.special.ndtri(engine.draw(max(n, 1), dtype=torch.float64)[:n] + half)
    return points


@configurable
@dataclass(frozen=True)
class QuasiRandom(Source):
    """Scrambled Sobol points: the nodes of one graph cover the normal distribution evenly.

    All that is random is the scrambling, of which every graph and every draw has its own, seeded from the
    graph's stream. One node by itself is standard normal, and independent of other graphs; the nodes of a
    graph are not independent of each other, and a graph of one node has plain random noise.

    When to use: to measure how random noise must be, with permutation-equivariant networks: the place of a
    node in the list is not independent of its noise.

    Raises
    ------
    ValueError
        On a draw, if there are more columns than Sobol sequences have dimensions, 21,201.
    """

    def draw(
        self,
        graphs: Graphs,
        columns: int,
        streams: Streams,
        data: Tensor | None = None,
        t: Tensor | None = None,
    ) -> Tensor:
        """Draw evenly spread standard normal points ``[n, columns]``."""
        parts = [
            quasi_normal(size, columns, seed)
            for size, seed in zip(graphs.sizes.tolist(), streams.seeds(), strict=True)
        ]
        return torch.cat(parts).to(graphs.pos) if parts else graphs.pos.new_zeros(0, columns)
