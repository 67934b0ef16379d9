"""Pairs of nodes in strata: edges, pairs with a common neighbour, and all others, of which a part is taken.

A sum over all pairs of a sparse graph is estimated without bias from all edges and weighted parts of the two
other strata. The time is then linear in the number of edges, and pairs that nearly are edges, which decide
where nodes lie, are seen often.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from noisefold.geometry.graphs import Graphs

__all__ = ["PairStrata", "simple_edges"]

_TURNS = 10  # parts of the pools, one of which is taken at a time
_KEPT = 20  # pairs of a pool for each edge
_ALL = 1 << 16  # pairs up to which all are taken

_Codes = NDArray[np.int64]


def simple_edges(graphs: Graphs) -> Tensor:
    """Return the edges without direction, self-loops and repeats, ``[2, e]`` with i < j, sorted by graph."""
    if graphs.edge_index is None:
        return torch.empty(2, 0, dtype=torch.int64)
    low, high = graphs.edge_index.cpu().sort(0).values
    codes = (low * graphs.num_nodes + high)[low < high].unique()
    return torch.stack([codes // max(1, graphs.num_nodes), codes % max(1, graphs.num_nodes)])


@dataclass(frozen=True)
class PairStrata:
    """Pairs i < j of all graphs, each pool in `_TURNS` parts that follow one another.

    Parameters
    ----------
    edges
        All edges, ``[2, m]``.
    near, far
        Pairs with a common neighbour that are no edges, and other pairs, ``[2, h]`` and ``[2, r]``.
    near_weight, far_weight
        How many pairs of its graph and stratum each stands for.
    """

    edges: Tensor
    near: tuple[Tensor, ...]
    near_weight: tuple[Tensor, ...]
    far: tuple[Tensor, ...]
    far_weight: tuple[Tensor, ...]

    @classmethod
    def of(cls, graphs: Graphs) -> PairStrata:
        """Return the strata of simple undirected graphs; a graph's are a function of it alone."""
        edges, ptr = simple_edges(graphs), graphs.ptr.tolist()
        ends = edges.numpy()
        bounds = np.searchsorted(ends[0], ptr)
        pools: list[tuple[_Pool, _Pool]] = []
        for (first, last), (a, b) in zip(pairwise(ptr), pairwise(bounds), strict=True):
            pools.append(_pools(last - first, ends[:, a:b] - first, first))
        near, near_weight = _turned([pool[0] for pool in pools])
        far, far_weight = _turned([pool[1] for pool in pools])
        return cls(edges, near, near_weight, far, far_weight)

    def turn(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the pairs of one step that are no edges ``[2, k]``, and their weights ``[k]``."""
        k = step % _TURNS
        weight = torch.cat([self.near_weight[k], self.far_weight[k]]) * _TURNS
        return torch.cat([self.near[k], self.far[k]], 1), weight


@dataclass(frozen=True)
class _Pool:
    pairs: _Codes  # [2, k], in random order
    weight: float


def _pools(n: int, ends: _Codes, first: int) -> tuple[_Pool, _Pool]:
    rng = np.random.default_rng(n)
    codes = ends[0] * n + ends[1]
    matrix = sparse.coo_array((np.ones(ends.shape[1]), (ends[0], ends[1])), shape=(n, n)).tocsr()
    matrix = matrix + matrix.T
    common = sparse.triu(matrix @ matrix, 1).tocoo()
    near = np.setdiff1d(common.row.astype(np.int64) * n + common.col, codes)
    known = np.union1d(near, codes)
    most, every = _KEPT * max(len(codes), n), n * (n - 1) // 2
    if every <= max(_ALL, most):
        i, j = np.triu_indices(n, 1)
        far = np.setdiff1d(i * n + j, known)
    else:
        i, j = rng.integers(0, n, (2, 2 * most))
        far = np.setdiff1d((i * n + j)[i < j], known)
    return (
        _Pool(*_part(near, most, len(near), n, first, rng)),
        _Pool(*_part(far, most, every - len(known), n, first, rng)),
    )


def _part(
    codes: _Codes, most: int, total: int, n: int, first: int, rng: np.random.Generator
) -> tuple[_Codes, float]:
    codes = rng.permutation(codes)[:most]
    weight = total / len(codes) if len(codes) else 0.0
    return np.stack([codes // max(1, n), codes % max(1, n)]) + first, weight


def _turned(pools: list[_Pool]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    def parts() -> Iterator[tuple[Tensor, Tensor]]:
        for k in range(_TURNS):
            some = [(pool.pairs[:, k::_TURNS], pool.weight) for pool in pools]
            pairs = np.concatenate([p for p, _ in some], 1) if some else np.empty((2, 0), dtype=np.int64)
            weights = np.repeat([w for _, w in some], [p.shape[1] for p, _ in some])
            yield torch.from_numpy(pairs), torch.from_numpy(weights).float()

    pairs, weights = zip(*parts(), strict=True)
    return pairs, weights
