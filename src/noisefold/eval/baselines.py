r"""Baselines: predictive distributions of unobserved features without a network, which a model must beat.

A baseline is fitted to training graphs, of which entries may be missing, and then draws the unobserved
features of other graphs, or of the same ones:

>>> train = Graphs.dense(torch.rand(1, 50, 2), torch.rand(1, 50, 3))
>>> known = torch.arange(50) < 40
>>> MarginalNormal().fit(train, known).draw(train, known, draws=8).shape
torch.Size([8, 50, 3])

=================== ===============================================================================
`MarginalNormal`    each feature alone: normal, with its mean and standard deviation
`SpatialKNN`        the values of observed nodes nearby in space
`FeatureKNN`        the values of training nodes with similar observed features
`Regression`        ridge regression on the observed features (`noisefold.eval.regression`)
`GaussianField`     the best linear prediction from all observed values (`noisefold.eval.regression`)
`Kriging`           a Gaussian process over space (`noisefold.eval.kriging`)
=================== ===============================================================================
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from noisefold.arguments import whole
from noisefold.geometry import Graphs

__all__ = [
    "Baseline",
    "FeatureKNN",
    "MarginalNormal",
    "PredictiveDistribution",
    "SpatialKNN",
    "moments",
    "normals",
    "patterns",
]

_STRUCTURED = 64
_WIDE = 4
_BLOCK = 1 << 24


class PredictiveDistribution(ABC):
    """A fitted baseline: the distribution of unobserved features given the observed ones."""

    def draw(self, graphs: Graphs, known: Tensor, draws: int = 32, seed: int = 0) -> Tensor:
        """Draw the features, ``[draws, n, f]``, float32; where known, the given values, bit for bit.

        Draw j of graph i is a function of (seed, i, j) alone.

        Parameters
        ----------
        graphs
            Graphs with features; unobserved ones may hold anything, NaN as well.
        known
            Which nodes ``[n]`` or entries ``[n, f]`` are observed, bool.
        draws
            Number of draws, at least 1.
        seed
            Seed of the draws.

        Raises
        ------
        ValueError
            If the mask does not fit, a known value is not finite, or the graphs are unlike those of training.
        """
        if draws < 1:
            raise ValueError(f"draws must be at least 1, got {draws}.")
        values, mask = entries(graphs, known)
        out = self._draw(graphs, values, mask, draws, seed)
        return torch.where(mask, values, out)

    @abstractmethod
    def _draw(self, graphs: Graphs, values: Tensor, mask: Tensor, draws: int, seed: int) -> Tensor:
        """Draw ``[draws, n, f]`` given values ``[n, f]``, zero where the mask ``[n, f]`` is False."""


class Baseline(ABC):
    """A way to predict features. A frozen dataclass of its settings."""

    @abstractmethod
    def fit(self, train: Graphs, known: Tensor | None = None) -> PredictiveDistribution:
        """Fit to training graphs, of which the nodes ``[n]`` or entries ``[n, f]`` in `known` are observed.

        Raises
        ------
        ValueError
            If the mask does not fit, a known value is not finite, or a feature is known nowhere.
        """


def entries(graphs: Graphs, known: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return features ``[n, f]`` in float32, zero where unobserved, and the mask by entries ``[n, f]``."""
    if graphs.x is None or graphs.features == 0:
        raise ValueError("the graphs have no features x to predict.")
    x = graphs.x.detach().to("cpu", torch.float32)
    mask = torch.ones(len(x), dtype=torch.bool) if known is None else known.cpu()
    if mask.dtype != torch.bool or tuple(mask.shape) not in ((len(x),), tuple(x.shape)):
        raise ValueError(
            f"known must be bool [{len(x)}] or {list(x.shape)}, got {mask.dtype} {list(mask.shape)}."
        )
    mask = mask if mask.ndim == 2 else mask[:, None].expand_as(x)
    if not bool(x[mask].isfinite().all()):
        raise ValueError("a value that is marked as known is NaN or infinite; mark it as unknown.")
    return x.masked_fill(~mask, 0.0), mask


def moments(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of the observed values of each column, ``[f]`` each, float64.

    Raises
    ------
    ValueError
        If a feature is known nowhere.
    """
    count = mask.sum(0)
    if not bool((count > 0).all()):
        missing = (count == 0).nonzero().view(-1).tolist()
        raise ValueError(
            f"features {missing[:8]} are known nowhere in the training graphs; leave them out, or give data."
        )
    x = values.double()
    mean = x.sum(0) / count
    return mean, ((x - mean).square() * mask).sum(0).div(count).sqrt()


def _per_draw(graphs: Graphs, draws: int, seed: int) -> Iterator[tuple[int, slice, np.random.Generator]]:
    """Yield every draw and graph with the slice of its nodes and a generator of its own."""
    ends = graphs.ptr.tolist()
    for i, (start, end) in enumerate(pairwise(ends)):
        for j in range(draws):
            yield j, slice(start, end), np.random.default_rng((seed, i, j))


def normals(graphs: Graphs, columns: int, draws: int, seed: int) -> Tensor:
    """Draw standard normal values ``[draws, n, columns]``, float32, a function of (seed, graph, draw)."""
    out = np.empty((draws, graphs.num_nodes, columns), dtype=np.float32)
    for j, rows, generator in _per_draw(graphs, draws, seed):
        generator.standard_normal(out=out[j, rows], dtype=np.float32)
    return torch.from_numpy(out)


def picks(graphs: Graphs, among: int, draws: int, seed: int) -> Tensor:
    """Draw a uniform choice from 0 .. among - 1 for each node, ``[draws, n]``."""
    out = np.empty((draws, graphs.num_nodes), dtype=np.int64)
    for j, rows, generator in _per_draw(graphs, draws, seed):
        out[j, rows] = generator.integers(among, size=rows.stop - rows.start)
    return torch.from_numpy(out)


def patterns(mask: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return the groups of equal rows of ``[n, c]``: the rows ``[r]`` of each, and the row ``[c]``."""
    packed = np.ascontiguousarray(np.packbits(mask.numpy(), axis=1))
    key = packed.view(np.dtype((np.void, packed.shape[1]))).ravel()
    _, first, kind = np.unique(key, return_index=True, return_inverse=True)
    order = torch.from_numpy(np.argsort(kind, kind="stable"))
    parts = order.split(np.bincount(kind).tolist())
    return [(rows, mask[int(at)]) for rows, at in zip(parts, first, strict=True)]


@dataclass(frozen=True)
class MarginalNormal(Baseline):
    """Each feature alone: normal, with the mean and standard deviation of its observed training values."""

    def fit(self, train: Graphs, known: Tensor | None = None) -> PredictiveDistribution:
        """Estimate both."""
        return _MarginalNormal(*(t.float() for t in moments(*entries(train, known))))


@dataclass(frozen=True, eq=False)
class _MarginalNormal(PredictiveDistribution):
    mean: Tensor
    spread: Tensor

    def _draw(self, graphs: Graphs, values: Tensor, mask: Tensor, draws: int, seed: int) -> Tensor:
        return normals(graphs, values.shape[1], draws, seed).mul_(self.spread).add_(self.mean)


@dataclass(frozen=True)
class SpatialKNN(Baseline):
    """Nearest neighbours in space: each draw copies one of the k nearest nodes where the feature is observed.

    All features of a node that are unobserved at the same nodes are copied from one neighbour, so that they
    are consistent. A feature observed nowhere in its graph is drawn from the training graphs.

    Parameters
    ----------
    k
        Number of neighbours to choose from; k = 1 gives draws without spread.
    """

    k: int = 10

    def __post_init__(self) -> None:
        whole("k", self.k, least=1)

    def fit(self, train: Graphs, known: Tensor | None = None) -> PredictiveDistribution:
        """Keep the training values for features observed nowhere in a graph."""
        values, mask = entries(train, known)
        moments(values, mask)
        return _SpatialKNN(self.k, values, mask)


@dataclass(frozen=True, eq=False)
class _SpatialKNN(PredictiveDistribution):
    k: int
    train: Tensor
    train_mask: Tensor

    def _draw(self, graphs: Graphs, values: Tensor, mask: Tensor, draws: int, seed: int) -> Tensor:
        from scipy.spatial import cKDTree

        pick = picks(graphs, 1 << 30, draws, seed)
        out = values.repeat(draws, 1, 1)
        pos = graphs.pos.detach().cpu().double().numpy()
        ends = graphs.ptr.tolist()
        for start, end in pairwise(ends):
            for columns, there in patterns(mask[start:end].T.contiguous()):
                unknown = (~there).nonzero().view(-1) + start
                if len(unknown) == 0:
                    continue
                donors, source = there.nonzero().view(-1) + start, values
                chosen = pick[:, unknown]
                if len(donors) == 0:
                    _from_training(self.train, self.train_mask, out, unknown, columns, chosen)
                    continue
                k = min(self.k, len(donors))
                # NumPy takes a tensor of one index for a number.
                tree = cKDTree(pos[donors.numpy()])
                index = tree.query(pos[unknown.numpy()], k=[*range(1, k + 1)])[1]
                near = donors[torch.from_numpy(index)]
                row = near.gather(1, (chosen % k).T).T
                out[:, unknown[:, None], columns] = source[row[..., None], columns]
        return out


def _from_training(
    train: Tensor, mask: Tensor, out: Tensor, nodes: Tensor, columns: Tensor, chosen: Tensor
) -> None:
    """Give nodes the values of random training nodes: complete ones, or by feature where none is complete."""
    whole = mask[:, columns].all(1).nonzero().view(-1)
    if len(whole):
        out[:, nodes[:, None], columns] = train[whole[chosen % len(whole)][..., None], columns]
        return
    for column in columns.tolist():
        pool = train[mask[:, column], column]
        out[:, nodes, column] = pool[chosen % len(pool)]


@dataclass(frozen=True)
class FeatureKNN(Baseline):
    """Nearest neighbours in features: each draw copies one of the k most similar training nodes.

    Nodes are compared by the mean squared difference of the standardised features observed at both; donors
    come from all training graphs. Where there are few patterns of unobserved features, donors have all of
    them, and a draw copies one real node; otherwise each feature is copied from the most similar nodes that
    have it. A node of which nothing is observed copies any training node.

    Parameters
    ----------
    k
        Number of neighbours to choose from.
    """

    k: int = 10

    def __post_init__(self) -> None:
        whole("k", self.k, least=1)

    def fit(self, train: Graphs, known: Tensor | None = None) -> PredictiveDistribution:
        """Keep the training nodes."""
        values, mask = entries(train, known)
        mean, spread = (t.float() for t in moments(values, mask))
        return _FeatureKNN(self.k, values, mask, mean, torch.where(spread > 0, spread, 1.0))


@dataclass(frozen=True, eq=False)
class _FeatureKNN(PredictiveDistribution):
    k: int
    train: Tensor
    train_mask: Tensor
    mean: Tensor
    spread: Tensor

    def _draw(self, graphs: Graphs, values: Tensor, mask: Tensor, draws: int, seed: int) -> Tensor:
        pick = picks(graphs, 1 << 30, draws, seed)
        out = values.repeat(draws, 1, 1)
        kinds = [(rows, there) for rows, there in patterns(mask) if not bool(there.all())]
        loose = []
        for rows, there in kinds:
            if not bool(there.any()):
                _from_training(
                    self.train, self.train_mask, out, rows, torch.arange(len(there)), pick[:, rows]
                )
                continue
            donors = self.train_mask[:, ~there].all(1).nonzero().view(-1)
            if len(kinds) > _STRUCTURED or len(donors) < self.k:
                loose.append(rows)
                continue
            unknown = (~there).nonzero().view(-1)
            for part, near in self._nearest(values, mask, rows, donors, self.k):
                row = near.gather(1, (pick[:, part] % self.k).T).T
                out[:, part[:, None], unknown] = self.train[row[..., None], unknown]
        if loose:
            every = torch.arange(len(self.train))
            wide = min(_WIDE * self.k, len(every))
            for part, near in self._nearest(values, mask, torch.cat(loose), every, wide):
                self._by_feature(out, part, near, pick)
        return out

    def _unit(self, values: Tensor, mask: Tensor) -> Tensor:
        return ((values - self.mean) / self.spread).masked_fill(~mask, 0.0)

    def _nearest(
        self, values: Tensor, mask: Tensor, rows: Tensor, donors: Tensor, k: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield parts of the rows, and the k donors most similar to each, ``[part, k]``, nearest first."""
        there = self.train_mask[donors]
        unit = self._unit(self.train[donors], there)
        seen, square = there.float(), unit.square()
        for part in rows.split(max(1, _BLOCK // len(donors))):
            own = mask[part].float()
            x = self._unit(values[part], mask[part])
            both = own @ seen.T
            gap = x.square() @ seen.T + own @ square.T - 2 * x @ unit.T
            gap = torch.where(both > 0, gap / both.clamp(min=1), torch.inf)
            yield part, donors[gap.topk(k, largest=False).indices]

    def _by_feature(self, out: Tensor, part: Tensor, near: Tensor, pick: Tensor) -> None:
        """Copy each feature from the first k of the most similar nodes that have it."""
        step = max(1, _BLOCK // (near.shape[1] * out.shape[2]))
        for part_, near_ in zip(part.split(step), near.split(step), strict=True):
            there = self.train_mask[near_]
            # Places of the donors, those that have the feature first, ``[c, k, f]``.
            place = (~there).to(torch.uint8).argsort(dim=1, stable=True)[:, : self.k]
            count = there.sum(1).clamp(max=self.k)
            for j in range(len(out)):
                chosen = pick[j, part_][:, None] % count.clamp(min=1)
                row = near_.gather(1, place.gather(1, chosen[:, None])[:, 0])
                value = self.train.gather(0, row)
                out[j, part_] = torch.where(count > 0, value, self.mean)
