"""From graphs to points in a latent space and back: an autoencoder of one vector for each node.

The encoder infers the vectors of a graph from its edges alone (`noisefold.geometry.latent_fit`), the decoder
joins pairs of nodes by their vectors (`noisefold.geometry.PairDecoder`). In between there are points alone,
which a model of point clouds generates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.latent_fit import Posterior, fitted
from noisefold.geometry.pair_decoder import PairDecoder
from noisefold.geometry.pair_strata import simple_edges
from noisefold.geometry.selection import spread
from noisefold.geometry.transform import Transform

__all__ = ["DIMENSIONS", "LatentPositions"]

DIMENSIONS = (2, 3, 5, 8)
"""Dimensions of the latent space that are tried where none are named."""

_STEPS = 300
_EDGES, _GRAPHS = 15_000, 4  # of the graphs that the decoder is fitted to; fewest graphs
_NODES = 1 << 13  # whose vectors are inferred together: what stays in a processor's cache


@configurable
@dataclass(frozen=True)
class LatentPositions(Transform):
    """Latent vectors in the place of edges.

    `apply` infers them, as positions ``[n, d + 1]``, and `undo` draws edges. Graphs that have such positions
    keep these and lose their edges, so that the vectors of a data set are inferred once (`once`), before it
    is learned from.

    Parameters
    ----------
    decoder
        Gives the probabilities of edges.
    slope, intercept, least, most
        The expected number m of edges of a generated graph of n nodes is kept to :math:`\\log m - (slope
        \\log n + intercept)` in [least, most], the range of the training graphs.
    steps
        Steps of the inference.
    """

    decoder: PairDecoder
    slope: float = 1.0
    intercept: float = 0.0
    least: float = -100.0
    most: float = 100.0
    steps: int = _STEPS

    @classmethod
    def fit(
        cls, graphs: Graphs, dim: int | Sequence[int] = DIMENSIONS, steps: int = _STEPS
    ) -> LatentPositions:
        """Fit the decoder to simple undirected graphs, or to smaller ones with 15,000 edges in all, or four.

        Parameters
        ----------
        graphs
            The training graphs.
        dim
            Dimensions d of the latent space; of several the one with the largest evidence lower bound.
        steps
            Steps of the inference; half as many for the choice of the dimension.

        Raises
        ------
        ValueError
            If no graph has an edge, or a dimension is below 1.
        """
        graphs = graphs.to("cpu")
        edges = simple_edges(graphs)
        counts = torch.bincount(graphs.batch[edges[0]], minlength=len(graphs))
        tried = (dim,) if isinstance(dim, int) else tuple(dim)
        if not tried or min(tried) < 1:
            raise ValueError(f"dim must be 1 or more, got {dim!r}.")
        if not edges.shape[1]:
            raise ValueError("the graphs have no edges, from which places could be inferred; give others.")
        some = graphs[_some(counts)]
        half = max(1, steps // 2)
        dim = max(tried, key=lambda d: fitted(some, d, half).bound) if len(tried) > 1 else tried[0]
        best = fitted(some, dim, steps)
        sizes, numbers = graphs.sizes.double()[counts > 0].log(), counts[counts > 0].double().log()
        slope = 1.0
        if float(sizes.std(correction=0)) > 0.1:  # log n varies enough to tell how m grows with it
            centred = sizes - sizes.mean()
            slope = float((centred * numbers).sum() / centred.square().sum())
        intercept = float((numbers - slope * sizes).mean())
        rest = numbers - slope * sizes - intercept
        return cls(best.decoder, slope, intercept, float(rest.min()), float(rest.max()), steps)

    @property
    def thins(self) -> bool:
        """Whether a part of the nodes is as good as the whole: no, its edges would be too few."""
        return False

    def posterior(self, graphs: Graphs) -> Posterior:
        """Return the inferred vectors of graphs, with the decoder as it is."""
        parts, sizes, first = [], graphs.sizes.tolist(), 0
        while first < len(sizes):
            last, nodes = first + 1, sizes[first]
            while last < len(sizes) and nodes + sizes[last] <= _NODES:
                nodes, last = nodes + sizes[last], last + 1
            part = graphs[first:last].to("cpu")
            parts.append(fitted(part, len(self.decoder.scales), self.steps, self.decoder))
            first = last
        mean, deviation = (
            torch.cat([getattr(p, name) for p in parts]) if parts else torch.empty(0, self.decoder.columns)
            for name in ("mean", "deviation")
        )
        return Posterior(mean, deviation, self.decoder, sum(p.bound for p in parts) / max(1, len(parts)))

    def apply(self, graphs: Graphs) -> Graphs:
        """Return points ``[n, d + 1]`` without edges; of graphs without positions, draws of the posterior."""
        if graphs.dim != self.decoder.columns and graphs.num_nodes:
            pos = self.posterior(graphs).drawn(graphs)
            graphs = graphs.replace(pos=pos.to(graphs.pos), origin=())
        return graphs.replace(edge_index=None, edge_attr=None, edge_type=None)

    def once(self, graphs: Graphs) -> Graphs:
        """Return points ``[n, d + 1]`` without edges."""
        return self.apply(graphs)

    def undo(self, graphs: Graphs) -> Graphs:
        """Return graphs without positions, ``[n, 0]``, with edges of the same draws for every graph."""
        return self.drawn(graphs, [0] * len(graphs))

    def drawn(self, graphs: Graphs, seeds: Sequence[int]) -> Graphs:
        """Return graphs without positions, ``[n, 0]``, whose edges are drawn from a seed for each graph."""
        found = [torch.empty(2, 0, dtype=torch.int64)]
        for graph, seed, first in zip(graphs, seeds, graphs.ptr.tolist(), strict=False):
            usual = self.slope * math.log(max(1, graph.num_nodes)) + self.intercept
            least, most = math.exp(usual + self.least), math.exp(usual + self.most)
            ends = self.decoder.edges(graph.pos.detach().cpu(), seed, least, most) + first
            found.append(torch.stack([ends, ends.flip(0)], 2).reshape(2, -1))
        edges = torch.cat(found, 1).to(graphs.device)
        pos = graphs.pos.new_zeros(graphs.num_nodes, 0)
        return graphs.replace(pos=pos, edge_index=edges, edge_attr=None, edge_type=None)

    def entries(self, known: Tensor) -> Tensor:
        """Return the same entries of features, ``[n, f]``."""
        return known


def _some(counts: Tensor) -> Tensor:
    """Return which graphs the decoder is fitted to, by their numbers of edges ``[g]``."""
    few = max(_GRAPHS, int(len(counts) * _EDGES / max(1, int(counts.sum()))))
    with_edges = int((counts > 0).sum())
    if few >= with_edges:
        return torch.arange(len(counts))
    order = counts.argsort(stable=True)[len(counts) - with_edges :]
    smaller = order[: max(few, with_edges // 2)]
    return smaller[spread(len(smaller), few)].sort().values
