"""Sources: where the noise comes from.

A source draws eps with unit scale for every graph of a batch. Sample i of a run is a function of (seed, i)
alone: each graph has a stream of its own, so that neither the batch size nor the device changes a sample.

============= ============================================= ==========================================
source        noise                                         what is random
============= ============================================= ==========================================
`White`       independent standard normal                   every number
`GPNoise`     normal, correlated over given positions       every number
`Centred`     standard normal less its mean in each graph   every number
`QuasiRandom` evenly spread over the nodes of a graph       one seed for each graph and draw
`Digits`      decimals of the data                          nothing in training; every number later
============= ============================================= ==========================================
"""

from __future__ import annotations

import operator
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

import torch
from torch import Tensor

from noisefold.configuration import configurable
from noisefold.geometry.centre import centred
from noisefold.geometry.graphs import Graphs

if TYPE_CHECKING:
    from noisefold.noise.gp_noise import GPNoise

__all__ = ["Centred", "Drawn", "HeldStreams", "Source", "Streams", "White", "derive_seed", "seeded"]

_MASK = (1 << 64) - 1
_T = TypeVar("_T")


def derive_seed(*words: int) -> int:
    """Return one well-mixed 63-bit seed from several integers (splitmix64's finaliser, chained).

    Neighbouring seeds, steps and indices must give unrelated streams, which their sum would not.
    """
    state = 0
    for word in map(operator.index, words):  # integers of NumPy would overflow
        state = (state + (word & _MASK) + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state >> 1


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed PyTorch's own generator for what is done inside, such as first weights, and leave it as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(derive_seed(seed))
        yield


class Streams:
    """One random stream for each graph of a batch, seeded by (seed, index of the sample).

    Numbers are drawn on the CPU, so that every device sees the same ones.
    """

    def __init__(self, seed: int, indices: Sequence[int]) -> None:
        self._generators = [torch.Generator().manual_seed(derive_seed(seed, i)) for i in indices]

    def __len__(self) -> int:
        return len(self._generators)

    def _draw(
        self, draw: Callable[..., Tensor], sizes: Tensor | Sequence[int], columns: int, like: Tensor
    ) -> Tensor:
        counts = sizes.tolist() if isinstance(sizes, Tensor) else list(sizes)
        if len(counts) != len(self):
            raise ValueError(
                f"sizes must have one entry for each of the {len(self)} streams, got {len(counts)}."
            )
        parts = [
            draw(n, columns, generator=g, dtype=like.dtype)
            for n, g in zip(counts, self._generators, strict=True)
        ]
        return torch.cat(parts).to(like.device) if parts else like.new_zeros(0, columns)

    def normal(self, sizes: Tensor | Sequence[int], columns: int, like: Tensor) -> Tensor:
        """Draw standard normal ``[n, columns]`` for graphs of sizes ``[g]``, as `like` in type and device."""
        return self._draw(torch.randn, sizes, columns, like)

    def uniform(self, sizes: Tensor | Sequence[int], columns: int, like: Tensor) -> Tensor:
        """Draw uniform numbers in [0, 1), ``[n, columns]``."""
        return self._draw(torch.rand, sizes, columns, like)

    def hold(self, draw: Callable[[], _T]) -> _T:
        """Draw what is not drawn from the streams themselves; `HeldStreams` give it again."""
        return draw()

    def seeds(self) -> list[int]:
        """Draw a 62-bit seed from every stream, for a generator of another kind."""
        return [int(torch.randint(1 << 62, (), generator=g)) for g in self._generators]


class HeldStreams(Streams):
    """Streams that give the same numbers again after each `rewind`.

    Parameters
    ----------
    streams
        Give the numbers the first time.
    """

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._held: list[object] = []
        self._next = 0

    def __len__(self) -> int:
        return len(self._streams)

    def rewind(self) -> HeldStreams:
        """Begin again with the first number, and return the streams."""
        self._next = 0
        return self

    def hold(self, draw: Callable[[], _T]) -> _T:
        """Return what was drawn at this place before, or draw it."""
        if self._next == len(self._held):
            self._held.append(draw())
        self._next += 1
        return self._held[self._next - 1]  # type: ignore[return-value]

    def normal(self, sizes: Tensor | Sequence[int], columns: int, like: Tensor) -> Tensor:
        """Draw standard normal ``[n, columns]``."""
        return self.hold(lambda: self._streams.normal(sizes, columns, like))

    def uniform(self, sizes: Tensor | Sequence[int], columns: int, like: Tensor) -> Tensor:
        """Draw uniform numbers in [0, 1), ``[n, columns]``."""
        return self.hold(lambda: self._streams.uniform(sizes, columns, like))

    def seeds(self) -> list[int]:
        """Draw a seed from every stream."""
        return self.hold(self._streams.seeds)


class Source(Protocol):
    """What every source offers.

    `on_positions` says whether its noise is a function of the positions, which then cannot be noised.
    """

    on_positions: ClassVar[bool] = False

    @property
    def white(self) -> bool:
        """Whether it is independent standard normal noise on every node and column."""
        return False

    @property
    def process(self) -> GPNoise | None:
        """The Gaussian process that the noise is a draw of, where it is correlated over nodes."""
        return None

    @abstractmethod
    def draw(
        self,
        graphs: Graphs,
        columns: int,
        streams: Streams,
        data: Tensor | None = None,
        t: Tensor | None = None,
    ) -> Tensor:
        """Draw noise ``[n, columns]`` of unit scale for the nodes of a batch.

        Parameters
        ----------
        graphs
            Give the sizes, and the positions where those are not noised.
        columns
            How many columns are noised.
        streams
            One random stream for each graph.
        data, t
            In training the data ``[n, columns]`` that the noise is for and its times ``[g]`` or scalar, for
            sources that are a function of them; None in sampling.
        """


@configurable
@dataclass(frozen=True)
class White(Source):
    """Independent standard normal noise on every node and column."""

    @property
    def white(self) -> bool:
        """Always."""
        return True

    def draw(
        self,
        graphs: Graphs,
        columns: int,
        streams: Streams,
        data: Tensor | None = None,
        t: Tensor | None = None,
    ) -> Tensor:
        """Draw standard normal ``[n, columns]``."""
        return streams.normal(graphs.sizes, columns, graphs.pos)


@configurable
@dataclass(frozen=True)
class Centred(Source):
    r"""Standard normal noise less its mean in each graph: of the shape of positions without their place.

    Of n nodes, :math:`\varepsilon_i = z_i - \frac1n \sum_j z_j`: the normal distribution on the subspace of
    mean zero, which centred data stay in. When to use: for positions of which only their differences count.
    What is observed of single nodes cannot be held in that subspace, so that models do not complete.

    Source: Koehler, Klein and Noe, Equivariant Flows (2020), https://arxiv.org/abs/2006.02425.
    """

    def draw(
        self,
        graphs: Graphs,
        columns: int,
        streams: Streams,
        data: Tensor | None = None,
        t: Tensor | None = None,
    ) -> Tensor:
        """Draw normal numbers ``[n, columns]`` whose mean in every graph is zero."""
        return centred(graphs, streams.normal(graphs.sizes, columns, graphs.pos))


@dataclass(frozen=True)
class Drawn(Source):
    """Noise of another source that a function draws: for oracles and tests that choose it.

    Parameters
    ----------
    function
        Called without arguments for noise ``[n, columns]``.
    source
        The source whose distribution the noise has.
    """

    function: Callable[[], Tensor]
    source: Source = White()

    @property
    def white(self) -> bool:
        """Whether the source is."""
        return self.source.white

    @property
    def process(self) -> GPNoise | None:
        """That of the source."""
        return self.source.process

    def draw(
        self,
        graphs: Graphs,
        columns: int,
        streams: Streams,
        data: Tensor | None = None,
        t: Tensor | None = None,
    ) -> Tensor:
        """Return what the function draws, ``[n, columns]``."""
        return streams.hold(self.function)
