r"""Sums over all nodes of a graph, where every node is a neighbour of every node and of itself.

No edge is listed. A mean is one mean a graph. Attention with the scores
:math:`\mathrm{LeakyReLU}(r_i + s_j)` of `noisefold.nn.dmp.message.GAT` is one product of matrices a graph, or
for large graphs two prefix sums: with the senders in descending order of s, the first ones have
:math:`r_i + s_j > 0` and the weight :math:`e^{r_i} e^{s_j}`, the others :math:`e^{.2 r_i} e^{.2 s_j}`,

.. math:: \sum_j e^{\mathrm{LeakyReLU}(r_i + s_j)} v_j =
    e^{r_i} \sum_{s_j > -r_i} e^{s_j} v_j + e^{.2 r_i} \sum_{s_j \le -r_i} e^{.2 s_j} v_j,

which is exact and takes n log n steps. All exponents are taken less the largest score of the row, so that no
factor exceeds 1 and one term of each sum is 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from noisefold.geometry.neighbors import Full
from noisefold.nn.dmp.edges import SLOPE
from noisefold.nn.dmp.pooling import Pooling

__all__ = ["CompleteGraphs"]

# Nodes of a graph from which prefix sums are faster than a matrix of weights (a CPU's core: even at 250).
_SORTED = 256


@dataclass(frozen=True, eq=False)
class CompleteGraphs:
    """Complete graphs on consecutive rows, graphs of one size side by side.

    Parameters
    ----------
    sizes
        Nodes of every graph, ``[c]``, int64.
    """

    sizes: Tensor

    @cached_property
    def runs(self) -> list[tuple[int, int]]:
        """How many graphs of which size follow one another."""
        values, counts = torch.unique_consecutive(self.sizes, return_counts=True)
        return list(zip(counts.tolist(), values.tolist(), strict=True))

    @cached_property
    def rows(self) -> int:
        """Number of rows m, those of all graphs together."""
        return sum(count * size for count, size in self.runs)

    @cached_property
    def members(self) -> Pooling:
        """The rows of every graph."""
        graph = torch.repeat_interleave(self.sizes, output_size=self.rows)
        return Pooling.of(graph, self.sizes.numel())

    def pairs(self) -> Tensor:
        """All edges, ``[2, e]``, in the order of their targets."""
        return Full(loop=True)(self.sizes.new_empty(self.rows, 0), self.members.ptr)

    def mean(self, values: Tensor, then: Callable[[Tensor], Tensor]) -> Tensor:
        """For every row an affine map `then` of the mean of its graph, ``[m, w]`` of ``values [m, w]``."""
        if len(self.runs) != 1:
            return self.members.spread(then(self.members.mean(values)))
        count, size = self.runs[0]
        means = then(values.view(count, size, -1).mean(1))
        return means[:, None].expand(-1, size, -1).reshape(count * size, -1)

    def attend(self, values: Tensor, sent: Tensor, received: Tensor) -> Tensor:
        """Attention ``[m, w]`` of every row to all of its graph.

        Parameters
        ----------
        values
            ``[m, w]``.
        sent, received
            Parts s and r of the scores, ``[m]``.
        """
        parts, first = [], 0
        for count, size in self.runs:
            here = slice(first, first + count * size)
            shape = (count, size)
            way = _by_weights if size < _SORTED else _by_sorting
            out = way(values[here].view(*shape, -1), sent[here].view(shape), received[here].view(shape))
            parts.append(out.flatten(0, 1))
            first = here.stop
        return parts[0] if len(parts) == 1 else torch.cat(parts)


def _by_weights(values: Tensor, sent: Tensor, received: Tensor) -> Tensor:
    scores = functional.leaky_relu(received[:, :, None] + sent[:, None, :], SLOPE)
    return scores.softmax(-1).to(values.dtype) @ values


def _by_sorting(values: Tensor, sent: Tensor, received: Tensor) -> Tensor:
    sent, order = sent.sort(dim=1, descending=True)
    top = sent[:, :1]
    # The weights themselves are summed as one column more.
    values = torch.cat([values, torch.ones_like(values[..., :1])], dim=-1).to(sent.dtype)
    values = values.gather(1, order[..., None].expand_as(values))
    less = (sent - top)[..., None]
    above = functional.pad((less.exp() * values).cumsum(1), (0, 0, 1, 0))
    below = functional.pad(((SLOPE * less).exp() * values).flip(1).cumsum(1).flip(1), (0, 0, 0, 1))
    with torch.no_grad():
        split = torch.searchsorted(-sent, received)[..., None].expand(-1, -1, values.shape[-1])
    best = received + top
    peak = functional.leaky_relu(best, SLOPE)
    out = (best - peak).exp()[..., None] * above.gather(1, split)
    out = out + (SLOPE * best - peak).exp()[..., None] * below.gather(1, split)
    return out[..., :-1] / out[..., -1:]
