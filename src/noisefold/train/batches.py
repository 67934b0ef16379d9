"""Training batches as a function of (seed, step), whatever the number of processes.

Sample k of a run (k = step * size + place) is entry k of a sequence of random passes through the data, with a
random stream of its own. So a batch shared by several processes is the batch one process would see.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from noisefold.geometry.graphs import Graphs
from noisefold.geometry.transform import Transform
from noisefold.noise.source import Streams, derive_seed

__all__ = ["Batch", "Batches"]


@dataclass(frozen=True)
class Batch:
    """One process' share of a batch.

    Attributes
    ----------
    graphs
        The data.
    streams
        One random stream per graph.
    quantiles
        Stratified uniform numbers ``[g]`` that place the noise levels.
    """

    graphs: Graphs
    streams: Streams
    quantiles: Tensor


class Batches:
    """Batches of a data set.

    Parameters
    ----------
    data
        The data set.
    size
        Graphs per step, over all processes.
    seed
        Seed of the order and of every stream.
    nodes
        If given, every larger graph is thinned to this many nodes, anew each time it is seen. If any graph of
        the data is larger, all lose their edges.
    rank, world
        Which process of how many.
    transform
        Applied to each batch, so that no transformed copy of the data is held.

    Raises
    ------
    ValueError
        If the processes do not divide the batch.
    """

    def __init__(
        self,
        data: Graphs,
        size: int,
        seed: int,
        nodes: int | None = None,
        rank: int = 0,
        world: int = 1,
        transform: Transform | None = None,
    ) -> None:
        if size < 1 or size % world:
            raise ValueError(f"batch must be a positive multiple of the {world} processes, got {size}.")
        self.data, self.size, self.seed = data, size, seed
        self.nodes = None if nodes is None or int(data.sizes.max()) <= nodes else nodes
        self.rank, self.world, self.transform = rank, world, transform
        self._pass: tuple[int, Tensor] = (-1, torch.empty(0))

    def __call__(self, step: int) -> Batch:
        """Return this process' part of the batch of a step."""
        return self.part(step, range(self.rank, self.size, self.world))

    def part(self, step: int, places: range) -> Batch:
        """Return some places of the batch of a step."""
        numbers = [step * self.size + p for p in places]
        streams = Streams(self.seed, numbers)
        graphs = self.data[[self._entry(k) for k in numbers]]
        if self.transform is not None:
            graphs = self.transform.apply(graphs)
        if self.nodes is not None:
            graphs = _thin(graphs, self.nodes, streams)
        jitter = streams.uniform([1] * len(numbers), 1, torch.empty(0, dtype=torch.float64))[:, 0]
        quantiles = (torch.tensor(list(places), dtype=torch.float64) + jitter) / self.size
        return Batch(graphs, streams, quantiles)

    def _entry(self, number: int) -> int:
        round_, place = divmod(number, len(self.data))
        if self._pass[0] != round_:
            generator = torch.Generator().manual_seed(derive_seed(self.seed, -1, round_))
            self._pass = (round_, torch.randperm(len(self.data), generator=generator))
        return int(self._pass[1][place])


def _thin(graphs: Graphs, nodes: int, streams: Streams) -> Graphs:
    keys = streams.uniform(graphs.sizes, 1, torch.empty(0, dtype=torch.float64))[:, 0].to(graphs.device)
    # Without edges from the start: what a graph keeps must not depend on whether larger ones stand beside it.
    return graphs.replace(edge_index=None, edge_attr=None).thin(nodes, keys)
