r"""Message passing on complete graphs with self-loops, without a list of edges.

A mean over neighbours is one mean a graph. Graph attention with the logits
:math:`\mathrm{LeakyReLU}(r_i + s_j)` of `noisefold.nn.dmp.convolution.GAT` is one matrix product a graph, or,
for large graphs, two prefix sums: with the senders in descending order of s, the first ones have
:math:`r_i + s_j > 0` and the weight :math:`e^{r_i} e^{s_j}`, the others :math:`e^{0.2 r_i} e^{0.2 s_j}`,

.. math:: \sum_j e^{\mathrm{LeakyReLU}(r_i + s_j)} v_j =
    e^{r_i} \sum_{s_j > -r_i} e^{s_j} v_j + e^{0.2 r_i} \sum_{s_j \le -r_i} e^{0.2 s_j} v_j,

which is exact and costs O(n log n). The largest logit of the row is subtracted from all exponents, so that no
factor exceeds 1 and one term of each sum is 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from noisefold.geometry.neighbor_rules import Full
from noisefold.nn.dmp.pooling import Pooling
from noisefold.nn.dmp.sparse_graph import SLOPE

__all__ = ["CompleteGraphs"]

# Nodes of a graph from which prefix sums are faster than a matrix of weights (equal at 250 on a CPU core).
_SORTED = 256


@dataclass(frozen=True, eq=False)
class CompleteGraphs:
    """Complete graphs on consecutive rows, graphs of one size next to one another.

    Parameters
    ----------
    sizes
        Number of nodes of every graph, ``[c]``, int64.
    """

    sizes: Tensor

    @cached_property
    def runs(self) -> list[tuple[int, int]]:
        """Runs of graphs of one size, as (number of graphs, size)."""
        values, counts = torch.unique_consecutive(self.sizes, return_counts=True)
        return list(zip(counts.tolist(), values.tolist(), strict=True))

    @cached_property
    def rows(self) -> int:
        """Number m of rows of all graphs together."""
        return sum(count * size for count, size in self.runs)

    @cached_property
    def pooling(self) -> Pooling:
        """The assignment of the rows to the graphs."""
        graph = torch.repeat_interleave(self.sizes, output_size=self.rows)
        return Pooling.of(graph, self.sizes.numel())

    def pairs(self) -> Tensor:
        """Return all edges ``[2, e]``, sorted by target."""
        return Full(loop=True)(self.sizes.new_empty(self.rows, 0), self.pooling.ptr)

    def mean(self, values: Tensor, then: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the mean of ``values [m, w]`` over each row's graph, mapped by an affine `then`."""
        if len(self.runs) != 1:
            return self.pooling.spread(then(self.pooling.mean(values)))
        count, size = self.runs[0]
        means = then(values.view(count, size, -1).mean(1))
        return means[:, None].expand(-1, size, -1).reshape(count * size, -1)

    def attend(self, values: Tensor, sent: Tensor, received: Tensor) -> Tensor:
        """Return graph attention ``[m, w]`` of every row to all rows of its graph.

        Parameters
        ----------
        values
            Values v, ``[m, w]``.
        sent, received
            Parts s of the source and r of the target in the logit, ``[m]`` each.
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
    logits = functional.leaky_relu(received[:, :, None] + sent[:, None, :], SLOPE)
    return logits.softmax(-1).to(values.dtype) @ values


def _by_sorting(values: Tensor, sent: Tensor, received: Tensor) -> Tensor:
    sent, order = sent.sort(dim=1, descending=True)
    top = sent[:, :1]
    # An additional column of ones sums the weights themselves.
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
